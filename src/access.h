/*
 * access.h
 *		What the caller of a function may see.
 */
#ifndef SLM_ACCESS_H
#define SLM_ACCESS_H

extern bool slm_caller_may_read_texts(void);
extern bool slm_caller_may_see_answers(void);

#endif
