/*
 * rollup.c
 *		Keeping daily_metrics exact.
 *
 * A run takes the lock that keeps runs single, closes the days that have ended
 * and commits: from then on each transaction that begins marks what it writes
 * to one of them.  Then it reads H, the oldest start of any transaction in
 * progress.  Then, a day per transaction, for every day that is marked or later
 * than final_through, it deletes the day's marks and replaces the day's
 * metrics.  A day becomes final once it and all before it are done, if it is
 * closed and ended before H.
 *
 * Why that is exact: a row that the day's snapshot missed was written by a
 * transaction that was in progress when H was read or began later.  If it began
 * later, it knew that the day is closed, and its mark stands.  If it was in
 * progress and wrote on that day by the clock, it had begun by then, and H was
 * no later than that day: the day is not final and the next run takes it again.
 * Otherwise its mark stands (late_marks.c has the proof).  Nothing waits for
 * anyone, and a long transaction only makes the next run redo days.
 *
 * - The marks are deleted by an earlier statement than the one that reads the
 *   raw rows, so a mark that comes in between survives and costs one more
 *   computation.  That needs READ COMMITTED, whatever the session's default.
 * - Clocks may step, in any direction and at any moment: a transaction that
 *   reads an earlier time than its own start marks what it writes.  A day that
 *   is today or later by the clock does not stay final, closed or frozen: where
 *   the clock was ahead, a run takes that back at its beginning and at its end.
 *   Taking back is safe in the middle of anything: a snapshot that still sees
 *   the day as final sees no write that was made without a mark since.
 *   clock_margin only keeps small steps around midnight from leaving marks.
 * - A transaction whose start is hidden (track_activities off) counts from its
 *   session's start.
 * - Prepared transactions mark their days when they are prepared.
 * - A crash loses nothing: finished days are committed with their marks gone.
 * - A change of the time zone, even to the same one, changes what a day is or
 *   drops stored days, and counts up rollup_state.epoch.  Every step of a run
 *   locks that row first, so a change waits for it, and a step that finds
 *   another epoch than the run's does nothing: the run starts over.
 * - Marks of days that retention has frozen are of no use, and are deleted.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "capture.h"
#include "compat.h"
#include "jobs.h"
#include "rollup.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(slm_rollup);
PG_FUNCTION_INFO_V1(slm_rebuild);

static int clock_margin = 300; /* seconds */

/* What a row of rollup_state says.  Dates that are null are 0. */
typedef struct RollupState
{
	int64 epoch;
	DateADT final_through;
	DateADT closed_through;
	DateADT purged_before;
	bool no_final_through;
	bool no_closed_through;
	bool no_purged_before;
	bool unused; /* no padding: rows are compared with memcmp() */
} RollupState;

/* One run, from its lock to its last day. */
typedef struct RollupRun
{
	MemoryContext context; /* outlives the run's transactions */
	int64 run_id;
	TimestampTz oldest_transaction; /* H */
	bool may_finalize;				/* H is known */
	DateADT final_limit;			/* no later day becomes final */
	int64 epoch;					/* of rollup_state, when the run began */
	RollupState state;				/* as the current step has locked it */
	bool epoch_changed;				/* the run has to start over */
	DateADT *days;
	int ndays;
	int day; /* the one to do, an index into days */
	int days_done;
} RollupRun;

void
slm_rollup_init(void)
{
	DefineCustomIntVariable(
		"slm_feedback.clock_margin",
		"How long after its end a day can become final.",
		"Keeps clocks that step back around midnight from leaving "
		"marks.",
		&clock_margin, 300, 0, SECS_PER_DAY, PGC_SUSET, GUC_UNIT_S, NULL, NULL,
		NULL);
}

/* ---- H ---- */

static PgBackendStatus *
find_backend_status(int pid)
{
	int n = pgstat_fetch_stat_numbackends();

	for (int i = 1; i <= n; i++)
	{
		LocalPgBackendStatus *entry = pgstat_get_local_beentry_by_index(i);

		if (entry != NULL && entry->backendStatus.st_procpid == pid)
			return &entry->backendStatus;
	}
	return NULL;
}

