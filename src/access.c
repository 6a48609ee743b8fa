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
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/supportnodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "access.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(slm_caller);
PG_FUNCTION_INFO_V1(slm_log_audit);
PG_FUNCTION_INFO_V1(slm_revoke_as);
PG_FUNCTION_INFO_V1(slm_shows_group);
PG_FUNCTION_INFO_V1(slm_shows_merged_group);
PG_FUNCTION_INFO_V1(slm_least_group_users);
PG_FUNCTION_INFO_V1(slm_check_single_answers);
PG_FUNCTION_INFO_V1(slm_check_single_answers_support);

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

/*
 * revoke_as(grantor, statement) runs a REVOKE as the role that had granted what
 * it takes: PostgreSQL knows no other way, and no SET ROLE in the function that
 * calls this.  An error gives the caller's role back by the (sub)transaction's
 * abort.
 */
Datum
slm_revoke_as(PG_FUNCTION_ARGS)
{
	Oid grantor = PG_GETARG_OID(0);
	char *statement = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Oid user;
	int context;

	if (!superuser())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be superuser to revoke what others have "
							   "granted")));
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(grantor, context | SECURITY_LOCAL_USERID_CHANGE);
	if (SPI_connect() != SPI_OK_CONNECT ||
		SPI_execute(statement, false, 0) != SPI_OK_UTILITY ||
		SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "could not run: %s", statement);
	SetUserIdAndSecContext(user, context);
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

/* May the current user see rows of single answers: groups of one user? */
bool
slm_caller_may_see_answers(void)
{
	Oid queries = slm_settings()->queries_relid;
	Oid user = GetUserId();

	return slm_settings()->min_group_users == 0 ||
		   pg_class_aclcheck(queries, user, ACL_SELECT) == ACLCHECK_OK ||
		   pg_attribute_aclcheck_all(queries, user, ACL_SELECT, ACLMASK_ANY) ==
			   ACLCHECK_OK;
}

static void
check_single_answers(void)
{
	if (!slm_caller_may_see_answers())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("single answers are not shown to role \"%s\"",
						GetUserNameFromId(GetUserId(), false)),
				 errdetail("Groups of fewer than %d users are left out.",
						   slm_settings()->min_group_users),
				 errhint("Use the reports or export_daily_metrics(), or ask "
						 "for access at level analyst_texts.")));
}

/*
 * check_single_answers() returns true where the current user may see rows of
 * single answers.
 */
Datum
slm_check_single_answers(PG_FUNCTION_ARGS)
{
	check_single_answers();
	PG_RETURN_BOOL(true);
}

/*
 * The planner's support function of check_single_answers(): who may not run the
 * query may not plan it either.  Planning looks at the statistics of the
 * tables with the rights of the views' owner, EXPLAIN shows what follows from
 * them, and a selectivity estimator hands values of them to the function of an
 * operator that anybody may create.  Constants are folded, which is when this is
 * asked, before anything is estimated.
 */
Datum
slm_check_single_answers_support(PG_FUNCTION_ARGS)
{
	if (IsA(PG_GETARG_POINTER(0), SupportRequestSimplify))
		check_single_answers();
	PG_RETURN_POINTER(NULL);
}

/*
 * Which groups a report hides is said by the setting in force, not by that of
 * the report's snapshot: what has been hidden must not be shown any more.
 *
 * least_group_users() is the same for a query that asks once for many rows.
 */
Datum
slm_least_group_users(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(slm_settings()->min_group_users);
}

/* shows_group(users): may a report show a row of so many users? */
Datum
slm_shows_group(PG_FUNCTION_ARGS)
{
	int64 users = PG_ARGISNULL(0) ? 0 : PG_GETARG_INT64(0);

	PG_RETURN_BOOL(users >= slm_settings()->min_group_users);
}

/* Sketches with the parameters of day_metrics() hold so many users exactly. */
#define SKETCH_EXACT 160
#define SKETCH_MARGIN 1.07

/*
 * shows_merged_group(approx_users, most_users_a_day, users_of_days): may a
 * report show a row over several days?  Only if it has enough users for
 * certain, whatever the sketch errs by.
 */
Datum
slm_shows_merged_group(PG_FUNCTION_ARGS)
{
	int64 least = PG_ARGISNULL(0) ? 0 : PG_GETARG_INT64(0);
	int64 wanted = slm_settings()->min_group_users;

	if (least > SKETCH_EXACT)
		least = Max(SKETCH_EXACT + 1, (int64) (least / SKETCH_MARGIN));
	if (!PG_ARGISNULL(1))
		least = Max(least, PG_GETARG_INT64(1));
	if (!PG_ARGISNULL(2))
		least = Min(least, PG_GETARG_INT64(2));
	PG_RETURN_BOOL(least >= wanted);
}
