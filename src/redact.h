/*
 * redact.h
 *		Placeholders for personal data in texts.
 */
#ifndef SLM_REDACT_H
#define SLM_REDACT_H

#include "utils/array.h"

extern void slm_add_kind(ArrayBuildState **found, const char *name);
extern void slm_apply_redaction(Datum *value, bool isnull);

#endif
