-- Reports against an oracle that computes every measure from the raw rows with nothing of the extension's:
-- before any rollup, after it, after late changes, and after a change of the time zone.
\ir setup.inc
CREATE EXTENSION slm_feedback CASCADE;
SELECT setseed(0.25);

INSERT INTO slm_feedback.queries (request_id, query_text, response_text, created_at, user_id, response_time_ms, model,
    prompt_version, input_tokens, output_tokens, cost_usd, error)
SELECT 'r' || i, 'Question ' || (i % 40) || CASE i % 3 WHEN 0 THEN '?' WHEN 1 THEN ' ' ELSE ' !' END, 'answer',
       '2026-03-20 00:00+00'::timestamptz + i * interval '11 minutes',
       CASE WHEN i % 7 <> 0 THEN 'user ' || (random() * 60)::int END,
       CASE WHEN i % 11 <> 0 THEN (random() * 4000)::int END,
       CASE i % 4 WHEN 0 THEN 'a' WHEN 1 THEN 'b' WHEN 2 THEN 'c' END, CASE WHEN i % 5 > 0 THEN 'v' || (i % 2) END,
       (random() * 900)::int, (random() * 900)::int, (random() * 0.01)::numeric(10, 6), CASE WHEN i % 13 = 0 THEN 'timeout' END
FROM generate_series(1, 2000) i;
INSERT INTO slm_feedback.feedback (request_id, user_id, is_helpful, rating, comment, query_created_at)
SELECT 'r' || (i * 3 % 2000 + 1), 'rater ' || (i % 3), CASE i % 4 WHEN 0 THEN true WHEN 1 THEN false END,
       CASE WHEN i % 4 = 2 THEN 1 + i / 4 % 5 END, CASE WHEN i % 4 = 3 THEN 'hm' END, now()
FROM generate_series(1, 900) i
ON CONFLICT DO NOTHING;

-- The oracle: one day and level, computed plainly.
CREATE FUNCTION pg_temp.oracle(zone text, level_model text, level_version text)
RETURNS TABLE (date date, total_queries bigint, avg_ms double precision, positive bigint, negative bigint, neutral bigint,
               rated bigint, avg_rating double precision, users bigint, errors bigint, tokens_in bigint, tokens_out bigint, cost numeric)
LANGUAGE sql AS $$
    SELECT (q.created_at AT TIME ZONE zone)::date, count(*), avg(q.response_time_ms)::double precision,
           coalesce(sum(f.positive), 0)::bigint, coalesce(sum(f.negative), 0)::bigint, coalesce(sum(f.neutral), 0)::bigint,
           count(f.request_id), sum(f.stars)::double precision / nullif(sum(f.raters), 0)::double precision,
           count(DISTINCT q.user_id), count(q.error), sum(q.input_tokens), sum(q.output_tokens), sum(q.cost_usd)
    FROM slm_feedback.queries q
    LEFT JOIN (SELECT request_id,
                      sum(((is_helpful IS TRUE) OR (is_helpful IS NULL AND rating >= 4))::int) AS positive,
                      sum(((is_helpful IS FALSE) OR (is_helpful IS NULL AND rating <= 2))::int) AS negative,
                      sum((is_helpful IS NULL AND rating = 3)::int) AS neutral, sum(rating) AS stars, count(rating) AS raters
               FROM slm_feedback.feedback GROUP BY 1) f USING (request_id)
    WHERE (level_model IS NULL OR coalesce(q.model, '') = level_model)
      AND (level_version IS NULL OR coalesce(q.prompt_version, '') = level_version)
    GROUP BY 1
$$;
-- How many of the report's days differ from the oracle's, over every level.
CREATE FUNCTION pg_temp.differences(zone text) RETURNS bigint LANGUAGE sql AS $$
    SELECT sum(d.n)::bigint
    FROM (VALUES (NULL), ('a'), ('b'), ('c'), ('')) AS m (model), (VALUES (NULL), ('v0'), ('v1'), ('')) AS v (version),
         LATERAL (
             SELECT count(*) AS n
             FROM slm_feedback.report_daily('2026-01-01', '2026-12-31', m.model, v.version) r
             FULL JOIN pg_temp.oracle(zone, m.model, v.version) o USING (date)
             WHERE (r.total_queries, r.positive_feedback_count, r.negative_feedback_count, r.neutral_feedback_count,
                    r.unique_users, r.error_count, r.input_tokens, r.output_tokens, r.cost_usd)
                   IS DISTINCT FROM
                   (o.total_queries, o.positive, o.negative, o.neutral, o.users, o.errors, o.tokens_in, o.tokens_out, o.cost)
                OR abs(r.avg_response_time_ms - o.avg_ms) > 1e-9 OR (r.avg_response_time_ms IS NULL) <> (o.avg_ms IS NULL)
                OR r.avg_rating IS DISTINCT FROM o.avg_rating
                OR r.feedback_rate IS DISTINCT FROM o.rated::double precision / o.total_queries
                OR r.positive_ratio IS DISTINCT FROM o.positive::double precision / nullif(o.positive + o.negative, 0)) d
$$;

SELECT plan(24);
SELECT is((SELECT count(*) FROM slm_feedback.daily_metrics), 0::bigint, 'nothing is rolled up yet');
SELECT is(pg_temp.differences('UTC'), 0::numeric::bigint, 'live reports equal the oracle at every level');
CREATE TEMP TABLE live_models AS SELECT * FROM slm_feedback.report_models('2026-01-01', '2026-12-31', true);
CREATE TEMP TABLE live_summary AS SELECT * FROM slm_feedback.report_summary('2026-01-01', '2026-12-31');
CALL slm_feedback.rollup();
SELECT is((SELECT count(DISTINCT date) FROM slm_feedback.daily_metrics),
          (SELECT count(DISTINCT (created_at AT TIME ZONE 'UTC')::date) FROM slm_feedback.queries), 'every day is rolled up');
