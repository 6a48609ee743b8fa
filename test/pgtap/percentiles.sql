-- Percentiles of response times: exact, equal to percentile_cont, wherever a report's values are fewer than 1,000; within the
-- stated error above.
\ir setup.inc
CREATE EXTENSION slm_feedback CASCADE;
SELECT setseed(0.5);

-- A model for each number of values and each way in which they can lie, on three days; every fifth query has no time.
CREATE TEMP TABLE shape AS SELECT * FROM unnest(ARRAY['uniform', 'skew', 'steps', 'equal', 'two']) AS shape;
INSERT INTO slm_feedback.queries (request_id, query_text, response_text, created_at, response_time_ms, model, prompt_version)
SELECT format('%s %s %s %s', s.shape, n.size, d.day, i), 'q', 'a', '2026-03-20 12:00+00'::timestamptz + d.day * interval '1 day',
       CASE WHEN i <= n.size THEN
           CASE s.shape WHEN 'uniform' THEN (random() * 4000)::int WHEN 'skew' THEN exp(4 + 5 * random())::int
               WHEN 'steps' THEN (random() * 40)::int * 10 WHEN 'equal' THEN CASE WHEN random() < 0.9 THEN 700 ELSE (random() * 4000)::int END
               ELSE CASE WHEN random() < 0.5 THEN 0 ELSE 2147483647 END END END,
       format('%s %s', s.shape, n.size), 'v' || i % 2
FROM shape s, unnest(ARRAY[0, 1, 2, 3, 10, 100, 332, 333, 334, 499, 500, 998, 999, 1000, 1001]) AS n (size), generate_series(0, 2) AS d (day),
     generate_series(1, n.size + n.size / 5 + 1) AS i;

-- What percentile_cont says, for every group of days, models and versions.
CREATE TEMP TABLE exact AS
SELECT (q.created_at AT TIME ZONE 'UTC')::date AS date, q.model, q.prompt_version, count(q.response_time_ms) AS n,
       percentile_cont('{0.5, 0.95, 0.99}'::double precision[]) WITHIN GROUP (ORDER BY q.response_time_ms) AS p
FROM slm_feedback.queries q
GROUP BY GROUPING SETS ((1, 2, 3), (1, 2), (1, 3), (1), (2, 3), (2), ());

CREATE FUNCTION pg_temp.daily() RETURNS TABLE (date date, model text, prompt_version text, p double precision[]) LANGUAGE sql AS $$
    SELECT m.date, m.model, m.prompt_version, ARRAY[m.p50_response_time_ms, m.p95_response_time_ms, m.p99_response_time_ms]
    FROM slm_feedback.export_daily_metrics() m
$$;
CREATE FUNCTION pg_temp.over_days() RETURNS TABLE (model text, prompt_version text, p double precision[]) LANGUAGE sql AS $$
    SELECT m.model, v.prompt_version, ARRAY[m.approx_p50_response_time_ms, m.approx_p95_response_time_ms, m.approx_p99_response_time_ms]
    FROM (VALUES (true), (false)) b (by_version), slm_feedback.report_models('2026-03-01', '2026-04-30', b.by_version) m,
         LATERAL (SELECT CASE WHEN b.by_version THEN m.prompt_version END) v (prompt_version)
$$;
-- How many values a set has: as many bytes as end one.
CREATE FUNCTION pg_temp.size(bytea) RETURNS bigint LANGUAGE sql STRICT AS $$
    SELECT count(*) FROM generate_series(0, length($1) - 1) i WHERE get_byte($1, i) < 128
$$;
-- Groups of fewer than 1,000 whose percentiles are not exactly right.
CREATE FUNCTION pg_temp.wrong() RETURNS TABLE (report text, grp text, n bigint, found double precision[], wanted double precision[]) LANGUAGE sql AS $$
    SELECT 'day', concat_ws(' / ', e.date, coalesce(e.model, 'all'), coalesce(e.prompt_version, 'all')), e.n, d.p, e.p
    FROM exact e
    LEFT JOIN pg_temp.daily() d ON d.date = e.date AND d.model IS NOT DISTINCT FROM e.model AND d.prompt_version IS NOT DISTINCT FROM e.prompt_version
    WHERE e.date IS NOT NULL AND e.n < 1000
      AND d.p IS DISTINCT FROM coalesce(e.p, ARRAY[NULL, NULL, NULL]::double precision[])
    UNION ALL
    SELECT 'days', concat_ws(' / ', e.model, coalesce(e.prompt_version, 'all')), e.n, d.p, e.p
    FROM exact e
    LEFT JOIN pg_temp.over_days() d ON d.model = e.model AND d.prompt_version IS NOT DISTINCT FROM e.prompt_version
    WHERE e.date IS NULL AND e.model IS NOT NULL AND e.n < 1000
      AND d.p IS DISTINCT FROM coalesce(e.p, ARRAY[NULL, NULL, NULL]::double precision[])
