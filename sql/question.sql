-- Questions that differ only in case, white space, trailing punctuation or Unicode form are one question.
CREATE FUNCTION slm_feedback.normalize_question(query_text text) RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_normalize_question';
COMMENT ON FUNCTION slm_feedback.normalize_question(text) IS
'The form in which questions are compared: Unicode NFKC, lower case, runs of white space as one space, none at the ends, no trailing punctuation. Of a question longer than 8,192 characters, the first 8,192 are normalised and the rest is compared as it is. Errors: none.';

CREATE FUNCTION slm_feedback.question_hash(query_text text) RETURNS bigint
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_question_hash';
COMMENT ON FUNCTION slm_feedback.question_hash(text) IS
'A 64-bit hash of normalize_question(): equal for equal questions; two different ones share a value with a probability of 2^-64. Errors: none.';
