"""The recomputation: what every report has to say, in plain Python from the raw rows of one snapshot.

Nothing here uses the extension's functions, its stored metrics or its SQL. Days that retention has frozen have lost
their raw rows; what they said comes from the rows as they were when they were frozen (freezes.py).
"""

import collections
import math
from decimal import Decimal

from calendar_days import DAY

QUERY_COLUMNS = (
    "request_id query_text response_text created_at user_id session_id response_time_ms sources_used model "
    "prompt_version input_tokens output_tokens cost_usd error tags metadata question_hash"
).split()
FEEDBACK_COLUMNS = (
    "request_id user_id is_helpful rating comment created_at updated_at query_created_at " "sentiment"
).split()
CORRECTION_COLUMNS = "request_id user_id corrected_text note created_at".split()

Query = collections.namedtuple("Query", QUERY_COLUMNS)
Feedback = collections.namedtuple("Feedback", FEEDBACK_COLUMNS)
Correction = collections.namedtuple("Correction", CORRECTION_COLUMNS)


def read_rows(connection, table, kind):
    """Whole rows of a raw table."""
    return [kind._make(row) for row in connection.execute(f"SELECT {', '.join(kind._fields)} FROM {table}").fetchall()]


class Measures:
    """What is counted over a set of queries and their feedback."""

    def __init__(self):
        self.total = self.errors = self.input_tokens = self.output_tokens = 0
        self.positive = self.negative = self.neutral = self.opinions = self.rated = 0
        self.rating_count = self.rating_sum = 0
        self.cost = Decimal(0)
        self.times = []
        self.users = set()
        self.hours = [0] * 24

    def add_query(self, query, hour, opinions):
        self.total += 1
        self.errors += query.error is not None
        self.input_tokens += query.input_tokens or 0
        self.output_tokens += query.output_tokens or 0
        self.cost += query.cost_usd or 0
        self.hours[hour] += 1
        if query.response_time_ms is not None:
            self.times.append(query.response_time_ms)
        if query.user_id is not None:
            self.users.add(query.user_id)
        self.rated += bool(opinions)
        for opinion in opinions:
            sentiment = sentiment_of(opinion)
            self.opinions += 1
            self.positive += sentiment == 1
            self.negative += sentiment == -1
            self.neutral += sentiment == 0
            if opinion.rating is not None:
                self.rating_count += 1
                self.rating_sum += opinion.rating

    def merge(self, other):
        for name in (
            "total errors input_tokens output_tokens positive negative neutral opinions rated rating_count "
            "rating_sum cost"
        ).split():
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.times += other.times
        self.users |= other.users

    @property
    def average_time(self):
        return float(sum(self.times)) / float(len(self.times)) if self.times else None

    @property
    def positive_ratio(self):
        judged = self.positive + self.negative
        return float(self.positive) / float(judged) if judged else None

    @property
    def feedback_rate(self):
        return float(self.rated) / float(self.total) if self.total else None

    @property
    def average_rating(self):
        return float(self.rating_sum) / float(self.rating_count) if self.rating_count else None


def sentiment_of(opinion):
    if opinion.is_helpful is not None:
        return 1 if opinion.is_helpful else -1
    if opinion.rating is None:
        return None
    return 1 if opinion.rating >= 4 else 0 if opinion.rating == 3 else -1


def wilson(positive, total):
    """The 95% Wilson score interval."""
    if not total:
        return None, None
    z = 1.959963984540054
    centre = positive + z * z / 2
    width = z * math.sqrt(positive * (total - positive) / total + z * z / 4)
    return max(0.0, (centre - width) / (total + z * z)), min(1.0, (centre + width) / (total + z * z))


def group_opinions(feedback):
    grouped = collections.defaultdict(list)
    for opinion in feedback:
        grouped[opinion.request_id].append(opinion)
    return grouped


def measure_days(queries, opinions, days, wanted):
    """{day: {(model, prompt version): Measures}} at every level; None stands for all, '' for not given."""
    result = collections.defaultdict(lambda: collections.defaultdict(Measures))
    for query in queries:
        day = days.day(query.created_at)
        if not wanted(day):
            continue
        hour = days.hour(query.created_at)
        model, version = query.model or "", query.prompt_version or ""
        levels = result[day]
        for key in ((model, version), (model, None), (None, version), (None, None)):
            levels[key].add_query(query, hour, opinions.get(query.request_id, ()))
    return result


class Oracle:
    """What one snapshot's reports have to say."""

    def __init__(self, queries, feedback, calendar, frozen):
        self.queries = queries
        self.calendar = calendar
        self.opinions = group_opinions(feedback)
        self.days = dict(
            measure_days(queries, self.opinions, calendar, lambda day: calendar.first is None or day >= calendar.first)
        )
        # A frozen day of which nothing is known (None) can't be judged: reports over it are left out.
        self.unknown = set()
        for day, levels in frozen.items():
            if levels is None:
                self.unknown.add(day)
            else:
                self.days[day] = levels

    def knows(self, first, last):
        return not any(first <= day <= last for day in self.unknown)

    def daily(self, first, last, model, version):
        """[(day, Measures)] of one level."""
        return [
            (day, self.days[day][model, version])
            for day in sorted(self.days)
            if first <= day <= last and (model, version) in self.days[day]
        ]

    def over(self, first, last, chosen):
        """{key: Measures} over a range of days, for the keys that chosen() takes."""
        result = collections.defaultdict(Measures)
        for day, levels in self.days.items():
            if first <= day <= last:
                for key, measures in levels.items():
                    if chosen(key):
                        result[key].merge(measures)
        return result

    def in_range(self, first, last):
        """The queries of a range of days as raw rows: frozen days have those that are still there."""
        start, end = self.calendar.start(first), self.calendar.start(last + DAY)
        return [query for query in self.queries if start <= query.created_at < end]

    def questions(self, first, last, model, version):
        """{question hash: (Measures, first asked, last asked)} from the raw rows."""
        result = {}
        for query in self.in_range(first, last):
            if (
                query.question_hash is None
                or model is not None
                and (query.model or "") != model
                or version is not None
                and (query.prompt_version or "") != version
            ):
                continue
            if query.question_hash not in result:
                result[query.question_hash] = [Measures(), query.created_at, query.created_at]
            entry = result[query.question_hash]
            entry[0].add_query(query, 0, self.opinions.get(query.request_id, ()))
            entry[1] = min(entry[1], query.created_at)
            entry[2] = max(entry[2], query.created_at)
        return result
