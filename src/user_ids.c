/*
 * user_ids.c
 *		The user-id policy: plain, pseudonym or drop.
 *
 * The policy is applied to every value before it is stored, so that a raw id
 * reaches neither a table nor the write-ahead log: by the capture functions
 * before their INSERT, and by the guard triggers for every other write.
 *
 * A pseudonym is "slmp:" key name ":" and 32 hexadecimal digits, the first half
 * of an HMAC-SHA256.  With several keys they form a chain, oldest first:
 *
 *		p1 = HMAC(k1, "user:" id), p2 = HMAC(k2, "pseudonym:" p1), ...
 *
 * so a new key needs no raw id: what is stored under an older key is lifted to
 * the newest, and the same person keeps having one pseudonym.  The prefixes keep
 * ids and pseudonyms apart: no id can be chosen that becomes a given pseudonym.
 *
 * A direct write (pg_restore, logical replication, an UPDATE of another column)
 * leaves alone what has the form of a pseudonym, or it would be hashed twice.
 * The capture functions always take what they are given for an id: an
 * application's user who knows a pseudonym cannot act as its owner by naming it.
 * Under the policy plain, where ids are stored as they are, they refuse what
 * has the form of a pseudonym: it may be the stored form of a person from
 * before the policy changed.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "compat.h"
#include "pseudonym_keys.h"
#include "settings.h"
#include "user_ids.h"

PG_FUNCTION_INFO_V1(slm_stored_user_id);
PG_FUNCTION_INFO_V1(slm_user_id_forms);
PG_FUNCTION_INFO_V1(slm_user_id_kind);
PG_FUNCTION_INFO_V1(slm_new_erased_user_id);

#define PREFIX "slmp:"
#define PREFIX_LENGTH 5
#define DIGEST_BYTES 16
#define ERASED "erased"

/*
 * HMAC-SHA256 of two strings after one another, cut to DIGEST_BYTES and
 * written as a pseudonym of the key.
 */
static text *
make_pseudonym(const PseudonymKey *key, const char *prefix, const char *data,
			   int length)
{
	pg_hmac_ctx *hmac = pg_hmac_create(PG_SHA256);
	uint8 digest[PG_SHA256_DIGEST_LENGTH];
	int name_length = strlen(key->name);
	text *pseudonym =
		palloc(VARHDRSZ + PREFIX_LENGTH + name_length + 1 + 2 * DIGEST_BYTES);
	char *out = VARDATA(pseudonym);

	if (hmac == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						errdetail("The context of a hash could not be made.")));
	if (pg_hmac_init(hmac, key->bytes, key->length) < 0 ||
		pg_hmac_update(hmac, (const uint8 *) prefix, strlen(prefix)) < 0 ||
		pg_hmac_update(hmac, (const uint8 *) data, length) < 0 ||
		pg_hmac_final(hmac, digest, sizeof(digest)) < 0)
	{
		char *reason = pstrdup(pg_hmac_error(hmac));

		pg_hmac_free(hmac);
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("could not make a pseudonym: %s", reason)));
	}
	pg_hmac_free(hmac);

	memcpy(out, PREFIX, PREFIX_LENGTH);
	out += PREFIX_LENGTH;
	memcpy(out, key->name, name_length);
	out += name_length;
	*out++ = ':';
	out += hex_encode((const char *) digest, DIGEST_BYTES, out);
	SET_VARSIZE(pseudonym, out - (char *) pseudonym);
	return pseudonym;
}

/*
 * The length of the key's name if the value has the form of a pseudonym, or 0.
 */
static int
pseudonym_key_name(const char *data, int length)
{
	int name_length = length - PREFIX_LENGTH - 1 - 2 * DIGEST_BYTES;
	const char *digits = data + length - 2 * DIGEST_BYTES;

	if (name_length < 1 || name_length > MAX_KEY_NAME ||
		memcmp(data, PREFIX, PREFIX_LENGTH) != 0 || digits[-1] != ':')
		return 0;
	for (int i = 0; i < 2 * DIGEST_BYTES; i++)
		if (!((digits[i] >= '0' && digits[i] <= '9') ||
			  (digits[i] >= 'a' && digits[i] <= 'f')))
			return 0;
	return name_length;
}

static int
find_key(const PseudonymKeys *keys, const char *name, int length)
{
	for (int i = 0; i < keys->count; i++)
		if (strncmp(keys->keys[i].name, name, length) == 0 &&
			keys->keys[i].name[length] == '\0')
			return i;
	return -1;
}

/* Lift a pseudonym of key `from` to key `to`, of a lower or the same index. */
static text *
lift(const PseudonymKeys *keys, text *pseudonym, int from, int to)
{
	for (int i = from - 1; i >= to; i--)
		pseudonym =
			make_pseudonym(&keys->keys[i], "pseudonym:", VARDATA_ANY(pseudonym),
						   VARSIZE_ANY_EXHDR(pseudonym));
	return pseudonym;
}

static text *
pseudonym_of(const PseudonymKeys *keys, text *user_id, int to)
{
	int oldest = keys->count - 1;
	text *first =
		make_pseudonym(&keys->keys[oldest], "user:", VARDATA_ANY(user_id),
					   VARSIZE_ANY_EXHDR(user_id));

	return lift(keys, first, oldest, to);
}

