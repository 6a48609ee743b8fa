-- report_top_questions(), generate_report() and refresh_dashboard_questions() stay linear, whatever the planner thinks
-- of the tables: before ANALYZE and after it, at 0, 1, 1,000 and 30,000 questions with feedback on most of them. Time is
-- compared with one plain hash aggregation of the same rows in the same server; a nested loop over 30,000 questions
-- takes several hundred times as long.
\ir setup.inc
SET TIME ZONE 'UTC';
SET jit = off;
SET work_mem = '64MB';
SELECT no_plan();
CREATE EXTENSION slm_feedback CASCADE;

-- n questions over 40 days, one in three different, feedback on three of four.
CREATE FUNCTION pg_temp.fill(n integer) RETURNS void LANGUAGE sql AS $$
    DELETE FROM slm_feedback.queries;
    INSERT INTO slm_feedback.queries (request_id, query_text, created_at, user_id, model, prompt_version, response_time_ms)
    SELECT 'r' || i, 'question number ' || i * 7919 % (n / 3 + 1), timestamptz '2026-03-01' + i * interval '40 days' / n,
           'u' || i % 1000, 'm' || i % 3, 'v' || i % 2, 100 + i % 900
    FROM generate_series(1, n) i;
    INSERT INTO slm_feedback.feedback (request_id, user_id, is_helpful, query_created_at)
    SELECT q.request_id, q.user_id, q.response_time_ms % 10 < 7, q.created_at FROM slm_feedback.queries q
    WHERE right(q.request_id, 1) NOT IN ('0', '5') OR n = 1;
$$;
-- The fastest of three runs, in milliseconds.
CREATE FUNCTION pg_temp.milliseconds(statement text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz;
    best numeric;
BEGIN
    FOR i IN 1..3 LOOP
        started := clock_timestamp();
        EXECUTE statement;
        best := least(best, 1000 * extract(epoch FROM clock_timestamp() - started));
    END LOOP;
    RETURN best;
END $$;
CREATE FUNCTION pg_temp.plain() RETURNS numeric LANGUAGE sql AS $fn$
    SELECT pg_temp.milliseconds($$
        SELECT sum(n), sum(users), sum(good), sum(ms), min(first) FROM (
            SELECT q.question_hash, count(*) AS n, count(DISTINCT q.user_id) AS users, sum(f.good) AS good,
                   sum(q.response_time_ms) AS ms, min(q.created_at) AS first
            FROM slm_feedback.queries q
            LEFT JOIN (SELECT f.request_id, count(*) FILTER (WHERE f.sentiment = 1) AS good FROM slm_feedback.feedback f GROUP BY 1 OFFSET 0) f
                ON f.request_id = q.request_id
            GROUP BY 1 OFFSET 0) t $$) $fn$;
-- The same numbers by the shortest statement, to compare with.
CREATE FUNCTION pg_temp.expected() RETURNS TABLE (hash bigint, asked bigint, good bigint, bad bigint) LANGUAGE sql AS $$
    SELECT q.question_hash, count(DISTINCT q.request_id), count(*) FILTER (WHERE f.sentiment = 1), count(*) FILTER (WHERE f.sentiment = -1)
    FROM slm_feedback.queries q LEFT JOIN slm_feedback.feedback f USING (request_id) GROUP BY 1 $$;
CREATE FUNCTION pg_temp.check_size(n integer, analyzed text) RETURNS SETOF text LANGUAGE plpgsql AS $fn$
DECLARE
    plain numeric;
    spent numeric;
BEGIN
    RETURN NEXT results_eq(
        $$SELECT question_hash, times_asked, positive_feedback_count, negative_feedback_count
          FROM slm_feedback.report_top_questions('2026-03-01', '2026-04-10', NULL) ORDER BY 1$$,
        'SELECT * FROM pg_temp.expected() ORDER BY 1', format('%s questions, %s: the counts are right', n, analyzed));
    plain := greatest(pg_temp.plain(), 5);
    spent := pg_temp.milliseconds($$SELECT count(*) FROM slm_feedback.report_top_questions('2026-03-01', '2026-04-10')$$);
    RETURN NEXT cmp_ok(spent, '<=', 10 * plain, format('%s questions, %s: report_top_questions takes %s ms, a plain aggregation %s', n, analyzed, spent, plain));
    spent := pg_temp.milliseconds($$SELECT slm_feedback.generate_report('range', '2026-03-01', '2026-04-10')$$);
    RETURN NEXT cmp_ok(spent, '<=', 60 * plain, format('%s questions, %s: generate_report takes %s ms', n, analyzed, spent));
    spent := pg_temp.milliseconds('SELECT slm_feedback.refresh_dashboard_questions()');
    RETURN NEXT cmp_ok(spent, '<=', 40 * plain, format('%s questions, %s: refresh_dashboard_questions takes %s ms', n, analyzed, spent));
END $fn$;

ALTER TABLE slm_feedback.queries SET (autovacuum_enabled = off);
ALTER TABLE slm_feedback.feedback SET (autovacuum_enabled = off);
SELECT pg_temp.check_size(0, 'never analyzed');
SELECT pg_temp.fill(30000);
SELECT pg_temp.check_size(30000, 'never analyzed');
ANALYZE slm_feedback.queries, slm_feedback.feedback;
SELECT pg_temp.check_size(30000, 'analyzed');
SELECT pg_temp.fill(1);
SELECT pg_temp.check_size(1, 'analyzed when there were 30,000');
ANALYZE slm_feedback.queries, slm_feedback.feedback;
SELECT pg_temp.check_size(1, 'analyzed');
SELECT pg_temp.fill(1000);
SELECT pg_temp.check_size(1000, 'analyzed when there was 1');
SELECT pg_temp.fill(30000);
SELECT pg_temp.check_size(30000, 'analyzed when there was 1');

SELECT * FROM finish();
DROP EXTENSION slm_feedback CASCADE;
