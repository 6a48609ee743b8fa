/*
 * compat.h
 *		Every difference between server versions, in one place.
 *
 * The code is written for the newest interface; each block says what changed
 * and when.  PostgreSQL 15 to 18 are supported; 19 compiles.
 */
#ifndef SLM_COMPAT_H
#define SLM_COMPAT_H

#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/backend_status.h"

#if PG_VERSION_NUM < 150000
#error "slm_feedback needs PostgreSQL 15 or later"
#endif

/* 16 moved the varlena macros out of postgres.h */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 16 renamed the access to the local copy of the backend status array */
#if PG_VERSION_NUM < 160000
#define pgstat_get_local_beentry_by_index(i) pgstat_fetch_stat_local_beentry(i)
#endif

/* 16 made one ownership check of those of each kind of object */
#if PG_VERSION_NUM < 160000
#define SLM_DATABASE_OWNERCHECK(oid, role) pg_database_ownercheck(oid, role)
#else
#define SLM_DATABASE_OWNERCHECK(oid, role)                                     \
	object_ownercheck(DatabaseRelationId, oid, role)
#endif

/* 17 replaced backend ids by process numbers and moved lxid into vxid */
#if PG_VERSION_NUM < 170000
#include "storage/sinvaladt.h"
#define SLM_VXID_PROC(vxid) BackendIdGetProc((vxid).backendId)
#define SLM_PROC_LXID(proc) ((proc)->lxid)
#else
#define SLM_VXID_PROC(vxid) ProcNumberGetProc((vxid).procNumber)
#define SLM_PROC_LXID(proc) ((proc)->vxid.lxid)
#endif

/* 18 took the C library's conversions of 64-bit integers for its own */
#if PG_VERSION_NUM < 180000
#define SLM_HEX64 INT64_MODIFIER "x"
#else
#include <inttypes.h>
#define SLM_HEX64 PRIx64
#endif

/* 18 lets a module tell its name and version */
#ifndef PG_MODULE_MAGIC_EXT
#define PG_MODULE_MAGIC_EXT(...) PG_MODULE_MAGIC
#endif

/* 19 passes flags of the caller's to a scan */
#if PG_VERSION_NUM < 190000
#include "access/tableam.h"
#define SO_NONE 0
#define table_beginscan(rel, snapshot, nkeys, key, flags)                      \
	table_beginscan(rel, snapshot, nkeys, key)
#endif

/*
 * 16 tells ExecInsertIndexTuples whether only summarizing indexes change; 18
 * tells ExecCheckIndexConstraints about the row's own place and lets a scan
 * count for EXPLAIN; 19 packs the former's booleans into flags
 */
#if PG_VERSION_NUM < 160000
#define SLM_EXEC_INSERT_INDEX_TUPLES(target, slot, estate, conflict, arbiters) \
	ExecInsertIndexTuples(target, slot, estate, false, true, conflict, arbiters)
#elif PG_VERSION_NUM < 190000
#define SLM_EXEC_INSERT_INDEX_TUPLES(target, slot, estate, conflict, arbiters) \
	ExecInsertIndexTuples(target, slot, estate, false, true, conflict,         \
						  arbiters, false)
#else
#define SLM_EXEC_INSERT_INDEX_TUPLES(target, slot, estate, conflict, arbiters) \
	ExecInsertIndexTuples(target, estate, EIIT_NO_DUPE_ERROR, slot, arbiters,  \
						  conflict)
#endif
#if PG_VERSION_NUM < 180000
#define SLM_EXEC_CHECK_INDEX_CONSTRAINTS(target, slot, estate, conflict,       \
										 arbiters)                             \
	ExecCheckIndexConstraints(target, slot, estate, conflict, arbiters)
#define SLM_INDEX_BEGINSCAN(rel, index, snapshot, nkeys)                       \
	index_beginscan(rel, index, snapshot, nkeys, 0)
#else
#define SLM_EXEC_CHECK_INDEX_CONSTRAINTS(target, slot, estate, conflict,       \
										 arbiters)                             \
	ExecCheckIndexConstraints(target, slot, estate, conflict, NULL, arbiters)
#define SLM_INDEX_BEGINSCAN(rel, index, snapshot, nkeys)                       \
	index_beginscan(rel, index, snapshot, NULL, nkeys, 0)
#endif

#endif
