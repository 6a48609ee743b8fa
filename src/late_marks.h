/*
 * late_marks.h
 *		Which writes leave a mark for the rollup.
 */
#ifndef SLM_LATE_MARKS_H
#define SLM_LATE_MARKS_H

#include "datatype/timestamp.h"

extern void slm_late_marks_init(void);
extern void slm_note_write(TimestampTz query_created_at);

#endif
