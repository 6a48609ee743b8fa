/*
 * reports.h
 *		Arguments that the reports share.
 */
#ifndef SLM_REPORTS_H
#define SLM_REPORTS_H

extern void slm_reports_init(void);

#endif
