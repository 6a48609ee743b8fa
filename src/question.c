/*
 * question.c
 *		The normalised form of a question, and its hash; what is blank, and
 *		what a spreadsheet would take for a formula.
 *
 * Two questions are the same if they differ only in case, white space,
 * trailing punctuation or Unicode form.  The form is without zero-width
 * characters, NFKC, lower-cased by the Unicode root collation, with white
 * space collapsed and without trailing punctuation; a text that is nothing but
 * punctuation keeps it.  ASCII texts, the usual case, take a path of their own
 * that gives the same result.
 *
 * Only the first MAX_CHARACTERS are normalised, and the rest is appended as it
 * is: normalising costs up to 12 us and 250 bytes a character, takes no
 * interrupts, and happens on every write.
 *
 * question_hash is stored, so both functions must stay immutable: they do not
 * depend on the database's collation where the encoding is UTF-8.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/namespace.h"
#include "common/hashfn.h"
#include "common/unicode_norm.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "nodes/pg_list.h"
#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/formatting.h"

#include "compat.h"
#include "question.h"

PG_FUNCTION_INFO_V1(slm_normalize_question);
PG_FUNCTION_INFO_V1(slm_question_hash);
PG_FUNCTION_INFO_V1(slm_is_blank);
PG_FUNCTION_INFO_V1(slm_plain_cell);

#define MAX_CHARACTERS 8192
#define COMBINING_JOINER 0x034f
#define MAX_MARKS 128

/* The Unicode root collation of ICU; the database's own without ICU. */
static Oid
root_collation(void)
{
	static Oid collation = InvalidOid;

	if (!OidIsValid(collation))
	{
		collation = get_collation_oid(list_make2(makeString("pg_catalog"),
												 makeString("und-x-icu")),
									  true);
		if (!OidIsValid(collation))
			collation = DEFAULT_COLLATION_OID;
	}
	return collation;
}

