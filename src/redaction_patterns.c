/*
 * redaction_patterns.c
 *		User-defined regular expressions, whose matches redaction replaces.
 *
 * A pattern sees one line at a time, and of a long line a window of WINDOW
 * characters, of which the next window sees the last SIGHT again.  So a match
 * of up to SIGHT characters is found wherever it is, one that is longer if it
 * starts in a window's other part and ends in the window; and one that would go
 * on is cut off.  The time for a window has a bound for every pattern: the
 * engine, without back-references, takes at most the square of the window's
 * length in steps.  So time is linear in the text's length by construction.
 *
 * A pattern is stored only if the engine says that it has no back-references,
 * looks neither ahead nor behind, and cannot match the empty string, and if it
 * matches no placeholder; this is the same on every machine.  The engine also
 * compiles the patterns and keeps them (its cache has room for 32, hence the
 * limit on their number).
 *
 * A backend's copy of the patterns is read with the latest snapshot and dropped
 * when the table's relcache entry is invalidated, which its trigger does on
 * every change; set_redaction_pattern() locks writers out while it changes
 * them, as set_redaction() does.
 */
#include "postgres.h"

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
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "redact.h"
#include "redaction_codes.h"
#include "redaction_kinds.h"
#include "redaction_patterns.h"

PG_FUNCTION_INFO_V1(slm_check_redaction_pattern);

#define MAX_PATTERNS 16
#define MAX_PATTERN_BYTES 1000

#define WINDOW 1000 /* characters that a pattern sees at once */
#define SIGHT 250	/* of them, what the next window sees again */

/* ^ and $ match at the ends of every line. */
#define PATTERN_FLAGS (REG_ADVANCED | REG_NLANCH)

typedef struct Pattern
{
	char *name;
	text *pattern;
	text *placeholder; /* [NAME] */
} Pattern;

/* A part of a text, at most WINDOW characters. */
typedef struct Window
{
	const char *at; /* where it stands in the text */
	int bytes;
	int length;
	int from;	 /* where to search on, in characters */
	bool begins; /* whether the line begins here */
	bool ends;	 /* whether the line ends here */
	/* The character before, the window's, and a terminating 0. */
	pg_wchar characters[1 + WINDOW + 1];
} Window;

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

