/*
 * worker.c
 *		The launcher and its workers.
 *
 * With the module in shared_preload_libraries, one launcher runs in the server.
 * It is connected to no database; it keeps in shared memory when each database
 * has something due, sleeps until then, and starts a worker there.  A worker
 * runs what is due (jobs.c), writes down when something is due next, and
 * leaves: no connection is held between jobs, so databases can be dropped and
 * copied.
 *
 * Nothing polls, so nothing costs a transaction while nothing is due.  A
 * database is visited
 * - when its time has come;
 * - when a backend says that its schedule may have changed: CREATE or ALTER
 *   EXTENSION, a changed setting (slm_worker_wake, at commit);
 * - when a backend that uses the extension finds its database unknown here, as
 *   after CREATE DATABASE ... TEMPLATE (slm_worker_announce, once a session);
 * - when the launcher starts, and once a day after that, for whatever none of
 *   these has told.  A database without the extension costs one transaction
 *   then.
 *
 * Shared memory is one array of databases, guarded by one LWLock.  The launcher
 * alone frees entries and starts workers; anybody may add an entry or set
 * "changed".  A worker clears "changed" before it looks at the schedule, so a
 * change during its work brings the next worker.  Whether a worker is there is
 * told by worker_pid, which outlives a restart of the launcher; should two
 * workers meet all the same, the job locks keep every job single.
 *
 * While a dump is restored into a database it is left alone (worker_state.c).
 * And a database that holds nothing yet is looked at, but not written to:
 * pg_restore --jobs connects anew after it has created the extension.
 *
 * A worker that ends without writing when something is due next has failed (it
 * could not connect, or was terminated): the database is visited again, after a
 * pause that grows with every failure in a row.
 *
 * The launcher is started when recovery has ended, so never on a standby, and
 * not during pg_upgrade.
 */
#include "postgres.h"

#include <signal.h>

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "clock.h"
#include "compat.h"
#include "jobs.h"
#include "version.h"
#include "worker.h"
#include "worker_state.h"

PGDLLEXPORT void slm_launcher_main(Datum arg);
PGDLLEXPORT void slm_worker_main(Datum arg);

#define MAX_WORKERS 64

/* Pauses in seconds. */
#define LAUNCHER_RESTART 5
#define FIRST_RETRY 5
#define LONGEST_RETRY 300
#define LONGEST_SLEEP 300 /* a clock that was set is noticed after that */
#define RESCAN_INTERVAL SECS_PER_DAY
#define EMPTY_INTERVAL 300 /* between looks at an empty database */

/* What the launcher alone knows of each entry of the array. */
typedef struct LaunchedDatabase
{
	BackgroundWorkerHandle *handle; /* from its start until its end is seen */
	TimestampTz retry_at;			/* by the real clock, after a failure */
	int failures;					/* in a row */
} LaunchedDatabase;

static bool worker_enabled = true;
static int max_workers = 2;

static LaunchedDatabase launched[MAX_DATABASES];
static bool no_slot_logged = false;
static bool am_worker = false;

/* ---- the launcher ---- */

static void
forget_launcher(int code, Datum arg)
{
	LWLockAcquire(slm_shared->lock, LW_EXCLUSIVE);
	slm_shared->launcher = NULL;
	LWLockRelease(slm_shared->lock);
}

static bool
may_visit(Form_pg_database database)
{
	/* -2 marks a database whose DROP was interrupted */
	return database->datallowconn && !database->datistemplate &&
		   database->datconnlimit != -2;
}

/*
 * Read the databases of the server: free the entries of those that are gone,
 * and make those that are not known yet due.
 */
static void
scan_databases(void)
{
	bool present[MAX_DATABASES] = {false};
	Relation rel;
	TableScanDesc scan;
	HeapTuple tuple;
	bool full = false;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		SharedDatabase *entry;

		if (!may_visit(database))
			continue;
		LWLockAcquire(slm_shared->lock, LW_EXCLUSIVE);
		entry = slm_add_database(database->oid);
		if (entry != NULL)
			present[entry - slm_shared->databases] = true;
		else
			full = true;
		LWLockRelease(slm_shared->lock);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();

	LWLockAcquire(slm_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < slm_shared->n; i++)
	{
		SharedDatabase *entry = &slm_shared->databases[i];

		if (!present[i] && launched[i].handle == NULL &&
			entry->worker_pid == 0 && entry->restorers == 0)
		{
			memset(entry, 0, sizeof(SharedDatabase));
			memset(&launched[i], 0, sizeof(LaunchedDatabase));
		}
	}
	full = full && !slm_shared->full_logged;
	slm_shared->full_logged = slm_shared->full_logged || full;
	LWLockRelease(slm_shared->lock);
	if (full)
		slm_log_full();
}

