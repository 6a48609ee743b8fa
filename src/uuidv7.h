/*
 * uuidv7.h
 *		Request ids that sort by the time at which they were made.
 */
#ifndef SLM_UUIDV7_H
#define SLM_UUIDV7_H

extern text *slm_uuidv7(void);

#endif
