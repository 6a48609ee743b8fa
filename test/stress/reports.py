"""Comparing what the extension reports with the recomputation, in one snapshot.

Exact columns have to be equal, and so do percentiles of few times. What comes from a sketch has to lie within the stated
error: percentiles by rank, unique users over several days within six standard errors of HyperLogLog.
"""

import bisect
import collections
import math

import training
from calendar_days import DAY
from oracle import Correction, Feedback, Oracle, Query, read_rows, wilson

# Fewer times than this have exact percentiles.
SMALL = 1000
# The error that is stated for more, and half as much again: it is "about" that.
RANK_ERROR = (0.015, 0.0075, 0.003)
PERCENTILES = (0.5, 0.95, 0.99)
TABLES = "slm_feedback."


class Mismatch(Exception):
    """A report that is not what the raw rows say."""


class Snapshot:
    """The raw rows, the settings and the oracle of one snapshot of a connection in REPEATABLE READ."""

    def __init__(self, connection, freezes):
        self.connection = connection
        self.now, self.zone, self.min_users = connection.execute(
            """
            SELECT now(), coalesce((SELECT time_zone FROM slm_feedback.settings), 'UTC'),
                   coalesce((SELECT min_group_users FROM slm_feedback.settings), 0)"""
        ).fetchone()
        self.state = connection.execute(
            "SELECT final_through, purged_before FROM slm_feedback.rollup_state"
        ).fetchone()
        self.queries = read_rows(connection, TABLES + "queries", Query)
        self.feedback = read_rows(connection, TABLES + "feedback", Feedback)
        self.corrections = read_rows(connection, TABLES + "corrections", Correction)
        calendar, frozen = freezes.read(connection, self.zone)
        if calendar.first != (self.state[1] if self.state else None):
            raise Mismatch(f"days are frozen before {self.state}, the harness knows of {calendar.first}")
        self.oracle = Oracle(self.queries, self.feedback, calendar, frozen)
        self.today = self.oracle.calendar.day(self.now)


def rows_of(snapshot, function, *arguments):
    """Calls a report; returns its rows as named tuples."""
    marks = ", ".join(["%s"] * len(arguments))
    cursor = snapshot.connection.execute(f"SELECT * FROM slm_feedback.{function}({marks})", arguments)
    row = collections.namedtuple("Row", [column.name for column in cursor.description], rename=True)
    return [row._make(values) for values in cursor.fetchall()]


def jsonl(function, snapshot, first, last):
    """The lines of an export, which are read already."""
    lines = snapshot.connection.execute(
        f"SELECT slm_feedback.{function}(from_date => %s, to_date => %s)", [first, last]
    ).fetchall()
    return [line for line, in lines]


def expect(what, found, wanted):
    if found != wanted:
        raise Mismatch(f"{what} is {found!r}, the raw rows say {wanted!r}")


def close(what, found, wanted):
    if (
        (found is None) != (wanted is None)
        or found is not None
        and not math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-12)
    ):
        raise Mismatch(f"{what} is {found!r}, the raw rows say {wanted!r}")


def percentile_cont(ordered, p):
    """What SQL's percentile_cont says of sorted times."""
    place = p * (len(ordered) - 1)
    low, high = float(ordered[math.floor(place)]), float(ordered[math.ceil(place)])
    return low + (place - math.floor(place)) * (high - low)


def check_percentiles(what, found, times):
    """Exact below SMALL; above, the place of each percentile is within the stated error of its own and one distinct time."""
    if not times:
        expect(what + " percentiles", tuple(found), (None, None, None))
        return
    ordered = sorted(times)
    if len(ordered) < SMALL:
        expect(what + " percentiles", tuple(found), tuple(percentile_cont(ordered, p) for p in PERCENTILES))
        return
    distinct = sorted(set(times))
    for value, p, error in zip(found, PERCENTILES, RANK_ERROR):
        if value is None:
            raise Mismatch(f"{what} p{p * 100:.0f} is null for {len(ordered)} values")
        # Interpolation has rounding errors.
        below = bisect.bisect_left(distinct, value - 1e-6)
        above = bisect.bisect_right(distinct, value + 1e-6)
        least = bisect.bisect_left(ordered, distinct[below - 1]) / len(ordered) if below > 0 else 0.0
        most = bisect.bisect_right(ordered, distinct[above]) / len(ordered) if above < len(distinct) else 1.0
        if least > p + error or most < p - error or not ordered[0] - 1e-6 <= value <= ordered[-1] + 1e-6:
            raise Mismatch(
                f"{what} p{p * 100:.0f} is {value!r}, at {least:.2%} to {most:.2%} of {len(ordered)} values"
            )


