/*
 * record_query.c
 *		record_query(): keep a question and its answer.
 *
 * The first record of a request id stays: a client that retries after a lost
 * connection writes nothing twice, and is told by a NOTICE.
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "capture.h"
#include "compat.h"
#include "direct_insert.h"
#include "guard_triggers.h"
#include "late_marks.h"
#include "redact.h"
#include "settings.h"
#include "user_ids.h"
#include "uuidv7.h"

PG_FUNCTION_INFO_V1(slm_record_query);

#define MAX_ID_BYTES 255
#define MAX_TEXT_BYTES (10 * 1024 * 1024)
#define MAX_ERROR_BYTES (64 * 1024)
#define MAX_JSON_BYTES (1024 * 1024)

const CaptureField slm_query_fields[QUERY_FIELDS] = {
	[QUERY_QUERY_TEXT] = {"query_text", TEXTOID, MAX_TEXT_BYTES, false},
	[QUERY_RESPONSE_TEXT] = {"response_text", TEXTOID, MAX_TEXT_BYTES, false},
	[QUERY_REQUEST_ID] = {"request_id", TEXTOID, MAX_ID_BYTES, true},
	[QUERY_USER_ID] = {"user_id", TEXTOID, MAX_ID_BYTES, true},
	[QUERY_SESSION_ID] = {"session_id", TEXTOID, MAX_ID_BYTES, true},
	[QUERY_RESPONSE_TIME_MS] = {"response_time_ms", FLOAT8OID, 0, false},
	[QUERY_MODEL] = {"model", TEXTOID, MAX_ID_BYTES, true},
	[QUERY_PROMPT_VERSION] = {"prompt_version", TEXTOID, MAX_ID_BYTES, true},
	[QUERY_INPUT_TOKENS] = {"input_tokens", INT8OID, 0, false},
	[QUERY_OUTPUT_TOKENS] = {"output_tokens", INT8OID, 0, false},
	[QUERY_COST_USD] = {"cost_usd", NUMERICOID, 0, false},
	[QUERY_SOURCES_USED] = {"sources_used", JSONBOID, MAX_JSON_BYTES, false},
	[QUERY_ERROR] = {"error", TEXTOID, MAX_ERROR_BYTES, false},
	[QUERY_TAGS] = {"tags", JSONBOID, MAX_JSON_BYTES, false},
	[QUERY_METADATA] = {"metadata", JSONBOID, MAX_JSON_BYTES, false},
	[QUERY_CREATED_AT] = {"created_at", TIMESTAMPTZOID, 0, false},
};

/* Milliseconds from double precision to the stored integer, rounded. */
static bool
check_response_time(CaptureRecord *record, Refusal *why)
{
	double ms;

	if (record->nulls[QUERY_RESPONSE_TIME_MS])
		return true;
	ms = DatumGetFloat8(record->values[QUERY_RESPONSE_TIME_MS]);
	if (!(ms >= 0 && rint(ms) <= PG_INT32_MAX))
		return slm_refuse(why, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
						  "response_time_ms is out of range",
						  psprintf("It is %g; it must lie between 0 and %d.",
								   ms, PG_INT32_MAX),
						  "Give the time in milliseconds, or leave it out.");
	record->values[QUERY_RESPONSE_TIME_MS] = Int32GetDatum((int32) rint(ms));
	return true;
}

static bool
check_tokens(CaptureRecord *record, QueryField field, Refusal *why)
{
	int64 tokens;

	if (record->nulls[field])
		return true;
	tokens = DatumGetInt64(record->values[field]);
	if (tokens < 0 || tokens > PG_INT32_MAX)
		return slm_refuse(why, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
						  psprintf("%s is out of range",
								   slm_query_fields[field].name),
						  psprintf("It is " INT64_FORMAT
								   "; it must lie between 0 and %d.",
								   tokens, PG_INT32_MAX),
						  "Give the number of tokens, or leave it out.");
	record->values[field] = Int32GetDatum((int32) tokens);
	return true;
}

static bool
check_cost(const CaptureRecord *record, Refusal *why)
{
	double cost;

	if (record->nulls[QUERY_COST_USD])
		return true;
	cost = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
											  record->values[QUERY_COST_USD]));
	if (!(cost >= 0 && cost < 1e9))
		return slm_refuse(
			why, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, "cost_usd is out of range",
			psprintf("It is %g; it must be at least 0 and below 1000000000.",
					 cost),
			"Give the cost in US dollars, or leave it out.");
	return true;
}

/*
 * Check the arguments and turn them into what the INSERT takes: numbers in the
 * columns' types, an id and a time where none was given.
 */
bool
slm_check_query(CaptureRecord *record, Refusal *why)
{
	if (record->nulls[QUERY_QUERY_TEXT])
		return slm_refuse(why, ERRCODE_NULL_VALUE_NOT_ALLOWED,
						  "query_text must not be null", NULL,
						  "Give the question's text.");
	if (!slm_check_lengths(slm_query_fields, QUERY_FIELDS, record, why) ||
		!check_response_time(record, why) ||
		!check_tokens(record, QUERY_INPUT_TOKENS, why) ||
		!check_tokens(record, QUERY_OUTPUT_TOKENS, why) ||
		!check_cost(record, why))
		return false;

	if (record->nulls[QUERY_CREATED_AT])
	{
		record->values[QUERY_CREATED_AT] =
			TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
		record->nulls[QUERY_CREATED_AT] = false;
	}
	else if (!slm_check_created_at(
				 DatumGetTimestampTz(record->values[QUERY_CREATED_AT]), why))
		return false;

	if (record->nulls[QUERY_REQUEST_ID])
	{
		record->values[QUERY_REQUEST_ID] = PointerGetDatum(slm_uuidv7());
		record->nulls[QUERY_REQUEST_ID] = false;
	}
	return true;
}

