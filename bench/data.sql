-- Rows for the benchmarks: :rows queries over :days days up to today, a fifth of them with feedback, loaded by
-- plain INSERT … SELECT through the guard triggers. Plausible sizes: a question of about 60 characters, an
-- answer of about 400, five models, three prompt versions, 20,000 users.
\set ON_ERROR_STOP on
SET synchronous_commit = off;
SELECT setseed(0.5);
INSERT INTO slm_feedback.queries (request_id, query_text, response_text, created_at, user_id, session_id,
    response_time_ms, model, prompt_version, input_tokens, output_tokens, cost_usd)
SELECT 'bench-' || lpad(i::text, 10, '0'),
       'How do I change setting ' || (i::bigint * 7919 % 50000) || ' of the product that I bought last year?',
       repeat('Open the settings, choose the entry and press the button twice. ', 6) || i,
       least(now() - interval '1 second', date_trunc('day', now()) - (:days - 1) * interval '1 day' + i * (:days * interval '1 day' / :rows)),
       'user-' || (i::bigint * 31 % 20000), 'session-' || (i / 5),
       (200 + 2000 * random() * random())::integer,
       'model-' || (i % 5), 'v' || (i % 3), (50 + i % 200)::integer, (100 + i % 700)::integer, (i % 100) * 0.00001
FROM generate_series(1, :rows) AS i;
INSERT INTO slm_feedback.feedback (request_id, user_id, is_helpful, rating, created_at, updated_at, query_created_at)
SELECT q.request_id, q.user_id, random() < 0.8, (1 + random() * 4)::integer, q.created_at, q.created_at, q.created_at
FROM slm_feedback.queries q
WHERE q.request_id LIKE 'bench-%' AND right(q.request_id, 1) IN ('3', '7');
VACUUM (ANALYZE) slm_feedback.queries;
VACUUM (ANALYZE) slm_feedback.feedback;
