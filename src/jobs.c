/*
 * jobs.c
 *		Running the jobs that are due: CALL run_jobs(), and the worker.
 *
 * Which jobs there are, and when each is due, is SQL (sql/jobs.sql); this file
 * runs them one after the other and writes job_runs.  A job is a series of
 * transactions:
 *
 * - A session lock a job (rollup and refresh share theirs) keeps it from
 *   running twice at once, whoever calls.  It is never waited for: whoever
 *   holds it is doing the work.  The job's schedule is read again once the lock
 *   is held, because the last holder may have just done it.
 * - The run is written to job_runs and committed before the work begins.  A row
 *   that says "running" while the lock is free is of a run that died; the next
 *   run marks it interrupted.
 * - Each unit of work runs in a subtransaction (slm_try), so that an error ends
 *   the job but neither the call nor the jobs after it.  The failure is written
 *   to job_runs, where the schedule reads it for the back-off.  A cancel of the
 *   call is thrown on, but only after the subtransaction has been rolled back.
 * - Every transaction begins with a share lock on the extension (see
 *   slm_next_transaction).
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "capture.h"
#include "clock.h"
#include "compat.h"
#include "dashboard.h"
#include "jobs.h"
#include "retention.h"
#include "rollup.h"
#include "settings.h"
#include "version.h"
#include "worker.h"

PG_FUNCTION_INFO_V1(slm_run_jobs_call);

/* Locks of the extension numbered from here on belong to jobs. */
#define JOB_LOCK_BASE 100

/* How many runs of each job are kept. */
#define KEPT_RUNS "200"

typedef struct Job
{
	int position;
	int lock_number;
	char *name;
	char *command; /* the name of one here (do_job), or SQL that returns one
					  bigint */
	int64 run_id;
	int64 rows;
} Job;

/* ---- transactions ---- */

/*
 * End the transaction and start the next, always READ COMMITTED.  The caller's
 * identity is restored first: the new transaction would fall back to the
 * owner's on error.
 *
 * The transaction begins with a share lock on the extension: DROP EXTENSION
 * locks the extension before the objects in it, so it waits for the end of this
 * transaction and cannot get into a deadlock with it.
 */
void
slm_next_transaction(void)
{
	Oid extension;

	SPI_commit();
	XactIsoLevel = XACT_READ_COMMITTED;

	extension = get_extension_oid("slm_feedback", true);
	if (OidIsValid(extension))
	{
		LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
		if (get_extension_oid("slm_feedback", true) == extension)
			return;
	}
	slm_worker_leave_dropped();
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("extension \"slm_feedback\" was dropped")));
}

/*
 * Run a unit in a subtransaction.  False if it failed: its error is returned
 * in the caller's memory context.  With a null "error" the unit runs as it is
 * and its error passes on.  A cancel always passes on, except in a worker,
 * where it can only mean the job.
 */
bool
slm_try(SlmUnit unit, void *arg, ErrorData **error)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	if (error == NULL)
	{
		unit(arg);
		return true;
	}
	*error = NULL;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		unit(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		*error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;

	/*
	 * Only now: an error that leaves an internal subtransaction open makes the
	 * server keep the transaction, as if it were the client's.
	 */
	if (*error != NULL && (*error)->sqlerrcode == ERRCODE_QUERY_CANCELED &&
		!slm_am_worker())
		ReThrowError(*error);
	return *error == NULL;
}

/*
 * Refuse the CALL of a procedure that commits and writes where it can't: inside
 * a transaction block, on a standby, and in a read-only session, even if it
 * would find nothing to write.
 */
void
slm_check_call(FunctionCallInfo fcinfo, const char *name)
{
	CallContext *call = (CallContext *) fcinfo->context;
	char *command = psprintf("%s()", name);

	if (call == NULL || !IsA(call, CallContext) || call->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("%s() cannot run inside a transaction block", name),
				 errdetail("It commits its work in several transactions."),
				 errhint("CALL it by itself, in autocommit mode.")));
	PreventCommandDuringRecovery(command);
	PreventCommandIfReadOnly(command);
	pfree(command);
}

/* ---- one job ---- */

static Datum
value_of(int row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column,
						 isnull);
}

