"""Clients that read: reports against the recomputation, and a copy kept by export_changes() against the tables."""

import json
import time

import psycopg

import oracle
from freezes import Freezes
from reports import Mismatch, Snapshot, compare_all
from sessions import Session

# How often min_group_users has been set: it may be what it was before, and have been another in between.
GROUPS_SET = "SELECT count(*) FROM slm_feedback.audit_log WHERE action = 'set_min_group_users'"


class Reader(Session):
    """Compares every report in one snapshot, which at times is old by the time that it is read."""

    settings = "SET timezone = 'UTC'"

    def __init__(self, run, name, pause=0.05):
        super().__init__(run, name, pause)
        self.freezes = Freezes()
        self.beside = None

    def step(self):
        self.doing("compare")
        compare(self, self.connection, self.random)

    def connected(self):
        self.freezes = Freezes()

    def groups_set(self):
        """How often min_group_users has been set by now, whatever the snapshot."""
        if self.beside is None or self.beside.closed:
            self.beside = self.run_.connect(self.name + " beside")
        return self.beside.execute(GROUPS_SET).fetchone()[0]


def compare(reader, connection, random, whole=False):
    """One snapshot: read the raw rows, at times wait, then compare; what differs is kept with all that explains it."""
    record = reader.record
    isolation = random.choice(("REPEATABLE READ", "REPEATABLE READ READ ONLY", "SERIALIZABLE READ ONLY"))
    with reader.transaction(isolation):
        snapshot = Snapshot(connection, reader.freezes)
        if not whole and random.random() < 0.2:
            time.sleep(random.random() * 1.5)
        compared = []
        try:
            compare_all(snapshot, random, compared.append, whole)
        except Mismatch as mismatch:
            # Hidden groups are hidden from older snapshots, too.
            if reader.groups_set() == connection.execute(GROUPS_SET).fetchone()[0]:
                record.difference("report", str(mismatch), evidence(snapshot, connection))
            else:
                record.count("snapshots older than min_group_users")
        except psycopg.Error:
            record.count("comparisons cut off")
            raise
        finally:
            for name in compared:
                record.count("compared: " + name)
                record.count("comparisons")
        record.count("snapshots")
        record.count("rows in snapshots", len(snapshot.queries) + len(snapshot.feedback))


def evidence(snapshot, connection):
    """What the database says of the same snapshot, and its raw rows."""
    parts = [
        f"zone {snapshot.zone}, now {snapshot.now}, state {snapshot.state}, frozen {sorted(snapshot.oracle.unknown)}"
    ]
    for title, statement in (
        ("snapshot", "SELECT pg_current_snapshot()"),
        ("settings", "SELECT * FROM slm_feedback.settings"),
        ("marks", "SELECT date, count(*) FROM slm_feedback.rollup_queue GROUP BY 1 ORDER BY 1"),
        ("runs", "SELECT * FROM slm_feedback.rollup_runs ORDER BY 1 DESC LIMIT 20"),
        (
            "stored metrics",
            "SELECT date, model, prompt_version, total_queries, feedback_count, unique_users, "
            "response_time_sum_ms, hourly_queries, refreshed_at, xmin FROM slm_feedback.daily_metrics ORDER BY 1, 2, 3",
        ),
    ):
        try:
            rows = connection.execute(statement).fetchall()
        except psycopg.Error as error:
            rows = [error]
        parts.append(
            title
            + ":\n"
            + "\n".join("  " + " | ".join(map(str, row)) if isinstance(row, tuple) else str(row) for row in rows)
        )
    parts.append("queries:\n" + "\n".join(str(tuple(q)) for q in snapshot.queries))
    parts.append("feedback:\n" + "\n".join(str(tuple(f)) for f in snapshot.feedback))
    return "\n\n".join(parts)


class Copier(Session):
    """Keeps a copy by export_changes(); in the snapshot of a read the copy is what the tables hold."""

    settings = "SET timezone = 'UTC'"
    # 55000: a cursor that is older than the tombstones; the reader starts again, as it is told to.
    expected = frozenset(("55000",))

    def __init__(self, run, name, pause=0.3):
        super().__init__(run, name, pause)
        self.copy = {}
        self.cursor = None

    def failed(self, error):
        if error.sqlstate == "55000":
            self.copy, self.cursor = {}, None
            self.record.count("copies begun again")
        super().failed(error)

    def step(self):
        self.doing("export_changes")
        with self.transaction("REPEATABLE READ"):
            self.read()

    def read(self):
        lines = self.connection.execute("SELECT slm_feedback.export_changes(%s)", [self.cursor]).fetchall()
        copy = {} if self.cursor is None else dict(self.copy)
        for (line,) in lines[:-1]:
            if line["op"] == "delete":
                copy.pop(line["request_id"], None)
            else:
                copy[line["request_id"]] = whole(line["query"], line["feedback"], line["corrections"])
        if not lines or lines[-1][0]["op"] != "cursor":
            self.record.difference("copy", f"the last line is no cursor: {lines[-1:]}")
            return
        self.record.count("lines of changes", len(lines))
        tables = self.tables()
        if copy != tables:
            keys = [key for key in copy.keys() | tables.keys() if copy.get(key) != tables.get(key)]
            self.record.difference(
                "copy",
                f"{len(keys)} of {len(tables)} answers differ after the cursor {self.cursor}, such as "
                f"{[(key, copy.get(key), tables.get(key)) for key in keys[:3]]}",
            )
        self.record.count("copies compared")
        self.copy, self.cursor = copy, lines[-1][0]["cursor"]

    def tables(self):
        rows = self.connection.execute(
            f"""
            SELECT row_to_json(q),
                   (SELECT coalesce(json_agg(row_to_json(f)), '[]')
                    FROM (SELECT {', '.join(oracle.FEEDBACK_COLUMNS)} FROM slm_feedback.feedback) f
                    WHERE f.request_id = q.request_id),
                   (SELECT coalesce(json_agg(row_to_json(c)), '[]')
                    FROM (SELECT {', '.join(oracle.CORRECTION_COLUMNS)} FROM slm_feedback.corrections) c
                    WHERE c.request_id = q.request_id)
            FROM (SELECT {', '.join(oracle.QUERY_COLUMNS)} FROM slm_feedback.queries) q"""
        ).fetchall()
        return {query["request_id"]: whole(query, feedback, corrections) for query, feedback, corrections in rows}


def whole(query, feedback, corrections):
    """An answer as one value, without the column that the changer of tables adds at times."""
    return tuple(
        tuple(
            sorted(
                json.dumps({key: value for key, value in row.items() if key != "stress_column"}, sort_keys=True)
                for row in rows
            )
        )
        for rows in ([query], feedback, corrections)
    )
