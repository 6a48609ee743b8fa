/*
 * redact.c
 *		Replaces personal data and secrets in texts by typed placeholders.
 *
 * The DBA's own patterns go first (redaction_patterns.c), then one pass looks
 * for the built-in kinds (redaction_kinds.c) in the text's characters
 * (redaction_codes.c).  Time is linear in the text's length.
 *
 * redact(redact(x)) = redact(x), so a restored or an updated row stays as it is.
 * Replacing a match changes what its neighbours stand next to:
 *
 * - on its right, the pass goes on as if it came from the placeholder;
 * - on its left, a number that the match had prevented, by following it, may
 *   match now: it is looked for before the match is replaced (next_match());
 * - a pattern of the DBA's may match now, anywhere: patterns and kinds take
 *   turns until nothing changes.  Should that need more than MAX_ROUNDS, a line
 *   that still changes is replaced as a whole.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "compat.h"
#include "redact.h"
#include "redaction_codes.h"
#include "redaction_kinds.h"
#include "redaction_patterns.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(slm_redact);
PG_FUNCTION_INFO_V1(slm_redaction_kinds);
PG_FUNCTION_INFO_V1(slm_redaction_work);

#define MAX_ROUNDS 4

typedef struct Match
{
	int at;
	int end;
	Kind kind;
} Match;

typedef struct Scan
{
	const unsigned char *codes;
	int length;
	int clean; /* the end of the last match */
	const unsigned char *no_email;
	int64 work;
	Match *found; /* found but not returned yet, from right to left */
	int nfound;
	Size room;
} Scan;

/* Does a kind match at a place, if the text ends at `end`? */
static bool
match_at(Scan *scan, int at, int end, Match *match)
{
	Span span = {.at = scan->codes + at,
				 .end = scan->codes + end,
				 .no_email = scan->no_email};
	Kind kind;
	int length;

	if (at > 0)
		span.before = at == scan->clean ? ']' : scan->codes[at - 1];
	/* A letter of another script begins something of its own. */
	if ((slm_code_classes[span.before] & CLASS_JOINS) &&
		*span.at != CODE_FOREIGN)
		return false;
	length = slm_match_kind(&span, &kind);
	scan->work += 1 + span.work;
	scan->no_email = span.no_email;
	if (length == 0)
		return false;
	*match = (Match){at, at + length, kind};
	return true;
}

/* The first match from a place on, if the text ends at `end`. */
static bool
find(Scan *scan, int at, int end, Match *match)
{
	for (; at < end; at++)
	{
		if ((at & 0xffff) == 0)
			CHECK_FOR_INTERRUPTS();
		if ((slm_code_classes[scan->codes[at]] & CLASS_STARTS) != 0 &&
			match_at(scan, at, end, match))
			return true;
	}
	return false;
}

/*
 * The next match to replace.  Before one is returned, numbers on its left are
 * looked for that match if the text ends where it starts, as it will once there
 * is a placeholder; and on the left of these, and so on.
 */
static bool
next_match(Scan *scan, Match *match)
{
	for (;;)
	{
		int from = scan->clean;
		int end = scan->length;

		CHECK_FOR_INTERRUPTS();
		if (scan->nfound > 0)
		{
			end = scan->found[scan->nfound - 1].at;
			from = Max(from, end - MAX_NUMBER_CODES);
		}
		if (find(scan, from, end, match))
		{
			if (scan->nfound == (int) scan->room)
			{
				scan->room = Max(16, scan->room * 2);
				scan->found = scan->found == NULL
								  ? palloc(scan->room * sizeof(Match))
								  : repalloc_huge(scan->found,
												  scan->room * sizeof(Match));
			}
			scan->found[scan->nfound++] = *match;
		}
		else if (scan->nfound > 0)
		{
			*match = scan->found[--scan->nfound];
			scan->clean = match->end;
			return true;
		}
		else
			return false;
	}
}

