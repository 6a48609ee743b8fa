/*
 * worker_state.c
 *		The array of databases in shared memory, and what backends write there.
 *
 * A backend says that the schedule of its database may have changed, or that it
 * uses the extension in a database that the launcher does not know; src/worker.c
 * tells what becomes of that.  The array is guarded by one LWLock.
 *
 * A dump that is being restored must not meet rows that a worker has written
 * into the same tables.  A session that runs a dump's script (pg_restore, or
 * psql) is known by two settings that every dump begins with; the database is
 * left alone until the last such session has ended or has set one of them back.
 * It counts only if it acts as the owner of the extension's tables or as a
 * superuser, who alone can restore them; nobody else can stop the jobs by it.
 * And it counts for a day at most: a pooled connection may keep the settings by
 * accident.  report_jobs() shows it.  Such a session may also bring rows that
 * lie ahead of this server's clock (capture.c).
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "worker.h"
#include "worker_state.h"

PG_FUNCTION_INFO_V1(slm_wake_worker);
PG_FUNCTION_INFO_V1(slm_restore_in_progress);

/* How long a session counts as restoring a dump. */
#define RESTORE_LIMIT (SECS_PER_DAY * USECS_PER_SEC)

SharedState *slm_shared = NULL;

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

/* Does the current transaction change what is due? */
static bool wake_at_commit = false;

/* May this session's role restore a dump of the extension's tables? */
static bool may_restore = false;

/* This session restores a dump into this database. */
static bool restoring = false;

/* ---- shared memory ---- */

static void
request_shared_memory(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(sizeof(SharedState));
	RequestNamedLWLockTranche("slm_feedback", 1);
}

static void
attach_shared_memory(void)
{
	bool found;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	slm_shared = ShmemInitStruct("slm_feedback", sizeof(SharedState), &found);
	if (!found)
	{
		memset(slm_shared, 0, sizeof(SharedState));
		slm_shared->lock = &GetNamedLWLockTranche("slm_feedback")->lock;
	}
	LWLockRelease(AddinShmemInitLock);
}

/* The entry of a database, or NULL.  The lock must be held. */
SharedDatabase *
slm_find_database(Oid database)
{
	for (int i = 0; i < slm_shared->n; i++)
		if (slm_shared->databases[i].database == database)
			return &slm_shared->databases[i];
	return NULL;
}

/*
 * The entry of a database, new if there is none and then due at once; NULL if
 * the array is full.  The lock must be held exclusively.
 */
SharedDatabase *
slm_add_database(Oid database)
{
	SharedDatabase *entry = slm_find_database(database);

	if (entry != NULL)
		return entry;
	entry = slm_find_database(InvalidOid);
	if (entry == NULL && slm_shared->n < MAX_DATABASES)
		entry = &slm_shared->databases[slm_shared->n++];
	if (entry != NULL)
	{
		memset(entry, 0, sizeof(SharedDatabase));
		entry->database = database;
		entry->next_run = DT_NOBEGIN;
	}
	return entry;
}

void
slm_log_full(void)
{
	ereport(LOG, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				  errmsg("slm_feedback worker cannot look after any more "
						 "databases"),
				  errdetail("It looks after at most %d.", MAX_DATABASES),
				  errhint("Run CALL slm_feedback.run_jobs() in the others by "
						  "another scheduler.")));
}

/* Have the launcher visit this database. */
static void
request_visit(void)
{
	SharedDatabase *entry;
	bool full = false;

	LWLockAcquire(slm_shared->lock, LW_EXCLUSIVE);
	entry = slm_add_database(MyDatabaseId);
	if (entry != NULL)
		entry->changed = true;
	else if (!slm_shared->full_logged)
		full = slm_shared->full_logged = true;
	if (slm_shared->launcher != NULL)
		SetLatch(slm_shared->launcher);
	LWLockRelease(slm_shared->lock);
	if (full)
		slm_log_full();
}

/* ---- a dump that is being restored ---- */

/* When the sessions that restore a dump stop to count. */
TimestampTz
slm_restored_until(const SharedDatabase *entry)
{
	return entry->restorers > 0 ? entry->restored_since + RESTORE_LIMIT
								: DT_NOBEGIN;
}

/* This session restores no longer: the database can be visited. */
static void
end_restore(void)
{
	SharedDatabase *entry;

	if (!restoring)
		return;
	restoring = false;
	LWLockAcquire(slm_shared->lock, LW_EXCLUSIVE);
	entry = slm_find_database(MyDatabaseId);
	if (entry != NULL && entry->restorers > 0)
		entry->restorers--;
	if (entry != NULL)
		entry->changed = true;
	if (slm_shared->launcher != NULL)
		SetLatch(slm_shared->launcher);
	LWLockRelease(slm_shared->lock);
}

