/*
 * calendar.h
 *		Which day an instant belongs to.
 */
#ifndef SLM_CALENDAR_H
#define SLM_CALENDAR_H

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "pgtime.h"
#include "utils/date.h"

/*
 * Local days of a time zone.  If the zone was changed after retention had
 * frozen days, "first_day" begins at "since", where the frozen days end; else
 * they are -infinity.
 */
typedef struct SlmCalendar
{
	pg_tz *zone;
	TimestampTz since;
	DateADT first_day;
} SlmCalendar;

extern SlmCalendar slm_plain_calendar(const char *zone_name);
extern SlmCalendar slm_calendar_of_row(HeapTupleHeader row);
extern DateADT slm_day_of(TimestampTz at);
extern DateADT slm_calendar_day(TimestampTz at, const SlmCalendar *calendar);
extern int slm_hour_of(TimestampTz at, const SlmCalendar *calendar);
extern const SlmCalendar *slm_calendar_argument(FunctionCallInfo fcinfo,
												int argument);

#endif
