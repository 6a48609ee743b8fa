/*
 * dashboard.h
 *		The dashboard page, for its function and for the worker.
 */
#ifndef SLM_DASHBOARD_H
#define SLM_DASHBOARD_H

extern void slm_dashboard_init(void);

/*
 * Writes the page to slm_feedback.dashboard_file; does nothing if that is
 * empty.  Needs a transaction with a snapshot.
 */
extern void slm_write_dashboard_file(void);

#endif
