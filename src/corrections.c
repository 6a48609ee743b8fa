/*
 * corrections.c
 *		submit_correction() and withdraw_corrections(): better answers.
 *
 * The counterpart of submit_feedback.c, and held to the same rules: checked
 * before anything is written, as the owner, an unknown request refused by the
 * statement that writes.  Corrections enter no metrics, so they mark no day.
 *
 * Operators are named with their schema: the plan is analysed under the
 * caller's search_path.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "capture.h"
#include "compat.h"
#include "redact.h"
#include "settings.h"
#include "user_ids.h"

PG_FUNCTION_INFO_V1(slm_submit_correction);
PG_FUNCTION_INFO_V1(slm_withdraw_corrections);

/* submit_correction's arguments, in order. */
typedef enum CorrectionField
{
	CORRECTION_REQUEST_ID,
	CORRECTION_CORRECTED_TEXT,
	CORRECTION_USER_ID,
	CORRECTION_NOTE,
	CORRECTION_FIELDS
} CorrectionField;

static const CaptureField correction_fields[CORRECTION_FIELDS] = {
	[CORRECTION_REQUEST_ID] = {"request_id", TEXTOID, 255, true},
	[CORRECTION_CORRECTED_TEXT] = {"corrected_text", TEXTOID, 10 * 1024 * 1024,
								   true},
	[CORRECTION_USER_ID] = {"user_id", TEXTOID, 255, true},
	[CORRECTION_NOTE] = {"note", TEXTOID, 64 * 1024, false},
};

static bool
check_correction(const CaptureRecord *record, Refusal *why)
{
	if (!slm_check_request_id(record->nulls[CORRECTION_REQUEST_ID], why))
		return false;
	if (record->nulls[CORRECTION_CORRECTED_TEXT])
		return slm_refuse(why, ERRCODE_NULL_VALUE_NOT_ALLOWED,
						  "corrected_text must not be null", NULL,
						  "Give the whole answer as it should have been.");
	return slm_check_lengths(correction_fields, CORRECTION_FIELDS, record, why);
}

/*
 * submit_correction(request_id, corrected_text, user_id, note) returns the
 * correction as it is stored.
 */
Datum
slm_submit_correction(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr plan = NULL;
	static Oid types[CORRECTION_FIELDS + 1] = {TEXTOID, TEXTOID, TEXTOID,
											   TEXTOID, TIMESTAMPTZOID};
	CaptureRecord record;
	Refusal why;
	SlmCaller caller;
	Datum values[CORRECTION_FIELDS + 1];
	char nulls[CORRECTION_FIELDS + 1];
	Datum row = (Datum) 0;
	bool user_id_null;
	bool known;
	bool isnull;

	slm_load_arguments(fcinfo, CORRECTION_FIELDS, &record);
	if (!check_correction(&record, &why))
		slm_raise(&why);

	slm_settings_for_write();
	for (int i = 0; i < CORRECTION_FIELDS; i++)
	{
		values[i] = record.values[i];
		nulls[i] = record.nulls[i] ? 'n' : ' ';
	}
	values[CORRECTION_FIELDS] = TimestampTzGetDatum(GetCurrentTimestamp());
	nulls[CORRECTION_FIELDS] = ' ';

	user_id_null = record.nulls[CORRECTION_USER_ID];
	slm_apply_user_id_policy(&values[CORRECTION_USER_ID], &user_id_null,
							 USER_ID_FROM_CAPTURE);
	nulls[CORRECTION_USER_ID] = user_id_null ? 'n' : ' ';
	slm_apply_redaction(&values[CORRECTION_CORRECTED_TEXT], false);
	slm_apply_redaction(&values[CORRECTION_NOTE],
						record.nulls[CORRECTION_NOTE]);

	caller = slm_become_owner();
	SPI_connect();
	SPI_execute_plan(
		slm_kept_plan(&plan,
					  "INSERT INTO slm_feedback.corrections AS c (request_id, "
					  "corrected_text, user_id, note, created_at) "
					  "SELECT q.request_id, $2, $3, $4, $5 "
					  "FROM slm_feedback.queries q "
					  "WHERE q.request_id OPERATOR(pg_catalog.=) $1 "
					  "ON CONFLICT (request_id, user_id, "
					  "pg_catalog.hashtextextended(corrected_text COLLATE "
					  "pg_catalog.\"C\", 0)) DO UPDATE "
					  "SET note = COALESCE(excluded.note, c.note) "
					  "RETURNING c",
					  CORRECTION_FIELDS + 1, types),
		values, nulls, false, 0);
	known = SPI_processed > 0;
	if (known)
		row =
			SPI_datumTransfer(SPI_getbinval(SPI_tuptable->vals[0],
											SPI_tuptable->tupdesc, 1, &isnull),
							  false, -1);
	SPI_finish();
	slm_become_caller(caller);

	if (!known)
	{
		slm_refuse_unknown_request(values[CORRECTION_REQUEST_ID], &why);
		slm_raise(&why);
	}
	PG_RETURN_DATUM(row);
}

/*
 * withdraw_corrections(request_id, user_id) returns how many there were.
 */
Datum
slm_withdraw_corrections(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr delete_plan = NULL;
	static Oid types[2] = {TEXTOID, TEXTOID};
	CaptureRecord record = {0};
	Refusal why;
	SlmCaller caller;
	Datum values[2];
	char nulls[2] = {' ', ' '};
	uint64 withdrawn;
	TimestampTz query_created_at;
	bool user_id_null;

	for (int i = 0; i < CORRECTION_FIELDS; i++)
		record.nulls[i] = true;
	record.nulls[CORRECTION_REQUEST_ID] = PG_ARGISNULL(0);
	record.nulls[CORRECTION_USER_ID] = PG_ARGISNULL(1);
	values[0] = record.values[CORRECTION_REQUEST_ID] = PG_GETARG_DATUM(0);
	values[1] = record.values[CORRECTION_USER_ID] = PG_GETARG_DATUM(1);
	if (!slm_check_request_id(PG_ARGISNULL(0), &why) ||
		!slm_check_lengths(correction_fields, CORRECTION_FIELDS, &record, &why))
		slm_raise(&why);

	slm_settings_for_write();
	user_id_null = record.nulls[CORRECTION_USER_ID];
	slm_apply_user_id_policy(&values[1], &user_id_null, USER_ID_FROM_CAPTURE);
	nulls[1] = user_id_null ? 'n' : ' ';
	caller = slm_become_owner();
	SPI_connect();
	SPI_execute_plan(
		slm_kept_plan(&delete_plan,
					  "DELETE FROM slm_feedback.corrections c "
					  "WHERE c.request_id OPERATOR(pg_catalog.=) $1 "
					  "AND (c.user_id OPERATOR(pg_catalog.=) $2 "
					  "OR (c.user_id IS NULL AND $2 IS NULL))",
					  2, types),
		values, nulls, false, 0);
	withdrawn = SPI_processed;
	SPI_finish();
	slm_become_caller(caller);

	if (withdrawn == 0 && !slm_find_query(values[0], &query_created_at))
	{
		slm_refuse_unknown_request(values[0], &why);
		slm_raise(&why);
	}
	PG_RETURN_INT64((int64) withdrawn);
}
