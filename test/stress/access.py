"""The access run: every level of access calls every function at random, under DDL, cancel and terminate.

What a level may not use is refused with 42501, whatever the arguments; what it may use answers or refuses its
arguments, and never fails inside. It ends as a round does: metrics equal a recomputation, and no lock is left.
"""

import datetime
import json

import data
from operators import Roller, TableChanger
from readers import Copier, Reader
from round import Round
from sessions import ALWAYS, Session

LEVELS = ("nobody", "app", "analyst", "analyst_texts", "admin")

# All that an application may call. test/pgtap/access_matrix.sql has the whole matrix.
APP = {
    "record_query",
    "record_queries",
    "submit_feedback",
    "submit_feedback_batch",
    "withdraw_feedback",
    "submit_correction",
    "withdraw_corrections",
}

# Tables that an analyst must not read.
PERSONAL = {
    "queries",
    "feedback",
    "corrections",
    "settings",
    "audit_log",
    "tombstones",
    "daily_metrics",
    "period_reports",
}

# The arguments may be refused, in these classes and states; a failure inside of a function is none of them.
REFUSED_CLASSES = ("22", "23", "PT")
REFUSED_STATES = {"0A000", "25001", "42704", "42602", "54000", "55000", "F0000", "2201W", "54001"}

# Under min_group_users an analyst sees no single answers.
SMALL_GROUPS = "single answers are not shown"

# A view that can't be written to says so before anybody is asked for a privilege.
NO_TABLE = {"42809", "55000"}

ROUTINES = """
SELECT p.oid, p.proname, p.prokind, coalesce(p.proallargtypes, p.proargtypes::oid[])::regtype[]::text[],
       coalesce(p.proargmodes::text[], array_fill('i'::text, ARRAY[p.pronargs::int])), coalesce(p.proargnames, '{}'),
       p.pronargdefaults
FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'slm_feedback'
WHERE p.prokind IN ('f', 'p')
  AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype)
  AND NOT 'internal'::regtype = ANY (p.proargtypes::oid[]) ORDER BY p.oid::regprocedure::text"""

RELATIONS = """
SELECT c.relname, n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'slm_feedback'
WHERE c.relkind IN ('r', 'v', 'p', 'm') ORDER BY 1"""

WORDS = {
    "level": ("app", "analyst", "analyst_texts", "admin", "none"),
    "mode": ("delete", "anonymize", "none"),
    "format": ("prompt_completion", "messages", "none"),
    "method": ("supervised", "preference", "none"),
    "split": (None, "train", "validation", "test", "none"),
    "order_by": ("asked", "worst", "best", "none"),
    "policy": ("plain", "pseudonym", "drop", "none"),
    "period": ("week", "month", "range", "none"),
    "job": (None, "rollup", "refresh", "reports", "alerts", "questions", "tombstones", "retention", "none"),
    "schedule": (None, "default", "02:30", "10 seconds", "none"),
    "measure": ("positive_ratio", "error_rate", "total_queries", "p95_response_time_ms", "none"),
    "metric": ("positive_ratio", "error_rate", "total_queries", "avg_rating", "none"),
    "model": (None, "", "m-a", "m-b"),
    "prompt_version": (None, "", "v1"),
    "time_zone": ("UTC", "Europe/Berlin", "none/none"),
    "pattern": ("[a-z]+7", r"\d{4}", "(", "", "x{1,3}"),
    "cursor": (None, "1", "none"),
}
TEXTS = (None, "", " ", "a", "Ünïcode ☃", "x" * 300, "'; SELECT 1; --", "a\nb", "ann@example.org", "u1", "0")
VALUES = {
    "boolean": (None, True, False),
    "integer": (None, 0, 1, 2, 10, 5000, -1, 2147483647),
    "smallint": (None, 0, 1, 5),
    "bigint": (None, 0, 1, 5, -1, 9223372036854775807),
    "double precision": (None, 0.0, 0.5, 1.0, 4.0, -1.0, 1e308, float("nan"), float("inf")),
    "numeric": (None, 0, 0.01, 1e9, -1, "NaN"),
    "interval": (None, "1 day", "0", "-1 day", "100 years"),
    "time without time zone": (None, "02:30", "24:00"),
    "xid": (None, "3"),
    "xid8": (None, "3", "0"),
    "name": (None, "a"),
    "bytea": (None, b"", b"abc"),
    "text[]": (None, [], ["app", "none"], [None]),
    "bigint[]": (None, [], [1, 2], [0] * 24),
    "double precision[]": (None, [0.5]),
}


