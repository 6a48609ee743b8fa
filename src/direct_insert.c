/*
 * direct_insert.c
 *		Insert one row into a table of the extension without an executor run.
 *
 * record_query() and submit_feedback() nearly always insert one row that meets
 * no conflict.  An executor run for it spends most of its time on starting and
 * ending, and the foreign key's trigger runs another.  Here the same steps are
 * taken directly: the parent is looked up by its key and locked FOR KEY SHARE,
 * generated columns and check constraints are evaluated by expressions that
 * are kept while the table does not change, and the row is inserted
 * speculatively, as ON CONFLICT does it.
 *
 * This path only ever does the plain case.  It refuses, having written nothing
 * that anybody can see, and leaves the row to the kept plan of the caller,
 * whenever something is not as the extension made it (another trigger, rule,
 * column, foreign key or policy, an index with expressions), when a constraint
 * fails (the executor words the error), and when the key is taken (the
 * executor resolves conflicts at every isolation level).
 *
 * What replaces the foreign key's trigger: slm_lock_query() finds the parent
 * and locks it before the insert, as slm_find_and_share_query() does by the
 * executor.  (The trigger locks after the insert, too late for created_at,
 * which is copied from the parent.)  From then until our end nobody can delete
 * the parent or change its key.  The lock is taken as ExecLockRows() takes it,
 * and each result means the same:
 *
 *	                 RI trigger, ExecLockRows()      slm_lock_query()
 *	snapshot         the transaction's, a new one under READ COMMITTED: both.
 *	                 The trigger's crosscheck snapshot is for partitioned
 *	                 parents only, which is_as_we_made_it() refuses
 *	command id       after what the statement wrote: both
 *	lock, wait       KEY SHARE, block: both
 *	LOCK_UPDATE_IN_PROGRESS (hold newer versions of the row, too)
 *	                 always                          always
 *	FIND_LAST_VERSION (go on to the newest one if the key is changing)
 *	                 READ COMMITTED                  READ COMMITTED
 *	TM_Ok            locked                          QUERY_LOCKED
 *	TM_Ok, traversed qual again on the new version   key compared again:
 *	                                                 LOCKED or UNKNOWN
 *	TM_Updated       40001 (not in READ COMMITTED)   QUERY_UNSURE: plan, 40001
 *	TM_Deleted       no row; else 40001              UNKNOWN; else UNSURE
 *	TM_SelfModified  no row                          QUERY_UNSURE
 *	TM_Invisible     internal error                  QUERY_UNSURE
 *	TM_WouldBlock    not without NOWAIT, SKIP LOCKED QUERY_UNSURE
 *
 * "Else" is REPEATABLE READ and SERIALIZABLE, where the executor, asked with
 * the same snapshot, meets the same result and raises the error.  Predicate
 * locks for SERIALIZABLE are taken by the index scan, the table and the insert
 * themselves.  test/locks compares both ways over all orders of events.
 *
 * Everything kept is of plain memory: expressions, index descriptions and a
 * virtual slot with a row description of its own.  Relations, buffers and
 * snapshots are taken and returned by each call, so an error leaves nothing
 * behind.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "capture.h"
#include "compat.h"
#include "direct_insert.h"
#include "settings.h"

typedef struct DirectColumn
{
	const char *name;
	Oid type;
} DirectColumn;

struct DirectTable
{
	const char *name;
	const DirectColumn *columns; /* all columns, in their order */
	int natts;
	int nkeys;				 /* so many of the first columns are the key */
	const char *foreign_key; /* the one whose check slm_lock_query() does */

	/* Kept while the relation does not change. */
	bool valid;
	bool usable; /* as the extension made it */
	Oid relid;
	Oid key_index; /* the unique index that ON CONFLICT would name */
	MemoryContext context;
	EState *estate; /* holds no relation, only expression memory */
	TupleTableSlot *slot;
	int nindexes;
	Oid *index_oids;
	IndexInfo **indexes;
	ExprState **generated; /* by attribute, or NULL */
	int nchecks;
	ExprState **checks;
};

static const DirectColumn queries_columns[Natts_queries] = {
	{"request_id", TEXTOID},
	{"query_text", TEXTOID},
	{"response_text", TEXTOID},
	{"created_at", TIMESTAMPTZOID},
	{"user_id", TEXTOID},
	{"session_id", TEXTOID},
	{"response_time_ms", INT4OID},
	{"sources_used", JSONBOID},
	{"model", TEXTOID},
	{"prompt_version", TEXTOID},
	{"input_tokens", INT4OID},
	{"output_tokens", INT4OID},
	{"cost_usd", NUMERICOID},
	{"error", TEXTOID},
	{"tags", JSONBOID},
	{"metadata", JSONBOID},
	{"question_hash", INT8OID},
};

