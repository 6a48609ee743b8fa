/*
 * retention.c
 *		Removing raw rows and texts that are old enough.
 *
 * No published metric changes: a day is purged only once it is final and not
 * marked, and before its first row goes, a transaction that locks
 * rollup_state, as every day of a rollup does, sets purged_before and so
 * freezes the day (sql/retention.sql, freeze_days).  A late write to a frozen
 * day changes no metric; its row goes with the next purge, its mark with the
 * next rollup.  Frozen days end at an instant that a new time zone does not
 * move (calendar.c).
 *
 * The work is done in batches, a transaction each, oldest rows first, so that
 * no row lock is held for long and an interrupted purge goes on where it was.
 * The guard triggers let the purge's own changes pass without a mark
 * (guard_triggers.h).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "capture.h"
#include "compat.h"
#include "guard_triggers.h"
#include "jobs.h"
#include "retention.h"
#include "settings.h"

typedef struct Purge
{
	bool has_cutoff;
	TimestampTz cutoff; /* rows of earlier queries go */
	bool has_texts_cutoff;
	TimestampTz texts_cutoff; /* texts of earlier queries go */
	bool done;
	bool started;		  /* position is set */
	TimestampTz position; /* texts: done up to here */
	int64 rows;
} Purge;

static TimestampTz
timestamp_result(int column, bool *given)
{
	bool isnull;
	Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
								column, &isnull);

	*given = !isnull;
	return isnull ? 0 : DatumGetTimestampTz(value);
}

static int64
count_result(int column)
{
	bool isnull;
	Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
								column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

/* Freeze the days that are due, and find out up to when. */
static void
freeze_days(void *arg)
{
	Purge *purge = arg;
	static SPIPlanPtr plan;
	SlmCaller caller = slm_become_owner();

	SPI_execute_plan(slm_kept_plan(&plan,
								   "SELECT f.rows_before, f.texts_before "
								   "FROM slm_feedback.freeze_days() f",
								   0, NULL),
					 NULL, NULL, false, 0);
	purge->cutoff = timestamp_result(1, &purge->has_cutoff);
	purge->texts_cutoff = timestamp_result(2, &purge->has_texts_cutoff);
	slm_become_caller(caller);
}

static void
purge_rows(void *arg)
{
	Purge *purge = arg;
	static SPIPlanPtr plan;
	static Oid types[1] = {TIMESTAMPTZOID};
	Datum values[1] = {TimestampTzGetDatum(purge->cutoff)};
	SlmCaller caller = slm_become_owner();
	SlmPass pass;
	int64 deleted;

	pass = slm_pass_purged();
	SPI_execute_plan(slm_kept_plan(&plan, "SELECT slm_feedback.purge_rows($1)",
								   1, types),
					 values, NULL, false, 0);
	slm_end_pass(pass);
	deleted = count_result(1);
	SPI_freetuptable(SPI_tuptable); /* or SPI keeps it until the run ends */
	purge->rows += deleted;
	purge->done = deleted == 0;
	slm_become_caller(caller);
}

static void
purge_texts(void *arg)
{
	Purge *purge = arg;
	static SPIPlanPtr plan;
	static Oid types[2] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[2] = {TimestampTzGetDatum(purge->position),
					   TimestampTzGetDatum(purge->texts_cutoff)};
	char nulls[2] = {purge->started ? ' ' : 'n', ' '};
	SlmCaller caller = slm_become_owner();
	SlmPass pass;
	bool more;

	pass = slm_pass_purged();
	SPI_execute_plan(slm_kept_plan(&plan,
								   "SELECT p.done_through, p.changed "
								   "FROM slm_feedback.purge_texts($1, $2) p",
								   2, types),
					 values, nulls, false, 0);
	slm_end_pass(pass);
	purge->position = timestamp_result(1, &more);
	purge->started = true;
	purge->rows += count_result(2);
	SPI_freetuptable(SPI_tuptable);
	purge->done = !more;
	slm_become_caller(caller);
}

static bool
in_batches(SlmUnit unit, Purge *purge, ErrorData **error)
{
	purge->done = false;
	while (!purge->done)
	{
		CHECK_FOR_INTERRUPTS();
		if (!slm_try(unit, purge, error))
			return false;
		slm_next_transaction();
	}
	return true;
}

/*
 * Purge what is old enough; returns the number of rows deleted or changed.
 * Must be called with SPI connected and able to end transactions, and ends the
 * transaction that it finds.  The first error is returned.
 */
int64
slm_run_retention(ErrorData **error)
{
	Purge purge = {0};

	if (!slm_try(freeze_days, &purge, error))
		return 0;
	slm_next_transaction();
	if (purge.has_cutoff && !in_batches(purge_rows, &purge, error))
		return purge.rows;
	if (purge.has_texts_cutoff)
		(void) in_batches(purge_texts, &purge, error);
	return purge.rows;
}

/* Tell the client why a run has removed nothing. */
void
slm_explain_retention(void)
{
	SlmCaller caller = slm_become_owner();
	char *reason;

	SPI_execute("SELECT slm_feedback.why_nothing_purged()", false, 0);
	reason = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	slm_become_caller(caller);
	ereport(NOTICE, (errmsg("retention removed nothing"),
					 reason ? errdetail_internal("%s", reason) : 0));
}