class Caller(Session):
    """Calls one routine after the other, or tries a table, as one role."""

    def __init__(self, run, name, level, pause=0.005):
        super().__init__(run, name, pause)
        self.level = level
        self.database_role = f"{run.database}_{level}"
        self.number = 0
        self.allowed = False
        self.cursors = []

    def connected(self):
        self.doing("settings")
        isolation = self.random.choice(("read committed", "read committed", "repeatable read", "serializable"))
        self.connection.execute(f"SET default_transaction_isolation = '{isolation}'")
        self.connection.execute(
            f"SET search_path = {self.random.choice(('public', 'slm_feedback, public', 'pg_temp, public'))}"
        )

    def step(self):
        if self.random.random() < 0.1:
            self.try_table()
        else:
            mine = self.run_.granted_to[self.database_role]
            self.call(*self.random.choice(mine if mine and self.random.random() < 0.6 else self.run_.routines))

    def call(self, oid, name, kind, types, modes, names, defaults):
        self.allowed = (self.database_role, oid) in self.run_.granted
        needed = len([m for m in modes if m in "iobv"]) - defaults
        given, values, place = [], [], 0
        for i, (type_, mode) in enumerate(zip(types, modes)):
            argument = names[i] if i < len(names) else ""
            if mode in "ot":
                if kind == "p" and mode == "o":
                    given.append(f"NULL::{type_}")
                continue
            place += 1
            if place > needed and argument and self.random.random() < 0.5:
                continue
            mark, value = self.value(argument, type_)
            given.append(f"{argument} => {mark}" if argument and place > needed else mark)
            values += value
        given.sort(key=lambda text: "=>" in text)
        self.doing(f"{name}({given}: {str(values)[:200]})")
        if self.level == "nobody" and self.allowed or self.level == "app" and self.allowed and name not in APP:
            self.record.difference("access", f"{self.level} may call {name}")
        verb = "CALL" if kind == "p" else "SELECT * FROM"
        cursor = self.connection.execute(f"{verb} {self.run_.names[oid]}({', '.join(given)})", values)
        rows = cursor.fetchall() if cursor.description else []
        # The planner folds a strict function of null to null without calling it.
        if not self.allowed and rows != [(None,)]:
            self.record.difference("access", f"{self.level} could call {self.action}")
        if name == "export_changes" and rows:
            self.cursors = [rows[-1][0]["cursor"]]
        self.record.count(f"calls by {self.level}")

    def value(self, name, type_):
        """A mark and values for an argument of this name and type."""
        random = self.random
        if type_ == "record":
            return "ROW(1, 'a'::text)", []
        if type_ == "regrole":
            # An unknown role is found out before the privilege.
            return "%s::regrole", [
                random.choice((f"{self.run_.database}_other", None, "no_such_role")[: 2 + self.allowed])
            ]
        if type_ == "jsonb":
            return "%s::jsonb", [self.batch(name)]
        if type_ in ("json",):
            return "%s::json", [random.choice((None, "{}", "[]"))]
        if type_ == "date":
            day = datetime.date.today() + datetime.timedelta(days=random.randrange(-40, 3))
            return "%s::date", [
                random.choice((None, str(day), str(day), str(day), "-infinity", "infinity", "2000-01-01"))
            ]
        if type_ == "timestamp with time zone":
            at = data.moment(random, self.run_.now())
            return "%s::timestamptz", [random.choice((at, at, at, "-infinity", "infinity"))]
        if type_ == "text":
            return "%s::text", [self.text(name)]
        if type_ in VALUES:
            return f"%s::{type_}", [random.choice(VALUES[type_])]
        return f"NULL::{type_}", []

    def text(self, name):
        random = self.random
        if name == "cursor" and self.cursors:
            return self.cursors[0]
        if name in WORDS:
            return random.choice(WORDS[name])
        if random.random() < 0.15:
            return random.choice(TEXTS)
        if name == "request_id":
            if random.random() < 0.4:
                self.number += 1
                self.run_.pool.add([f"{self.name}-{self.number}"])
                return f"{self.name}-{self.number}"
            return self.run_.pool.some(random, 1)[0]
        return data.user(random) if name == "user_id" else data.question(random)

    def batch(self, name):
        random = self.random
        if random.random() < 0.2:
            return random.choice((None, "null", "[]", "{}", "[1]", '[{"request_id": 1}]', '"a"'))
        if name == "queries":
            rows = []
            for _ in range(random.randrange(1, 20)):
                self.number += 1
                rows.append(data.query(random, f"{self.name}-{self.number}", at=data.moment(random, self.run_.now())))
            self.run_.pool.add([row["request_id"] for row in rows])
        else:
            rows = [data.opinion(random, id_) for id_ in self.run_.pool.some(random, random.randrange(1, 20))]
        return json.dumps(rows, default=data.plain)

    def try_table(self):
        """Nobody writes to a table but through a function, and not everybody reads one."""
        name, table = self.random.choice(self.run_.relations)
        verb, statement = self.random.choice(
            (
                ("SELECT", f"SELECT * FROM {table} LIMIT 5"),
                ("INSERT", f"INSERT INTO {table} DEFAULT VALUES"),
                ("DELETE", f"DELETE FROM {table}"),
                ("TRUNCATE", f"TRUNCATE {table}"),
            )
        )
        may_read = self.level not in ("nobody", "app") and not (self.level == "analyst" and name in PERSONAL)
        # Not every table that a level may read is known here; what it must not read is.
        self.allowed = "to read" if verb == "SELECT" and may_read else False
        self.doing(f"try {statement}")
        self.connection.execute(statement)
        if not self.allowed:
            self.record.difference("access", f"{self.level} could {statement}")
        self.record.count(f"tables read by {self.level}")

    def failed(self, error):
        state = error.sqlstate or "connection lost"
        refused = state == "42501"
        if refused:
            self.record.count(f"refusals of {self.level}")
        if not self.allowed and not (refused or state in NO_TABLE or state in ALWAYS or error.sqlstate is None):
            self.record.difference("access", f"{self.level} came as far as {state} with {self.action}: {error}")
        if (
            state[:2] in REFUSED_CLASSES
            or state in REFUSED_STATES
            or not self.allowed
            or refused
            and (self.allowed == "to read" or SMALL_GROUPS in str(error))
        ):
            self.expected = frozenset((state,))
        super().failed(error)
        self.expected = frozenset()


