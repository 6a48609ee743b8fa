/*
 * rollup.h
 *		Keeping daily_metrics exact.
 */
#ifndef SLM_ROLLUP_H
#define SLM_ROLLUP_H

extern void slm_rollup_init(void);
extern int slm_run_rollup(ErrorData **error);

#endif
