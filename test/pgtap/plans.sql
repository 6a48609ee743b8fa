-- What the measured speed rests on, bounded by counts that do not depend on the machine: rows and pages read, rows
-- and write-ahead log written. Each bound is taken in a small table and again in one three times as large.
\set QUIET 1
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS slm_feedback CASCADE;
DROP EXTENSION IF EXISTS slm_feedback;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION slm_feedback CASCADE;
SET jit = off;
SET max_parallel_workers_per_gather = 0;
SELECT * FROM no_plan();

-- ---- what is counted ----
-- The rows that have been read from a table since the last reset.
CREATE FUNCTION pg_temp.rows_read(relation regclass) RETURNS bigint LANGUAGE sql AS $$
    SELECT s.seq_tup_read + coalesce(s.idx_tup_fetch, 0) FROM pg_stat_all_tables s WHERE s.relid = relation $$;
-- One figure of the statement's plan at its top node, which includes every function that it calls.
CREATE FUNCTION pg_temp.measure(statement text, what text[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, WAL, TIMING off, FORMAT json) ' || statement INTO plan;
    RETURN (SELECT sum((plan -> 0 -> 'Plan' ->> w)::bigint) FROM unnest(what) w);
END
$$;
CREATE FUNCTION pg_temp.pages(statement text) RETURNS bigint LANGUAGE sql AS $$
    SELECT pg_temp.measure(statement, ARRAY['Shared Hit Blocks', 'Shared Read Blocks']) $$;
CREATE FUNCTION pg_temp.wal_records(statement text) RETURNS bigint LANGUAGE sql AS $$
    SELECT pg_temp.measure(statement, ARRAY['WAL Records']) $$;
-- The upsert that an application would prepare, into a table with the same constraints.
CREATE TABLE raw_feedback (LIKE slm_feedback.feedback INCLUDING ALL,
    FOREIGN KEY (request_id) REFERENCES slm_feedback.queries (request_id) ON DELETE CASCADE);
CREATE FUNCTION raw_submit(id text, rater text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO raw_feedback AS f (request_id, user_id, is_helpful, rating, query_created_at) VALUES (id, rater, true, 4, now())
    ON CONFLICT (request_id, user_id) DO UPDATE SET is_helpful = coalesce(excluded.is_helpful, f.is_helpful),
        rating = coalesce(excluded.rating, f.rating), updated_at = excluded.updated_at;
END
$$;

-- 400 questions a day and 80 opinions, days first .. last; the newest is well in the past, so every day can be final.
CREATE PROCEDURE fill(first integer, last integer) LANGUAGE sql AS $$
    INSERT INTO slm_feedback.queries (request_id, query_text, response_text, created_at, user_id, response_time_ms, model, prompt_version)
    SELECT format('d%s-%s', d, i), 'How do I change setting ' || i || '?', repeat('Press the button twice. ', 12),
           timestamptz '2025-01-01 00:00+00' + d * interval '1 day' + i * interval '3 minutes', 'user-' || i % 90, 100 + i, 'm' || i % 3, 'v' || i % 2
    FROM generate_series(first, last) d, generate_series(1, 400) i;
    INSERT INTO slm_feedback.feedback (request_id, user_id, rating, query_created_at)
    SELECT format('d%s-%s', d, i * 5), 'rater', 1 + i % 5, now() FROM generate_series(first, last) d, generate_series(1, 80) i;
$$;
CREATE TABLE measured (what text, size text, n bigint);

\set size small
CALL fill(0, 39);
\ir plans.inc
\set size large
CALL fill(40, 119);
\ir plans.inc

-- ---- bounds ----
CREATE FUNCTION pg_temp.bound(what text, at_most bigint, why text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT cmp_ok(m.n, '<=', at_most, format('%s, %s table: %s', why, m.size, m.n)) FROM measured m WHERE m.what = bound.what $$;
CREATE FUNCTION pg_temp.same(what text, tolerance bigint, why text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT cmp_ok(max(m.n) - min(m.n), '<=', tolerance, format('%s, whatever the table''s size: %s', why, string_agg(m.n::text, ' and ' ORDER BY m.n)))
    FROM measured m WHERE m.what = same.what $$;

SELECT pg_temp.bound('report raw', 0, 'reports over final days read no raw row');
SELECT pg_temp.bound('rollup queries', 2 * 400 + 10, 'the rollup of one day reads its questions at most twice');
SELECT pg_temp.bound('rollup feedback', 80 + 10, 'the rollup of one day reads its opinions once');
SELECT pg_temp.same('rollup queries', 5, 'the rollup of one day reads as many questions');
SELECT pg_temp.same('rollup feedback', 5, 'the rollup of one day reads as many opinions');
SELECT pg_temp.same('day pages', 30, 'a day''s metrics read as many pages');
SELECT pg_temp.same('submit pages', 4, 'submit_feedback touches as many pages');
SELECT pg_temp.same('record pages', 4, 'record_query touches as many pages');
SELECT cmp_ok(o.n, '<=', r.n, format('submit_feedback touches no more pages than the plain upsert, %s table: %s and %s', o.size, o.n, r.n))
FROM measured o JOIN measured r USING (size) WHERE o.what = 'submit pages' AND r.what = 'raw submit pages';
SELECT cmp_ok(o.n, '<=', r.n, format('submit_feedback writes no more of the write-ahead log than the plain upsert, %s table: %s and %s records', o.size, o.n, r.n))
FROM measured o JOIN measured r USING (size) WHERE o.what = 'submit wal' AND r.what = 'raw submit wal';

-- ---- a call writes its row and nothing else ----
CREATE FUNCTION pg_temp.written() RETURNS TABLE (name text, inserted bigint, updated bigint, deleted bigint, scanned bigint) LANGUAGE sql AS $$
    SELECT relname::text, n_tup_ins, n_tup_upd, n_tup_del, seq_scan FROM pg_stat_xact_all_tables
    WHERE schemaname = 'slm_feedback' AND n_tup_ins + n_tup_upd + n_tup_del + seq_scan > 0 $$;
SELECT pg_stat_force_next_flush();
BEGIN;
SELECT count(slm_feedback.record_query('a question', 'an answer', 'now')) \g /dev/null
SELECT results_eq('SELECT * FROM pg_temp.written()', $$VALUES ('queries', 1::bigint, 0::bigint, 0::bigint, 0::bigint)$$, 'record_query writes one row and scans no table');
COMMIT;
SELECT pg_stat_force_next_flush();
BEGIN;
SELECT count(slm_feedback.submit_feedback('now', true, 5, NULL, 'somebody')) \g /dev/null
SELECT results_eq('SELECT * FROM pg_temp.written()', $$VALUES ('feedback', 1::bigint, 0::bigint, 0::bigint, 0::bigint)$$, 'submit_feedback writes one row and scans no table');
COMMIT;
SELECT is((SELECT count(*) FROM slm_feedback.rollup_queue), 0::bigint, 'neither leaves a mark when it comes on the day of the question');

SELECT * FROM finish();
DROP EXTENSION slm_feedback CASCADE;
DROP SCHEMA slm_feedback;
DROP TABLE measured, raw_feedback;
DROP FUNCTION raw_submit;
DROP PROCEDURE fill;
