-- Reports are always right, rolled up or not. Every report takes each day from one of two places:
--
-- - Settled days come from daily_metrics: frozen days, and days that are final and not marked. What the report's
--   snapshot sees of final_through, of the marks and of the raw rows belongs together (src/late_marks.c), so the
--   stored row of a settled day counts exactly what the snapshot sees, however old the snapshot is.
-- - Every other day is computed from the raw rows. Its stored row was exact for the snapshot of the rollup that
--   computed it, and nothing tells whether this snapshot sees the same: no clock does, and least of all now(),
--   which may be older than that rollup.
--
-- With slm_feedback.max_staleness such a day may come from daily_metrics, too, if its stored row counts all that had
-- been committed that long before the report looks at the clock: refreshed_at is no later than the row's snapshot, and
-- the clock no earlier than the report's. Steps of the clock add to that age.
--
-- A report decides once, in live_days(): a second look at the clock could lose or double a day.
CREATE FUNCTION slm_feedback.check_choice(argument text, choice text, choices text[]) RETURNS text
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_check_choice';
COMMENT ON FUNCTION slm_feedback.check_choice(text, text, text[]) IS
'The choice, if it is one of the choices. Errors: 22023 with the list of choices as hint, 22004 argument or choices is null.';

CREATE FUNCTION slm_feedback.report_range(
    from_date date, to_date date, settings slm_feedback.settings, OUT first_day date, OUT last_day date
)
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_report_range';
COMMENT ON FUNCTION slm_feedback.report_range(date, date, slm_feedback.settings) IS
'The days that a report covers: to_date defaults to today under the given settings (null: the defaults), from_date to 29 days before to_date; both are included. Errors: 22023 from_date after to_date.';

CREATE FUNCTION slm_feedback.live_days(from_date date, to_date date) RETURNS SETOF date
    LANGUAGE sql STABLE ROWS 2
BEGIN ATOMIC
    WITH state AS MATERIALIZED (
        SELECT max(s.final_through) AS final_through, coalesce(max(s.purged_before), '-infinity') AS purged_before,
               -- null: nothing stored is young enough
               CASE WHEN slm_feedback.max_staleness() > '0' THEN clock_timestamp() END AS clock
        FROM slm_feedback.rollup_state s
    )
    SELECT d.day
    FROM state, LATERAL (
        SELECT q.date AS day FROM slm_feedback.rollup_queue q
        WHERE q.date BETWEEN from_date AND to_date
        UNION
        SELECT w.day
        FROM slm_feedback.days_with_queries(greatest(state.final_through, from_date - 1), to_date) AS w (day)
        UNION
        SELECT m.date FROM slm_feedback.daily_metrics m
        WHERE m.date >= greatest(state.final_through + 1, from_date) AND m.date <= to_date
          AND m.model IS NULL AND m.prompt_version IS NULL
    ) d
    WHERE d.day >= state.purged_before
      AND (state.clock IS NULL OR NOT EXISTS (
              SELECT 1 FROM slm_feedback.daily_metrics m
              WHERE m.date = d.day AND m.model IS NULL AND m.prompt_version IS NULL
                AND m.refreshed_at BETWEEN state.clock - slm_feedback.max_staleness() AND state.clock));
END;
COMMENT ON FUNCTION slm_feedback.live_days(date, date) IS
'The days of a range whose metrics a report has to compute from the raw rows: those that are not final, or marked, unless their stored metrics are no older than slm_feedback.max_staleness.';

CREATE FUNCTION slm_feedback.metrics(from_date date, to_date date) RETURNS SETOF slm_feedback.daily_metrics
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH live AS MATERIALIZED (
        SELECT d.day FROM slm_feedback.live_days(from_date, to_date) AS d (day)
    )
    SELECT m.*
    FROM slm_feedback.daily_metrics m
    WHERE m.date BETWEEN from_date AND to_date
      AND NOT m.date = ANY (ARRAY(SELECT l.day FROM live l))
    UNION ALL
    SELECT c.*
    FROM live l, LATERAL slm_feedback.day_metrics(l.day) c;
END;
COMMENT ON FUNCTION slm_feedback.metrics(date, date) IS
'daily_metrics as it would be if every day of the range had just been rolled up: what every report is made from.';