void
slm_add_kind(ArrayBuildState **found, const char *name)
{
	if (found != NULL)
		*found = accumArrayResult(*found, CStringGetTextDatum(name), false,
								  TEXTOID, CurrentMemoryContext);
}

/*
 * The text with placeholders for the built-in kinds; the very pointer given if
 * nothing matches.
 */
static text *
replace_kinds(text *given, ArrayBuildState **found)
{
	const char *copied = VARDATA_ANY(given);
	const char *end = copied + VARSIZE_ANY_EXHDR(given);
	int done = 0; /* codes up to `copied` */
	Scan scan = {0};
	Match match;
	StringInfoData into = {0};
	text *result = given;

	scan.codes = slm_redaction_codes(copied, end - copied, &scan.length);
	while (next_match(&scan, &match))
	{
		const char *at = slm_skip_characters(copied, end, match.at - done);

		if (into.data == NULL)
			initStringInfo(&into);
		appendBinaryStringInfo(&into, copied, at - copied);
		appendStringInfo(&into, "[%s]", slm_kind_names[match.kind]);
		slm_add_kind(found, slm_kind_names[match.kind]);
		copied = slm_skip_characters(at, end, match.end - match.at);
		done = match.end;
	}
	if (into.data != NULL)
	{
		appendBinaryStringInfo(&into, copied, end - copied);
		result = cstring_to_text_with_len(into.data, into.len);
		pfree(into.data);
	}
	if (scan.codes != (const unsigned char *) VARDATA_ANY(given))
		pfree(unconstify(unsigned char *, scan.codes));
	if (scan.found != NULL)
		pfree(scan.found);
	return result;
}

/*
 * The text with placeholders; the very pointer given if nothing matches.
 * *found, if wanted, gets the kind of each match.
 */
static text *
redact(text *given, ArrayBuildState **found)
{
	text *now = given;

	for (int round = 0; round <= MAX_ROUNDS; round++)
	{
		text *before = now;
		text *replaced = slm_replace_patterns(now, round == MAX_ROUNDS, found);

		if (round > 0 && replaced == before)
			break;
		now = replace_kinds(replaced, found);
		if (replaced != before && replaced != now)
			pfree(replaced);
		if (now == before || !slm_has_patterns())
			break;
		if (before != given)
			pfree(before);
	}
	return now;
}

/* Redact a value that is about to be stored, if the setting says so. */
void
slm_apply_redaction(Datum *value, bool isnull)
{
	text *given;
	text *redacted;

	if (isnull || !slm_settings()->redact_at_write)
		return;
	given = DatumGetTextPP(*value);
	redacted = redact(given, NULL);
	if (redacted != given)
		*value = PointerGetDatum(redacted);
}

/* redact(value) returns the text with placeholders. */
Datum
slm_redact(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(redact(PG_GETARG_TEXT_PP(0), NULL));
}

/* redaction_kinds(value) returns the kind of each match, names as an array. */
Datum
slm_redaction_kinds(PG_FUNCTION_ARGS)
{
	ArrayBuildState *found =
		initArrayResult(TEXTOID, CurrentMemoryContext, false);

	(void) redact(PG_GETARG_TEXT_PP(0), &found);
	PG_RETURN_DATUM(makeArrayResult(found, CurrentMemoryContext));
}

/*
 * redaction_work(value): the places tried and the characters run over while the
 * built-in kinds are looked for.  No part of the extension: its test makes it,
 * to see that the time is linear without looking at a clock.
 */
Datum
slm_redaction_work(PG_FUNCTION_ARGS)
{
	text *value = PG_GETARG_TEXT_PP(0);
	Scan scan = {0};
	Match match;

	scan.codes = slm_redaction_codes(VARDATA_ANY(value),
									 VARSIZE_ANY_EXHDR(value), &scan.length);
	while (next_match(&scan, &match))
		;
	PG_RETURN_INT64(scan.work);
}
