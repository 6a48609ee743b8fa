-- Every bad input gives an error with its own SQLSTATE and a clear text, and leaves the tables as they were.
-- A worker of the server would roll the marks up meanwhile.
BEGIN;
CREATE EXTENSION slm_feedback CASCADE;
SELECT slm_feedback.set_job('rollup', false), slm_feedback.set_job('refresh', false);
COMMIT;
SELECT slm_feedback.record_query('good', request_id => 'good', created_at => '2026-01-10 12:00+00');
SELECT sentiment FROM slm_feedback.submit_feedback('good', true, user_id => 'ann');
CREATE ROLE slm_regress_nobody;

CREATE TEMP TABLE attempts (n int GENERATED ALWAYS AS IDENTITY, statement text, sqlstate text, message text);
CREATE FUNCTION pg_temp.attempt(statement text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    state text;
    message text;
    detail text;
BEGIN
    BEGIN
        EXECUTE statement;
        state := '00000';
        message := 'accepted!';
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
        -- The detail of a constraint shows the row, and so the present time.
        message := message || CASE WHEN detail <> '' AND state !~ '^23' THEN ': ' || detail ELSE '' END;
    END;
    INSERT INTO attempts (statement, sqlstate, message) VALUES (statement, state, left(message, 150));
END
$$;
CREATE FUNCTION pg_temp.fingerprint() RETURNS text LANGUAGE sql AS $$
    SELECT md5(concat((SELECT string_agg(q::text, ',' ORDER BY request_id) FROM slm_feedback.queries q), '/',
                      (SELECT string_agg(f::text, ',' ORDER BY request_id, user_id) FROM slm_feedback.feedback f), '/',
                      (SELECT string_agg(r::text, ',' ORDER BY date) FROM slm_feedback.rollup_queue r)))
$$;
SELECT pg_temp.fingerprint() AS before \gset

SELECT count(pg_temp.attempt(s)) AS attempts FROM (VALUES
    -- record_query
    ($$SELECT slm_feedback.record_query(NULL)$$),
    ($$SELECT slm_feedback.record_query('q', request_id => '')$$),
    ($$SELECT slm_feedback.record_query('q', request_id => repeat('x', 256))$$),
    ($$SELECT slm_feedback.record_query('q', request_id => repeat('ä', 128))$$),
    ($$SELECT slm_feedback.record_query('q', user_id => '')$$),
    ($$SELECT slm_feedback.record_query('q', user_id => repeat('x', 256))$$),
    ($$SELECT slm_feedback.record_query('q', session_id => repeat('x', 256))$$),
    ($$SELECT slm_feedback.record_query('q', model => repeat('x', 256))$$),
    ($$SELECT slm_feedback.record_query('q', prompt_version => '')$$),
    ($$SELECT slm_feedback.record_query(repeat('x', 11000000))$$),
    ($$SELECT slm_feedback.record_query('q', repeat('x', 1000000000))$$),
    ($$SELECT slm_feedback.record_query('q', error => repeat('x', 65537))$$),
    ($$SELECT slm_feedback.record_query('q', metadata => to_jsonb(repeat('x', 1100000)))$$),
    ($$SELECT slm_feedback.record_query('q', response_time_ms => -1)$$),
    ($$SELECT slm_feedback.record_query('q', response_time_ms => 'NaN')$$),
    ($$SELECT slm_feedback.record_query('q', response_time_ms => 'Infinity')$$),
    ($$SELECT slm_feedback.record_query('q', response_time_ms => 3e9)$$),
    ($$SELECT slm_feedback.record_query('q', input_tokens => -5)$$),
    ($$SELECT slm_feedback.record_query('q', output_tokens => 3000000000)$$),
    ($$SELECT slm_feedback.record_query('q', cost_usd => -0.01)$$),
    ($$SELECT slm_feedback.record_query('q', cost_usd => 'NaN')$$),
    ($$SELECT slm_feedback.record_query('q', cost_usd => 'Infinity')$$),
    ($$SELECT slm_feedback.record_query('q', created_at => 'infinity')$$),
    ($$SELECT slm_feedback.record_query('q', created_at => '-infinity')$$),
    ($$SELECT slm_feedback.record_query('q', created_at => '1999-12-31 23:59:59+00')$$),
    ($$SELECT slm_feedback.record_query('q', created_at => '4000-01-01 BC')$$),
    ($$SELECT slm_feedback.record_query('q', created_at => now() + interval '25 hours')$$),
    ($$SELECT slm_feedback.record_query('q', created_at => '294276-12-31 23:59+00')$$),
    ($$SELECT slm_feedback.record_query('q', sources_used => '{"a":')$$),
    ($$SELECT slm_feedback.record_query('q', metadata => '{"a": "\u0000"}')$$),
    ($$SELECT slm_feedback.record_query(E'a\x00b')$$),
    ($$SELECT slm_feedback.record_query(convert_from('\xff', 'UTF8'))$$),
    -- submit_feedback
    ($$SELECT slm_feedback.submit_feedback(NULL, true)$$),
    ($$SELECT slm_feedback.submit_feedback('', true)$$),
    ($$SELECT slm_feedback.submit_feedback('unknown', true)$$),
    ($$SELECT slm_feedback.submit_feedback('good'; DROP TABLE slm_feedback.feedback', true)$$),
    ($$SELECT slm_feedback.submit_feedback('good''; DROP TABLE slm_feedback.feedback; --', true)$$),
    ($$SELECT slm_feedback.submit_feedback('good')$$),
    ($$SELECT slm_feedback.submit_feedback('good', comment => ' ')$$),
    ($$SELECT slm_feedback.submit_feedback('good', rating => 0)$$),
    ($$SELECT slm_feedback.submit_feedback('good', rating => 6)$$),
    ($$SELECT slm_feedback.submit_feedback('good', rating => -2147483648)$$),
    ($$SELECT slm_feedback.submit_feedback('good', rating => 'NaN')$$),
    ($$SELECT slm_feedback.submit_feedback('good', rating => 65541)$$),
    ($$SELECT slm_feedback.submit_feedback('good', rating => 99999999999)$$),
    ($$SELECT slm_feedback.submit_feedback('good', 'perhaps')$$),
    ($$SELECT slm_feedback.submit_feedback('good', comment => repeat('x', 65537))$$),
    ($$SELECT slm_feedback.submit_feedback('good', true, user_id => '')$$),
    ($$SELECT slm_feedback.submit_feedback('good', true, user_id => repeat('x', 256))$$),
    ($$SELECT slm_feedback.submit_feedback(repeat('x', 256), true)$$),
    -- withdraw_feedback
    ($$SELECT slm_feedback.withdraw_feedback(NULL, 'ann')$$),
    ($$SELECT slm_feedback.withdraw_feedback('unknown', 'ann')$$),
    ($$SELECT slm_feedback.withdraw_feedback('good', NULL)$$),
    -- batches as a whole
    ($$SELECT slm_feedback.record_queries(NULL)$$),
    ($$SELECT slm_feedback.record_queries('{"query_text": "q"}')$$),
    ($$SELECT slm_feedback.record_queries('5')$$),
    ($$SELECT slm_feedback.record_queries((SELECT jsonb_agg('{}'::jsonb) FROM generate_series(1, 100001)))$$),
    ($$SELECT slm_feedback.record_queries('[{"query_text": "q"')$$),
    ($$SELECT slm_feedback.submit_feedback_batch('"good"')$$),
    ($$SELECT slm_feedback.submit_feedback_batch(NULL)$$),
    -- direct writes
    ($$INSERT INTO slm_feedback.queries (request_id, query_text, created_at) VALUES ('d1', 'q', 'infinity')$$),
    ($$INSERT INTO slm_feedback.queries (request_id, query_text, created_at) VALUES ('d1', 'q', now() + interval '2 days')$$),
    ($$INSERT INTO slm_feedback.queries (request_id, query_text) VALUES ('', 'q')$$),
    ($$INSERT INTO slm_feedback.queries (request_id, query_text) VALUES ('good', 'q')$$),
    ($$INSERT INTO slm_feedback.queries (request_id, query_text, cost_usd) VALUES ('d1', 'q', 'NaN')$$),
    ($$UPDATE slm_feedback.queries SET created_at = now()$$),
    ($$UPDATE slm_feedback.queries SET request_id = 'other'$$),
    ($$INSERT INTO slm_feedback.feedback (request_id, is_helpful, query_created_at) VALUES ('unknown', true, now())$$),
    ($$INSERT INTO slm_feedback.feedback (request_id, query_created_at) VALUES ('good', now())$$),
    ($$INSERT INTO slm_feedback.feedback (request_id, rating, query_created_at) VALUES ('good', 9, now())$$),
    ($$UPDATE slm_feedback.feedback SET request_id = 'other'$$),
    -- reports and settings
    ($$SELECT slm_feedback.report_daily('2026-02-01', '2026-01-01')$$),
    ($$SELECT slm_feedback.report_top_questions(order_by => 'random')$$),
    ($$SELECT slm_feedback.report_top_questions(max_rows => -1)$$),
    ($$SELECT slm_feedback.set_time_zone('Mars/Olympus')$$),
    ($$SELECT slm_feedback.set_time_zone(NULL)$$),
    ($$CALL slm_feedback.rollup()$$),
    ($$CALL slm_feedback.rebuild(NULL, NULL)$$)
) AS t (s);
SET ROLE slm_regress_nobody;
SELECT slm_feedback.submit_feedback('good', true);
RESET ROLE;
GRANT USAGE ON SCHEMA slm_feedback TO slm_regress_nobody;
GRANT ALL ON attempts TO slm_regress_nobody;
SET ROLE slm_regress_nobody;
SELECT count(pg_temp.attempt(s)) AS attempts FROM (VALUES
    ($$SELECT slm_feedback.record_query('q')$$),
    ($$SELECT slm_feedback.submit_feedback('good', true)$$),
    ($$SELECT slm_feedback.report_daily()$$),
    ($$CALL slm_feedback.rollup()$$),
    ($$SELECT * FROM slm_feedback.queries$$),
    ($$DELETE FROM slm_feedback.feedback$$)
) AS t (s);
RESET ROLE;
\pset format unaligned
SELECT n, left(statement, 70) AS statement, sqlstate, message FROM attempts ORDER BY n;
SELECT count(*) AS accepted FROM attempts WHERE sqlstate = '00000';
SELECT count(*) >= 40 AS enough, count(*) AS attempts FROM attempts;
SELECT pg_temp.fingerprint() = :'before' AS tables_as_they_were;
REVOKE USAGE ON SCHEMA slm_feedback FROM slm_regress_nobody;
DROP TABLE attempts CASCADE;
DROP ROLE slm_regress_nobody;
DROP EXTENSION slm_feedback, hll, tdigest;
