-- What the capture functions are compared with: tables with the same columns, constraints and indexes, and a
-- PL/pgSQL function that does what submit_feedback does.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS raw CASCADE;
CREATE SCHEMA raw;
CREATE TABLE raw.queries (LIKE slm_feedback.queries INCLUDING ALL);
CREATE TABLE raw.feedback (LIKE slm_feedback.feedback INCLUDING ALL,
    FOREIGN KEY (request_id) REFERENCES slm_feedback.queries (request_id) ON DELETE CASCADE);
-- A plain statement has no guard trigger that sets it.
ALTER TABLE raw.feedback DROP COLUMN sentiment, ADD COLUMN sentiment smallint GENERATED ALWAYS AS (
    CASE WHEN is_helpful THEN 1 WHEN NOT is_helpful THEN -1 WHEN rating >= 4 THEN 1 WHEN rating = 3 THEN 0 WHEN rating <= 2 THEN -1 END) STORED;

CREATE FUNCTION raw.submit_plpgsql(request_id text, is_helpful boolean, rating integer, comment text, user_id text)
RETURNS raw.feedback LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    query_created timestamptz;
    result raw.feedback;
BEGIN
    IF submit_plpgsql.rating NOT BETWEEN 1 AND 5 THEN
        RAISE EXCEPTION 'rating is out of range';
    END IF;
    SELECT q.created_at INTO query_created FROM slm_feedback.queries q WHERE q.request_id = submit_plpgsql.request_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'unknown request';
    END IF;
    INSERT INTO raw.feedback AS f (request_id, user_id, is_helpful, rating, comment, query_created_at)
    VALUES (submit_plpgsql.request_id, submit_plpgsql.user_id, submit_plpgsql.is_helpful, submit_plpgsql.rating,
            submit_plpgsql.comment, query_created)
    ON CONFLICT (request_id, user_id) DO UPDATE SET is_helpful = coalesce(excluded.is_helpful, f.is_helpful),
        rating = coalesce(excluded.rating, f.rating), comment = coalesce(excluded.comment, f.comment),
        updated_at = excluded.updated_at
    RETURNING * INTO result;
    RETURN result;
END
$$;

-- Batches of 1,000 for the batch functions: each is used once, as first opinions are.
CREATE SEQUENCE raw.batch_number;
CREATE TABLE raw.feedback_batches AS
SELECT b AS n, jsonb_agg(jsonb_build_object('request_id', 'bench-' || lpad((:rows - (b * 1000 + i) % (:rows / :days))::text, 10, '0'),
    'user_id', 'batch-' || b || '-' || i, 'is_helpful', i % 5 > 0, 'rating', 1 + i % 5)) AS batch
FROM generate_series(1, 1500) b, generate_series(1, 1000) i GROUP BY b;
ALTER TABLE raw.feedback_batches ADD PRIMARY KEY (n);
CREATE TABLE raw.query_batch AS
SELECT jsonb_agg(jsonb_build_object('query_text', 'How do I change setting ' || i || ' of the product that I bought last year?',
    'response_text', repeat('Open the settings, choose the entry and press the button twice. ', 6),
    'user_id', 'user-' || i, 'session_id', 's-' || i, 'response_time_ms', 300 + i, 'model', 'model-1',
    'prompt_version', 'v1', 'input_tokens', 80, 'output_tokens', 300, 'cost_usd', 0.0002)) AS batch
FROM generate_series(1, 1000) i;
VACUUM ANALYZE raw.feedback_batches, raw.query_batch;