static void
at_exit(int code, Datum arg)
{
	end_restore();
}

/*
 * Are the settings those that pg_dump writes at the top of each dump?  Few
 * other sessions have a reason for both.
 */
static bool
has_settings_of_dump(void)
{
	return !row_security && !check_function_bodies;
}

/*
 * Does this session restore a dump?  For this the library need not be
 * preloaded.
 */
bool
slm_session_restores(Oid owner)
{
	return has_settings_of_dump() && has_privs_of_role(GetOuterUserId(), owner);
}

/*
 * Is this session restoring a dump?  Then the worker stays away.
 */
static bool
note_restore(void)
{
	static bool exit_registered = false;
	SharedDatabase *entry;

	if (restoring || !may_restore || !has_settings_of_dump())
		return restoring;
	LWLockAcquire(slm_shared->lock, LW_EXCLUSIVE);
	entry = slm_add_database(MyDatabaseId);
	if (entry != NULL)
	{
		entry->restorers++;
		entry->restorer_pid = MyProcPid;
		entry->restored_since = slm_now();
		restoring = true;
	}
	LWLockRelease(slm_shared->lock);
	if (restoring && !exit_registered)
		before_shmem_exit(at_exit, (Datum) 0);
	exit_registered = exit_registered || restoring;
	return restoring;
}

/* restore_in_progress(): which session keeps the worker away, or null. */
Datum
slm_restore_in_progress(PG_FUNCTION_ARGS)
{
	SharedDatabase entry = {0};
	const SharedDatabase *found = NULL;

	if (slm_shared != NULL)
	{
		LWLockAcquire(slm_shared->lock, LW_SHARED);
		found = slm_find_database(MyDatabaseId);
		if (found != NULL)
			entry = *found;
		LWLockRelease(slm_shared->lock);
	}
	if (slm_restored_until(&entry) <= slm_now())
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(
		psprintf("session %d restores a dump since %s", entry.restorer_pid,
				 timestamptz_to_str(entry.restored_since))));
}

/* ---- what backends tell the launcher ---- */

/*
 * Make the database known: a backend uses the extension here.  Called when the
 * settings have been read, so not often.
 */
void
slm_worker_announce(Oid owner)
{
	static Oid announced = InvalidOid;
	SharedDatabase *entry;
	bool wanted;

	if (slm_shared == NULL || announced == MyDatabaseId || !IsUnderPostmaster)
		return;
	announced = MyDatabaseId;
	may_restore = has_privs_of_role(GetOuterUserId(), owner);
	if (slm_am_worker() || note_restore())
		return;
	LWLockAcquire(slm_shared->lock, LW_SHARED);
	entry = slm_find_database(MyDatabaseId);
	wanted = entry == NULL || entry->left_alone;
	LWLockRelease(slm_shared->lock);
	if (wanted)
		request_visit();
}

/*
 * The schedule of this database changes when this transaction commits.  The
 * owner of the table that was changed, if given, tells who may restore it: no
 * catalog can be read at the commit.
 */
void
slm_worker_wake(Oid owner)
{
	if (OidIsValid(owner))
		may_restore = has_privs_of_role(GetOuterUserId(), owner);
	wake_at_commit = true;
}

static void
at_transaction_event(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		event != XACT_EVENT_PREPARE)
		return;
	if (event == XACT_EVENT_COMMIT && restoring && !has_settings_of_dump())
		end_restore();
	if (wake_at_commit && slm_shared != NULL && event == XACT_EVENT_COMMIT &&
		!note_restore())
		request_visit();
	wake_at_commit = false;
}

/* Trigger wake_worker() */
Datum
slm_wake_worker(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("wake_worker must be called as a trigger")));
	slm_worker_wake(
		((TriggerData *) fcinfo->context)->tg_relation->rd_rel->relowner);
	PG_RETURN_POINTER(NULL);
}

/*
 * Make the worker of a database leave; the caller needs the database for
 * itself.  Its job goes on where it was once the worker is back.
 */
void
slm_worker_stop(Oid database)
{
	SharedDatabase *entry;

	if (slm_shared == NULL)
		return;
	LWLockAcquire(slm_shared->lock, LW_SHARED);
	entry = slm_find_database(database);
	if (entry != NULL && entry->worker_pid != 0)
		kill(entry->worker_pid, SIGTERM);
	LWLockRelease(slm_shared->lock);
}

void
slm_worker_state_init(void)
{
	RegisterXactCallback(at_transaction_event, NULL);
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = attach_shared_memory;
}
