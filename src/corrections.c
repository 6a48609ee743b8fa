/*
 * corrections.c
 *		submit_correction() and withdraw_corrections(): better answers.
 *
 * The counterpart of submit_feedback.c, and held to the same rules: checked
 * before anything is written, as the owner, the query locked first.  A
 * correction without a user id is nobody's in particular: a call that repeats
 * one gets back what it said itself, and cannot withdraw any.  Corrections
 * enter no metrics, so they mark no day.
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

/* Columns of corrections. */
#define Anum_corrections_note 4
#define Anum_corrections_created_at 5

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

/* What a call without a user id gets back: its own note and time. */
static Datum
as_said(Datum row, Datum note, bool note_null, TimestampTz now)
{
	int columns[] = {Anum_corrections_note, Anum_corrections_created_at};
	Datum values[] = {note, TimestampTzGetDatum(now)};
	bool nulls[] = {note_null, false};

	return slm_replace_columns(row, lengthof(columns), columns, values, nulls);
}

/*
 * Insert the correction, or replace the note of the same one.  *row is the
 * correction as it is stored, in the current memory context.  False if a
 * trigger of the DBA's has left it out.
 */
static bool
upsert_correction(Datum *values, const bool *isnull, TimestampTz now,
				  Datum *row)
{
	static SPIPlanPtr plan = NULL;
	static Oid types[CORRECTION_FIELDS + 1] = {TEXTOID, TEXTOID, TEXTOID,
											   TEXTOID, TIMESTAMPTZOID};
	char nulls[CORRECTION_FIELDS + 1];
	bool shared = isnull[CORRECTION_USER_ID];
	bool row_null;
	bool stored;

	for (int i = 0; i < CORRECTION_FIELDS; i++)
		nulls[i] = isnull[i] ? 'n' : ' ';
	values[CORRECTION_FIELDS] = TimestampTzGetDatum(now);
	nulls[CORRECTION_FIELDS] = ' ';

	SPI_connect();
	slm_execute_capture(
		slm_kept_plan(&plan,
					  "INSERT INTO slm_feedback.corrections AS c (request_id, "
					  "corrected_text, user_id, note, created_at) "
					  "VALUES ($1, $2, $3, $4, $5) "
					  "ON CONFLICT (request_id, user_id, "
					  "pg_catalog.hashtextextended(corrected_text COLLATE "
					  "pg_catalog.\"C\", 0)) DO UPDATE "
					  "SET note = COALESCE(excluded.note, c.note) "
					  "RETURNING c",
					  CORRECTION_FIELDS + 1, types),
		values, nulls, shared);
	stored = SPI_processed > 0;
	if (stored)
		*row = SPI_datumTransfer(SPI_getbinval(SPI_tuptable->vals[0],
											   SPI_tuptable->tupdesc, 1,
											   &row_null),
								 false, -1);
	SPI_finish();
	if (stored && shared)
		*row = as_said(*row, values[CORRECTION_NOTE], isnull[CORRECTION_NOTE],
					   now);
	return stored;
}

/*
 * submit_correction(request_id, corrected_text, user_id, note) returns the
 * correction as it is stored.
 */
Datum
slm_submit_correction(PG_FUNCTION_ARGS)
{
	CaptureRecord record;
	Refusal why;
	SlmCaller caller;
	Datum values[CORRECTION_FIELDS + 1];
	bool nulls[CORRECTION_FIELDS];
	Datum row = (Datum) 0;
	TimestampTz query_created_at;
	bool known;

	slm_load_arguments(fcinfo, CORRECTION_FIELDS, &record);
	if (!check_correction(&record, &why))
		slm_raise(&why);

	slm_settings_for_write();
	memcpy(values, record.values, sizeof(Datum) * CORRECTION_FIELDS);
	memcpy(nulls, record.nulls, sizeof(nulls));
	slm_apply_user_id_policy(&values[CORRECTION_USER_ID],
							 &nulls[CORRECTION_USER_ID], USER_ID_FROM_CAPTURE);
	slm_apply_redaction(&values[CORRECTION_CORRECTED_TEXT], false);
	slm_apply_redaction(&values[CORRECTION_NOTE], nulls[CORRECTION_NOTE]);

	caller = slm_become_owner();
	known = slm_share_query(values[CORRECTION_REQUEST_ID], &query_created_at) &&
			upsert_correction(values, nulls, GetCurrentTimestamp(), &row);
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
	uint64 withdrawn = 0;
	TimestampTz query_created_at;
	bool user_id_null;
	bool known;

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
	slm_require_own_row(PG_ARGISNULL(1), user_id_null);
	caller = slm_become_owner();
	known = slm_share_query(values[0], &query_created_at);
	if (known)
	{
		SPI_connect();
		SPI_execute_plan(
			slm_kept_plan(&delete_plan,
						  "DELETE FROM slm_feedback.corrections c "
						  "WHERE c.request_id OPERATOR(pg_catalog.=) $1 "
						  "AND c.user_id OPERATOR(pg_catalog.=) $2",
						  2, types),
			values, NULL, false, 0);
		withdrawn = SPI_processed;
		SPI_finish();
	}
	slm_become_caller(caller);

	if (!known)
	{
		slm_refuse_unknown_request(values[0], &why);
		slm_raise(&why);
	}
	PG_RETURN_INT64((int64) withdrawn);
}
