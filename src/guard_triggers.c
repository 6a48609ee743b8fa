/*
 * guard_triggers.c
 *		The extension's rules on writes that do not come through its functions.
 *
 * Invariants upheld for INSERT, COPY, UPDATE, DELETE and logical replication
 * alike: every late write marks its day (late_marks.c); a query's request id
 * and created_at never change; feedback.query_created_at equals its query's
 * created_at, and feedback.sentiment is what its thumb and rating make; user
 * ids follow the policy (user_ids.c), and texts the redaction setting
 * (redact.c); a removal leaves a tombstone (export_changes.c).  Rows that a
 * capture function writes pass through once they have a sentiment: the
 * function has done the rest already.  Rows that retention purges mark no day,
 * since theirs are frozen (retention.c).  Both hold for the function's own
 * statement only, and not for what a trigger of the DBA's does in it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "capture.h"
#include "compat.h"
#include "export_changes.h"
#include "guard_triggers.h"
#include "late_marks.h"
#include "redact.h"
#include "settings.h"
#include "user_ids.h"

PG_FUNCTION_INFO_V1(slm_guard_queries);
PG_FUNCTION_INFO_V1(slm_guard_feedback);
PG_FUNCTION_INFO_V1(slm_guard_corrections);
PG_FUNCTION_INFO_V1(slm_guard_truncate);

/* The statement in progress that passes, or none: zeroes. */
static SlmPass pass;

/* The columns that redaction at write covers. */
static const char *const query_texts[] = {"query_text", "response_text"};
static const char *const feedback_texts[] = {"comment"};
static const char *const correction_texts[] = {"corrected_text", "note"};

/*
 * Let the next statement's writes to a table pass, or all those of a purge.
 * Returns what has to be given to slm_end_pass() after the statement.
 */
static SlmPass
begin_pass(Oid relid, bool purge)
{
	SlmPass before = pass;

	pass.relid = relid;
	pass.purge = purge;
	pass.trigger_depth =
		DatumGetInt32(OidFunctionCall0(F_PG_TRIGGER_DEPTH)) + 1;
	pass.nest_level = GetCurrentTransactionNestLevel();
	return before;
}

SlmPass
slm_pass_captured(Oid relid)
{
	return begin_pass(relid, false);
}

SlmPass
slm_pass_purged(void)
{
	return begin_pass(InvalidOid, true);
}

void
slm_end_pass(SlmPass before)
{
	pass = before;
}

/* Is this a row of the statement that passes, and not of a trigger in it? */
static bool
passes(TriggerData *trigger)
{
	return (pass.purge ||
			pass.relid == RelationGetRelid(trigger->tg_relation)) &&
		   pass.trigger_depth ==
			   DatumGetInt32(OidFunctionCall0(F_PG_TRIGGER_DEPTH));
}

/* An error skips slm_end_pass(): what it ends passes no more. */
static void
at_transaction_event(XactEvent event, void *arg)
{
	pass = (SlmPass){0};
}

static void
at_subtransaction_event(SubXactEvent event, SubTransactionId subid,
						SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB &&
		pass.nest_level >= GetCurrentTransactionNestLevel())
		pass = (SlmPass){0};
}

void
slm_guard_triggers_init(void)
{
	RegisterXactCallback(at_transaction_event, NULL);
	RegisterSubXactCallback(at_subtransaction_event, NULL);
}

static TriggerData *
trigger_data(FunctionCallInfo fcinfo, const char *name)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("%s must be called as a trigger", name)));
	return (TriggerData *) fcinfo->context;
}

static Datum
column(TriggerData *trigger, HeapTuple row, const char *name, bool *isnull)
{
	TupleDesc desc = RelationGetDescr(trigger->tg_relation);
	int attnum = SPI_fnumber(desc, name);

	if (attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" is missing", name,
						RelationGetRelationName(trigger->tg_relation))));
	return heap_getattr(row, attnum, desc, isnull);
}