class AccessRound(Round):
    """A round whose clients are the levels of access."""

    def __init__(self, server, record, seconds):
        super().__init__(server, record, 0, seconds, kills=False)
        self.routines, self.names, self.relations, self.granted, self.granted_to = [], {}, [], set(), {}

    def install(self):
        super().install()
        with self.server.connect("install", self.database) as connection:
            for level in LEVELS + ("other",):
                connection.execute(f"CREATE ROLE {self.database}_{level} LOGIN")
                if level not in ("nobody", "other"):
                    connection.execute(
                        "SELECT slm_feedback.grant_access(%s::regrole, %s)", [f"{self.database}_{level}", level]
                    )
            self.routines = connection.execute(ROUTINES).fetchall()
            self.names = dict(
                connection.execute(
                    "SELECT p.oid, n.nspname || '.' || p.proname FROM pg_proc p "
                    "JOIN pg_namespace n ON n.oid = p.pronamespace"
                ).fetchall()
            )
            self.relations = connection.execute(RELATIONS).fetchall()
            self.granted = set(
                connection.execute(
                    "SELECT r.rolname, p.oid FROM pg_roles r, pg_proc p, pg_namespace n WHERE n.oid = p.pronamespace "
                    "AND r.rolname LIKE %s AND has_function_privilege(r.oid, p.oid, 'EXECUTE') "
                    "AND has_schema_privilege(r.oid, n.oid, 'USAGE')",
                    [self.database + "%"],
                ).fetchall()
            )
            self.granted_to = {
                f"{self.database}_{level}": [
                    r for r in self.routines if (f"{self.database}_{level}", r[0]) in self.granted
                ]
                for level in LEVELS
            }

    def clients(self):
        self.copiers = [Copier(self, "copier")]
        return (
            self.copiers
            + [Caller(self, f"{level}{i}", level) for level in LEVELS for i in range(2 if level != "nobody" else 1)]
            + [Reader(self, "reader"), Roller(self, "roller", 0.2), TableChanger(self, "table_changer", 0.2)]
        )

    def drop(self):
        super().drop()
        if self.record.running():
            with self.server.connect("drop", "postgres") as connection:
                for level in LEVELS + ("other",):
                    connection.execute(f"DROP ROLE {self.database}_{level}")
