-- The rows of the batches as COPY reads them. What a batch leaves to record_queries(), the request id and the time,
-- is a default here, as cheap as can be; the rater's number makes every opinion a first one on both sides.
CREATE SEQUENCE raw.copied;
ALTER TABLE raw.queries ALTER COLUMN request_id SET DEFAULT 'copied-' || lpad(nextval('raw.copied')::text, 12, '0');
ALTER TABLE raw.feedback ALTER COLUMN user_id SET DEFAULT 'copied-' || nextval('raw.copied');
CREATE TABLE raw.query_copy AS
SELECT r.query_text, r.response_text, r.user_id, r.session_id, r.response_time_ms, r.model, r.prompt_version,
       r.input_tokens, r.output_tokens, r.cost_usd
FROM raw.query_batch b, jsonb_to_recordset(b.batch) AS r (query_text text, response_text text, user_id text, session_id text,
    response_time_ms integer, model text, prompt_version text, input_tokens integer, output_tokens integer, cost_usd numeric);
CREATE TABLE raw.feedback_copy AS
SELECT r.request_id, r.is_helpful, r.rating, q.created_at AS query_created_at
FROM raw.feedback_batches b, jsonb_to_recordset(b.batch) AS r (request_id text, is_helpful boolean, rating integer)
JOIN slm_feedback.queries q USING (request_id)
WHERE b.n = 1;
-- Batches as clients send them: text, which the call parses.
CREATE TABLE raw.query_batch_text AS SELECT batch::text AS batch FROM raw.query_batch;
CREATE TABLE raw.feedback_batches_text AS SELECT n, replace(batch::text, 'batch-', 'copy-') AS batch FROM raw.feedback_batches;
ALTER TABLE raw.feedback_batches_text ADD PRIMARY KEY (n);
VACUUM ANALYZE raw.query_batch_text, raw.feedback_batches_text;
