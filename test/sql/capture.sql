-- record_query, submit_feedback, withdraw_feedback: what they store and return.
CREATE EXTENSION slm_feedback CASCADE;
SET client_min_messages = notice;
\set VERBOSITY default

-- A record with everything, and one with nothing but the question.
SELECT slm_feedback.record_query(
    'What is the capital of France?', 'Paris.', request_id => 'r1', user_id => 'ann', session_id => 's1',
    response_time_ms => 812.6, model => 'small-1', prompt_version => 'v1', input_tokens => 12, output_tokens => 3,
    cost_usd => 0.00021, sources_used => '["wiki"]', error => NULL, tags => '["geo"]', metadata => '{"a": 1}',
    created_at => '2026-01-10 12:00+00');
SELECT * FROM slm_feedback.queries \gx
BEGIN;
SELECT slm_feedback.record_query('only a question') AS id \gset
SELECT :'id' ~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$' AS is_uuid_v7;
SELECT created_at = now() AS dated_now, model, response_time_ms FROM slm_feedback.queries WHERE request_id = :'id';
COMMIT;

-- Ids made one after another ascend.
SELECT bool_and(id > before) AS ascending
FROM (SELECT id, lag(id) OVER (ORDER BY n) COLLATE "C" AS before
      FROM (SELECT n, slm_feedback.record_query('q' || n) AS id FROM generate_series(1, 100) n OFFSET 0) made) pairs
WHERE before IS NOT NULL;

-- A repeated id keeps the first record and says so.
SELECT slm_feedback.record_query('another question', request_id => 'r1');
SELECT query_text FROM slm_feedback.queries WHERE request_id = 'r1';

-- A thumb first, a rating and a comment later, a changed mind at last.
SELECT is_helpful, rating, comment, sentiment, user_id FROM slm_feedback.submit_feedback('r1', true, user_id => 'bob');
SELECT is_helpful, rating, comment, sentiment FROM slm_feedback.submit_feedback('r1', rating => 2, comment => 'too short', user_id => 'bob');
SELECT is_helpful, rating, comment, sentiment FROM slm_feedback.submit_feedback('r1', false, user_id => 'bob');
SELECT count(*), bool_and(query_created_at = '2026-01-10 12:00+00'), bool_and(updated_at > created_at) FROM slm_feedback.feedback;

-- Others have opinions of their own; the anonymous share one (anonymous.sql).
SELECT sentiment FROM slm_feedback.submit_feedback('r1', rating => 3, user_id => 'eve');
SELECT sentiment FROM slm_feedback.submit_feedback('r1', rating => 4);
SELECT sentiment FROM slm_feedback.submit_feedback('r1', comment => 'fine');
-- An empty field of a form says nothing.
SELECT comment FROM slm_feedback.submit_feedback('r1', comment => E' \n\u00a0', rating => 4);
SELECT user_id, is_helpful, rating, comment, sentiment FROM slm_feedback.feedback ORDER BY user_id;

-- Withdrawal: there was one, there was none.
SELECT slm_feedback.withdraw_feedback('r1', 'bob'), slm_feedback.withdraw_feedback('r1', 'bob') AS again;
SELECT user_id FROM slm_feedback.feedback;

-- In one transaction with the application's own work: all or nothing.
BEGIN;
SELECT slm_feedback.record_query('in a transaction', request_id => 'r2');
SELECT sentiment FROM slm_feedback.submit_feedback('r2', true);
SAVEPOINT s;
SELECT sentiment FROM slm_feedback.submit_feedback('r2', false);
ROLLBACK TO s;
SELECT sentiment FROM slm_feedback.feedback WHERE request_id = 'r2';
ROLLBACK;
SELECT count(*) FROM slm_feedback.queries WHERE request_id = 'r2';

