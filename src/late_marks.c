/*
 * late_marks.c
 *		Exact rollups without a write on the hot path.
 *
 * A write is *ordinary* when its query's day is the day that the clock shows
 * in its own transaction, that day is not closed, and the clock has not been
 * set back since the transaction or the session began.  Every other write is
 * *late*.  Ordinary writes leave no mark.  A late write appends its day to
 * rollup_queue in its own transaction.
 *
 * A day is closed if it is no later than rollup_state.closed_through, which a
 * rollup raises and commits before it lists the transactions in progress
 * (rollup.c).  The writer has it from the backend's copy (settings.c).
 *
 * Why ordinary writes need no mark.  Let a run make day D final, and let W be a
 * transaction whose write to D the run's snapshot of that day did not see, so
 * W was in progress when the run made its list, or began later.
 *
 * - W began later: it published its virtual transaction id after the run had
 *   made the list, and processed invalidations after that.  The run's
 *   invalidation had been sent before the list.  So W knew that D is closed,
 *   and marked it.
 * - W was on the list.  D is final, so by the list D had ended before W's start
 *   (or, where that is hidden, before its session's).  If the clock showed D
 *   when W read it, it showed less than that start, and W marked D.  If it
 *   showed another day, W marked D, too.
 *
 * Nothing in this depends on how the clock moves: it may step in any direction
 * at any moment.  It only has to be right for days not to be marked in vain.
 * What counts is the clock and not the transaction's start: the start may be
 * much older than the moment from which the transaction can be seen (all
 * transactions of one message take the message's arrival for theirs, and those
 * of a background worker whatever it last set).  One reading inside the
 * transaction is as good as another, before the write or after it, so there is
 * one for each transaction that writes.
 *
 * The marks are append only.  ON CONFLICT DO NOTHING against a mark that a
 * rollup is just deleting would lose the mark; a transaction skips a mark only
 * if it has itself written one for that day, in a subtransaction that still
 * stands.
 *
 * A prepared transaction's start can't be seen by anybody once it is prepared,
 * so at PREPARE TRANSACTION the day of its ordinary writes is marked too.
 *
 * Under REPEATABLE READ a report sees the transaction's own writes beside a
 * time zone and final days that may have been replaced since.  If they have
 * been, the write marks its day by what the snapshot sees, too.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/date.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "capture.h"
#include "compat.h"
#include "late_marks.h"
#include "settings.h"

typedef struct MarkedDay
{
	DateADT day;			  /* hash key */
	SubTransactionId subxact; /* the innermost one that wrote the mark */
} MarkedDay;

/* Days marked by this transaction, in TopTransactionContext, or NULL. */
static HTAB *marked_days = NULL;

/* When this transaction first wrote, by the clock; 0 if it has not. */
static TimestampTz first_write_at = 0;

/* Did the clock show less than when the transaction or the session began? */
static bool clock_set_back = false;

/* Did this transaction write ordinarily, and to which day? */
static bool wrote_ordinary = false;
static DateADT ordinary_day;

static void
insert_mark(DateADT day)
{
	static SPIPlanPtr plan = NULL;
	static Oid types[1] = {DATEOID};
	Datum values[1] = {DateADTGetDatum(day)};
	SlmCaller caller = slm_become_owner();

	SPI_connect();
	SPI_execute_plan(
		slm_kept_plan(
			&plan, "INSERT INTO slm_feedback.rollup_queue (date) VALUES ($1)",
			1, types),
		values, NULL, false, 0);
	SPI_finish();
	slm_become_caller(caller);
}

/*
 * Mark a day for the next rollup, once a transaction.
 */
static void
mark_day(DateADT day)
{
	MarkedDay *entry;
	bool found;

	if (marked_days == NULL)
	{
		HASHCTL info = {.keysize = sizeof(DateADT),
						.entrysize = sizeof(MarkedDay),
						.hcxt = TopTransactionContext};

		marked_days = hash_create("slm_feedback marked days", 64, &info,
								  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	if (hash_search(marked_days, &day, HASH_FIND, NULL) != NULL)
		return;

	insert_mark(day);
	entry = hash_search(marked_days, &day, HASH_ENTER, &found);
	entry->subxact = GetCurrentSubTransactionId();
}

/*
 * Read the clock for this transaction.  Once: after that, what it shows is of
 * no use any more.
 */
static void
read_clock(void)
{
	if (first_write_at != 0)
		return;
	first_write_at = GetCurrentTimestamp();
	clock_set_back = first_write_at < GetCurrentTransactionStartTimestamp() ||
					 first_write_at < MyStartTimestamp;
}

/*
 * A snapshot that is older than the settings has days of its own: what this
 * transaction's reports have to see anew is marked by those.
 */
static void
mark_for_snapshot(TimestampTz query_created_at, DateADT day)
{
	Snapshot snapshot = GetTransactionSnapshot();
	SlmLateRules rules;
	DateADT day_of_snapshot;

	if (!slm_settings_newer_than(snapshot))
		return;
	rules = slm_late_rules(snapshot);
	day_of_snapshot = slm_calendar_day(query_created_at, &rules.calendar);
	if (day_of_snapshot != day || day_of_snapshot <= rules.closed_through)
		mark_day(day_of_snapshot);
}

/*
 * Every insert, update or delete of a query or its feedback passes here, with
 * the created_at of the query that it belongs to.
 */
void
slm_note_write(TimestampTz query_created_at)
{
	DateADT day = slm_day_of(query_created_at);

	/* The instant is kept, not its day: after ROLLBACK TO SAVEPOINT has let go
	 * of our locks the time zone may change under us. */
	read_clock();
	if (IsolationUsesXactSnapshot())
		mark_for_snapshot(query_created_at, day);
	if (day > slm_settings()->closed_through && !clock_set_back &&
		day == slm_day_of(first_write_at))
	{
		wrote_ordinary = true;
		ordinary_day = day;
		return;
	}
	mark_day(day);
}

static void
at_transaction_event(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			if (wrote_ordinary)
			{
				PushActiveSnapshot(GetTransactionSnapshot());
				mark_day(ordinary_day);
				PopActiveSnapshot();
			}
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			marked_days = NULL;
			first_write_at = 0;
			wrote_ordinary = false;
			break;
		default:
			break;
	}
}

/* Forget marks that an aborted subtransaction took with it. */
static void
at_subtransaction_event(SubXactEvent event, SubTransactionId subid,
						SubTransactionId parent, void *arg)
{
	HASH_SEQ_STATUS scan;
	MarkedDay *entry;

	if (marked_days == NULL ||
		(event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB))
		return;

	hash_seq_init(&scan, marked_days);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (entry->subxact != subid)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			entry->subxact = parent;
		else
			hash_search(marked_days, &entry->day, HASH_REMOVE, NULL);
	}
}

void
slm_late_marks_init(void)
{
	RegisterXactCallback(at_transaction_event, NULL);
	RegisterSubXactCallback(at_subtransaction_event, NULL);
}