static bool
same_text(TriggerData *trigger, const char *name)
{
	bool old_null;
	bool new_null;
	Datum before = column(trigger, trigger->tg_trigtuple, name, &old_null);
	Datum after = column(trigger, trigger->tg_newtuple, name, &new_null);

	if (old_null || new_null)
		return old_null == new_null;
	return DatumGetBool(
		DirectFunctionCall2Coll(texteq, C_COLLATION_OID, before, after));
}

static void
refuse_change(TriggerData *trigger, const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("column \"%s\" of table \"slm_feedback.%s\" cannot "
						   "be changed",
						   name, RelationGetRelationName(trigger->tg_relation)),
					errhint("Delete the row and insert it anew.")));
}

static TimestampTz
timestamp_column(TriggerData *trigger, HeapTuple row, const char *name)
{
	bool isnull;
	Datum value = column(trigger, row, name, &isnull);

	/* A null is refused by the column's NOT NULL right after us. */
	return isnull ? GetCurrentTransactionStartTimestamp()
				  : DatumGetTimestampTz(value);
}

/*
 * The row as the policies store it: its user id, and its texts if redaction at
 * write is on.
 */
static HeapTuple
as_stored(TriggerData *trigger, HeapTuple row, const char *const *texts,
		  int ntexts)
{
	TupleDesc desc = RelationGetDescr(trigger->tg_relation);
	bool isnull;
	bool stored_null;
	Datum given = column(trigger, row, "user_id", &isnull);
	Datum stored = given;
	int attnum;

	stored_null = isnull;
	slm_apply_user_id_policy(&stored, &stored_null, USER_ID_FROM_TABLE);
	if (stored != given || stored_null != isnull)
	{
		attnum = SPI_fnumber(desc, "user_id");
		row = heap_modify_tuple_by_cols(row, desc, 1, &attnum, &stored,
										&stored_null);
	}
	for (int i = 0; i < ntexts; i++)
	{
		given = stored = column(trigger, row, texts[i], &isnull);
		slm_apply_redaction(&stored, isnull);
		if (stored == given)
			continue;
		attnum = SPI_fnumber(desc, texts[i]);
		row =
			heap_modify_tuple_by_cols(row, desc, 1, &attnum, &stored, &isnull);
	}
	return row;
}

/* An opinion with the sentiment that its thumb and rating make. */
static HeapTuple
with_sentiment(TriggerData *trigger, HeapTuple row)
{
	TupleDesc desc = RelationGetDescr(trigger->tg_relation);
	NullableDatum is_helpful;
	NullableDatum rating;
	bool before_null;
	bool isnull;
	Datum before = column(trigger, row, "sentiment", &before_null);
	Datum sentiment;
	int attnum = SPI_fnumber(desc, "sentiment");

	is_helpful.value = column(trigger, row, "is_helpful", &is_helpful.isnull);
	rating.value = column(trigger, row, "rating", &rating.isnull);
	sentiment = slm_sentiment(is_helpful, rating, &isnull);
	if (isnull == before_null && (isnull || sentiment == before))
		return row;
	return heap_modify_tuple_by_cols(row, desc, 1, &attnum, &sentiment,
									 &isnull);
}

/* A tombstone for the answer of a row that is being deleted. */
static void
note_removal(TriggerData *trigger)
{
	bool isnull;
	Datum request_id =
		column(trigger, trigger->tg_trigtuple, "request_id", &isnull);

	slm_note_removal(request_id, isnull);
}

Datum
slm_guard_queries(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = trigger_data(fcinfo, "guard_queries");
	TimestampTz created_at;
	HeapTuple row;
	Refusal why;

	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple
													 : trigger->tg_trigtuple;
	/* What is purged leaves a tombstone, too. */
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		note_removal(trigger);
	if (passes(trigger))
		return PointerGetDatum(row);

	created_at = timestamp_column(trigger, trigger->tg_trigtuple, "created_at");
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		if (!same_text(trigger, "request_id"))
			refuse_change(trigger, "request_id");
		if (timestamp_column(trigger, row, "created_at") != created_at)
			refuse_change(trigger, "created_at");
	}
	else if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event) &&
			 !slm_check_created_at(created_at, &why))
		slm_raise(&why);

	slm_note_write(created_at);
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		return PointerGetDatum(row);
	return PointerGetDatum(
		as_stored(trigger, row, query_texts, lengthof(query_texts)));
}

