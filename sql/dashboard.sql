-- The dashboard: one HTML page made from metrics(). Counts and sums add up in the page, so that its filters
-- are exact; of the questions the page holds a bounded choice, day by day, for the same reason. What is kept
-- of that choice holds no text: the page reads the texts when it is made, so that erasing one is enough.
CREATE TABLE slm_feedback.dashboard_questions (
    question_hash bigint NOT NULL,
    date date NOT NULL,
    model text COLLATE "C" NOT NULL,
    prompt_version text COLLATE "C" NOT NULL,
    times_asked bigint NOT NULL,
    response_time_count bigint NOT NULL,
    response_time_sum_ms bigint NOT NULL,
    positive_feedback_count bigint NOT NULL,
    negative_feedback_count bigint NOT NULL,
    neutral_feedback_count bigint NOT NULL,
    rating_count bigint NOT NULL,
    rating_sum bigint NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    CONSTRAINT dashboard_questions_pkey PRIMARY KEY (question_hash, date, model, prompt_version)
);
COMMENT ON TABLE slm_feedback.dashboard_questions IS
'What the dashboard''s page shows of questions: those asked most and rated worst, by day, model and prompt version. Rewritten by refresh_dashboard_questions(); holds no text.';
COMMENT ON COLUMN slm_feedback.dashboard_questions.question_hash IS 'question_hash() of the question.';
COMMENT ON COLUMN slm_feedback.dashboard_questions.date IS 'The day on which it was asked, in the configured time zone.';
COMMENT ON COLUMN slm_feedback.dashboard_questions.model IS 'The model; empty if not given.';
COMMENT ON COLUMN slm_feedback.dashboard_questions.prompt_version IS 'The prompt version; empty if not given.';
COMMENT ON COLUMN slm_feedback.dashboard_questions.times_asked IS 'How often it was asked.';
COMMENT ON COLUMN slm_feedback.dashboard_questions.response_time_count IS 'How many of these queries have a response time.';
COMMENT ON COLUMN slm_feedback.dashboard_questions.response_time_sum_ms IS 'Sum of their response times in milliseconds.';
COMMENT ON COLUMN slm_feedback.dashboard_questions.positive_feedback_count IS 'Opinions with sentiment 1.';
COMMENT ON COLUMN slm_feedback.dashboard_questions.negative_feedback_count IS 'Opinions with sentiment -1.';
COMMENT ON COLUMN slm_feedback.dashboard_questions.neutral_feedback_count IS 'Opinions with sentiment 0.';
COMMENT ON COLUMN slm_feedback.dashboard_questions.rating_count IS 'Opinions with a rating.';
COMMENT ON COLUMN slm_feedback.dashboard_questions.rating_sum IS 'Sum of the ratings.';
COMMENT ON COLUMN slm_feedback.dashboard_questions.request_id IS 'One of these queries: its text stands for the question.';
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.dashboard_questions', '');

CREATE TABLE slm_feedback.dashboard_questions_state (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    computed_at timestamptz NOT NULL,
    first_day date NOT NULL,
    last_day date NOT NULL
);
COMMENT ON TABLE slm_feedback.dashboard_questions_state IS
'When and of which days dashboard_questions was last made: no row before the first time, then one.';
COMMENT ON COLUMN slm_feedback.dashboard_questions_state.singleton IS 'Always true: at most one row.';
COMMENT ON COLUMN slm_feedback.dashboard_questions_state.computed_at IS 'When refresh_dashboard_questions() made it.';
COMMENT ON COLUMN slm_feedback.dashboard_questions_state.first_day IS 'The first day that it covers.';
COMMENT ON COLUMN slm_feedback.dashboard_questions_state.last_day IS 'The last day that it covers.';
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.dashboard_questions_state', '');

-- A question is chosen by its best place among the most asked and the worst rated of the last 7, 30 and 90
-- days, best places first, as long as its rows fit.
CREATE FUNCTION slm_feedback.choose_dashboard_questions(last_day date, days integer, max_rows integer)
    RETURNS SETOF slm_feedback.dashboard_questions
    LANGUAGE sql STABLE
    -- For the same reason as in top_questions().
    SET enable_nestloop = off SET jit = off
