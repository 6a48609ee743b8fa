"""What happens to servers: cancels, terminates, and SIGKILLs of a backend, of the worker and of the whole cluster."""

import random
import threading
import time

import psycopg

VICTIMS = """
SELECT pid, coalesce(application_name, '') FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND datname IS NOT NULL AND application_name <> 'chaos'
  AND (backend_type = 'client backend' OR backend_type LIKE 'slm_feedback%')
ORDER BY pid"""


class Chaos(threading.Thread):
    """One at a time, at random; cancels often, kills of the cluster seldom."""

    def __init__(self, run, cancels=0.15, kills=True):
        super().__init__(name="chaos", daemon=True)
        self.run_ = run
        self.record = run.record
        self.random = random.Random(f"{run.seed} chaos")
        self.pause = cancels
        self.kills = kills
        self.connection = None

    def run(self):
        while self.run_.going():
            time.sleep(self.random.random() * self.pause * 2)
            try:
                self.step()
            except psycopg.Error:
                self.connection = None
                time.sleep(0.1)
            except Exception:  # pylint: disable=broad-except
                self.record.broken("chaos")
                return

    def step(self):
        kind = self.random.random()
        if self.kills and kind < 0.012:
            self.kill_cluster()
        elif self.kills and kind < 0.03:
            self.kill_backend()
        elif kind < 0.25:
            self.signal("pg_terminate_backend", "terminates")
        else:
            self.signal("pg_cancel_backend", "cancels")

    def victim(self):
        if self.connection is None:
            self.connection = self.run_.connect("chaos")
        victims = self.connection.execute(VICTIMS).fetchall()
        return self.random.choice(victims) if victims else (None, None)

    def signal(self, function, counter):
        pid, name = self.victim()
        if pid is not None:
            self.record.event("chaos", f"{counter} {name}")
            self.connection.execute(f"SELECT {function}(%s)", [pid])
            self.record.count(counter)

    def kill_backend(self):
        pid, name = self.victim()
        if pid is not None:
            self.record.event("chaos", f"SIGKILL to {name}")
            if self.run_.server.kill_backend(pid):
                self.record.count(
                    "SIGKILLs of a backend"
                    if name.startswith(("writer", "reader"))
                    else "SIGKILLs of a worker or operator"
                )

    def kill_cluster(self):
        self.connection = None
        self.record.event("chaos", "SIGKILL to the cluster")
        with self.run_.restarting:
            self.run_.server.kill_everything()
            self.run_.server.start()
        self.record.count("SIGKILLs of the cluster")


class Undertaker(threading.Thread):
    """Ends prepared transactions that a writer has left, also those of before a crash, until all others have gone."""

    def __init__(self, run):
        super().__init__(name="undertaker", daemon=True)
        self.run_ = run
        self.random = random.Random(f"{run.seed} undertaker")
        self.over = threading.Event()

    def run(self):
        connection = None
        while not self.over.wait(0.5):
            try:
                connection = connection or self.run_.connect("undertaker")
                end_prepared(connection, self.random, f"{2 * self.run_.speed} seconds")
            except psycopg.Error:
                connection = None
            except Exception:  # pylint: disable=broad-except
                self.run_.record.broken("undertaker")
                return


def end_prepared(connection, random_, older_than):
    for (name,) in connection.execute(
        "SELECT gid FROM pg_prepared_xacts WHERE prepared < now() - %s::interval " "AND database = current_database()",
        [older_than],
    ).fetchall():
        try:
            connection.execute(f"{random_.choice(('COMMIT', 'ROLLBACK'))} PREPARED '{name}'")
        except (psycopg.errors.UndefinedObject, psycopg.errors.ObjectNotInPrerequisiteState):
            # Its writer has ended it, or is about to.
            pass
