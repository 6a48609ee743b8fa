-- Redaction (src/redact.c): personal data and secrets in texts are replaced by typed placeholders.
CREATE FUNCTION slm_feedback.redact(value text) RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_redact';
COMMENT ON FUNCTION slm_feedback.redact(text) IS
'The text with [EMAIL], [PHONE], [CARD] (by Luhn), [IBAN] (mod 97), [IP] and [KEY] (API keys, tokens, JWT, Bearer) in place of what looks like one. Finds forms, not meaning: names and addresses stay. Linear in the length of the text. Errors: none.';

CREATE FUNCTION slm_feedback.redaction_counts(value text) RETURNS integer[]
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_redaction_counts';
COMMENT ON FUNCTION slm_feedback.redaction_counts(text) IS
'How many placeholders redact() would write: keys, e-mail addresses, IBANs, IP addresses, cards, phones, in this order. Errors: none.';

CREATE FUNCTION slm_feedback.set_redaction(enabled boolean) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF enabled IS NULL THEN
        RAISE EXCEPTION 'enabled must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    -- No write may be under way that was judged by the old setting.
    LOCK TABLE slm_feedback.queries, slm_feedback.feedback, slm_feedback.corrections IN SHARE ROW EXCLUSIVE MODE;
    INSERT INTO slm_feedback.settings (redact_at_write) VALUES (enabled)
    ON CONFLICT (singleton) DO UPDATE SET redact_at_write = excluded.redact_at_write;
    PERFORM slm_feedback.audit('set_redaction', jsonb_build_object('enabled', enabled));
END
$$;
COMMENT ON FUNCTION slm_feedback.set_redaction(boolean) IS
'Switches redaction at write on or off, for questions, answers, comments, corrected texts and their notes. Waits for running writes. What is stored already stays as it is. Errors: 22004 null.';

CREATE FUNCTION slm_feedback.redaction_dry_run(
    from_date date DEFAULT NULL,
    to_date date DEFAULT NULL,
    OUT table_name text,
    OUT column_name text,
    OUT kind text,
    OUT row_count bigint,
    OUT match_count bigint
) RETURNS SETOF record
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH query AS (
        SELECT q.request_id, q.query_text, q.response_text
        FROM slm_feedback.queries q
        WHERE (from_date IS NULL OR q.created_at >= slm_feedback.day_start(from_date))
          AND (to_date IS NULL OR q.created_at < slm_feedback.day_start(to_date + 1))
    ), value AS (
        SELECT 'queries' AS table_name, 'query_text' AS column_name, q.query_text AS value FROM query q
        UNION ALL
        SELECT 'queries', 'response_text', q.response_text FROM query q
        UNION ALL
        SELECT 'feedback', 'comment', f.comment FROM query q JOIN slm_feedback.feedback f ON f.request_id = q.request_id
        UNION ALL
        SELECT 'corrections', 'corrected_text', c.corrected_text
        FROM query q JOIN slm_feedback.corrections c ON c.request_id = q.request_id
        UNION ALL
        SELECT 'corrections', 'note', c.note
        FROM query q JOIN slm_feedback.corrections c ON c.request_id = q.request_id
    )
    SELECT v.table_name, v.column_name, (ARRAY['KEY', 'EMAIL', 'IBAN', 'IP', 'CARD', 'PHONE'])[n.kind],
           count(*), sum(n.matches)
    FROM value v, unnest(slm_feedback.redaction_counts(v.value)) WITH ORDINALITY AS n (matches, kind)
    WHERE n.matches > 0
    GROUP BY 1, 2, 3
    ORDER BY 1, 2, 3;
END;
COMMENT ON FUNCTION slm_feedback.redaction_dry_run(date, date) IS
'What redact() would change in the stored texts of the queries of these days (null: no bound): a row a column and kind of placeholder, with the rows and the matches. Changes nothing. Exact. Errors: none.';
