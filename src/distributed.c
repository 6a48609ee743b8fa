/*
 * distributed.c
 *		Refuse tables that Citus has distributed.
 *
 * The rows of a distributed table live in shards, and the table of that name is
 * an empty shell.  Citus leads the statements that it plans to the shards, but
 * not what reads and writes a table by the server's own interfaces: the direct
 * insert, the lock on a query, the filter of exports, late marks and rollups.
 * They would find nothing, or write where nobody looks, without an error.
 *
 * So whatever reads the settings, and so each function that reads or writes the
 * tables, refuses to go on.  The catalog is looked at when a session reads the
 * settings anew: Citus invalidates the tables that it distributes, which makes
 * it do so (settings.c).  Where there is no extension citus, that is one look
 * for its name.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "commands/extension.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "distributed.h"

/* A table of the schema that Citus knows, or InvalidOid. */
static Oid
find_distributed_table(Oid namespace)
{
	Oid catalog = get_relname_relid("pg_dist_partition", PG_CATALOG_NAMESPACE);
	Oid found = InvalidOid;
	AttrNumber attnum;
	Relation rel;
	SysScanDesc scan;
	HeapTuple tuple;

	if (!OidIsValid(catalog))
		return InvalidOid;
	rel = table_open(catalog, AccessShareLock);
	attnum = get_attnum(catalog, "logicalrelid");
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (attnum != InvalidAttrNumber && !OidIsValid(found) &&
		   HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool isnull;
		Datum relid =
			heap_getattr(tuple, attnum, RelationGetDescr(rel), &isnull);

		if (!isnull && get_rel_namespace(DatumGetObjectId(relid)) == namespace)
			found = DatumGetObjectId(relid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* Raise an error if a table of the extension's schema is distributed. */
void
slm_refuse_distributed_tables(Oid namespace)
{
	Oid table;

	if (!OidIsValid(get_extension_oid("citus", true)))
		return;
	table = find_distributed_table(namespace);
	if (OidIsValid(table))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"slm_feedback.%s\" is distributed by Citus",
						get_rel_name(table)),
				 errdetail("slm_feedback reads and writes tables of its own "
						   "server; this one is an empty shell whose rows live "
						   "in shards."),
				 errhint("Run SELECT undistribute_table('slm_feedback.%s'), or "
						 "remove it from Citus's metadata.",
						 get_rel_name(table))));
}
