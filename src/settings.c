/*
 * settings.c
 *		A backend's copy of the settings row, and of what rollup_state says
 *		about closed days.
 *
 * The copy is read with the latest snapshot, not the transaction's: a writer
 * under REPEATABLE READ must decide by the time zone that is in force now.
 * It is dropped when the relcache entry of one of the two tables is
 * invalidated, which a trigger of the table does on every change that counts.
 * A transaction processes pending invalidations when it begins and with each
 * lock, so what it sees is never older than its own start (late_marks.c).
 * set_time_zone() locks out writers while it changes the zone, and writers take
 * their table lock before they read the copy, so no write can be judged by a
 * zone that has been replaced.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "distributed.h"
#include "settings.h"
#include "version.h"
#include "worker.h"

PG_FUNCTION_INFO_V1(slm_settings_changed);
PG_FUNCTION_INFO_V1(slm_rollup_state_changed);

static SlmSettings settings;

static void
invalidate_settings(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == settings.settings_relid ||
		relid == settings.rollup_state_relid ||
		relid == settings.queries_relid || relid == settings.feedback_relid)
		settings.valid = false;
}

void
slm_settings_init(void)
{
	CacheRegisterRelcacheCallback(invalidate_settings, (Datum) 0);
}

static Oid
extension_table(Oid namespace, const char *name)
{
	Oid relid = get_relname_relid(name, namespace);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"slm_feedback.%s\" does not exist", name),
				 errhint("Run CREATE EXTENSION slm_feedback CASCADE.")));
	return relid;
}

static Oid
table_owner(Oid relid)
{
	Relation rel = table_open(relid, AccessShareLock);
	Oid owner = rel->rd_rel->relowner;

	table_close(rel, AccessShareLock);
	return owner;
}

static UserIdPolicy
find_policy(const char *name)
{
	if (strcmp(name, "pseudonym") == 0)
		return USER_ID_PSEUDONYM;
	if (strcmp(name, "drop") == 0)
		return USER_ID_DROP;
	return USER_ID_PLAIN;
}

/* A column of the row, found by its name. */
static Datum
setting(TupleTableSlot *slot, const char *column, bool *isnull)
{
	int attnum = SPI_fnumber(slot->tts_tupleDescriptor, column);

	if (attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of the settings or of rollup_state is "
						"missing",
						column),
				 errhint("Run ALTER EXTENSION slm_feedback UPDATE.")));
	return slot_getattr(slot, attnum, isnull);
}

static DateADT
last_date(DateADT day, TupleTableSlot *slot, const char *column)
{
	bool isnull;
	Datum value = setting(slot, column, &isnull);

	return isnull ? day : Max(day, DatumGetDateADT(value));
}

typedef void (*RowReader)(TupleTableSlot *slot, SlmSettings *into);

static void
read_settings_row(TupleTableSlot *slot, SlmSettings *into)
{
	bool isnull;

	into->calendar = slm_calendar_of_row(
		DatumGetHeapTupleHeader(ExecFetchSlotHeapTupleDatum(slot)));
	into->user_id_policy = find_policy(
		TextDatumGetCString(setting(slot, "user_id_policy", &isnull)));
	into->redact_at_write =
		DatumGetBool(setting(slot, "redact_at_write", &isnull));
	into->min_group_users =
		DatumGetInt32(setting(slot, "min_group_users", &isnull));
}

static void
read_state_row(TupleTableSlot *slot, SlmSettings *into)
{
	into->closed_through =
		last_date(into->closed_through, slot, "closed_through");
	into->closed_through =
		last_date(into->closed_through, slot, "final_through");
}

/*
 * Read the one row of a table, if there is one.  Returns who wrote it.
 */