/* Visit every known database, whatever its next_run says. */
static void
visit_all(void)
{
	LWLockAcquire(slm_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < slm_shared->n; i++)
		slm_shared->databases[i].changed =
			OidIsValid(slm_shared->databases[i].database);
	LWLockRelease(slm_shared->lock);
}

static TimestampTz
after_failures(int failures)
{
	int pause = FIRST_RETRY;

	while (--failures > 0 && pause < LONGEST_RETRY)
		pause *= 2;
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									   Min(pause, LONGEST_RETRY) * 1000L);
}

/* See which workers have ended.  Returns how many have not. */
static int
reap_workers(void)
{
	int running = 0;

	LWLockAcquire(slm_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < slm_shared->n; i++)
	{
		SharedDatabase *entry = &slm_shared->databases[i];
		LaunchedDatabase *mine = &launched[i];
		pid_t pid;

		if (mine->handle != NULL &&
			GetBackgroundWorkerPid(mine->handle, &pid) == BGWH_STOPPED)
		{
			pfree(mine->handle);
			mine->handle = NULL;
			entry->worker_pid = 0;
			if (entry->reported)
			{
				mine->failures = 0;
				mine->retry_at = 0;
			}
			else
				mine->retry_at = after_failures(++mine->failures);
		}
		if (mine->handle != NULL || entry->worker_pid != 0)
			running++;
	}
	LWLockRelease(slm_shared->lock);
	return running;
}

/*
 * The idle database that has been due for the longest, or -1.  With "wait",
 * also how long until one is, in milliseconds.
 */
static int
find_due(long *wait)
{
	TimestampTz now = slm_now();
	TimestampTz real_now = GetCurrentTimestamp();
	TimestampTz oldest = DT_NOEND;
	int due = -1;

	LWLockAcquire(slm_shared->lock, LW_SHARED);
	for (int i = 0; i < slm_shared->n; i++)
	{
		SharedDatabase *entry = &slm_shared->databases[i];
		LaunchedDatabase *mine = &launched[i];
		TimestampTz next = entry->changed ? DT_NOBEGIN : entry->next_run;

		if (!OidIsValid(entry->database) || mine->handle != NULL ||
			entry->worker_pid != 0)
			continue;
		if (slm_restored_until(entry) > now)
			*wait =
				Min(*wait,
					TimestampDifferenceMilliseconds(now,
													slm_restored_until(entry)));
		else if (mine->retry_at > real_now)
			*wait = Min(*wait, TimestampDifferenceMilliseconds(real_now,
															   mine->retry_at));
		else if (next > now)
			*wait = Min(*wait, TimestampDifferenceMilliseconds(now, next));
		else if (due < 0 || next < oldest)
		{
			oldest = next;
			due = i;
		}
	}
	LWLockRelease(slm_shared->lock);
	return due;
}

/* Start a worker for an entry.  False if the server has no slot for it. */
static bool
start_worker(int i)
{
	SharedDatabase *entry = &slm_shared->databases[i];
	BackgroundWorker worker = {0};

	snprintf(worker.bgw_name, BGW_MAXLEN, "slm_feedback worker, database %u",
			 entry->database);
	snprintf(worker.bgw_type, BGW_MAXLEN, "slm_feedback worker");
	snprintf(worker.bgw_library_name, BGW_MAXLEN, "slm_feedback");
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "slm_worker_main");
	worker.bgw_flags =
		BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = ObjectIdGetDatum(entry->database);

	/* Until the worker says otherwise, the database is due. */
	LWLockAcquire(slm_shared->lock, LW_EXCLUSIVE);
	entry->next_run = DT_NOBEGIN;
	entry->reported = false;
	LWLockRelease(slm_shared->lock);
	if (RegisterDynamicBackgroundWorker(&worker, &launched[i].handle))
	{
		no_slot_logged = false;
		return true;
	}
	launched[i].handle = NULL;
	if (!no_slot_logged)
		ereport(LOG,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("slm_feedback found no free background worker slot"),
				 errdetail("Jobs wait until one is free; this is said once."),
				 errhint("Raise max_worker_processes.")));
	no_slot_logged = true;
	return false;
}

