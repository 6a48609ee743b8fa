/*
 * redaction_codes.c
 *		A text as redaction sees it: one byte for each character.
 *
 * Redaction looks for ASCII forms.  Here, characters that readers take for
 * them become ASCII: the decimal digits of other scripts and of full width,
 * full-width and small brackets, dots, slashes, plus and at signs, and every
 * space.  What else there is becomes one of a few codes: no matcher needs to
 * know more.
 *
 * Outside UTF-8 only ASCII has a meaning: bytes from 0x80 on are letters where
 * they can be, and never join with ASCII.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "redaction_codes.h"

typedef struct Range
{
	pg_wchar first;
	pg_wchar last;
	unsigned char code; /* '0': digits, from 0 to 9 */
} Range;

/* In order; the scripts of India, where a formula does, are left out. */
static const Range ranges[] = {{0xa0, 0xa0, ' '},
							   {0xb7, 0xb7, CODE_MIDDLE_DOT},
							   {0xc0, 0xd6, CODE_LETTER},
							   {0xd8, 0xf6, CODE_LETTER},
							   {0xf8, 0x2af, CODE_LETTER},
							   {0x300, 0x37d, CODE_LETTER},
							   {0x37f, 0x386, CODE_LETTER},
							   {0x388, 0x52f, CODE_LETTER},
							   {0x531, 0x556, CODE_LETTER},
							   {0x561, 0x587, CODE_LETTER},
							   {0x5d0, 0x5f2, CODE_FOREIGN},
							   {0x620, 0x65f, CODE_FOREIGN},
							   {0x660, 0x669, '0'},
							   {0x66e, 0x6d3, CODE_FOREIGN},
							   {0x6d5, 0x6dc, CODE_FOREIGN},
							   {0x6f0, 0x6f9, '0'},
							   {0x6fa, 0x6fc, CODE_FOREIGN},
							   {0x710, 0x7bf, CODE_FOREIGN},
							   {0x7c0, 0x7c9, '0'},
							   {0x7ca, 0x8ff, CODE_FOREIGN},
							   {0xe01, 0xe3a, CODE_FOREIGN},
							   {0xe40, 0xe4e, CODE_FOREIGN},
							   {0xe50, 0xe59, '0'},
							   {0xe81, 0xecd, CODE_FOREIGN},
							   {0xed0, 0xed9, '0'},
							   {0xf20, 0xf29, '0'},
							   {0xf40, 0xfbc, CODE_FOREIGN},
							   {0x1000, 0x103f, CODE_FOREIGN},
							   {0x1040, 0x1049, '0'},
							   {0x1050, 0x108f, CODE_FOREIGN},
							   {0x1090, 0x1099, '0'},
							   {0x10a0, 0x10fa, CODE_LETTER},
							   {0x1100, 0x135f, CODE_FOREIGN},
							   {0x1780, 0x17d3, CODE_FOREIGN},
							   {0x17e0, 0x17e9, '0'},
							   {0x1810, 0x1819, '0'},
							   {0x1820, 0x18aa, CODE_FOREIGN},
							   {0x1e00, 0x1fbc, CODE_LETTER},
							   {0x2000, 0x200a, ' '},
							   {0x2010, 0x2015, CODE_DASH},
							   {0x2022, 0x2022, CODE_MIDDLE_DOT},
							   {0x2024, 0x2024, '.'},
							   {0x2027, 0x2027, CODE_MIDDLE_DOT},
							   {0x202f, 0x202f, ' '},
							   {0x205f, 0x205f, ' '},
							   {0x2212, 0x2212, CODE_DASH},
							   {0x22c5, 0x22c5, CODE_MIDDLE_DOT},
							   {0x3000, 0x3000, ' '},
							   {0x3002, 0x3002, CODE_STOP},
							   {0x3005, 0x3007, CODE_FOREIGN},
							   {0x3041, 0x3096, CODE_FOREIGN},
							   {0x30a1, 0x30fa, CODE_FOREIGN},
							   {0x30fc, 0x31ff, CODE_FOREIGN},
							   {0x3400, 0x4dbf, CODE_FOREIGN},
							   {0x4e00, 0xa48c, CODE_FOREIGN},
							   {0xac00, 0xd7a3, CODE_FOREIGN},
							   {0xf900, 0xfaff, CODE_FOREIGN},
							   {0xfe52, 0xfe52, '.'},
							   {0xfe58, 0xfe58, CODE_DASH},
							   {0xfe59, 0xfe59, '('},
							   {0xfe5a, 0xfe5a, ')'},
							   {0xfe62, 0xfe62, '+'},
							   {0xfe63, 0xfe63, CODE_DASH},
							   {0xfe6b, 0xfe6b, '@'},
							   {0xff08, 0xff08, '('},
							   {0xff09, 0xff09, ')'},
							   {0xff0b, 0xff0b, '+'},
							   {0xff0d, 0xff0d, CODE_DASH},
							   {0xff0e, 0xff0e, '.'},
							   {0xff0f, 0xff0f, '/'},
							   {0xff10, 0xff19, '0'},
							   {0xff20, 0xff20, '@'},
							   {0xff21, 0xff3a, CODE_LETTER},
							   {0xff41, 0xff5a, CODE_LETTER},
							   {0xff61, 0xff61, CODE_STOP},
							   {0xff66, 0xff9f, CODE_FOREIGN},
							   {0x20000, 0x3ffff, CODE_FOREIGN}};

