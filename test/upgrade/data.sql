-- Some months of queries and feedback, partly rolled up: some days are marked again after the rollup.
\set QUIET 1
\set ON_ERROR_STOP 1
SET client_min_messages = warning;
CREATE EXTENSION slm_feedback CASCADE;
SELECT slm_feedback.set_time_zone('America/New_York') \g /dev/null
SELECT count(*) FROM slm_feedback.record_queries((
    SELECT jsonb_agg(jsonb_build_object(
        'request_id', 'r' || i, 'query_text', E'Wie \u00e4ndert \\ man <b>' || i % 25 || E'</b>\n\t?', 'response_text', E'so \u20ac',
        'created_at', '2026-01-15 00:30+00'::timestamptz + i * interval '47 minutes', 'user_id', 'user ' || i % 31,
        'model', 'model ' || i % 3, 'prompt_version', 'v' || i % 2, 'response_time_ms', 100 + i * 7919 % 1900,
        'cost_usd', 0.000123, 'input_tokens', i % 300, 'sources_used', jsonb_build_array(i, 'a "source"'),
        'tags', '{"k": null}'::jsonb, 'error', CASE WHEN i % 19 = 0 THEN 'timeout' END))
    FROM generate_series(1, 2000) i)) \g /dev/null
SELECT count(*) FROM slm_feedback.submit_feedback_batch((
    SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
        'request_id', 'r' || 1 + i * 5 % 2000, 'user_id', 'rater ' || i % 4,
        'is_helpful', CASE WHEN i % 2 = 0 THEN i % 3 = 0 END, 'rating', CASE WHEN i % 2 = 1 THEN 1 + i % 5 END,
        'comment', CASE WHEN i % 7 = 0 THEN E'said\nthis' END)))
    FROM generate_series(1, 900) i)) \g /dev/null
-- A day with more queries than its sketches keep apart.
INSERT INTO slm_feedback.queries (request_id, query_text, created_at, user_id, response_time_ms, model, prompt_version)
SELECT 'b' || i, 'busy ' || i % 100, '2026-02-10 06:00+00'::timestamptz + i * interval '5 seconds', 'busy user ' || i % 1500,
       (i::bigint * i * 7919 % 100003)::int, 'model ' || i % 3, 'v' || i % 2
FROM generate_series(1, 8000) AS i;
CALL slm_feedback.rollup();
SELECT slm_feedback.submit_feedback('r100', false, comment => 'late', user_id => 'late rater') \g /dev/null
SELECT slm_feedback.record_query('late query', request_id => 'late', created_at => '2026-01-20 12:00+01', model => 'model 0') \g /dev/null
DELETE FROM slm_feedback.queries WHERE request_id = 'r200';
