/*
 * redact.c
 *		Replaces personal data and secrets in texts by typed placeholders.
 *
 * One pass over the bytes.  A matcher is tried where a word starts; it looks
 * at a bounded number of bytes, or at a run of its own characters that no other
 * start shares, so that the time is linear in the text's length whatever the
 * text is.  All bytes that matter are ASCII, which no server encoding uses
 * inside a longer character; other bytes count as letters.
 *
 * The DBA's own patterns go first (redaction_patterns.c).
 *
 * redact(redact(x)) = redact(x), so a restored or an updated row stays as it is.
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <ctype.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "compat.h"
#include "redact.h"
#include "redaction_patterns.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(slm_redact);
PG_FUNCTION_INFO_V1(slm_redaction_kinds);

typedef enum Kind
{
	KIND_KEY,
	KIND_EMAIL,
	KIND_IBAN,
	KIND_IP,
	KIND_CARD,
	KIND_PHONE,
	KINDS
} Kind;

typedef struct Span
{
	const unsigned char *at; /* where the match would start */
	const unsigned char *end;
	int before; /* the byte before, or 0 */
} Span;

/* The number of bytes that match at the span's start, or 0. */
typedef int (*Matcher)(const Span *span);

static inline int
byte_at(const Span *span, int i)
{
	return span->at + i < span->end ? span->at[i] : 0;
}

static inline bool
is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static inline bool
is_upper(int c)
{
	return c >= 'A' && c <= 'Z';
}

static inline bool
is_alnum(int c)
{
	return is_digit(c) || is_upper(c) || (c >= 'a' && c <= 'z');
}

static inline bool
is_word(int c)
{
	return is_alnum(c) || c == '_' || c >= 0x80;
}

static inline bool
is_one_of(int c, const char *set)
{
	return c != 0 && strchr(set, c) != NULL;
}

/* The length of the run of letters, digits and bytes of the set at i. */
static int
run(const Span *span, int i, const char *set)
{
	int start = i;

	while (is_alnum(byte_at(span, i)) || is_one_of(byte_at(span, i), set))
		i++;
	return i - start;
}

static bool
starts_with(const Span *span, const char *prefix)
{
	for (int i = 0; prefix[i] != '\0'; i++)
		if (byte_at(span, i) != (unsigned char) prefix[i])
			return false;
	return true;
}

static int
match_jwt(const Span *span)
{
	int length = 0;

	if (!starts_with(span, "eyJ"))
		return 0;
	for (int part = 0; part < 3; part++)
	{
		int n;

		if (part > 0 && byte_at(span, length++) != '.')
			return 0;
		n = run(span, length, "_-");
		if (n < 4)
			return 0;
		length += n;
	}
	return length;
}

static int
match_bearer(const Span *span)
{
	static const char bearer[] = "bearer ";
	int n;

	for (int i = 0; bearer[i] != '\0'; i++)
		if (tolower(byte_at(span, i)) != bearer[i])
			return 0;
	n = run(span, 7, "._~+/=-");
	return n >= 16 ? 7 + n : 0;
}

static int
match_key(const Span *span)
{
	static const struct
	{
		const char *prefix;
		int least; /* bytes after the prefix */
	} keys[] = {{"sk-", 16},		 {"sk_live_", 16}, {"sk_test_", 16},
				{"rk_live_", 16},	 {"ghp_", 20},	   {"gho_", 20},
				{"ghu_", 20},		 {"ghs_", 20},	   {"ghr_", 20},
				{"github_pat_", 20}, {"glpat-", 16},   {"xoxb-", 16},
				{"xoxp-", 16},		 {"xoxa-", 16},	   {"hf_", 20},
				{"npm_", 20},		 {"AIza", 30},	   {"AKIA", 16},
				{"ASIA", 16}};
	int length;

	if (span->before == '-')
		return 0;
	for (int i = 0; i < (int) lengthof(keys); i++)
		if (starts_with(span, keys[i].prefix))
		{
			int prefix = strlen(keys[i].prefix);

			length = run(span, prefix, "_-");
			return length >= keys[i].least ? prefix + length : 0;
		}
	length = match_jwt(span);
	return length > 0 ? length : match_bearer(span);
}