static unsigned char
unicode_code(pg_wchar c)
{
	int low = 0;
	int high = lengthof(ranges);

	/* The most frequent ones without a search. */
	if (c >= 0x388 && c <= 0x52f)
		return CODE_LETTER;
	if (c >= 0x4e00 && c <= 0xa48c)
		return CODE_FOREIGN;

	/* The blocks of India's scripts have 128 characters and one order. */
	if (c >= 0x900 && c <= 0xdff)
	{
		int place = c & 0x7f;

		if (place >= 0x66 && place <= 0x6f)
			return '0' + place - 0x66;
		return c == 0x964 || c == 0x965 || c == 0x970 ? CODE_OTHER
													  : CODE_FOREIGN;
	}
	while (low < high)
	{
		int middle = (low + high) / 2;

		if (c > ranges[middle].last)
			low = middle + 1;
		else if (c < ranges[middle].first)
			high = middle;
		else if (ranges[middle].code == '0')
			return '0' + c - ranges[middle].first;
		else
			return ranges[middle].code;
	}
	return CODE_OTHER;
}

static inline int
character_length(const char *at, const char *end, bool utf8)
{
	unsigned char first = *at;
	int length;

	if (!IS_HIGHBIT_SET(first))
		return 1;
	if (utf8)
		length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	else
		length = pg_mblen(at);
	return Min(length, end - at);
}

/* Where the text goes on after so many characters. */
const char *
slm_skip_characters(const char *at, const char *end, int count)
{
	bool utf8 = GetDatabaseEncoding() == PG_UTF8;

	while (count-- > 0)
		at += character_length(at, end, utf8);
	return at;
}

/* The code of a character that is not ASCII, outside UTF-8. */
static unsigned char
other_code(const char *at, int length)
{
	if (length > 1)
		return CODE_FOREIGN;
	/* ISO 8859, Windows and KOI8 have their letters from 0xc0 on. */
	return GetDatabaseEncoding() == PG_SQL_ASCII || (unsigned char) *at >= 0xc0
			   ? CODE_LETTER
			   : CODE_OTHER;
}

/*
 * The codes of all characters, *count of them: the text itself if it is ASCII,
 * palloc'd if not.
 */
const unsigned char *
slm_redaction_codes(const char *given, int length, int *count)
{
	const char *end = given + length;
	const char *at = given;
	bool utf8 = GetDatabaseEncoding() == PG_UTF8;
	unsigned char *codes;
	unsigned char *next;

	while (at < end && !IS_HIGHBIT_SET(*at))
		at++;
	*count = length;
	if (at == end)
		return (const unsigned char *) given;
	codes = palloc(length);
	memcpy(codes, given, at - given);
	next = codes + (at - given);
	while (at < end)
	{
		int n = character_length(at, end, utf8);

		if (((next - codes) & 0xffff) == 0)
			CHECK_FOR_INTERRUPTS();
		if (!IS_HIGHBIT_SET(*at))
			*next++ = *at;
		else if (utf8)
			*next++ = unicode_code(utf8_to_unicode((const unsigned char *) at));
		else
			*next++ = other_code(at, n);
		at += n;
	}
	*count = next - codes;
	return codes;
}
