/*
 * user_set.c
 *		Aggregates of the rollup: distinct users that merge, and queries by hour.
 *
 * Unique users must be exact at four levels (model, prompt version, both,
 * neither), and sorting a day's users once a level costs more than all the
 * rest of the rollup.  user_set(user_id) therefore keeps the distinct users of
 * a group as 128-bit hashes, and user_set_size(set) counts the union of such
 * sets: the result is exact unless two of a day's users share all 128 bits
 * (for ten million users a probability of about 10^-25).  Memory: about 40
 * bytes a distinct user of one day.
 *
 * hourly_counts(created_at, settings) counts rows by the hour of the local day.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "calendar.h"
#include "compat.h"

PG_FUNCTION_INFO_V1(slm_user_set_add);
PG_FUNCTION_INFO_V1(slm_user_set_final);
PG_FUNCTION_INFO_V1(slm_user_set_merge);
PG_FUNCTION_INFO_V1(slm_user_set_size);
PG_FUNCTION_INFO_V1(slm_hourly_counts_add);
PG_FUNCTION_INFO_V1(slm_hourly_counts_merge);
PG_FUNCTION_INFO_V1(slm_hourly_counts_final);

#define HOURS 24

typedef struct UserHash
{
	uint64 high;
	uint64 low;
} UserHash;

typedef struct UserEntry
{
	UserHash hash;
	char status;
} UserEntry;

#define SH_PREFIX userset
#define SH_ELEMENT_TYPE UserEntry
#define SH_KEY_TYPE UserHash
#define SH_KEY hash
#define SH_HASH_KEY(table, key) ((uint32) (key).low)
#define SH_EQUAL(table, a, b) ((a).low == (b).low && (a).high == (b).high)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

static MemoryContext
aggregate_context(FunctionCallInfo fcinfo, const char *name)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("%s is called by its aggregate only", name)));
	return context;
}

static userset_hash *
user_set_state(FunctionCallInfo fcinfo)
{
	MemoryContext context = aggregate_context(fcinfo, "user_set");

	if (!PG_ARGISNULL(0))
		return (userset_hash *) PG_GETARG_POINTER(0);
	return userset_create(context, 64, NULL);
}

/* user_set(user_id): add a user; null is nobody. */
Datum
slm_user_set_add(PG_FUNCTION_ARGS)
{
	userset_hash *set = user_set_state(fcinfo);

	if (!PG_ARGISNULL(1))
	{
		text *user = PG_GETARG_TEXT_PP(1);
		unsigned char *bytes = (unsigned char *) VARDATA_ANY(user);
		int length = VARSIZE_ANY_EXHDR(user);
		UserHash hash;
		bool found;

		hash.low = hash_bytes_extended(bytes, length, 0);
		hash.high =
			hash_bytes_extended(bytes, length, UINT64CONST(0x9e3779b97f4a7c15));
		(void) userset_insert(set, hash, &found);
		PG_FREE_IF_COPY(user, 1);
	}
	PG_RETURN_POINTER(set);
}

/* The set as a bytea: 16 bytes a user, in no order. */
Datum
slm_user_set_final(PG_FUNCTION_ARGS)
{
	userset_hash *set;
	userset_iterator it;
	UserEntry *entry;
	Size bytes;
	bytea *result;
	UserHash *out;

	(void) aggregate_context(fcinfo, "user_set");
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	set = (userset_hash *) PG_GETARG_POINTER(0);
	bytes = VARHDRSZ + (Size) set->members * sizeof(UserHash);
	if (!AllocSizeIsValid(bytes))
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("too many users on one day")));
	result = palloc(bytes);
	SET_VARSIZE(result, bytes);
	out = (UserHash *) VARDATA(result);
	userset_start_iterate(set, &it);
	while ((entry = userset_iterate(set, &it)) != NULL)
		memcpy(out++, &entry->hash, sizeof(UserHash));
	PG_RETURN_BYTEA_P(result);
}

/* user_set_size(set): add the users of a set. */
Datum
slm_user_set_merge(PG_FUNCTION_ARGS)
{
	userset_hash *set = user_set_state(fcinfo);

	if (!PG_ARGISNULL(1))
	{
		bytea *other = PG_GETARG_BYTEA_PP(1);
		char *bytes = VARDATA_ANY(other);
		Size n = VARSIZE_ANY_EXHDR(other) / sizeof(UserHash);

		for (Size i = 0; i < n; i++)
		{
			UserHash hash;
			bool found;

			memcpy(&hash, bytes + i * sizeof(UserHash), sizeof(UserHash));
			(void) userset_insert(set, hash, &found);
		}
	}
	PG_RETURN_POINTER(set);
}

Datum
slm_user_set_size(PG_FUNCTION_ARGS)
{
	(void) aggregate_context(fcinfo, "user_set_size");
	PG_RETURN_INT64(
		PG_ARGISNULL(0) ? 0 : ((userset_hash *) PG_GETARG_POINTER(0))->members);
}

static int64 *
hourly_counts_state(FunctionCallInfo fcinfo)
{
	MemoryContext context = aggregate_context(fcinfo, "hourly_counts");

	if (!PG_ARGISNULL(0))
		return (int64 *) PG_GETARG_POINTER(0);
	return MemoryContextAllocZero(context, HOURS * sizeof(int64));
}

/* hourly_counts(created_at, settings): count one row. */
Datum
slm_hourly_counts_add(PG_FUNCTION_ARGS)
{
	int64 *counts = hourly_counts_state(fcinfo);

	if (!PG_ARGISNULL(1))
		counts[slm_hour_of(PG_GETARG_TIMESTAMPTZ(1),
						   slm_calendar_argument(fcinfo, 2))]++;
	PG_RETURN_POINTER(counts);
}

/* hourly_counts_sum(counts): add another group's counts. */
Datum
slm_hourly_counts_merge(PG_FUNCTION_ARGS)
{
	int64 *counts = hourly_counts_state(fcinfo);

	if (!PG_ARGISNULL(1))
	{
		Datum *values;
		int n;

		deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), INT8OID, sizeof(int64),
						  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &values, NULL, &n);
		if (n != HOURS)
			ereport(ERROR,
					(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
					 errmsg("hourly counts must have %d elements", HOURS)));
		for (int i = 0; i < HOURS; i++)
			counts[i] += DatumGetInt64(values[i]);
	}
	PG_RETURN_POINTER(counts);
}

Datum
slm_hourly_counts_final(PG_FUNCTION_ARGS)
{
	Datum values[HOURS];

	(void) aggregate_context(fcinfo, "hourly_counts");
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	for (int i = 0; i < HOURS; i++)
		values[i] = Int64GetDatum(((int64 *) PG_GETARG_POINTER(0))[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(values, HOURS, INT8OID, sizeof(int64),
										  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}
