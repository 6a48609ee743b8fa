"""The exports as Python reads them, against the tables as psycopg reads them."""
import csv
import json
import re
import sys

import psycopg

work = sys.argv[1]
count = 0
failed = 0
csv.field_size_limit(1 << 30)


def ok(passed, name, why=""):
    global count, failed
    count += 1
    if not passed:
        failed += 1
    print(("ok - " if passed else "not ok - ") + "Python: " + name)
    if not passed and why:
        print("# " + str(why)[:500])


def lines(name):
    """Every line of a JSON Lines file, split at line feeds only, as the format says."""
    with open(f"{work}/{name}", "rb") as file:
        data = file.read()
    if data and not data.endswith(b"\n"):
        raise ValueError(f"{name} does not end with a line feed")
    return [line.decode("utf-8") for line in data.split(b"\n")[:-1]]


def key(row):
    return (row["request_id"], row["feedback_user_id"] or "")


connection = psycopg.connect("")
with connection.cursor() as cursor:
    cursor.execute(
        """SELECT to_jsonb(q)::text, to_jsonb(f)::text
           FROM slm_feedback.queries q LEFT JOIN slm_feedback.feedback f USING (request_id)"""
    )
    table = []
    for query, feedback in cursor:
        row = json.loads(query)
        feedback = json.loads(feedback) if feedback else {}
        row["feedback_user_id"] = feedback.get("user_id")
        for column in ("is_helpful", "rating", "comment", "sentiment"):
            row[column] = feedback.get(column)
        row["feedback_created_at"] = feedback.get("created_at")
        row["feedback_updated_at"] = feedback.get("updated_at")
        table.append(row)
table.sort(key=key)
ok(len(table) > 1000, "there are rows to compare")

# JSON Lines, however it was written
for name in ("psql.jsonl", "copy.jsonl", "program.jsonl"):
    try:
        rows = sorted((json.loads(line) for line in lines(name)), key=key)
        ok(rows == table, f"{name} equals the tables, every field of every row")
    except ValueError as error:
        ok(False, name, error)

# psycopg, streaming by a server-side cursor and by COPY
with connection.cursor(name="export") as cursor:
    cursor.execute("SELECT slm_feedback.export_interactions_jsonl()")
    ok(sorted((row[0] for row in cursor), key=key) == table, "psycopg's server-side cursor")
with connection.cursor() as cursor:
    data = b""
    with cursor.copy(
        r"COPY (SELECT slm_feedback.export_interactions_jsonl()) TO STDOUT WITH (FORMAT csv, DELIMITER E'\x02', QUOTE E'\x01')"
    ) as copy:
        data = b"".join(bytes(block) for block in copy)
    rows = sorted((json.loads(line) for line in data.split(b"\n")[:-1]), key=key)
    ok(rows == table, "psycopg's COPY")
    with cursor.copy("COPY (SELECT slm_feedback.export_interactions_jsonl()) TO STDOUT") as copy:
        data = b"".join(bytes(block) for block in copy)
    broken = 0
    for line in data.split(b"\n")[:-1]:
        try:
            broken += key(json.loads(line)) is None
        except ValueError:
            broken += 1
    ok(broken > 0, "COPY's text format is not JSON Lines, which is why the commands do without it")

# CSV
with open(f"{work}/interactions.csv", encoding="utf-8", newline="") as file:
    rows = sorted(csv.DictReader(file), key=key)
ok(len(rows) == len(table), "interactions.csv has every row")
texts = ("request_id", "query_text", "response_text", "user_id", "session_id", "model", "prompt_version", "error",
         "feedback_user_id", "comment")
ok(all(row[c] == (t[c] or "") for row, t in zip(rows, table) for c in texts), "interactions.csv: every text")
for column in ("response_time_ms", "rating", "sentiment", "question_hash"):
    ok(sum(int(r[column]) for r in rows if r[column]) == sum(t[column] for t in table if t[column] is not None),
       f"interactions.csv: sum of {column}")
