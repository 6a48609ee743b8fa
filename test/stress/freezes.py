"""What the days said that retention has frozen.

A trigger on rollup_state, the harness's own, keeps the raw rows of the newly frozen days in the transaction that
freezes them, in one snapshot, before the first of them is deleted. A day that already had a mark in that snapshot was
written to after retention had looked: what it says can't be known from here, and it is left out of comparisons.
"""

import datetime

from calendar_days import calendar
from oracle import FEEDBACK_COLUMNS, QUERY_COLUMNS, Feedback, Query, group_opinions, measure_days

queries = ", ".join("q." + column for column in QUERY_COLUMNS)
feedback = ", ".join("f." + column for column in FEEDBACK_COLUMNS)

INSTALL = f"""
CREATE SCHEMA stress;
CREATE TABLE stress.freezes (
    freeze_number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    purged_before date,
    previous date,
    zone text,
    marked date[]
);
CREATE TABLE stress.frozen_queries AS
SELECT 0::bigint AS freeze_number, {queries} FROM slm_feedback.queries q WITH NO DATA;
CREATE TABLE stress.frozen_feedback AS
SELECT 0::bigint AS freeze_number, {feedback} FROM slm_feedback.feedback f WITH NO DATA;
CREATE FUNCTION stress.keep_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WITH new_freeze AS (
        INSERT INTO stress.freezes (purged_before, previous, zone, marked)
        SELECT new.purged_before, old.purged_before, slm_feedback.time_zone(),
               ARRAY(SELECT m.date FROM slm_feedback.rollup_queue m WHERE m.date < new.purged_before)
        RETURNING freeze_number, (new.purged_before + 2)::timestamptz AS before,
                  coalesce((old.purged_before - 2)::timestamptz, '-infinity') AS after
    ), queries AS (
        INSERT INTO stress.frozen_queries
        SELECT z.freeze_number, {queries} FROM slm_feedback.queries q, new_freeze z
        WHERE q.created_at < z.before AND q.created_at >= z.after
    )
    INSERT INTO stress.frozen_feedback
    SELECT z.freeze_number, {feedback} FROM slm_feedback.feedback f, new_freeze z
    WHERE f.query_created_at < z.before AND f.query_created_at >= z.after;
    RETURN NULL;
END $$;
CREATE TRIGGER keep_frozen AFTER UPDATE ON slm_feedback.rollup_state
    FOR EACH ROW WHEN (new.purged_before IS DISTINCT FROM old.purged_before) EXECUTE FUNCTION stress.keep_frozen();
"""


class Freezes:
    """A reader's memory of the frozen days."""

    def __init__(self):
        # Number of a freeze: its days, the instant up to which it froze, and the first day after it.
        self.known = {}

    def read(self, connection, zone):
        """What this snapshot sees of the freezes: its calendar, and {day: levels, None where they can't be known}."""
        days, since, first = {}, None, None
        for freeze in connection.execute(
            "SELECT freeze_number, purged_before, previous, zone, marked FROM stress.freezes ORDER BY freeze_number"
        ).fetchall():
            if freeze[0] not in self.known:
                self.known[freeze[0]] = self.load(connection, calendar(freeze[3], since, first), *freeze)
            more, since, first = self.known[freeze[0]]
            days.update(more)
        return calendar(zone, since, first), days

    def load(self, connection, days, number, purged_before, previous, _, marked):
        """Measures the days of one freeze by the calendar that held then."""
        rows = {}
        for kind, table in ((Query, "frozen_queries"), (Feedback, "frozen_feedback")):
            rows[kind] = [
                kind._make(row)
                for row in connection.execute(
                    f"SELECT {', '.join(kind._fields)} FROM stress.{table} WHERE freeze_number = %s", [number]
                ).fetchall()
            ]
        first = previous or datetime.date.min
        result = dict(
            measure_days(rows[Query], group_opinions(rows[Feedback]), days, lambda day: first <= day < purged_before)
        )
        result.update({day: None for day in marked if day >= first})
        return result, days.start(purged_before), purged_before