/* The column that each argument goes to. */
static const AttrNumber query_columns[QUERY_FIELDS] = {
	[QUERY_QUERY_TEXT] = Anum_queries_query_text,
	[QUERY_RESPONSE_TEXT] = Anum_queries_response_text,
	[QUERY_REQUEST_ID] = Anum_queries_request_id,
	[QUERY_USER_ID] = Anum_queries_user_id,
	[QUERY_SESSION_ID] = Anum_queries_session_id,
	[QUERY_RESPONSE_TIME_MS] = Anum_queries_response_time_ms,
	[QUERY_MODEL] = Anum_queries_model,
	[QUERY_PROMPT_VERSION] = Anum_queries_prompt_version,
	[QUERY_INPUT_TOKENS] = Anum_queries_input_tokens,
	[QUERY_OUTPUT_TOKENS] = Anum_queries_output_tokens,
	[QUERY_COST_USD] = Anum_queries_cost_usd,
	[QUERY_SOURCES_USED] = Anum_queries_sources_used,
	[QUERY_ERROR] = Anum_queries_error,
	[QUERY_TAGS] = Anum_queries_tags,
	[QUERY_METADATA] = Anum_queries_metadata,
	[QUERY_CREATED_AT] = Anum_queries_created_at,
};

static bool
insert_directly(const CaptureRecord *row)
{
	DirectTable *table = slm_direct_queries();
	TupleTableSlot *slot;

	if (table == NULL)
		return false;
	slot = slm_direct_slot(table);
	for (int i = 0; i < QUERY_FIELDS; i++)
	{
		slot->tts_values[query_columns[i] - 1] = row->values[i];
		slot->tts_isnull[query_columns[i] - 1] = row->nulls[i];
	}
	return slm_direct_insert(table);
}

/*
 * Insert by the executor.  False if the request id is known.  *created_at is
 * what was stored: a trigger of the DBA's may have changed it.
 */
static bool
insert_by_plan(const CaptureRecord *row, TimestampTz *created_at)
{
	static SPIPlanPtr plan = NULL;
	static Oid types[QUERY_FIELDS];
	Datum values[QUERY_FIELDS];
	char nulls[QUERY_FIELDS];
	SlmPass pass;
	bool inserted;
	bool isnull;

	if (plan == NULL)
	{
		for (int i = 0; i < QUERY_FIELDS; i++)
			types[i] = slm_query_fields[i].type;
		types[QUERY_RESPONSE_TIME_MS] = INT4OID;
		types[QUERY_INPUT_TOKENS] = INT4OID;
		types[QUERY_OUTPUT_TOKENS] = INT4OID;
	}
	for (int i = 0; i < QUERY_FIELDS; i++)
	{
		values[i] = row->values[i];
		nulls[i] = row->nulls[i] ? 'n' : ' ';
	}

	SPI_connect();
	pass = slm_pass_captured(slm_settings()->queries_relid);
	SPI_execute_plan(
		slm_kept_plan(
			&plan,
			"INSERT INTO slm_feedback.queries (query_text, response_text, "
			"request_id, user_id, session_id, response_time_ms, model, "
			"prompt_version, input_tokens, output_tokens, cost_usd, "
			"sources_used, error, tags, metadata, created_at) "
			"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, "
			"$14, $15, $16) ON CONFLICT (request_id) DO NOTHING "
			"RETURNING created_at",
			QUERY_FIELDS, types),
		values, nulls, false, 0);
	slm_end_pass(pass);
	inserted = SPI_processed > 0;
	if (inserted)
		*created_at = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0],
														SPI_tuptable->tupdesc,
														1, &isnull));
	SPI_finish();
	return inserted;
}

/*
 * Write a checked record, as the owner.  False if the request id is known: the
 * first record stays as it is.
 */
bool
slm_insert_query(CaptureRecord *record)
{
	CaptureRecord row = *record;
	TimestampTz created_at = DatumGetTimestampTz(row.values[QUERY_CREATED_AT]);

	slm_apply_user_id_policy(&row.values[QUERY_USER_ID],
							 &row.nulls[QUERY_USER_ID], USER_ID_FROM_CAPTURE);
	slm_apply_redaction(&row.values[QUERY_QUERY_TEXT],
						row.nulls[QUERY_QUERY_TEXT]);
	slm_apply_redaction(&row.values[QUERY_RESPONSE_TEXT],
						row.nulls[QUERY_RESPONSE_TEXT]);
	if (!insert_directly(&row) && !insert_by_plan(&row, &created_at))
		return false;
	slm_note_write(created_at);
	return true;
}

/*
 * record_query(query_text, ...) returns the request id.
 */
Datum
slm_record_query(PG_FUNCTION_ARGS)
{
	CaptureRecord record;
	Refusal why;
	SlmCaller caller;
	bool inserted;

	slm_load_arguments(fcinfo, QUERY_FIELDS, &record);
	if (!slm_check_query(&record, &why))
		slm_raise(&why);

	slm_settings_for_write();
	caller = slm_become_owner();
	inserted = slm_insert_query(&record);
	slm_become_caller(caller);

	if (!inserted)
		ereport(NOTICE,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("request \"%s\" is already recorded, keeping the "
						"first record",
						TextDatumGetCString(record.values[QUERY_REQUEST_ID]))));
	PG_RETURN_DATUM(record.values[QUERY_REQUEST_ID]);
}
