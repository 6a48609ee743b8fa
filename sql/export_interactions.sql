-- Exports that stream. Each is one SELECT that the planner sees through: in FROM it is inlined, and in the
-- target list (SELECT slm_feedback.export_...()) PostgreSQL runs it row by row. Neither keeps its rows.
-- The conditions on dates fold away where none is given.
CREATE FUNCTION slm_feedback.export_from(from_date date, to_date date) RETURNS timestamptz
    LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE WHEN from_date > to_date
                THEN (SELECT slm_feedback.day_start(r.first_day) FROM slm_feedback.report_range(from_date, to_date, (SELECT s FROM slm_feedback.settings s)) r)
                WHEN isfinite(from_date) THEN slm_feedback.day_start(from_date)
                ELSE coalesce(from_date, '-infinity') END;
END;
COMMENT ON FUNCTION slm_feedback.export_from(date, date) IS
'The instant at which an export''s range starts; -infinity for a null from_date. Errors: 22023 from_date after to_date.';

CREATE FUNCTION slm_feedback.export_until(from_date date, to_date date) RETURNS timestamptz
    LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE WHEN from_date > to_date
                THEN (SELECT slm_feedback.day_start(r.first_day) FROM slm_feedback.report_range(from_date, to_date, (SELECT s FROM slm_feedback.settings s)) r)
                WHEN isfinite(to_date) THEN slm_feedback.day_start(to_date + 1)
                ELSE coalesce(to_date, 'infinity') END;
END;
COMMENT ON FUNCTION slm_feedback.export_until(date, date) IS
'The instant before which an export''s range ends; infinity for a null to_date. Errors: 22023 from_date after to_date.';

CREATE FUNCTION slm_feedback.plain_cell(value text) RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_plain_cell';
COMMENT ON FUNCTION slm_feedback.plain_cell(text) IS
'The value with an apostrophe before it if a spreadsheet could take it for a formula: if it begins with = + - @ (also in full width), a tab or a line break.';

CREATE FUNCTION slm_feedback.export_interactions(
    from_date date DEFAULT NULL,
    to_date date DEFAULT NULL,
    model text DEFAULT NULL,
    prompt_version text DEFAULT NULL,
    neutralize_formulas boolean DEFAULT false,
    redact boolean DEFAULT false
) RETURNS SETOF slm_feedback.interactions
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 100000
BEGIN ATOMIC
    SELECT CASE WHEN neutralize_formulas IS NOT FALSE THEN slm_feedback.plain_cell(i.request_id) ELSE i.request_id END,
           CASE WHEN neutralize_formulas IS NOT FALSE THEN slm_feedback.plain_cell(CASE WHEN redact IS NOT FALSE THEN slm_feedback.redact(i.query_text) ELSE i.query_text END)
                WHEN redact IS NOT FALSE THEN slm_feedback.redact(i.query_text) ELSE i.query_text END,
           CASE WHEN neutralize_formulas IS NOT FALSE THEN slm_feedback.plain_cell(CASE WHEN redact IS NOT FALSE THEN slm_feedback.redact(i.response_text) ELSE i.response_text END)
                WHEN redact IS NOT FALSE THEN slm_feedback.redact(i.response_text) ELSE i.response_text END,
           i.created_at,
           CASE WHEN neutralize_formulas IS NOT FALSE THEN slm_feedback.plain_cell(i.user_id) ELSE i.user_id END,
           CASE WHEN neutralize_formulas IS NOT FALSE THEN slm_feedback.plain_cell(i.session_id) ELSE i.session_id END,
           i.response_time_ms, i.sources_used,
           CASE WHEN neutralize_formulas IS NOT FALSE THEN slm_feedback.plain_cell(i.model) ELSE i.model END,
           CASE WHEN neutralize_formulas IS NOT FALSE THEN slm_feedback.plain_cell(i.prompt_version) ELSE i.prompt_version END,
           i.input_tokens, i.output_tokens, i.cost_usd,
           CASE WHEN neutralize_formulas IS NOT FALSE THEN slm_feedback.plain_cell(i.error) ELSE i.error END,
           i.tags, i.metadata, i.question_hash,
           CASE WHEN neutralize_formulas IS NOT FALSE THEN slm_feedback.plain_cell(i.feedback_user_id) ELSE i.feedback_user_id END,
           i.is_helpful, i.rating,
           CASE WHEN neutralize_formulas IS NOT FALSE THEN slm_feedback.plain_cell(CASE WHEN redact IS NOT FALSE THEN slm_feedback.redact(i.comment) ELSE i.comment END)
                WHEN redact IS NOT FALSE THEN slm_feedback.redact(i.comment) ELSE i.comment END,
           i.sentiment, i.feedback_created_at, i.feedback_updated_at
    FROM slm_feedback.interactions i
    WHERE (from_date IS NULL OR i.created_at >= (SELECT slm_feedback.export_from(from_date, to_date)))
      AND (to_date IS NULL OR i.created_at < (SELECT slm_feedback.export_until(from_date, to_date)))
      AND (export_interactions.model IS NULL OR coalesce(i.model, '') = export_interactions.model)
      AND (export_interactions.prompt_version IS NULL
           OR coalesce(i.prompt_version, '') = export_interactions.prompt_version);
END;
COMMENT ON FUNCTION slm_feedback.export_interactions(date, date, text, text, boolean, boolean) IS
'Every answer with every opinion on it, from from_date to to_date (by the day of the query; null, the default: everything), in no particular order, streamed. model and prompt_version: null for all, an empty string for queries without one. neutralize_formulas puts an apostrophe before texts that a spreadsheet could take for a formula: for CSV that people open. redact replaces personal data in query_text, response_text and comment as redact() does. Exact. Errors: 22023 from_date after to_date.';

CREATE FUNCTION slm_feedback.json_line(row_value record) RETURNS json
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_json_line';
COMMENT ON FUNCTION slm_feedback.json_line(record) IS
'row_to_json() for the column types of the exports, made for speed. Errors: 0A000 a column of another type.';

CREATE FUNCTION slm_feedback.export_interactions_jsonl(
    from_date date DEFAULT NULL,
    to_date date DEFAULT NULL,
    model text DEFAULT NULL,
    prompt_version text DEFAULT NULL,
    redact boolean DEFAULT false
) RETURNS SETOF json
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 100000
BEGIN ATOMIC
    SELECT slm_feedback.json_line(i)
    FROM slm_feedback.export_interactions(from_date, to_date, model, prompt_version, false, redact) i;
END;
COMMENT ON FUNCTION slm_feedback.export_interactions_jsonl(date, date, text, text, boolean) IS
'export_interactions() as JSON Lines: one JSON object a row, on one line, whose keys are the columns. Errors: 22023 from_date after to_date.';

