/*
 * retention.h
 *		Removing raw rows and texts that are old enough.
 */
#ifndef SLM_RETENTION_H
#define SLM_RETENTION_H

extern bool slm_purging;

extern void slm_retention_init(void);
extern int64 slm_run_retention(ErrorData **error);

#endif
