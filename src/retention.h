/*
 * retention.h
 *		Removing raw rows and texts that are old enough.
 */
#ifndef SLM_RETENTION_H
#define SLM_RETENTION_H

extern int64 slm_run_retention(ErrorData **error);
extern void slm_explain_retention(void);

#endif