static const DirectColumn feedback_columns[Natts_feedback] = {
	{"request_id", TEXTOID},		{"user_id", TEXTOID},
	{"is_helpful", BOOLOID},		{"rating", INT2OID},
	{"comment", TEXTOID},			{"created_at", TIMESTAMPTZOID},
	{"updated_at", TIMESTAMPTZOID}, {"query_created_at", TIMESTAMPTZOID},
	{"sentiment", INT2OID},
};

static DirectTable queries = {.name = "queries",
							  .columns = queries_columns,
							  .natts = Natts_queries,
							  .nkeys = 1};
static DirectTable feedback = {.name = "feedback",
							   .columns = feedback_columns,
							   .natts = Natts_feedback,
							   .nkeys = 2,
							   .foreign_key = "feedback_request_id_fkey"};

static bool direct_insert = true;

static void
invalidate_table(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == queries.relid)
		queries.valid = false;
	if (relid == InvalidOid || relid == feedback.relid)
		feedback.valid = false;
}

void
slm_direct_insert_init(void)
{
	DefineCustomBoolVariable(
		"slm_feedback.direct_insert",
		"Lets capture functions insert rows without an executor run.",
		"Turn it off where an extension that works on plans or on executor "
		"runs (an auditing hook, say) must see every write.",
		&direct_insert, true, PGC_SUSET, 0, NULL, NULL, NULL);
	CacheRegisterRelcacheCallback(invalidate_table, (Datum) 0);
}

/*
 * Are the triggers that an INSERT would fire ours: the guard, which passes
 * captured rows through, and the check of the one foreign key?
 */
static bool
has_our_triggers_only(DirectTable *table, Relation rel)
{
	/* A copy: the look-up of a name may rebuild the relation's entry. */
	TriggerDesc *triggers = CopyTriggerDesc(rel->trigdesc);

	if (triggers == NULL)
		return true;
	for (int i = 0; i < triggers->numtriggers; i++)
	{
		Trigger *trigger = &triggers->triggers[i];

		if (!TRIGGER_FOR_INSERT(trigger->tgtype))
			continue;
		if (trigger->tgisinternal)
		{
			char *constraint = OidIsValid(trigger->tgconstraint)
								   ? get_constraint_name(trigger->tgconstraint)
								   : NULL;

			if (table->foreign_key == NULL || constraint == NULL ||
				strcmp(constraint, table->foreign_key) != 0 ||
				trigger->tgconstrrelid != slm_settings()->queries_relid)
				return false;
		}
		else if (strcmp(trigger->tgname, "guard") != 0)
			return false;
	}
	return true;
}

/* Are the columns those that the capture functions fill, in their order? */
static bool
has_our_columns_only(DirectTable *table, TupleDesc desc)
{
	if (desc->natts != table->natts)
		return false;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (column->attisdropped ||
			strcmp(NameStr(column->attname), table->columns[i].name) != 0 ||
			column->atttypid != table->columns[i].type ||
			column->atttypmod != -1)
			return false;
	}
	return true;
}

static bool
is_as_we_made_it(DirectTable *table, Relation rel)
{
	return rel->rd_rel->relkind == RELKIND_RELATION &&
		   !rel->rd_rel->relispartition && !rel->rd_rel->relhassubclass &&
		   !rel->rd_rel->relrowsecurity && rel->rd_rules == NULL &&
		   has_our_columns_only(table, RelationGetDescr(rel)) &&
		   has_our_triggers_only(table, rel);
}

/*
 * Is this index on the columns that identify a row, in their order, and can
 * slm_lock_query() search it?
 */
static bool
has_key_columns(DirectTable *table, Relation index, IndexInfo *info)
{
	if (info->ii_NumIndexKeyAttrs != table->nkeys)
		return false;
	for (int i = 0; i < table->nkeys; i++)
		if (info->ii_IndexAttrNumbers[i] != i + 1 ||
			index->rd_indcollation[i] != C_COLLATION_OID ||
			index->rd_opfamily[i] != TEXT_BTREE_FAM_OID)
			return false;
	return true;
}

/* The indexes; false if one needs more than plain columns. */
static bool
keep_indexes(DirectTable *table, Relation rel)
{
	List *oids = RelationGetIndexList(rel);
	ListCell *cell;
	int i = 0;

	table->nindexes = list_length(oids);
	table->index_oids = palloc(sizeof(Oid) * table->nindexes);
	table->indexes = palloc(sizeof(IndexInfo *) * table->nindexes);
	table->key_index = InvalidOid;
	foreach (cell, oids)
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);
		IndexInfo *info = BuildIndexInfo(index);
		bool plain = index->rd_rel->relam == BTREE_AM_OID &&
					 info->ii_Expressions == NIL && info->ii_Predicate == NIL &&
					 info->ii_ExclusionOps == NULL;

		if (plain && info->ii_Unique && index->rd_index->indimmediate &&
			index->rd_index->indisvalid &&
			has_key_columns(table, index, info) &&
			!OidIsValid(table->key_index))
		{
			BuildSpeculativeIndexInfo(index, info);
			table->key_index = lfirst_oid(cell);
		}
		else if (info->ii_Unique)
			plain = false; /* a key of the DBA's own */
		table->index_oids[i] = lfirst_oid(cell);
		table->indexes[i++] = info;
		index_close(index, NoLock);
		if (!plain)
			return false;
	}
	list_free(oids);
	return OidIsValid(table->key_index);
}

