-- daily_metrics: one row a (day, model, prompt version), and rows over all models (model is null) and over
-- all prompt versions (prompt_version is null), so that unique users are exact at each of the four levels.
-- A query without a model or version counts under the empty string.
CREATE TABLE slm_feedback.daily_metrics (
    date date NOT NULL,
    model text COLLATE "C",
    prompt_version text COLLATE "C",
    total_queries bigint NOT NULL,
    response_time_count bigint NOT NULL,
    response_time_sum_ms bigint NOT NULL,
    p50_response_time_ms double precision,
    p95_response_time_ms double precision,
    p99_response_time_ms double precision,
    positive_feedback_count bigint NOT NULL,
    negative_feedback_count bigint NOT NULL,
    neutral_feedback_count bigint NOT NULL,
    feedback_count bigint NOT NULL,
    rated_queries bigint NOT NULL,
    rating_count bigint NOT NULL,
    rating_sum bigint NOT NULL,
    unique_users bigint NOT NULL,
    error_count bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cost_usd numeric NOT NULL,
    refreshed_at timestamptz NOT NULL,
    hourly_queries bigint[] NOT NULL,
    users hll,
    response_times tdigest,
    CONSTRAINT daily_metrics_key UNIQUE NULLS NOT DISTINCT (date, model, prompt_version)
);
COMMENT ON TABLE slm_feedback.daily_metrics IS
'The rollup: one row a day, model and prompt version, and rows over all of them (null = all, empty string = not given). Add up rows of one level only. report_daily() reads it and computes what is not rolled up yet.';
COMMENT ON COLUMN slm_feedback.daily_metrics.date IS 'The day of the queries in the configured time zone; feedback counts on the day of its query.';
COMMENT ON COLUMN slm_feedback.daily_metrics.model IS 'The model; null for the row over all models, empty for queries without one.';
COMMENT ON COLUMN slm_feedback.daily_metrics.prompt_version IS 'The prompt version; null for the row over all versions, empty for queries without one.';
COMMENT ON COLUMN slm_feedback.daily_metrics.total_queries IS 'Number of queries. Exact.';
COMMENT ON COLUMN slm_feedback.daily_metrics.response_time_count IS 'Queries with a response time. Exact.';
COMMENT ON COLUMN slm_feedback.daily_metrics.response_time_sum_ms IS 'Sum of the response times in milliseconds. Exact.';
COMMENT ON COLUMN slm_feedback.daily_metrics.p50_response_time_ms IS 'Median response time in milliseconds, approximated by a t-digest (compression 200): within about 1% of rank.';
COMMENT ON COLUMN slm_feedback.daily_metrics.p95_response_time_ms IS '95th percentile of the response time in milliseconds, approximated by a t-digest (compression 200): within about 0.5% of rank.';
COMMENT ON COLUMN slm_feedback.daily_metrics.p99_response_time_ms IS '99th percentile of the response time in milliseconds, approximated by a t-digest (compression 200): within about 0.2% of rank.';
COMMENT ON COLUMN slm_feedback.daily_metrics.positive_feedback_count IS 'Opinions with sentiment 1. Exact.';
COMMENT ON COLUMN slm_feedback.daily_metrics.negative_feedback_count IS 'Opinions with sentiment -1. Exact.';
COMMENT ON COLUMN slm_feedback.daily_metrics.neutral_feedback_count IS 'Opinions with sentiment 0. Exact.';
COMMENT ON COLUMN slm_feedback.daily_metrics.feedback_count IS 'Opinions of any kind, comments alone included. Exact.';
COMMENT ON COLUMN slm_feedback.daily_metrics.rated_queries IS 'Queries with at least one opinion. Exact.';
COMMENT ON COLUMN slm_feedback.daily_metrics.rating_count IS 'Opinions with a rating. Exact.';
COMMENT ON COLUMN slm_feedback.daily_metrics.rating_sum IS 'Sum of the ratings (1 to 5). Exact.';
COMMENT ON COLUMN slm_feedback.daily_metrics.unique_users IS 'Distinct users who asked (anonymous queries not counted). Exact for this day and level; do not add up over days: merge users instead.';
COMMENT ON COLUMN slm_feedback.daily_metrics.error_count IS 'Queries that ended with an error. Exact.';
COMMENT ON COLUMN slm_feedback.daily_metrics.input_tokens IS 'Sum of input tokens. Exact.';
COMMENT ON COLUMN slm_feedback.daily_metrics.output_tokens IS 'Sum of output tokens. Exact.';
COMMENT ON COLUMN slm_feedback.daily_metrics.cost_usd IS 'Sum of costs in US dollars. Exact.';
COMMENT ON COLUMN slm_feedback.daily_metrics.refreshed_at IS 'When this row was computed.';
COMMENT ON COLUMN slm_feedback.daily_metrics.hourly_queries IS 'Number of queries in each hour of the local day: 24 elements, the first for 00:00 to 00:59. Exact.';
COMMENT ON COLUMN slm_feedback.daily_metrics.users IS 'HyperLogLog sketch of the users who asked: merges over days with a standard error of about 2.3%.';
COMMENT ON COLUMN slm_feedback.daily_metrics.response_times IS 't-digest (compression 200) of the response times in milliseconds: merges over days.';
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.daily_metrics', '');