BEGIN ATOMIC
    WITH bounds AS (
        SELECT slm_feedback.day_start(last_day - days + 1) AS from_time,
               slm_feedback.day_start(last_day + 1) AS to_time
    ), by_request AS (
        SELECT f.request_id,
               count(*) FILTER (WHERE f.sentiment = 1) AS positive,
               count(*) FILTER (WHERE f.sentiment = -1) AS negative,
               count(*) FILTER (WHERE f.sentiment = 0) AS neutral,
               count(f.rating) AS rating_count, sum(f.rating) AS rating_sum
        FROM slm_feedback.feedback f
        WHERE f.query_created_at >= (SELECT b.from_time FROM bounds b)
          AND f.query_created_at < (SELECT b.to_time FROM bounds b)
        GROUP BY 1
    ), cells AS MATERIALIZED (
        SELECT q.question_hash, slm_feedback.day_of(q.created_at) AS date,
               coalesce(q.model, '') AS model, coalesce(q.prompt_version, '') AS prompt_version,
               count(*) AS times_asked, count(q.response_time_ms) AS response_time_count,
               coalesce(sum(q.response_time_ms::bigint), 0)::bigint AS response_time_sum_ms,
               coalesce(sum(f.positive), 0)::bigint AS positive, coalesce(sum(f.negative), 0)::bigint AS negative,
               coalesce(sum(f.neutral), 0)::bigint AS neutral, coalesce(sum(f.rating_count), 0)::bigint AS rating_count,
               coalesce(sum(f.rating_sum), 0)::bigint AS rating_sum, min(q.request_id) AS request_id
        FROM slm_feedback.queries q
        LEFT JOIN by_request f ON f.request_id = q.request_id
        WHERE q.created_at >= (SELECT b.from_time FROM bounds b)
          AND q.created_at < (SELECT b.to_time FROM bounds b)
          AND q.question_hash IS NOT NULL
        GROUP BY 1, 2, 3, 4
    ), totals AS (
        SELECT r.days, c.question_hash, sum(c.times_asked) AS times_asked,
               sum(c.positive)::bigint AS positive, sum(c.negative)::bigint AS negative
        FROM (VALUES (7), (30), (90)) r (days)
        JOIN cells c ON c.date > last_day - r.days
        WHERE r.days <= choose_dashboard_questions.days
        GROUP BY 1, 2
    ), placed AS (
        SELECT t.question_hash,
               row_number() OVER (PARTITION BY t.days ORDER BY t.times_asked DESC, t.question_hash) AS asked,
               CASE WHEN t.positive + t.negative > 0 THEN
                   row_number() OVER (PARTITION BY t.days ORDER BY w.high, t.times_asked DESC, t.question_hash) END AS worst
        FROM totals t, LATERAL slm_feedback.wilson_interval(t.positive, t.positive + t.negative) w
    ), best AS (
        SELECT p.question_hash, min(least(p.asked, p.worst)) AS place
        FROM placed p
        GROUP BY 1
        HAVING min(least(p.asked, p.worst)) <= 100
    ), fitting AS (
        SELECT b.question_hash,
               sum(n.rows) OVER (ORDER BY b.place, b.question_hash ROWS UNBOUNDED PRECEDING) AS rows
        FROM best b
        JOIN (SELECT c.question_hash, count(*) AS rows FROM cells c GROUP BY 1) n USING (question_hash)
    )
    SELECT c.*
    FROM cells c JOIN fitting f USING (question_hash)
    WHERE f.rows <= max_rows;
END;
COMMENT ON FUNCTION slm_feedback.choose_dashboard_questions(date, integer, integer) IS
'The questions asked most and rated worst in the days up to last_day, by day, model and prompt version: what the dashboard shows of questions. Computed from the raw rows, exact, at most max_rows rows.';

CREATE FUNCTION slm_feedback.refresh_dashboard_questions() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last date := slm_feedback.day_of((SELECT max(q.created_at) FROM slm_feedback.queries q));
    window_days integer;
    chosen bigint;
    questions bigint;
