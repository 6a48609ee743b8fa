"""One round: a database of its own, clients that use it for some seconds under the chaos, and the final check."""

import datetime
import random
import threading
import time

import psycopg

from chaos import Chaos, Undertaker
from data import Pool
from final import check
from freezes import INSTALL
from operators import LET_PASS, Administrator, Roller, TableChanger
from readers import Copier, Reader
from writers import Writer


class Round:
    def __init__(self, server, record, number, seconds, kills=True, cancels=True, rows=3000):
        self.server = server
        self.record = record
        self.seed = f"{record.seed}.{number}"
        self.database = f"stress_{number}"
        self.seconds = seconds
        self.rows = rows
        self.kills = kills
        self.cancels = cancels
        self.with_retention = number % 2 == 0
        self.pool = Pool()
        self.restarting = threading.Lock()
        self.ended = threading.Event()
        self.deadline = None
        # How much faster the server's clock runs than ours.
        self.speed = 1
        self.writers = []
        self.copiers = []

    def going(self):
        return not self.ended.is_set() and self.record.running() and time.monotonic() < self.deadline

    def connect(self, application, role="postgres"):
        """A connection, as soon as there is a server again."""
        give_up = time.monotonic() + 60
        while True:
            try:
                return self.server.connect(application, self.database, role)
            except psycopg.OperationalError as error:
                if time.monotonic() > give_up:
                    self.record.difference("server", f"no connection for a minute: {error}", self.server.log_tail(60))
                    raise
                time.sleep(0.05)

    def locks(self):
        """Who waits for whom, as evidence."""
        try:
            with self.connect("locks") as connection:
                return "\n".join(
                    map(
                        str,
                        connection.execute(
                            """
                    SELECT a.pid, a.application_name, a.state, a.wait_event_type, a.wait_event,
                           pg_blocking_pids(a.pid), a.query,
                           now() - a.xact_start
                    FROM pg_stat_activity a WHERE a.datname = current_database()"""
                        ).fetchall(),
                    )
                )
        except psycopg.Error as error:
            return str(error)

    def install(self):
        with self.server.connect("install", "postgres") as connection:
            connection.execute(f"CREATE DATABASE {self.database}")
        with self.server.connect("install", self.database) as connection:
            connection.execute("CREATE EXTENSION slm_feedback CASCADE")
            connection.execute("CREATE EXTENSION amcheck")
            connection.execute(INSTALL)
            connection.execute(LET_PASS)

    def clients(self):
        self.writers = [Writer(self, f"writer{i}") for i in range(4)]
        self.copiers = [Copier(self, "copier")]
        return (
            self.writers
            + self.copiers
            + [Reader(self, f"reader{i}") for i in range(2)]
            + [
                Roller(self, "roller0", 0.1),
                Roller(self, "roller1", 0.3),
                Administrator(self, "administrator0", 0.2),
                Administrator(self, "administrator1", 0.4),
                TableChanger(self, "table_changer", 0.2),
            ]
        )

    def threads(self):
        return self.clients() + ([Chaos(self, kills=self.kills)] if self.cancels else [])

    def now(self):
        """The present time of the server."""
        return datetime.datetime.now(datetime.timezone.utc)

    def run(self):
        self.install()
        self.live(self.seconds)
        if self.record.running():
            check(self, random.Random(self.seed))
        self.drop()

    def live(self, seconds):
        """The clients at work for so long."""
        self.ended.clear()
        self.deadline = time.monotonic() + seconds
        threads = self.threads()
        undertaker = Undertaker(self)
        for thread in [undertaker] + threads:
            thread.start()
        while self.going():
            time.sleep(0.1)
        self.ended.set()
        for thread in threads:
            thread.join(90)
            if thread.is_alive():
                self.record.difference(
                    "stuck", f"{thread.name} does not end: {getattr(thread, 'action', '')}", self.locks()
                )
                self.record.stopped.set()
        undertaker.over.set()
        undertaker.join(30)

    def drop(self):
        if self.record.running():
            with self.server.connect("drop", "postgres") as connection:
                connection.execute(f"DROP DATABASE {self.database} WITH (FORCE)")
