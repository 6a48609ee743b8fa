/*
 * redaction_patterns.h
 *		Regular expressions of the DBA's own that redaction replaces.
 */
#ifndef SLM_REDACTION_PATTERNS_H
#define SLM_REDACTION_PATTERNS_H

#include "utils/array.h"

extern void slm_redaction_patterns_init(void);
extern text *slm_replace_patterns(text *given, ArrayBuildState **kinds);

#endif
