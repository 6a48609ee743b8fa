/*
 * submit_feedback.c
 *		submit_feedback() and withdraw_feedback(): one person's current opinion
 *		on an answer.
 *
 * An opinion grows: what a call gives replaces what the same person said
 * before, what it leaves out stays.  A first opinion is inserted directly
 * (direct_insert.c); one that meets an earlier opinion of the same person, or
 * anything unusual, goes through the kept plan of upsert_by_plan().
 *
 * Without a user id, or under the policy drop, all who judge an answer share
 * one row, and no call can prove which part of it is its own.  So such a call
 * completes the row, but gets back no more than it said, in the result or in
 * an error, and cannot withdraw it.
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
#include "export_changes.h"
#include "direct_insert.h"
#include "guard_triggers.h"
#include "late_marks.h"
#include "question.h"
#include "redact.h"
#include "settings.h"
#include "user_ids.h"

PG_FUNCTION_INFO_V1(slm_submit_feedback);
PG_FUNCTION_INFO_V1(slm_withdraw_feedback);

/* An HTTP gateway that follows PostgREST's convention answers 404. */
#define ERRCODE_UNKNOWN_REQUEST MAKE_SQLSTATE('P', 'T', '4', '0', '4')

const CaptureField slm_feedback_fields[FEEDBACK_FIELDS] = {
	[FEEDBACK_REQUEST_ID] = {"request_id", TEXTOID, 255, true},
	[FEEDBACK_IS_HELPFUL] = {"is_helpful", BOOLOID, 0, false},
	[FEEDBACK_RATING] = {"rating", INT4OID, 0, false},
	[FEEDBACK_COMMENT] = {"comment", TEXTOID, 64 * 1024, false},
	[FEEDBACK_USER_ID] = {"user_id", TEXTOID, 255, true},
};

void
slm_refuse_unknown_request(Datum request_id, Refusal *why)
{
	slm_refuse(why, ERRCODE_UNKNOWN_REQUEST,
			   psprintf("request \"%s\" is not recorded",
						TextDatumGetCString(request_id)),
			   "Feedback belongs to a question that record_query() has stored.",
			   "Check the request id, or record the query first.");
}

/*
 * What an opinion says of the answer, a smallint: 1 good, 0 neither, -1 bad,
 * null nothing.  The thumb decides; without one, the rating, also a smallint.
 * The table's check feedback_sentiment says the same.
 */
Datum
slm_sentiment(NullableDatum is_helpful, NullableDatum rating, bool *isnull)
{
	*isnull = is_helpful.isnull && rating.isnull;
	if (*isnull)
		return (Datum) 0;
	if (!is_helpful.isnull)
		return Int16GetDatum(DatumGetBool(is_helpful.value) ? 1 : -1);
	if (DatumGetInt16(rating.value) == 3)
		return Int16GetDatum(0);
	return Int16GetDatum(DatumGetInt16(rating.value) > 3 ? 1 : -1);
}

bool
slm_check_feedback(CaptureRecord *record, Refusal *why)
{
	if (!slm_check_request_id(record->nulls[FEEDBACK_REQUEST_ID], why))
		return false;
	/* A form sends an empty field for no comment. */
	if (!record->nulls[FEEDBACK_COMMENT] &&
		slm_is_blank_text(DatumGetTextPP(record->values[FEEDBACK_COMMENT])))
		record->nulls[FEEDBACK_COMMENT] = true;
	if (record->nulls[FEEDBACK_IS_HELPFUL] && record->nulls[FEEDBACK_RATING] &&
		record->nulls[FEEDBACK_COMMENT])
		return slm_refuse(
			why, ERRCODE_NULL_VALUE_NOT_ALLOWED, "the feedback says nothing",
			"is_helpful, rating and comment are all null or blank.",
			"Give at least one of them; withdraw_feedback() removes an "
			"opinion.");
	if (!slm_check_lengths(slm_feedback_fields, FEEDBACK_FIELDS, record, why))
		return false;
	if (!record->nulls[FEEDBACK_RATING])
	{
		int32 rating = DatumGetInt32(record->values[FEEDBACK_RATING]);

		if (rating < 1 || rating > 5)
			return slm_refuse(why, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
							  "rating is out of range",
							  psprintf("It is %d; it must lie between 1 and 5.",
									   rating),
							  "Map your scale to 1 (worst) to 5 (best).");
	}
	return true;
}

static Datum
sentiment_of(const CaptureRecord *opinion, bool *isnull)
{
	return slm_sentiment((NullableDatum){opinion->values[FEEDBACK_IS_HELPFUL],
										 opinion->nulls[FEEDBACK_IS_HELPFUL]},
						 (NullableDatum){opinion->values[FEEDBACK_RATING],
										 opinion->nulls[FEEDBACK_RATING]},
						 isnull);
}

/*
 * Insert a first opinion.  False if the executor has to decide, because there
 * is one already or for a reason of direct_insert.c's.
 */
