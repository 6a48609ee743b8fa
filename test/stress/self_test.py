"""Whether the run would find what it looks for: known faults are planted one by one, and each has to be found.

A fault that is not found is a difference. After the faults have been taken back the same check has to find nothing.
"""

import random
import time

import psycopg

import operators
from access import AccessRound, Caller
from final import check
from record import Record
from round import Round


class QuietRound(Round):
    """A round without the chaos, which leaves its database and clients for the faults."""

    def drop(self):
        pass


class Fault:
    """Something wrong that is planted, the check that has to find it, and how it is taken back."""

    def __init__(self, name, found_by, plant, take_back=None):
        self.name = name
        self.found_by = found_by
        self.plant = plant
        self.take_back = take_back or (lambda round_, connection: None)


def sql(*statements):
    def run(_, connection):
        for statement in statements:
            connection.execute(statement)

    return run


FINAL_DAY = """(SELECT max(m.date) FROM slm_feedback.daily_metrics m
    WHERE m.date <= (SELECT s.final_through FROM slm_feedback.rollup_state s))"""
REBUILD = "CALL slm_feedback.rebuild('-infinity', 'infinity')"


def lose_a_write(round_, connection):
    connection.execute("DELETE FROM slm_feedback.queries WHERE request_id = %s", [max(round_.writers[0].ledger)])


def change_a_kept_row(round_, connection):
    connection.execute(
        "UPDATE slm_feedback.queries SET response_time_ms = coalesce(response_time_ms, 0) + 8 "
        "WHERE request_id = %s",
        [max(round_.writers[1].ledger)],
    )


def hold_a_lock(round_, _):
    round_.holder = round_.connect("holder")
    round_.holder.execute("BEGIN")
    round_.holder.execute("LOCK TABLE slm_feedback.rollup_state IN ACCESS SHARE MODE")


def release(round_, _):
    round_.holder.close()


def lose_a_tombstone(_, connection):
    request_id = connection.execute(
        "SELECT min(request_id) FROM slm_feedback.queries WHERE request_id LIKE 'w%'"
    ).fetchone()[0]
    connection.execute("DELETE FROM slm_feedback.queries WHERE request_id = %s", [request_id])
    connection.execute("DELETE FROM slm_feedback.tombstones WHERE request_id = %s", [request_id])


def begin_copies_again(round_, _):
    for copier in round_.copiers:
        copier.copy, copier.cursor = {}, None


FAULTS = (
    Fault(
        "a mark is lost",
        "report",
        # In one transaction: a rollup of the worker must not come before the mark is gone.
        sql(
            "BEGIN",
            f"UPDATE slm_feedback.queries SET input_tokens = coalesce(input_tokens, 0) + 1 "
            f"WHERE slm_feedback.day_of(created_at) = {FINAL_DAY}",
            "DELETE FROM slm_feedback.rollup_queue",
            "COMMIT",
        ),
        sql(REBUILD),
    ),
    Fault(
        "a stored count is wrong",
        "report",
        sql(f"UPDATE slm_feedback.daily_metrics SET total_queries = total_queries + 1 WHERE date = {FINAL_DAY}"),
        sql(REBUILD),
    ),
    Fault(
        "stored hours are wrong",
        "report",
        sql(
            f"UPDATE slm_feedback.daily_metrics SET hourly_queries[1] = hourly_queries[1] + 1 WHERE date = {FINAL_DAY}"
        ),
        sql(REBUILD),
    ),
    Fault(
        "a stored percentile is wrong",
        "report",
        sql(f"UPDATE slm_feedback.daily_metrics SET p99_response_time_ms = 1e9 WHERE date = {FINAL_DAY}"),
        sql(REBUILD),
    ),
    Fault(
        "a row of metrics is missing",
        "report",
        sql(f"DELETE FROM slm_feedback.daily_metrics WHERE model IS NOT NULL AND date = {FINAL_DAY}"),
        sql(REBUILD),
    ),
    Fault(
        "feedback has lost its query",
        "report",
        sql(
            "SET session_replication_role = replica",
            "DELETE FROM slm_feedback.queries WHERE request_id = (SELECT min(request_id) FROM slm_feedback.feedback "
            "WHERE request_id LIKE 'w%')",
            "RESET session_replication_role",
        ),
        sql(
            "DELETE FROM slm_feedback.feedback f WHERE NOT EXISTS (SELECT 1 FROM slm_feedback.queries q "
            "WHERE q.request_id = f.request_id)",
            "DELETE FROM slm_feedback.corrections c WHERE NOT EXISTS "
            "(SELECT 1 FROM slm_feedback.queries q WHERE q.request_id = c.request_id)",
        ),
    ),
    Fault("an acknowledged write is gone", "acknowledged", lose_a_write),
    Fault("an acknowledged row is another", "acknowledged", change_a_kept_row),
    Fault("a removal left no tombstone", "copy", lose_a_tombstone, begin_copies_again),
    Fault("a lock is held", "locks", hold_a_lock, release),
)