def check_users(what, found, users):
    if abs(found - len(users)) > max(1.5, 6 * 0.023 * len(users)):
        raise Mismatch(f"{what} is {found}, the raw rows say {len(users)}")


def check_measures(what, row, measures):
    """The columns that every report of metrics has."""
    for column, wanted in (
        ("total_queries", measures.total),
        ("avg_response_time_ms", measures.average_time),
        ("positive_feedback_count", measures.positive),
        ("negative_feedback_count", measures.negative),
        ("neutral_feedback_count", measures.neutral),
        ("positive_ratio", measures.positive_ratio),
        ("feedback_rate", measures.feedback_rate),
        ("avg_rating", measures.average_rating),
        ("error_count", measures.errors),
        ("input_tokens", measures.input_tokens),
        ("output_tokens", measures.output_tokens),
        ("cost_usd", measures.cost),
    ):
        expect(f"{what} {column}", getattr(row, column), wanted)
    if hasattr(row, "positive_ratio_low"):
        low, high = wilson(measures.positive, measures.positive + measures.negative)
        close(f"{what} positive_ratio_low", row.positive_ratio_low, low)
        close(f"{what} positive_ratio_high", row.positive_ratio_high, high)


def report_daily(snapshot, random, first, last):
    model, version = random.choice((None, "", "m-a", "m-b")), random.choice((None, None, "", "v1"))
    found = rows_of(snapshot, "report_daily", first, last, model, version)
    first, last = range_of(snapshot, first, last)
    wanted = [
        (day, measures)
        for day, measures in snapshot.oracle.daily(first, last, model, version)
        if len(measures.users) >= snapshot.min_users
    ]
    what = f"report_daily({first}, {last}, {model!r}, {version!r})"
    expect(what + " days", [row.date for row in found], [day for day, _ in wanted])
    for row, (day, measures) in zip(found, wanted):
        check_measures(f"{what} {day}", row, measures)
        expect(f"{what} {day} unique_users", row.unique_users, len(measures.users))
        check_percentiles(
            f"{what} {day}",
            (row.p50_response_time_ms, row.p95_response_time_ms, row.p99_response_time_ms),
            measures.times,
        )


def check_merged(what, row, measures):
    check_measures(what, row, measures)
    check_users(what + " approx_unique_users", row.approx_unique_users, measures.users)
    check_percentiles(
        what,
        (row.approx_p50_response_time_ms, row.approx_p95_response_time_ms, row.approx_p99_response_time_ms),
        measures.times,
    )


def report_models(snapshot, random, first, last):
    by_version = random.random() < 0.5
    found = rows_of(snapshot, "report_models", first, last, by_version)
    first, last = range_of(snapshot, first, last)
    wanted = snapshot.oracle.over(first, last, lambda key: key[0] is not None and (key[1] is not None) == by_version)
    what = f"report_models({first}, {last}, {by_version})"
    order = [(-row.total_queries, row.model, row.prompt_version) for row in found]
    expect(what + " order", order, sorted(order, key=lambda key: (key[0], key[1].encode(), (key[2] or "").encode())))
    keys = {(row.model, row.prompt_version) for row in found}
    # Which groups are hidden is decided by a sketch.
    missing = {key for key in wanted.keys() - keys if not small(snapshot, wanted[key])}
    if missing or keys - wanted.keys():
        raise Mismatch(f"{what} misses {missing} and has {keys - wanted.keys()} too much")
    for row in found:
        check_merged(f"{what} {row.model}/{row.prompt_version}", row, wanted[row.model, row.prompt_version])


def small(snapshot, measures):
    return snapshot.min_users > 0 and len(measures.users) <= snapshot.min_users * 1.3 + 2


