/*
 * guard_triggers.h
 *		What lets the extension's own writes pass its guard triggers.
 */
#ifndef SLM_GUARD_TRIGGERS_H
#define SLM_GUARD_TRIGGERS_H

extern Oid slm_capturing;
extern bool slm_purging;

extern void slm_guard_triggers_init(void);

#endif
