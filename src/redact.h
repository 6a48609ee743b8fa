/*
 * redact.h
 *		Placeholders for personal data in texts.
 */
#ifndef SLM_REDACT_H
#define SLM_REDACT_H

extern const char *slm_placeholder(int i);
extern void slm_apply_redaction(Datum *value, bool isnull);

#endif
