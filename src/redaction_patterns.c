/*
 * redaction_patterns.c
 *		Regular expressions of the DBA's own that redaction replaces.
 *
 * A pattern is stored only if it cannot hurt: it is judged by what the server's
 * regular expression engine says about it, and tried on texts that make a slow
 * one show.  The engine also compiles the patterns and keeps them (its cache
 * has room for 32, hence the limit on their number).
 *
 * A backend's copy of the patterns is read with the latest snapshot and dropped
 * when the table's relcache entry is invalidated, which its trigger does on
 * every change; set_redaction_pattern() locks writers out while it changes
 * them, as set_redaction() does.
 */
#include "postgres.h"

#include <time.h>

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "regex/regex.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

#include "compat.h"
#include "redact.h"
#include "redaction_patterns.h"

PG_FUNCTION_INFO_V1(slm_check_redaction_pattern);

#define MAX_PATTERNS 16
#define MAX_PATTERN_BYTES 1000

/* The texts that a new pattern is tried on: CPU time grows with their square
 * for a bad pattern (0.2 s and more), and is some milliseconds for others. */
#define PROBE_LENGTH 16384
#define PROBE_LIMIT (CLOCKS_PER_SEC / 10)
#define MAX_PROBE_CHARACTERS 16
#define MAX_PIECES 32
#define MAX_PIECE_LENGTH 32

typedef struct Pattern
{
	char *name;
	text *pattern;
	text *placeholder; /* [NAME] */
} Pattern;

static struct
{
	bool valid;
	bool old_snapshot; /* read during a parallel query: not for long */
	Oid relid;
	MemoryContext context;
	int count;
	Pattern *patterns; /* by name */
} cache;

static void
invalidate_patterns(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == cache.relid)
		cache.valid = false;
}

void
slm_redaction_patterns_init(void)
{
	CacheRegisterRelcacheCallback(invalidate_patterns, (Datum) 0);
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const Pattern *) a)->name, ((const Pattern *) b)->name);
}

static char *
text_column(TupleDesc desc, HeapTuple row, const char *name)
{
	bool isnull;
	Datum value = heap_getattr(row, SPI_fnumber(desc, name), desc, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static void
read_patterns(Relation rel)
{
	Snapshot snapshot = RegisterSnapshot(
		cache.old_snapshot ? GetActiveSnapshot() : GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL, SO_NONE);
	int room = MAX_PATTERNS;

	cache.patterns = palloc(room * sizeof(Pattern));
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool copied;
		HeapTuple row = ExecFetchSlotHeapTuple(slot, false, &copied);
		TupleDesc desc = RelationGetDescr(rel);
		Pattern *p;

		if (cache.count == room)
			cache.patterns =
				repalloc(cache.patterns, (room *= 2) * sizeof(Pattern));
		p = &cache.patterns[cache.count++];
		p->name = text_column(desc, row, "name");
		p->pattern = cstring_to_text(text_column(desc, row, "pattern"));
		p->placeholder = cstring_to_text(psprintf("[%s]", p->name));
		if (copied)
			heap_freetuple(row);
	}
	qsort(cache.patterns, cache.count, sizeof(Pattern), by_name);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
}

/* Read the patterns, if there was a change. */
static void
load_patterns(void)
{
	if (!cache.valid || (cache.old_snapshot && !IsInParallelMode()))
	{
		MemoryContext before;
		Relation rel;

		cache.relid =
			get_relname_relid("redaction_patterns",
							  get_namespace_oid("slm_feedback", false));
		if (!OidIsValid(cache.relid))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("table \"slm_feedback.redaction_patterns\" does "
							"not exist"),
					 errhint("Run ALTER EXTENSION slm_feedback UPDATE.")));
		if (cache.context == NULL)
			cache.context = AllocSetContextCreate(TopMemoryContext,
												  "slm redaction patterns",
												  ALLOCSET_SMALL_SIZES);
		MemoryContextReset(cache.context);
		cache.count = 0;
		cache.old_snapshot = IsInParallelMode();

		/* An invalidation that arrives while we read: see slm_settings(). */
		cache.valid = true;
		PG_TRY();
		{
			rel = table_open(cache.relid, AccessShareLock);
			before = MemoryContextSwitchTo(cache.context);
			read_patterns(rel);
			MemoryContextSwitchTo(before);
			table_close(rel, AccessShareLock);
		}
		PG_CATCH();
		{
			cache.valid = false;
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
}

/*
 * The text with every match of a pattern replaced, pattern by pattern in the
 * order of their names; the very pointer given if nothing matches.  *kinds, if
 * wanted, gets a pattern's name for each match.
 */
text *
slm_replace_patterns(text *given, ArrayBuildState **kinds)
{
	text *now = given;

	load_patterns();
	for (int i = 0; i < cache.count; i++)
	{
		Pattern *p = &cache.patterns[i];
		int matches = 0;

		if (kinds != NULL)
			matches = DatumGetInt32(DirectFunctionCall2Coll(
				regexp_count_no_start, DEFAULT_COLLATION_OID,
				PointerGetDatum(now), PointerGetDatum(p->pattern)));
		for (int j = 0; j < matches; j++)
			*kinds = accumArrayResult(*kinds, CStringGetTextDatum(p->name),
									  false, TEXTOID, CurrentMemoryContext);
		now = replace_text_regexp(now, p->pattern, p->placeholder, REG_ADVANCED,
								  DEFAULT_COLLATION_OID, 0, 0);
	}
	if (now != given && VARSIZE_ANY_EXHDR(now) == VARSIZE_ANY_EXHDR(given) &&
		memcmp(VARDATA_ANY(now), VARDATA_ANY(given), VARSIZE_ANY_EXHDR(now)) ==
			0)
		return given;
	return now;
}

static void
refuse_pattern(const char *name, const char *detail, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("redaction pattern \"%s\" is refused", name),
					errdetail("%s", detail), errhint("%s", hint)));
}

