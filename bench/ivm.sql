-- What pg_ivm can keep of daily_metrics, by triggers on tables of its own: counts and sums of a day, model and
-- prompt version; a view over questions and one over opinions.
CREATE EXTENSION IF NOT EXISTS pg_ivm;
CREATE TABLE raw.queries_ivm (LIKE slm_feedback.queries INCLUDING ALL);
CREATE TABLE raw.feedback_ivm (LIKE raw.feedback INCLUDING ALL,
    FOREIGN KEY (request_id) REFERENCES slm_feedback.queries (request_id) ON DELETE CASCADE);
SELECT pgivm.create_immv('raw.daily_queries', $$
    SELECT (created_at AT TIME ZONE 'UTC')::date AS date, model, prompt_version, count(*) AS total_queries,
           count(response_time_ms) AS response_time_count, sum(response_time_ms) AS response_time_sum_ms, count(error) AS error_count,
           sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens, sum(cost_usd) AS cost_usd
    FROM raw.queries_ivm GROUP BY (created_at AT TIME ZONE 'UTC')::date, model, prompt_version $$);
SELECT pgivm.create_immv('raw.daily_feedback', $$
    SELECT (query_created_at AT TIME ZONE 'UTC')::date AS date, count(*) AS feedback_count, count(rating) AS rating_count,
           sum(rating) AS rating_sum, sum(sentiment) AS sentiment_sum
    FROM raw.feedback_ivm GROUP BY (query_created_at AT TIME ZONE 'UTC')::date $$);
