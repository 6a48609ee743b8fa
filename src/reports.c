/*
 * reports.c
 *		Arguments that the reports share: their range of days, choices among
 *		words, and how stale stored metrics may be.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "calendar.h"
#include "capture.h"
#include "compat.h"
#include "reports.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(slm_report_range);
PG_FUNCTION_INFO_V1(slm_check_choice);
PG_FUNCTION_INFO_V1(slm_max_staleness);

#define DEFAULT_DAYS 30

static int max_staleness = 0; /* seconds */

void
slm_reports_init(void)
{
	DefineCustomIntVariable(
		"slm_feedback.max_staleness",
		"How old stored metrics of a day that is not final may be for a report "
		"to use them.",
		"0, the default, always computes such days from the raw rows.",
		&max_staleness, 0, 0, 7 * SECS_PER_DAY, PGC_USERSET, GUC_UNIT_S, NULL,
		NULL, NULL);
}

Datum
slm_max_staleness(PG_FUNCTION_ARGS)
{
	Interval *interval = palloc0(sizeof(Interval));

	interval->time = max_staleness * USECS_PER_SEC;
	PG_RETURN_INTERVAL_P(interval);
}

/*
 * The day of the newest query that the snapshot sees, or an earlier day.  Rows
 * that were recorded while the clock was ahead, or restored from a server whose
 * clock is, lie in the future.
 */
static DateADT
newest_query_day(const SlmCalendar *calendar)
{
	static SPIPlanPtr plan;
	SlmCaller caller = slm_become_owner();
	DateADT day = DATEVAL_NOBEGIN;
	Datum newest;
	bool isnull;

	SPI_connect();
	SPI_execute_plan(slm_kept_plan(&plan,
								   "SELECT pg_catalog.max(q.created_at) "
								   "FROM slm_feedback.queries q",
								   0, NULL),
					 NULL, NULL, true, 1);
	newest =
		SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
		day = slm_calendar_day(DatumGetTimestampTz(newest), calendar);
	SPI_finish();
	slm_become_caller(caller);
	return day;
}

/*
 * report_range(from_date, to_date, settings): the first and last day of a
 * report.  Today is that of the settings row, and so of the report's snapshot,
 * which may be older than the settings that are in force.  Days before 2000
 * and after the day after tomorrow hold no queries (see slm_check_created_at)
 * but those of clocks ahead, so that infinity means everything.  Tomorrow is
 * that of the clock: a transaction may be days old.
 */
Datum
slm_report_range(PG_FUNCTION_ARGS)
{
	const SlmCalendar *calendar = slm_calendar_argument(fcinfo, 2);
	DateADT today =
		slm_calendar_day(GetCurrentTransactionStartTimestamp(), calendar);
	DateADT last = PG_ARGISNULL(1) ? today : PG_GETARG_DATEADT(1);
	DateADT newest =
		Max(today, slm_calendar_day(GetCurrentTimestamp(), calendar));
	DateADT first;
	Datum values[2];
	bool nulls[2] = {false, false};
	TupleDesc desc;

	if (!PG_ARGISNULL(0))
		first = PG_GETARG_DATEADT(0);
	else
		first = DATE_NOT_FINITE(last) ? last : last - (DEFAULT_DAYS - 1);
	if (first > last)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("from_date is after to_date"),
				 errdetail(
					 "The range runs from %s to %s.",
					 DatumGetCString(
						 DirectFunctionCall1(date_out, DateADTGetDatum(first))),
					 DatumGetCString(
						 DirectFunctionCall1(date_out, DateADTGetDatum(last)))),
				 errhint(PG_ARGISNULL(1) ? "Both dates are included; to_date "
										   "defaults to today."
										 : "Both dates are included.")));

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	/* one day of slack at each end for the distance between time zones */
	values[0] = DateADTGetDatum(Max(first, -1));
	if (last > newest + 3)
		last = Min(last, Max(newest + 3, newest_query_day(calendar) + 1));
	values[1] = DateADTGetDatum(last);
	return HeapTupleGetDatum(
		heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/*
 * check_choice(argument, choice, choices): the choice if it is one of them.
 * Not strict, because a null choice is an error like any other wrong one.
 */
Datum
slm_check_choice(PG_FUNCTION_ARGS)
{
	char *argument;
	char *choice =
		PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	StringInfoData list;
	Datum *choices;
	int n;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s is null", PG_ARGISNULL(0) ? "argument" : "choices"),
				 errdetail("Only the choice may be null."),
				 errhint("Give the argument's name and the list of choices.")));
	argument = text_to_cstring(PG_GETARG_TEXT_PP(0));
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), TEXTOID, -1, false,
					  TYPALIGN_INT, &choices, NULL, &n);
	initStringInfo(&list);
	for (int i = 0; i < n; i++)
	{
		char *word = TextDatumGetCString(choices[i]);

		if (choice != NULL && strcmp(choice, word) == 0)
			PG_RETURN_DATUM(PG_GETARG_DATUM(1));
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", word);
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("%s \"%s\" is not known", argument,
						   choice ? choice : "null"),
					errhint("Choose one of: %s.", list.data)));
	PG_RETURN_NULL(); /* not reached */
}
