-- daily_metrics: one row a (day, model, prompt version), and rows over all models (model is null) and over
-- all prompt versions (prompt_version is null), so that unique users are exact at each of the four levels.
-- A query without a model or version counts under the empty string.
SELECT slm_feedback.define($define$
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
    users @extschema:hll@.hll,
    response_times @extschema:tdigest@.tdigest,
    small_response_times bytea,
    CONSTRAINT daily_metrics_key UNIQUE NULLS NOT DISTINCT (date, model, prompt_version)
)
$define$);
ALTER TABLE slm_feedback.daily_metrics REPLICA IDENTITY FULL;
COMMENT ON TABLE slm_feedback.daily_metrics IS
'The rollup: one row a day, model and prompt version, and rows over all of them (null = all, empty string = not given). Add up rows of one level only. report_daily() reads it and computes what is not rolled up yet.';
COMMENT ON COLUMN slm_feedback.daily_metrics.date IS 'The day of the queries in the configured time zone; feedback counts on the day of its query.';
COMMENT ON COLUMN slm_feedback.daily_metrics.model IS 'The model; null for the row over all models, empty for queries without one.';
COMMENT ON COLUMN slm_feedback.daily_metrics.prompt_version IS 'The prompt version; null for the row over all versions, empty for queries without one.';
COMMENT ON COLUMN slm_feedback.daily_metrics.total_queries IS 'Number of queries. Exact.';
COMMENT ON COLUMN slm_feedback.daily_metrics.response_time_count IS 'Queries with a response time. Exact.';
COMMENT ON COLUMN slm_feedback.daily_metrics.response_time_sum_ms IS 'Sum of the response times in milliseconds. Exact.';
COMMENT ON COLUMN slm_feedback.daily_metrics.p50_response_time_ms IS 'Median response time in milliseconds. Exact if fewer than 1,000 queries have a time, else from a t-digest (compression 200): within about 1% of rank and one distinct time.';
COMMENT ON COLUMN slm_feedback.daily_metrics.p95_response_time_ms IS '95th percentile of the response time in milliseconds. Exact if fewer than 1,000 queries have a time, else from a t-digest (compression 200): within about 0.5% of rank and one distinct time.';
COMMENT ON COLUMN slm_feedback.daily_metrics.p99_response_time_ms IS '99th percentile of the response time in milliseconds. Exact if fewer than 1,000 queries have a time, else from a t-digest (compression 200): within about 0.2% of rank and one distinct time.';
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
COMMENT ON COLUMN slm_feedback.daily_metrics.refreshed_at IS 'Everything that had been committed by this time is counted in the row.';
COMMENT ON COLUMN slm_feedback.daily_metrics.hourly_queries IS 'Number of queries in each hour of the local day: 24 elements, the first for 00:00 to 00:59. What the clock shows twice counts in the same element; where it goes back to the day before, in the first. Exact.';
COMMENT ON COLUMN slm_feedback.daily_metrics.users IS 'HyperLogLog sketch of the users who asked: merges over days with a standard error of about 2.3%.';
COMMENT ON COLUMN slm_feedback.daily_metrics.response_times IS 't-digest (compression 200) of the response times in milliseconds: merges over days.';
COMMENT ON COLUMN slm_feedback.daily_metrics.small_response_times IS 'The response times in milliseconds, made by small_values(), if there are fewer than 1,000 of them; null if there are more. Percentiles come from them, exactly, as long as all days of a report together have fewer than 1,000.';
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.daily_metrics', '');

-- rollup_queue: the days that late writes have touched. Append only: a mark is deleted by the run that
-- recomputes its day, never reused, because a mark that another transaction is just consuming would be lost.
CREATE TABLE slm_feedback.rollup_queue (
    date date NOT NULL
);
CREATE INDEX rollup_queue_date_idx ON slm_feedback.rollup_queue (date);
ALTER TABLE slm_feedback.rollup_queue REPLICA IDENTITY FULL;
COMMENT ON TABLE slm_feedback.rollup_queue IS
'Days that late writes (other than on the day of the query) have touched and the next rollup recomputes. A day may stand here more than once.';
COMMENT ON COLUMN slm_feedback.rollup_queue.date IS 'The day to recompute.';
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.rollup_queue', '');

