-- Redaction (src/redact.c): personal data and secrets in texts are replaced by typed placeholders.
CREATE FUNCTION slm_feedback.redact(value text) RETURNS text
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_redact';
COMMENT ON FUNCTION slm_feedback.redact(text) IS
'The text with [EMAIL], [PHONE], [CARD] (by Luhn), [IBAN] (mod 97), [IP] and [KEY] (API keys, tokens, JWT, Bearer) in place of what looks like one, and [NAME] for each match of redaction_patterns. Finds forms, not meaning: names and addresses stay. Digits, spaces, dashes and full-width signs of every script count as those of ASCII; only ASCII letters, digits and _ before or after a number make it part of something else. Redacting twice changes nothing more. Takes time linear in the length of the text. Errors: none.';

CREATE FUNCTION slm_feedback.redaction_kinds(value text) RETURNS text[]
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_redaction_kinds';
COMMENT ON FUNCTION slm_feedback.redaction_kinds(text) IS
'The kinds of the placeholders that redact() would write, one element a match: KEY, EMAIL, IBAN, IP, CARD, PHONE or the name of a redaction pattern. Errors: none.';

CREATE TABLE slm_feedback.redaction_patterns (
    name text PRIMARY KEY
        CHECK (name OPERATOR(pg_catalog.~) '^[A-Z][A-Z0-9_]{0,29}$' AND name NOT IN ('KEY', 'EMAIL', 'IBAN', 'IP', 'CARD', 'PHONE')),
    pattern text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE slm_feedback.redaction_patterns IS
'Regular expressions of your own that redact() replaces by [NAME], before the built-in kinds and in the order of their names. Each sees a line at a time, and 1,000 characters of a long one. At most 16. Change them with set_redaction_pattern().';
COMMENT ON COLUMN slm_feedback.redaction_patterns.name IS 'The name, which is also the placeholder: capital letters, digits and underscores, 30 at most.';
COMMENT ON COLUMN slm_feedback.redaction_patterns.pattern IS 'The regular expression, in PostgreSQL''s syntax (ARE); (?i) at its start ignores case.';
COMMENT ON COLUMN slm_feedback.redaction_patterns.created_at IS 'When it was set.';
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.redaction_patterns', '');

CREATE FUNCTION slm_feedback.check_redaction_pattern() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'slm_check_redaction_pattern';
COMMENT ON FUNCTION slm_feedback.check_redaction_pattern() IS
'Trigger of redaction_patterns: refuses expressions that could hurt every write. What it decides depends on the expression alone. Errors: 2201B not a regular expression; 22023 it is longer than 1,000 bytes, has back-references, looks ahead or behind, matches nothing, the empty string or a placeholder; 54000 more than 16 patterns.';
CREATE TRIGGER check_redaction_pattern BEFORE INSERT OR UPDATE ON slm_feedback.redaction_patterns
    FOR EACH ROW EXECUTE FUNCTION slm_feedback.check_redaction_pattern();
CREATE TRIGGER redaction_patterns_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON slm_feedback.redaction_patterns
    FOR EACH STATEMENT EXECUTE FUNCTION slm_feedback.settings_changed();
ALTER TABLE slm_feedback.redaction_patterns ENABLE ALWAYS TRIGGER redaction_patterns_changed;

CREATE FUNCTION slm_feedback.set_redaction_pattern(name text, pattern text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF set_redaction_pattern.name IS NULL THEN
        RAISE EXCEPTION 'name must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF set_redaction_pattern.name !~ '^[A-Z][A-Z0-9_]{0,29}$'
       OR set_redaction_pattern.name IN ('KEY', 'EMAIL', 'IBAN', 'IP', 'CARD', 'PHONE') THEN
        RAISE EXCEPTION 'name "%" cannot be that of a redaction pattern', set_redaction_pattern.name
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It becomes the placeholder [NAME]: 1 to 30 capital letters, digits and underscores, a letter first, and none of the built-in KEY, EMAIL, IBAN, IP, CARD and PHONE.',
                  HINT = 'Choose a name such as CUSTOMER_NUMBER.';
    END IF;
    -- No write may be under way that was judged by the old patterns.
    PERFORM slm_feedback.lock_out_writers();
    IF set_redaction_pattern.pattern IS NULL THEN
        DELETE FROM slm_feedback.redaction_patterns p WHERE p.name = set_redaction_pattern.name;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'redaction pattern "%" does not exist', set_redaction_pattern.name
                USING ERRCODE = 'undefined_object', HINT = 'The patterns stand in slm_feedback.redaction_patterns.';
        END IF;
    ELSE
        UPDATE slm_feedback.redaction_patterns p SET pattern = set_redaction_pattern.pattern, created_at = now()
        WHERE p.name = set_redaction_pattern.name;
        IF NOT FOUND THEN
            INSERT INTO slm_feedback.redaction_patterns (name, pattern)
            VALUES (set_redaction_pattern.name, set_redaction_pattern.pattern);
        END IF;
    END IF;
    PERFORM slm_feedback.audit('set_redaction_pattern',
                               jsonb_build_object('name', set_redaction_pattern.name, 'removed', set_redaction_pattern.pattern IS NULL));
END
$$;
COMMENT ON FUNCTION slm_feedback.set_redaction_pattern(text, text) IS
'Adds or replaces a regular expression whose matches redact() replaces by [NAME]; a null pattern removes it. A match lies within one line; up to 250 characters it is found wherever it is. A pattern sees one line at a time, and of a line longer than 1,000 characters windows of 1,000 that overlap by 250: a match of up to 250 characters is always found. Waits for running writes. What is stored already stays as it is. Errors: 22004 null name; 22023 a name that cannot be a placeholder, or a pattern that is refused (see check_redaction_pattern()); 2201B not a regular expression; 42704 removal of an unknown name; 54000 more than 16 patterns.';

CREATE FUNCTION slm_feedback.set_redaction(enabled boolean) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF enabled IS NULL THEN
        RAISE EXCEPTION 'enabled must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    -- No write may be under way that was judged by the old setting.
    PERFORM slm_feedback.lock_out_writers();
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
    SELECT v.table_name, v.column_name, n.kind, count(*), sum(n.matches)::bigint
    FROM value v,
         LATERAL (SELECT k.kind, count(*) AS matches FROM unnest(slm_feedback.redaction_kinds(v.value)) k (kind) GROUP BY k.kind) n
    GROUP BY 1, 2, 3
    ORDER BY 1, 2, 3;
END;
COMMENT ON FUNCTION slm_feedback.redaction_dry_run(date, date) IS
'What redact() would change in the stored texts of the queries of these days (null: no bound): a row a column and kind of placeholder, with the rows and the matches. Changes nothing. Exact. Errors: none.';