/* The engine keeps it until it has compiled enough others. */
static regex_t *
compile(text *pattern)
{
	return RE_compile_and_cache(pattern, PATTERN_FLAGS, DEFAULT_COLLATION_OID);
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

/* Read a part of the text; `before` is the character before it, or 0. */
static void
read_window(Window *window, const char *at, int bytes, pg_wchar before)
{
	window->at = at;
	window->from = 0;
	window->begins = before == 0;
	window->ends = true;
	window->characters[0] = before;
	window->length = pg_mb2wchar_with_len(at, window->characters + 1, bytes);
}

/* The bytes of the next WINDOW characters; what is left, if that is less. */
static int
window_bytes(const char *at, const char *end)
{
	int length = end - at;

	return length <= WINDOW ? length : pg_mbcharcliplen(at, length, WINDOW);
}

/* Where the text stands at a character of the window. */
static const char *
place_in_window(const Window *window, const char *end, int character)
{
	return slm_skip_characters(window->at, end, character);
}

/* The next match in the window, from `from` on. */
static bool
search_window(regex_t *regex, Window *window, regmatch_t *match)
{
	int before = window->begins ? 0 : 1;
	int result = pg_regexec(regex, window->characters + 1 - before,
							window->length + before, window->from + before,
							NULL, 1, match, window->ends ? 0 : REG_NOTEOL);

	CHECK_FOR_INTERRUPTS();
	if (result == REG_NOMATCH)
		return false;
	if (result != REG_OKAY)
	{
		char message[100];

		pg_regerror(result, regex, message, sizeof(message));
		ereport(ERROR, (errcode(ERRCODE_INVALID_REGULAR_EXPRESSION),
						errmsg("redaction pattern failed: %s", message)));
	}
	match->rm_so -= before;
	match->rm_eo -= before;
	return true;
}

/*
 * Can the pattern match in a line of the text?  Most texts have many lines and
 * no match: several lines are looked at together, where ^ and $ match at the
 * ends of each, so that nothing is missed.
 */
static bool
may_match(text *given, regex_t *regex, Window *window)
{
	const char *at = VARDATA_ANY(given);
	const char *end = at + VARSIZE_ANY_EXHDR(given);
	pg_wchar before = 0;

	while (at < end)
	{
		int bytes = window_bytes(at, end);
		const char *next = at + bytes;
		regmatch_t match;

		/* Whole lines, if there is one. */
		while (next > at && next < end && next[-1] != '\n')
			next--;
		if (next > at)
			bytes = next - at;
		if (window->at != at || window->bytes != bytes)
		{
			read_window(window, at, bytes, before);
			window->bytes = bytes;
			window->ends = next > at;
		}
		if (search_window(regex, window, &match))
			return true;
		if (next > at)
			before = '\n';
		else
		{
			int skipped = window->length - SIGHT;

			before = window->characters[skipped];
			next = place_in_window(window, end, skipped);
		}
		at = next;
	}
	return false;
}

/* Replacing the matches of one pattern in a text. */
typedef struct Replacing
{
	const Pattern *pattern;
	regex_t *regex;
	bool whole_lines;
	const char *copied;
	StringInfoData into; /* without data until something matches */
	ArrayBuildState **kinds;
} Replacing;

static void
replace(Replacing *r, const char *at, const char *end)
{
	if (r->into.data == NULL)
		initStringInfo(&r->into);
	appendBinaryStringInfo(&r->into, r->copied, at - r->copied);
	appendStringInfo(&r->into, "[%s]", r->pattern->name);
	slm_add_kind(r->kinds, r->pattern->name);
	r->copied = end;
}

static void
replace_in_line(Replacing *r, Window *window, const char *line,
				const char *line_end)
{
	const char *at = line;
	pg_wchar before = 0;

	while (at < line_end)
	{
		int bytes = window_bytes(at, line_end);
		regmatch_t match;

		read_window(window, at, bytes, before);
		window->ends = at + bytes == line_end;
		while (window->from < window->length &&
			   search_window(r->regex, window, &match))
		{
			/* The next window sees more of it. */
			if (!window->ends && match.rm_so >= window->length - SIGHT)
				break;
			if (r->whole_lines)
			{
				replace(r, line, line_end);
				return;
			}
			replace(r, place_in_window(window, line_end, match.rm_so),
					place_in_window(window, line_end, match.rm_eo));
			window->from = match.rm_eo;
			/* What follows stands next to the placeholder. */
			window->characters[window->from] = ']';
			window->begins = false;
		}
		if (window->ends)
			break;
		window->from = Max(window->from, window->length - SIGHT);
		before = window->characters[window->from];
		at = place_in_window(window, line_end, window->from);
	}
}

static text *
replace_pattern(text *given, Replacing *r, Window *window)
{
	const char *at = VARDATA_ANY(given);
	const char *end = at + VARSIZE_ANY_EXHDR(given);
	text *result;

	r->copied = at;
	while (at < end)
	{
		const char *line_end = memchr(at, '\n', end - at);

		if (line_end == NULL)
			line_end = end;
		replace_in_line(r, window, at, line_end);
		at = line_end + 1;
	}
	window->at = NULL;
	if (r->into.data == NULL)
		return given;
	appendBinaryStringInfo(&r->into, r->copied, end - r->copied);
	result = cstring_to_text_with_len(r->into.data, r->into.len);
	pfree(r->into.data);
	return result;
}

/*
 * The text with every match of a pattern replaced, pattern by pattern in the
 * order of their names, or every line that has one; the very pointer given if
 * nothing matches.  *kinds, if wanted, gets a pattern's name for each match.
 */
text *
slm_replace_patterns(text *given, bool whole_lines, ArrayBuildState **kinds)
{
	text *now = given;
	Window *window;

	load_patterns();
	if (cache.count == 0)
		return given;
	window = palloc(sizeof(Window));
	window->at = NULL;
	for (int i = 0; i < cache.count; i++)
	{
		Replacing replacing = {.pattern = &cache.patterns[i],
							   .regex = compile(cache.patterns[i].pattern),
							   .whole_lines = whole_lines,
							   .kinds = kinds};
		text *before = now;

		if (!may_match(before, replacing.regex, window))
			continue;
		now = replace_pattern(before, &replacing, window);
		if (before != now && before != given)
			pfree(before);
	}
	pfree(window);
	return now;
}

/* Are there any?  As of the last slm_replace_patterns(). */
bool
slm_has_patterns(void)
{
	return cache.count > 0;
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
								  strlen(value), PATTERN_FLAGS,
								  DEFAULT_COLLATION_OID, 0, NULL);
}

/* Redacting a text twice must not change it again. */
static void
check_placeholders(const char *name, text *pattern)
{
	static const char *hint =
		"Let the pattern name a character that no placeholder has, such as a "
		"digit or a small letter.";
	const char *own = psprintf("[%s]", name);

	for (int i = 0; i < KINDS; i++)
	{
		const char *placeholder = psprintf("[%s]", slm_kind_names[i]);

		if (matches(pattern, placeholder))
			refuse_pattern(name,
						   psprintf("It matches the placeholder %s.",
									placeholder),
						   hint);
	}
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
	info = compile(pattern)->re_info;
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
	return PointerGetDatum(row);
}
