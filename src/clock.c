/*
 * clock.c
 *		The clock that jobs are scheduled by, and the schedule's settings.
 *
 * slm_feedback.debug_now stops the clock of the schedule at an instant, so that
 * tests can try nights, DST changes and missed nights.  It moves what is due
 * and which periods have ended, never created_at, late marks or which days are
 * final: those follow transactions, which have the real clock.
 */
#include "postgres.h"

#include <limits.h>

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"

PG_FUNCTION_INFO_V1(slm_clock);
PG_FUNCTION_INFO_V1(slm_nightly_time_of_day);
PG_FUNCTION_INFO_V1(slm_refresh_interval_setting);

char *slm_nightly_time = NULL;
int slm_refresh_interval = 900;
static char *debug_now = NULL;

/* "HH:MM", nothing else.  Used where errors may not be thrown. */
static bool
parse_time_of_day(const char *text, TimeADT *time)
{
	int hour;
	int minute;
	int end = -1;

	if (sscanf(text, "%2d:%2d%n", &hour, &minute, &end) != 2 || end < 0 ||
		text[end] != '\0' || hour < 0 || hour > 23 || minute < 0 || minute > 59)
		return false;
	*time = hour * USECS_PER_HOUR + minute * USECS_PER_MINUTE;
	return true;
}

/* "YYYY-MM-DD HH:MM:SS" in UTC, nothing else. */
static bool
parse_instant(const char *text, TimestampTz *instant)
{
	struct pg_tm tm = {0};
	int end = -1;
	int utc = 0;

	if (sscanf(text, "%4d-%2d-%2d %2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon,
			   &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &end) != 6 ||
		end < 0 || text[end] != '\0')
		return false;
	if (tm.tm_year < 2000 || tm.tm_mon < 1 || tm.tm_mon > 12 ||
		tm.tm_mday < 1 ||
		tm.tm_mday > day_tab[isleap(tm.tm_year)][tm.tm_mon - 1] ||
		tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 ||
		tm.tm_sec < 0 || tm.tm_sec > 59)
		return false;
	return tm2timestamp(&tm, 0, &utc, instant) == 0;
}

static bool
check_nightly_time(char **newval, void **extra, GucSource source)
{
	TimeADT time;

	if (parse_time_of_day(*newval, &time))
		return true;
	GUC_check_errhint("Write a time of day from 00:00 to 23:59.");
	return false;
}

static bool
check_debug_now(char **newval, void **extra, GucSource source)
{
	TimestampTz instant;

	if (*newval == NULL || **newval == '\0' || parse_instant(*newval, &instant))
		return true;
	GUC_check_errhint("Write YYYY-MM-DD HH:MM:SS in UTC, or nothing for the "
					  "real clock.");
	return false;
}

void
slm_clock_init(void)
{
	DefineCustomStringVariable(
		"slm_feedback.nightly_time",
		"When nightly jobs run, as HH:MM in each database's own time zone.",
		"Days become final slm_feedback.clock_margin after midnight: earlier "
		"than that leaves the day just ended to the next refresh.",
		&slm_nightly_time, "00:10", PGC_SIGHUP, 0, check_nightly_time, NULL,
		NULL);
	DefineCustomIntVariable(
		"slm_feedback.refresh_interval",
		"How often the metrics of the open day are refreshed.",
		"0 refreshes them never but nightly.", &slm_refresh_interval, 900, 0,
		INT_MAX / 1000, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomStringVariable(
		"slm_feedback.debug_now",
		"Developer option: stops the clock that jobs are scheduled by.",
		"YYYY-MM-DD HH:MM:SS in UTC; empty, the default, is the real clock.",
		&debug_now, "", PGC_SUSET, GUC_NOT_IN_SAMPLE, check_debug_now, NULL,
		NULL);
}

/* Now, as the schedule sees it. */
TimestampTz
slm_now(void)
{
	TimestampTz instant;

	if (debug_now != NULL && *debug_now != '\0' &&
		parse_instant(debug_now, &instant))
		return instant;
	return GetCurrentTimestamp();
}

/* clock() */
Datum
slm_clock(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(slm_now());
}

/* nightly_time() */
Datum
slm_nightly_time_of_day(PG_FUNCTION_ARGS)
{
	TimeADT time = 0;

	(void) parse_time_of_day(slm_nightly_time, &time);
	PG_RETURN_TIMEADT(time);
}

/* refresh_interval(): null if refreshes are off */
Datum
slm_refresh_interval_setting(PG_FUNCTION_ARGS)
{
	Interval *interval;

	if (slm_refresh_interval == 0)
		PG_RETURN_NULL();
	interval = palloc0(sizeof(Interval));
	interval->time = slm_refresh_interval * USECS_PER_SEC;
	PG_RETURN_INTERVAL_P(interval);
}