def report_summary(snapshot, random, first, last):
    found = rows_of(snapshot, "report_summary", first, last)
    first, last = range_of(snapshot, first, last)
    measures = snapshot.oracle.over(first, last, lambda key: key == (None, None))[None, None]
    what = f"report_summary({first}, {last})"
    if not found and small(snapshot, measures):
        return
    expect(what + " rows", len(found), 1)
    expect(what + " range", (found[0].first_day, found[0].last_day), (first, last))
    expect(
        what + " days_with_queries", found[0].days_with_queries, len(snapshot.oracle.daily(first, last, None, None))
    )
    check_merged(what, found[0], measures)


def report_top_questions(snapshot, random, first, last):
    order_by, limit = random.choice(("asked", "worst", "best")), random.choice((None, 3, 10))
    model, version = random.choice((None, None, "", "m-a")), random.choice((None, None, "", "v1"))
    found = rows_of(snapshot, "report_top_questions", first, last, limit, order_by, model, version)
    first, last = range_of(snapshot, first, last)
    what = f"report_top_questions({first}, {last}, {limit}, {order_by!r}, {model!r}, {version!r})"
    wanted = {
        hash_: entry
        for hash_, entry in snapshot.oracle.questions(first, last, model, version).items()
        if len(entry[0].users) >= snapshot.min_users
        and (order_by == "asked" or entry[0].positive + entry[0].negative > 0)
    }

    def place(hash_):
        measures = wanted[hash_][0]
        low, high = wilson(measures.positive, measures.positive + measures.negative)
        rank = 0 if order_by == "asked" else round(high if order_by == "worst" else -low, 9)
        return rank, -measures.total, hash_

    expected = sorted(wanted, key=place)[:limit]
    expect(what + " questions", [row.question_hash for row in found], expected)
    texts = collections.defaultdict(set)
    for query in snapshot.queries:
        texts[query.question_hash].add(query.query_text)
    for row in found:
        measures, asked_first, asked_last = wanted[row.question_hash]
        entry = f"{what} {row.question_hash}"
        if row.question not in texts[row.question_hash]:
            raise Mismatch(f"{entry} question is {row.question!r}, which nobody asked")
        for column, value in (
            ("times_asked", measures.total),
            ("unique_users", len(measures.users)),
            ("avg_response_time_ms", measures.average_time),
            ("positive_feedback_count", measures.positive),
            ("negative_feedback_count", measures.negative),
            ("neutral_feedback_count", measures.neutral),
            ("positive_ratio", measures.positive_ratio),
            ("avg_rating", measures.average_rating),
            ("first_asked_at", asked_first),
            ("last_asked_at", asked_last),
        ):
            expect(f"{entry} {column}", getattr(row, column), value)


def export_daily_metrics(snapshot, random, first, last):
    found = {}
    for row in rows_of(snapshot, "export_daily_metrics", first, last):
        key = row.date, row.model, row.prompt_version
        expect(f"export_daily_metrics times of {key}", found.get(key), None)
        found[key] = row
    wanted = {
        (day, *key): measures
        for day, levels in snapshot.oracle.days.items()
        for key, measures in levels.items()
        if (first is None or day >= first)
        and (last is None or day <= last)
        and len(measures.users) >= snapshot.min_users
    }
    what = f"export_daily_metrics({first}, {last})"
    if found.keys() != wanted.keys():
        raise Mismatch(f"{what} misses {wanted.keys() - found.keys()} and has {found.keys() - wanted.keys()} too much")
    expect(
        f"{what} as JSON Lines",
        collections.Counter(
            (d["date"], d["model"], d["prompt_version"], d["total_queries"])
            for d in jsonl("export_daily_metrics_jsonl", snapshot, first, last)
        ),
        collections.Counter((str(day), *key, m.total) for (day, *key), m in wanted.items()),
    )
    for key, row in found.items():
        measures = wanted[key]
        for column, value in (
            ("total_queries", measures.total),
            ("response_time_count", len(measures.times)),
            ("response_time_sum_ms", sum(measures.times)),
            ("positive_feedback_count", measures.positive),
            ("negative_feedback_count", measures.negative),
            ("neutral_feedback_count", measures.neutral),
            ("feedback_count", measures.opinions),
            ("rated_queries", measures.rated),
            ("rating_count", measures.rating_count),
            ("rating_sum", measures.rating_sum),
            ("unique_users", len(measures.users)),
            ("error_count", measures.errors),
            ("input_tokens", measures.input_tokens),
            ("output_tokens", measures.output_tokens),
            ("cost_usd", measures.cost),
            ("hourly_queries", measures.hours),
        ):
            expect(f"{what} {key} {column}", getattr(row, column), value)
        check_percentiles(
            f"{what} {key}",
            (row.p50_response_time_ms, row.p95_response_time_ms, row.p99_response_time_ms),
            measures.times,
        )


