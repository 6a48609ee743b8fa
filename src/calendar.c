/*
 * calendar.c
 *		The one definition of a day, for C and for SQL.
 *
 * A day begins at the first instant whose local date is that day or a later
 * one, and ends where the next day begins.  So days follow each other without
 * gap or overlap, whatever the clock of a time zone does:
 *
 * - Midnight comes twice: the day begins at the first one.  What is before the
 *   second and has the date of the day before counts on the day that has
 *   begun, in its first hour.
 * - The clock skips midnight: the day begins at 01:00.
 * - The zone skips a date (Samoa's 2011-12-30): that day is empty.
 *
 * A time zone that is set after retention has frozen days must leave each row
 * on one side: rows before the instant up to which days are frozen are in
 * frozen metrics, all others are not.  So the first day that is not frozen
 * begins at that instant, later days begin no earlier, and earlier days have
 * ended by then.
 *
 * In SQL, day_start() and day_of() take the settings row as an argument, so a
 * report's days are those of its snapshot.  Writers ask for the day by the
 * settings that are in force (settings.c).
 */
#include "postgres.h"

#include "executor/executor.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "calendar.h"
#include "compat.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(slm_calendar_day_start);
PG_FUNCTION_INFO_V1(slm_calendar_day_of);

/* No zone's clock is further from UTC: PostgreSQL reads up to 167 hours. */
#define MAX_UTC_OFFSET (7 * SECS_PER_DAY)

#define UNIX_SECONDS(day)                                                      \
	(((pg_time_t) (day) + POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) *           \
	 SECS_PER_DAY)
#define UNIX_TO_TIMESTAMP(seconds)                                             \
	(((seconds) -UNIX_SECONDS(0)) * USECS_PER_SEC)

/* The day last asked for and its bounds: most instants are of one day. */
typedef struct CachedDay
{
	SlmCalendar calendar; /* no zone: nothing is cached */
	DateADT day;
	TimestampTz start;
	TimestampTz end;
	bool steady; /* 24 hours, on which the clock does not change */
} CachedDay;

static CachedDay cached;

static bool
same_calendar(const SlmCalendar *a, const SlmCalendar *b)
{
	return a->zone == b->zone && a->since == b->since &&
		   a->first_day == b->first_day;
}

/* When a zone's clock changes next after an instant, or never: "otherwise". */
static pg_time_t
next_change(pg_time_t after, const pg_tz *zone, pg_time_t otherwise)
{
	long int gmtoff_before;
	long int gmtoff_after;
	int isdst_before;
	int isdst_after;
	pg_time_t change;

	if (pg_next_dst_boundary(&after, &gmtoff_before, &isdst_before, &change,
							 &gmtoff_after, &isdst_after, zone) != 1)
		return otherwise;
	return change;
}

/*
 * The first instant whose date in a zone is a day or later, in Unix seconds:
 * the first at which the local clock shows the day's midnight or more.
 */
static pg_time_t
first_instant(DateADT day, const pg_tz *zone)
{
	pg_time_t midnight = UNIX_SECONDS(day); /* in UTC */
	pg_time_t from = midnight - MAX_UTC_OFFSET;

	for (;;)
	{
		pg_time_t start = midnight - pg_localtime(&from, zone)->tm_gmtoff;
		pg_time_t until = next_change(from, zone, PG_INT64_MAX);

		start = Max(start, from);
		if (start < until)
			return start;
		from = until;
	}
}

/* When a day begins; the end of time for a day beyond it. */
static TimestampTz
day_start(DateADT day, const SlmCalendar *calendar)
{
	TimestampTz start;

	if (day == calendar->first_day)
		return calendar->since;
	if (day >= TIMESTAMP_END_JULIAN - POSTGRES_EPOCH_JDATE)
		return DT_NOEND;
	start = UNIX_TO_TIMESTAMP(first_instant(day, calendar->zone));
	return day < calendar->first_day ? Min(start, calendar->since)
									 : Max(start, calendar->since);
}

static void
out_of_range(void)
{
	ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
					errmsg("timestamp out of range")));
}

/* An instant's local date and time, as the clock shows it. */
static DateADT
local_time(TimestampTz at, pg_tz *zone, struct pg_tm *tm)
{
	fsec_t fsec;
	int offset;

	if (TIMESTAMP_NOT_FINITE(at) ||
		timestamp2tm(at, &offset, tm, &fsec, NULL, zone) != 0)
		out_of_range();
	return date2j(tm->tm_year, tm->tm_mon, tm->tm_mday) - POSTGRES_EPOCH_JDATE;
}

/* Make the day of an instant the cached one. */
static void
find_day(TimestampTz at, const SlmCalendar *calendar)
{
	struct pg_tm tm;
	DateADT day = local_time(at, calendar->zone, &tm);
	TimestampTz start;
	TimestampTz end;

	if (at >= calendar->since)
		day = Max(day, calendar->first_day);
	else
		day = Min(day, calendar->first_day - 1);
	/* Where the clock was set back, a later day may have begun. */
	start = day_start(day, calendar);
	while ((end = day_start(day + 1, calendar)) <= at)
	{
		day++;
		start = end;
	}

	cached.calendar.zone = NULL;
	cached.day = day;
	cached.start = start;
	cached.end = end;
	cached.steady = end - start == USECS_PER_DAY &&
					local_time(start, calendar->zone, &tm) == day &&
					tm.tm_hour == 0 && tm.tm_min == 0 && tm.tm_sec == 0 &&
					next_change(timestamptz_to_time_t(start), calendar->zone,
								PG_INT64_MAX) >= timestamptz_to_time_t(end);
	cached.calendar = *calendar;
}