static bool
is_local_part(int c)
{
	return is_word(c) || is_one_of(c, ".%+-");
}

static int
match_email(const Span *span)
{
	int length = 0;
	int domain;
	int dot = 0;
	int letters = 0;
	int last = 0;

	if (is_local_part(span->before))
		return 0;
	while (is_local_part(byte_at(span, length)))
		length++;
	if (length == 0 || byte_at(span, length) != '@')
		return 0;
	domain = ++length;
	/* The match ends after the last label that can be a top-level domain. */
	for (;; length++)
	{
		int c = byte_at(span, length);

		if (c == '.' || c == '-')
		{
			if (length == domain || is_one_of(byte_at(span, length - 1), ".-"))
				break;
			if (c == '.')
			{
				dot = length;
				letters = 0;
			}
		}
		else if (is_alnum(c) || c >= 0x80)
		{
			if (dot > 0 && !is_digit(c) && ++letters >= 2)
				last = length + 1;
			else if (last > dot && dot > 0)
				last = length + 1;
		}
		else
			break;
	}
	return last;
}

/* Two letters, two digits and 11 to 30 more, in groups or not; mod 97 is 1. */
static int
match_iban(const Span *span)
{
	int head[4];
	int count = 0;
	int body = 0;
	int length = 0;

	for (int i = 0; count < 34; i++)
	{
		int c = byte_at(span, i);
		int value;

		if (c == ' ' && count >= 4 && byte_at(span, i - 1) != ' ')
			continue;
		if (!is_digit(c) && !is_upper(c))
			break;
		value = is_digit(c) ? c - '0' : c - 'A' + 10;
		if (count < 4)
		{
			if (is_upper(c) != (count < 2))
				return 0;
			head[count] = value;
		}
		else
			body = (body * (value > 9 ? 100 : 10) + value) % 97;
		count++;
		if (count >= 15 && !is_word(byte_at(span, i + 1)))
		{
			int rest = body;

			for (int j = 0; j < 4; j++)
				rest = (rest * (head[j] > 9 ? 100 : 10) + head[j]) % 97;
			if (rest == 1)
				length = i + 1;
		}
	}
	return length;
}

#define MAX_IP 45 /* bytes of the longest IPv6 address */

static int
match_ip(const Span *span)
{
	char address[MAX_IP + 1];
	unsigned char parsed[16];
	int length = 0;
	int colons = 0;
	int digits = 0;

	if (span->before == '.' || span->before == ':')
		return 0;
	for (;; length++)
	{
		int c = byte_at(span, length);

		if (!is_digit(c) && !(c >= 'a' && c <= 'f') &&
			!(c >= 'A' && c <= 'F') && c != ':' && c != '.')
			break;
		if (length == MAX_IP)
			return 0;
		colons += c == ':';
		digits += is_digit(c);
		address[length] = c;
	}
	if (digits == 0 || is_word(byte_at(span, length)))
		return 0;
	/* A port or the end of a sentence is not part of the address. */
	if (colons == 1)
	{
		length = strchr(address, ':') - address;
		colons = 0;
	}
	while (length > 0 && (address[length - 1] == '.' ||
						  (address[length - 1] == ':' && length > 1 &&
						   address[length - 2] != ':')))
		length--;
	address[length] = '\0';
	return inet_pton(colons > 0 ? AF_INET6 : AF_INET, address, parsed) == 1
			   ? length
			   : 0;
}

/* 13 to 19 digits, in groups or not, that begin as cards do; by Luhn. */
static int
match_card(const Span *span)
{
	int digits[19];
	int count = 0;
	int length = 0;

	if (byte_at(span, 0) < '2' || byte_at(span, 0) > '6')
		return 0;
	for (int i = 0; count < 19; i++)
	{
		int c = byte_at(span, i);

		if ((c == ' ' || c == '-') && is_digit(byte_at(span, i - 1)))
			continue;
		if (!is_digit(c))
			break;
		digits[count++] = c - '0';
		if (count >= 13 && !is_word(byte_at(span, i + 1)))
		{
			int sum = 0;

			for (int j = 0; j < count; j++)
			{
				int d = digits[count - 1 - j] * (1 + j % 2);

				sum += d > 9 ? d - 9 : d;
			}
			if (sum % 10 == 0)
				length = i + 1;
		}
	}
	return length;
}