def export_interactions(snapshot, random, first, last):
    columns = (
        "request_id query_text response_text created_at user_id session_id response_time_ms model prompt_version "
        "input_tokens output_tokens cost_usd error question_hash feedback_user_id is_helpful rating comment "
        "sentiment feedback_created_at feedback_updated_at"
    ).split()
    function = "export_interactions(from_date => %s, to_date => %s)"
    found = collections.Counter(
        snapshot.connection.execute(
            f"SELECT {', '.join(columns)} FROM slm_feedback.{function}", [first, last]
        ).fetchall()
    )
    wanted = collections.Counter()
    for query in snapshot.queries:
        if in_dates(snapshot, query, first, last):
            own = tuple(getattr(query, column) for column in columns[:14])
            opinions = snapshot.oracle.opinions.get(query.request_id)
            for o in opinions or ():
                wanted[
                    own + (o.user_id, o.is_helpful, o.rating, o.comment, o.sentiment, o.created_at, o.updated_at)
                ] += 1
            if not opinions:
                wanted[own + (None,) * 7] += 1
    if found != wanted:
        raise Mismatch(
            f"export_interactions({first}, {last}) misses {list((wanted - found))[:3]} and has "
            f"{list((found - wanted))[:3]} too much"
        )
    expect(
        f"export_interactions({first}, {last}) as JSON Lines",
        collections.Counter(
            (d["request_id"], d["feedback_user_id"], d["rating"], d["response_time_ms"])
            for d in jsonl("export_interactions_jsonl", snapshot, first, last)
        ),
        collections.Counter((row[0], row[14], row[16], row[6]) for row in wanted.elements()),
    )


def in_dates(snapshot, query, first, last):
    calendar = snapshot.oracle.calendar
    return (first is None or query.created_at >= calendar.start(first)) and (
        last is None or query.created_at < calendar.start(last + DAY)
    )


def training_exports(snapshot, random, first, last):
    answers = [query for query in snapshot.queries if in_dates(snapshot, query, first, last)]
    for what, found, wanted in training.compare(snapshot, answers, random, first, last):
        if found != wanted:
            raise Mismatch(f"{what} misses {list(wanted - found)[:3]} and has {list(found - wanted)[:3]} too much")


def raw_rows(snapshot, random, first, last):
    """What has to hold of the raw rows themselves."""
    queries = {query.request_id: query for query in snapshot.queries}
    for opinion in snapshot.feedback:
        if opinion.request_id not in queries:
            raise Mismatch(f"feedback on {opinion.request_id} has no query")
        expect(
            f"query_created_at of {opinion.request_id}",
            opinion.query_created_at,
            queries[opinion.request_id].created_at,
        )
    for correction in snapshot.corrections:
        if correction.request_id not in queries:
            raise Mismatch(f"a correction to {correction.request_id} has no query")


def range_of(snapshot, first, last):
    last = last or snapshot.today
    return first or last - 29 * DAY, last


def random_range(snapshot, random, whole):
    """All days, the defaults, or a few days."""
    days = sorted(snapshot.oracle.days) or [snapshot.today]
    kind = random.random()
    if whole or kind < 0.4:
        return days[0], days[-1]
    if kind < 0.5:
        return None, None
    first, last = sorted(random.choices(days, k=2))
    return first - random.randrange(2) * DAY, last + random.randrange(2) * DAY


# Those that say what frozen days said, which may be unknown, and those that read the raw rows.
OF_METRICS = (report_daily, report_models, report_summary, export_daily_metrics)
OF_ROWS = (report_top_questions, export_interactions, training_exports, raw_rows)


def compare_all(snapshot, random, compared, whole=False):
    """Compares every report over random ranges, or all days; calls compared(name) for each. Raises Mismatch."""
    for report in OF_METRICS + OF_ROWS:
        first, last = random_range(snapshot, random, whole)
        if report in OF_METRICS:
            known = range_of(snapshot, first, last)
            if not snapshot.oracle.knows(*known) or report is export_daily_metrics and snapshot.oracle.unknown:
                continue
        report(snapshot, random, first, last)
        compared(report.__name__)
