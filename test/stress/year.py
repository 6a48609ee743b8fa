"""A year in minutes: a second server whose clock runs a thousand times as fast (libfaketime), with a worker.

It runs for some hours of its own time around each night on which the clock changes, around ordinary nights and around
New Year, and is down in between. Every night has to bring its rollup, and every report is right all the time; retention
freezes what lies a month back.
"""

import datetime
import os
import random
import time

from calendar_days import DAY, UTC, calendar
from chaos import Chaos
from final import check
from readers import Copier, Reader
from round import Round
from server import Server
from sessions import Session
from writers import Writer

SPEED = 1000
YEAR = 2031
ZONES = ("Atlantic/Azores", "America/Havana", "Europe/Berlin", "America/New_York")

# Times of the server are of its own clock: a timeout of a second is a thousandth of one.
SETTINGS = """
authentication_timeout = 10min
deadlock_timeout = 60s
checkpoint_timeout = 1d
autovacuum_naptime = 30min
slm_feedback.refresh_interval = 15min
"""


def clock_changes(zone):
    """The two instants of the year at which the zone's clock changes."""
    at, changes = datetime.datetime(YEAR, 1, 2, tzinfo=UTC), []
    while at.year == YEAR:
        later = at + datetime.timedelta(hours=1)
        if at.astimezone(zone).utcoffset() != later.astimezone(zone).utcoffset():
            changes.append(later)
        at = later
    return changes


def nights(name, hours):
    """[(start of a stretch, the day that begins in it)] through the year."""
    days = calendar(name)
    changes = {days.day(change): change for change in clock_changes(days.zone)}
    if len(changes) != 2:
        raise RuntimeError(f"the clock of {name} changes {len(changes)} times in {YEAR}")
    chosen = sorted([*changes, datetime.date(YEAR, 1, 20), datetime.date(YEAR, 7, 15), datetime.date(YEAR + 1, 1, 1)])
    result = []
    for day in chosen:
        last = max(days.start(day) + datetime.timedelta(minutes=50), changes.get(day, days.start(day)))
        result.append((last - datetime.timedelta(hours=hours) * 0.7, day))
    return result


class Scheduler(Session):
    """Calls run_jobs(), as pg_cron does."""

    timeout = 0

    def step(self):
        self.doing("CALL slm_feedback.run_jobs()")
        self.connection.execute("CALL slm_feedback.run_jobs()")
        self.record.count("runs of jobs")


class YearRound(Round):
    """One database through all stretches."""

    def __init__(self, record, server, seconds):
        super().__init__(server, record, 2, seconds)
        self.database = "year"
        self.seed = f"{record.seed}.year"
        self.zone = random.Random(self.seed).choice(ZONES)
        self.real = self.fake = None
        self.stretch = 0
        self.speed = SPEED
        self.server.before_start = self.set_clock
        # Until PostgreSQL 15 the postmaster starts background workers in signal handlers, in which libfaketime shows
        # the real time. There a client does what pg_cron would.
        self.with_worker = server.version >= 16

    def now(self):
        return self.fake + SPEED * datetime.timedelta(seconds=time.time() - self.real)

    def set_clock(self):
        """What the clock says at the next start of the server: after a crash it goes on."""
        self.server.environment["FAKETIME"] = f"@{self.now():%Y-%m-%d %H:%M:%S} x{SPEED}"

    def begin(self, at):
        """Starts the server at an instant of its own."""
        self.fake, self.real = at, time.time()
        self.server.start()
        with self.server.connect("clock", "postgres") as connection:
            self.synchronize(connection)
        if not at <= self.fake < at + datetime.timedelta(hours=12):
            raise RuntimeError(f"the server's clock says {self.fake}, not {at}: libfaketime does not work")

    def synchronize(self, connection):
        (self.fake,) = connection.execute("SELECT clock_timestamp()").fetchone()
        self.real = time.time()

    def clients(self):
        """New writers for each stretch: retention removes their rows before the next."""
        self.writers = [Writer(self, f"writer{i}s{self.stretch}", 0.02) for i in range(3)]
        for client in self.writers:
            client.in_block_wait = 1.0
        clients = self.writers + self.copiers + [Reader(self, f"reader{self.stretch}")]
        return clients if self.with_worker else clients + [Scheduler(self, f"scheduler{self.stretch}", 0.1)]

    def threads(self):
        return self.clients() + [Chaos(self, 0.3)]

    def run(self):
        stretches = nights(self.zone, self.seconds / 5 * SPEED / 3600)
        for self.stretch, (at, day) in enumerate(stretches):
            if not self.record.running():
                return
            self.begin(at)
            if self.stretch == 0:
                self.install()
                with self.connect("settings") as connection:
                    connection.execute("SELECT slm_feedback.set_time_zone(%s)", [self.zone])
                    connection.execute("SELECT slm_feedback.set_retention(30, 10)")
            self.copiers = [Copier(self, "copier")]
            self.live(self.seconds / len(stretches))
            if not self.record.running():
                return
            self.look_at_night(day)
            if self.stretch == len(stretches) - 1:
                check(self, random.Random(self.seed))
            self.server.stop()

    def look_at_night(self, day):
        """The nightly rollup of this day has run, on time or a little later."""
        due = calendar(self.zone).start(day)
        with self.connect("night") as connection:
            runs = connection.execute(
                """
                SELECT started_at FROM slm_feedback.job_runs
                WHERE job = 'rollup' AND status = 'done' AND started_at BETWEEN %s AND %s ORDER BY 1""",
                [due, due + 2 * DAY],
            ).fetchall()
        if not runs:
            self.record.difference("night", f"{day} had no nightly rollup by {self.now()}", self.server.log_tail(200))
        self.record.count("nights")


def year(record, programs, directory, library, seconds):
    if not os.path.exists(library):
        raise RuntimeError(f"there is no {library}: install libfaketime")
    os.makedirs(directory)
    server = Server(programs, directory, SETTINGS, {"LD_PRELOAD": library, "TZ": "UTC"})
    try:
        round_ = YearRound(record, server, seconds)
        if not round_.with_worker:
            print(f"   the year is without a worker: libfaketime does not reach those of PostgreSQL {server.version}")
            with open(os.path.join(server.data, "postgresql.conf"), "a") as configuration:
                configuration.write("slm_feedback.worker = off\n")
        round_.run()
    finally:
        server.stop("immediate")
        if record.differences:
            record.keep_log(server)