CREATE FUNCTION slm_feedback.report_daily(
    from_date date DEFAULT NULL,
    to_date date DEFAULT NULL,
    model text DEFAULT NULL,
    prompt_version text DEFAULT NULL
) RETURNS TABLE (
    date date,
    total_queries bigint,
    avg_response_time_ms double precision,
    p50_response_time_ms double precision,
    p95_response_time_ms double precision,
    p99_response_time_ms double precision,
    positive_feedback_count bigint,
    negative_feedback_count bigint,
    neutral_feedback_count bigint,
    positive_ratio double precision,
    feedback_rate double precision,
    avg_rating double precision,
    unique_users bigint,
    error_count bigint,
    input_tokens bigint,
    output_tokens bigint,
    cost_usd numeric
)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT m.date, m.total_queries,
           m.response_time_sum_ms::double precision / nullif(m.response_time_count, 0),
           m.p50_response_time_ms, m.p95_response_time_ms, m.p99_response_time_ms,
           m.positive_feedback_count, m.negative_feedback_count, m.neutral_feedback_count,
           m.positive_feedback_count::double precision
               / nullif(m.positive_feedback_count + m.negative_feedback_count, 0),
           m.rated_queries::double precision / nullif(m.total_queries, 0),
           m.rating_sum::double precision / nullif(m.rating_count, 0),
           m.unique_users, m.error_count, m.input_tokens, m.output_tokens, m.cost_usd
    FROM slm_feedback.report_range(from_date, to_date, (SELECT s FROM slm_feedback.settings s)) r,
         LATERAL slm_feedback.metrics(r.first_day, r.last_day) m
    WHERE m.model IS NOT DISTINCT FROM report_daily.model
      AND m.prompt_version IS NOT DISTINCT FROM report_daily.prompt_version
      AND slm_feedback.shows_group(m.unique_users)
    ORDER BY m.date;
END;
COMMENT ON FUNCTION slm_feedback.report_daily(date, date, text, text) IS
'One row a day with queries, from_date to to_date (default: the last 30 days), for one model or prompt version (null: all; empty string: queries without one). Feedback counts on the day of its query. positive_ratio = positive / (positive + negative); feedback_rate = queries with feedback / queries. Times in milliseconds, costs in US dollars. Everything is exact but p50/p95/p99 of 1,000 timed queries or more, which a t-digest approximates (within about 1%, 0.5%, 0.2% of rank and one distinct time). Errors: 22023 from_date after to_date.';

SELECT slm_feedback.define($define$
CREATE FUNCTION slm_feedback.report_models(
    from_date date DEFAULT NULL,
    to_date date DEFAULT NULL,
    by_prompt_version boolean DEFAULT false
) RETURNS TABLE (
    model text,
    prompt_version text,
    total_queries bigint,
    avg_response_time_ms double precision,
    approx_p50_response_time_ms double precision,
    approx_p95_response_time_ms double precision,
    approx_p99_response_time_ms double precision,
    positive_feedback_count bigint,
    negative_feedback_count bigint,
    neutral_feedback_count bigint,
    positive_ratio double precision,
    positive_ratio_low double precision,
    positive_ratio_high double precision,
    feedback_rate double precision,
    avg_rating double precision,
    approx_unique_users bigint,
    error_count bigint,
    input_tokens bigint,
    output_tokens bigint,
    cost_usd numeric
)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT t.model, t.prompt_version, t.total_queries,
           t.response_time_sum_ms::double precision / nullif(t.response_time_count, 0),
           t.percentiles[1], t.percentiles[2], t.percentiles[3],
           t.positive, t.negative, t.neutral,
           t.positive::double precision / nullif(t.positive + t.negative, 0), w.low, w.high,
           t.rated_queries::double precision / nullif(t.total_queries, 0),
           t.rating_sum::double precision / nullif(t.rating_count, 0),
           t.unique_users, t.error_count, t.input_tokens, t.output_tokens, t.cost_usd
    FROM (SELECT m.model, m.prompt_version,
                 sum(m.total_queries)::bigint AS total_queries,
                 sum(m.response_time_sum_ms)::bigint AS response_time_sum_ms,
                 sum(m.response_time_count)::bigint AS response_time_count,
                 coalesce(slm_feedback.exact_percentiles(slm_feedback.small_values_sum(m.small_response_times), '{0.5, 0.95, 0.99}'::double precision[]),
                          @extschema:tdigest@.tdigest_percentile(m.response_times, '{0.5, 0.95, 0.99}'::double precision[])) AS percentiles,
                 sum(m.positive_feedback_count)::bigint AS positive,
                 sum(m.negative_feedback_count)::bigint AS negative,
                 sum(m.neutral_feedback_count)::bigint AS neutral,
                 sum(m.rated_queries)::bigint AS rated_queries,
                 sum(m.rating_sum)::bigint AS rating_sum,
                 sum(m.rating_count)::bigint AS rating_count,
                 coalesce(round(@extschema:hll@.hll_cardinality(@extschema:hll@.hll_union_agg(m.users))), 0)::bigint AS unique_users,
                 max(m.unique_users) AS most_users, sum(m.unique_users)::bigint AS users_of_days,
                 sum(m.error_count)::bigint AS error_count,
                 sum(m.input_tokens)::bigint AS input_tokens,
                 sum(m.output_tokens)::bigint AS output_tokens,
                 sum(m.cost_usd) AS cost_usd
          FROM slm_feedback.report_range(from_date, to_date, (SELECT s FROM slm_feedback.settings s)) r,
               LATERAL slm_feedback.metrics(r.first_day, r.last_day) m
          WHERE m.model IS NOT NULL
            AND (m.prompt_version IS NOT NULL) = by_prompt_version
          GROUP BY m.model, m.prompt_version) t,
         LATERAL slm_feedback.wilson_interval(t.positive, t.positive + t.negative) w
    WHERE slm_feedback.shows_merged_group(t.unique_users, t.most_users, t.users_of_days)
    ORDER BY t.total_queries DESC, t.model, t.prompt_version;
END
$define$);
COMMENT ON FUNCTION slm_feedback.report_models(date, date, boolean) IS
'One row a model (or, with by_prompt_version, a model and prompt version) over from_date to to_date (default: the last 30 days). The measures of report_daily, and the 95% Wilson interval of positive_ratio. approx_unique_users comes from HyperLogLog (standard error about 2.3%), approx_p50/p95/p99 from a t-digest (within about 1%, 0.5%, 0.2% of rank and one distinct time), but exactly where fewer than 1,000 queries have a time; everything else is exact. Errors: 22023 from_date after to_date.';