static TransactionId
read_row(Oid relid, Snapshot snapshot, RowReader reader, SlmSettings *into)
{
	Relation rel = table_open(relid, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TransactionId xmin = InvalidTransactionId;
	TableScanDesc scan;

	/* GetLatestSnapshot() refuses while a parallel plan runs. */
	snapshot =
		RegisterSnapshot(snapshot ? snapshot : GetCatalogSnapshot(relid));
	scan = table_beginscan(rel, snapshot, 0, NULL, SO_NONE);
	if (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool isnull;

		xmin = DatumGetTransactionId(
			slot_getsysattr(slot, MinTransactionIdAttributeNumber, &isnull));
		reader(slot, into);
	}
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
	return xmin;
}

/* Both rows, over the defaults; by the latest snapshot if none is given. */
static void
read_rows(Snapshot snapshot, SlmSettings *into)
{
	into->calendar = slm_plain_calendar("UTC");
	into->user_id_policy = USER_ID_PLAIN;
	into->redact_at_write = false;
	into->min_group_users = 0;
	into->closed_through = DATEVAL_NOBEGIN;
	into->settings_xmin =
		read_row(into->settings_relid, snapshot, read_settings_row, into);
	into->rollup_state_xmin =
		read_row(into->rollup_state_relid, snapshot, read_state_row, into);
}

/*
 * The settings in force, and the tables they belong to.  Reads the catalog
 * and the settings row only after an invalidation.
 */
const SlmSettings *
slm_settings(void)
{
	if (!settings.valid)
	{
		Oid namespace;

		slm_check_version();
		namespace = get_namespace_oid("slm_feedback", false);
		slm_refuse_distributed_tables(namespace);
		settings.settings_relid = extension_table(namespace, "settings");
		settings.rollup_state_relid =
			extension_table(namespace, "rollup_state");
		settings.queries_relid = extension_table(namespace, "queries");
		settings.feedback_relid = extension_table(namespace, "feedback");

		/*
		 * An invalidation that arrives while we read makes the next call read
		 * again.  Not this one: with debug_discard_caches it would never end,
		 * and what a writer must not miss was committed before it got its lock.
		 */
		settings.valid = true;
		PG_TRY();
		{
			settings.owner = table_owner(settings.queries_relid);
			read_rows(NULL, &settings);
		}
		PG_CATCH();
		{
			settings.valid = false;
			PG_RE_THROW();
		}
		PG_END_TRY();
		slm_worker_announce(settings.owner);
	}
	return &settings;
}

/*
 * The settings for a write to queries and feedback: takes the lock that the
 * write needs anyway first, so that a time zone that is just being replaced is
 * waited for.
 */
const SlmSettings *
slm_settings_for_write(void)
{
	Oid relid;

	PreventCommandIfReadOnly("a capture function");
	PreventCommandIfParallelMode("a capture function");
	/* Again, if the extension was made anew while we waited. */
	do
	{
		relid = slm_settings()->queries_relid;
		LockRelationOid(relid, RowExclusiveLock);
	} while (slm_settings()->queries_relid != relid);
	return slm_settings();
}

/*
 * Do the settings in force come from rows that a snapshot doesn't see yet?
 */
bool
slm_settings_newer_than(Snapshot snapshot)
{
	const SlmSettings *now = slm_settings();

	return (TransactionIdIsNormal(now->settings_xmin) &&
			XidInMVCCSnapshot(now->settings_xmin, snapshot)) ||
		   (TransactionIdIsNormal(now->rollup_state_xmin) &&
			XidInMVCCSnapshot(now->rollup_state_xmin, snapshot));
}

/* What a snapshot sees of the rules that decide whether a write is late. */
SlmLateRules
slm_late_rules(Snapshot snapshot)
{
	SlmSettings seen = *slm_settings();

	read_rows(snapshot, &seen);
	return (SlmLateRules){.calendar = seen.calendar,
						  .closed_through = seen.closed_through};
}

/*
 * Act as the owner of the extension's tables, whose privileges the caller
 * does not have.  An error restores the caller with its (sub)transaction.
 */
SlmCaller
slm_become_owner(void)
{
	SlmCaller caller;

	GetUserIdAndSecContext(&caller.user, &caller.sec_context);
	SetUserIdAndSecContext(slm_settings()->owner,
						   caller.sec_context | SECURITY_LOCAL_USERID_CHANGE);
	return caller;
}

void
slm_become_caller(SlmCaller caller)
{
	SetUserIdAndSecContext(caller.user, caller.sec_context);
}

/* Trigger of settings: every backend reads the row again after our commit. */
Datum
slm_settings_changed(PG_FUNCTION_ARGS)
{
	Relation rel;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settings_changed must be called as a trigger")));
	rel = ((TriggerData *) fcinfo->context)->tg_relation;
	CacheInvalidateRelcache(rel);
	slm_worker_wake(rel->rd_rel->relowner);
	PG_RETURN_POINTER(NULL);
}

/* Trigger of rollup_state: every backend reads it again after our commit. */
Datum
slm_rollup_state_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("rollup_state_changed must be called as a trigger")));
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	PG_RETURN_POINTER(NULL);
}
