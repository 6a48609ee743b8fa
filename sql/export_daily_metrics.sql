-- export_daily_metrics: what is stored streams from the table; the few days that are not settled are computed
-- (slm_feedback.metrics() is the same in one, for callers who may read the tables). Which days these are is decided
-- once for both parts, as the head of reports.sql says.
--
-- A hidden group must not be seen by a cheap function in WHERE that prints its arguments (so the view is a security
-- barrier), nor in the row estimates of EXPLAIN (so OFFSET 0 keeps every condition away from the table and its
-- statistics). The price is a scan of the whole table, which is small.
CREATE VIEW slm_feedback.readable_daily_metrics WITH (security_barrier) AS
SELECT m.date, m.model, m.prompt_version, m.total_queries, m.response_time_count, m.response_time_sum_ms,
       m.p50_response_time_ms, m.p95_response_time_ms, m.p99_response_time_ms, m.positive_feedback_count,
       m.negative_feedback_count, m.neutral_feedback_count, m.feedback_count, m.rated_queries, m.rating_count,
       m.rating_sum, m.unique_users, m.error_count, m.input_tokens, m.output_tokens, m.cost_usd, m.refreshed_at,
       m.hourly_queries
FROM slm_feedback.daily_metrics m
WHERE m.unique_users >= (SELECT slm_feedback.least_group_users())
OFFSET 0;
COMMENT ON VIEW slm_feedback.readable_daily_metrics IS
'daily_metrics without the sketches and sets of times, and without the groups that min_group_users hides, as the last rollup left it. export_daily_metrics() is the same with the days computed that are not final, or marked.';

CREATE FUNCTION slm_feedback.export_live_days(from_date date, to_date date) RETURNS date[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT ARRAY(SELECT d.day
                 FROM slm_feedback.report_range(coalesce(from_date, '-infinity'), coalesce(to_date, 'infinity'),
                                                (SELECT s FROM slm_feedback.settings s)) r,
                      LATERAL slm_feedback.live_days(r.first_day, r.last_day) AS d (day));
END;
COMMENT ON FUNCTION slm_feedback.export_live_days(date, date) IS
'The days of a range whose metrics have to be computed from the raw rows; null dates mean everything. Errors: 22023 from_date after to_date.';

CREATE FUNCTION slm_feedback.export_live_metrics(days date[]) RETURNS SETOF slm_feedback.readable_daily_metrics
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 20 SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT m.date, m.model, m.prompt_version, m.total_queries, m.response_time_count, m.response_time_sum_ms,
           m.p50_response_time_ms, m.p95_response_time_ms, m.p99_response_time_ms, m.positive_feedback_count,
           m.negative_feedback_count, m.neutral_feedback_count, m.feedback_count, m.rated_queries, m.rating_count,
           m.rating_sum, m.unique_users, m.error_count, m.input_tokens, m.output_tokens, m.cost_usd, m.refreshed_at,
           m.hourly_queries
    FROM unnest(days) AS d (day),
         LATERAL slm_feedback.day_metrics(d.day) m
    WHERE slm_feedback.shows_group(m.unique_users);
END;
COMMENT ON FUNCTION slm_feedback.export_live_metrics(date[]) IS
'The metrics of days, computed from the raw rows: for those that export_live_days() lists.';

CREATE FUNCTION slm_feedback.export_daily_metrics(
    from_date date DEFAULT NULL,
    to_date date DEFAULT NULL
) RETURNS SETOF slm_feedback.readable_daily_metrics
    LANGUAGE sql STABLE ROWS 10000
BEGIN ATOMIC
    WITH live AS MATERIALIZED (
        SELECT slm_feedback.export_live_days(from_date, to_date) AS days
    )
    SELECT m.*
    FROM slm_feedback.readable_daily_metrics m
    WHERE (from_date IS NULL OR m.date >= from_date)
      AND (to_date IS NULL OR m.date <= to_date)
      AND NOT m.date = ANY ((SELECT l.days FROM live l)::date[])
    UNION ALL
    SELECT m.*
    FROM live l, LATERAL slm_feedback.export_live_metrics(l.days) m;
END;
COMMENT ON FUNCTION slm_feedback.export_daily_metrics(date, date) IS
'The metrics of every day from from_date to to_date (null, the default: everything) at every level: by model and prompt version, and over all of them (null = all, empty string = not given), in no particular order. Add up rows of one level only. The columns are those of daily_metrics without the sketches and sets of times, exact but for the percentiles of 1,000 timed queries or more; groups that min_group_users hides are left out. Errors: 22023 from_date after to_date.';

CREATE FUNCTION slm_feedback.export_daily_metrics_jsonl(
    from_date date DEFAULT NULL,
    to_date date DEFAULT NULL
) RETURNS SETOF json
    LANGUAGE sql STABLE ROWS 10000
BEGIN ATOMIC
    SELECT row_to_json(m) FROM slm_feedback.export_daily_metrics(from_date, to_date) m;
END;
COMMENT ON FUNCTION slm_feedback.export_daily_metrics_jsonl(date, date) IS
'export_daily_metrics() as JSON Lines: one JSON object a row, on one line, whose keys are the columns. Errors: 22023 from_date after to_date.';