SELECT slm_feedback.define($define$
CREATE FUNCTION slm_feedback.report_summary(
    from_date date DEFAULT NULL,
    to_date date DEFAULT NULL
) RETURNS TABLE (
    first_day date,
    last_day date,
    days_with_queries bigint,
    total_queries bigint,
    avg_response_time_ms double precision,
    approx_p50_response_time_ms double precision,
    approx_p95_response_time_ms double precision,
    approx_p99_response_time_ms double precision,
    positive_feedback_count bigint,
    negative_feedback_count bigint,
    neutral_feedback_count bigint,
    positive_ratio double precision,
    positive_ratio_low double precision,
    positive_ratio_high double precision,
    feedback_rate double precision,
    avg_rating double precision,
    approx_unique_users bigint,
    error_count bigint,
    input_tokens bigint,
    output_tokens bigint,
    cost_usd numeric
)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT t.first_day, t.last_day, t.days_with_queries, t.total_queries,
           t.response_time_sum_ms::double precision / nullif(t.response_time_count, 0),
           t.percentiles[1], t.percentiles[2], t.percentiles[3],
           t.positive, t.negative, t.neutral,
           t.positive::double precision / nullif(t.positive + t.negative, 0), w.low, w.high,
           t.rated_queries::double precision / nullif(t.total_queries, 0),
           t.rating_sum::double precision / nullif(t.rating_count, 0),
           t.unique_users, t.error_count, t.input_tokens, t.output_tokens, t.cost_usd
    FROM (SELECT r.first_day, r.last_day, count(m.date) AS days_with_queries,
                 coalesce(sum(m.total_queries), 0)::bigint AS total_queries,
                 coalesce(sum(m.response_time_sum_ms), 0)::bigint AS response_time_sum_ms,
                 coalesce(sum(m.response_time_count), 0)::bigint AS response_time_count,
                 coalesce(slm_feedback.exact_percentiles(slm_feedback.small_values_sum(m.small_response_times), '{0.5, 0.95, 0.99}'::double precision[]),
                          @extschema:tdigest@.tdigest_percentile(m.response_times, '{0.5, 0.95, 0.99}'::double precision[])) AS percentiles,
                 coalesce(sum(m.positive_feedback_count), 0)::bigint AS positive,
                 coalesce(sum(m.negative_feedback_count), 0)::bigint AS negative,
                 coalesce(sum(m.neutral_feedback_count), 0)::bigint AS neutral,
                 coalesce(sum(m.rated_queries), 0)::bigint AS rated_queries,
                 sum(m.rating_sum)::bigint AS rating_sum,
                 sum(m.rating_count)::bigint AS rating_count,
                 coalesce(round(@extschema:hll@.hll_cardinality(@extschema:hll@.hll_union_agg(m.users))), 0)::bigint AS unique_users,
                 max(m.unique_users) AS most_users, sum(m.unique_users)::bigint AS users_of_days,
                 coalesce(sum(m.error_count), 0)::bigint AS error_count,
                 coalesce(sum(m.input_tokens), 0)::bigint AS input_tokens,
                 coalesce(sum(m.output_tokens), 0)::bigint AS output_tokens,
                 coalesce(sum(m.cost_usd), 0) AS cost_usd
          FROM slm_feedback.report_range(from_date, to_date, (SELECT s FROM slm_feedback.settings s)) r
          LEFT JOIN LATERAL (SELECT a.* FROM slm_feedback.metrics(r.first_day, r.last_day) a
                             WHERE a.model IS NULL AND a.prompt_version IS NULL) m ON true
          GROUP BY r.first_day, r.last_day) t,
         LATERAL slm_feedback.wilson_interval(t.positive, t.positive + t.negative) w
    WHERE slm_feedback.shows_merged_group(t.unique_users, t.most_users, t.users_of_days);
END
$define$);
COMMENT ON FUNCTION slm_feedback.report_summary(date, date) IS
'One row for the whole range from_date to to_date (default: the last 30 days). The measures of report_daily, and the 95% Wilson interval of positive_ratio. approx_unique_users comes from HyperLogLog (standard error about 2.3%), approx_p50/p95/p99 from a t-digest (within about 1%, 0.5%, 0.2% of rank and one distinct time), but exactly where fewer than 1,000 queries have a time; everything else is exact. Errors: 22023 from_date after to_date.';