-- rollup_queue: the days that late writes have touched. Append only: a mark is deleted by the run that
-- recomputes its day, never reused, because a mark that another transaction is just consuming would be lost.
CREATE TABLE slm_feedback.rollup_queue (
    date date NOT NULL
);
CREATE INDEX rollup_queue_date_idx ON slm_feedback.rollup_queue (date);
COMMENT ON TABLE slm_feedback.rollup_queue IS
'Days that late writes (other than on the day of the query) have touched and the next rollup recomputes. A day may stand here more than once.';
COMMENT ON COLUMN slm_feedback.rollup_queue.date IS 'The day to recompute.';
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.rollup_queue', '');

CREATE TABLE slm_feedback.rollup_state (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    final_through date,
    purged_before date
);
COMMENT ON TABLE slm_feedback.rollup_state IS 'How far the rollup has come: no row before the first run, then one.';
COMMENT ON COLUMN slm_feedback.rollup_state.singleton IS 'Always true: at most one row.';
COMMENT ON COLUMN slm_feedback.rollup_state.final_through IS 'Every day up to this one is final: its stored metrics are right unless the day is in rollup_queue.';
COMMENT ON COLUMN slm_feedback.rollup_state.purged_before IS 'Days before this one are frozen, because retention has removed their raw rows.';
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.rollup_state', '');

CREATE TABLE slm_feedback.rollup_runs (
    run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'done', 'interrupted')),
    days integer NOT NULL DEFAULT 0,
    oldest_transaction timestamptz,
    final_through date
);
COMMENT ON TABLE slm_feedback.rollup_runs IS 'The log of rollup runs, the newest 1,000.';
COMMENT ON COLUMN slm_feedback.rollup_runs.run_id IS 'Number of the run.';
COMMENT ON COLUMN slm_feedback.rollup_runs.started_at IS 'When the run started.';
COMMENT ON COLUMN slm_feedback.rollup_runs.ended_at IS 'When the run ended; null while it runs, or if it was interrupted.';
COMMENT ON COLUMN slm_feedback.rollup_runs.status IS 'running, done, or interrupted (an error, a cancel or a crash: the days done so far stay done).';
COMMENT ON COLUMN slm_feedback.rollup_runs.days IS 'Days recomputed so far.';
COMMENT ON COLUMN slm_feedback.rollup_runs.oldest_transaction IS 'The oldest start of a transaction that was in progress when the run began: only days that ended before it can become final.';
COMMENT ON COLUMN slm_feedback.rollup_runs.final_through IS 'The last final day when the run ended.';
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.rollup_runs', '');
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.rollup_runs_run_id_seq', '');

-- The one definition of a day's metrics: the rollup stores its result, the reports run it for days that are
-- not final. Raw rows are grouped first (by model, version and user; by model, version and hour), then the
-- small results are combined over the four levels.
CREATE FUNCTION slm_feedback.day_metrics(day date) RETURNS SETOF slm_feedback.daily_metrics
    LANGUAGE sql STABLE ROWS 20
