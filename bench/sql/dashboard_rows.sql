-- Three years of daily metrics for twenty models, as rollups would have stored them: a prompt version a
-- quarter, every column filled, rows at all four levels. No raw rows: the page is made from the rollup.
\set days 1095
SET search_path = slm_feedback, public;
CREATE TEMP TABLE sketches AS
SELECT s, (SELECT hll_add_agg(hll_hash_text('user ' || (random() * 20000)::int)) FROM generate_series(1, 150 + 40 * s)) AS users,
       (SELECT tdigest(200 + exp(6 + random()), 200) FROM generate_series(1, 150 + 40 * s)) AS times
FROM generate_series(1, 20) s;
CREATE TEMP TABLE leaves AS
SELECT d.day AS date, m AS n, 'model-' || to_char(m, 'FM00') AS model, 'v' || 1 + (d.day - date '2020-01-01') / 91 AS prompt_version, k.users, k.times,
       (300 + 60 * m + 500 * random())::bigint AS queries, random() AS r
FROM (SELECT slm_feedback.today() - :days + i AS day FROM generate_series(1, :days) i) d,
     generate_series(1, 20) m JOIN sketches k ON k.s = m;
CREATE TEMP TABLE filled AS
SELECT date, model, prompt_version, queries AS total_queries, queries - (2 * r)::bigint AS response_time_count,
       (queries * (400 + 300 * r))::bigint AS response_time_sum_ms, 380 + 200 * r AS p50, 1200 + 900 * r AS p95, 2400 + 1500 * r AS p99,
       (queries * (0.1 + 0.05 * r))::bigint AS positive, (queries * 0.04 * (1 - r))::bigint AS negative, (queries * 0.01)::bigint AS neutral,
       (queries * 0.21)::bigint AS feedback, (queries * 0.2)::bigint AS rated, (queries * 0.07)::bigint AS rating_count, (queries * (0.2 + 0.1 * r))::bigint AS rating_sum,
       (queries * 0.6)::bigint AS unique_users, (queries * 0.01 * r)::bigint AS errors, (queries * (300 + 100 * r))::bigint AS input_tokens,
       (queries * (150 + 90 * r))::bigint AS output_tokens, round((queries * 0.0007 * (1 + r))::numeric, 6) AS cost,
       ARRAY(SELECT (queries / 24.0 * (0.4 + random()))::bigint FROM generate_series(1, 24)) AS hours, users, times
FROM leaves;
INSERT INTO daily_metrics (date, model, prompt_version, total_queries, response_time_count, response_time_sum_ms, p50_response_time_ms, p95_response_time_ms,
    p99_response_time_ms, positive_feedback_count, negative_feedback_count, neutral_feedback_count, feedback_count, rated_queries, rating_count, rating_sum,
    unique_users, error_count, input_tokens, output_tokens, cost_usd, refreshed_at, hourly_queries, users, response_times)
SELECT date, model, prompt_version, sum(total_queries), sum(response_time_count), sum(response_time_sum_ms), avg(p50), avg(p95), avg(p99), sum(positive), sum(negative),
       sum(neutral), sum(feedback), sum(rated), sum(rating_count), sum(rating_sum), sum(unique_users), sum(errors), sum(input_tokens), sum(output_tokens), sum(cost), now(),
       ARRAY(SELECT (sum(total_queries) / 24 * (0.4 + random()))::bigint FROM generate_series(1, 24)), hll_union_agg(users), tdigest(times)
FROM filled GROUP BY date, CUBE (model, prompt_version);
INSERT INTO rollup_state (final_through) VALUES (today()) ON CONFLICT (singleton) DO UPDATE SET final_through = excluded.final_through;
