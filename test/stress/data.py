"""Random questions, opinions and times, and the ids that clients share."""

import datetime
import threading
from decimal import Decimal

UTC = datetime.timezone.utc
MODELS = (None, "", "m-a", "m-a", "m-b", "m-c")
VERSIONS = (None, "v1", "v1", "v2")
USERS = 60
QUESTIONS = (
    "How do I reset my password",
    "Where is my order",
    "Do you ship to Ireland",
    "Is there a discount",
    "What is the return policy",
    "Can I pay by card",
    "Wie lange dauert der Versand",
    "Où est ma commande",
)
# Days on which the clock changes in one of the zones of a run, beside the days around now.
SPECIAL_DAYS = (
    datetime.date(2026, 3, 29),
    datetime.date(2026, 10, 25),
    datetime.date(2026, 11, 1),
    datetime.date(2010, 3, 4),
    datetime.date(2010, 3, 5),
    datetime.date(2006, 10, 29),
)
ZONES = (
    "UTC",
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "Asia/Kathmandu",
    "America/Havana",
    "Atlantic/Azores",
    "Antarctica/Casey",
    "America/St_Johns",
    "Asia/Gaza",
)


class Pool:
    """The ids that any client may write to, and the marks of those that belong to one client alone."""

    def __init__(self, limit=3000):
        self.lock = threading.Lock()
        self.limit = limit
        self.ids = []

    def add(self, ids):
        with self.lock:
            self.ids.extend(ids)
            if len(self.ids) > self.limit:
                del self.ids[: len(self.ids) - self.limit]

    def some(self, random, number):
        """Some ids, some of which may be gone; at times one that never was."""
        with self.lock:
            chosen = random.sample(self.ids, min(number, len(self.ids)))
        if not chosen or random.random() < 0.02:
            chosen.append(f"none-{random.random()}")
        return chosen


def user(random):
    return None if random.random() < 0.15 else f"u{int(random.triangular(0, USERS, 5))}"


def moment(random, now):
    """A time of a question: now (None), earlier today, late, on the other side of midnight, or in the future."""
    kind = random.random()
    if kind < 0.45:
        return None
    if kind < 0.6:
        return now - datetime.timedelta(seconds=random.randrange(36000))
    if kind < 0.85:
        return now - datetime.timedelta(days=random.randrange(1, 13), seconds=random.randrange(86400))
    if kind < 0.93:
        return now + datetime.timedelta(seconds=random.randrange(80000))
    day = random.choice(SPECIAL_DAYS)
    return datetime.datetime(day.year, day.month, day.day, tzinfo=UTC) + datetime.timedelta(
        seconds=random.randrange(-14 * 3600, 38 * 3600)
    )


def question(random):
    text = random.choice(QUESTIONS)
    text = random.choice((text, text.upper(), text + "?", "  " + text)) + random.choice(("", "", " now"))
    return text if random.random() > 0.01 else " "


def query(random, request_id, asker=None, at=None):
    """The arguments of record_query() by name."""
    return {
        "request_id": request_id,
        "query_text": question(random),
        "response_text": random.choice(
            (None, "Yes.", "No, but soon.", "Please call us: " + "very " * random.randrange(40))
        ),
        "user_id": asker or user(random),
        "session_id": random.choice((None, "s1", "s2")),
        "response_time_ms": None if random.random() < 0.1 else int(random.lognormvariate(6, 1)),
        "model": random.choice(MODELS[:1] + MODELS[2:]),
        "prompt_version": random.choice(VERSIONS),
        "input_tokens": random.choice((None, random.randrange(2000))),
        "output_tokens": random.choice((None, random.randrange(500))),
        "cost_usd": random.choice((None, Decimal(random.randrange(100000)) / 1000000)),
        "error": "timeout" if random.random() < 0.05 else None,
        "created_at": at,
    }


def opinion(random, request_id, rater=None):
    """The arguments of submit_feedback() by name."""
    given = {"request_id": request_id, "user_id": rater or user(random)}
    kind = random.random()
    if kind < 0.6:
        given["is_helpful"] = random.random() < 0.7
    if kind > 0.4:
        given["rating"] = random.randrange(1, 6)
    if kind > 0.95 or random.random() < 0.2:
        given["comment"] = random.choice(("thanks", "wrong", "too long"))
    return given


def plain(value):
    """For json.dumps: a number or a time as JSON has it."""
    return float(value) if isinstance(value, Decimal) else value.isoformat()
