-- The order of locks ("The order of locks" in docs/design.md), which every function of the extension keeps:
--   tables  settings, queries, feedback, corrections, all others;
--   rows    an answer (queries, with its feedback and corrections) after another in the order of request ids; for what
--           belongs to an answer its query is locked first, by writers FOR KEY SHARE, here FOR UPDATE.
CREATE FUNCTION slm_feedback.lock_settings() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    LOCK TABLE slm_feedback.settings IN SHARE ROW EXCLUSIVE MODE;
END
$$;
COMMENT ON FUNCTION slm_feedback.lock_settings() IS
'Locks the settings, which sessions go on reading, until the end of the transaction: first step of the functions that change one.';

CREATE FUNCTION slm_feedback.lock_out_writers() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    LOCK TABLE slm_feedback.settings, slm_feedback.queries, slm_feedback.feedback, slm_feedback.corrections
        IN SHARE ROW EXCLUSIVE MODE;
END
$$;
COMMENT ON FUNCTION slm_feedback.lock_out_writers() IS
'Waits for running writes and keeps new ones out until the end of the transaction: first step of the functions that change how a write is judged.';

CREATE FUNCTION slm_feedback.lock_answers(request_ids text[]) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- The caller may go on to lock a table more strongly, which it must not do after a weaker lock.
    IF request_ids IS NULL THEN
        RETURN;
    END IF;
    LOCK TABLE slm_feedback.queries, slm_feedback.feedback, slm_feedback.corrections IN ROW EXCLUSIVE MODE;
    PERFORM 1 FROM slm_feedback.queries q WHERE q.request_id = ANY (request_ids) ORDER BY q.request_id FOR UPDATE;
END
$$;
COMMENT ON FUNCTION slm_feedback.lock_answers(text[]) IS
'Locks answers, in the order of their request ids, until the end of the transaction: nobody writes to them or to their feedback and corrections meanwhile. First step of the functions that change several. Null, none, locks nothing, not even the tables.';
