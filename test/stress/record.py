"""What a run has done and found: counters, the last events of every client, and differences with their evidence."""

import collections
import os
import threading
import time
import traceback


class Record:
    def __init__(self, seed, directory, keep_going=False, quiet=False):
        self.seed = seed
        self.directory = directory
        self.keep_going = keep_going
        self.quiet = quiet
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.errors = collections.Counter()
        self.events = collections.deque(maxlen=4000)
        self.differences = []
        self.started = time.monotonic()
        self.stopped = threading.Event()

    def count(self, name, number=1):
        with self.lock:
            self.counts[name] += number

    def event(self, client, text):
        with self.lock:
            self.events.append(f"{time.monotonic() - self.started:9.3f} {client}: {text}")

    def error(self, sqlstate):
        """An error that the client had to expect."""
        with self.lock:
            self.errors[sqlstate] += 1

    def difference(self, check, detail, evidence=None):
        """Something that must not be. The first one ends the run, unless it is to keep going."""
        with self.lock:
            if (check, detail) in self.differences:
                return
            self.differences.append((check, detail))
            number = len(self.differences)
            events = list(self.events)
        if self.quiet:
            return
        print(f"DIFFERENCE {number} (seed {self.seed}) {check}: {detail}", flush=True)
        if number <= 20:
            path = os.path.join(self.directory, f"difference_{number}_{check.split()[0]}")
            with open(path, "w") as file:
                file.write(f"seed {self.seed}\n{check}: {detail}\n\n{evidence or ''}\n\nthe last events:\n")
                file.write("\n".join(events) + "\n")
            print(f"   its evidence: {path}", flush=True)
        if not self.keep_going:
            self.stopped.set()

    def forget(self):
        """Counts from here on: what went before was not the run."""
        with self.lock:
            self.counts.clear()
            self.errors.clear()

    def broken(self, where):
        """The harness itself failed: never a pass."""
        self.difference("harness", f"{where}: {traceback.format_exc()}")

    def keep_log(self, server):
        with open(os.path.join(self.directory, f"server_{len(self.differences)}.log"), "w") as file:
            file.write(server.log_tail(20000))

    def running(self):
        return not self.stopped.is_set()

    def figures(self):
        with self.lock:
            return dict(self.counts), dict(self.errors)
