/*
 * settings.h
 *		The settings that belong to the data.
 */
#ifndef SLM_SETTINGS_H
#define SLM_SETTINGS_H

#include "utils/snapshot.h"

#include "calendar.h"

typedef enum UserIdPolicy
{
	USER_ID_PLAIN,
	USER_ID_PSEUDONYM,
	USER_ID_DROP
} UserIdPolicy;

typedef struct SlmSettings
{
	bool valid;
	Oid settings_relid;
	Oid queries_relid;
	Oid feedback_relid;
	Oid owner; /* of the extension's tables: capture runs as this role */
	SlmCalendar calendar;
	UserIdPolicy user_id_policy;
	bool redact_at_write;
	int min_group_users;	/* reports leave out rows of fewer */
	DateADT closed_through; /* writes to days up to this one leave a mark */
	Oid rollup_state_relid;
	TransactionId settings_xmin; /* who wrote the rows that were read */
	TransactionId rollup_state_xmin;
} SlmSettings;

/* The role and security context to return to after slm_become_owner(). */
typedef struct SlmCaller
{
	Oid user;
	int sec_context;
} SlmCaller;

/* What decides whether a write is late, as a snapshot sees it. */
typedef struct SlmLateRules
{
	SlmCalendar calendar;
	DateADT closed_through;
} SlmLateRules;

extern void slm_settings_init(void);
extern const SlmSettings *slm_settings(void);
extern const SlmSettings *slm_settings_for_write(void);
extern bool slm_settings_newer_than(Snapshot snapshot);
extern SlmLateRules slm_late_rules(Snapshot snapshot);
extern SlmCaller slm_become_owner(void);
extern void slm_become_caller(SlmCaller caller);

#endif
