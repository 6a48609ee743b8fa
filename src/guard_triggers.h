/*
 * guard_triggers.h
 *		What lets the extension's own writes pass its guard triggers.
 */
#ifndef SLM_GUARD_TRIGGERS_H
#define SLM_GUARD_TRIGGERS_H

/* One statement that passes.  Its rows' triggers run at trigger_depth. */
typedef struct SlmPass
{
	Oid relid;	/* the table that a capture function writes */
	bool purge; /* or retention's purge */
	int trigger_depth;
	int nest_level; /* of the subtransaction that it runs in */
} SlmPass;

extern SlmPass slm_pass_captured(Oid relid);
extern SlmPass slm_pass_purged(void);
extern void slm_end_pass(SlmPass before);

extern void slm_guard_triggers_init(void);

#endif
