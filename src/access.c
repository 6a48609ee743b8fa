/*
 * access.c
 *		Who asks: what the functions that run as the owner need to know about
 *		their caller.
 *
 * What may be read is decided by the current user, before a function becomes
 * the owner: the role whose code is running, as everywhere in PostgreSQL.  The
 * outer user (by login or SET ROLE) would be wrong for it, because a superuser
 * runs code of others with their rights: REFRESH MATERIALIZED VIEW, ANALYZE
 * and autovacuum with index expressions, SECURITY DEFINER functions.
 *
 * The audit log is written by SECURITY DEFINER functions, inside which the
 * current user is the owner, and names the outer user.  Where that is known
 * not to be the role that acts, in a security-restricted operation, it refuses
 * the entry, and with it the action.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "access.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(slm_caller);
PG_FUNCTION_INFO_V1(slm_log_audit);
PG_FUNCTION_INFO_V1(slm_shows_group);
PG_FUNCTION_INFO_V1(slm_check_single_answers);

/* caller() returns the role to account for. */
Datum
slm_caller(PG_FUNCTION_ARGS)
{
	Name name;

	if (InSecurityRestrictedOperation())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("cannot use a function that is audited within a "
							   "security-restricted operation"),
						errdetail("The audit log could not tell who acts."),
						errhint("Do not call it in an index expression or a "
								"materialized view.")));
	name = palloc0(sizeof(NameData));
	namestrcpy(name, GetUserNameFromId(GetOuterUserId(), false));
	PG_RETURN_NAME(name);
}

/*
 * log_audit(action, details) writes an entry of the audit log to the server's
 * log, where it stays if the transaction is rolled back.
 */
Datum
slm_log_audit(PG_FUNCTION_ARGS)
{
	ereport(LOG_SERVER_ONLY,
			(errmsg("slm_feedback audit: role \"%s\" called %s",
					GetUserNameFromId(GetOuterUserId(), false),
					text_to_cstring(PG_GETARG_TEXT_PP(0))),
			 errdetail_log("Session role \"%s\", details %s.",
						   GetUserNameFromId(GetSessionUserId(), false),
						   text_to_cstring(PG_GETARG_TEXT_PP(1))),
			 errhidestmt(true), errhidecontext(true)));
	PG_RETURN_VOID();
}

/* May the current user read the column queries.query_text? */
bool
slm_caller_may_read_texts(void)
{
	Oid queries = slm_settings()->queries_relid;
	Oid user = GetUserId();
	AttrNumber column = get_attnum(queries, "query_text");

	return pg_class_aclcheck(queries, user, ACL_SELECT) == ACLCHECK_OK ||
		   pg_attribute_aclcheck(queries, column, user, ACL_SELECT) ==
			   ACLCHECK_OK;
}

/*
 * check_single_answers() returns true where the current user may see rows of
 * single answers, which are groups of one user.
 */
Datum
slm_check_single_answers(PG_FUNCTION_ARGS)
{
	const SlmSettings *settings = slm_settings();
	Oid queries = settings->queries_relid;
	Oid user = GetUserId();

	if (settings->min_group_users > 0 &&
		pg_class_aclcheck(queries, user, ACL_SELECT) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(queries, user, ACL_SELECT, ACLMASK_ANY) !=
			ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("single answers are not shown to role \"%s\"",
						GetUserNameFromId(user, false)),
				 errdetail("Groups of fewer than %d users are left out.",
						   settings->min_group_users),
				 errhint("Use the reports or export_daily_metrics(), or ask "
						 "for access at level analyst_texts.")));
	PG_RETURN_BOOL(true);
}

/* shows_group(users): may a report show a row of so many users? */
Datum
slm_shows_group(PG_FUNCTION_ARGS)
{
	int64 users = PG_ARGISNULL(0) ? 0 : PG_GETARG_INT64(0);

	PG_RETURN_BOOL(users >= slm_settings()->min_group_users);
}