/*
 * +49 30 1234567 (8 to 15 digits); (212) 555-0100, 212-555-0100; and with a
 * leading 0 either groups of which the first has 3 to 5 digits, or five pairs.
 */
static int
match_phone(const Span *span)
{
	int groups[8] = {0};
	int ngroups = 0;
	int digits = 0;
	int length = 0;
	int first = byte_at(span, 0);
	int i = first == '+' ? 1 : 0;

	if (!is_digit(first) && first != '+' && first != '(')
		return 0;
	for (;; i++)
	{
		int c = byte_at(span, i);

		if (is_digit(c))
		{
			if (ngroups == 0 || !is_digit(byte_at(span, i - 1)))
			{
				if (ngroups == (int) lengthof(groups))
					break;
				ngroups++;
			}
			groups[ngroups - 1]++;
			if (++digits > 15)
				return 0;
			length = i + 1;
		}
		else if (!is_one_of(c, " -.()/") ||
				 (i > 1 && is_one_of(byte_at(span, i - 1), " -.()/") &&
				  is_one_of(byte_at(span, i - 2), " -.()/")))
			break;
	}
	if (is_word(byte_at(span, length)))
		return 0;
	if (first == '+')
		return digits >= 8 ? length : 0;
	if (ngroups == 3 && groups[0] == 3 && groups[1] == 3 && groups[2] == 4)
		return length;
	if (first == '(' || (first == '0' && ngroups > 1))
	{
		bool pairs = ngroups == 5;

		for (int g = 0; g < ngroups; g++)
			pairs = pairs && groups[g] == 2;
		if (pairs || (digits >= 9 && digits <= 12 && ngroups > 1 &&
					  groups[0] >= 3 && groups[0] <= 5))
			return length;
	}
	return 0;
}

static const struct
{
	Matcher match;
	const char *name;
	const char *placeholder;
} kinds[KINDS] = {
	[KIND_KEY] = {match_key, "KEY", "[KEY]"},
	[KIND_EMAIL] = {match_email, "EMAIL", "[EMAIL]"},
	[KIND_IBAN] = {match_iban, "IBAN", "[IBAN]"},
	[KIND_IP] = {match_ip, "IP", "[IP]"},
	[KIND_CARD] = {match_card, "CARD", "[CARD]"},
	[KIND_PHONE] = {match_phone, "PHONE", "[PHONE]"},
};

/* The built-in placeholders, one by one; null after the last. */
const char *
slm_placeholder(int i)
{
	return i < KINDS ? kinds[i].placeholder : NULL;
}

/*
 * The text with placeholders; the very pointer given if nothing matches.
 * *found, if wanted, gets the kind of each match.
 */
static text *
redact(text *given, ArrayBuildState **found)
{
	text *text_before = slm_replace_patterns(given, found);
	const unsigned char *start = (unsigned char *) VARDATA_ANY(text_before);
	const unsigned char *end = start + VARSIZE_ANY_EXHDR(text_before);
	const unsigned char *copied = start;
	const unsigned char *at = start;
	StringInfoData into = {0};

	while (at < end)
	{
		Span span = {at, end, at > start ? at[-1] : 0};
		int length = 0;
		int kind = 0;

		if (((at - start) & 0xffff) == 0)
			CHECK_FOR_INTERRUPTS();
		if (!is_word(span.before) && *at > ' ')
			for (kind = 0; kind < KINDS; kind++)
				if ((length = kinds[kind].match(&span)) > 0)
					break;
		if (length == 0)
		{
			at++;
			continue;
		}
		if (found != NULL)
			*found =
				accumArrayResult(*found, CStringGetTextDatum(kinds[kind].name),
								 false, TEXTOID, CurrentMemoryContext);
		if (into.data == NULL)
			initStringInfo(&into);
		appendBinaryStringInfo(&into, (const char *) copied, at - copied);
		appendStringInfoString(&into, kinds[kind].placeholder);
		at += length;
		copied = at;
	}
	if (into.data == NULL)
		return text_before;
	appendBinaryStringInfo(&into, (const char *) copied, end - copied);
	return cstring_to_text_with_len(into.data, into.len);
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
