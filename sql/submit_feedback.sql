CREATE FUNCTION slm_feedback.submit_feedback(
    request_id text,
    is_helpful boolean DEFAULT NULL,
    rating integer DEFAULT NULL,
    comment text DEFAULT NULL,
    user_id text DEFAULT NULL
) RETURNS slm_feedback.feedback
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'slm_submit_feedback';
COMMENT ON FUNCTION slm_feedback.submit_feedback IS
'Stores or completes a person''s opinion on an answer and returns the opinion as it now stands: what is given replaces, what is null stays, and a blank comment is as null. Without a user id (or under the policy drop) all judge in one row an answer, and each call gets back only what it said itself: give a session id as the user id of anonymous people. Errors: PT404 unknown request, 22003 rating outside 1..5, 22004 nothing to say or no request id, 22001 over-long value, 22023 empty id, or a pseudonym as id under the policy plain.';

CREATE FUNCTION slm_feedback.withdraw_feedback(
    request_id text,
    user_id text
) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'slm_withdraw_feedback';
COMMENT ON FUNCTION slm_feedback.withdraw_feedback IS
'Removes a person''s opinion on an answer: true if there was one, false if there was none. What was said without a user id cannot be withdrawn, because it may be another''s. Errors: PT404 unknown request, 22004 no request id or no user id, 22023 empty id, or a pseudonym as id under the policy plain, 55000 under the policy drop.';
