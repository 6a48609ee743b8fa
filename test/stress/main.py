"""The stress run (scripts/stress): see CONTRIBUTING.md, "The stress run"."""

import argparse
import os
import sys
import time

from access import AccessRound
from record import Record
from round import Round
from self_test import self_test
from server import Server
from year import year

ROUND_SECONDS = 60

# Below these figures a run has shown nothing: (counter, at least so many a minute of rounds).
POWER = (
    ("comparisons", 100),
    ("rows acknowledged", 500),
    ("cancels", 20),
    ("terminates", 5),
    ("copies compared", 5),
    ("rollups and jobs", 20),
    ("SIGKILLs of the cluster", 1),
)

ACCESS_POWER = (
    ("calls by app", 100),
    ("calls by analyst", 60),
    ("calls by admin", 60),
    ("refusals of nobody", 200),
    ("refusals of app", 100),
    ("comparisons", 20),
    ("cancels", 20),
)


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", required=True, help="the directory of the server's programs")
    parser.add_argument("--directory", required=True, help="an empty directory of its own")
    parser.add_argument("--evidence", required=True, help="where what explains a difference is put")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--faketime", required=True, help="the library that the second server's clock comes from")
    parser.add_argument("--keep-going", action="store_true", help="go on after a difference")
    parser.add_argument("--only", choices=("faults", "rounds", "access", "year"), help="this part alone")
    return parser.parse_args()


def print_figures(record):
    counts, errors = record.figures()
    print("figures:")
    for name in sorted(counts):
        print(f"   {name:<44} {counts[name]:>10}")
    print("errors that clients had to expect: " + ", ".join(f"{name} {errors[name]}" for name in sorted(errors)))
    counts = {
        name: sum(n for counter, n in counts.items() if counter.startswith(name))
        for name in ("comparisons", "copies compared", "SIGKILL", "cancels", "terminates", "rows acknowledged")
    }
    print(
        f"# {counts['comparisons']} comparisons of reports and {counts['copies compared']} of copies; "
        f"{counts['SIGKILL']} kills, {counts['terminates']} terminates, {counts['cancels']} cancels; "
        f"{counts['rows acknowledged']} rows written and acknowledged; {len(record.differences)} differences"
    )


def check_power(record, figures, seconds):
    """A run that compared too little, or in which nothing happened, is none."""
    counts, _ = record.figures()
    if not record.running():
        return
    for name, least in figures:
        if counts.get(name, 0) < least * seconds / 60 / 2:
            record.difference("power", f"only {counts.get(name, 0)} {name} in {seconds:.0f} seconds")


def faults(server, record, _):
    """What a run has to find, before it is believed that it found nothing."""
    self_test(server, record)
    found = record.figures()[0].get("planted faults found", 0)
    record.forget()
    record.count("planted faults found", found)


def rounds(server, record, seconds):
    """At least two: one in which the zone changes and one in which days are frozen."""
    length = min(ROUND_SECONDS, seconds / 2)
    for number in range(2, 2 + max(2, round(seconds / ROUND_SECONDS))):
        if record.running():
            Round(server, record, number, length).run()
            print(f"   round {number} done, {time.monotonic() - record.started:.0f}s", flush=True)
    check_power(record, POWER, seconds)


def access(server, record, seconds):
    """A third of the time of the rounds."""
    AccessRound(server, record, seconds / 3).run()
    check_power(record, ACCESS_POWER, seconds / 3)


def main():
    given = options()
    record = Record(given.seed, given.evidence, given.keep_going)
    server = Server(given.programs, given.directory)
    print(f"seed {given.seed}, {given.seconds:.0f} seconds", flush=True)
    server.start()
    parts = {
        "faults": faults,
        "rounds": rounds,
        "access": access,
        "year": lambda *_: year(
            record, given.programs, os.path.join(given.directory, "year"), given.faketime, given.seconds
        ),
    }
    try:
        for name, part in parts.items():
            if given.only in (None, name) and record.running():
                part(server, record, given.seconds)
                print(f"   {name} done, {time.monotonic() - record.started:.0f}s", flush=True)
    except Exception:  # pylint: disable=broad-except
        record.broken("run")
    finally:
        server.stop("immediate")
    print_figures(record)
    if record.differences:
        record.keep_log(server)
        # Once more, where the end of the output is all that is shown.
        for check, detail in record.differences[:10]:
            print(f"DIFFERENCE {check}: {detail[:2000]}")
    return 1 if record.differences else 0


if __name__ == "__main__":
    sys.exit(main())