static bool
is_space(pg_wchar c)
{
	return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 ||
		   c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
		   c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

/* Characters without a width: they are seen by nobody who types them. */
static bool
is_invisible(pg_wchar c)
{
	return c == 0xad || c == COMBINING_JOINER || (c >= 0x200b && c <= 0x200f) ||
		   (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x2064) ||
		   c == 0xfeff;
}

/* What ends a sentence in the scripts of the world (after NFKC). */
static bool
is_closing(pg_wchar c)
{
	switch (c)
	{
		case '.':
		case '?':
		case '!':
		case ',':
		case ';':
		case ':':
		case 0x037e: /* Greek question mark */
		case 0x0589: /* Armenian full stop */
		case 0x060c: /* Arabic comma, semicolon, question mark, full stop */
		case 0x061b:
		case 0x061f:
		case 0x06d4:
		case 0x0964: /* Devanagari danda, double danda */
		case 0x0965:
		case 0x203d: /* interrobang */
		case 0x3001: /* ideographic comma, full stop */
		case 0x3002:
			return true;
		default:
			return false;
	}
}

/*
 * Collapse white space and trim: `length` characters in place.  Returns the
 * new length.  If more text follows, its end is not trimmed.
 */
static int
squeeze(pg_wchar *text, int length, bool more)
{
	int out = 0;
	int trimmed;

	for (int i = 0; i < length; i++)
	{
		if (!is_space(text[i]))
			text[out++] = text[i];
		else if (out > 0 && text[out - 1] != ' ')
			text[out++] = ' ';
	}
	if (more)
		return out;
	while (out > 0 && text[out - 1] == ' ')
		out--;

	trimmed = out;
	while (trimmed > 0 &&
		   (is_closing(text[trimmed - 1]) || text[trimmed - 1] == ' '))
		trimmed--;
	return trimmed > 0 ? trimmed : out;
}

static char *
normalize_ascii(const char *text, int length, bool more, int *out_length)
{
	char *out = palloc(length + 1);
	int n = 0;
	int trimmed;

	for (int i = 0; i < length; i++)
	{
		unsigned char c = text[i];

		if (IS_HIGHBIT_SET(c) || !is_space(c))
			out[n++] = (c >= 'A' && c <= 'Z') ? c + ('a' - 'A') : c;
		else if (n > 0 && out[n - 1] != ' ')
			out[n++] = ' ';
	}
	*out_length = n;
	if (more)
		return out;
	while (n > 0 && out[n - 1] == ' ')
		n--;
	trimmed = n;
	while (trimmed > 0 &&
		   (is_closing(out[trimmed - 1]) || out[trimmed - 1] == ' '))
		trimmed--;
	*out_length = trimmed > 0 ? trimmed : n;
	return out;
}

/* A letter that is no combining mark; not all of them, but the usual ones. */
static bool
is_letter(pg_wchar c)
{
	return c < 0x300 || (c >= 0x370 && c <= 0x482) ||
		   (c >= 0x48a && c <= 0x52f) || (c >= 0x621 && c <= 0x64a) ||
		   (c >= 0x1100 && c <= 0x11ff) || (c >= 0x3041 && c <= 0x3096) ||
		   (c >= 0x30a1 && c <= 0x30fa) || (c >= 0x4e00 && c <= 0x9fff) ||
		   (c >= 0xac00 && c <= 0xd7a3);
}

/*
 * UTF-8 to NFKC code points, without what is invisible; palloc'd.
 *
 * unicode_normalize() sorts the marks of a character in quadratic time and
 * takes no interrupts, so a megabyte of them would hold the backend for hours.
 * A joiner, which ends a sequence of marks, stands between every MAX_MARKS
 * characters that may be marks while it works (as in UAX #15, Stream-Safe Text
 * Format); no orthography comes near that many.
 */
static pg_wchar *
compose(const char *utf8, int length, int *nchars)
{
	pg_wchar *text = palloc(sizeof(pg_wchar) * (length + 1));
	pg_wchar *parted =
		palloc(sizeof(pg_wchar) * (length + length / MAX_MARKS + 1));
	pg_wchar *composed;
	int n = pg_mb2wchar_with_len(utf8, text, length);
	int kept = 0;
	int marks = 0;

	for (int i = 0; i < n; i++)
	{
		if (is_invisible(text[i]))
			continue;
		marks = is_letter(text[i]) ? 0 : marks + 1;
		if (marks > 0 && marks % MAX_MARKS == 0)
			parted[kept++] = COMBINING_JOINER;
		parted[kept++] = text[i];
	}
	parted[kept] = 0;
	pfree(text);
	composed = unicode_normalize(UNICODE_NFKC, parted);
	pfree(parted);
	*nchars = 0;
	for (int i = 0; composed[i] != 0; i++)
		if (composed[i] != COMBINING_JOINER)
			composed[(*nchars)++] = composed[i];
	composed[*nchars] = 0;
	return composed;
}

static char *
to_utf8(const pg_wchar *text, int nchars, int *length)
{
	char *utf8 = palloc(nchars * MAX_MULTIBYTE_CHAR_LEN + 1);

	*length = pg_wchar2mb_with_len(text, utf8, nchars);
	return utf8;
}

/*
 * Lower case can leave NFKC, so the text is composed before and after it.
 */
static char *
normalize_utf8(const char *text, int length, bool more, int *out_length)
{
	pg_wchar *chars;
	char *utf8;
	char *lower;
	int nchars;

	chars = compose(text, length, &nchars);
	utf8 = to_utf8(chars, nchars, &length);
	pfree(chars);
	lower = str_tolower(utf8, length, root_collation());
	pfree(utf8);
	chars = compose(lower, strlen(lower), &nchars);
	pfree(lower);
	nchars = squeeze(chars, nchars, more);
	utf8 = to_utf8(chars, nchars, out_length);
	pfree(chars);
	return utf8;
}

/* Normalise `length` bytes, of which there are at most MAX_CHARACTERS. */
static char *
normalize_prefix(const char *text, int length, bool more, int *out_length)
{
	bool ascii = true;
	char *lower;

	for (int i = 0; i < length && ascii; i++)
		ascii = !IS_HIGHBIT_SET(text[i]);
	if (ascii)
		return normalize_ascii(text, length, more, out_length);
	if (GetDatabaseEncoding() == PG_UTF8)
		return normalize_utf8(text, length, more, out_length);

	/* Another encoding has no NFKC; its own lower case is what there is. */
	lower = str_tolower(text, length, DEFAULT_COLLATION_OID);
	return normalize_ascii(lower, strlen(lower), more, out_length);
}

/*
 * The normalised form of `length` bytes, palloc'd; not null-terminated.
 */
static char *
normalize(const char *text, int length, int *out_length)
{
	int prefix = length <= MAX_CHARACTERS
					 ? length
					 : pg_mbcharcliplen(text, length, MAX_CHARACTERS);
	char *normal = normalize_prefix(text, prefix, prefix < length, out_length);

	if (prefix < length)
	{
		normal = repalloc(normal, (Size) *out_length + length - prefix);
		memcpy(normal + *out_length, text + prefix, length - prefix);
		*out_length += length - prefix;
	}
	return normal;
}

Datum
slm_normalize_question(PG_FUNCTION_ARGS)
{
	text *question = PG_GETARG_TEXT_PP(0);
	int length;
	char *normal =
		normalize(VARDATA_ANY(question), VARSIZE_ANY_EXHDR(question), &length);

	PG_RETURN_TEXT_P(cstring_to_text_with_len(normal, length));
}

Datum
slm_question_hash(PG_FUNCTION_ARGS)
{
	text *question = PG_GETARG_TEXT_PP(0);
	int length;
	char *normal =
		normalize(VARDATA_ANY(question), VARSIZE_ANY_EXHDR(question), &length);
	uint64 hash = hash_bytes_extended((unsigned char *) normal, length, 0);

	pfree(normal);
	PG_FREE_IF_COPY(question, 0);
	PG_RETURN_INT64((int64) hash);
}

/* Is there nothing in this text that a reader could see? */
bool
slm_is_blank_text(const text *value)
{
	const char *at = VARDATA_ANY(value);
	const char *end = at + VARSIZE_ANY_EXHDR(value);

	while (at < end)
	{
		int length = pg_mblen(at);
		pg_wchar c = (unsigned char) *at;

		if (IS_HIGHBIT_SET(*at))
		{
			/* Only Unicode's code points are known. */
			if (GetDatabaseEncoding() != PG_UTF8)
				return false;
			c = utf8_to_unicode((const unsigned char *) at);
		}
		if (!is_space(c) && !is_invisible(c))
			return false;
		at += length;
	}
	return true;
}

/* is_blank(text) */
Datum
slm_is_blank(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(slm_is_blank_text(PG_GETARG_TEXT_PP(0)));
}

/*
 * plain_cell(text): with an apostrophe before it if a spreadsheet could take
 * it for a formula.
 */
Datum
slm_plain_cell(PG_FUNCTION_ARGS)
{
	text *value = PG_GETARG_TEXT_PP(0);
	const char *data = VARDATA_ANY(value);
	int length = VARSIZE_ANY_EXHDR(value);
	bool formula = length > 0 && strchr("=+-@\t\r\n", data[0]) != NULL;
	text *plain;

	/* The full-width forms of = + - @ */
	if (length >= 3 && GetDatabaseEncoding() == PG_UTF8 &&
		(unsigned char) data[0] == 0xef)
		switch (utf8_to_unicode((const unsigned char *) data))
		{
			case 0xff1d:
			case 0xff0b:
			case 0xff0d:
			case 0xff20:
				formula = true;
				break;
			default:
				break;
		}
	if (!formula)
		PG_RETURN_TEXT_P(value);
	plain = palloc(VARHDRSZ + length + 1);
	SET_VARSIZE(plain, VARHDRSZ + length + 1);
	*VARDATA(plain) = '\'';
	memcpy(VARDATA(plain) + 1, data, length);
	PG_RETURN_TEXT_P(plain);
}
