/*
 * user_ids.h
 *		How user ids are stored.
 */
#ifndef SLM_USER_IDS_H
#define SLM_USER_IDS_H

/* What the given value is: decides whether a pseudonym is taken as one. */
typedef enum UserIdSource
{
	USER_ID_FROM_CAPTURE, /* what an application says: always an id */
	USER_ID_FROM_TABLE	  /* a direct write or a restore: may be a pseudonym */
} UserIdSource;

extern void slm_apply_user_id_policy(Datum *user_id, bool *isnull,
									 UserIdSource source);

#endif