BEGIN ATOMIC
    WITH by_user AS (
        SELECT coalesce(q.model, '') AS model, coalesce(q.prompt_version, '') AS prompt_version, q.user_id,
               count(*) AS total_queries,
               count(q.response_time_ms) AS response_time_count,
               sum(q.response_time_ms::bigint) AS response_time_sum_ms,
               count(q.error) AS error_count,
               sum(q.input_tokens::bigint) AS input_tokens,
               sum(q.output_tokens::bigint) AS output_tokens,
               sum(q.cost_usd) AS cost_usd
        FROM slm_feedback.queries q
        WHERE q.created_at >= slm_feedback.day_start(day) AND q.created_at < slm_feedback.day_start(day + 1)
        GROUP BY 1, 2, 3
    ), query_level AS (
        SELECT u.model, u.prompt_version,
               sum(u.total_queries)::bigint AS total_queries,
               sum(u.response_time_count)::bigint AS response_time_count,
               coalesce(sum(u.response_time_sum_ms), 0)::bigint AS response_time_sum_ms,
               count(DISTINCT u.user_id) AS unique_users,
               sum(u.error_count)::bigint AS error_count,
               coalesce(sum(u.input_tokens), 0)::bigint AS input_tokens,
               coalesce(sum(u.output_tokens), 0)::bigint AS output_tokens,
               coalesce(sum(u.cost_usd), 0) AS cost_usd,
               hll_add_agg(hll_hash_text(u.user_id)) AS users
        FROM by_user u
        GROUP BY CUBE (u.model, u.prompt_version)
        HAVING sum(u.total_queries) > 0
    ), by_hour AS (
        SELECT coalesce(q.model, '') AS model, coalesce(q.prompt_version, '') AS prompt_version,
               extract(hour FROM q.created_at AT TIME ZONE z.zone)::integer AS hour,
               count(*) AS total_queries,
               tdigest(q.response_time_ms, 200) AS response_times
        FROM slm_feedback.queries q, (SELECT slm_feedback.time_zone() AS zone OFFSET 0) z
        WHERE q.created_at >= slm_feedback.day_start(day) AND q.created_at < slm_feedback.day_start(day + 1)
        GROUP BY 1, 2, 3
    ), hour_level AS (
        SELECT h.model, h.prompt_version, h.hour,
               sum(h.total_queries)::bigint AS total_queries,
               tdigest(h.response_times) AS response_times
        FROM by_hour h
        GROUP BY CUBE (h.model, h.prompt_version), h.hour
    ), time_level AS (
        SELECT h.model, h.prompt_version,
               array_agg(coalesce(l.total_queries, 0) ORDER BY h.hour) AS hourly_queries,
               tdigest(l.response_times) AS response_times,
               tdigest_percentile(l.response_times, ARRAY[0.5, 0.95, 0.99]) AS percentiles
        FROM (SELECT DISTINCT l.model, l.prompt_version, s.hour
              FROM hour_level l, generate_series(0, 23) AS s (hour)) h
        LEFT JOIN hour_level l ON l.model IS NOT DISTINCT FROM h.model
            AND l.prompt_version IS NOT DISTINCT FROM h.prompt_version AND l.hour = h.hour
        GROUP BY 1, 2
    ), by_request AS (
        SELECT f.request_id,
               count(*) FILTER (WHERE f.sentiment = 1) AS positive,
               count(*) FILTER (WHERE f.sentiment = -1) AS negative,
               count(*) FILTER (WHERE f.sentiment = 0) AS neutral,
               count(*) AS feedback_count,
               count(f.rating) AS rating_count,
               sum(f.rating) AS rating_sum
        FROM slm_feedback.feedback f
        WHERE f.query_created_at >= slm_feedback.day_start(day) AND f.query_created_at < slm_feedback.day_start(day + 1)
        GROUP BY 1
    ), by_model AS (
        SELECT coalesce(q.model, '') AS model, coalesce(q.prompt_version, '') AS prompt_version,
               sum(f.positive) AS positive, sum(f.negative) AS negative, sum(f.neutral) AS neutral,
               sum(f.feedback_count) AS feedback_count, count(*) AS rated_queries,
               sum(f.rating_count) AS rating_count, sum(f.rating_sum) AS rating_sum
        FROM by_request f
        JOIN slm_feedback.queries q USING (request_id)
        WHERE q.created_at >= slm_feedback.day_start(day) AND q.created_at < slm_feedback.day_start(day + 1)
        GROUP BY 1, 2
    ), feedback_level AS (
        SELECT m.model, m.prompt_version,
               sum(m.positive)::bigint AS positive, sum(m.negative)::bigint AS negative, sum(m.neutral)::bigint AS neutral,
               sum(m.feedback_count)::bigint AS feedback_count, sum(m.rated_queries)::bigint AS rated_queries,
               sum(m.rating_count)::bigint AS rating_count, sum(m.rating_sum)::bigint AS rating_sum
        FROM by_model m
        GROUP BY CUBE (m.model, m.prompt_version)
    )
    SELECT day, q.model, q.prompt_version, q.total_queries, q.response_time_count, q.response_time_sum_ms,
           t.percentiles[1], t.percentiles[2], t.percentiles[3],
           coalesce(f.positive, 0), coalesce(f.negative, 0), coalesce(f.neutral, 0), coalesce(f.feedback_count, 0),
           coalesce(f.rated_queries, 0), coalesce(f.rating_count, 0), coalesce(f.rating_sum, 0),
           q.unique_users, q.error_count, q.input_tokens, q.output_tokens, q.cost_usd,
           clock_timestamp(), t.hourly_queries, q.users, t.response_times
    FROM query_level q
    JOIN time_level t ON t.model IS NOT DISTINCT FROM q.model AND t.prompt_version IS NOT DISTINCT FROM q.prompt_version
    LEFT JOIN feedback_level f ON f.model IS NOT DISTINCT FROM q.model AND f.prompt_version IS NOT DISTINCT FROM q.prompt_version;
END;
COMMENT ON FUNCTION slm_feedback.day_metrics(date) IS
'One day''s metrics at every level, computed from the raw rows: what the rollup stores. No rows for a day without queries.';
