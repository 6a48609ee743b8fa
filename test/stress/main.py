"""The stress run (scripts/stress): see CONTRIBUTING.md, "The stress run"."""

import argparse
import os
import sys
import time

from record import Record
from round import Round
from self_test import self_test
from server import Server

ROUND_SECONDS = 60

# Below these figures a run has shown nothing: (counter, at least so many a minute of rounds).
POWER = (("comparisons", 100), ("rows acknowledged", 500), ("cancels", 20), ("terminates", 5), ("copies compared", 5),
         ("rollups and jobs", 20), ("SIGKILLs of the cluster", 1))


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", required=True, help="the directory of the server's programs")
    parser.add_argument("--directory", required=True, help="an empty directory of its own")
    parser.add_argument("--evidence", required=True, help="where what explains a difference is put")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--keep-going", action="store_true", help="go on after a difference")
    parser.add_argument("--no-kills", action="store_true")
    return parser.parse_args()


def print_figures(record):
    counts, errors = record.figures()
    print("figures:")
    for name in sorted(counts):
        print(f"   {name:<44} {counts[name]:>10}")
    print("errors that clients had to expect: " + ", ".join(f"{name} {errors[name]}" for name in sorted(errors)))
    counts = {name: sum(n for counter, n in counts.items() if counter.startswith(name))
              for name in ("comparisons", "copies compared", "SIGKILL", "cancels", "terminates", "rows acknowledged")}
    print(f"# {counts['comparisons']} comparisons of reports and {counts['copies compared']} of copies; "
          f"{counts['SIGKILL']} kills, {counts['terminates']} terminates, {counts['cancels']} cancels; "
          f"{counts['rows acknowledged']} rows written and acknowledged; {len(record.differences)} differences")


def check_power(record, seconds):
    """A run that compared too little, or in which nothing happened, is none."""
    counts, _ = record.figures()
    for name, least in POWER:
        if counts.get(name, 0) < least * seconds / 60 / 2:
            record.difference("power", f"only {counts.get(name, 0)} {name} in {seconds:.0f} seconds")


def main():
    given = options()
    record = Record(given.seed, given.evidence, given.keep_going)
    server = Server(given.programs, given.directory)
    print(f"seed {given.seed}, {given.seconds:.0f} seconds", flush=True)
    server.start()
    number, left = 1, given.seconds
    try:
        self_test(server, record)
        print(f"   planted faults done, {time.monotonic() - record.started:.0f}s", flush=True)
        record.forget()
        # At least two rounds: one in which the zone changes and one in which days are frozen.
        length = min(ROUND_SECONDS, given.seconds / 2)
        while left > 1 and record.running():
            number += 1
            Round(server, record, number, min(length, left), kills=not given.no_kills).run()
            left -= length
            print(f"   round {number} done, {time.monotonic() - record.started:.0f}s", flush=True)
    except Exception:  # pylint: disable=broad-except
        record.broken("run")
    finally:
        server.stop("immediate")
    if not record.differences:
        check_power(record, given.seconds)
    print_figures(record)
    if record.differences:
        with open(os.path.join(given.evidence, "server.log"), "w") as file:
            file.write(server.log_tail(20000))
    return 1 if record.differences else 0


if __name__ == "__main__":
    sys.exit(main())
