/*
 * capture.c
 *		What the single and the batch forms of capture share.
 *
 * A record is checked before anything is written, so that bad input leaves the
 * tables as they were and costs no subtransaction.  The checks are the same
 * for the single form, which raises the refusal, and for the batch form,
 * which returns it; the tables' constraints stand behind them.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "capture.h"
#include "compat.h"
#include "direct_insert.h"
#include "settings.h"
#include "version.h"
#include "worker.h"

/* Fill in a refusal; false, so that a check can return it. */
bool
slm_refuse(Refusal *why, int sqlstate, char *message, char *detail, char *hint)
{
	why->sqlstate = sqlstate;
	why->message = message;
	why->detail = detail;
	why->hint = hint;
	return false;
}

/* Raise a refusal as an error. */
void
slm_raise(const Refusal *why)
{
	ereport(ERROR, (errcode(why->sqlstate), errmsg("%s", why->message),
					why->detail ? errdetail("%s", why->detail) : 0,
					why->hint ? errhint("%s", why->hint) : 0));
}

/*
 * Refuse values that are too long, and empty ids and names.  Sizes come from
 * the toast headers: nothing large is read for it.
 */
bool
slm_check_lengths(const CaptureField *fields, int nfields,
				  const CaptureRecord *record, Refusal *why)
{
	for (int i = 0; i < nfields; i++)
	{
		Size bytes;

		if (record->nulls[i] || fields[i].max_bytes == 0)
			continue;
		bytes = toast_raw_datum_size(record->values[i]) - VARHDRSZ;
		if (bytes > (Size) fields[i].max_bytes)
			return slm_refuse(
				why, ERRCODE_STRING_DATA_RIGHT_TRUNCATION,
				psprintf("%s is too long", fields[i].name),
				psprintf("It has %zu bytes; at most %d are stored.", bytes,
						 fields[i].max_bytes),
				"Shorten the value, or store it elsewhere and keep a "
				"reference in metadata.");
		if (bytes == 0 && fields[i].identifier)
			return slm_refuse(why, ERRCODE_INVALID_PARAMETER_VALUE,
							  psprintf("%s must not be empty", fields[i].name),
							  NULL,
							  "Give a value; only an optional argument may be "
							  "left out or null.");
	}
	return true;
}

bool
slm_check_request_id(bool isnull, Refusal *why)
{
	if (!isnull)
		return true;
	return slm_refuse(why, ERRCODE_NULL_VALUE_NOT_ALLOWED,
					  "request_id must not be null", NULL,
					  "Give the request id that record_query() returned.");
}

/*
 * Refuse a created_at that is infinite, before 2000 or in the future.  A dump
 * may come from a server whose clock was ahead of ours.
 */
bool
slm_check_created_at(TimestampTz created_at, Refusal *why)
{
	const char *problem = NULL;

	if (TIMESTAMP_NOT_FINITE(created_at))
		problem = "infinite";
	else if (created_at < 0) /* PostgreSQL's epoch is 2000-01-01 00:00 UTC */
		problem = "too far in the past";
	else if (created_at > GetCurrentTimestamp() + USECS_PER_DAY &&
			 !slm_session_restores(slm_settings()->owner))
		problem = "in the future";
	if (problem == NULL)
		return true;
	return slm_refuse(why, ERRCODE_DATETIME_VALUE_OUT_OF_RANGE,
					  psprintf("created_at is %s", problem),
					  "It must lie between 2000-01-01 00:00:00 UTC and one "
					  "day from now.",
					  "Leave created_at out to record the present time.");
}

void
slm_load_arguments(FunctionCallInfo fcinfo, int nfields, CaptureRecord *record)
{
	slm_check_arguments(fcinfo, nfields);
	for (int i = 0; i < nfields; i++)
	{
		record->nulls[i] = PG_ARGISNULL(i);
		record->values[i] = record->nulls[i] ? (Datum) 0 : PG_GETARG_DATUM(i);
	}
}