static bool
matches(text *pattern, const char *value)
{
	return RE_compile_and_execute(pattern, unconstify(char *, value),
								  strlen(value), REG_ADVANCED,
								  DEFAULT_COLLATION_OID, 0, NULL);
}

/* Redacting a text twice must not change it again. */
static void
check_placeholders(const char *name, text *pattern)
{
	static const char *hint =
		"Let the pattern name a character that no placeholder has, such as a "
		"digit or a small letter.";
	const char *placeholder;
	const char *own = psprintf("[%s]", name);

	for (int i = 0; (placeholder = slm_placeholder(i)) != NULL; i++)
		if (matches(pattern, placeholder))
			refuse_pattern(name,
						   psprintf("It matches the placeholder %s.",
									placeholder),
						   hint);
	if (matches(pattern, own))
		refuse_pattern(name,
					   psprintf("It matches its own placeholder %s.", own),
					   hint);
	load_patterns();
	for (int i = 0; i < cache.count; i++)
	{
		const char *other = cache.patterns[i].name;

		if (strcmp(other, name) == 0)
			continue;
		if (matches(pattern, text_to_cstring(cache.patterns[i].placeholder)))
			refuse_pattern(name,
						   psprintf("It matches the placeholder of \"%s\".",
									other),
						   hint);
		if (matches(cache.patterns[i].pattern, own))
			refuse_pattern(name,
						   psprintf("Its placeholder %s is matched by \"%s\".",
									own, other),
						   "Choose another name.");
	}
}

/* The CPU time of finding all matches, in clock ticks; stops at the limit. */
static clock_t
probe(regex_t *regex, const pg_wchar *value, size_t length)
{
	clock_t start = clock();
	clock_t spent = 0;
	size_t at = 0;
	regmatch_t match;

	while (at <= length && spent <= PROBE_LIMIT &&
		   pg_regexec(regex, value, length, at, NULL, 1, &match, 0) == REG_OKAY)
	{
		at = Max((size_t) match.rm_eo, at + 1);
		spent = clock() - start;
	}
	return clock() - start;
}

/*
 * A character that the piece of a pattern at *at stands for, or 0 if it stands
 * for none: that of a class or of an escape is one of its members.  Moves *at
 * on.
 */
static pg_wchar
next_literal(const pg_wchar *pattern, int length, int *at)
{
	pg_wchar c = pattern[(*at)++];

	switch (c)
	{
		case '.':
			return 'a';
		case '[':
			c = *at < length ? pattern[*at] : 0;
			while (*at < length && pattern[(*at)++] != ']')
				;
			return c == '^' || c == '[' ? 'a' : c;
		case '{':
			while (*at < length && pattern[(*at)++] != '}')
				;
			return 0;
		case '\\':
			c = *at < length ? pattern[(*at)++] : 0;
			return c == 'd' ? '0' : c == 's' ? ' ' : c == 'w' ? 'a' : c;
		case '*':
		case '+':
		case '?':
		case '^':
		case '$':
		case ']':
		case '}':
			return 0;
		default:
			return c;
	}
}

/*
 * Try the pattern on long texts that repeat a piece, and end in each of the
 * characters that stand in the pattern or stand for a class.  Pieces are these
 * characters, and what can match between two of the pattern's ( ) and |.  That
 * finds the usual quadratic patterns: an alternative that is only met at the
 * end, beside one that starts anywhere.  One that needs a text of another kind
 * passes.
 */
