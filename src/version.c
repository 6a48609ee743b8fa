/*
 * version.c
 *		A library and the SQL objects that it does not belong to.
 *
 * The files of a new release replace the library at once, the objects in a
 * database only by ALTER EXTENSION UPDATE; and a session keeps the library
 * that it has loaded.  So either can meet a newer other.  Their versions fit if
 * they are equal up to the last number: a release that changes only that one
 * changes no object that the library relies on.  Otherwise whatever reads the
 * settings, and so each function that reads or writes the tables, raises an
 * error that says what to do.
 *
 * The check is skipped while the extension's own script runs: PostgreSQL sets
 * the version to the one that a script leads to before it runs the script, so
 * that on the way through several scripts it is not the library's yet.
 *
 * A session notices an update when it next reads the settings: the last
 * statement of an update script tells all of them to (see docs/operations.md).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "compat.h"
#include "version.h"

PG_FUNCTION_INFO_V1(slm_library_version);

/* The version of the extension's objects in this database. */
static char *
objects_version(Oid extension)
{
	Relation rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	char *version = NULL;

	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));
	scan = systable_beginscan(rel, ExtensionOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool isnull;
		Datum value = heap_getattr(tuple, Anum_pg_extension_extversion,
								   RelationGetDescr(rel), &isnull);

		if (!isnull)
			version = TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return version;
}

/* The numbers of a version; what is not a number counts as 0. */
static void
parse_version(const char *version, int numbers[3])
{
	numbers[0] = numbers[1] = numbers[2] = 0;
	(void) sscanf(version, "%d.%d.%d", &numbers[0], &numbers[1], &numbers[2]);
}

static void
raise_mismatch(const char *objects)
{
	int library[3], sql[3];
	bool newer;

	parse_version(SLM_VERSION, library);
	parse_version(objects, sql);
	newer = library[0] != sql[0] ? library[0] > sql[0] : library[1] > sql[1];
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the library of slm_feedback is %s than the extension in "
					"this database",
					newer ? "newer" : "older"),
			 errdetail("The library is version %s, the extension is version "
					   "%s.",
					   SLM_VERSION, objects),
			 newer ? errhint("Run ALTER EXTENSION slm_feedback UPDATE.")
				   : errhint("Connect again. If that does not help, install "
							 "the library of the extension's version, and "
							 "restart the server if shared_preload_libraries "
							 "names slm_feedback.")));
}

/*
 * Raise an error unless the library fits the extension in this database.
 */
void
slm_check_version(void)
{
	Oid extension = get_extension_oid("slm_feedback", true);
	char *objects;
	int library[3], sql[3];

	if (!OidIsValid(extension))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"slm_feedback\" is not installed in this "
						"database"),
				 errhint("Run CREATE EXTENSION slm_feedback CASCADE.")));
	if (creating_extension && CurrentExtensionObject == extension)
		return;

	if (!OidIsValid(get_namespace_oid("slm_feedback", true)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_SCHEMA),
				 errmsg("schema \"slm_feedback\" does not exist"),
				 errdetail("The functions and tables of the extension find "
						   "each other in a schema of this name, and it was "
						   "renamed."),
				 errhint("Run ALTER SCHEMA ... RENAME TO slm_feedback.")));
	objects = objects_version(extension);
	if (objects == NULL)
		return; /* dropped a moment ago: the tables will say so */
	parse_version(SLM_VERSION, library);
	parse_version(objects, sql);
	if (library[0] != sql[0] || library[1] != sql[1])
		raise_mismatch(objects);
	pfree(objects);
}

/*
 * Raise an error unless the SQL function that calls passes as many arguments
 * as this library's function reads: those that are not there can't be read.
 */
void
slm_check_arguments(FunctionCallInfo fcinfo, int expected)
{
	if (PG_NARGS() == expected)
		return;
	slm_check_version();
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("the library of slm_feedback does not fit the "
						   "extension in this database"),
					errdetail("A function of %d arguments was called with %d.",
							  expected, PG_NARGS()),
					errhint("Run ALTER EXTENSION slm_feedback UPDATE, and "
							"connect again.")));
}

Datum
slm_library_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(SLM_VERSION));
}
