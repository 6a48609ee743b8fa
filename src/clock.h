/*
 * clock.h
 *		The clock that jobs are scheduled by, and the schedule's settings.
 */
#ifndef SLM_CLOCK_H
#define SLM_CLOCK_H

#include "datatype/timestamp.h"

extern char *slm_nightly_time;
extern int slm_refresh_interval; /* seconds; 0 = never */

extern void slm_clock_init(void);
extern TimestampTz slm_now(void);

#endif