static bool
insert_directly(const CaptureRecord *opinion, TimestampTz now,
				TimestampTz query_created_at, Datum *row)
{
	static const AttrNumber columns[FEEDBACK_FIELDS] = {
		[FEEDBACK_REQUEST_ID] = Anum_feedback_request_id,
		[FEEDBACK_IS_HELPFUL] = Anum_feedback_is_helpful,
		[FEEDBACK_RATING] = Anum_feedback_rating,
		[FEEDBACK_COMMENT] = Anum_feedback_comment,
		[FEEDBACK_USER_ID] = Anum_feedback_user_id,
	};
	DirectTable *table = slm_direct_feedback();
	TupleTableSlot *slot;

	if (table == NULL)
		return false;
	slot = slm_direct_slot(table);
	for (int i = 0; i < FEEDBACK_FIELDS; i++)
	{
		slot->tts_values[columns[i] - 1] = opinion->values[i];
		slot->tts_isnull[columns[i] - 1] = opinion->nulls[i];
	}
	slot->tts_values[Anum_feedback_created_at - 1] = TimestampTzGetDatum(now);
	slot->tts_isnull[Anum_feedback_created_at - 1] = false;
	slot->tts_values[Anum_feedback_updated_at - 1] = TimestampTzGetDatum(now);
	slot->tts_isnull[Anum_feedback_updated_at - 1] = false;
	slot->tts_values[Anum_feedback_query_created_at - 1] =
		TimestampTzGetDatum(query_created_at);
	slot->tts_isnull[Anum_feedback_query_created_at - 1] = false;
	slot->tts_values[Anum_feedback_sentiment - 1] =
		sentiment_of(opinion, &slot->tts_isnull[Anum_feedback_sentiment - 1]);
	if (!slm_direct_insert(table))
		return false;
	if (row != NULL)
		*row = ExecFetchSlotHeapTupleDatum(slot);
	return true;
}

/* What a call without a user id gets back: what it said itself. */
static Datum
as_said(Datum row, const CaptureRecord *opinion, TimestampTz now)
{
	int columns[] = {Anum_feedback_is_helpful, Anum_feedback_rating,
					 Anum_feedback_comment,	   Anum_feedback_created_at,
					 Anum_feedback_updated_at, Anum_feedback_sentiment};
	Datum values[lengthof(columns)] = {opinion->values[FEEDBACK_IS_HELPFUL],
									   opinion->values[FEEDBACK_RATING],
									   opinion->values[FEEDBACK_COMMENT],
									   TimestampTzGetDatum(now),
									   TimestampTzGetDatum(now)};
	bool nulls[lengthof(columns)] = {opinion->nulls[FEEDBACK_IS_HELPFUL],
									 opinion->nulls[FEEDBACK_RATING],
									 opinion->nulls[FEEDBACK_COMMENT]};

	values[5] = sentiment_of(opinion, &nulls[5]);
	return slm_replace_columns(row, lengthof(columns), columns, values, nulls);
}

/* Insert or merge by the executor.  False if the request is unknown. */
static bool
upsert_by_plan(const CaptureRecord *opinion, TimestampTz now,
			   TimestampTz *query_created_at, Datum *row)
{
	static SPIPlanPtr plan = NULL;
	static Oid types[FEEDBACK_FIELDS + 1] = {TEXTOID, BOOLOID, INT2OID,
											 TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Datum values[FEEDBACK_FIELDS + 1];
	char nulls[FEEDBACK_FIELDS + 1];
	SlmPass pass;
	bool shared = opinion->nulls[FEEDBACK_USER_ID];
	bool known;
	bool isnull;

	for (int i = 0; i < FEEDBACK_FIELDS; i++)
	{
		values[i] = opinion->values[i];
		nulls[i] = opinion->nulls[i] ? 'n' : ' ';
	}
	values[FEEDBACK_FIELDS] = TimestampTzGetDatum(now);
	nulls[FEEDBACK_FIELDS] = ' ';

	SPI_connect();
	pass = slm_pass_captured(slm_settings()->feedback_relid);
	slm_execute_capture(
		slm_kept_plan(
			&plan,
			"INSERT INTO slm_feedback.feedback AS f (request_id, user_id, "
			"is_helpful, rating, comment, created_at, updated_at, "
			"query_created_at) "
			"SELECT q.request_id, $5, $2, $3, $4, $6, $6, q.created_at "
			"FROM slm_feedback.queries q "
			"WHERE q.request_id OPERATOR(pg_catalog.=) $1 "
			"ON CONFLICT (request_id, user_id) DO UPDATE SET "
			"is_helpful = COALESCE(excluded.is_helpful, f.is_helpful), "
			"rating = COALESCE(excluded.rating, f.rating), "
			"comment = COALESCE(excluded.comment, f.comment), "
			"updated_at = excluded.updated_at "
			"RETURNING f.query_created_at, f",
			FEEDBACK_FIELDS + 1, types),
		values, nulls, shared);
	slm_end_pass(pass);

	known = SPI_processed > 0;
	if (known)
	{
		*query_created_at = DatumGetTimestampTz(
			SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
						  &isnull));
		if (row != NULL)
			*row = SPI_datumTransfer(SPI_getbinval(SPI_tuptable->vals[0],
												   SPI_tuptable->tupdesc, 2,
												   &isnull),
									 false, -1);
	}
	SPI_finish();
	if (known && shared && row != NULL)
		*row = as_said(*row, opinion, now);
	return known;
}

