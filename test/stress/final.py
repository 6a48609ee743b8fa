"""What has to hold when everybody has gone: nothing held, nothing left to do, and everything as the rows say."""

import time

from chaos import end_prepared
from readers import Reader, compare

INDEXES = """
SELECT c.oid::regclass::text FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
WHERE a.amname = 'btree' AND i.indisvalid AND c.relnamespace = 'slm_feedback'::regnamespace"""


def check(round_, random, patience=30, quick=False):
    record = round_.record
    connection = round_.connect("final")
    try:
        connection.execute("SET timezone = 'UTC'")
        end_prepared(connection, random, "0 seconds")
        nothing_held(round_, connection, patience)
        settled(record, connection)
        reader = Reader(round_, "final reader")
        reader.connection = connection
        for number in range(1 if quick else 8):
            compare(reader, connection, random, whole=number == 0)
        stored_report(record, connection)
        for copier in round_.copiers:
            copier.connection = connection
            copier.step()
        for writer in round_.writers:
            writer.connection = connection
            writer.verify()
        if not quick:
            indexes(record, connection)
        log(round_)
        record.count("final checks")
    except Exception:  # pylint: disable=broad-except
        record.broken("final check")
    finally:
        connection.close()


def nothing_held(round_, connection, patience):
    """With the worker off and every client gone, nobody holds a lock."""
    connection.execute("ALTER SYSTEM SET slm_feedback.worker = off")
    connection.execute("SELECT pg_reload_conf()")
    deadline = time.monotonic() + patience
    while True:
        held = connection.execute(
            """
            SELECT l.pid, a.application_name, a.backend_type, a.state, l.locktype, l.mode, l.relation::regclass::text
            FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
            WHERE l.pid IS DISTINCT FROM pg_backend_pid() AND l.mode <> 'SIReadLock'
              AND (l.database IS NULL OR l.database = 0
                   OR l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
              AND coalesce(a.backend_type, '') NOT IN ('autovacuum worker', 'checkpointer', 'walwriter')"""
        ).fetchall()
        if not held:
            break
        if time.monotonic() > deadline:
            round_.record.difference("locks", f"held when everybody has gone: {held}", round_.locks())
            break
        time.sleep(0.2)
    connection.execute("ALTER SYSTEM RESET slm_feedback.worker")
    connection.execute("SELECT pg_reload_conf()")


def settled(record, connection):
    """After a rollup in quiet no mark is left, and all days are final that had ended some minutes before it began."""
    days = """
        SELECT slm_feedback.day_of(clock_timestamp() - interval '6 minutes') - 1,
               slm_feedback.day_of(clock_timestamp()) - 1"""
    least = connection.execute(days).fetchone()[0]
    connection.execute("CALL slm_feedback.rollup()")
    marks = connection.execute("SELECT date, count(*) FROM slm_feedback.rollup_queue GROUP BY 1").fetchall()
    if marks:
        record.difference("marks", f"left after a rollup in quiet: {marks}")
    final_through = connection.execute("SELECT max(final_through) FROM slm_feedback.rollup_state").fetchone()[0]
    most = connection.execute(days).fetchone()[1]
    if final_through is None or not least <= final_through <= most:
        record.difference(
            "rollup", f"after a rollup in quiet days are final through {final_through}, not {least} to {most}"
        )


def stored_report(record, connection):
    """A report that is made and stored has the figures of the reports that have been compared."""
    same = connection.execute(
        """
        SELECT (r.report -> 'summary') @> coalesce(
                   (SELECT to_jsonb(s) FROM slm_feedback.report_summary(r.first_day, r.last_day) s), '{}')
        FROM slm_feedback.generate_report(
            'range', slm_feedback.day_of(now()) - 6, slm_feedback.day_of(now())) r"""
    ).fetchone()
    if same != (True,):
        record.difference("stored report", f"its summary is report_summary(): {same}")


def indexes(record, connection):
    for (name,) in connection.execute(INDEXES).fetchall():
        connection.execute("SELECT bt_index_check(%s::regclass, true)", [name])
        record.count("indexes checked")


def log(round_):
    """The server's own complaints."""
    lines = round_.server.log_search(
        "PANIC:",
        "TRAP:",
        " leak",
        "was terminated by signal",
        "you don't own a lock",
        "could not find",
        "invalid page",
        "is corrupt",
    )
    # The hint comes when a recovery itself was killed.
    bad = [line for line in lines if "was terminated by signal 9" not in line and "This probably means" not in line]
    if bad:
        round_.record.difference("server log", "; ".join(bad[:5]), round_.server.log_tail(200))