CREATE TABLE slm_feedback.rollup_state (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    final_through date,
    closed_through date,
    purged_before date,
    epoch bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE slm_feedback.rollup_state IS 'How far the rollup has come: no row before the first run, then one.';
COMMENT ON COLUMN slm_feedback.rollup_state.singleton IS 'Always true: at most one row.';
COMMENT ON COLUMN slm_feedback.rollup_state.final_through IS 'Every day up to this one is final: its stored metrics are right unless the day is in rollup_queue.';
COMMENT ON COLUMN slm_feedback.rollup_state.closed_through IS 'Every write to a day up to this one leaves a mark, whatever the clock shows. A rollup raises it before it looks which transactions are in progress; final_through is never later.';
COMMENT ON COLUMN slm_feedback.rollup_state.purged_before IS 'Days before this one are frozen, because retention has removed their raw rows. Their metrics stay; the next rollup deletes their marks.';
COMMENT ON COLUMN slm_feedback.rollup_state.epoch IS 'How often set_time_zone() has been called: a rollup that finds another number than it began with starts over.';
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.rollup_state', '');

CREATE FUNCTION slm_feedback.rollup_state_changed() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'slm_rollup_state_changed';
COMMENT ON FUNCTION slm_feedback.rollup_state_changed() IS
'Trigger of rollup_state: tells every session once the change is committed which days are closed.';
-- Not for each day of a run: sessions keep only the last day that is closed or final.
CREATE TRIGGER state_changed AFTER INSERT OR DELETE OR TRUNCATE ON slm_feedback.rollup_state
    FOR EACH STATEMENT EXECUTE FUNCTION slm_feedback.rollup_state_changed();
CREATE TRIGGER days_changed AFTER UPDATE ON slm_feedback.rollup_state
    FOR EACH ROW WHEN (greatest(old.closed_through, old.final_through) IS DISTINCT FROM greatest(new.closed_through, new.final_through)
                       OR old.epoch <> new.epoch)
    EXECUTE FUNCTION slm_feedback.rollup_state_changed();
ALTER TABLE slm_feedback.rollup_state ENABLE ALWAYS TRIGGER state_changed;
ALTER TABLE slm_feedback.rollup_state ENABLE ALWAYS TRIGGER days_changed;

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

-- Aggregates of the rollup (src/user_set.c).
CREATE FUNCTION slm_feedback.user_set_add(internal, text) RETURNS internal
    LANGUAGE c PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_user_set_add';
CREATE FUNCTION slm_feedback.user_set_final(internal) RETURNS bytea
    LANGUAGE c PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_user_set_final';
CREATE FUNCTION slm_feedback.user_set_merge(internal, bytea) RETURNS internal
    LANGUAGE c PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_user_set_merge';
CREATE FUNCTION slm_feedback.user_set_size(internal) RETURNS bigint
    LANGUAGE c PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_user_set_size';
CREATE FUNCTION slm_feedback.hourly_counts_add(internal, timestamptz, slm_feedback.settings) RETURNS internal
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'slm_hourly_counts_add';
CREATE FUNCTION slm_feedback.hourly_counts_merge(internal, bigint[]) RETURNS internal
    LANGUAGE c AS 'MODULE_PATHNAME', 'slm_hourly_counts_merge';
CREATE FUNCTION slm_feedback.hourly_counts_final(internal) RETURNS bigint[]
    LANGUAGE c AS 'MODULE_PATHNAME', 'slm_hourly_counts_final';
CREATE AGGREGATE slm_feedback.user_set(text) (
    SFUNC = slm_feedback.user_set_add, STYPE = internal, SSPACE = 4096, FINALFUNC = slm_feedback.user_set_final);
CREATE AGGREGATE slm_feedback.user_set_size(bytea) (
    SFUNC = slm_feedback.user_set_merge, STYPE = internal, SSPACE = 4096, FINALFUNC = slm_feedback.user_set_size);
CREATE AGGREGATE slm_feedback.hourly_counts(timestamptz, slm_feedback.settings) (
    SFUNC = slm_feedback.hourly_counts_add, STYPE = internal, SSPACE = 192, FINALFUNC = slm_feedback.hourly_counts_final);
CREATE AGGREGATE slm_feedback.hourly_counts_sum(bigint[]) (
    SFUNC = slm_feedback.hourly_counts_merge, STYPE = internal, SSPACE = 192, FINALFUNC = slm_feedback.hourly_counts_final);
COMMENT ON FUNCTION slm_feedback.user_set_add(internal, text) IS 'Transition of user_set().';
COMMENT ON FUNCTION slm_feedback.user_set_final(internal) IS 'Result of user_set().';
COMMENT ON FUNCTION slm_feedback.user_set_merge(internal, bytea) IS 'Transition of user_set_size().';
COMMENT ON FUNCTION slm_feedback.user_set_size(internal) IS 'Result of user_set_size().';
COMMENT ON FUNCTION slm_feedback.hourly_counts_add(internal, timestamptz, slm_feedback.settings) IS 'Transition of hourly_counts().';
COMMENT ON FUNCTION slm_feedback.hourly_counts_merge(internal, bigint[]) IS 'Transition of hourly_counts_sum().';
COMMENT ON FUNCTION slm_feedback.hourly_counts_final(internal) IS 'Result of hourly_counts() and hourly_counts_sum().';
COMMENT ON AGGREGATE slm_feedback.user_set(text) IS
'The distinct users of a group as a set of 128-bit hashes that user_set_size() merges.';
COMMENT ON AGGREGATE slm_feedback.user_set_size(bytea) IS
'Number of distinct users in the union of sets made by user_set(); exact unless two users share a 128-bit hash.';
COMMENT ON AGGREGATE slm_feedback.hourly_counts(timestamptz, slm_feedback.settings) IS
'Number of rows in each hour of the local day under the given settings: 24 elements, the first for 00:00 to 00:59.';
COMMENT ON AGGREGATE slm_feedback.hourly_counts_sum(bigint[]) IS
'Element-wise sum of hourly_counts().';

-- Exact percentiles of small groups (src/small_percentiles.c).
CREATE FUNCTION slm_feedback.small_values_add(internal, integer) RETURNS internal
    LANGUAGE c PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_small_values_add';
CREATE FUNCTION slm_feedback.small_values_merge(internal, bytea) RETURNS internal
    LANGUAGE c PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_small_values_merge';
CREATE FUNCTION slm_feedback.small_values_final(internal) RETURNS bytea
    LANGUAGE c PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_small_values_final';
CREATE AGGREGATE slm_feedback.small_values(integer) (
    SFUNC = slm_feedback.small_values_add, STYPE = internal, SSPACE = 1024, FINALFUNC = slm_feedback.small_values_final);
CREATE AGGREGATE slm_feedback.small_values_sum(bytea) (
    SFUNC = slm_feedback.small_values_merge, STYPE = internal, SSPACE = 1024, FINALFUNC = slm_feedback.small_values_final);
CREATE FUNCTION slm_feedback.exact_percentiles(small_values bytea, fractions double precision[]) RETURNS double precision[]
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_exact_percentiles';
COMMENT ON FUNCTION slm_feedback.small_values_add(internal, integer) IS 'Transition of small_values().';
COMMENT ON FUNCTION slm_feedback.small_values_merge(internal, bytea) IS 'Transition of small_values_sum().';
COMMENT ON FUNCTION slm_feedback.small_values_final(internal) IS 'Result of small_values() and small_values_sum().';
COMMENT ON AGGREGATE slm_feedback.small_values(integer) IS
'The values of a group but for nulls, packed, if there are fewer than 1,000; null if there are more.';
COMMENT ON AGGREGATE slm_feedback.small_values_sum(bytea) IS
'The union of sets made by small_values(), if they have fewer than 1,000 values together; null if they have more.';
COMMENT ON FUNCTION slm_feedback.exact_percentiles(bytea, double precision[]) IS
'The percentiles of a set made by small_values(), equal to percentile_cont for double precision; null if it has no value. Errors: 22003 a fraction is null or outside 0 to 1, XX001 not such a set.';

-- The one definition of a day's metrics: the rollup stores its result, the reports run it for days that are
-- not final. Raw rows are grouped by model and version in one scan, their feedback in another, then the small
-- results are combined over the four levels. refreshed_at is the transaction's start, because that is no later
-- than the snapshot; a run computes each day in a transaction of its own (src/rollup.c).
SELECT slm_feedback.define($define$
CREATE FUNCTION slm_feedback.day_metrics(day date) RETURNS SETOF slm_feedback.daily_metrics
    LANGUAGE sql STABLE ROWS 20
BEGIN ATOMIC
    WITH by_model AS (
        SELECT q.model, q.prompt_version,
               count(*) AS total_queries,
               count(q.response_time_ms) AS response_time_count,
               sum(q.response_time_ms) AS response_time_sum_ms,
               count(q.error) AS error_count,
               sum(q.input_tokens) AS input_tokens,
               sum(q.output_tokens) AS output_tokens,
               sum(q.cost_usd) AS cost_usd,
               slm_feedback.hourly_counts(q.created_at, (SELECT s FROM slm_feedback.settings s)) AS hourly_queries,
               slm_feedback.user_set(q.user_id) AS user_set,
               -- With its parameters, the defaults of hll: a session can change these by hll_set_defaults().
               @extschema:hll@.hll_add_agg(@extschema:hll@.hll_hash_text(q.user_id), 11, 5, -1::bigint, 1) AS users,
               @extschema:tdigest@.tdigest(q.response_time_ms::double precision, 200) AS response_times,
               slm_feedback.small_values(q.response_time_ms) AS small_response_times
        FROM slm_feedback.queries q
        WHERE q.created_at >= slm_feedback.day_start(day) AND q.created_at < slm_feedback.day_start(day + 1)
        GROUP BY q.model, q.prompt_version
    ), feedback_by_model AS (
        SELECT q.model, q.prompt_version,
               count(*) FILTER (WHERE f.sentiment = 1) AS positive,
               count(*) FILTER (WHERE f.sentiment = -1) AS negative,
               count(*) FILTER (WHERE f.sentiment = 0) AS neutral,
               count(*) AS feedback_count,
               count(DISTINCT f.request_id) AS rated_queries,
               count(f.rating) AS rating_count,
               sum(f.rating) AS rating_sum
        FROM slm_feedback.feedback f
        -- OFFSET 0 keeps this a look into the primary key for each feedback. Left to join the day's feedback and queries as
        -- it likes, the planner takes a nested loop of the two where it believes that the day holds a single row.
        CROSS JOIN LATERAL (SELECT r.model, r.prompt_version, r.created_at FROM slm_feedback.queries r
                            WHERE r.request_id = f.request_id OFFSET 0) q
        WHERE f.query_created_at >= slm_feedback.day_start(day) AND f.query_created_at < slm_feedback.day_start(day + 1)
          AND q.created_at >= slm_feedback.day_start(day) AND q.created_at < slm_feedback.day_start(day + 1)
        GROUP BY q.model, q.prompt_version
    ), both_by_model AS (
        SELECT coalesce(q.model, '') AS model, coalesce(q.prompt_version, '') AS prompt_version,
               q.total_queries, q.response_time_count, q.response_time_sum_ms, q.error_count, q.input_tokens,
               q.output_tokens, q.cost_usd, q.hourly_queries, q.user_set, q.users, q.response_times, q.small_response_times,
               f.positive, f.negative, f.neutral, f.feedback_count, f.rated_queries, f.rating_count, f.rating_sum
        FROM by_model q
        -- Neither name can be empty, so this compares nulls as equal, by operators that can be hashed.
        LEFT JOIN feedback_by_model f ON coalesce(f.model, '') = coalesce(q.model, '')
            AND coalesce(f.prompt_version, '') = coalesce(q.prompt_version, '')
    )
    SELECT day, b.model, b.prompt_version,
           sum(b.total_queries)::bigint,
           sum(b.response_time_count)::bigint,
           coalesce(sum(b.response_time_sum_ms), 0)::bigint,
           (coalesce(slm_feedback.exact_percentiles(slm_feedback.small_values_sum(b.small_response_times), '{0.5, 0.95, 0.99}'::double precision[]),
                     @extschema:tdigest@.tdigest_percentile(b.response_times, '{0.5, 0.95, 0.99}'::double precision[])))[1],
           (coalesce(slm_feedback.exact_percentiles(slm_feedback.small_values_sum(b.small_response_times), '{0.5, 0.95, 0.99}'::double precision[]),
                     @extschema:tdigest@.tdigest_percentile(b.response_times, '{0.5, 0.95, 0.99}'::double precision[])))[2],
           (coalesce(slm_feedback.exact_percentiles(slm_feedback.small_values_sum(b.small_response_times), '{0.5, 0.95, 0.99}'::double precision[]),
                     @extschema:tdigest@.tdigest_percentile(b.response_times, '{0.5, 0.95, 0.99}'::double precision[])))[3],
           coalesce(sum(b.positive), 0)::bigint,
           coalesce(sum(b.negative), 0)::bigint,
           coalesce(sum(b.neutral), 0)::bigint,
           coalesce(sum(b.feedback_count), 0)::bigint,
           coalesce(sum(b.rated_queries), 0)::bigint,
           coalesce(sum(b.rating_count), 0)::bigint,
           coalesce(sum(b.rating_sum), 0)::bigint,
           slm_feedback.user_set_size(b.user_set),
           sum(b.error_count)::bigint,
           coalesce(sum(b.input_tokens), 0)::bigint,
           coalesce(sum(b.output_tokens), 0)::bigint,
           coalesce(sum(b.cost_usd), 0),
           now(),
           slm_feedback.hourly_counts_sum(b.hourly_queries),
           @extschema:hll@.hll_union_agg(b.users),
           @extschema:tdigest@.tdigest(b.response_times),
           slm_feedback.small_values_sum(b.small_response_times)
    FROM both_by_model b
    GROUP BY CUBE (b.model, b.prompt_version)
    HAVING sum(b.total_queries) > 0;
END
$define$);
COMMENT ON FUNCTION slm_feedback.day_metrics(date) IS
'One day''s metrics at every level, computed from the raw rows: what the rollup stores. No rows for a day without queries.';