static bool
still_in_progress(VirtualTransactionId vxid)
{
	PGPROC *proc = SLM_VXID_PROC(vxid);

	return proc != NULL && SLM_PROC_LXID(proc) == vxid.localTransactionId;
}

/*
 * The oldest start of any other transaction in progress in this database, or
 * now.  The transactions are listed first and their starts looked up after, so
 * a start that has changed since belongs to a transaction that has ended.
 * Autovacuum writes no rows and is left out.
 */
static TimestampTz
oldest_transaction_start(void)
{
	TimestampTz oldest = GetCurrentTimestamp();
	VirtualTransactionId *vxids;
	int n;

	vxids = GetCurrentVirtualXIDs(InvalidTransactionId, false, false,
								  PROC_IN_VACUUM | PROC_IS_AUTOVACUUM, &n);
	pgstat_clear_backend_activity_snapshot();
	for (int i = 0; i < n; i++)
	{
		PGPROC *proc = SLM_VXID_PROC(vxids[i]);
		PgBackendStatus *status;
		TimestampTz start;

		if (proc == NULL)
			continue;
		status = find_backend_status(proc->pid);
		if (!still_in_progress(vxids[i]))
			continue;
		if (status == NULL)
			start = DT_NOBEGIN;
		else if (status->st_xact_start_timestamp != 0)
			start = status->st_xact_start_timestamp;
		else
			start = status->st_proc_start_timestamp;
		oldest = Min(oldest, start);
	}
	return oldest;
}

/* ---- a run's transactions ---- */

static void
execute(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types, Datum *values,
		const char *nulls)
{
	SPI_execute_plan(slm_kept_plan(plan, sql, nargs, types), values, nulls,
					 false, 0);
}

static Datum
first_value(bool *isnull)
{
	Assert(SPI_processed > 0);
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
						 isnull);
}

static DateADT
date_of_state(int column, bool *isnull)
{
	Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
								column, isnull);

	return *isnull ? 0 : DatumGetDateADT(value);
}

/*
 * Lock the state row until the transaction ends, read it, and return its epoch;
 * -1 if somebody has removed it.
 */
static int64
lock_state(RollupState *state)
{
	static SPIPlanPtr plan;
	bool isnull;

	*state = (RollupState){.epoch = -1};
	execute(&plan,
			"SELECT s.epoch, s.final_through, s.closed_through, "
			"s.purged_before FROM slm_feedback.rollup_state s FOR UPDATE",
			0, NULL, NULL, NULL);
	if (SPI_processed > 0)
	{
		state->epoch = DatumGetInt64(first_value(&isnull));
		state->final_through = date_of_state(2, &state->no_final_through);
		state->closed_through = date_of_state(3, &state->no_closed_through);
		state->purged_before = date_of_state(4, &state->no_purged_before);
	}
	/* SPI would keep it until the run ends: 8 kB a day. */
	SPI_freetuptable(SPI_tuptable);
	return state->epoch;
}

/* Write back the days of a row that lock_state() has read, if any changes. */
static void
set_state(const RollupState *old, const RollupState *new)
{
	static SPIPlanPtr plan;
	static Oid types[3] = {DATEOID, DATEOID, DATEOID};
	Datum values[3] = {DateADTGetDatum(new->final_through),
					   DateADTGetDatum(new->closed_through),
					   DateADTGetDatum(new->purged_before)};
	char nulls[3] = {new->no_final_through ? 'n' : ' ',
					 new->no_closed_through ? 'n' : ' ',
					 new->no_purged_before ? 'n' : ' '};

	if (memcmp(old, new, sizeof(RollupState)) != 0)
		execute(&plan,
				"UPDATE slm_feedback.rollup_state SET final_through = $1, "
				"closed_through = $2, purged_before = $3",
				3, types, values, nulls);
}

/* The first step of everything that follows begin_run(). */
static bool
epoch_stands(RollupRun *run)
{
	run->epoch_changed = lock_state(&run->state) != run->epoch;
	return !run->epoch_changed;
}

