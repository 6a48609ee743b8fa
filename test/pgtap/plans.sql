-- What the measured speed rests on, bounded by counts that do not depend on the machine: rows and pages read, rows
-- and write-ahead log written. Each bound is taken in a small table and again in one three times as large.
\ir setup.inc
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
-- What one call costs: the least of several, because a page may split, be cold, or be logged whole after a checkpoint. The
-- number of the call takes the place of %s, in three digits, so that rows are equally long.
CREATE FUNCTION pg_temp.least_cost(statement text, calls integer DEFAULT 12, OUT pages bigint, OUT wal_records bigint, OUT wal_bytes bigint) LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    FOR i IN 101 .. 100 + calls LOOP
        EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, WAL, TIMING off, FORMAT json) ' || replace(statement, '%s', i::text) INTO plan;
        plan := plan -> 0 -> 'Plan';
        pages := least(pages, (plan ->> 'Shared Hit Blocks')::bigint + (plan ->> 'Shared Read Blocks')::bigint);
        wal_records := least(wal_records, (plan ->> 'WAL Records')::bigint);
        wal_bytes := least(wal_bytes, (plan ->> 'WAL Bytes')::bigint);
    END LOOP;
END
$$;
-- The statements that an application would prepare, on tables with the same constraints and indexes.
CREATE TABLE raw_queries (LIKE slm_feedback.queries INCLUDING ALL);
CREATE TABLE raw_feedback (LIKE slm_feedback.feedback INCLUDING ALL,
    FOREIGN KEY (request_id) REFERENCES raw_queries (request_id) ON DELETE CASCADE);
-- A plain statement has no guard trigger that sets it.
ALTER TABLE raw_feedback DROP COLUMN sentiment, ADD COLUMN sentiment smallint GENERATED ALWAYS AS (
    CASE WHEN is_helpful THEN 1 WHEN NOT is_helpful THEN -1 WHEN rating >= 4 THEN 1 WHEN rating = 3 THEN 0 WHEN rating <= 2 THEN -1 END) STORED;
CREATE FUNCTION raw_record(query text, response text, id text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO raw_queries (request_id, query_text, response_text, created_at) VALUES (id, query, response, clock_timestamp()) ON CONFLICT (request_id) DO NOTHING;
END
$$;
CREATE FUNCTION raw_submit(id text, helpful boolean, stars integer, rater text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO raw_feedback AS f (request_id, user_id, is_helpful, rating, created_at, updated_at, query_created_at)
    VALUES (id, rater, helpful, stars, clock_timestamp(), clock_timestamp(), now())
    ON CONFLICT (request_id, user_id) DO UPDATE SET is_helpful = coalesce(excluded.is_helpful, f.is_helpful),
        rating = coalesce(excluded.rating, f.rating), comment = coalesce(excluded.comment, f.comment), updated_at = excluded.updated_at;
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
CREATE TABLE measured_calls (what text, size text, pages bigint, wal_records bigint, wal_bytes bigint, raw_pages bigint, raw_wal_records bigint, raw_wal_bytes bigint);

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
-- In percent of what the same rows cost by plain prepared statements.
CREATE FUNCTION pg_temp.against_raw(what text, pages_percent integer, records_percent integer, bytes_percent integer) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT cmp_ok(100 * ours, '<=', at_most * raw, format('%s, %s table: at most %s %% of the %s of plain statements (%s and %s)', m.what, m.size, at_most, unit, ours, raw))
    FROM measured_calls m, LATERAL (VALUES ('pages', m.pages, m.raw_pages, pages_percent), ('log records', m.wal_records, m.raw_wal_records, records_percent),
        ('log bytes', m.wal_bytes, m.raw_wal_bytes, bytes_percent)) v(unit, ours, raw, at_most)
    WHERE m.what = against_raw.what $$;
SELECT pg_temp.against_raw('record_query', 100, 100, 100);
SELECT pg_temp.against_raw('submit_feedback', 100, 100, 100);
SELECT pg_temp.against_raw('submit_feedback of a changed opinion', 200, 100, 105);
SELECT pg_temp.against_raw('record_queries of 100', 105, 102, 105);
SELECT pg_temp.against_raw('submit_feedback_batch of 100', 105, 102, 105);
SELECT cmp_ok(max(pages), '<=', (1.25 * min(pages))::bigint, format('%s touches as many pages, whatever the table''s size: %s', what, string_agg(pages::text, ' and ' ORDER BY pages)))
FROM measured_calls GROUP BY what ORDER BY what;

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
DROP TABLE measured, measured_calls, raw_feedback, raw_queries;
DROP FUNCTION raw_submit, raw_record;
DROP PROCEDURE fill;