/*
 * Prepare a statement once a session.  The plan cache analyses it again when a
 * table changes, or is dropped and created anew.
 */
SPIPlanPtr
slm_kept_plan(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types)
{
	if (*plan == NULL)
	{
		SPIPlanPtr prepared = SPI_prepare(sql, nargs, types);

		if (prepared == NULL)
			elog(ERROR, "SPI_prepare failed: %s",
				 SPI_result_code_string(SPI_result));
		SPI_keepplan(prepared);
		*plan = prepared;
	}
	return *plan;
}

/* Run a kept look-up of a query's created_at.  False if there is none. */
static bool
look_up_query(SPIPlanPtr *plan, const char *sql, Datum request_id,
			  TimestampTz *created_at)
{
	static Oid types[1] = {TEXTOID};
	SlmCaller caller = slm_become_owner();
	bool isnull;
	bool found;

	SPI_connect();
	SPI_execute_plan(slm_kept_plan(plan, sql, 1, types), &request_id, NULL,
					 false, 1);
	found = SPI_processed > 0;
	if (found)
		*created_at = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0],
														SPI_tuptable->tupdesc,
														1, &isnull));
	SPI_finish();
	slm_become_caller(caller);
	return found;
}

/*
 * The created_at of a query, looked up as the owner with the latest data that
 * the command sees.  False if there is none.
 */
bool
slm_find_query(Datum request_id, TimestampTz *created_at)
{
	static SPIPlanPtr plan = NULL;

	return look_up_query(&plan,
						 "SELECT q.created_at FROM slm_feedback.queries q "
						 "WHERE q.request_id OPERATOR(pg_catalog.=) $1",
						 request_id, created_at);
}

/*
 * The same, and the query is locked FOR KEY SHARE until our end.  Whoever
 * writes a row that belongs to a query locks the query first: see "The order
 * of locks" in docs/design.md.
 */
bool
slm_find_and_share_query(Datum request_id, TimestampTz *created_at)
{
	static SPIPlanPtr plan = NULL;

	return look_up_query(&plan,
						 "SELECT q.created_at FROM slm_feedback.queries q "
						 "WHERE q.request_id OPERATOR(pg_catalog.=) $1 "
						 "FOR KEY SHARE",
						 request_id, created_at);
}

/*
 * The same, without an executor run where that is possible.  The caller holds a
 * lock on queries (slm_settings_for_write) that lets it lock rows.
 */
bool
slm_share_query(Datum request_id, TimestampTz *created_at)
{
	QueryLock lock = slm_lock_query(request_id, created_at);

	return lock == QUERY_LOCKED ||
		   (lock == QUERY_UNSURE &&
			slm_find_and_share_query(request_id, created_at));
}

/*
 * Run a statement that writes what a call says.  If the row that it meets is
 * one that others write to as well (nobody's in particular), an error does not
 * quote the row.
 */
void
slm_execute_capture(SPIPlanPtr plan, Datum *values, const char *nulls,
					bool shared)
{
	MemoryContext context = CurrentMemoryContext;

	if (!shared)
	{
		SPI_execute_plan(plan, values, nulls, false, 0);
		return;
	}
	PG_TRY();
	{
		SPI_execute_plan(plan, values, nulls, false, 0);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) ==
			ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION)
			error->detail = error->detail_log = NULL;
		ReThrowError(error);
	}
	PG_END_TRY();
}

/* A row, a composite, with some of its columns replaced. */
Datum
slm_replace_columns(Datum row, int ncolumns, int *columns, Datum *values,
					bool *nulls)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(row);
	TupleDesc desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header),
											HeapTupleHeaderGetTypMod(header));
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header),
						   .t_data = header};
	Datum result;

	result =
		heap_copy_tuple_as_datum(heap_modify_tuple_by_cols(&tuple, desc,
														   ncolumns, columns,
														   values, nulls),
								 desc);
	ReleaseTupleDesc(desc);
	return result;
}
