"""Clients that write, in every way there is, and that hold the server to what it has acknowledged.

Each writer has rows of its own (ids that begin with keep-) that nobody else changes, and a ledger of what they are
since the last acknowledged commit. After every loss of its connection it reads them again: an acknowledged write has to
be there, one whose acknowledgement never came may be there or not.

Rows are always written in order of their ids within a transaction, so that no deadlock is of a client's making.
"""

import json
import time

import psycopg

import data
from sessions import Session

QUERY_NAMES = (
    "request_id query_text response_text user_id session_id response_time_ms model prompt_version "
    "input_tokens output_tokens cost_usd error created_at"
).split()
CASTS = {
    "cost_usd": "::numeric",
    "response_time_ms": "::float8",
    "input_tokens": "::bigint",
    "output_tokens": "::bigint",
    "rating": "::integer",
}


def call(connection, function, given):
    marks = ", ".join(f"{name} => %s{CASTS.get(name, '')}" for name in given)
    return connection.execute(f"SELECT * FROM slm_feedback.{function}({marks})", list(given.values())).fetchall()


class Writer(Session):
    # PT404: the answer is gone. 23503: the same for a direct write.
    expected = frozenset(("PT404", "23503"))
    in_block_wait = 3.0

    def __init__(self, run, name, pause=0.002):
        super().__init__(run, name, pause)
        self.number = 0
        # id -> (response time, own rating); what is not sure is in pending: id -> what it may be instead.
        self.ledger = {}
        self.pending = {}
        self.actions = (
            (self.record_query, 8),
            (self.submit_feedback, 10),
            (self.withdraw_feedback, 2),
            (self.record_batch, 4),
            (self.feedback_batch, 4),
            (self.correct, 2),
            (self.insert, 3),
            (self.update, 3),
            (self.delete, 2),
            (self.correct_directly, 1),
            (self.copy, 2),
            (self.copy_feedback, 1),
            (self.block, 5),
            (self.prepare, 1),
            (self.one_message, 1),
            (self.forget, 1),
        )

    def step(self):
        (action,) = self.random.choices([a for a, _ in self.actions], [w for _, w in self.actions])
        self.doing(action.__name__)
        action()
        self.record.count("writes: " + action.__name__)

    # --- the ledger ---

    def expect(self, changes):
        """What the next commit is to bring: {id: state after it, None for gone}."""
        for request_id, state in changes.items():
            self.pending[request_id] = state

    def acknowledge(self):
        for request_id, state in self.pending.items():
            if state is None:
                self.ledger.pop(request_id, None)
            else:
                self.ledger[request_id] = state
        self.pending = {}

    def failed(self, error):
        lost = self.connection is None or self.connection.broken
        super().failed(error)
        # An error of a statement is as sure as an acknowledgement: nothing of the transaction is there.
        if not lost and self.connection is not None:
            self.pending = {}

    def connected(self):
        self.verify()

    def verify(self):
        """The own rows are what has been acknowledged."""
        self.doing("verify")
        rows = {
            row[0]: row[1:]
            for row in self.connection.execute(
                """
            SELECT q.request_id, q.response_time_ms, f.rating
            FROM slm_feedback.queries q
            LEFT JOIN slm_feedback.feedback f ON f.request_id = q.request_id AND f.user_id = q.user_id
            WHERE q.request_id LIKE %s""",
                [self.prefix + "%"],
            ).fetchall()
        }
        for request_id in self.ledger.keys() | self.pending.keys() | rows.keys():
            found = rows.get(request_id)
            allowed = [self.ledger.get(request_id)]
            if request_id in self.pending:
                allowed.append(self.pending[request_id])
            if found not in allowed:
                self.record.difference("acknowledged", f"{request_id} is {found}, may be {allowed}")
        self.record.count("acknowledged rows looked at", len(self.ledger))
        self.ledger = rows
        self.pending = {}

    @property
    def prefix(self):
        return f"keep-{self.name}-"

    def new_query(self, keep=None, at=None):
        """A new question; a kept one was asked now."""
        self.number += 1
        if keep if keep is not None else self.random.random() < 0.3:
            return data.query(self.random, f"{self.prefix}{self.number:06}", f"keep-{self.name}")
        return data.query(
            self.random, f"{self.name}-{self.number:06}", at=at or data.moment(self.random, self.run_.now())
        )

    def new_queries(self, number):
        return sorted((self.new_query() for _ in range(number)), key=lambda query: query["request_id"])

    def kept(self, queries):
        return {q["request_id"]: (q["response_time_ms"], None) for q in queries if q["request_id"].startswith("keep-")}

    def done(self, queries=()):
        self.acknowledge()
        self.run_.pool.add([q["request_id"] for q in queries if not q["request_id"].startswith("keep-")])
        self.record.count("rows acknowledged", len(queries))

    # --- the actions, each a transaction of its own ---

    def record_query(self):
        query = self.new_query()
        self.expect(self.kept([query]))
        call(self.connection, "record_query", query)
        self.done([query])

    def submit_feedback(self):
        if self.ledger and self.random.random() < 0.2:
            request_id = self.random.choice(list(self.ledger))
            given = {"request_id": request_id, "user_id": f"keep-{self.name}", "rating": self.random.randrange(1, 6)}
            self.expect({request_id: (self.ledger[request_id][0], given["rating"])})
        else:
            given = data.opinion(self.random, *self.run_.pool.some(self.random, 1)[:1])
        call(self.connection, "submit_feedback", given)
        self.done()

    def withdraw_feedback(self):
        call(
            self.connection,
            "withdraw_feedback",
            {"request_id": self.run_.pool.some(self.random, 1)[0], "user_id": data.user(self.random) or "u0"},
        )

    def record_batch(self):
        queries = [self.new_query() for _ in range(self.random.randrange(1, 40))]
        self.expect(self.kept(queries))
        rows = self.connection.execute(
            "SELECT status FROM slm_feedback.record_queries(%s)", [json.dumps(queries, default=data.plain)]
        ).fetchall()
        if any(status != "recorded" for status, in rows) or len(rows) != len(queries):
            self.record.difference("batch", f"record_queries answered {rows} for {queries}")
        self.done(queries)

    def feedback_batch(self):
        opinions = [
            data.opinion(self.random, request_id)
            for request_id in self.run_.pool.some(self.random, self.random.randrange(1, 30))
        ]
        rows = self.connection.execute(
            "SELECT status, sqlstate FROM slm_feedback.submit_feedback_batch(%s)", [json.dumps(opinions)]
        ).fetchall()
        if any(row not in (("submitted", None), ("refused", "PT404")) for row in rows) or len(rows) != len(opinions):
            self.record.difference("batch", f"submit_feedback_batch answered {rows} for {opinions}")
        self.done()

    def correct(self):
        request_id = self.run_.pool.some(self.random, 1)[0]
        if self.random.random() < 0.7:
            call(
                self.connection,
                "submit_correction",
                {
                    "request_id": request_id,
                    "corrected_text": f"Better answer {self.random.randrange(5)}",
                    "user_id": data.user(self.random),
                },
            )
        else:
            call(
                self.connection,
                "withdraw_corrections",
                {"request_id": request_id, "user_id": data.user(self.random) or "u0"},
            )

    def insert(self):
        if self.random.random() < 0.5:
            query = self.new_query()
            query["created_at"] = query["created_at"] or self.run_.now()
            self.expect(self.kept([query]))
            self.connection.execute(
                f"INSERT INTO slm_feedback.queries ({', '.join(QUERY_NAMES)}) VALUES "
                f"({', '.join(['%s'] * len(QUERY_NAMES))})",
                [query[name] for name in QUERY_NAMES],
            )
            self.done([query])
        else:
            given = data.opinion(self.random, self.run_.pool.some(self.random, 1)[0])
            self.connection.execute(
                f"INSERT INTO slm_feedback.feedback ({', '.join(given)}) VALUES "
                f"({', '.join(['%s'] * len(given))}) ON CONFLICT DO NOTHING",
                list(given.values()),
            )
            self.done()

    def update(self):
        target = self.run_.pool.some(self.random, 1)[0]
        self.connection.execute(
            self.random.choice(
                (
                    "UPDATE slm_feedback.queries SET response_time_ms = response_time_ms + 1 WHERE request_id = %s",
                    "UPDATE slm_feedback.queries SET model = 'm-b', error = NULL WHERE request_id = %s",
                    "UPDATE slm_feedback.queries SET metadata = '{}', user_id = 'u1' WHERE request_id = %s",
                    "UPDATE slm_feedback.feedback SET rating = 2, is_helpful = NULL "
                    "WHERE request_id = %s AND user_id = 'u5'",
                    "UPDATE slm_feedback.feedback SET is_helpful = NOT is_helpful "
                    "WHERE request_id = %s AND user_id = 'u6'",
                )
            ),
            [target],
        )

    def delete(self):
        if self.random.random() < 0.5:
            self.connection.execute(
                "DELETE FROM slm_feedback.queries WHERE request_id = %s", self.run_.pool.some(self.random, 1)[:1]
            )
        else:
            self.connection.execute(
                "DELETE FROM slm_feedback.feedback WHERE request_id = %s AND user_id = %s",
                [self.run_.pool.some(self.random, 1)[0], data.user(self.random)],
            )

    def correct_directly(self):
        """Writes to the corrections themselves: one at a time, so that their order does not matter."""
        request_id, user = self.run_.pool.some(self.random, 1)[0], data.user(self.random)
        text = f"Better answer {self.random.randrange(5)}"
        kind = self.random.random()
        if kind < 0.5:
            self.connection.execute(
                "INSERT INTO slm_feedback.corrections (request_id, user_id, corrected_text) VALUES (%s, %s, %s) "
                "ON CONFLICT DO NOTHING",
                [request_id, user, text],
            )
        elif kind < 0.8:
            self.connection.execute(
                "UPDATE slm_feedback.corrections SET note = 'looked at' WHERE request_id = %s AND corrected_text = %s "
                "AND user_id IS NOT DISTINCT FROM %s",
                [request_id, text, user],
            )
        else:
            self.connection.execute(
                "DELETE FROM slm_feedback.corrections WHERE request_id = %s AND corrected_text = %s "
                "AND user_id IS NOT DISTINCT FROM %s",
                [request_id, text, user],
            )
        self.done()

    def copy(self):
        queries = self.new_queries(self.random.randrange(1, 40))
        now = self.run_.now()
        self.expect(self.kept(queries))
        with self.connection.cursor().copy(f"COPY slm_feedback.queries ({', '.join(QUERY_NAMES)}) FROM STDIN") as copy:
            for query in queries:
                copy.write_row([query[name] if name != "created_at" else query[name] or now for name in QUERY_NAMES])
        self.done(queries)

    def copy_feedback(self):
        """Answers and opinions on them, both by COPY, in one transaction."""
        queries = [self.new_query(keep=False) for _ in range(self.random.randrange(1, 10))]
        with self.transaction():
            for query in queries:
                call(self.connection, "record_query", query)
            columns = ("request_id", "user_id", "is_helpful", "rating", "comment")
            with self.connection.cursor().copy(f"COPY slm_feedback.feedback ({', '.join(columns)}) FROM STDIN") as copy:
                for query in queries:
                    for rater in self.random.sample(range(data.USERS), self.random.randrange(4)):
                        given = data.opinion(self.random, query["request_id"], f"u{rater}")
                        copy.write_row([given.get(name) for name in columns])
        self.done(queries)

    def block(self):
        """Several statements with subtransactions, at any isolation level; at times long; at times taken back."""
        isolation = self.random.choice(("READ COMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"))
        queries = []
        back = self.random.random() < 0.2
        try:
            with self.transaction(isolation):
                for query in self.new_queries(self.random.randrange(0, 6)):
                    call(self.connection, "record_query", query)
                    queries.append(query)
                self.opinions_in_order(self.random.randrange(0, 6))
                if self.random.random() < 0.1:
                    time.sleep(self.random.random() * self.in_block_wait)
                if back:
                    raise psycopg.Rollback()
                self.expect(self.kept(queries))
        except psycopg.Rollback:
            return
        self.done(queries)

    def opinions_in_order(self, number):
        """Opinions in subtransactions, some of which are taken back."""
        for request_id in sorted(self.run_.pool.some(self.random, number)):
            self.connection.execute("SAVEPOINT s")
            try:
                call(self.connection, "submit_feedback", data.opinion(self.random, request_id))
            except psycopg.Error as error:
                if error.sqlstate != "PT404":
                    raise
                self.connection.execute("ROLLBACK TO s")
            if self.random.random() < 0.2:
                self.connection.execute("ROLLBACK TO s")
            self.connection.execute("RELEASE s")

    def prepare(self):
        """A prepared transaction, which anybody ends later; its rows are nobody's to keep."""
        queries = [self.new_query(keep=False) for _ in range(self.random.randrange(1, 5))]
        name = f"{self.name}-{self.number}"
        self.connection.execute("BEGIN")
        self.in_block = True
        for query in sorted(queries, key=lambda q: q["request_id"]):
            call(self.connection, "record_query", query)
        self.opinions_in_order(self.random.randrange(0, 3))
        self.connection.execute(f"PREPARE TRANSACTION '{name}'")
        self.in_block = False
        time.sleep(self.random.random() * 0.5)
        if self.random.random() < 0.7:
            try:
                self.connection.execute(f"{self.random.choice(('COMMIT', 'COMMIT', 'ROLLBACK'))} PREPARED '{name}'")
            except (psycopg.errors.UndefinedObject, psycopg.errors.ObjectNotInPrerequisiteState):
                # The undertaker was here first.
                pass
        self.done(queries)

    def one_message(self):
        """Several transactions in one message, which share its start as theirs."""
        statements = []
        queries = [self.new_query(keep=False) for _ in range(3)]
        for query in queries:
            text = query["query_text"].replace("'", "''")
            at = f", created_at => '{query['created_at'].isoformat()}'" if query["created_at"] else ""
            statements.append(f"SELECT slm_feedback.record_query('{text}', request_id => '{query['request_id']}'{at})")
        message = "; COMMIT; ".join(statements + [f"SELECT pg_sleep({self.random.random() * 0.05})"])
        result = self.connection.pgconn.exec_(message.encode())
        if result.status == psycopg.pq.ExecStatus.FATAL_ERROR:
            state = result.error_field(psycopg.pq.DiagnosticField.SQLSTATE)
            raise psycopg.errors.lookup(state.decode() if state else "08006")((result.error_message or b"").decode())
        self.done(queries)

    def forget(self):
        """Deletes own rows, so that they do not grow without end: that is acknowledged, too."""
        surplus = sorted(self.ledger)[:-100]
        if surplus:
            self.expect({request_id: None for request_id in surplus})
            self.connection.execute("DELETE FROM slm_feedback.queries WHERE request_id = ANY (%s)", [surplus])
            self.done()
        self.verify()