/* The last day that had ended at an instant, by the zone of the run's epoch. */
static DateADT
last_ended_day(TimestampTz at)
{
	static SPIPlanPtr plan;
	static Oid types[1] = {TIMESTAMPTZOID};
	Datum values[1] = {TimestampTzGetDatum(at)};
	bool isnull;

	execute(&plan, "SELECT slm_feedback.day_of($1)", 1, types, values, NULL);
	return DatumGetDateADT(first_value(&isnull)) - 1;
}

/*
 * No day that the clock's today is, or a later one, stays closed, final or
 * frozen: the clock was ahead when it became so.
 */
static void
reopen_days(RollupState *state)
{
	DateADT ended = last_ended_day(GetCurrentTimestamp());

	state->final_through = Min(state->final_through, ended);
	state->closed_through = Min(state->closed_through, ended);
	state->purged_before = Min(state->purged_before, ended + 1);
}

/*
 * Begin: close the days that may become final.  Committed, and so known to
 * every transaction that begins afterwards, before those in progress are
 * listed.
 */
static void
close_days(void *arg)
{
	RollupRun *run = arg;
	static SPIPlanPtr state_plan;
	RollupState state;
	SlmCaller caller = slm_become_owner();
	DateADT ended;

	execute(&state_plan,
			"INSERT INTO slm_feedback.rollup_state DEFAULT VALUES "
			"ON CONFLICT (singleton) DO NOTHING",
			0, NULL, NULL, NULL);
	run->epoch = lock_state(&run->state);
	state = run->state;
	ended =
		last_ended_day(GetCurrentTimestamp() - clock_margin * USECS_PER_SEC);
	if (state.no_closed_through || state.closed_through < ended)
		state.closed_through = ended;
	state.no_closed_through = false;
	reopen_days(&state);
	set_state(&run->state, &state);
	slm_become_caller(caller);
}

/*
 * Write the run into the log: a running row can only be of a run that died,
 * since we hold the lock.
 */
static void
begin_run(void *arg)
{
	RollupRun *run = arg;
	static SPIPlanPtr interrupt_plan, trim_plan, insert_plan;
	static Oid types[1] = {TIMESTAMPTZOID};
	Datum values[1];
	SlmCaller caller = slm_become_owner();
	bool isnull;

	run->oldest_transaction = oldest_transaction_start();
	run->may_finalize = !TIMESTAMP_NOT_FINITE(run->oldest_transaction);
	if (!epoch_stands(run))
	{
		slm_become_caller(caller);
		return;
	}
	if (run->state.no_closed_through)
		run->may_finalize = false;
	if (run->may_finalize)
		run->final_limit = Min(run->state.closed_through,
							   last_ended_day(run->oldest_transaction -
											  clock_margin * USECS_PER_SEC));
	execute(&interrupt_plan,
			"UPDATE slm_feedback.rollup_runs SET status = 'interrupted' "
			"WHERE status OPERATOR(pg_catalog.=) 'running'",
			0, NULL, NULL, NULL);
	execute(&trim_plan,
			"DELETE FROM slm_feedback.rollup_runs r "
			"WHERE r.run_id OPERATOR(pg_catalog.<=) "
			"(SELECT pg_catalog.max(m.run_id) OPERATOR(pg_catalog.-) 999 "
			"FROM slm_feedback.rollup_runs m)",
			0, NULL, NULL, NULL);
	values[0] = TimestampTzGetDatum(run->oldest_transaction);
	execute(&insert_plan,
			"INSERT INTO slm_feedback.rollup_runs (oldest_transaction) "
			"VALUES ($1) RETURNING run_id",
			1, types, values, NULL);
	run->run_id = DatumGetInt64(first_value(&isnull));
	slm_become_caller(caller);
}

