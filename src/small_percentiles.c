/*
 * small_percentiles.c
 *		Exact percentiles of small groups.
 *
 * A t-digest is far from right where a few values stand for a large share of
 * the ranks.  Beside it the rollup therefore keeps the sorted values of every
 * group that has fewer than 1,000 of them, and a report whose groups together
 * have fewer than 1,000 computes its percentiles from these as percentile_cont
 * does, to the last bit.
 *
 * Null in the place of a set means too many values.  What holds one such set
 * has too many, too, so the aggregates are not strict; null values, on the
 * other hand, count as nothing.  An aggregate that has met too many reads no
 * further one, so merging a thousand days unpacks a few of them.
 *
 * They are packed, because wide rows would push the digests out of line, which
 * makes merging many days slower by half: the distance of each value from the
 * one before it (of the first from the least integer), seven bits a byte, the
 * lowest first, all bytes but a distance's last with their high bit set.  Most
 * distances take one byte.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(slm_small_values_add);
PG_FUNCTION_INFO_V1(slm_small_values_merge);
PG_FUNCTION_INFO_V1(slm_small_values_final);
PG_FUNCTION_INFO_V1(slm_exact_percentiles);

#define TOO_MANY 1000
#define FIRST_ROOM 32

typedef struct SmallValues
{
	int count; /* TOO_MANY once there are so many, and values is NULL */
	int room;
	int32 *values;
} SmallValues;

static MemoryContext
values_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("small_values is called by its aggregate only")));
	return context;
}

static SmallValues *
values_state(FunctionCallInfo fcinfo)
{
	MemoryContext context = values_context(fcinfo);
	SmallValues *state;

	if (!PG_ARGISNULL(0))
		return (SmallValues *) PG_GETARG_POINTER(0);
	state = MemoryContextAlloc(context, sizeof(SmallValues));
	state->count = 0;
	state->room = FIRST_ROOM;
	state->values = MemoryContextAlloc(context, FIRST_ROOM * sizeof(int32));
	return state;
}

static void
forget_values(SmallValues *state)
{
	pfree(state->values);
	state->values = NULL;
	state->count = TOO_MANY;
}

static void
add_values(SmallValues *state, const int32 *values, int n)
{
	if (n >= TOO_MANY - state->count)
	{
		forget_values(state);
		return;
	}
	if (state->count + n > state->room)
	{
		while (state->count + n > state->room)
			state->room *= 2;
		state->values = repalloc(state->values, state->room * sizeof(int32));
	}
	memcpy(state->values + state->count, values, n * sizeof(int32));
	state->count += n;
}

/* Unpack the values of a set; they have room for TOO_MANY - 1. */
static int
unpack_values(bytea *packed, int32 *values)
{
	const uint8 *byte = (const uint8 *) VARDATA_ANY(packed);
	const uint8 *end = byte + VARSIZE_ANY_EXHDR(packed);
	int64 value = PG_INT32_MIN;
	int n = 0;

	while (byte < end)
	{
		uint64 distance = 0;
		int shift = 0;

		do
			distance |= (uint64) (*byte & 0x7f) << shift;
		while (*byte++ & 0x80 && (shift += 7) <= 28 && byte < end);
		value += distance;
		if (byte[-1] & 0x80 || value > PG_INT32_MAX || n == TOO_MANY - 1)
			ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
							errmsg("these are no small values")));
		values[n++] = value;
	}
	return n;
}

/* small_values(value): add a value; null is none. */
Datum
slm_small_values_add(PG_FUNCTION_ARGS)
{
	SmallValues *state = values_state(fcinfo);

	if (!PG_ARGISNULL(1) && state->count < TOO_MANY)
	{
		int32 value = PG_GETARG_INT32(1);

		add_values(state, &value, 1);
	}
	PG_RETURN_POINTER(state);
}

/* small_values_sum(set): add another group's values; null is too many. */
Datum
slm_small_values_merge(PG_FUNCTION_ARGS)
{
	SmallValues *state = values_state(fcinfo);

	if (state->count == TOO_MANY)
		PG_RETURN_POINTER(state);
	if (PG_ARGISNULL(1))
		forget_values(state);
	else
	{
		bytea *packed = PG_GETARG_BYTEA_PP(1);
		int32 values[TOO_MANY - 1];

		add_values(state, values, unpack_values(packed, values));
		PG_FREE_IF_COPY(packed, 1);
	}
	PG_RETURN_POINTER(state);
}

static int
compare_values(const void *a, const void *b)
{
	int32 x = *(const int32 *) a;
	int32 y = *(const int32 *) b;

	return (x > y) - (x < y);
}

/* The packed values, or null for too many. */
Datum
slm_small_values_final(PG_FUNCTION_ARGS)
{
	SmallValues *state;
	bytea *result;
	uint8 *byte;
	int64 before = PG_INT32_MIN;

	(void) values_context(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	state = (SmallValues *) PG_GETARG_POINTER(0);
	if (state->count == TOO_MANY)
		PG_RETURN_NULL();
	/* the order of the state's values means nothing, so it may change */
	qsort(state->values, state->count, sizeof(int32), compare_values);
	/* 32 bits take up to five bytes */
	result = palloc(VARHDRSZ + 5 * state->count);
	byte = (uint8 *) VARDATA(result);
	for (int i = 0; i < state->count; i++)
	{
		uint64 distance = state->values[i] - before;

		for (; distance > 0x7f; distance >>= 7)
			*byte++ = 0x80 | (distance & 0x7f);
		*byte++ = distance;
		before = state->values[i];
	}
	SET_VARSIZE(result, (char *) byte - (char *) result);
	PG_RETURN_BYTEA_P(result);
}

/*
 * exact_percentiles(small_values, fractions): what percentile_cont gives for
 * double precision, by its own formula; null if there is no value.
 */
Datum
slm_exact_percentiles(PG_FUNCTION_ARGS)
{
	ArrayType *fractions = PG_GETARG_ARRAYTYPE_P(1);
	int32 values[TOO_MANY - 1];
	int n = unpack_values(PG_GETARG_BYTEA_PP(0), values);
	Datum *results;
	bool *nulls;
	int wanted;

	if (n == 0)
		PG_RETURN_NULL();
	deconstruct_array(fractions, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &results, &nulls, &wanted);
	for (int i = 0; i < wanted; i++)
	{
		double fraction = nulls[i] ? -1 : DatumGetFloat8(results[i]);
		double place = fraction * (n - 1);
		double low;
		double high;

		if (!(fraction >= 0 && fraction <= 1))
			ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
							errmsg("percentiles must lie between 0 and 1")));
		low = values[(int) floor(place)];
		high = values[(int) ceil(place)];
		results[i] =
			Float8GetDatum(low + (place - floor(place)) * (high - low));
	}
	PG_RETURN_ARRAYTYPE_P(construct_array(results, wanted, FLOAT8OID,
										  sizeof(float8), FLOAT8PASSBYVAL,
										  TYPALIGN_DOUBLE));
}
