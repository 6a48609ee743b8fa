CREATE FUNCTION slm_feedback.record_queries(
    queries jsonb,
    OUT "position" integer,
    OUT request_id text,
    OUT status text,
    OUT sqlstate text,
    OUT reason text
) RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'slm_record_queries';
COMMENT ON FUNCTION slm_feedback.record_queries IS
'record_query() for a JSON array of objects whose keys are its argument names. One row an element, in order (position from 1): status recorded, repeated (the id was known: the first record stays) or refused with the SQLSTATE and reason of the single call. Good rows are kept whatever happens to others. Errors for the call: 22023 not an array, 54000 more than 100,000 elements.';

CREATE FUNCTION slm_feedback.submit_feedback_batch(
    feedback jsonb,
    OUT "position" integer,
    OUT request_id text,
    OUT status text,
    OUT sqlstate text,
    OUT reason text
) RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'slm_submit_feedback_batch';
COMMENT ON FUNCTION slm_feedback.submit_feedback_batch IS
'submit_feedback() for a JSON array of objects whose keys are its argument names. One row an element, in order (position from 1): status submitted, or refused with the SQLSTATE and reason of the single call. Good rows are kept whatever happens to others. Errors for the call: 22023 not an array, 54000 more than 100,000 elements.';
