-- What a caller may read of the raw tables. A column that can hold what a person wrote or who they are is
-- null unless the caller may SELECT that very column of the table: the grants decide, and nothing else has
-- to know about them. The exports stand on these views and stay visible to the planner; a privilege is
-- looked up once a query, not once a row.
--
-- No such column stands in a view as it is, not even in a branch that is never run: the planner estimates rows from a
-- column's statistics with the rights of the view's owner, so that EXPLAIN would tell the values, one comparison after
-- the other. About an expression it knows nothing.
CREATE VIEW slm_feedback.readable_queries AS
SELECT q.request_id,
       CASE WHEN (SELECT has_column_privilege('slm_feedback.queries'::regclass, 'query_text', 'SELECT')) THEN q.query_text END AS query_text,
       CASE WHEN (SELECT has_column_privilege('slm_feedback.queries'::regclass, 'response_text', 'SELECT')) THEN q.response_text END AS response_text,
       q.created_at,
       CASE WHEN (SELECT has_column_privilege('slm_feedback.queries'::regclass, 'user_id', 'SELECT')) THEN q.user_id END AS user_id,
       CASE WHEN (SELECT has_column_privilege('slm_feedback.queries'::regclass, 'session_id', 'SELECT')) THEN q.session_id END AS session_id,
       q.response_time_ms,
       CASE WHEN (SELECT has_column_privilege('slm_feedback.queries'::regclass, 'sources_used', 'SELECT')) THEN q.sources_used END AS sources_used,
       q.model,
       q.prompt_version,
       q.input_tokens,
       q.output_tokens,
       q.cost_usd,
       CASE WHEN (SELECT has_column_privilege('slm_feedback.queries'::regclass, 'error', 'SELECT')) THEN q.error END AS error,
       CASE WHEN (SELECT has_column_privilege('slm_feedback.queries'::regclass, 'tags', 'SELECT')) THEN q.tags END AS tags,
       CASE WHEN (SELECT has_column_privilege('slm_feedback.queries'::regclass, 'metadata', 'SELECT')) THEN q.metadata END AS metadata,
       CASE WHEN (SELECT has_column_privilege('slm_feedback.queries'::regclass, 'question_hash', 'SELECT')) THEN q.question_hash END AS question_hash
FROM slm_feedback.queries q
WHERE (SELECT slm_feedback.check_single_answers());
COMMENT ON VIEW slm_feedback.readable_queries IS
'queries as the caller may read them: texts, their hash, ids of persons and free JSON are null for a caller without SELECT on that column of queries. Errors: 42501 for a caller without SELECT on any column of queries while min_group_users is set.';

CREATE VIEW slm_feedback.readable_feedback AS
SELECT f.request_id,
       CASE WHEN (SELECT has_column_privilege('slm_feedback.feedback'::regclass, 'user_id', 'SELECT')) THEN f.user_id END AS user_id,
       f.is_helpful,
       f.rating,
       CASE WHEN (SELECT has_column_privilege('slm_feedback.feedback'::regclass, 'comment', 'SELECT')) THEN f.comment END AS comment,
       f.created_at,
       f.updated_at,
       f.query_created_at,
       f.sentiment
FROM slm_feedback.feedback f
WHERE (SELECT slm_feedback.check_single_answers());
COMMENT ON VIEW slm_feedback.readable_feedback IS
'feedback as the caller may read it: user_id and comment are null for a caller without SELECT on that column of feedback. Errors: as readable_queries.';

CREATE VIEW slm_feedback.readable_corrections AS
SELECT c.request_id,
       CASE WHEN (SELECT has_column_privilege('slm_feedback.corrections'::regclass, 'user_id', 'SELECT')) THEN c.user_id END AS user_id,
       CASE WHEN (SELECT has_column_privilege('slm_feedback.corrections'::regclass, 'corrected_text', 'SELECT')) THEN c.corrected_text END AS corrected_text,
       CASE WHEN (SELECT has_column_privilege('slm_feedback.corrections'::regclass, 'note', 'SELECT')) THEN c.note END AS note,
       c.created_at
FROM slm_feedback.corrections c
WHERE (SELECT slm_feedback.check_single_answers());
COMMENT ON VIEW slm_feedback.readable_corrections IS
'corrections as the caller may read them: user_id, corrected_text and note are null for a caller without SELECT on that column of corrections. Errors: as readable_queries.';

