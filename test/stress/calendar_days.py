"""What a day is: the first instant whose local date is that day or later, up to the first instant of the next one.

Written from the words of docs/design.md and not from the extension's code. So a day on which midnight comes twice
starts at the first, and what the clock shows of the day before after that counts on the new day.

Days that retention has frozen ended at one instant, whatever the time zone becomes later: the first day that is not
frozen starts there, later ones no earlier, and earlier ones have ended by then.
"""

import datetime
import zoneinfo

UTC = datetime.timezone.utc
DAY = datetime.timedelta(days=1)
MINUTE = datetime.timedelta(minutes=1)


class Calendar:
    def __init__(self, name, since=None, first=None):
        """A zone; and the instant up to which days are frozen with the first day that is not, if any are."""
        self.zone = zoneinfo.ZoneInfo(name)
        self.since = since
        self.first = first
        self.starts = {}

    def start(self, day):
        if self.first is None:
            return self.midnight(day)
        if day == self.first:
            return self.since
        return (max if day > self.first else min)(self.midnight(day), self.since)

    def midnight(self, day):
        found = self.starts.get(day)
        if found is None:
            at = datetime.datetime(day.year, day.month, day.day, tzinfo=UTC) - datetime.timedelta(hours=16)
            # Clocks change by whole minutes nowadays.
            while at.astimezone(self.zone).date() < day:
                at += MINUTE
            found = self.starts[day] = at
        return found

    def day(self, at):
        day = at.astimezone(self.zone).date()
        while at < self.start(day):
            day -= DAY
        while at >= self.start(day + DAY):
            day += DAY
        return day

    def hour(self, at):
        """The hour of the local day, 0 to 23: an hour of another date counts with the day's first or last."""
        local = at.astimezone(self.zone)
        day = self.day(at)
        if local.date() < day:
            return 0
        return 23 if local.date() > day else local.hour


calendars = {}


def calendar(name, since=None, first=None):
    key = name, since, first
    if key not in calendars:
        calendars[key] = Calendar(*key)
    return calendars[key]