static void
keep_expressions(DirectTable *table, Relation rel)
{
	TupleConstr *constr = RelationGetDescr(rel)->constr;

	table->generated = palloc0(sizeof(ExprState *) * table->natts);
	for (int i = 0; i < table->natts; i++)
		if (TupleDescAttr(RelationGetDescr(rel), i)->attgenerated)
			table->generated[i] =
				ExecPrepareExpr((Expr *) build_column_default(rel, i + 1),
								table->estate);

	table->nchecks = constr ? constr->num_check : 0;
	table->checks = palloc(sizeof(ExprState *) * (table->nchecks + 1));
	for (int i = 0; i < table->nchecks; i++)
		table->checks[i] = ExecPrepareExpr(stringToNode(constr->check[i].ccbin),
										   table->estate);
}

static void
keep_table(DirectTable *table, Relation rel)
{
	MemoryContext old;

	if (table->context != NULL)
		MemoryContextDelete(table->context);
	table->context =
		AllocSetContextCreate(TopMemoryContext, "slm_feedback direct insert",
							  ALLOCSET_SMALL_SIZES);
	table->relid = RelationGetRelid(rel);
	table->usable = false;
	/* An invalidation from here on counts; an error leaves it not usable. */
	table->valid = true;

	old = MemoryContextSwitchTo(table->context);
	if (is_as_we_made_it(table, rel) && keep_indexes(table, rel))
	{
		/* CreateExecutorState() makes a child of the current context. */
		table->estate = CreateExecutorState();
		table->slot = MakeSingleTupleTableSlot(CreateTupleDescCopyConstr(
												   RelationGetDescr(rel)),
											   &TTSOpsVirtual);
		keep_expressions(table, rel);
		table->usable = true;
	}
	MemoryContextSwitchTo(old);
	ereport(DEBUG1,
			(errmsg_internal("slm_feedback writes table \"%s\" %s", table->name,
							 table->usable ? "directly" : "by the executor")));
}

static DirectTable *
direct_table(DirectTable *table, Oid relid)
{
	if (!direct_insert)
		return NULL;
	if (!table->valid || table->relid != relid)
	{
		/* The caller's lock will do: a stronger one would break the order. */
		Relation rel = table_open(relid, NoLock);

		keep_table(table, rel);
		table_close(rel, NoLock);
	}
	return table->usable ? table : NULL;
}

/*
 * The table queries or feedback if rows can be inserted directly, or NULL.
 * The caller holds a lock on queries, RowExclusiveLock if it inserts
 * (slm_settings_for_write).
 */
DirectTable *
slm_direct_queries(void)
{
	return direct_table(&queries, slm_settings()->queries_relid);
}

DirectTable *
slm_direct_feedback(void)
{
	Oid relid = slm_settings()->feedback_relid;

	LockRelationOid(relid, RowExclusiveLock);
	return direct_table(&feedback, relid);
}

/* A slot of nulls for the row, for the caller to fill in. */
TupleTableSlot *
slm_direct_slot(DirectTable *table)
{
	ResetPerTupleExprContext(table->estate);
	ExecClearTuple(table->slot);
	memset(table->slot->tts_isnull, true, sizeof(bool) * table->natts);
	return table->slot;
}

/* Generated columns and constraints; false if a constraint is not met. */
static bool
complete_row(DirectTable *table)
{
	ExprContext *econtext = GetPerTupleExprContext(table->estate);
	TupleTableSlot *slot = table->slot;
	TupleDesc desc = slot->tts_tupleDescriptor;
	MemoryContext old =
		MemoryContextSwitchTo(GetPerTupleMemoryContext(table->estate));
	bool met = true;

	econtext->ecxt_scantuple = slot;
	for (int i = 0; i < table->natts; i++)
		if (table->generated[i] != NULL)
			slot->tts_values[i] = ExecEvalExpr(table->generated[i], econtext,
											   &slot->tts_isnull[i]);
	for (int i = 0; i < table->natts && met; i++)
		met = !slot->tts_isnull[i] || !TupleDescAttr(desc, i)->attnotnull;
	for (int i = 0; i < table->nchecks && met; i++)
		met = ExecCheck(table->checks[i], econtext);
	MemoryContextSwitchTo(old);
	return met;
}

