-- queries: one row a question and its answer. The request id is the natural key: no surrogate, one index
-- fewer to write, and the key by which the table can be distributed. Ids and names are COLLATE "C":
-- they are compared for identity, and no collation upgrade of the system can break their indexes.
CREATE TABLE slm_feedback.queries (
    request_id text COLLATE "C" NOT NULL,
    query_text text,
    response_text text,
    created_at timestamptz NOT NULL DEFAULT now(),
    user_id text COLLATE "C",
    session_id text COLLATE "C",
    response_time_ms integer,
    sources_used jsonb,
    model text COLLATE "C",
    prompt_version text COLLATE "C",
    input_tokens integer,
    output_tokens integer,
    cost_usd numeric,
    error text,
    tags jsonb,
    metadata jsonb,
    question_hash bigint GENERATED ALWAYS AS (slm_feedback.question_hash(query_text)) STORED,
    CONSTRAINT queries_pkey PRIMARY KEY (request_id),
    CONSTRAINT queries_request_id_length CHECK (octet_length(request_id) BETWEEN 1 AND 255),
    CONSTRAINT queries_created_at_range CHECK (created_at >= '2000-01-01 00:00:00+00' AND created_at < 'infinity'),
    CONSTRAINT queries_user_id_length CHECK (octet_length(user_id) BETWEEN 1 AND 255),
    CONSTRAINT queries_session_id_length CHECK (octet_length(session_id) BETWEEN 1 AND 255),
    CONSTRAINT queries_model_length CHECK (octet_length(model) BETWEEN 1 AND 255),
    CONSTRAINT queries_prompt_version_length CHECK (octet_length(prompt_version) BETWEEN 1 AND 255),
    CONSTRAINT queries_response_time_range CHECK (response_time_ms >= 0),
    CONSTRAINT queries_tokens_range CHECK (input_tokens >= 0 AND output_tokens >= 0),
    CONSTRAINT queries_cost_range CHECK (cost_usd >= 0 AND cost_usd < 1000000000)
);
CREATE INDEX queries_created_at_idx ON slm_feedback.queries (created_at);
COMMENT ON TABLE slm_feedback.queries IS
'One row a question put to a model, with its answer. Written by record_query() and record_queries(); direct INSERT and COPY are guarded by triggers.';
COMMENT ON COLUMN slm_feedback.queries.request_id IS 'The request''s id, given by the application or made as a UUIDv7: 1 to 255 bytes.';
COMMENT ON COLUMN slm_feedback.queries.query_text IS 'The question; null once retention has removed the texts.';
COMMENT ON COLUMN slm_feedback.queries.response_text IS 'The model''s answer; null if there was none or once retention has removed the texts.';
COMMENT ON COLUMN slm_feedback.queries.created_at IS 'When the question was asked: its day is the day on which every report counts it and its feedback. Cannot be changed.';
COMMENT ON COLUMN slm_feedback.queries.user_id IS 'Who asked, as the user-id policy stores it; null for anonymous users.';
COMMENT ON COLUMN slm_feedback.queries.session_id IS 'The conversation or session that the question belongs to.';
COMMENT ON COLUMN slm_feedback.queries.response_time_ms IS 'Time to answer in whole milliseconds.';
COMMENT ON COLUMN slm_feedback.queries.sources_used IS 'What the answer drew on (documents, tools), as the application describes it.';
COMMENT ON COLUMN slm_feedback.queries.model IS 'The model''s name; null if not given (reports show it as an empty string).';
COMMENT ON COLUMN slm_feedback.queries.prompt_version IS 'The version of the prompt; null if not given (reports show it as an empty string).';
COMMENT ON COLUMN slm_feedback.queries.input_tokens IS 'Tokens sent to the model.';
COMMENT ON COLUMN slm_feedback.queries.output_tokens IS 'Tokens that the model produced.';
COMMENT ON COLUMN slm_feedback.queries.cost_usd IS 'Cost of the request in US dollars, exact.';
COMMENT ON COLUMN slm_feedback.queries.error IS 'The error that the request ended with; null if it succeeded.';
COMMENT ON COLUMN slm_feedback.queries.tags IS 'Free labels as JSON.';
COMMENT ON COLUMN slm_feedback.queries.metadata IS 'Anything else as JSON.';
COMMENT ON COLUMN slm_feedback.queries.question_hash IS 'question_hash(query_text): equal for questions that differ only in case, white space, trailing punctuation or Unicode form.';
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.queries', '');