with open(f"{work}/neutral.csv", encoding="utf-8", newline="") as file:
    rows = sorted(csv.DictReader(file), key=key)
dangerous = tuple("=+-@\t\r\n＝＋－＠")
ok(not [r for r in rows for c in texts if r[c].startswith(dangerous)], "neutral.csv has no cell that is a formula")
ok(all(row[c].removeprefix("'") == (t[c] or "").removeprefix("'") for row, t in zip(rows, table) for c in texts),
   "and otherwise the same texts")


# Training sets: the shapes as their documentation gives them (TRL's dataset formats, standard and
# conversational; OpenAI's supervised and preference fine-tuning).
BLANK = re.compile("[\t-\r \x85\xa0\xad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]*")


def text(value):
    return isinstance(value, str) and not BLANK.fullmatch(value)


def chat(messages, roles):
    return (isinstance(messages, list) and [m.get("role") for m in messages] == roles
            and all(set(m) == {"role", "content"} and text(m["content"]) for m in messages))


shapes = {
    "sft": lambda r: set(r) == {"prompt", "completion"} and text(r["prompt"]) and text(r["completion"]),
    "sft_messages": lambda r: set(r) == {"messages"} and chat(r["messages"], ["user", "assistant"]),
    "kto": lambda r: set(r) == {"prompt", "completion", "label"} and text(r["prompt"]) and text(r["completion"])
    and isinstance(r["label"], bool),
    "dpo": lambda r: set(r) == {"prompt", "chosen", "rejected"} and all(text(v) for v in r.values())
    and r["chosen"] != r["rejected"],
    "openai": lambda r: set(r) == {"messages"} and chat(r["messages"], ["user", "assistant"]),
    "openai_preference": lambda r: set(r) == {"input", "preferred_output", "non_preferred_output"}
    and set(r["input"]) <= {"messages", "tools", "parallel_tool_calls"} and chat(r["input"]["messages"], ["user"])
    and chat(r["preferred_output"], ["assistant"]) and chat(r["non_preferred_output"], ["assistant"]),
}
sets = {}
for name, shape in shapes.items():
    try:
        sets[name] = [json.loads(line) for line in lines(name + ".jsonl")]
        wrong = [row for row in sets[name] if not shape(row)]
        ok(len(sets[name]) > 0 and not wrong, f"{name}: {len(sets[name])} rows of the documented shape", wrong[:1])
    except ValueError as error:
        ok(False, name, error)

# KTO, computed here from the tables
answers = {}
for row in table:
    answer = answers.setdefault(row["request_id"], dict(row, votes=0))
    answer["votes"] += row["sentiment"] or 0
expected = sorted(
    (a["query_text"], a["response_text"], a["votes"] > 0) for a in answers.values()
    if a["votes"] != 0 and a["error"] is None and text(a["query_text"] or "") and text(a["response_text"] or ""))
ok(sorted((r["prompt"], r["completion"], r["label"]) for r in sets["kto"]) == expected, "kto equals what the tables give")
with connection.cursor() as cursor:
    for name, report in (("kto", "export_kto_report()"), ("sft", "export_sft_report()"), ("dpo", "export_dpo_report()")):
        cursor.execute(f"SELECT sum(row_count) FROM slm_feedback.{report} WHERE outcome = 'exported'")
        ok(cursor.fetchone()[0] == len(sets[name]), f"{name}'s report counts its rows")

changes = [json.loads(line) for line in lines("changes.jsonl")]
ok(changes[-1]["op"] == "cursor" and {c["request_id"]: c["query"]["response_text"] for c in changes[:-1]}
   == {r["request_id"]: r["response_text"] for r in table}, "changes.jsonl is the whole table, and a cursor")

with open(f"{work}/count.python", "w") as file:
    file.write(f"{count}\n")
sys.exit(failed > 0)