static void
end_run(void *arg)
{
	RollupRun *run = arg;
	static SPIPlanPtr run_plan;
	static Oid types[1] = {INT8OID};
	Datum values[1] = {Int64GetDatum(run->run_id)};
	SlmCaller caller = slm_become_owner();
	RollupState state;

	if (!epoch_stands(run))
	{
		slm_become_caller(caller);
		return;
	}
	state = run->state;
	if (run->may_finalize)
	{
		if (state.no_final_through || state.final_through < run->final_limit)
			state.final_through = run->final_limit;
		state.no_final_through = false;
	}
	/* The clock may have been set back since the run began. */
	reopen_days(&state);
	set_state(&run->state, &state);
	execute(&run_plan,
			"UPDATE slm_feedback.rollup_runs SET status = 'done', "
			"ended_at = pg_catalog.clock_timestamp(), final_through = "
			"(SELECT s.final_through FROM slm_feedback.rollup_state s) "
			"WHERE run_id OPERATOR(pg_catalog.=) $1",
			1, types, values, NULL);
	slm_become_caller(caller);
}

/* ---- days ---- */

static void
find_days(void *arg)
{
	RollupRun *run = arg;
	static SPIPlanPtr frozen_plan, plan;
	SlmCaller caller = slm_become_owner();

	run->ndays = 0;
	if (!epoch_stands(run))
	{
		slm_become_caller(caller);
		return;
	}
	execute(&frozen_plan,
			"DELETE FROM slm_feedback.rollup_queue q "
			"USING slm_feedback.rollup_state s "
			"WHERE q.date OPERATOR(pg_catalog.<) s.purged_before",
			0, NULL, NULL, NULL);
	execute(&plan, "SELECT d.day FROM slm_feedback.days_to_roll_up() d (day)",
			0, NULL, NULL, NULL);
	run->ndays = SPI_processed;
	if (run->ndays > 0)
		run->days =
			MemoryContextAlloc(run->context, sizeof(DateADT) * run->ndays);
	for (int i = 0; i < run->ndays; i++)
	{
		bool isnull;

		run->days[i] =
			DatumGetDateADT(SPI_getbinval(SPI_tuptable->vals[i],
										  SPI_tuptable->tupdesc, 1, &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
	slm_become_caller(caller);
}

/* Recompute one day in the current transaction. */
static void
roll_up_day(void *arg)
{
	RollupRun *run = arg;
	DateADT day = run->days[run->day];
	static SPIPlanPtr marks_plan, delete_plan, insert_plan, final_plan,
		run_plan;
	static Oid types[2] = {DATEOID, INT8OID};
	Datum values[2] = {DateADTGetDatum(day), Int64GetDatum(run->run_id)};
	SlmCaller caller = slm_become_owner();

	if (!epoch_stands(run))
	{
		slm_become_caller(caller);
		return;
	}
	execute(&marks_plan,
			"DELETE FROM slm_feedback.rollup_queue "
			"WHERE date OPERATOR(pg_catalog.=) $1",
			1, types, values, NULL);
	if (run->state.no_purged_before || day >= run->state.purged_before)
	{
		execute(&delete_plan,
				"DELETE FROM slm_feedback.daily_metrics "
				"WHERE date OPERATOR(pg_catalog.=) $1",
				1, types, values, NULL);
		execute(&insert_plan,
				"INSERT INTO slm_feedback.daily_metrics "
				"SELECT m.* FROM slm_feedback.day_metrics($1) m",
				1, types, values, NULL);
	}
	if (run->may_finalize && day <= run->final_limit)
		execute(&final_plan,
				"UPDATE slm_feedback.rollup_state "
				"SET final_through = GREATEST(final_through, $1)",
				1, types, values, NULL);
	run->days_done++;
	execute(&run_plan,
			"UPDATE slm_feedback.rollup_runs "
			"SET days = days OPERATOR(pg_catalog.+) 1 "
			"WHERE run_id OPERATOR(pg_catalog.=) $2",
			2, types, values, NULL);
	slm_become_caller(caller);
}

static void
report_progress(const RollupRun *run)
{
	int year, month, mday;
	char *line;

	j2date(run->days[run->day] + POSTGRES_EPOCH_JDATE, &year, &month, &mday);
	line = psprintf("slm_feedback rollup: day %04d-%02d-%02d, %d of %d", year,
					month, mday, run->day + 1, run->ndays);
	pgstat_report_activity(STATE_RUNNING, line);
	pfree(line);
}

/* All days, each in its transaction.  False after an error. */
static bool
roll_up_days(RollupRun *run, ErrorData **error)
{
	if (!slm_try(find_days, run, error))
		return false;
	slm_next_transaction();
	for (run->day = 0; run->day < run->ndays; run->day++)
	{
		CHECK_FOR_INTERRUPTS();
		report_progress(run);
		if (!slm_try(roll_up_day, run, error))
			return false;
		slm_next_transaction();
		if (run->epoch_changed)
			break;
	}
	if (run->ndays > 0)
		pfree(run->days);
	return true;
}

static bool
do_run(RollupRun *run, ErrorData **error)
{
	do
	{
		if (!slm_try(close_days, run, error))
			return false;
		slm_next_transaction();
		if (!slm_try(begin_run, run, error))
			return false;
		slm_next_transaction();
		if (run->epoch_changed)
			continue;
		if (!roll_up_days(run, error))
			return false;
		if (run->epoch_changed)
			continue;
		if (!slm_try(end_run, run, error))
			return false;
		slm_next_transaction();
	} while (run->epoch_changed);
	return true;
}

/*
 * The lock that keeps runs single: on the extension, with a number that no
 * other code locks.  It outlives the transactions of the run.
 */
static void
rollup_lock_tag(LOCKTAG *tag)
{
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, ExtensionRelationId,
					   get_extension_oid("slm_feedback", false), 1);
}

/*
 * Run a rollup; returns the number of days recomputed.  Must be called with
 * SPI connected and able to end transactions (a non-atomic CALL, or a worker),
 * and ends the transaction that it finds.  An error ends the run: it is
 * returned if "error" is given, else thrown.  Days done before it stay done.
 */
int
slm_run_rollup(ErrorData **error)
{
	RollupRun run = {.context = CurrentMemoryContext};
	LOCKTAG tag;

	/* Leave the caller's snapshot behind before waiting for the lock. */
	slm_next_transaction();
	rollup_lock_tag(&tag);
	(void) LockAcquire(&tag, ExclusiveLock, true, false);
	PG_TRY();
	{
		(void) do_run(&run, error);
	}
	PG_FINALLY();
	{
		LockRelease(&tag, ExclusiveLock, true);
	}
	PG_END_TRY();
	return run.days_done;
}

/* CALL rollup() */
Datum
slm_rollup(PG_FUNCTION_ARGS)
{
	slm_check_call(fcinfo, "rollup");
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	slm_run_rollup(NULL);
	SPI_finish();
	PG_RETURN_VOID();
}

/* CALL rebuild(from_date, to_date): mark the days, then run. */
Datum
slm_rebuild(PG_FUNCTION_ARGS)
{
	Oid types[2] = {DATEOID, DATEOID};
	Datum values[2];
	SlmCaller caller;

	slm_check_call(fcinfo, "rebuild");
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("from_date and to_date must not be null"),
						errhint("-infinity and infinity mean everything.")));
	values[0] = PG_GETARG_DATUM(0);
	values[1] = PG_GETARG_DATUM(1);

	SPI_connect_ext(SPI_OPT_NONATOMIC);
	caller = slm_become_owner();
	SPI_execute_with_args(
		"WITH r AS (SELECT r.first_day, r.last_day "
		"FROM slm_feedback.report_range($1, $2, "
		"(SELECT s FROM slm_feedback.settings s)) r) "
		"INSERT INTO slm_feedback.rollup_queue (date) "
		"SELECT d.day FROM r, "
		"LATERAL slm_feedback.days_with_queries("
		"r.first_day OPERATOR(pg_catalog.-) 1, r.last_day) d (day) "
		"UNION SELECT m.date FROM r, "
		"slm_feedback.daily_metrics m "
		"WHERE m.date OPERATOR(pg_catalog.>=) r.first_day "
		"AND m.date OPERATOR(pg_catalog.<=) r.last_day",
		2, types, values, NULL, false, 0);
	slm_become_caller(caller);
	slm_run_rollup(NULL);
	SPI_finish();
	PG_RETURN_VOID();
}
