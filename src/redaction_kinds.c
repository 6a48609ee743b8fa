/*
 * redaction_kinds.c
 *		The built-in kinds of personal data, and whether one stands somewhere.
 *
 * A matcher says how many codes match from the start of a span on.  It looks at
 * a bounded number of codes (MAX_NUMBER_CODES), or at a run of its own
 * characters that no other start shares, so that trying every start of a text
 * takes time linear in its length, whatever the text is.
 *
 * Keys and e-mail addresses match from a place on if they do when the text is
 * cut off somewhere behind it.  A number may not: it demands that no letter or
 * digit follows.  No kind matches a bracket [ or ].  redact.c relies on both.
 */
#include "postgres.h"

#include <arpa/inet.h>

#include "redaction_codes.h"
#include "redaction_kinds.h"

/* The number of codes that match at the span's start, or 0. */
typedef int (*Matcher)(Span *span);

unsigned char slm_code_classes[256];

static inline int
code_at(const Span *span, int i)
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
is_lower(int c)
{
	return c >= 'a' && c <= 'z';
}

static inline bool
is_alnum(int c)
{
	return is_digit(c) || is_upper(c) || is_lower(c);
}

/* Joins with a neighbour of its kind to one word. */
static inline bool
is_word(int c)
{
	return (slm_code_classes[c] & CLASS_JOINS) != 0;
}

static inline bool
is_space(int c)
{
	return c == ' ' || c == '\t';
}

static inline bool
is_dash(int c)
{
	return c == '-' || c == CODE_DASH;
}

/* A dot that can separate the groups of a card's number. */
static inline bool
is_card_dot(int c)
{
	return c == '.' || c == CODE_MIDDLE_DOT;
}

static inline bool
is_one_of(int c, const char *set)
{
	return c != 0 && strchr(set, c) != NULL;
}

/* The length of the run of letters, digits and codes of the set at i. */
static int
run(Span *span, int i, const char *set)
{
	int start = i;

	while (is_alnum(code_at(span, i)) || is_one_of(code_at(span, i), set))
		i++;
	span->work += i - start;
	return i - start;
}

static bool
starts_with(const Span *span, const char *prefix)
{
	for (int i = 0; prefix[i] != '\0'; i++)
		if (code_at(span, i) != (unsigned char) prefix[i])
			return false;
	return true;
}

static int
match_jwt(Span *span)
{
	int length = 0;

	if (!starts_with(span, "eyJ"))
		return 0;
	for (int part = 0; part < 3; part++)
	{
		int n;

		if (part > 0 && code_at(span, length++) != '.')
			return 0;
		n = run(span, length, "_-");
		if (n < 4)
			return 0;
		length += n;
	}
	return length;
}

static int
match_bearer(Span *span)
{
	static const char bearer[] = "bearer";
	int n;

	for (int i = 0; bearer[i] != '\0'; i++)
		if (code_at(span, i) != bearer[i] &&
			code_at(span, i) != bearer[i] - 'a' + 'A')
			return 0;
	if (!is_space(code_at(span, 6)))
		return 0;
	n = run(span, 7, "._~+/=-");
	return n >= 16 ? 7 + n : 0;
}

