/*
 * jobs.h
 *		Running the jobs that are due.
 */
#ifndef SLM_JOBS_H
#define SLM_JOBS_H

#include "datatype/timestamp.h"

/* A part of a job that runs in one transaction. */
typedef void (*SlmUnit)(void *arg);

extern void slm_next_transaction(void);
extern bool slm_try(SlmUnit unit, void *arg, ErrorData **error);
extern void slm_check_call(FunctionCallInfo fcinfo, const char *name);
extern void slm_run_jobs(const char *only);
extern TimestampTz slm_next_run(void);

#endif