-- Batches: good rows are kept, refused ones come back with position, SQLSTATE and reason.
SELECT position, CASE WHEN request_id !~ '-' THEN request_id END AS request_id, status, sqlstate, reason
FROM slm_feedback.record_queries('[
    {"query_text": "b one", "request_id": "b1", "model": "small-1", "response_time_ms": 10, "created_at": "2026-01-11T08:00:00Z"},
    {"query_text": "no id"},
    {"query_text": "b one again", "request_id": "b1"},
    {"request_id": "b2"},
    {"query_text": "bad time", "created_at": "yesterdayish", "request_id": "b3"},
    {"query_text": "early", "created_at": "1999-12-31T23:59:59Z", "request_id": "b4"},
    {"query_text": "typo", "respons_text": "x"},
    {"query_text": 5},
    {"query_text": "tokens", "input_tokens": 1.5},
    "not an object",
    {"query_text": "last", "request_id": "b5", "sources_used": {"k": [1, 2]}, "error": "timeout", "cost_usd": 1.25, "tags": null}
]');
SELECT request_id, query_text, nullif(created_at, now()) < '2026-02-01' AS as_given, response_time_ms, sources_used, error, cost_usd, tags
FROM slm_feedback.queries WHERE request_id LIKE 'b_' ORDER BY 1;
SELECT count(*) AS no_id FROM slm_feedback.queries WHERE query_text = 'no id';
SELECT * FROM slm_feedback.submit_feedback_batch('[
    {"request_id": "b1", "is_helpful": true, "user_id": "ann"},
    {"request_id": "b1", "rating": 5, "comment": "good", "user_id": "ann"},
    {"request_id": "nobody", "rating": 5},
    {"request_id": "b1", "rating": 6},
    {"request_id": "b1", "is_helpful": "yes"},
    {"request_id": "b1"},
    {"is_helpful": true},
    {"request_id": "b5", "comment": "broken"}
]');
SELECT request_id, user_id, is_helpful, rating, comment, sentiment FROM slm_feedback.feedback WHERE request_id LIKE 'b_' ORDER BY 1;
SELECT count(*) FROM slm_feedback.record_queries('[]');

-- An error that no check foresees (the DBA's own constraint) refuses just its row.
ALTER TABLE slm_feedback.queries ADD CONSTRAINT house_rule CHECK (model <> 'forbidden');
SELECT status, sqlstate, left(reason, 74) AS reason FROM slm_feedback.record_queries('[
    {"query_text": "x", "request_id": "c1", "model": "allowed"},
    {"query_text": "x", "request_id": "c2", "model": "forbidden"},
    {"query_text": "x", "request_id": "c3"}]');
SELECT request_id FROM slm_feedback.queries WHERE request_id LIKE 'c_' ORDER BY 1;
ALTER TABLE slm_feedback.queries DROP CONSTRAINT house_rule;
-- One that says nothing about a row, like a lock that cannot be had in time, ends the call.
CREATE FUNCTION busy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'canceling statement due to lock timeout' USING ERRCODE = 'lock_not_available'; END $$;
CREATE TRIGGER busy BEFORE INSERT ON slm_feedback.queries FOR EACH ROW WHEN (NEW.model = 'busy') EXECUTE FUNCTION busy();
\set VERBOSITY terse
SELECT status FROM slm_feedback.record_queries('[{"query_text": "x", "request_id": "d1"}, {"query_text": "x", "request_id": "d2", "model": "busy"}]');
\set VERBOSITY default
DROP TRIGGER busy ON slm_feedback.queries;
DROP FUNCTION busy;
SELECT count(*) FROM slm_feedback.queries WHERE request_id LIKE 'd_';

-- The functions go on working in a session that sees the extension dropped and created anew.
DROP EXTENSION slm_feedback;
CREATE EXTENSION slm_feedback;
SELECT slm_feedback.record_query('after', request_id => 'again');
SELECT sentiment FROM slm_feedback.submit_feedback('again', true);
DROP EXTENSION slm_feedback, hll, tdigest;