static void
begin_run(Job *job)
{
	static SPIPlanPtr interrupt_plan, trim_plan, insert_plan;
	static Oid types[2] = {TEXTOID, INT4OID};
	Datum values[2] = {CStringGetTextDatum(job->name),
					   Int32GetDatum(MyProcPid)};
	SlmCaller caller = slm_become_owner();
	bool isnull;

	SPI_execute_plan(
		slm_kept_plan(&interrupt_plan,
					  "UPDATE slm_feedback.job_runs "
					  "SET status = 'interrupted' "
					  "WHERE job OPERATOR(pg_catalog.=) $1 COLLATE \"C\" "
					  "AND status OPERATOR(pg_catalog.=) 'running'",
					  1, types),
		values, NULL, false, 0);
	SPI_execute_plan(
		slm_kept_plan(&trim_plan,
					  "DELETE FROM slm_feedback.job_runs r "
					  "WHERE r.job OPERATOR(pg_catalog.=) $1 COLLATE \"C\" "
					  "AND r.run_id OPERATOR(pg_catalog.<=) "
					  "(SELECT k.run_id FROM slm_feedback.job_runs k "
					  "WHERE k.job OPERATOR(pg_catalog.=) $1 COLLATE \"C\" "
					  "ORDER BY k.run_id DESC OFFSET " KEPT_RUNS
					  " OPERATOR(pg_catalog.-) 1 LIMIT 1)",
					  1, types),
		values, NULL, false, 0);
	SPI_execute_plan(
		slm_kept_plan(&insert_plan,
					  "INSERT INTO slm_feedback.job_runs "
					  "(job, started_at, pid) "
					  "VALUES ($1, slm_feedback.clock(), $2) RETURNING run_id",
					  2, types),
		values, NULL, false, 0);
	job->run_id = DatumGetInt64(value_of(0, 1, &isnull));
	slm_become_caller(caller);
}

static void
end_run(const Job *job, const ErrorData *error)
{
	static SPIPlanPtr plan;
	static Oid types[4] = {INT8OID, INT8OID, TEXTOID, TEXTOID};
	Datum values[4] = {Int64GetDatum(job->run_id), Int64GetDatum(job->rows)};
	char nulls[4] = {' ', ' ', 'n', 'n'};
	SlmCaller caller = slm_become_owner();

	if (error != NULL)
	{
		values[2] =
			CStringGetTextDatum(error->message ? error->message : "error");
		values[3] = CStringGetTextDatum(unpack_sql_state(error->sqlerrcode));
		nulls[2] = nulls[3] = ' ';
	}
	SPI_execute_plan(
		slm_kept_plan(&plan,
					  "UPDATE slm_feedback.job_runs "
					  "SET ended_at = slm_feedback.clock(), rows = $2, "
					  "error = $3, sqlstate = $4, status = CASE "
					  "WHEN $4 IS NULL THEN 'done' ELSE 'failed' END "
					  "WHERE run_id OPERATOR(pg_catalog.=) $1",
					  4, types),
		values, nulls, false, 0);
	slm_become_caller(caller);
}

/* A job whose command is SQL, all in one transaction. */
static void
run_command(void *arg)
{
	Job *job = arg;
	SlmCaller caller = slm_become_owner();

	if (SPI_execute(job->command, false, 0) == SPI_OK_SELECT &&
		SPI_processed > 0)
	{
		bool isnull;
		Datum rows = value_of(0, 1, &isnull);

		job->rows = isnull ? 0 : DatumGetInt64(rows);
	}
	slm_become_caller(caller);
}

/* Nothing if no file is configured. */
static void
write_dashboard(void *arg)
{
	slm_write_dashboard_file();
}

static void
do_job(Job *job, ErrorData **error)
{
	if (strcmp(job->command, "rollup") == 0)
		job->rows = slm_run_rollup(error);
	else if (strcmp(job->command, "retention") == 0)
		job->rows = slm_run_retention(error);
	else if (strcmp(job->command, "dashboard") == 0)
		(void) slm_try(write_dashboard, NULL, error);
	else
		(void) slm_try(run_command, job, error);
}

static void
report_failure(const Job *job, const ErrorData *error)
{
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("slm_feedback job \"%s\" failed: %s", job->name,
					error->message),
			 error->detail ? errdetail_internal("%s", error->detail) : 0,
			 errhint("It is tried again with growing pauses; see "
					 "slm_feedback.report_jobs().")));
}

/* ---- all jobs that are due ---- */

/*
 * Find the first job that is due and was not tried in this call, in the order
 * of their positions.  With a name, only that job counts; with "anyway", even
 * if it is not due.
 */
