"""Clients that run the database: rollups and jobs, settings, erasure and retention, changes of the tables."""

import datetime

import data
from sessions import Session


class Roller(Session):
    """Rollups in every way that they are called, beside the worker's own."""

    def step(self):
        kind = self.random.random()
        if kind < 0.4:
            statement = "CALL slm_feedback.rollup()"
        elif kind < 0.6:
            first = datetime.date.today() - datetime.timedelta(days=self.random.randrange(14))
            last = first + datetime.timedelta(days=self.random.randrange(4))
            statement = f"CALL slm_feedback.rebuild('{first}', '{last}')"
        elif kind < 0.8:
            statement = "CALL slm_feedback.run_jobs()"
        else:
            job = self.random.choice(("rollup", "refresh", "reports", "alerts", "questions", "tombstones"))
            statement = f"CALL slm_feedback.run_jobs('{job}')"
        self.doing(statement)
        self.connection.execute(statement)
        self.record.count("rollups and jobs")


class Administrator(Session):
    """Settings and requests of persons. Retention freezes days in some rounds only."""

    # 55000: a zone change that frozen days forbid, an erasure that the policy forbids.
    expected = frozenset(("55000",))

    def step(self):
        (action,) = self.random.choices(*zip(*self.choices()))
        self.doing(action.__name__)
        action()
        self.record.count("administration: " + action.__name__)

    def choices(self):
        yield self.erase, 4
        yield self.hide_groups, 1
        yield self.read_whole_reports, 2
        yield self.trim, 3
        yield self.update_many, 2
        yield self.prune, 0.3
        yield self.change_zone, 3
        if self.run_.with_retention:
            yield self.retention, 3

    def erase(self):
        self.connection.execute(
            "SELECT * FROM slm_feedback.erase_user(%s, %s)",
            [data.user(self.random) or "u0", self.random.choice(("delete", "anonymize"))],
        )

    def hide_groups(self):
        self.connection.execute("SELECT slm_feedback.set_min_group_users(%s)", [self.random.choice((0, 0, 3))])

    def change_zone(self):
        """A zone, the same one again, or another and back at once."""
        zones = [self.random.choice(data.ZONES)]
        if self.random.random() < 0.3:
            before = self.connection.execute("SELECT slm_feedback.time_zone()").fetchone()[0]
            zones = self.random.choice(([before], [zones[0], before]))
        for zone in zones:
            self.connection.execute("SELECT slm_feedback.set_time_zone(%s)", [zone])

    def retention(self):
        rows = self.random.choice((3, 5, 8, 11))
        texts = self.random.choice((None, 2, rows - 1))
        self.connection.execute("SELECT slm_feedback.set_retention(%s, %s)", [rows, texts])
        self.connection.execute("CALL slm_feedback.run_jobs('retention')")

    def read_whole_reports(self):
        self.connection.execute(
            self.random.choice(
                (
                    "SELECT slm_feedback.generate_report('week', current_date)",
                    "SELECT length(slm_feedback.dashboard())",
                    "SELECT slm_feedback.export_user('u1')",
                    "SELECT count(*) FROM slm_feedback.report_jobs()",
                )
            )
        )

    def trim(self):
        """Keeps the tables small: many rows deleted by one statement, locked in order of their ids."""
        self.connection.execute(
            """
            WITH surplus AS MATERIALIZED (
                SELECT q.request_id FROM slm_feedback.queries q
                WHERE q.request_id NOT LIKE 'keep-%%'
                  AND (SELECT count(*) FROM slm_feedback.queries) > %s
                  AND abs(hashtext(q.request_id) %% 10) = %s
                ORDER BY q.request_id FOR UPDATE)
            DELETE FROM slm_feedback.queries WHERE request_id = ANY (ARRAY(SELECT request_id FROM surplus))""",
            [self.run_.rows, self.random.randrange(10)],
        )

    def update_many(self):
        self.connection.execute(
            """
            WITH chosen AS MATERIALIZED (
                SELECT q.request_id FROM slm_feedback.queries q
                WHERE q.request_id NOT LIKE 'keep-%%' AND abs(hashtext(q.request_id) %% 40) = %s
                ORDER BY q.request_id FOR UPDATE)
            UPDATE slm_feedback.queries SET response_time_ms = %s, prompt_version = 'v3'
            WHERE request_id = ANY (ARRAY(SELECT request_id FROM chosen))""",
            [self.random.randrange(40), self.random.randrange(2000)],
        )

    def prune(self):
        self.connection.execute("SELECT slm_feedback.prune_tombstones('10 seconds')")


class TableChanger(Session):
    """DDL on the tables, under which the direct insert has to step back and everything has to go on."""

    settings = "SET lock_timeout = '1s'"
    # An index that a cancel has left invalid is made anew; 42710 and 42P07: it is there already.
    expected = frozenset(("42710", "42P07", "42701"))

    def step(self):
        table = "slm_feedback." + self.random.choice(("queries", "queries", "feedback", "feedback", "corrections"))
        statement = self.random.choice(
            (
                f"CREATE INDEX IF NOT EXISTS stress_index ON {table} (user_id)",
                "DROP INDEX IF EXISTS slm_feedback.stress_index",
                f"CREATE INDEX CONCURRENTLY IF NOT EXISTS stress_index ON {table} (user_id)",
                f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS stress_column integer DEFAULT 1",
                f"ALTER TABLE {table} DROP COLUMN IF EXISTS stress_column",
                f"CREATE OR REPLACE TRIGGER stress_trigger BEFORE INSERT OR UPDATE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION stress.let_pass()",
                f"DROP TRIGGER IF EXISTS stress_trigger ON {table}",
                f"ALTER TABLE {table} ADD CONSTRAINT stress_check CHECK (request_id <> '')",
                f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS stress_check",
                f"VACUUM (TRUNCATE off) {table}",
                f"VACUUM ANALYZE {table}",
                f"ANALYZE {table}",
                f"VACUUM FULL {table}",
                f"VACUUM FREEZE {table}",
                f"REINDEX TABLE {table}",
                f"REINDEX TABLE CONCURRENTLY {table}",
                f"ALTER TABLE {table} SET (fillfactor = {self.random.randrange(50, 101)})",
                "CHECKPOINT",
            )
        )
        self.doing(statement)
        self.connection.execute(statement)
        self.record.count("changes of the tables")


LET_PASS = """
CREATE FUNCTION stress.let_pass() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'"""