/*
 * The query that a written opinion belongs to.  A new row's is locked now: the
 * foreign key locks it at the end of the statement, when it may be another one
 * of the same id.
 */
static bool
find_parent(TriggerData *trigger, Datum request_id, TimestampTz *created_at)
{
	if (!TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		return slm_find_query(request_id, created_at);
	LockRelationOid(slm_settings()->queries_relid, RowShareLock);
	return slm_share_query(request_id, created_at);
}

Datum
slm_guard_feedback(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = trigger_data(fcinfo, "guard_feedback");
	Relation rel = trigger->tg_relation;
	TimestampTz query_created_at;
	HeapTuple row = trigger->tg_trigtuple;
	Datum request_id;
	Refusal why;
	bool isnull;

	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		row = trigger->tg_newtuple;
	if (!TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		row = with_sentiment(trigger, row);
	if (passes(trigger))
		return PointerGetDatum(row);

	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
	{
		/* A row that goes with its query needs no tombstone of its own. */
		request_id = column(trigger, row, "request_id", &isnull);
		if (slm_find_query(request_id, &query_created_at))
			note_removal(trigger);
		else if (pass.purge)
			return PointerGetDatum(row);
		slm_note_write(timestamp_column(trigger, row, "query_created_at"));
		return PointerGetDatum(row);
	}
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) &&
		!same_text(trigger, "request_id"))
		refuse_change(trigger, "request_id");

	request_id = column(trigger, row, "request_id", &isnull);
	if (!isnull && find_parent(trigger, request_id, &query_created_at))
	{
		int attnum = SPI_fnumber(RelationGetDescr(rel), "query_created_at");
		Datum value = TimestampTzGetDatum(query_created_at);

		row = heap_modify_tuple_by_cols(row, RelationGetDescr(rel), 1, &attnum,
										&value, &(bool){false});
		slm_note_write(query_created_at);
	}
	else if (!isnull)
	{
		/* The foreign key can't say it: NOT NULL is checked before it. */
		(void) column(trigger, row, "query_created_at", &isnull);
		if (isnull)
		{
			slm_refuse_unknown_request(request_id, &why);
			why.sqlstate = ERRCODE_FOREIGN_KEY_VIOLATION;
			slm_raise(&why);
		}
		/* Where no foreign key is checked, the query may come later. */
		slm_note_write(timestamp_column(trigger, row, "query_created_at"));
	}
	return PointerGetDatum(
		as_stored(trigger, row, feedback_texts, lengthof(feedback_texts)));
}

/*
 * Corrections: user ids follow the policy, whoever writes them, and a removal
 * leaves a tombstone.
 */
Datum
slm_guard_corrections(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = trigger_data(fcinfo, "guard_corrections");
	HeapTuple row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event)
						? trigger->tg_newtuple
						: trigger->tg_trigtuple;
	TimestampTz query_created_at;
	bool isnull;

	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
	{
		if (slm_find_query(column(trigger, row, "request_id", &isnull),
						   &query_created_at))
			note_removal(trigger);
		return PointerGetDatum(row);
	}
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) &&
		!same_text(trigger, "request_id"))
		refuse_change(trigger, "request_id");
	return PointerGetDatum(
		as_stored(trigger, row, correction_texts, lengthof(correction_texts)));
}

/*
 * TRUNCATE: every day that has metrics changes, and no reader of changes can
 * be told what is gone.
 */
Datum
slm_guard_truncate(PG_FUNCTION_ARGS)
{
	SlmCaller caller;

	(void) trigger_data(fcinfo, "guard_truncate");
	caller = slm_become_owner();
	SPI_connect();
	SPI_execute("INSERT INTO slm_feedback.rollup_queue (date) "
				"SELECT DISTINCT m.date FROM slm_feedback.daily_metrics m",
				false, 0);
	SPI_finish();
	slm_become_caller(caller);
	slm_note_removal((Datum) 0, true);
	return PointerGetDatum(NULL);
}