static int
match_key(Span *span)
{
	static const struct
	{
		const char *prefix;
		int least; /* codes after the prefix */
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

static inline bool
is_local_part(int c)
{
	return (slm_code_classes[c] & CLASS_LOCAL) != 0;
}

/*
 * The part before the at sign: letters that ASCII is mixed with, or letters of
 * another script, as in Japanese an address follows a word without a space.
 */
static int
local_part(Span *span)
{
	int length = 0;

	if (code_at(span, 0) == CODE_FOREIGN)
	{
		if (span->before == CODE_FOREIGN)
			return 0;
		while (code_at(span, length) == CODE_FOREIGN)
			length++;
	}
	else
	{
		if (is_local_part(span->before))
			return 0;
		while (is_local_part(code_at(span, length)))
			length++;
	}
	span->work += length;
	return length;
}

/* icon@2x.png: a picture for a screen of that density. */
static bool
is_picture(const Span *span, int domain, int end)
{
	static const char *const types[] = {"png", "jpg",  "jpeg", "gif",
										"svg", "webp", "avif"};
	int i = domain;

	while (is_digit(code_at(span, i)))
		i++;
	if (i == domain || code_at(span, i) != 'x' || code_at(span, i + 1) != '.')
		return false;
	for (int t = 0; t < (int) lengthof(types); t++)
	{
		Span type = {.at = span->at + i + 2, .end = span->at + end};

		if (end - i - 2 == (int) strlen(types[t]) &&
			starts_with(&type, types[t]))
			return true;
	}
	return false;
}

static int
match_email(Span *span)
{
	int length = span->at < span->no_email ? 0 : local_part(span);
	int domain = length + 1;
	int label = domain;
	int dots = 0;
	int letters = 0;
	int last = 0;

	if (length > 0)
		span->no_email = span->at + length;
	if (length == 0 || code_at(span, length) != '@')
		return 0;
	/* The match ends after the last label that can be a top-level domain. */
	for (length = domain;; length++)
	{
		int c = code_at(span, length);

		/* ann@example<ideographic full stop>org, but no further. */
		if (c == CODE_STOP && dots == 0 && is_lower(code_at(span, length + 1)))
			c = '.';
		if (c == '.' || c == '-')
		{
			if (length == domain || is_one_of(code_at(span, length - 1), ".-"))
				break;
			if (c == '.')
			{
				dots++;
				label = length + 1;
				letters = 0;
			}
		}
		else if (is_alnum(c) || c == CODE_LETTER || c == CODE_FOREIGN)
		{
			/* A word of another script may follow without a space. */
			if (length > label &&
				(c == CODE_FOREIGN) != (code_at(span, label) == CODE_FOREIGN))
				break;
			letters += !is_digit(c);
			if (dots > 0 && letters >= 2 && !is_digit(code_at(span, label)))
				last = length + 1;
		}
		else
			break;
	}
	span->work += length - domain;
	return last > 0 && is_picture(span, domain, last) ? 0 : last;
}

/* Two letters, two digits and 11 to 30 more, in groups or not; mod 97 is 1. */
static int
match_iban(Span *span)
{
	int head[4];
	int count = 0;
	int body = 0;
	int length = 0;

	for (int i = 0; count < 34; i++)
	{
		int c = code_at(span, i);
		int value;

		if (is_space(c) && count >= 4 && !is_space(code_at(span, i - 1)))
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
		if (count >= 15 && !is_word(code_at(span, i + 1)))
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

static inline bool
is_hex(int c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/*
 * An IPv6 address has a group of three digits or more: those of machines have
 * one, and a[1::2] is a slice.
 */
static int
match_ip(Span *span)
{
	char address[MAX_IP + 1];
	unsigned char parsed[16];
	int length = 0;
	int colons = 0;
	int digits = 0;
	int group = 0;
	int longest = 0;

	if (span->before == '.' || span->before == ':')
		return 0;
	for (;; length++)
	{
		int c = code_at(span, length);

		if (!is_hex(c) && c != ':' && c != '.')
			break;
		if (length == MAX_IP)
			return 0;
		colons += c == ':';
		digits += is_digit(c);
		group = is_hex(c) ? group + 1 : 0;
		longest = Max(longest, group);
		address[length] = c;
	}
	if (digits == 0 || is_word(code_at(span, length)))
		return 0;
	address[length] = '\0';
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
	if (colons > 0 && longest < 3)
		return 0;
	return inet_pton(colons > 0 ? AF_INET6 : AF_INET, address, parsed) == 1
			   ? length
			   : 0;
}

/* What stands between the groups of a card's number is a dot only in these. */
static bool
is_card_grouping(const int *groups, int ngroups)
{
	int last = ngroups - 1;

	if (ngroups == 3)
		return groups[0] == 4 && groups[1] == 6 && groups[2] >= 4;
	for (int g = 0; g < last; g++)
		if (groups[g] != 4)
			return false;
	return ngroups >= 4 && groups[last] <= 4;
}

/*
 * 13 to 19 digits, in groups or not, that begin as cards do; by Luhn.  With
 * dots, which versions and decimals have, only in the groups of cards.
 */
static int
match_card(Span *span)
{
	int digits[19];
	int count = 0;
	int length = 0;
	int groups[19] = {0};
	int ngroups = 1;
	bool dotted = false;

	if (code_at(span, 0) < '2' || code_at(span, 0) > '6')
		return 0;
	for (int i = 0; count < 19; i++)
	{
		int c = code_at(span, i);

		if ((is_space(c) || is_dash(c) || is_card_dot(c)) && i > 0 &&
			is_digit(code_at(span, i - 1)))
		{
			dotted |= is_card_dot(c);
			ngroups++;
			continue;
		}
		if (!is_digit(c))
			break;
		digits[count++] = c - '0';
		groups[ngroups - 1]++;
		if (count >= 13 && !is_word(code_at(span, i + 1)) &&
			(!dotted || is_card_grouping(groups, ngroups)))
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

/* The groups of digits of what could be a phone number. */
typedef struct Phone
{
	int groups[8]; /* digits of each */
	int ngroups;
	int digits;
	int lead[3]; /* the first digits */
	int length;	 /* up to the last digit */
} Phone;

static inline bool
separates_groups(int c)
{
	return is_space(c) || is_dash(c) || is_one_of(c, ".()/");
}

/* Read groups with at most three separators between two of them. */
static bool
read_phone(const Span *span, Phone *phone)
{
	for (int i = code_at(span, 0) == '+' ? 1 : 0;; i++)
	{
		int c = code_at(span, i);

		if (is_digit(c))
		{
			if (phone->ngroups == 0 || !is_digit(code_at(span, i - 1)))
			{
				if (phone->ngroups == (int) lengthof(phone->groups))
					break;
				phone->ngroups++;
			}
			phone->groups[phone->ngroups - 1]++;
			if (phone->digits < (int) lengthof(phone->lead))
				phone->lead[phone->digits] = c;
			if (++phone->digits > 15)
				return false;
			phone->length = i + 1;
		}
		else if (!separates_groups(c) ||
				 (i > 2 && separates_groups(code_at(span, i - 1)) &&
				  separates_groups(code_at(span, i - 2)) &&
				  separates_groups(code_at(span, i - 3))))
			break;
	}
	return !is_word(code_at(span, phone->length));
}

/*
 * 0049-30-1234567, 00 49 30 1234567, 011 49 30 1234567: another country's, of 10
 * to 15 digits in groups.  Six pairs are an address of a network card.
 */
static bool
is_foreign_phone(const Phone *phone)
{
	const int *groups = phone->groups;
	bool pairs = true;

	if (phone->digits < 10 || phone->ngroups < 2 || phone->lead[0] != '0')
		return false;
	if (phone->lead[1] == '1' && phone->lead[2] == '1')
		return groups[0] == 3 && phone->digits >= 12;
	if (phone->lead[1] != '0' || phone->lead[2] == '0')
		return false;
	for (int g = 0; g < phone->ngroups; g++)
		pairs = pairs && groups[g] == 2;
	return !pairs && ((groups[0] >= 3 && groups[0] <= 5) ||
					  (groups[0] == 2 && groups[1] <= 3));
}

/*
 * +49 30 1234567 (8 to 15 digits), or is_foreign_phone(); (212) 555-0100,
 * 212-555-0100; and with a leading 0 either groups of which the first has 3 to 5
 * digits, or five pairs.
 * A bracket must hold the area code alone: (2024-01-15 12:30) is none.
 */
static int
match_phone(Span *span)
{
	Phone phone = {0};
	int *groups = phone.groups;
	int begin = code_at(span, 0);
	bool pairs;

	if (!read_phone(span, &phone))
		return 0;
	if (begin == '+')
		return phone.digits >= 8 && phone.lead[0] != '0' ? phone.length : 0;
	if (begin == '(' && code_at(span, 1 + groups[0]) != ')')
		return 0;
	if (phone.ngroups == 3 && groups[0] == 3 && groups[1] == 3 &&
		groups[2] == 4)
		return phone.length;
	if (is_foreign_phone(&phone))
		return phone.length;
	if (phone.ngroups < 2 ||
		(phone.lead[0] != '0' && (begin != '(' || groups[0] != 3)))
		return 0;
	pairs = phone.ngroups == 5;
	for (int g = 0; g < phone.ngroups; g++)
		pairs = pairs && groups[g] == 2;
	return pairs || (phone.digits >= 9 && phone.digits <= 12 &&
					 groups[0] >= 3 && groups[0] <= 5)
			   ? phone.length
			   : 0;
}

static const Matcher matchers[KINDS] = {
	[KIND_KEY] = match_key,	  [KIND_EMAIL] = match_email,
	[KIND_IBAN] = match_iban, [KIND_IP] = match_ip,
	[KIND_CARD] = match_card, [KIND_PHONE] = match_phone,
};

const char *const slm_kind_names[KINDS] = {
	[KIND_KEY] = "KEY", [KIND_EMAIL] = "EMAIL", [KIND_IBAN] = "IBAN",
	[KIND_IP] = "IP",	[KIND_CARD] = "CARD",	[KIND_PHONE] = "PHONE",
};

/* The number of codes of the first kind that matches, *kind, or 0. */
int
slm_match_kind(Span *span, Kind *kind)
{
	int kinds = slm_code_classes[*span->at] & CLASS_STARTS;
	int length = 0;

	for (int k = 0; kinds != 0 && length == 0; k++, kinds >>= 1)
		if (kinds & 1)
		{
			*kind = k;
			length = matchers[k](span);
		}
	return length;
}

/* Fill slm_code_classes. */
void
slm_redaction_kinds_init(void)
{
	for (int c = 1; c < 256; c++)
	{
		bool word = is_alnum(c) || c == '_';
		bool local = word || c == CODE_LETTER || is_one_of(c, ".%+-");
		bool email = local || c == CODE_FOREIGN;
		bool phone = is_digit(c) || c == '+' || c == '(';

		slm_code_classes[c] =
			is_one_of(c, "srghxneAbB") << KIND_KEY | email << KIND_EMAIL |
			is_upper(c) << KIND_IBAN | (is_hex(c) || c == ':') << KIND_IP |
			(c >= '2' && c <= '6') << KIND_CARD | phone << KIND_PHONE |
			(local ? CLASS_LOCAL : 0) | (word ? CLASS_JOINS : 0);
	}
}