static bool
is_pseudonym(text *user_id)
{
	return pseudonym_key_name(VARDATA_ANY(user_id),
							  VARSIZE_ANY_EXHDR(user_id)) > 0;
}

/*
 * Replace a user id by what the policy stores.  The caller must hold a lock on
 * the table that it writes to, so that the policy can't change under it.
 */
void
slm_apply_user_id_policy(Datum *user_id, bool *isnull, UserIdSource source)
{
	UserIdPolicy policy = slm_settings()->user_id_policy;
	text *given;

	if (*isnull || (policy == USER_ID_PLAIN && source == USER_ID_FROM_TABLE))
		return;
	if (policy == USER_ID_DROP)
	{
		*isnull = true;
		*user_id = (Datum) 0;
		return;
	}
	given = DatumGetTextPP(*user_id);
	if (policy == USER_ID_PLAIN)
	{
		if (is_pseudonym(given))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("user_id has the form of a pseudonym"),
					 errdetail("It could be how another person is stored."),
					 errhint("Give the person's own id.")));
		return;
	}
	if (source == USER_ID_FROM_TABLE && is_pseudonym(given))
		return;
	*user_id = PointerGetDatum(pseudonym_of(slm_pseudonym_keys(), given, 0));
}

/*
 * stored_user_id(user_id): the form in which the policy in force wants a value
 * that is already stored.  Pseudonyms of an older key are lifted to the newest;
 * those of an unknown key, and erased ids, stay.
 */
Datum
slm_stored_user_id(PG_FUNCTION_ARGS)
{
	UserIdPolicy policy = slm_settings()->user_id_policy;
	text *given = PG_GETARG_TEXT_PP(0);
	char *data = VARDATA_ANY(given);
	int name_length = pseudonym_key_name(data, VARSIZE_ANY_EXHDR(given));
	const PseudonymKeys *keys;
	int key;

	if (policy == USER_ID_PLAIN)
		PG_RETURN_TEXT_P(given);
	if (policy == USER_ID_DROP)
		PG_RETURN_NULL();
	keys = slm_pseudonym_keys();
	if (name_length == 0)
		PG_RETURN_TEXT_P(pseudonym_of(keys, given, 0));
	key = find_key(keys, data + PREFIX_LENGTH, name_length);
	if (key <= 0)
		PG_RETURN_TEXT_P(given);
	PG_RETURN_TEXT_P(lift(keys, given, key, 0));
}

/*
 * user_id_kind(user_id): plain, current, older, foreign (a pseudonym of a key
 * that this server does not have) or erased.
 */
Datum
slm_user_id_kind(PG_FUNCTION_ARGS)
{
	text *given = PG_GETARG_TEXT_PP(0);
	char *data = VARDATA_ANY(given);
	int name_length = pseudonym_key_name(data, VARSIZE_ANY_EXHDR(given));
	const char *kind = "foreign";

	if (name_length == 0)
		kind = "plain";
	else if (name_length == (int) strlen(ERASED) &&
			 memcmp(data + PREFIX_LENGTH, ERASED, name_length) == 0)
		kind = "erased";
	else if (slm_pseudonym_keys_configured())
	{
		int key =
			find_key(slm_pseudonym_keys(), data + PREFIX_LENGTH, name_length);

		if (key >= 0)
			kind = key == 0 ? "current" : "older";
	}
	PG_RETURN_TEXT_P(cstring_to_text(kind));
}

/*
 * user_id_forms(user_id): every form in which a person can be stored, given the
 * person's id or a pseudonym: as it is, and as a pseudonym of each key.
 */
Datum
slm_user_id_forms(PG_FUNCTION_ARGS)
{
	text *given = PG_GETARG_TEXT_PP(0);
	char *data = VARDATA_ANY(given);
	int name_length = pseudonym_key_name(data, VARSIZE_ANY_EXHDR(given));
	Datum forms[MAX_PSEUDONYM_KEYS + 1];
	int count = 0;

	forms[count++] = PointerGetDatum(given);
	if (slm_pseudonym_keys_configured() ||
		slm_settings()->user_id_policy == USER_ID_PSEUDONYM)
	{
		const PseudonymKeys *keys = slm_pseudonym_keys();
		int from = keys->count;

		if (name_length > 0)
			from = find_key(keys, data + PREFIX_LENGTH, name_length);
		for (int to = from - 1; to >= 0; to--)
			forms[count++] = PointerGetDatum(
				name_length > 0 ? lift(keys, given, from, to)
								: pseudonym_of(keys, given, to));
	}
	PG_RETURN_ARRAYTYPE_P(
		construct_array(forms, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * new_erased_user_id(): a random id in the form of a pseudonym, which no key
 * and no policy changes.
 */
Datum
slm_new_erased_user_id(PG_FUNCTION_ARGS)
{
	uint8 random[DIGEST_BYTES];
	char digits[2 * DIGEST_BYTES + 1];

	if (!pg_strong_random(random, sizeof(random)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("could not generate random values")));
	digits[hex_encode((const char *) random, sizeof(random), digits)] = '\0';
	PG_RETURN_TEXT_P(
		cstring_to_text(psprintf("%s%s:%s", PREFIX, ERASED, digits)));
}