static bool
find_job(const char *name, bool anyway, const Bitmapset *tried,
		 MemoryContext context, Job *job)
{
	static SPIPlanPtr plan;
	static Oid types[2] = {TEXTOID, BOOLOID};
	Datum values[2] = {(Datum) 0, BoolGetDatum(anyway)};
	SlmCaller caller = slm_become_owner();
	bool found = false;

	if (name != NULL)
		values[0] = CStringGetTextDatum(name);
	SPI_execute_plan(
		slm_kept_plan(&plan,
					  "SELECT s.position, s.lock_number, s.job, s.command "
					  "FROM slm_feedback.job_schedule() s "
					  "WHERE (s.job OPERATOR(pg_catalog.=) $1 COLLATE \"C\" "
					  "OR $1 IS NULL) AND ($2 OR s.next_run "
					  "OPERATOR(pg_catalog.<=) slm_feedback.clock()) "
					  "ORDER BY s.position",
					  2, types),
		values, name ? "  " : "n ", false, 0);
	for (uint64 i = 0; i < SPI_processed && !found; i++)
	{
		bool isnull;
		int position = DatumGetInt32(value_of(i, 1, &isnull));
		MemoryContext old;

		if (bms_is_member(position, tried))
			continue;
		found = true;
		old = MemoryContextSwitchTo(context);
		job->position = position;
		job->lock_number = DatumGetInt32(value_of(i, 2, &isnull));
		job->name = TextDatumGetCString(value_of(i, 3, &isnull));
		job->command = TextDatumGetCString(value_of(i, 4, &isnull));
		MemoryContextSwitchTo(old);
	}
	SPI_freetuptable(SPI_tuptable);
	slm_become_caller(caller);
	return found;
}

/*
 * Run one job, if nobody else is running it and it is still due once we hold
 * its lock.
 */
static void
run_job(Job *job, const char *only, MemoryContext context)
{
	ErrorData *error = NULL;
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId,
					   get_extension_oid("slm_feedback", false),
					   JOB_LOCK_BASE + job->lock_number);
	if (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
	{
		if (only != NULL)
			ereport(NOTICE,
					(errmsg("job \"%s\" is already running", job->name)));
		return;
	}
	PG_TRY();
	{
		Job again = {0};

		slm_next_transaction();
		if (find_job(job->name, only != NULL, NULL, context, &again))
		{
			begin_run(job);
			slm_next_transaction();
			do_job(job, &error);
			end_run(job, error);
			slm_next_transaction();
			if (only != NULL && error == NULL && job->rows == 0 &&
				strcmp(job->command, "retention") == 0)
				slm_explain_retention();
		}
	}
	PG_FINALLY();
	{
		LockRelease(&tag, ExclusiveLock, true);
	}
	PG_END_TRY();
	if (error != NULL)
		report_failure(job, error);
}

/*
 * Run every job that is due, or one job by name; none twice.  Must be called
 * with SPI connected and able to end transactions, and ends the transaction
 * that it finds.
 */
void
slm_run_jobs(const char *only)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "slm_feedback jobs",
							  ALLOCSET_SMALL_SIZES);
	MemoryContext old = CurrentMemoryContext;
	Bitmapset *tried = NULL;
	Job job = {0};

	slm_next_transaction();
	while (find_job(only, only != NULL, tried, context, &job))
	{
		CHECK_FOR_INTERRUPTS();
		run_job(&job, only, context);
		MemoryContextSwitchTo(context);
		tried = bms_add_member(tried, job.position);
		MemoryContextSwitchTo(old);
		memset(&job, 0, sizeof(job));
	}
	MemoryContextDelete(context);
}

/*
 * When the next job is due; DT_NOEND if none will be.  Must be called with SPI
 * connected.
 */
TimestampTz
slm_next_run(void)
{
	SlmCaller caller = slm_become_owner();
	TimestampTz next = DT_NOEND;
	bool isnull;
	Datum value;

	SPI_execute("SELECT pg_catalog.min(s.next_run) "
				"FROM slm_feedback.job_schedule() s",
				false, 0);
	value = value_of(0, 1, &isnull);
	if (!isnull)
		next = DatumGetTimestampTz(value);
	slm_become_caller(caller);
	return next;
}

/* CALL run_jobs(job) */
Datum
slm_run_jobs_call(PG_FUNCTION_ARGS)
{
	char *only = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));

	slm_check_call(fcinfo, "run_jobs");
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	if (only != NULL)
	{
		Oid types[1] = {TEXTOID};
		Datum values[1] = {CStringGetTextDatum(only)};
		SlmCaller caller = slm_become_owner();

		SPI_execute_with_args("SELECT slm_feedback.check_job($1)", 1, types,
							  values, NULL, false, 0);
		slm_become_caller(caller);
	}
	slm_run_jobs(only);
	SPI_finish();
	PG_RETURN_VOID();
}