/*
 * Start workers for what is due.  Returns how long to sleep, in milliseconds.
 */
static long
start_due_workers(void)
{
	long wait = LONGEST_SLEEP * 1000L;
	int running = reap_workers();
	bool scanned = false;

	for (;;)
	{
		int due;

		wait = LONGEST_SLEEP * 1000L;
		due = find_due(&wait);
		if (due < 0 || running >= max_workers)
			break; /* the end of a worker wakes us */
		if (!scanned)
		{
			/* The database may be gone. */
			scan_databases();
			scanned = true;
			continue;
		}
		if (!start_worker(due))
			return Min(wait, FIRST_RETRY * 1000L);
		running++;
	}
	return wait;
}

/* Has the reload changed when anything is due? */
static void
reload_configuration(void)
{
	int interval = slm_refresh_interval;
	char *nightly = pstrdup(slm_nightly_time);

	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	if (interval != slm_refresh_interval ||
		strcmp(nightly, slm_nightly_time) != 0)
		visit_all();
	pfree(nightly);
}

void
slm_launcher_main(Datum arg)
{
	TimestampTz scanned_at = 0;

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	before_shmem_exit(forget_launcher, (Datum) 0);
	LWLockAcquire(slm_shared->lock, LW_EXCLUSIVE);
	slm_shared->launcher = MyLatch;
	LWLockRelease(slm_shared->lock);

	for (;;)
	{
		long wait = -1;
		int events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
			reload_configuration();
		if (worker_enabled)
		{
			if (scanned_at == 0 ||
				TimestampDifferenceExceeds(scanned_at, GetCurrentTimestamp(),
										   RESCAN_INTERVAL * 1000))
			{
				scan_databases();
				visit_all();
				scanned_at = GetCurrentTimestamp();
			}
			wait = start_due_workers();
			events |= WL_TIMEOUT;
		}
		(void) WaitLatch(MyLatch, events, wait, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

/* ---- a worker ---- */

bool
slm_am_worker(void)
{
	return am_worker;
}

static void
report_next_run(TimestampTz next_run)
{
	SharedDatabase *entry;

	LWLockAcquire(slm_shared->lock, LW_EXCLUSIVE);
	entry = slm_find_database(MyDatabaseId);
	if (entry != NULL)
	{
		entry->next_run = next_run;
		entry->reported = true;
	}
	LWLockRelease(slm_shared->lock);
}

/* Of a worker: the extension was dropped meanwhile, so there is no more work. */
void
slm_worker_leave_dropped(void)
{
	if (!am_worker)
		return;
	report_next_run(DT_NOEND);
	proc_exit(0);
}

static void
forget_worker(int code, Datum arg)
{
	SharedDatabase *entry;

	LWLockAcquire(slm_shared->lock, LW_EXCLUSIVE);
	entry = slm_find_database(DatumGetObjectId(arg));
	if (entry != NULL && entry->worker_pid == MyProcPid)
		entry->worker_pid = 0;
	if (slm_shared->launcher != NULL)
		SetLatch(slm_shared->launcher);
	LWLockRelease(slm_shared->lock);
}

static void
claim_database(Oid database)
{
	SharedDatabase *entry;

	before_shmem_exit(forget_worker, ObjectIdGetDatum(database));
	LWLockAcquire(slm_shared->lock, LW_EXCLUSIVE);
	entry = slm_add_database(database);
	if (entry != NULL)
	{
		entry->worker_pid = MyProcPid;
		entry->changed = false;
		entry->left_alone = false;
	}
	LWLockRelease(slm_shared->lock);
}

static void
leave_alone(void)
{
	SharedDatabase *entry;

	LWLockAcquire(slm_shared->lock, LW_EXCLUSIVE);
	entry = slm_find_database(MyDatabaseId);
	if (entry != NULL)
		entry->left_alone = true;
	LWLockRelease(slm_shared->lock);
}

/*
 * Settings of the database or of the role must not change what jobs do.  Names
 * in the jobs' SQL are qualified; the path is for whatever a trigger may call.
 */
static void
pin_settings(void)
{
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_SUSET,
					PGC_S_SESSION);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET,
					PGC_S_SESSION);
	SetConfigOption("lock_timeout", "0", PGC_SUSET, PGC_S_SESSION);
	SetConfigOption("row_security", "on", PGC_SUSET, PGC_S_SESSION);
}

static void
check_version(void *arg)
{
	slm_check_version();
}

/*
 * Is the extension here, and does the library fit it?  If not, the database is
 * left alone until ALTER EXTENSION UPDATE, a restart of the server, or a new
 * session that uses the extension without an error.
 */
static bool
has_jobs(void)
{
	ErrorData *error;

	if (!OidIsValid(get_extension_oid("slm_feedback", true)))
		return false;
	if (slm_try(check_version, NULL, &error))
		return true;
	ereport(LOG, (errcode(error->sqlerrcode),
				  errmsg("slm_feedback worker leaves database %u alone: %s",
						 MyDatabaseId, error->message),
				  error->detail ? errdetail_internal("%s", error->detail) : 0,
				  error->hint ? errhint("%s", error->hint) : 0));
	leave_alone();
	return false;
}

/* Has anything been recorded or restored here? */
static bool
has_data(void)
{
	bool isnull;

	SPI_execute("SELECT EXISTS (SELECT 1 FROM slm_feedback.rollup_state) "
				"OR EXISTS (SELECT 1 FROM slm_feedback.queries)",
				false, 0);
	return DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0],
									  SPI_tuptable->tupdesc, 1, &isnull));
}

