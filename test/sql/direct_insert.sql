-- Rows that capture functions insert directly are the rows that the executor would have written; whatever the
-- direct path does not know goes through the executor.
CREATE EXTENSION slm_feedback CASCADE;
CREATE FUNCTION pg_temp.fill() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    TRUNCATE slm_feedback.queries CASCADE;
    PERFORM slm_feedback.record_query('Question ' || i, CASE WHEN i % 2 = 0 THEN repeat('long answer ', 5000) END, 'r' || i,
            CASE WHEN i % 3 > 0 THEN 'u' || i END, 's', i * 1.5, 'm' || i % 2, CASE WHEN i % 4 = 0 THEN 'v' END, i, NULL, i / 1000.0,
            CASE WHEN i % 5 = 0 THEN jsonb_build_object('k', i) END, CASE WHEN i % 7 = 0 THEN 'error' END, '["t"]', NULL,
            '2026-01-01 00:00+00'::timestamptz + i * interval '1 hour')
    FROM generate_series(1, 50) i;
    PERFORM slm_feedback.submit_feedback('r' || i, CASE WHEN i % 3 = 0 THEN true WHEN i % 3 = 1 THEN false END,
            CASE WHEN i % 3 = 2 THEN 1 + i % 5 END, CASE WHEN i % 4 = 0 THEN 'comment' END, CASE WHEN i % 6 > 0 THEN 'rater' END)
    FROM generate_series(1, 50) i;
END
$$;
SET client_min_messages = warning;
SET slm_feedback.direct_insert = off;
SELECT pg_temp.fill();
CREATE TEMP TABLE by_executor AS SELECT q::text AS q, f.is_helpful, f.rating, f.comment, f.sentiment, f.user_id, f.query_created_at
FROM slm_feedback.queries q LEFT JOIN slm_feedback.feedback f USING (request_id);
SET slm_feedback.direct_insert = on;
SELECT pg_temp.fill();
SELECT count(*) AS rows, count(*) FILTER (WHERE e IS NULL OR d IS NULL) AS different
FROM by_executor e FULL JOIN (
    SELECT q::text AS q, f.is_helpful, f.rating, f.comment, f.sentiment, f.user_id, f.query_created_at
    FROM slm_feedback.queries q LEFT JOIN slm_feedback.feedback f USING (request_id)) d
  ON e::text = d::text;

-- Both tables as installed take the direct path.
\c
SET client_min_messages = debug1;
SELECT slm_feedback.record_query('q', request_id => 'x1');
SELECT sentiment FROM slm_feedback.submit_feedback('x1', true);
RESET client_min_messages;

-- Within one statement each row sees the ones before it.
SELECT (SELECT count(*) FROM slm_feedback.submit_feedback_batch(
    '[{"request_id": "x1", "rating": 1, "user_id": "a"}, {"request_id": "x1", "comment": "c", "user_id": "a"}]')) AS results;
SELECT rating, comment FROM slm_feedback.feedback WHERE request_id = 'x1' AND user_id = 'a';
WITH recorded AS (SELECT slm_feedback.record_query('same statement', request_id => 'x2') AS id)
SELECT sentiment FROM recorded, slm_feedback.submit_feedback(recorded.id, true);

-- Columns are compared by name and by type, not only counted.
BEGIN;
ALTER TABLE slm_feedback.queries RENAME COLUMN model TO other;
ALTER TABLE slm_feedback.queries RENAME COLUMN prompt_version TO model;
ALTER TABLE slm_feedback.queries RENAME COLUMN other TO prompt_version;
SELECT slm_feedback.record_query('q', request_id => 'x6', model => 'the model', prompt_version => 'the version');
SELECT model, prompt_version FROM slm_feedback.queries WHERE request_id = 'x6';
ROLLBACK;
-- (The views depend on the type: a DBA who changes it would have to take them out of the extension first.)
BEGIN;
DELETE FROM pg_depend WHERE refobjid = 'slm_feedback.queries'::regclass
    AND refobjsubid = (SELECT attnum FROM pg_attribute WHERE attrelid = refobjid AND attname = 'tags');