/*
 * Insert the row in the table's slot.  False if it was not inserted and the
 * executor has to decide.
 */
bool
slm_direct_insert(DirectTable *table)
{
	ResultRelInfo *target;
	List *arbiters;
	Relation rel;
	Relation *indexes;
	ItemPointerData conflict;
	bool taken;

	ExecStoreVirtualTuple(table->slot);
	if (!complete_row(table))
		return false;

	arbiters = list_make1_oid(table->key_index);
	target = makeNode(ResultRelInfo);
	rel = table_open(table->relid, NoLock);
	indexes = palloc(sizeof(Relation) * table->nindexes);
	for (int i = 0; i < table->nindexes; i++)
		indexes[i] = index_open(table->index_oids[i], RowExclusiveLock);
	target->ri_RelationDesc = rel;
	target->ri_NumIndices = table->nindexes;
	target->ri_IndexRelationDescs = indexes;
	target->ri_IndexRelationInfo = table->indexes;

	taken =
		!SLM_EXEC_CHECK_INDEX_CONSTRAINTS(target, table->slot, table->estate,
										  &conflict, arbiters);
	if (!taken)
	{
		uint32 token =
			SpeculativeInsertionLockAcquire(GetCurrentTransactionId());

		table_tuple_insert_speculative(rel, table->slot,
									   GetCurrentCommandId(true), 0, NULL,
									   token);
		list_free(SLM_EXEC_INSERT_INDEX_TUPLES(target, table->slot,
											   table->estate, &taken,
											   arbiters));
		table_tuple_complete_speculative(rel, table->slot, token, !taken);
		SpeculativeInsertionLockRelease(GetCurrentTransactionId());
		CommandCounterIncrement();
	}

	for (int i = 0; i < table->nindexes; i++)
		index_close(indexes[i], NoLock);
	table_close(rel, NoLock);
	return !taken;
}

/* Is this version of a query still the one with the request id? */
static bool
has_request_id(TupleTableSlot *slot, Datum request_id)
{
	bool isnull;
	Datum id = slot_getattr(slot, Anum_queries_request_id, &isnull);

	return !isnull &&
		   DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, id,
												request_id));
}

/* Lock the version of a query that is in the slot: see the file's head. */
static QueryLock
lock_version(Relation rel, Snapshot snapshot, TupleTableSlot *slot,
			 Datum request_id)
{
	bool newest_wins = !IsolationUsesXactSnapshot();
	uint8 flags = TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS;
	ItemPointerData tid = slot->tts_tid;
	TM_FailureData found;

	if (newest_wins)
		flags |= TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
	switch (table_tuple_lock(rel, &tid, snapshot, slot,
							 GetCurrentCommandId(true), LockTupleKeyShare,
							 LockWaitBlock, flags, &found))
	{
		case TM_Ok:
			if (found.traversed && !has_request_id(slot, request_id))
				return QUERY_UNKNOWN;
			return QUERY_LOCKED;
		case TM_Deleted:
			return newest_wins ? QUERY_UNKNOWN : QUERY_UNSURE;
		default:
			return QUERY_UNSURE;
	}
}

/*
 * Find a query by its request id and lock it FOR KEY SHARE until the end of
 * the transaction.  Sets *created_at.  The caller holds RowShareLock or
 * RowExclusiveLock on queries.
 */
QueryLock
slm_lock_query(Datum request_id, TimestampTz *created_at)
{
	DirectTable *table = slm_direct_queries();
	QueryLock result = QUERY_UNKNOWN;
	Relation rel;
	Relation index;
	TupleTableSlot *slot;
	Snapshot snapshot;
	IndexScanDesc scan;
	ScanKeyData key;
	bool isnull;

	if (table == NULL)
		return QUERY_UNSURE;
	/* See what this very statement has written, as an executor run would. */
	CommandCounterIncrement();
	rel = table_open(table->relid, NoLock);
	index = index_open(table->key_index, AccessShareLock);
	slot = table_slot_create(rel, NULL);
	PushActiveSnapshot(GetTransactionSnapshot());
	snapshot = GetActiveSnapshot();
	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_TEXTEQ, request_id);
	scan = SLM_INDEX_BEGINSCAN(rel, index, snapshot, 1);
	index_rescan(scan, &key, 1, NULL, 0);
	if (index_getnext_slot(scan, ForwardScanDirection, slot))
		result = lock_version(rel, snapshot, slot, request_id);
	if (result == QUERY_LOCKED)
		*created_at = DatumGetTimestampTz(
			slot_getattr(slot, Anum_queries_created_at, &isnull));
	index_endscan(scan);
	PopActiveSnapshot();
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, NoLock);
	table_close(rel, NoLock);
	return result;
}