/*
 * A CALL runs in a portal, which holds the snapshot of each of its
 * transactions; a worker that ends transactions has to bring its own.
 */
static void
enter_portal(void)
{
	Portal portal = CreateNewPortal();

	portal->visible = false;
	portal->resowner = CurrentResourceOwner;
	portal->status = PORTAL_ACTIVE;
	ActivePortal = portal;
	PortalContext = portal->portalContext;
}

void
slm_worker_main(Datum arg)
{
	TimestampTz next_run = DT_NOEND;

	am_worker = true;
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid,
											  0);
	claim_database(DatumGetObjectId(arg));
	pin_settings();

	StartTransactionCommand();
	XactIsoLevel = XACT_READ_COMMITTED;
	enter_portal();
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	pgstat_report_activity(STATE_RUNNING, "slm_feedback worker: jobs");
	if (!has_jobs())
		next_run = DT_NOEND;
	else if (!has_data())
		next_run = slm_now() + EMPTY_INTERVAL * USECS_PER_SEC;
	else
	{
		slm_run_jobs(NULL);
		next_run = slm_next_run();
	}
	/* SPI starts the next transaction at once; the exit ends it and sends the statistics. */
	SPI_commit();

	report_next_run(next_run);
	proc_exit(0);
}

/* ---- start ---- */

void
slm_worker_init(void)
{
	BackgroundWorker launcher = {0};

	DefineCustomBoolVariable(
		"slm_feedback.worker",
		"Whether background workers run the jobs of every database.",
		"Needs slm_feedback in shared_preload_libraries.", &worker_enabled,
		true, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("slm_feedback.max_workers",
							"How many databases are worked on at a time.", NULL,
							&max_workers, 2, 1, MAX_WORKERS, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	slm_worker_state_init();

	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	snprintf(launcher.bgw_name, BGW_MAXLEN, "slm_feedback launcher");
	snprintf(launcher.bgw_type, BGW_MAXLEN, "slm_feedback launcher");
	snprintf(launcher.bgw_library_name, BGW_MAXLEN, "slm_feedback");
	snprintf(launcher.bgw_function_name, BGW_MAXLEN, "slm_launcher_main");
	launcher.bgw_flags =
		BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	launcher.bgw_start_time = BgWorkerStart_RecoveryFinished;
	launcher.bgw_restart_time = LAUNCHER_RESTART;
	RegisterBackgroundWorker(&launcher);
}
