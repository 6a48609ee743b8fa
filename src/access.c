/*
 * access.c
 *		Who asks: what a SECURITY DEFINER function needs to know about its caller.
 *
 * Inside such a function current_user is its owner and session_user ignores SET
 * ROLE.  The outer user id is the role that the session acts as, whatever
 * functions are running; so a definer function of the DBA's own that calls one
 * of ours gains nothing for its caller.
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
PG_FUNCTION_INFO_V1(slm_may_read_texts);
PG_FUNCTION_INFO_V1(slm_shows_group);

Datum
slm_caller(PG_FUNCTION_ARGS)
{
	Name name = palloc0(sizeof(NameData));

	namestrcpy(name, GetUserNameFromId(GetOuterUserId(), false));
	PG_RETURN_NAME(name);
}

/* May the caller read the column queries.query_text? */
bool
slm_caller_may_read_texts(void)
{
	Oid queries = slm_settings()->queries_relid;
	Oid user = GetOuterUserId();
	AttrNumber column = get_attnum(queries, "query_text");

	return pg_class_aclcheck(queries, user, ACL_SELECT) == ACLCHECK_OK ||
		   pg_attribute_aclcheck(queries, column, user, ACL_SELECT) ==
			   ACLCHECK_OK;
}

Datum
slm_may_read_texts(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(slm_caller_may_read_texts());
}

/* shows_group(users): may a report show a row of so many users? */
Datum
slm_shows_group(PG_FUNCTION_ARGS)
{
	int64 users = PG_ARGISNULL(0) ? 0 : PG_GETARG_INT64(0);

	PG_RETURN_BOOL(users >= slm_settings()->min_group_users);
}
