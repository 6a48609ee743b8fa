"""Sends made-up requests to examples/fastapi: fuzz.py URL [COUNT [SEED]]. Prints TAP lines without numbers.

Every answer must be 200, 404, 405 or 422 (400 for a body that cannot be read at all, 307 for a path with a slash too
many); every error must have the one form; and a request that is valid by construction must be answered with 200.
"""

import http.client
import json
import random
import sys
from collections import Counter
from urllib.parse import quote, urlsplit

url, count, seed = sys.argv[1], int((sys.argv[2:3] or ["2000"])[0]), int((sys.argv[3:4] or ["1"])[0])
host = urlsplit(url).netloc
choose = random.Random(seed)

TEXTS = ["", " ", "\0", "a\0b", "\ud800", "\udfff x", "ordinary", "ü" * 200, "x" * 300, "x" * 100000, "'; DROP TABLE x; --",
         "%s %(a)s", "\u202e", "\U0001f600", "NaN", "null", "2026-01-01", "${jndi}", "a\r\nb", "{}", "r-1"]
NUMBERS = [0, 1, -1, 5, 6, 4.5, 2**31 - 1, 2**31, 2**63 - 1, 2**63, -(2**63), 10**40, 99999999999, 1e308, 1e-320, float("inf"),
           float("-inf"), float("nan"), 0.1, 1e17]
OTHERS = [None, True, False, [], {}, [[]], {"a": {"b": [1, None]}}, {"\0": 1}, {"\ud800": 1}, {"a": "\0"}, {"a": float("nan")},
          {"a": 10**400}, json.loads("[" * 60 + "]" * 60), json.loads("[" * 45 + "]" * 45)]
BODIES = ["", "null", "[]", "1", '"x"', "{", "not json", "\xff", '{"query_text": "x"', "[" * 5000, '{"a":' * 2000, "1" * 5000,
          '{"query_text": "\\ud800"}', '{"query_text": "q", "query_text": "r", "request_id": "dup"}']
QUERY_FIELDS = ["query_text", "response_text", "request_id", "user_id", "session_id", "response_time_ms", "model",
                "prompt_version", "input_tokens", "output_tokens", "cost_usd", "sources_used", "error", "tags", "metadata",
                "unknown", "created_at"]
FEEDBACK_FIELDS = ["request_id", "is_helpful", "rating", "comment", "user_id", "reasons"]
DATES = ["2026-01-01", "0001-01-01", "9999-12-31", "yesterday", "infinity", "", "%00", "12345678901234567890", "-1", "2026-02-30"]


def value():
    return choose.choice([choose.choice(TEXTS), choose.choice(NUMBERS), choose.choice(OTHERS)])


def body(good, fields):
    made = dict(good)
    for _ in range(choose.randint(0, 3)):
        made[choose.choice(fields)] = value()
    if choose.random() < 0.1:
        made.pop(choose.choice(list(made)))
    return json.dumps(made)


def request(n):
    """Method, path, body, and whether the answer must be 200."""
    kind = choose.randrange(10)
    if kind < 4:
        good = {"query_text": f"question {n}", "request_id": f"fuzz-{n}", "input_tokens": 3, "cost_usd": 0.5}
        made = body(good, QUERY_FIELDS)
        return "POST", "/queries", made, made == json.dumps(good)
    if kind < 8:
        good = {"request_id": "fuzz", "rating": 4, "user_id": f"user {n}"}
        made = body(good, FEEDBACK_FIELDS)
        return "POST", "/feedback", made, made == json.dumps(good)
    if kind == 8:
        path = choose.choice(["/queries", "/feedback", "/nothing", "/reports/daily", "/%00", "/queries/"])
        return choose.choice(["POST", "PUT", "DELETE"]), path, choose.choice(BODIES), False
    dates = "&".join(f"{name}={choose.choice(DATES)}" for name in ("from_date", "to_date") if choose.random() < 0.5)
    extra = choose.choice(["", f"&model={quote(choose.choice(TEXTS)[:500].encode('utf-8', 'surrogatepass'))}",
                           f"&refresh_seconds={choose.choice([0, -1, 60, 99999999999, 4.5, 'x'])}"])
    path = choose.choice(["/reports/daily", "/reports/daily", "/dashboard", "/export"])
    return "GET", f"{path}?{dates}{extra}", None, False


def ask(connection, method, path, made):
    connection.request(method, path, None if made is None else made.encode("latin-1", "replace"),
                       {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def has_form(status, answer):
    if status < 400:
        return True
    try:
        told = json.loads(answer)
    except ValueError:
        return False
    return isinstance(told, dict) and set(told) == {"detail", "field", "hint", "sqlstate"} and isinstance(told["detail"], str)


def main():
    connection = http.client.HTTPConnection(host, timeout=30)
    status, _ = ask(connection, "POST", "/queries", '{"query_text": "to be judged", "request_id": "fuzz"}')
    assert status == 200, status
    seen, wrong, formless, refused = Counter(), [], [], []
    for n in range(count):
        method, path, made, is_good = request(n)
        status, answer = ask(connection, method, path, made)
        if path.startswith("/dashboard") and status == 500 and b'"58P01"' in answer:
            continue  # the page is not installed on this machine; test/http/run says so
        seen[status] += 1
        told = f"{status} to {method} {path[:200]} {(made or '')[:200]!a}: {answer[:300]!r}"
        if status not in (200, 307, 400, 404, 405, 422):
            wrong.append(told)
        if not has_form(status, answer):
            formless.append(told)
        if is_good and status != 200:
            refused.append(told)
    print("# " + ", ".join(f"{n} answers {status}" for status, n in sorted(seen.items())))
    for title, found in (
        (f"{count} made-up requests (seed {seed}): none fails in the service", wrong),
        ("every error has the one form", formless),
        ("requests with nothing wrong are answered", refused),
        ("enough of each: 100 answers 200, 10 answers 404, 500 answers 422",
         [] if seen[200] >= 100 and seen[404] >= 10 and seen[422] >= 500 else [str(dict(seen))]),
    ):
        print(("not ok" if found else "ok") + " - " + title)
        for line in found[:5]:
            print("#   " + line)


main()
