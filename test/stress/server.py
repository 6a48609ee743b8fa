"""A cluster of its own that can be killed at any moment, by process id only."""

import os
import re
import signal
import subprocess
import time

import psycopg

CONFIGURATION = """
listen_addresses = ''
port = 5432
log_line_prefix = '%m [%p] %q%a '
timezone = 'UTC'
max_connections = 60
max_prepared_transactions = 20
max_worker_processes = 12
checkpoint_timeout = 30s
deadlock_timeout = 200ms
log_lock_waits = off
shared_preload_libraries = 'slm_feedback'
slm_feedback.refresh_interval = 1s
slm_feedback.max_staleness = 0
# A SIGKILL leaves what was written in the system's cache, so every commit still has to be there after it.
fsync = off
synchronous_commit = on
"""


class Server:
    def __init__(self, programs, directory, settings="", environment=None):
        self.programs = programs
        self.directory = directory
        self.data = os.path.join(directory, "data")
        self.socket = os.path.join(directory, "socket")
        self.log = os.path.join(directory, "server.log")
        self.child = None
        self.before_start = lambda: None
        self.version = int(
            re.search(
                r"\d+", subprocess.check_output([os.path.join(programs, "postgres"), "--version"], text=True)
            ).group()
        )
        self.environment = dict(os.environ, **(environment or {}))
        os.makedirs(self.socket, mode=0o700, exist_ok=True)
        self._run(
            "initdb",
            "-D",
            self.data,
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            environment=os.environ,
        )
        with open(os.path.join(self.data, "postgresql.conf"), "a") as configuration:
            configuration.write(CONFIGURATION + f"unix_socket_directories = '{self.socket}'\n" + settings)

    def _run(self, program, *arguments, environment=None):
        result = subprocess.run(
            [os.path.join(self.programs, program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment or self.environment,
        )
        if result.returncode != 0:
            raise RuntimeError(f"{program} failed: {result.stdout}{self.log_tail(30)}")

    def start(self):
        self.before_start()
        deadline = time.monotonic() + 90
        while not self._start_once(deadline):
            time.sleep(0.2)

    def _start_once(self, deadline):
        """Starts the postmaster as a child of this process, which can then see that it is gone.

        False if processes of a killed postmaster have not ended yet: the next one is refused until they have.
        """
        with open(self.log, "a") as log:
            self.child = subprocess.Popen(
                [os.path.join(self.programs, "postgres"), "-D", self.data],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=self.environment,
                start_new_session=True,
            )
        while True:
            try:
                self.connect("start", "postgres").close()
                return True
            except psycopg.OperationalError:
                ended = self.child.poll() is not None
                if time.monotonic() < deadline:
                    if ended and "is still in use" in self.log_tail(3):
                        return False
                    if not ended:
                        time.sleep(0.02)
                        continue
                raise RuntimeError("the server did not start: " + self.log_tail(30)) from None

    def stop(self, mode="fast"):
        if self.child is not None and self.child.poll() is None:
            self.child.send_signal({"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])
            self.child.wait(90)

    def connect(self, application, database="stress", role="postgres", **options):
        return psycopg.connect(
            host=self.socket,
            port=5432,
            dbname=database,
            user=role,
            application_name=application,
            connect_timeout=30,
            autocommit=True,
            **options,
        )

    def postmaster(self):
        return self.child.pid

    def processes(self):
        """The postmaster and its children."""
        top = self.postmaster()
        found = [top]
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/stat") as file:
                        if int(file.read().rsplit(")", 1)[1].split()[1]) == top:
                            found.append(int(name))
                except (OSError, ValueError):
                    pass
        return found

    def kill_everything(self):
        """Kills every process of the cluster at once, as if the power of one machine went."""
        top = self.postmaster()
        os.kill(top, signal.SIGSTOP)
        processes = self.processes()
        for pid in reversed(processes):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.child.wait()
        deadline = time.monotonic() + 30
        while any(running(pid) for pid in processes):
            if time.monotonic() > deadline:
                raise RuntimeError("killed processes do not go away")
            time.sleep(0.02)

    def kill_backend(self, pid):
        """Kills one process of the cluster; false if it is not one, or gone."""
        if pid not in self.processes() or pid == self.postmaster():
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def log_tail(self, lines):
        try:
            with open(self.log, errors="replace") as file:
                return "".join(file.readlines()[-lines:])
        except OSError:
            return ""

    def log_search(self, *marks):
        """The lines of the log that have one of these marks."""
        with open(self.log, errors="replace") as file:
            return [line.rstrip() for line in file if any(mark in line for mark in marks)]


def running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
