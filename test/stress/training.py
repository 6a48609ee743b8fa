"""What the training exports have to hold, recomputed from the raw rows."""

import collections
import json
from fractions import Fraction

from oracle import sentiment_of


def blank(text):
    return text is None or not text.strip()


class Answer:
    """An answer with its label; label is None where it is of no use."""

    def __init__(self, query, opinions, min_rating):
        self.query = query
        sentiments = [sentiment_of(opinion) for opinion in opinions]
        ratings = [opinion.rating for opinion in opinions if opinion.rating is not None]
        self.margin = sentiments.count(1) - sentiments.count(-1)
        self.average = Fraction(sum(ratings), len(ratings)) if ratings else None
        self.label = None
        if blank(query.query_text) or query.error is not None or blank(query.response_text) or self.margin == 0:
            return
        if (
            self.margin > 0
            and min_rating is not None
            and (self.average is None or self.average < Fraction(min_rating))
        ):
            return
        self.label = self.margin > 0


def compare(snapshot, queries, random, first, last):
    """Yields (what, lines found, lines wanted) for each training export over a range."""
    min_rating = random.choice((None, 2.5, 4))
    model = random.choice((None, None, "m-a", ""))
    queries = [query for query in queries if model is None or (query.model or "") == model]
    answers = [Answer(query, snapshot.oracle.opinions.get(query.request_id, ()), min_rating) for query in queries]
    answers = [answer for answer in answers if answer.label is not None]
    by_id = {query.request_id: query for query in queries}
    corrections = [
        (by_id[c.request_id], c)
        for c in snapshot.corrections
        if c.request_id in by_id and not blank(by_id[c.request_id].query_text) and not blank(c.corrected_text)
    ]
    arguments = {"from_date": first, "to_date": last, "model": model, "min_rating": min_rating}

    def export(function, **more):
        given = dict(arguments, **more)
        names = ", ".join(f"{name} => %s" for name in given)
        lines = snapshot.connection.execute(f"SELECT * FROM slm_feedback.{function}({names})", list(given.values()))
        return (f"{function}({given})", collections.Counter(key(line) for line, in lines.fetchall()))

    def report(function, wanted, **more):
        given = dict(arguments, **more)
        names = ", ".join(f"{name} => %s" for name in given)
        rows = snapshot.connection.execute(
            f"SELECT outcome, row_count FROM slm_feedback.{function}({names})", list(given.values())
        ).fetchall()
        found = sum(count for outcome, count in rows if outcome == "exported")
        return f"{function}({given})", collections.Counter(exported=found), collections.Counter(exported=wanted)

    yield *export("export_kto"), collections.Counter(
        key({"prompt": a.query.query_text, "completion": a.query.response_text, "label": a.label}) for a in answers
    )
    yield report("export_kto_report", len(answers))
    yield *export("export_kto", one_per_question=True), collections.Counter(
        key({"prompt": a.query.query_text, "completion": a.query.response_text, "label": a.label})
        for a in clearest(answers)
    )
    good = [{"prompt": a.query.query_text, "completion": a.query.response_text} for a in answers if a.label]
    corrected = [{"prompt": q.query_text, "completion": c.corrected_text} for q, c in corrections]
    yield *export("export_sft"), collections.Counter(map(key, good + corrected))
    yield report("export_sft_report", len(good + corrected))
    max_pairs = random.choice((1, 3, 10))
    pairs = list(pairs_of_corrections(corrections)) + list(pairs_of_ratings(answers, max_pairs))
    yield *export("export_dpo", max_pairs=max_pairs), collections.Counter(map(key, pairs))
    yield report("export_dpo_report", len(pairs), max_pairs=max_pairs)


def key(line):
    return json.dumps(line, sort_keys=True)


def clearest(answers):
    """The answer on which most agree, for each question."""
    best = {}
    for answer in answers:
        place = (
            abs(answer.margin),
            -1 if answer.average is None else answer.average,
            answer.query.request_id.encode(),
        )
        if answer.query.question_hash not in best or best[answer.query.question_hash][0] < place:
            best[answer.query.question_hash] = place, answer
    return [answer for _, answer in best.values()]


def pairs_of_corrections(corrections):
    for query, correction in corrections:
        if not blank(query.response_text) and query.response_text != correction.corrected_text:
            yield {"prompt": query.query_text, "chosen": correction.corrected_text, "rejected": query.response_text}


def pairs_of_ratings(answers, max_pairs):
    questions = collections.defaultdict(lambda: ([], []))
    for answer in answers:
        questions[answer.query.question_hash][0 if answer.label else 1].append(answer)
    for good, bad in questions.values():
        # nulls last in both
        good.sort(key=lambda a: (-a.margin, a.average is None, -(a.average or 0), a.query.request_id.encode()))
        bad.sort(key=lambda a: (a.margin, a.average is None, a.average or 0, a.query.request_id.encode()))
        pairs = sorted(
            ((i + j, i, j) for i in range(min(len(good), max_pairs)) for j in range(min(len(bad), max_pairs)))
        )
        for _, i, j in pairs[:max_pairs]:
            chosen, rejected = good[i].query, bad[j].query
            if chosen.response_text != rejected.response_text:
                yield {"prompt": chosen.query_text, "chosen": chosen.response_text, "rejected": rejected.response_text}