ALTER TABLE slm_feedback.queries ALTER COLUMN tags TYPE json;
SELECT slm_feedback.record_query('q', request_id => 'x6', tags => '["t"]');
SELECT tags ->> 0 AS tag FROM slm_feedback.queries WHERE request_id = 'x6';
ROLLBACK;
-- A key that sorts by another collation is not searched as if it were ours.
BEGIN;
CREATE COLLATION letters (provider = icu, locale = 'und');
ALTER TABLE slm_feedback.queries DROP CONSTRAINT queries_pkey CASCADE;
CREATE UNIQUE INDEX queries_key ON slm_feedback.queries (request_id COLLATE letters);
SELECT count(slm_feedback.record_query('q', request_id => id)) FROM unnest(ARRAY['a', 'B', 'c', 'D', 'e', 'F']) id;
SELECT count(slm_feedback.submit_feedback(id, true)) FROM unnest(ARRAY['a', 'B', 'c', 'D', 'e', 'F']) id;
ROLLBACK;

-- Another trigger fires.
CREATE TABLE seen (what text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (TG_TABLE_NAME || ' ' || TG_WHEN || ' ' || NEW.request_id); RETURN NEW; END $$;
CREATE TRIGGER note_after AFTER INSERT ON slm_feedback.feedback FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER note_before BEFORE INSERT ON slm_feedback.queries FOR EACH ROW EXECUTE FUNCTION note();
SELECT slm_feedback.record_query('q', request_id => 'x3');
SELECT sentiment FROM slm_feedback.submit_feedback('x3', true);
SELECT * FROM seen;
DROP TRIGGER note_after ON slm_feedback.feedback;
DROP TRIGGER note_before ON slm_feedback.queries;

-- A column that must not be null, a key and a check of the DBA's.
\set VERBOSITY terse
DELETE FROM slm_feedback.feedback;
ALTER TABLE slm_feedback.feedback ALTER COLUMN rating SET NOT NULL;
SELECT sentiment FROM slm_feedback.submit_feedback('x2', true);
ALTER TABLE slm_feedback.feedback ALTER COLUMN rating DROP NOT NULL;
CREATE UNIQUE INDEX one_comment ON slm_feedback.feedback (comment);
SELECT sentiment FROM slm_feedback.submit_feedback('x2', comment => 'unique');
SELECT sentiment FROM slm_feedback.submit_feedback('x3', comment => 'unique');
DROP INDEX slm_feedback.one_comment;
ALTER TABLE slm_feedback.feedback ADD CONSTRAINT polite CHECK (comment <> 'rude');
SELECT sentiment FROM slm_feedback.submit_feedback('x3', comment => 'rude');
SELECT sentiment FROM slm_feedback.submit_feedback('x3', comment => 'kind');
ALTER TABLE slm_feedback.feedback DROP CONSTRAINT polite;

-- An index on an expression is kept up to date.
CREATE INDEX by_word ON slm_feedback.queries (lower(query_text));
SELECT slm_feedback.record_query('Indexed', request_id => 'x5');
SET enable_seqscan = off;
SELECT request_id FROM slm_feedback.queries WHERE lower(query_text) = 'indexed';
RESET enable_seqscan;

-- A column of the DBA's with a default.
ALTER TABLE slm_feedback.queries ADD COLUMN region text DEFAULT 'eu';
SELECT slm_feedback.record_query('q', request_id => 'x4');
SELECT region FROM slm_feedback.queries WHERE request_id = 'x4';
ALTER TABLE slm_feedback.queries DROP COLUMN region;

-- A read-only transaction writes nothing.
BEGIN READ ONLY;
SELECT slm_feedback.record_query('q');
ROLLBACK;
BEGIN READ ONLY;
SELECT slm_feedback.submit_feedback('x5', true);
ROLLBACK;
DROP TABLE seen;
DROP FUNCTION note();
-- A unique index in place of the primary key, on another column, is not taken for it.
BEGIN;
ALTER TABLE slm_feedback.queries DROP CONSTRAINT queries_pkey CASCADE;
TRUNCATE slm_feedback.queries CASCADE;
CREATE UNIQUE INDEX queries_session_id_key ON slm_feedback.queries (session_id);
SAVEPOINT s;
SELECT slm_feedback.record_query('q', request_id => 'no key', session_id => 's1');
ROLLBACK TO s;
INSERT INTO slm_feedback.queries (request_id, query_text, session_id) VALUES ('no key', 'q', 's1');
SELECT request_id FROM slm_feedback.submit_feedback('no key', true);
ROLLBACK;
DROP EXTENSION slm_feedback, hll, tdigest;