static void
check_speed(const char *name, text *pattern)
{
	pg_wchar *given =
		palloc((VARSIZE_ANY_EXHDR(pattern) + 1) * sizeof(pg_wchar));
	int length = pg_mb2wchar_with_len(VARDATA_ANY(pattern), given,
									  VARSIZE_ANY_EXHDR(pattern));
	pg_wchar characters[MAX_PROBE_CHARACTERS] = {'a', '0', ' ', '.'};
	int count = 4;
	struct
	{
		int length;
		pg_wchar text[MAX_PIECE_LENGTH];
	} pieces[MAX_PIECES] = {0};
	int npieces = 0;
	pg_wchar *value = palloc(PROBE_LENGTH * sizeof(pg_wchar));

	for (int i = 0; i < length && count < MAX_PROBE_CHARACTERS; i++)
	{
		bool known = given[i] < 128 && strchr("()[]{}|?*+^$\\", given[i]);

		for (int j = 0; j < count; j++)
			known = known || characters[j] == given[i];
		if (!known)
			characters[count++] = given[i];
	}
	for (int i = 0; i < count; i++)
	{
		pieces[npieces].text[0] = characters[i];
		pieces[npieces++].length = 1;
	}
	for (int i = 0; i < length && npieces < MAX_PIECES;)
	{
		if (given[i] < 128 && strchr("()|", given[i]))
		{
			/* A piece of one character is among the characters. */
			if (pieces[npieces].length > 1)
				npieces++;
			else
				pieces[npieces].length = 0;
			i++;
		}
		else
		{
			pg_wchar c = next_literal(given, length, &i);

			if (c != 0 && pieces[npieces].length < MAX_PIECE_LENGTH)
				pieces[npieces].text[pieces[npieces].length++] = c;
		}
	}
	if (npieces < MAX_PIECES && pieces[npieces].length > 1)
		npieces++;

	for (int i = 0; i < npieces; i++)
	{
		for (int j = 0; j < PROBE_LENGTH; j++)
			value[j] = pieces[i].text[j % pieces[i].length];
		for (int j = 0; j < count; j++)
		{
			CHECK_FOR_INTERRUPTS();
			value[PROBE_LENGTH - 1] = characters[j];
			if (probe(RE_compile_and_cache(pattern, REG_ADVANCED,
										   DEFAULT_COLLATION_OID),
					  value, PROBE_LENGTH) > PROBE_LIMIT)
				refuse_pattern(
					name,
					psprintf("Its time grows with the square of a text's "
							 "length: %d characters took more than %d ms.",
							 PROBE_LENGTH,
							 (int) (PROBE_LIMIT * 1000 / CLOCKS_PER_SEC)),
					"Bound the repetitions (such as .{0,80} instead of .*).");
		}
	}
}

/* Trigger of redaction_patterns: refuse what could slow down every write. */
Datum
slm_check_redaction_pattern(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	HeapTuple row;
	char *name;
	char *given;
	text *pattern;
	long info;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("check_redaction_pattern must be called as a "
							   "trigger")));
	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple
													 : trigger->tg_trigtuple;
	name = text_column(RelationGetDescr(trigger->tg_relation), row, "name");
	given = text_column(RelationGetDescr(trigger->tg_relation), row, "pattern");
	if (name == NULL || given == NULL) /* refused by NOT NULL right after us */
		return PointerGetDatum(row);

	if (strlen(given) > MAX_PATTERN_BYTES)
		refuse_pattern(name,
					   psprintf("It has %zu bytes; at most %d are allowed.",
								strlen(given), MAX_PATTERN_BYTES),
					   "Split it into several patterns.");
	pattern = cstring_to_text(given);
	info = RE_compile_and_cache(pattern, REG_ADVANCED, DEFAULT_COLLATION_OID)
			   ->re_info;
	if (info & REG_UBACKREF)
		refuse_pattern(name, "It has a back-reference.",
					   "Their time can grow exponentially: write the "
					   "alternatives out.");
	if (info & REG_ULOOKAROUND)
		refuse_pattern(name, "It looks ahead or behind.",
					   "Use the word boundaries \\m, \\M and \\y.");
	if (info & REG_UEMPTYMATCH)
		refuse_pattern(name, "It matches an empty string.",
					   "Let it demand at least one character.");
	if (info & REG_UIMPOSSIBLE)
		refuse_pattern(name, "It cannot match anything.",
					   "Check the anchors ^ and $.");
	check_placeholders(name, pattern);
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event) &&
		cache.count >= MAX_PATTERNS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("too many redaction patterns"),
						errdetail("At most %d are allowed.", MAX_PATTERNS),
						errhint("Join some with |.")));
	check_speed(name, pattern);
	return PointerGetDatum(row);
}
