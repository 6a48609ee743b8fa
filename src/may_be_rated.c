/*
 * may_be_rated.c
 *		may_be_rated(): whether an answer can have feedback, without a look at
 *		the index.
 *
 * An export probes the feedback of every query, and most have none.  After
 * PROBES_BEFORE_FILTER calls in one query the ids of all feedback that the
 * query's snapshot sees are put into a Bloom filter, whose false is certain;
 * until then, and where in doubt, the answer is true.  The filter has 8 bits a
 * row and at most 32 MB, so beyond 33 million rows it only errs more often.
 *
 * The filter lives as long as the call's place in its query, and in PL/pgSQL
 * that is as long as the transaction, over many snapshots.  It is certain only
 * for a snapshot that sees what the filter's saw; any other one drops it and
 * counts anew, so that it is built at most every PROBES_BEFORE_FILTER calls.
 *
 * The table is read with the extension's rights, so a false is for those only
 * who may learn the same from readable_feedback.  To anybody else, who can only
 * have called this directly, it is always true.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "access.h"
#include "compat.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(slm_may_be_rated);

#define PROBES_BEFORE_FILTER 20000
#define BITS_PER_ROW 8
#define MAX_FILTER_BITS (UINT64CONST(1) << 28)
#define HASHES 3

/*
 * Who asks, and what tells two snapshots apart that see different rows.  A
 * transaction that ends between them takes the highest finished id (xmax) up,
 * or leaves the list of those in progress below it, which can only shrink.  The
 * transaction's own changes need a new command.
 */
typedef struct Seen
{
	TransactionId xmax;
	uint32 xcnt;
	int32 subxcnt;
	CommandId curcid;
	Oid user;
} Seen;

typedef struct RatedFilter
{
	Seen seen;	 /* by the snapshot of the calls counted */
	bool hidden; /* the user may not know */
	uint64 calls;
	uint64 nbits; /* a power of two; 0 = not built */
	uint8 *bits;
} RatedFilter;

static inline uint64
hash_of(text *id)
{
	return hash_bytes_extended((unsigned char *) VARDATA_ANY(id),
							   VARSIZE_ANY_EXHDR(id), 0);
}

/* The i-th of an id's bits. */
static inline uint64
bit_of(const RatedFilter *filter, uint64 hash, int i)
{
	return (hash + (uint64) i * ((hash >> 32) | 1)) & (filter->nbits - 1);
}

static uint64
filter_size(Relation feedback)
{
	double rows = feedback->rd_rel->reltuples;
	uint64 nbits = 1024 * 1024;

	/* Never counted: at least 60 bytes a row. */
	if (rows < 0)
		rows = (double) RelationGetNumberOfBlocks(feedback) * BLCKSZ / 60;
	while (nbits < MAX_FILTER_BITS && nbits < rows * BITS_PER_ROW)
		nbits *= 2;
	return nbits;
}

/* An error leaves it unbuilt. */
static void
build_filter(RatedFilter *filter, MemoryContext context)
{
	Relation rel = table_open(slm_settings()->feedback_relid, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan =
		table_beginscan(rel, GetActiveSnapshot(), 0, NULL, SO_NONE);
	int attnum = SPI_fnumber(RelationGetDescr(rel), "request_id");
	RatedFilter built = *filter;

	built.nbits = filter_size(rel);
	built.bits = MemoryContextAllocZero(context, built.nbits / 8);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool isnull;
		text *id = DatumGetTextPP(slot_getattr(slot, attnum, &isnull));
		uint64 hash = hash_of(id);

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < HASHES; i++)
		{
			uint64 bit = bit_of(&built, hash, i);

			built.bits[bit / 8] |= 1 << (bit % 8);
		}
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
	*filter = built;
}

/* May the current user read of which answers there is feedback? */
static bool
may_read_feedback(void)
{
	Oid feedback = slm_settings()->feedback_relid;
	Oid view =
		get_relname_relid("readable_feedback", get_rel_namespace(feedback));

	return slm_caller_may_see_answers() &&
		   (pg_class_aclcheck(view, GetUserId(), ACL_SELECT) == ACLCHECK_OK ||
			pg_class_aclcheck(feedback, GetUserId(), ACL_SELECT) ==
				ACLCHECK_OK);
}

/* Forget what was gathered for others, or a snapshot that sees other rows. */
static void
follow_snapshot(RatedFilter *filter, Snapshot snapshot)
{
	Seen *seen = &filter->seen;
	Oid user = GetUserId();

	if (seen->xmax == snapshot->xmax && seen->xcnt == snapshot->xcnt &&
		seen->subxcnt == snapshot->subxcnt &&
		seen->curcid == snapshot->curcid && seen->user == user)
		return;
	*seen = (Seen){snapshot->xmax, snapshot->xcnt, snapshot->subxcnt,
				   snapshot->curcid, user};
	filter->hidden = !may_read_feedback();
	filter->calls = 0;
	filter->nbits = 0;
	if (filter->bits != NULL)
		pfree(filter->bits);
	filter->bits = NULL;
}

/* may_be_rated(request_id): false if there is no feedback on it. */
Datum
slm_may_be_rated(PG_FUNCTION_ARGS)
{
	RatedFilter *filter = fcinfo->flinfo->fn_extra;
	uint64 hash;

	if (filter == NULL)
		filter = fcinfo->flinfo->fn_extra =
			MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt,
								   sizeof(RatedFilter));
	if (!ActiveSnapshotSet())
		PG_RETURN_BOOL(true);
	follow_snapshot(filter, GetActiveSnapshot());
	if (filter->hidden || filter->calls++ < PROBES_BEFORE_FILTER)
		PG_RETURN_BOOL(true);
	if (filter->nbits == 0)
		build_filter(filter, fcinfo->flinfo->fn_mcxt);
	hash = hash_of(PG_GETARG_TEXT_PP(0));
	for (int i = 0; i < HASHES; i++)
	{
		uint64 bit = bit_of(filter, hash, i);

		if ((filter->bits[bit / 8] & (1 << (bit % 8))) == 0)
			PG_RETURN_BOOL(false);
	}
	PG_RETURN_BOOL(true);
}