CREATE FUNCTION slm_feedback.may_be_rated(request_id text) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'slm_may_be_rated';
COMMENT ON FUNCTION slm_feedback.may_be_rated(text) IS
'False if an answer has no feedback that the running query can see; true if it may have some, and always for a caller who may not read readable_feedback. In a query that asks for many answers it spares most of them the look into the index. Errors: none.';

-- Every answer with every opinion on it. LATERAL with OFFSET 0 keeps an answer's feedback an index probe, so that rows
-- come out as they are read: any other join of the two tables can write temporary files. may_be_rated() spares the
-- probe where there is no feedback.
CREATE VIEW slm_feedback.interactions AS
SELECT q.request_id, q.query_text, q.response_text, q.created_at, q.user_id, q.session_id, q.response_time_ms,
       q.sources_used, q.model, q.prompt_version, q.input_tokens, q.output_tokens, q.cost_usd, q.error, q.tags,
       q.metadata, q.question_hash,
       f.user_id AS feedback_user_id, f.is_helpful, f.rating, f.comment, f.sentiment,
       f.created_at AS feedback_created_at, f.updated_at AS feedback_updated_at
FROM slm_feedback.readable_queries q
LEFT JOIN LATERAL (SELECT r.* FROM slm_feedback.readable_feedback r
                   WHERE r.request_id = q.request_id AND slm_feedback.may_be_rated(q.request_id) OFFSET 0) f ON true;
COMMENT ON VIEW slm_feedback.interactions IS
'One row an opinion, with the question and answer that it is about; one row with an empty opinion for an answer that has none. What the caller may not read is null. Errors: as readable_queries.';
COMMENT ON COLUMN slm_feedback.interactions.request_id IS 'The request''s id; it comes once for each opinion on the answer.';
COMMENT ON COLUMN slm_feedback.interactions.query_text IS 'The question.';
COMMENT ON COLUMN slm_feedback.interactions.response_text IS 'The model''s answer.';
COMMENT ON COLUMN slm_feedback.interactions.created_at IS 'When the question was asked.';
COMMENT ON COLUMN slm_feedback.interactions.user_id IS 'Who asked.';
COMMENT ON COLUMN slm_feedback.interactions.session_id IS 'The session of the question.';
COMMENT ON COLUMN slm_feedback.interactions.response_time_ms IS 'Time to answer in milliseconds.';
COMMENT ON COLUMN slm_feedback.interactions.sources_used IS 'What the answer drew on.';
COMMENT ON COLUMN slm_feedback.interactions.model IS 'The model; null if not given.';
COMMENT ON COLUMN slm_feedback.interactions.prompt_version IS 'The prompt version; null if not given.';
COMMENT ON COLUMN slm_feedback.interactions.input_tokens IS 'Tokens sent to the model.';
COMMENT ON COLUMN slm_feedback.interactions.output_tokens IS 'Tokens that the model produced.';
COMMENT ON COLUMN slm_feedback.interactions.cost_usd IS 'Cost in US dollars; add it up over distinct request ids.';
COMMENT ON COLUMN slm_feedback.interactions.error IS 'The error that the request ended with.';
COMMENT ON COLUMN slm_feedback.interactions.tags IS 'Free labels.';
COMMENT ON COLUMN slm_feedback.interactions.metadata IS 'Anything else.';
COMMENT ON COLUMN slm_feedback.interactions.question_hash IS 'Equal for equal questions; null for a caller who may not read them.';
COMMENT ON COLUMN slm_feedback.interactions.feedback_user_id IS 'Who judges; null is the anonymous opinion, or none.';
COMMENT ON COLUMN slm_feedback.interactions.is_helpful IS 'Thumb up or down.';
COMMENT ON COLUMN slm_feedback.interactions.rating IS 'Rating from 1 to 5.';
COMMENT ON COLUMN slm_feedback.interactions.comment IS 'The person''s words.';
COMMENT ON COLUMN slm_feedback.interactions.sentiment IS '1 positive, 0 neutral, -1 negative; null for a comment alone, or no opinion.';
COMMENT ON COLUMN slm_feedback.interactions.feedback_created_at IS 'When the opinion was given; null if there is none.';
COMMENT ON COLUMN slm_feedback.interactions.feedback_updated_at IS 'When it was last changed; null if there is none.';
