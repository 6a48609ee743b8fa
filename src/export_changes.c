/*
 * export_changes.c
 *		The cursors of export_changes(): what has been written since.
 *
 * A cursor is the xmin of the snapshot with which its reader read: every
 * transaction below it had ended and was seen or never will be.  The next read
 * takes the rows that its own snapshot sees and whose writing transaction
 * (xmin, which freezing keeps) is at or above the cursor.  So nothing is
 * missed, whatever writers are doing, and no writer does anything for it; a
 * row comes twice if it was committed while an older transaction was still
 * open.  Removed rows leave a tombstone with their transaction id.
 *
 * - A crash: ids that were given out but had left nothing in the flushed
 *   write-ahead log are given out again.  So a cursor is only handed out once
 *   a record of a transaction at or above it is on disk, and with it every
 *   commit that the snapshot saw.
 * - Transaction ids mean nothing elsewhere: a cursor names the cluster, the
 *   timeline, the database and the table, and is refused in any other.
 * - Row headers have 32 bits of an id: a cursor more than half of that range
 *   old reads everything.  A row frozen longer ago may come again, never be
 *   missed.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xloginsert.h"
#include "access/xlogrecovery.h"
#include "catalog/pg_control.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

#include "capture.h"
#include "compat.h"
#include "export_changes.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(slm_changes_since);
PG_FUNCTION_INFO_V1(slm_changes_cursor);
PG_FUNCTION_INFO_V1(slm_written_since);

#define CURSOR_FORMAT "v1-%016" SLM_HEX64 "-%x-%x-%x-%" SLM_HEX64

/* Where transaction ids are comparable, and one of them. */
typedef struct ChangesCursor
{
	uint64 system;
	TimeLineID timeline;
	Oid database;
	Oid queries;
	uint64 xid;
} ChangesCursor;

static ChangesCursor
here(uint64 xid)
{
	ChangesCursor cursor = {.system = GetSystemIdentifier(),
							.database = MyDatabaseId,
							.queries = slm_settings()->queries_relid,
							.xid = xid};

	if (RecoveryInProgress())
		(void) GetXLogReplayRecPtr(&cursor.timeline);
	else
		cursor.timeline = GetWALInsertionTimeLine();
	return cursor;
}

/* A snapshot's 32 bits of a transaction id with their epoch. */
static uint64
full_xid(TransactionId xid)
{
	FullTransactionId next = ReadNextFullTransactionId();
	uint32 epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return ((uint64) epoch << 32) | xid;
}

/*
 * The highest barrier in tombstones: removals at or below it have left none.
 * Read with the snapshot of the statement that asks.
 */
static uint64
barrier(void)
{
	static SPIPlanPtr plan = NULL;
	SlmCaller caller = slm_become_owner();
	uint64 xid = 0;
	bool isnull;

	SPI_connect();
	SPI_execute_plan(
		slm_kept_plan(&plan,
					  "SELECT t.transaction_id FROM slm_feedback.tombstones t "
					  "WHERE t.request_id IS NULL "
					  "ORDER BY t.transaction_id DESC LIMIT 1",
					  0, NULL),
		NULL, NULL, true, 1);
	if (SPI_processed > 0)
		xid = U64FromFullTransactionId(DatumGetFullTransactionId(
			SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
						  &isnull)));
	SPI_finish();
	slm_become_caller(caller);
	return xid;
}

/*
 * changes_since(cursor): the transaction id at which to go on; 0 for
 * everything, with no cursor or a very old one.
 */
Datum
slm_changes_since(PG_FUNCTION_ARGS)
{
	ChangesCursor cursor;
	ChangesCursor now = here(0);
	uint64 next = U64FromFullTransactionId(ReadNextFullTransactionId());
	char *given;
	int end = 0;

	if (PG_ARGISNULL(0))
		PG_RETURN_FULLTRANSACTIONID(FullTransactionIdFromU64(0));
	given = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (sscanf(given, CURSOR_FORMAT "%n", &cursor.system, &cursor.timeline,
			   &cursor.database, &cursor.queries, &cursor.xid, &end) != 5 ||
		given[end] != '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("\"%s\" is not a cursor", given),
						errhint("Give the cursor of the last line that "
								"export_changes() returned, or null to start "
								"from the beginning.")));
	if (cursor.system != now.system || cursor.timeline != now.timeline ||
		cursor.database != now.database || cursor.queries != now.queries ||
		cursor.xid > next)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the cursor belongs to another database, or to this "
						"one before it was restored or failed over"),
				 errhint("Start again: read export_changes() without a cursor "
						 "and drop what you hold.")));
	if (cursor.xid <= barrier())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the cursor is too old"),
				 errdetail("Since then a TRUNCATE has removed rows, or "
						   "tombstones have been pruned."),
				 errhint("Start again: read export_changes() without a cursor "
						 "and drop what you hold.")));
	if (next - cursor.xid >= PG_INT32_MAX)
		cursor.xid = 0;
	PG_RETURN_FULLTRANSACTIONID(FullTransactionIdFromU64(cursor.xid));
}

/* written_since(xmin, since): was the row written at or after since? */
Datum
slm_written_since(PG_FUNCTION_ARGS)
{
	TransactionId xmin = PG_GETARG_TRANSACTIONID(0);
	FullTransactionId since = PG_GETARG_FULLTRANSACTIONID(1);

	if (U64FromFullTransactionId(since) == 0 || !TransactionIdIsNormal(xmin))
		PG_RETURN_BOOL(true);
	PG_RETURN_BOOL((int32) (xmin - XidFromFullTransactionId(since)) >= 0);
}

/*
 * Put a record of this transaction, whose id is not below any that our
 * snapshot takes as ended, into the log and onto disk.
 */
static void
make_ids_durable(void)
{
	char nothing = 0;

	(void) GetCurrentTransactionId();
	XLogBeginInsert();
	XLogRegisterData(&nothing, sizeof(nothing));
	XLogFlush(XLogInsert(RM_XLOG_ID, XLOG_NOOP));
}

/*
 * changes_cursor(since): the cursor for the read that follows the present one.
 * The argument makes the present one's cursor checked even if it finds no row.
 */
Datum
slm_changes_cursor(PG_FUNCTION_ARGS)
{
	ChangesCursor cursor = here(full_xid(GetActiveSnapshot()->xmin));

	/* A standby has its ids from the flushed log of its primary. */
	if (!RecoveryInProgress())
		make_ids_durable();
	PG_RETURN_TEXT_P(
		cstring_to_text(psprintf(CURSOR_FORMAT, cursor.system, cursor.timeline,
								 cursor.database, cursor.queries, cursor.xid)));
}

/*
 * Leave a tombstone: something of this answer was removed by this transaction.
 * A null id is the barrier of a TRUNCATE.
 */
void
slm_note_removal(Datum request_id, bool isnull)
{
	static SPIPlanPtr plan = NULL;
	static Oid types[1] = {TEXTOID};
	SlmCaller caller = slm_become_owner();

	SPI_connect();
	SPI_execute_plan(
		slm_kept_plan(&plan,
					  "INSERT INTO slm_feedback.tombstones (request_id) "
					  "VALUES ($1)",
					  1, types),
		&request_id, isnull ? "n" : " ", false, 0);
	SPI_finish();
	slm_become_caller(caller);
}
