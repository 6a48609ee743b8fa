/*
 * redaction_patterns.h
 *		User-defined regular expressions, whose matches redaction replaces.
 */
#ifndef SLM_REDACTION_PATTERNS_H
#define SLM_REDACTION_PATTERNS_H

#include "utils/array.h"

extern void slm_redaction_patterns_init(void);
extern text *slm_replace_patterns(text *given, bool whole_lines,
								  ArrayBuildState **kinds);
extern bool slm_has_patterns(void);

#endif