/*
 * Write a checked opinion, as the owner.  False if the request is unknown.
 * *row, if wanted, is the opinion as it now stands, a composite in the current
 * memory context.
 */
bool
slm_upsert_feedback(CaptureRecord *record, Datum *row)
{
	CaptureRecord opinion = *record;
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz query_created_at;

	slm_apply_user_id_policy(&opinion.values[FEEDBACK_USER_ID],
							 &opinion.nulls[FEEDBACK_USER_ID],
							 USER_ID_FROM_CAPTURE);
	slm_apply_redaction(&opinion.values[FEEDBACK_COMMENT],
						opinion.nulls[FEEDBACK_COMMENT]);
	opinion.values[FEEDBACK_RATING] =
		Int16GetDatum((int16) DatumGetInt32(record->values[FEEDBACK_RATING]));

	if (!slm_share_query(opinion.values[FEEDBACK_REQUEST_ID],
						 &query_created_at))
		return false;
	if (!insert_directly(&opinion, now, query_created_at, row) &&
		!upsert_by_plan(&opinion, now, &query_created_at, row))
		return false;
	slm_note_write(query_created_at);
	return true;
}

/*
 * submit_feedback(request_id, is_helpful, rating, comment, user_id) returns
 * the opinion as it now stands.
 */
Datum
slm_submit_feedback(PG_FUNCTION_ARGS)
{
	CaptureRecord record;
	Refusal why;
	SlmCaller caller;
	Datum row = (Datum) 0;
	bool known;

	slm_load_arguments(fcinfo, FEEDBACK_FIELDS, &record);
	if (!slm_check_feedback(&record, &why))
		slm_raise(&why);

	slm_settings_for_write();
	caller = slm_become_owner();
	known = slm_upsert_feedback(&record, &row);
	slm_become_caller(caller);

	if (!known)
	{
		slm_refuse_unknown_request(record.values[FEEDBACK_REQUEST_ID], &why);
		slm_raise(&why);
	}
	PG_RETURN_DATUM(row);
}

/*
 * Refuse to withdraw what is stored without a user id: it may be somebody
 * else's.
 */
void
slm_require_own_row(bool given_null, bool stored_null)
{
	if (given_null)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("user_id must not be null"),
				 errdetail("What was said without a user id can be anybody's."),
				 errhint("Give a session id as the user id of anonymous "
						 "people, here and in the call that is withdrawn.")));
	if (stored_null)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("nothing can be withdrawn under the user-id policy "
						"\"drop\""),
				 errdetail("No user id is stored that would tell whose it "
						   "is.")));
}

/*
 * withdraw_feedback(request_id, user_id) returns whether there was an opinion.
 */
Datum
slm_withdraw_feedback(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr delete_plan = NULL;
	static Oid types[2] = {TEXTOID, TEXTOID};
	CaptureRecord record;
	Refusal why;
	SlmCaller caller;
	Datum values[2];
	bool user_id_null;
	TimestampTz query_created_at;
	SlmPass pass;
	bool known;
	bool withdrawn = false;

	for (int i = 0; i < FEEDBACK_FIELDS; i++)
		record.nulls[i] = true;
	record.nulls[FEEDBACK_REQUEST_ID] = PG_ARGISNULL(0);
	record.nulls[FEEDBACK_USER_ID] = PG_ARGISNULL(1);
	values[0] = record.values[FEEDBACK_REQUEST_ID] = PG_GETARG_DATUM(0);
	values[1] = record.values[FEEDBACK_USER_ID] = PG_GETARG_DATUM(1);
	if (!slm_check_request_id(PG_ARGISNULL(0), &why) ||
		!slm_check_lengths(slm_feedback_fields, FEEDBACK_FIELDS, &record, &why))
		slm_raise(&why);

	slm_settings_for_write();
	user_id_null = PG_ARGISNULL(1);
	slm_apply_user_id_policy(&values[1], &user_id_null, USER_ID_FROM_CAPTURE);
	slm_require_own_row(PG_ARGISNULL(1), user_id_null);
	caller = slm_become_owner();
	known = slm_share_query(values[0], &query_created_at);
	if (known)
	{
		SPI_connect();
		pass = slm_pass_captured(slm_settings()->feedback_relid);
		SPI_execute_plan(
			slm_kept_plan(&delete_plan,
						  "DELETE FROM slm_feedback.feedback f "
						  "WHERE f.request_id OPERATOR(pg_catalog.=) $1 "
						  "AND f.user_id OPERATOR(pg_catalog.=) $2",
						  2, types),
			values, NULL, false, 0);
		slm_end_pass(pass);
		withdrawn = SPI_processed > 0;
		SPI_finish();
	}
	if (withdrawn)
	{
		slm_note_write(query_created_at);
		slm_note_removal(values[0], false);
	}
	slm_become_caller(caller);

	if (!known)
	{
		slm_refuse_unknown_request(values[0], &why);
		slm_raise(&why);
	}
	PG_RETURN_BOOL(withdrawn);
}
