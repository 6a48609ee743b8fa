/*
 * question.h
 *		What other files ask about a text.
 */
#ifndef SLM_QUESTION_H
#define SLM_QUESTION_H

extern bool slm_is_blank_text(const text *value);

#endif