-- What report_top_questions() shows to everybody; a question is named by the least id of those who asked it.
CREATE FUNCTION slm_feedback.top_questions(
    from_date date,
    to_date date,
    max_rows integer,
    order_by text,
    model text,
    prompt_version text
) RETURNS TABLE (
    request_id text,
    times_asked bigint,
    unique_users bigint,
    avg_response_time_ms double precision,
    positive_feedback_count bigint,
    negative_feedback_count bigint,
    neutral_feedback_count bigint,
    positive_ratio double precision,
    avg_rating double precision,
    first_asked_at timestamptz,
    last_asked_at timestamptz
)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    -- The range of days is known only when the statement runs, so the planner guesses how many rows it holds. A guess
    -- of one row would let it join feedback by a nested loop, which is quadratic. A hash or merge join never is.
    SET enable_nestloop = off SET jit = off
BEGIN ATOMIC
    WITH bounds AS (
        SELECT slm_feedback.day_start(r.first_day) AS from_time, slm_feedback.day_start(r.last_day + 1) AS to_time
        FROM slm_feedback.report_range(from_date, to_date, (SELECT s FROM slm_feedback.settings s)) r
    ), by_request AS (
        SELECT f.request_id,
               count(*) FILTER (WHERE f.sentiment = 1) AS positive,
               count(*) FILTER (WHERE f.sentiment = -1) AS negative,
               count(*) FILTER (WHERE f.sentiment = 0) AS neutral,
               sum(f.rating) AS rating_sum, count(f.rating) AS rating_count
        FROM slm_feedback.feedback f
        WHERE f.query_created_at >= (SELECT b.from_time FROM bounds b)
          AND f.query_created_at < (SELECT b.to_time FROM bounds b)
        GROUP BY 1
    ), by_question AS (
        SELECT q.question_hash, count(*) AS times_asked, count(DISTINCT q.user_id) AS unique_users,
               sum(q.response_time_ms::bigint)::double precision / nullif(count(q.response_time_ms), 0) AS avg_response_time_ms,
               coalesce(sum(f.positive), 0)::bigint AS positive, coalesce(sum(f.negative), 0)::bigint AS negative,
               coalesce(sum(f.neutral), 0)::bigint AS neutral,
               sum(f.rating_sum)::double precision / nullif(sum(f.rating_count), 0)::double precision AS avg_rating,
               min(q.created_at) AS first_asked_at, max(q.created_at) AS last_asked_at,
               min(q.request_id) AS request_id
        FROM slm_feedback.queries q
        LEFT JOIN by_request f ON f.request_id = q.request_id
        WHERE q.created_at >= (SELECT b.from_time FROM bounds b)
          AND q.created_at < (SELECT b.to_time FROM bounds b)
          AND q.question_hash IS NOT NULL
          AND (top_questions.model IS NULL OR coalesce(q.model, '') = top_questions.model)
          AND (top_questions.prompt_version IS NULL
               OR coalesce(q.prompt_version, '') = top_questions.prompt_version)
        GROUP BY q.question_hash
        HAVING slm_feedback.shows_group(count(DISTINCT q.user_id))
    ), chosen AS (
        SELECT b.*, w.low, w.high
        FROM slm_feedback.check_choice('order_by', order_by, ARRAY['asked', 'worst', 'best']) AS o (choice),
             by_question b, LATERAL slm_feedback.wilson_interval(b.positive, b.positive + b.negative) w
        WHERE o.choice = 'asked' OR b.positive + b.negative > 0
        ORDER BY CASE o.choice WHEN 'worst' THEN w.high WHEN 'best' THEN -w.low END,
                 b.times_asked DESC, b.question_hash
        LIMIT max_rows
    )
    SELECT c.request_id, c.times_asked, c.unique_users, c.avg_response_time_ms,
           c.positive, c.negative, c.neutral,
           c.positive::double precision / nullif(c.positive + c.negative, 0), c.avg_rating,
           c.first_asked_at, c.last_asked_at
    FROM chosen c
    ORDER BY CASE order_by WHEN 'worst' THEN c.high WHEN 'best' THEN -c.low END,
             c.times_asked DESC, c.question_hash;