SELECT is((SELECT count(*) FROM slm_feedback.rollup_queue), 0::bigint, 'every mark is consumed');
SELECT is_empty($$SELECT * FROM slm_feedback.live_days('2026-01-01', '2026-12-31')$$, 'no day is computed live any more');
SELECT is(pg_temp.differences('UTC'), 0::bigint, 'rolled-up reports equal the oracle at every level');
SELECT results_eq($$SELECT * FROM slm_feedback.report_models('2026-01-01', '2026-12-31', true)$$, $$SELECT * FROM live_models$$,
                  'report_models is the same live and rolled up');
SELECT results_eq($$SELECT * FROM slm_feedback.report_summary('2026-01-01', '2026-12-31')$$, $$SELECT * FROM live_summary$$,
                  'report_summary is the same live and rolled up');

-- Sketches within their stated errors.
SELECT ok(abs(s.approx_unique_users - e.n) <= 0.1 * e.n, format('approx_unique_users %s of %s', s.approx_unique_users, e.n))
FROM live_summary s, (SELECT count(DISTINCT user_id) AS n FROM slm_feedback.queries) e;
SELECT ok(e.rank_error <= bound, format('p%s is %s: off by %s of rank', p, v, round(e.rank_error, 4)))
FROM live_summary s,
     LATERAL (VALUES (50, 0.5, s.approx_p50_response_time_ms, 0.01), (95, 0.95, s.approx_p95_response_time_ms, 0.005),
                     (99, 0.99, s.approx_p99_response_time_ms, 0.002)) AS x (p, q, v, bound),
     LATERAL (SELECT greatest(0, avg((response_time_ms < v)::int) - q, q - avg((response_time_ms <= v)::int)) AS rank_error
              FROM slm_feedback.queries WHERE response_time_ms IS NOT NULL) e;

-- Late changes of every kind; the report is right before and after the next rollup.
SELECT slm_feedback.submit_feedback('r100', true, user_id => 'late');
UPDATE slm_feedback.queries SET model = 'b', response_time_ms = 1 WHERE request_id = 'r500';
DELETE FROM slm_feedback.queries WHERE request_id = 'r900';
SELECT slm_feedback.withdraw_feedback(request_id, user_id) FROM slm_feedback.feedback WHERE request_id = 'r1102' LIMIT 1;
UPDATE slm_feedback.feedback SET rating = 1, is_helpful = NULL WHERE request_id = 'r1204';
SELECT slm_feedback.record_query('late question', request_id => 'late', created_at => '2026-03-25 10:00+00', model => 'a');
SELECT cmp_ok((SELECT count(DISTINCT date) FROM slm_feedback.rollup_queue), '>=', 5::bigint, 'late writes have marked their days');
SELECT is(pg_temp.differences('UTC'), 0::bigint, 'reports are right with marks pending');
CALL slm_feedback.rollup();
SELECT is(pg_temp.differences('UTC'), 0::bigint, 'and after the rollup that consumed them');
SELECT is((SELECT count(*) FROM slm_feedback.rollup_queue), 0::bigint, 'no mark is left');

-- A stored row that somebody spoils is mended by rebuild, and only by it.
UPDATE slm_feedback.daily_metrics SET total_queries = total_queries + 1 WHERE date = '2026-03-22';
SELECT isnt(pg_temp.differences('UTC'), 0::bigint, 'the oracle notices a wrong row');
CALL slm_feedback.rebuild('2026-03-22', '2026-03-22');
SELECT is(pg_temp.differences('UTC'), 0::bigint, 'rebuild mends it');

-- Days move with the time zone, daylight-saving change of 29 March included.
SELECT slm_feedback.set_time_zone('Europe/Berlin');
SELECT is(pg_temp.differences('Europe/Berlin'), 0::bigint, 'reports follow a new time zone at once');
CALL slm_feedback.rollup();
SELECT is(pg_temp.differences('Europe/Berlin'), 0::bigint, 'and after a rollup');
SELECT is((SELECT sum(h)::bigint FROM slm_feedback.daily_metrics m, unnest(m.hourly_queries) h WHERE model IS NULL AND prompt_version IS NULL),
          (SELECT count(*) FROM slm_feedback.queries), 'hours add up to the queries');
SELECT is((SELECT m.hourly_queries[3] FROM slm_feedback.daily_metrics m WHERE date = '2026-03-29' AND model IS NULL AND prompt_version IS NULL),
          0::bigint, 'the hour that the clock skipped is empty');

-- Top questions: variants are one question.
SELECT results_eq(
    $$SELECT slm_feedback.normalize_question(question), times_asked FROM slm_feedback.report_top_questions('2026-01-01', '2026-12-31', 1000) ORDER BY 1$$,
    $$SELECT lower(rtrim(query_text, ' ?!')) COLLATE "default", count(*) FROM slm_feedback.queries GROUP BY 1 ORDER BY 1$$, 'top questions count every variant');
TRUNCATE slm_feedback.queries CASCADE;
SELECT is_empty($$SELECT * FROM slm_feedback.report_daily('2026-01-01', '2026-12-31')$$, 'TRUNCATE empties the reports');
SELECT * FROM finish();
DROP EXTENSION slm_feedback, hll, tdigest;
