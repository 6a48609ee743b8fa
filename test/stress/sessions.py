"""Clients: threads with a connection of their own that go on after a cancel, a terminate and a crash."""

import random
import re
import threading
import time

import psycopg

# What any statement may meet here: a cancel, the end of its session or server, a conflict that isolation has to refuse.
# A deadlock is none of them.
ALWAYS = {"57014", "57P01", "57P02", "57P03", "40001", "55P03"}


class Session(threading.Thread):
    """One client. A subclass has step(), which does one thing and may raise."""

    # Errors of the subclass's own that are right.
    expected = frozenset()
    settings = ""
    # A minute of ours: a timeout ends when the server's clock says so.
    timeout = 60
    database_role = "postgres"

    def __init__(self, run, name, pause=0.0):
        super().__init__(name=name, daemon=True)
        self.run_ = run
        self.record = run.record
        self.random = random.Random(f"{run.seed} {name}")
        self.pause = pause
        self.connection = None
        self.action = ""

    def run(self):
        while self.run_.going():
            try:
                if self.connection is None:
                    self.connect()
                self.step()
                if self.pause:
                    time.sleep(self.random.random() * self.pause * 2)
            except psycopg.Error as error:
                self.failed(error)
            except Exception:  # pylint: disable=broad-except
                self.record.broken(f"{self.name} {self.action}")
                return
        if self.connection is not None:
            self.connection.close()

    def connect(self):
        self.connection = self.run_.connect(self.name, role=self.database_role)
        self.connection.execute(f"SET statement_timeout = '{self.timeout * self.run_.speed}s'; {self.settings}")
        self.connected()

    def connected(self):
        """For what has to be looked at after each loss of the connection."""

    def step(self):
        raise NotImplementedError

    def doing(self, action):
        self.action = action
        self.record.event(self.name, action)

    def failed(self, error):
        """Takes note of an error: is it one that may happen, and is the session as it should be after it?"""
        state = error.sqlstate
        self.record.event(
            self.name, f"{self.action} failed: {state} {str(error).splitlines()[0] if str(error) else ''}"
        )
        if state is None or self.connection is None or self.connection.broken or self.connection.closed:
            self.record.error(state or "connection lost")
            self.drop()
            time.sleep(0.05)
            if state is not None and state[:2] == "XX":
                self.unexpected(error)
            return
        if "statement timeout" in str(error):
            self.record.difference("stuck", f"{self.name} {self.action} ran for 60 seconds", self.run_.locks())
        elif state in ALWAYS or state in self.expected:
            self.record.error(state)
        elif state in ("42703", "42804") and ("has been dropped" in str(error) or "return row" in str(error)):
            # A column came or went while the call, whose row type was known by then, waited for the table.
            self.record.error(state)
        elif state == "XX000" and "cache lookup failed for type 0" in str(error):
            # The same where the column is the caller's own: the server looks up the type of a dropped column before it
            # compares the row types (tupledesc_match).
            self.record.error("XX000 of a dropped column")
        elif state == "XX000" and self.with_grant(error):
            self.record.error("XX000 of GRANT beside ALTER TABLE")
        elif state == "40P01" and self.with_reindex():
            self.record.error("40P01 with the building of an index")
        else:
            self.unexpected(error)
        self.after_error()

    def unexpected(self, error):
        detail = error.diag.message_detail or ""
        self.record.difference(
            "error " + str(error.sqlstate),
            f"{self.name} {self.action}: {error}\n{detail}",
            self.run_.server.log_tail(40),
        )

    def with_grant(self, error):
        """GRANT changes the catalog's row of a table without a lock on it; the server refuses the later of two so."""
        changes = self.name == "table_changer" or self.action.startswith(("grant_access(", "revoke_access("))
        return changes and hasattr(self.run_, "granted") and "tuple concurrently updated" in str(error)

    def with_reindex(self):
        """Deadlocks that no order of locks in the extension avoids.

        CREATE INDEX CONCURRENTLY waits for older snapshots, whatever they wait for. REINDEX TABLE locks one index after
        the other, and so do the statements of a transaction that the server has kept plans for.
        """
        time.sleep(0.2)
        lines = self.run_.server.log_tail(400).splitlines()
        mine = [
            i
            for i, line in enumerate(lines)
            if "deadlock detected" in line and f"[{self.connection.info.backend_pid}]" in line
        ]
        return bool(mine) and any(re.search("CONCURRENTLY|REINDEX", line) for line in lines[mine[-1] : mine[-1] + 8])

    def after_error(self):
        """A session outlives an error of a statement in autocommit: outside of a transaction, holding nothing."""
        try:
            if self.connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                if not self.in_block:
                    self.record.difference("session", f"{self.name} is left in a transaction after {self.action}")
                self.connection.execute("ROLLBACK")
            self.in_block = False
            held = self.connection.execute(HELD_LOCKS).fetchall()
            if held:
                self.record.difference("locks", f"{self.name} holds {held} after {self.action}")
        except psycopg.Error as error:
            if not self.connection.broken and error.sqlstate not in ALWAYS:
                self.unexpected(error)
            self.drop()

    def drop(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    # Whether the session was inside a transaction block of its own.
    in_block = False

    def transaction(self, isolation="READ COMMITTED"):
        return Block(self, isolation)


HELD_LOCKS = """
SELECT locktype, mode, coalesce(relation::regclass::text, objid::text) FROM pg_locks
WHERE pid = pg_backend_pid() AND locktype <> 'virtualxid' AND mode <> 'SIReadLock'
  AND NOT (locktype = 'relation' AND (relation < 16384 OR relation = 'pg_locks'::regclass))
  AND NOT (locktype = 'object' AND classid = 'pg_database'::regclass)"""


class Block:
    """A transaction block; its end is known only once COMMIT has been acknowledged."""

    def __init__(self, session, isolation):
        self.session = session
        self.isolation = isolation

    def __enter__(self):
        self.session.connection.execute("BEGIN ISOLATION LEVEL " + self.isolation)
        self.session.in_block = True

    def __exit__(self, kind, error, trace):
        if error is None:
            self.session.connection.execute("COMMIT")
        elif not self.session.connection.broken:
            self.session.connection.execute("ROLLBACK")
        self.session.in_block = False
        return False
