-- Requests of data subjects: what is kept about a person, and its erasure.

-- The one list of what can hold personal data. test/pgtap/data_subjects.sql fails for a text, text[] or jsonb
-- column of a table that does not stand here, so that a new one is thought of in the two functions below.
CREATE FUNCTION slm_feedback.personal_columns(
    OUT table_name text,
    OUT column_name text,
    OUT holds text
) RETURNS SETOF record
    LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    VALUES
        ('queries', 'user_id', 'person'),
        ('queries', 'session_id', 'person'),
        ('queries', 'query_text', 'words'),
        ('queries', 'response_text', 'words'),
        ('queries', 'error', 'words'),
        ('queries', 'sources_used', 'words'),
        ('queries', 'tags', 'words'),
        ('queries', 'metadata', 'words'),
        ('feedback', 'user_id', 'person'),
        ('feedback', 'comment', 'words'),
        ('corrections', 'user_id', 'person'),
        ('corrections', 'corrected_text', 'words'),
        ('corrections', 'note', 'words');
END;
COMMENT ON FUNCTION slm_feedback.personal_columns() IS
'The columns that can hold personal data: a person''s id or session (person) or what a person wrote or was answered (words). Stored reports quote questions from these columns when they are read.';

CREATE FUNCTION slm_feedback.export_user(user_id text) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    forms text[];
    result jsonb;
BEGIN
    IF user_id IS NULL THEN
        RAISE EXCEPTION 'user_id must not be null' USING ERRCODE = 'null_value_not_allowed',
            HINT = 'What was stored without a user id cannot be assigned to anybody.';
    END IF;
    forms := slm_feedback.user_id_forms(user_id);
    SELECT jsonb_build_object(
        'queries', coalesce((SELECT jsonb_agg(to_jsonb(q) ORDER BY q.created_at, q.request_id)
                             FROM slm_feedback.queries q WHERE q.user_id = ANY (forms)), '[]'),
        'feedback', coalesce((SELECT jsonb_agg(to_jsonb(f) ORDER BY f.created_at, f.request_id)
                              FROM slm_feedback.feedback f WHERE f.user_id = ANY (forms)), '[]'),
        'corrections', coalesce((SELECT jsonb_agg(to_jsonb(c) ORDER BY c.created_at, c.request_id)
                                 FROM slm_feedback.corrections c WHERE c.user_id = ANY (forms)), '[]'))
    INTO result;
    PERFORM slm_feedback.audit('export_user', jsonb_build_object(
        'queries', jsonb_array_length(result -> 'queries'),
        'feedback', jsonb_array_length(result -> 'feedback'),
        'corrections', jsonb_array_length(result -> 'corrections')));
    RETURN result;
END
$$;
COMMENT ON FUNCTION slm_feedback.export_user(text) IS
'Everything stored about a person as one JSON object: arrays queries, feedback and corrections of whole rows. Takes the person''s id or pseudonym and finds rows in every form (plain, and a pseudonym of each key). Reads the tables whole. Noted in audit_log without the id. Errors: 22004 null, F0000 no usable key under the policy pseudonym.';

-- What others said on the person's answers goes with the questions: it is about them and may quote them. Deleted with
-- the rows, or, as by retention of texts, without its words.
CREATE FUNCTION slm_feedback.erase_user(
    user_id text,
    mode text DEFAULT 'delete',
    OUT queries bigint,
    OUT feedback bigint,
    OUT corrections bigint,
    OUT of_others bigint
)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    forms text[];
    concerned text[];
    asked text[];
    stand_in text := slm_feedback.new_erased_user_id();
    more bigint;
