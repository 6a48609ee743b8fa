CREATE FUNCTION slm_feedback.record_query(
    query_text text,
    response_text text DEFAULT NULL,
    request_id text DEFAULT NULL,
    user_id text DEFAULT NULL,
    session_id text DEFAULT NULL,
    response_time_ms double precision DEFAULT NULL,
    model text DEFAULT NULL,
    prompt_version text DEFAULT NULL,
    input_tokens bigint DEFAULT NULL,
    output_tokens bigint DEFAULT NULL,
    cost_usd numeric DEFAULT NULL,
    sources_used jsonb DEFAULT NULL,
    error text DEFAULT NULL,
    tags jsonb DEFAULT NULL,
    metadata jsonb DEFAULT NULL,
    created_at timestamptz DEFAULT NULL
) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'slm_record_query';
COMMENT ON FUNCTION slm_feedback.record_query IS
'Stores a question and its answer; returns the request id (a new UUIDv7 if none is given). A repeated id keeps the first record and raises a NOTICE with SQLSTATE 23505. Times are whole milliseconds after rounding; created_at defaults to the transaction''s start. Errors: 22004 no query_text, 22001 over-long value, 22003 number out of range, 22008 created_at out of range, 22023 empty id, or a pseudonym as user id under the policy plain.';