END;
COMMENT ON FUNCTION slm_feedback.top_questions(date, date, integer, text, text, text) IS
'report_top_questions() without texts and hashes: request_id is one of the question''s queries.';

-- Not SECURITY DEFINER: read with the rights of the role that asks. Not part of a larger query: who may not see single
-- answers may not even plan one of readable_queries.
CREATE FUNCTION slm_feedback.readable_question(request_id text, OUT question text, OUT question_hash bigint)
    LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF has_column_privilege('slm_feedback.queries'::regclass, 'query_text', 'SELECT')
       OR has_column_privilege('slm_feedback.queries'::regclass, 'question_hash', 'SELECT') THEN
        SELECT q.query_text, q.question_hash INTO question, question_hash
        FROM slm_feedback.readable_queries q WHERE q.request_id = readable_question.request_id;
    END IF;
END
$$;
COMMENT ON FUNCTION slm_feedback.readable_question(text) IS
'The question of an answer, and its hash, as the caller may read them: each is null without SELECT on query_text or question_hash of queries. Errors: none.';

CREATE FUNCTION slm_feedback.report_top_questions(
    from_date date DEFAULT NULL,
    to_date date DEFAULT NULL,
    max_rows integer DEFAULT 10,
    order_by text DEFAULT 'asked',
    model text DEFAULT NULL,
    prompt_version text DEFAULT NULL
) RETURNS TABLE (
    question text,
    question_hash bigint,
    times_asked bigint,
    unique_users bigint,
    avg_response_time_ms double precision,
    positive_feedback_count bigint,
    negative_feedback_count bigint,
    neutral_feedback_count bigint,
    positive_ratio double precision,
    avg_rating double precision,
    first_asked_at timestamptz,
    last_asked_at timestamptz,
    request_id text
)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT q.question, q.question_hash,
           t.times_asked, t.unique_users, t.avg_response_time_ms, t.positive_feedback_count, t.negative_feedback_count,
           t.neutral_feedback_count, t.positive_ratio, t.avg_rating, t.first_asked_at, t.last_asked_at,
           t.request_id
    FROM slm_feedback.top_questions(from_date, to_date, max_rows, order_by, model, prompt_version) WITH ORDINALITY t,
         LATERAL slm_feedback.readable_question(t.request_id) q
    ORDER BY t.ordinality;
END;
COMMENT ON FUNCTION slm_feedback.report_top_questions(date, date, integer, text, text, text) IS
'The questions asked from from_date to to_date (default: the last 30 days), grouped by their normalised form, from the raw rows; exact. order_by: asked (most often first), worst (lowest upper end of the 95% Wilson interval of positive_ratio first) or best (highest lower end first); the last two list questions with feedback only. question is the text as one of its askers wrote it, in the request request_id; it and question_hash are null for a caller who may not read texts (see grant_access). max_rows null gives all. Errors: 22023 from_date after to_date or an unknown order_by, 2201W a negative max_rows.';