$$;

SELECT plan(20);
SELECT is_empty('SELECT * FROM pg_temp.wrong()', 'exact before a rollup');
CALL slm_feedback.rollup();
SELECT is_empty('SELECT * FROM pg_temp.wrong()', 'exact after it');
SELECT is((SELECT count(*) FROM slm_feedback.daily_metrics m
           WHERE (m.small_response_times IS NULL) <> (m.response_time_count >= 1000) OR pg_temp.size(m.small_response_times) <> m.response_time_count),
          0::bigint, 'the times of fewer than 1,000 are stored, and no others');
SELECT cmp_ok((SELECT count(*) FROM slm_feedback.daily_metrics WHERE small_response_times IS NULL), '>', 10::bigint, 'some are too many');

-- The range that the dashboard opens with is merged as a report is.
SELECT is_empty($$
    SELECT r ->> 'model', r ->> 'p50', e.p
    FROM json_array_elements(slm_feedback.dashboard_ranges('2026-03-01', '2026-04-30') -> 'rows') r
    JOIN exact e ON e.model = r ->> 'model' AND e.date IS NULL AND e.prompt_version IS NULL
    WHERE e.n < 1000 AND ARRAY[(r ->> 'p50')::float8, (r ->> 'p95')::float8, (r ->> 'p99')::float8]
                         IS DISTINCT FROM coalesce(e.p, ARRAY[NULL, NULL, NULL]::double precision[])$$, 'the dashboard''s range');

-- The whole range, of few values.
DELETE FROM slm_feedback.queries WHERE model NOT IN ('two 3', 'uniform 100', 'skew 100', 'equal 10');
SELECT is((SELECT ARRAY[approx_p50_response_time_ms, approx_p95_response_time_ms, approx_p99_response_time_ms]
           FROM slm_feedback.report_summary('2026-03-01', '2026-04-30')),
          (SELECT percentile_cont('{0.5, 0.95, 0.99}'::double precision[]) WITHIN GROUP (ORDER BY response_time_ms) FROM slm_feedback.queries),
          'report_summary of a few days');
SELECT is((SELECT ARRAY[approx_p50_response_time_ms] FROM slm_feedback.report_summary('2027-03-01', '2027-04-30')), ARRAY[NULL]::float8[],
          'a range without queries has no percentiles');

-- The functions alone.
SELECT is(slm_feedback.exact_percentiles('', '{0.5}'), NULL, 'no value has no percentile');
SELECT is((SELECT slm_feedback.exact_percentiles(slm_feedback.small_values(v), '{0, 0.5, 1}') FROM (VALUES (7), (NULL)) x (v)),
          '{7,7,7}'::float8[], 'one value is every percentile');
SELECT is((SELECT slm_feedback.exact_percentiles(slm_feedback.small_values(v), '{0, 0.25, 0.5, 1}') FROM (VALUES (2147483647), (-2147483648), (-1)) x (v)),
          '{-2147483648,-1073741824.5,-1,2147483647}'::float8[], 'from end to end');
SELECT throws_ok($$SELECT slm_feedback.exact_percentiles('\x0a', '{1.5}')$$, '22003', NULL, 'a fraction above 1');
SELECT throws_ok($$SELECT slm_feedback.exact_percentiles('\x0a', '{NaN}')$$, '22003', NULL, 'a fraction that is none');
SELECT throws_ok($$SELECT slm_feedback.exact_percentiles('\x0a', '{NULL}')$$, '22003', NULL, 'a fraction that is null');
SELECT throws_ok(format($$SELECT slm_feedback.exact_percentiles(%L, '{0.5}')$$, b), 'XX001', NULL, format('no set: %s', left(b, 20)))
FROM unnest(ARRAY['\x80', '\xffffffffff', '\xffffffff7f', '\x808080808000', '\xffffffff0f01', '\x' || repeat('00', 1000)]) b;
SELECT is(slm_feedback.exact_percentiles(decode('ffffffff0f' || repeat('00', 998), 'hex'), '{0.5}'), '{2147483647}'::float8[], '999 of the largest');
SELECT * FROM finish();
DROP EXTENSION slm_feedback CASCADE;
