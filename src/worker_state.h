/*
 * worker_state.h
 *		What launcher, workers and backends tell each other in shared memory.
 */
#ifndef SLM_WORKER_STATE_H
#define SLM_WORKER_STATE_H

#include "datatype/timestamp.h"
#include "storage/latch.h"
#include "storage/lwlock.h"

#define MAX_DATABASES 1024

typedef struct SharedDatabase
{
	Oid database;		  /* InvalidOid: the entry is free */
	TimestampTz next_run; /* when a job is due next; DT_NOEND = never */
	bool changed;		  /* visit it at once */
	bool reported;		  /* the last worker has set next_run */
	bool left_alone;	  /* the last worker could not use the extension */
	int worker_pid;		  /* of the worker in it, or 0 */
	int restorers;		  /* sessions that restore a dump into it */
	int restorer_pid;	  /* the one that began last */
	TimestampTz restored_since; /* when that one was noted, by slm_now() */
} SharedDatabase;

typedef struct SharedState
{
	LWLock *lock;
	Latch *launcher; /* to wake the launcher, or NULL */
	bool full_logged;
	int n; /* entries in use or once used */
	SharedDatabase databases[MAX_DATABASES];
} SharedState;

/* NULL without slm_feedback in shared_preload_libraries. */
extern SharedState *slm_shared;

extern void slm_worker_state_init(void);
extern SharedDatabase *slm_find_database(Oid database);
extern SharedDatabase *slm_add_database(Oid database);
extern TimestampTz slm_restored_until(const SharedDatabase *entry);
extern void slm_log_full(void);

#endif
