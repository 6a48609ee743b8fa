/*
 * dashboard.h
 *		The dashboard page, for its function, its file and the worker.
 */
#ifndef SLM_DASHBOARD_H
#define SLM_DASHBOARD_H

#include "lib/stringinfo.h"

/* dashboard.c */
extern void slm_append_dashboard(StringInfo out, bool questions_allowed);

/* dashboard_file.c */
extern void slm_dashboard_file_init(void);

/*
 * Writes the page to slm_feedback.dashboard_file; does nothing if that is
 * empty.  Needs a transaction with a snapshot.
 */
extern void slm_write_dashboard_file(void);

#endif
