/*
 * yield_database.c
 *		Commands that need a database for themselves get it.
 *
 * DROP DATABASE, CREATE DATABASE ... TEMPLATE, ALTER DATABASE ... RENAME and
 * SET TABLESPACE fail while anybody is connected, after waiting for five
 * seconds; until PostgreSQL 19 the server asks no background worker to leave.
 * So we take the lock that the command takes first anyway, which keeps new
 * connections out, and then tell the worker to leave.  The command waits for it
 * as it would for anybody.
 *
 * Only those who may run the command get that far; the command itself raises
 * whatever error there is.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"

#include "compat.h"
#include "worker.h"
#include "yield_database.h"

static ProcessUtility_hook_type previous_hook = NULL;

static bool
may_create_databases(void)
{
	HeapTuple tuple;
	bool result;

	if (superuser())
		return true;
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
	ReleaseSysCache(tuple);
	return result;
}

static void
yield(const char *name, LOCKMODE lockmode)
{
	Oid database;

	if (name == NULL || !OidIsValid(database = get_database_oid(name, true)) ||
		database == MyDatabaseId)
		return;
	if (!SLM_DATABASE_OWNERCHECK(database, GetUserId()))
		return;
	LockSharedObject(DatabaseRelationId, database, 0, lockmode);
	slm_worker_stop(database);
}

static const char *
template_of(CreatedbStmt *stmt)
{
	ListCell *cell;

	if (!may_create_databases())
		return NULL;
	foreach (cell, stmt->options)
	{
		DefElem *option = lfirst(cell);

		if (strcmp(option->defname, "template") == 0 && option->arg)
			return defGetString(option);
	}
	return NULL;
}

static bool
sets_tablespace(AlterDatabaseStmt *stmt)
{
	ListCell *cell;

	foreach (cell, stmt->options)
		if (strcmp(((DefElem *) lfirst(cell))->defname, "tablespace") == 0)
			return true;
	return false;
}

static void
yield_for(Node *command)
{
	switch (nodeTag(command))
	{
		case T_DropdbStmt:
			yield(((DropdbStmt *) command)->dbname, AccessExclusiveLock);
			break;
		case T_CreatedbStmt:
			yield(template_of((CreatedbStmt *) command), ShareLock);
			break;
		case T_RenameStmt:
			if (((RenameStmt *) command)->renameType == OBJECT_DATABASE)
				yield(((RenameStmt *) command)->subname, AccessExclusiveLock);
			break;
		case T_AlterDatabaseStmt:
			if (sets_tablespace((AlterDatabaseStmt *) command))
				yield(((AlterDatabaseStmt *) command)->dbname,
					  AccessExclusiveLock);
			break;
		case T_AlterExtensionStmt:
			/* The worker left a database of another version alone. */
			if (strcmp(((AlterExtensionStmt *) command)->extname,
					   "slm_feedback") == 0)
				slm_worker_wake(InvalidOid);
			break;
		default:
			break;
	}
}

static void
process_utility(PlannedStmt *pstmt, const char *query_string,
				bool read_only_tree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *environment,
				DestReceiver *dest, QueryCompletion *completion)
{
	/* In a transaction block most of them are refused, before any lock. */
	if (context == PROCESS_UTILITY_TOPLEVEL && !IsTransactionBlock())
		yield_for(pstmt->utilityStmt);
	if (previous_hook)
		previous_hook(pstmt, query_string, read_only_tree, context, params,
					  environment, dest, completion);
	else
		standard_ProcessUtility(pstmt, query_string, read_only_tree, context,
								params, environment, dest, completion);
}

void
slm_yield_database_init(void)
{
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	previous_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