def plant_and_look(round_, fault):
    """The checks that find a fault."""
    with round_.connect("fault") as connection:
        fault.plant(round_, connection)
    found = look(round_)
    with round_.connect("fault") as connection:
        fault.take_back(round_, connection)
    return found


def look(round_):
    """The differences that a final check finds, kept apart from the run's own."""
    own, round_.record = round_.record, Record("self test", round_.record.directory, keep_going=True, quiet=True)
    for client in round_.writers + round_.copiers:
        client.record = round_.record
    try:
        check(round_, random.Random(round_.seed), patience=1, quick=True)
        return round_.record.differences
    finally:
        round_.record = own


def self_test(server, record):
    round_ = QuietRound(server, record, 1, 5, kills=False, cancels=False)
    round_.run()
    if not record.running():
        return
    for fault in FAULTS:
        found = plant_and_look(round_, fault)
        if not any(check_.split()[0] == fault.found_by for check_, _ in found):
            record.difference("power", f"nobody finds that {fault.name} (found: {found})")
        record.count("planted faults found")
    remaining = look(round_)
    if remaining:
        record.difference("power", f"found after every fault has been taken back: {remaining}")
    errors(round_, record)
    Round.drop(round_)
    access(server, record)


def access(server, record):
    """A role with nothing that may call a function is found."""
    round_ = AccessRound(server, record, 0)
    round_.install()
    with round_.connect("fault") as connection:
        connection.execute(f"GRANT USAGE ON SCHEMA slm_feedback TO {round_.database}_nobody")
        connection.execute(f"GRANT EXECUTE ON FUNCTION slm_feedback.library_version() TO {round_.database}_nobody")
    client = Caller(round_, "planted", "nobody")
    client.record = Record("self test", record.directory, keep_going=True, quiet=True)
    client.connection = round_.connect("planted", client.database_role)
    (routine,) = (row for row in round_.routines if row[1] == "library_version")
    client.call(*routine)
    client.drop()
    if not any(check_ == "access" for check_, _ in client.record.differences):
        record.difference("power", "nobody finds that a role with nothing may call a function")
    record.count("planted faults found")
    round_.drop()


def errors(round_, record):
    """An internal error, a session left in a transaction and a client of ours that fails are all found."""
    for name, found_by, action in (
        ("an internal error", "error", ["DO $$ BEGIN RAISE EXCEPTION 'planted' USING ERRCODE = 'XX000'; END $$"]),
        ("a session left in a transaction", "session", ["BEGIN", "SELECT 1 / 0"]),
        ("a lock that outlives an error", "locks", ["SELECT pg_advisory_lock(1)", "SELECT 1 / 0"]),
    ):
        client = operators.Roller(round_, "planted")
        client.record = Record("self test", record.directory, keep_going=True, quiet=True)
        client.connection = round_.connect("planted")
        for statement in action:
            try:
                client.connection.execute(statement)
            except psycopg.Error as error:
                client.failed(error)
        if not any(check_.split()[0] == found_by for check_, _ in client.record.differences):
            record.difference("power", f"nobody finds {name} (found: {client.record.differences})")
        record.count("planted faults found")
        client.drop()
    broken = Record("self test", record.directory, quiet=True)
    client = operators.Roller(round_, "broken")
    client.record, client.step, round_.deadline = broken, None, time.monotonic() + 5
    round_.ended.clear()
    client.run()
    round_.ended.set()
    if not broken.differences:
        record.difference("power", "a client of the harness that fails counts as a pass")
    record.count("planted faults found")