BEGIN
    -- One at a time; a reader sees the old choice until this one is committed.
    LOCK TABLE slm_feedback.dashboard_questions IN SHARE ROW EXCLUSIVE MODE;
    -- Where the most asked questions alone are too many rows, a shorter window.
    FOREACH window_days IN ARRAY ARRAY[90, 30, 7] LOOP
        DELETE FROM slm_feedback.dashboard_questions;
        INSERT INTO slm_feedback.dashboard_questions
        SELECT c.* FROM slm_feedback.choose_dashboard_questions(last, window_days, 12000) c;
        GET DIAGNOSTICS chosen = ROW_COUNT;
        SELECT count(DISTINCT d.question_hash) INTO questions FROM slm_feedback.dashboard_questions d;
        EXIT WHEN questions >= 40 OR chosen < 6000;
    END LOOP;
    IF last IS NULL THEN
        DELETE FROM slm_feedback.dashboard_questions_state;
    ELSE
        INSERT INTO slm_feedback.dashboard_questions_state (computed_at, first_day, last_day)
        VALUES (now(), last - window_days + 1, last)
        ON CONFLICT (singleton) DO UPDATE
        SET computed_at = excluded.computed_at, first_day = excluded.first_day, last_day = excluded.last_day;
    END IF;
    RETURN questions;
END
$$;
COMMENT ON FUNCTION slm_feedback.refresh_dashboard_questions() IS
'Chooses anew the questions that the dashboard shows (the most asked and the worst rated of the last 7, 30 and 90 days) and returns how many they are. The work of one pass over 90 days of raw rows; called every night by the worker and run_jobs(). A database of up to 20,000 queries in 90 days needs no call: dashboard() chooses there itself.';

-- What dashboard() reads. It encodes these rows; see src/dashboard.c.
CREATE FUNCTION slm_feedback.dashboard_rows(from_date date, to_date date) RETURNS TABLE (
    date date,
    model text,
    prompt_version text,
    total_queries bigint,
    response_time_count bigint,
    response_time_sum_ms bigint,
    positive_feedback_count bigint,
    negative_feedback_count bigint,
    neutral_feedback_count bigint,
    feedback_count bigint,
    rated_queries bigint,
    rating_count bigint,
    rating_sum bigint,
    error_count bigint,
    input_tokens bigint,
    output_tokens bigint,
    cost_micro_usd bigint,
    unique_users bigint,
    p50_response_time_ms double precision,
    p95_response_time_ms double precision,
    p99_response_time_ms double precision,
    hourly_queries bigint[]
)
    LANGUAGE sql STABLE ROWS 10000
BEGIN ATOMIC
    SELECT m.date, m.model, m.prompt_version, m.total_queries, m.response_time_count, m.response_time_sum_ms,
           m.positive_feedback_count, m.negative_feedback_count, m.neutral_feedback_count, m.feedback_count,
           m.rated_queries, m.rating_count, m.rating_sum, m.error_count, m.input_tokens, m.output_tokens,
           CASE WHEN m.model IS NULL OR m.prompt_version IS NULL THEN 0
                ELSE least(m.cost_usd * 1000000, 9223372036854775807)::bigint END,
           m.unique_users, m.p50_response_time_ms, m.p95_response_time_ms, m.p99_response_time_ms,
           CASE WHEN (m.model IS NULL AND m.prompt_version IS NULL)
                     OR (m.date > to_date - 92 AND m.model IS NOT NULL AND m.prompt_version IS NOT NULL)
               THEN m.hourly_queries END
    FROM slm_feedback.metrics(from_date, to_date) m
    -- what shows_group() says, asked once instead of for each of many rows
    WHERE m.unique_users >= (SELECT slm_feedback.least_group_users());
END;
COMMENT ON FUNCTION slm_feedback.dashboard_rows(date, date) IS
'The part of metrics() that the dashboard shows. Costs in millionths of a US dollar, at most 9,223,372,036,854 dollars a row; rows of fewer users than min_group_users are left out, and hourly_queries stand only over all models, and by model and prompt version for the last 92 days.';