BEGIN
    IF erase_user.user_id IS NULL THEN
        RAISE EXCEPTION 'user_id must not be null' USING ERRCODE = 'null_value_not_allowed',
            HINT = 'What was stored without a user id cannot be assigned to anybody.';
    END IF;
    PERFORM slm_feedback.check_choice('mode', mode, ARRAY['delete', 'anonymize']);
    IF mode = 'anonymize' AND (SELECT s.user_id_policy FROM slm_feedback.settings s) = 'drop' THEN
        RAISE EXCEPTION 'a person cannot be anonymised under the policy "drop"'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'Nothing can stand for the person then, and opinions on one answer would collide.',
                  HINT = 'Use mode delete, or CALL slm_feedback.convert_user_ids().';
    END IF;
    forms := slm_feedback.user_id_forms(erase_user.user_id);
    concerned := ARRAY(
        SELECT q.request_id FROM slm_feedback.queries q WHERE q.user_id = ANY (forms)
        UNION
        SELECT f.request_id FROM slm_feedback.feedback f WHERE f.user_id = ANY (forms)
        UNION
        SELECT c.request_id FROM slm_feedback.corrections c WHERE c.user_id = ANY (forms));
    PERFORM slm_feedback.lock_answers(concerned);
    asked := ARRAY(SELECT q.request_id FROM slm_feedback.queries q
                   WHERE q.request_id = ANY (concerned) AND q.user_id = ANY (forms));

    DELETE FROM slm_feedback.corrections c WHERE c.request_id = ANY (concerned) AND c.user_id = ANY (forms);
    GET DIAGNOSTICS corrections = ROW_COUNT;
    -- A correction is nothing but words.
    DELETE FROM slm_feedback.corrections c WHERE c.request_id = ANY (asked);
    GET DIAGNOSTICS of_others = ROW_COUNT;

    IF mode = 'delete' THEN
        DELETE FROM slm_feedback.feedback f WHERE f.request_id = ANY (concerned) AND f.user_id = ANY (forms);
        GET DIAGNOSTICS feedback = ROW_COUNT;
        DELETE FROM slm_feedback.feedback f WHERE f.request_id = ANY (asked);
        GET DIAGNOSTICS more = ROW_COUNT;
        of_others := of_others + more;
        DELETE FROM slm_feedback.queries q WHERE q.request_id = ANY (asked);
        GET DIAGNOSTICS queries = ROW_COUNT;
    ELSE
        -- One stand-in for all rows, so that unique users stay what they were.
        UPDATE slm_feedback.queries q
        SET user_id = stand_in, session_id = NULL, query_text = NULL, response_text = NULL, sources_used = NULL,
            error = CASE WHEN q.error IS NOT NULL THEN '' END, tags = NULL, metadata = NULL
        WHERE q.request_id = ANY (asked);
        GET DIAGNOSTICS queries = ROW_COUNT;
        -- Several forms of the person on one answer: the latest stays.
        DELETE FROM slm_feedback.feedback f USING slm_feedback.feedback o
        WHERE f.request_id = ANY (concerned) AND f.user_id = ANY (forms) AND o.user_id = ANY (forms)
          AND o.request_id = f.request_id AND (o.updated_at, o.user_id) > (f.updated_at, f.user_id);
        GET DIAGNOSTICS more = ROW_COUNT;
        -- Empty, not null: an opinion that is a comment alone stays one.
        UPDATE slm_feedback.feedback f
        SET user_id = stand_in, comment = CASE WHEN f.comment IS NOT NULL THEN '' END
        WHERE f.request_id = ANY (concerned) AND f.user_id = ANY (forms);
        GET DIAGNOSTICS feedback = ROW_COUNT;
        feedback := feedback + more;
        UPDATE slm_feedback.feedback f SET comment = ''
        WHERE f.request_id = ANY (asked) AND f.user_id IS DISTINCT FROM stand_in AND f.comment <> '';
        GET DIAGNOSTICS more = ROW_COUNT;
        of_others := of_others + more;
    END IF;
    DELETE FROM slm_feedback.dashboard_questions d WHERE d.request_id = ANY (asked);
    PERFORM slm_feedback.audit('erase_user', jsonb_build_object('mode', mode, 'queries', queries, 'feedback', feedback,
        'corrections', corrections, 'of_others', of_others));
END
$$;
COMMENT ON FUNCTION slm_feedback.erase_user(text, text) IS
'Erases a person, given the id or a pseudonym, in the caller''s transaction, and returns how many rows it touched: queries, feedback and corrections of the person, and of_others (what others had said on the person''s answers). mode delete (default) deletes the rows, those of others on the person''s answers included, and metrics become what they would be without the person; anonymize keeps numbers and ratings under one random id, removes session, texts, tags and metadata, the comments and corrections of others on the person''s answers included, and keeps the metrics. Stored reports show no question of the person any more. Days frozen by retention keep their numbers in both. The planner''s statistics (pg_statistic) keep frequent ids and texts of the person until the next ANALYZE of queries, feedback and corrections. Reads the tables whole, then locks the answers concerned. Noted in audit_log without the id. Errors: 22004 null, 22023 unknown mode, 55000 anonymize under the policy drop, F0000 no usable key under the policy pseudonym.';