static void
cache_day(TimestampTz at, const SlmCalendar *calendar)
{
	if (at < cached.start || at >= cached.end ||
		!same_calendar(calendar, &cached.calendar))
		find_day(at, calendar);
}

/* The day of an instant. */
DateADT
slm_calendar_day(TimestampTz at, const SlmCalendar *calendar)
{
	cache_day(at, calendar);
	return cached.day;
}

/* The day of an instant, by the settings that are in force. */
DateADT
slm_day_of(TimestampTz at)
{
	return slm_calendar_day(at, &slm_settings()->calendar);
}

/*
 * The hour (0 to 23) of an instant on its day, as the clock shows it; 0 where
 * the clock was set back to the day before.
 */
int
slm_hour_of(TimestampTz at, const SlmCalendar *calendar)
{
	struct pg_tm tm;
	DateADT date;

	cache_day(at, calendar);
	if (cached.steady)
		return (int) ((at - cached.start) / USECS_PER_HOUR);
	date = local_time(at, calendar->zone, &tm);
	if (date != cached.day)
		return date < cached.day ? 0 : HOURS_PER_DAY - 1;
	return tm.tm_hour;
}

/* A zone's calendar, without a change of the zone. */
SlmCalendar
slm_plain_calendar(const char *zone_name)
{
	SlmCalendar calendar = {.since = DT_NOBEGIN, .first_day = DATEVAL_NOBEGIN};

	calendar.zone = pg_tzset(zone_name);
	if (calendar.zone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" of slm_feedback.settings is not "
						"known to this server",
						zone_name),
				 errhint("Choose one of pg_timezone_names with "
						 "slm_feedback.set_time_zone().")));
	return calendar;
}

/* The calendar of a settings row. */
SlmCalendar
slm_calendar_of_row(HeapTupleHeader row)
{
	SlmCalendar calendar;
	Datum value;
	bool isnull;

	value = GetAttributeByName(row, "time_zone", &isnull);
	calendar = slm_plain_calendar(isnull ? "UTC" : TextDatumGetCString(value));
	value = GetAttributeByName(row, "calendar_since", &isnull);
	if (!isnull)
		calendar.since = DatumGetTimestampTz(value);
	value = GetAttributeByName(row, "calendar_first_day", &isnull);
	if (!isnull)
		calendar.first_day = DatumGetDateADT(value);
	return calendar;
}

/*
 * The calendar of an argument that is a settings row, or null for the
 * defaults.  The row is read once, as long as each call brings the same.
 */
const SlmCalendar *
slm_calendar_argument(FunctionCallInfo fcinfo, int argument)
{
	static SlmCalendar defaults;
	static SlmCalendar calendar;
	static HeapTupleHeader known = NULL; /* the row of "calendar" */
	HeapTupleHeader row;
	Size size;

	if (PG_ARGISNULL(argument))
	{
		if (defaults.zone == NULL)
			defaults = slm_plain_calendar("UTC");
		return &defaults;
	}
	row = PG_GETARG_HEAPTUPLEHEADER(argument);
	size = HeapTupleHeaderGetDatumLength(row);
	if (known == NULL || HeapTupleHeaderGetDatumLength(known) != size ||
		memcmp(known, row, size) != 0)
	{
		SlmCalendar found = slm_calendar_of_row(row);
		HeapTupleHeader copy = MemoryContextAlloc(TopMemoryContext, size);

		memcpy(copy, row, size);
		if (known != NULL)
			pfree(known);
		known = copy;
		calendar = found;
	}
	return &calendar;
}

/* day_start(day, settings) */
Datum
slm_calendar_day_start(PG_FUNCTION_ARGS)
{
	DateADT day;
	TimestampTz start;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	day = PG_GETARG_DATEADT(0);
	if (DATE_IS_NOBEGIN(day))
		PG_RETURN_TIMESTAMPTZ(DT_NOBEGIN);
	if (DATE_IS_NOEND(day))
		PG_RETURN_TIMESTAMPTZ(DT_NOEND);
	start = day_start(day, slm_calendar_argument(fcinfo, 1));
	if (!IS_VALID_TIMESTAMP(start))
		out_of_range();
	PG_RETURN_TIMESTAMPTZ(start);
}

/* day_of(at, settings) */
Datum
slm_calendar_day_of(PG_FUNCTION_ARGS)
{
	TimestampTz at;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	at = PG_GETARG_TIMESTAMPTZ(0);
	if (TIMESTAMP_IS_NOBEGIN(at))
		PG_RETURN_DATEADT(DATEVAL_NOBEGIN);
	if (TIMESTAMP_IS_NOEND(at))
		PG_RETURN_DATEADT(DATEVAL_NOEND);
	cache_day(at, slm_calendar_argument(fcinfo, 1));
	PG_RETURN_DATEADT(cached.day);
}