SELECT slm_feedback.define($define$
CREATE FUNCTION slm_feedback.dashboard_ranges(from_date date, to_date date) RETURNS json
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT json_build_object('from', from_date, 'to', to_date, 'rows', coalesce(json_agg(json_build_object(
               'model', t.model, 'prompt_version', t.prompt_version, 'users', t.users,
               'p50', t.times[1], 'p95', t.times[2], 'p99', t.times[3])), '[]'))
    FROM (SELECT m.model, m.prompt_version,
                 coalesce(round(@extschema:hll@.hll_cardinality(@extschema:hll@.hll_union_agg(m.users))), 0)::bigint AS users,
                 max(m.unique_users) AS most_users, sum(m.unique_users)::bigint AS users_of_days,
                 coalesce(slm_feedback.exact_percentiles(slm_feedback.small_values_sum(m.small_response_times), '{0.5, 0.95, 0.99}'::double precision[]),
                          @extschema:tdigest@.tdigest_percentile(m.response_times, '{0.5, 0.95, 0.99}'::double precision[])) AS times
          FROM slm_feedback.metrics(from_date, to_date) m
          WHERE m.prompt_version IS NULL
          GROUP BY 1, 2) t
    WHERE slm_feedback.shows_merged_group(t.users, t.most_users, t.users_of_days);
END
$define$);
COMMENT ON FUNCTION slm_feedback.dashboard_ranges(date, date) IS
'What does not add up over days, merged over a range for all models and for each: unique users and percentiles.';

CREATE FUNCTION slm_feedback.dashboard_operations() RETURNS json
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT json_build_object(
        'final_through', (SELECT s.final_through FROM slm_feedback.rollup_state s),
        'purged_before', (SELECT s.purged_before FROM slm_feedback.rollup_state s),
        'marked_days', (SELECT count(DISTINCT q.date) FROM slm_feedback.rollup_queue q),
        'refreshed_at', (SELECT max(r.ended_at) FROM slm_feedback.rollup_runs r WHERE r.status = 'done'),
        'runs', (SELECT coalesce(json_agg(json_build_object('started_at', r.started_at, 'ended_at', r.ended_at,
                     'status', r.status, 'days', r.days, 'final_through', r.final_through)), '[]')
                 FROM (SELECT o.* FROM slm_feedback.rollup_runs o ORDER BY o.run_id DESC LIMIT 20) r),
        'jobs', (SELECT coalesce(json_agg(json_build_object('job', j.job, 'status', CASE WHEN j.enabled THEN j.status ELSE 'off' END,
                     'schedule', j.schedule, 'last_started_at', j.last_started_at,
                     'seconds', round(extract(epoch FROM j.last_duration), 1), 'next_run', j.next_run, 'failures', j.failures)), '[]')
                 FROM slm_feedback.report_jobs() j),
        'alerts', (SELECT coalesce(json_agg(json_build_object('rule', a.rule_name, 'reason', a.reason, 'value', a.value,
                       'opened_at', a.opened_at, 'closed_at', a.closed_at)), '[]')
                   FROM (SELECT o.* FROM slm_feedback.report_alerts(false) o
                         ORDER BY o.closed_at IS NULL DESC, o.opened_at DESC LIMIT 50) a));
END;
COMMENT ON FUNCTION slm_feedback.dashboard_operations() IS
'What the dashboard shows on its Operations tab: the state of the rollup and its last runs, the jobs, the open alerts and the last closed ones. No error texts: they could quote what analysts may not read.';

CREATE FUNCTION slm_feedback.dashboard(
    from_date date DEFAULT NULL,
    to_date date DEFAULT NULL,
    refresh_seconds integer DEFAULT 3600,
    title text DEFAULT 'Feedback dashboard'
) RETURNS text
    LANGUAGE c STABLE
    SET search_path = pg_catalog, pg_temp SET jit = off SET max_parallel_workers_per_gather = 0
    AS 'MODULE_PATHNAME', 'slm_dashboard';
COMMENT ON FUNCTION slm_feedback.dashboard(date, date, integer, text) IS
'The dashboard as one HTML page that needs no network: reports from from_date (default: three years before to_date) to to_date (default: today), to be filtered in the browser. The page shows the given range first, or without from_date the last 30 days. It reloads itself every refresh_seconds (0: never). The texts of questions are in it only if the caller may read them. Errors: 22023 from_date after to_date or a negative refresh_seconds, 58P01 the page is not installed.';

CREATE FUNCTION slm_feedback.write_dashboard() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp SET jit = off SET max_parallel_workers_per_gather = 0
    AS 'MODULE_PATHNAME', 'slm_write_dashboard';
COMMENT ON FUNCTION slm_feedback.write_dashboard() IS
'Writes dashboard() to the file that the server setting slm_feedback.dashboard_file names, in one step: a web server sees the old page or the new one. The worker calls it after each refresh. With slm_feedback.dashboard_file_questions (default off) the page shows the texts of questions. Errors: 55000 the setting is empty, 42602 %d stands for a name with a slash or a dot in front, and those of writing a file.';
