-- Access: the levels, what each may use, and the functions that grant them. Nothing is granted to PUBLIC.
-- This file stands last, so that it reaches every routine.

-- The one list: a routine (all its overloads) or table that stands here can be granted, anything else is
-- the owner's. A level holds what its own lines say; analyst_texts includes analyst, admin includes all.
-- test/pgtap/access_matrix.sql says the same independently, and fails for an object without a line there.
CREATE FUNCTION slm_feedback.object_access(
    OUT level text,
    OUT kind text,
    OUT object_name text
) RETURNS SETOF record
    LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    VALUES
        -- capture: writes only
        ('app', 'routine', 'record_query'),
        ('app', 'routine', 'record_queries'),
        ('app', 'routine', 'submit_feedback'),
        ('app', 'routine', 'submit_feedback_batch'),
        ('app', 'routine', 'withdraw_feedback'),
        ('app', 'routine', 'submit_correction'),
        ('app', 'routine', 'withdraw_corrections'),
        -- reports
        ('analyst', 'routine', 'report_daily'),
        ('analyst', 'routine', 'report_models'),
        ('analyst', 'routine', 'report_summary'),
        ('analyst', 'routine', 'report_top_questions'),
        ('analyst', 'routine', 'top_questions'),
        ('analyst', 'routine', 'readable_question'),
        ('analyst', 'routine', 'check_single_answers'),
        ('analyst', 'routine', 'least_group_users'),
        ('analyst', 'routine', 'dashboard'),
        -- arithmetic on the caller's own values
        ('analyst', 'routine', 'normalize_question'),
        ('analyst', 'routine', 'question_hash'),
        ('analyst', 'routine', 'wilson_interval'),
        -- exports, and what they are made of: the planner sees through them to these views and functions
        ('analyst', 'routine', 'export_interactions'),
        ('analyst', 'routine', 'export_interactions_jsonl'),
        ('analyst', 'routine', 'export_daily_metrics'),
        ('analyst', 'routine', 'export_daily_metrics_jsonl'),
        ('analyst', 'routine', 'export_from'),
        ('analyst', 'routine', 'export_until'),
        ('analyst', 'routine', 'export_live_days'),
        ('analyst', 'routine', 'export_live_metrics'),
        ('analyst', 'routine', 'max_staleness'),
        ('analyst', 'routine', 'plain_cell'),
        ('analyst', 'routine', 'json_line'),
        ('analyst', 'routine', 'is_blank'),
        ('analyst', 'routine', 'export_sft'),
        ('analyst', 'routine', 'export_kto'),
        ('analyst', 'routine', 'export_dpo'),
        ('analyst', 'routine', 'export_openai'),
        ('analyst', 'routine', 'export_sft_report'),
        ('analyst', 'routine', 'export_kto_report'),
        ('analyst', 'routine', 'export_dpo_report'),
        ('analyst', 'routine', 'training_split'),
        ('analyst', 'routine', 'check_training'),
        ('analyst', 'routine', 'check_max_pairs'),
        ('analyst', 'routine', 'training_answers'),
        ('analyst', 'routine', 'training_corrections'),
        ('analyst', 'routine', 'training_examples'),
        ('analyst', 'routine', 'training_pairs'),
        ('analyst', 'routine', 'messages'),
        ('analyst', 'routine', 'check_choice'),
        ('analyst', 'table', 'readable_queries'),
        ('analyst', 'table', 'readable_feedback'),
        ('analyst', 'table', 'readable_corrections'),
        ('analyst', 'table', 'readable_daily_metrics'),
        ('analyst', 'table', 'interactions'),
        ('analyst', 'routine', 'may_be_rated'),
        -- texts, and rows of single people
        ('analyst_texts', 'table', 'corrections'),
        ('analyst_texts', 'table', 'tombstones'),
        ('analyst_texts', 'routine', 'export_changes'),
        ('analyst_texts', 'routine', 'changes_since'),
        ('analyst_texts', 'routine', 'changes_cursor'),
        ('analyst_texts', 'routine', 'written_since'),
        ('admin', 'routine', 'prune_tombstones'),
        ('analyst_texts', 'table', 'queries'),
        ('analyst_texts', 'table', 'feedback'),
        ('analyst_texts', 'table', 'daily_metrics'),
        -- operation
        ('admin', 'routine', 'rollup'),
        ('admin', 'routine', 'rebuild'),
        ('admin', 'routine', 'set_time_zone'),
        ('admin', 'routine', 'library_version'),
        ('admin', 'table', 'settings'),
        ('admin', 'table', 'rollup_queue'),
        ('admin', 'table', 'rollup_state'),
        ('admin', 'table', 'rollup_runs'),
        ('admin', 'routine', 'write_dashboard'),
        ('admin', 'routine', 'refresh_dashboard_questions'),
        ('admin', 'table', 'dashboard_questions'),
        ('admin', 'table', 'dashboard_questions_state'),
        ('analyst', 'routine', 'report_alerts'),
        ('analyst_texts', 'routine', 'generate_report'),
        ('analyst_texts', 'table', 'period_reports'),
        ('analyst_texts', 'routine', 'report_markdown'),
        ('analyst_texts', 'routine', 'with_questions'),
        ('admin', 'table', 'stored_reports'),
        ('admin', 'routine', 'set_alert_rule'),
        ('admin', 'routine', 'drop_alert_rule'),
        ('admin', 'table', 'alert_rules'),
        ('admin', 'table', 'alerts'),
        ('admin', 'routine', 'run_jobs'),
        ('admin', 'routine', 'set_job'),
        ('admin', 'routine', 'report_jobs'),
        ('admin', 'routine', 'set_retention'),
        ('admin', 'table', 'jobs'),
        ('admin', 'table', 'job_settings'),
        ('admin', 'table', 'job_runs'),
        -- privacy
        ('admin', 'routine', 'grant_access'),
        ('admin', 'routine', 'revoke_access'),
        ('admin', 'routine', 'set_min_group_users'),
        ('analyst', 'routine', 'redact'),
        ('admin', 'routine', 'set_redaction'),
        ('admin', 'routine', 'set_redaction_pattern'),
        ('admin', 'table', 'redaction_patterns'),
        ('admin', 'routine', 'redaction_dry_run'),
        ('admin', 'routine', 'set_user_id_policy'),
        ('admin', 'routine', 'user_id_report'),
        ('admin', 'routine', 'export_user'),
        ('admin', 'routine', 'erase_user'),
        ('admin', 'routine', 'convert_user_ids'),
        ('admin', 'routine', 'convert_queries_batch'),
        ('admin', 'routine', 'convert_feedback_batch'),
        ('admin', 'routine', 'convert_corrections'),
        ('admin', 'routine', 'forget_frozen_users'),
        ('admin', 'routine', 'audit_conversion'),
        ('admin', 'table', 'audit_log');
END;
COMMENT ON FUNCTION slm_feedback.object_access() IS
'What each level may use: routines to call (kind routine) and tables to read (kind table). app, analyst and analyst_texts stand for themselves, but analyst_texts includes analyst and admin includes all.';

CREATE FUNCTION slm_feedback.grant_access(role_name regrole, level text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    levels text[];
    statement text;
BEGIN
    IF role_name IS NULL THEN
        RAISE EXCEPTION 'role must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    levels := CASE slm_feedback.check_choice('level', level, ARRAY['app', 'analyst', 'analyst_texts', 'admin'])
                  WHEN 'app' THEN ARRAY['app']
                  WHEN 'analyst' THEN ARRAY['analyst']
                  WHEN 'analyst_texts' THEN ARRAY['analyst', 'analyst_texts']
                  ELSE ARRAY['app', 'analyst', 'analyst_texts', 'admin']
              END;
    EXECUTE format('GRANT USAGE ON SCHEMA slm_feedback TO %s', role_name);
    FOR statement IN
        SELECT format('GRANT EXECUTE ON ROUTINE %s TO %s', p.oid::regprocedure, role_name)
        FROM slm_feedback.object_access() a
        JOIN pg_proc p ON p.proname = a.object_name AND p.pronamespace = 'slm_feedback'::regnamespace
        WHERE a.kind = 'routine' AND a.level = ANY (levels)
        UNION ALL
        SELECT format('GRANT SELECT ON %s TO %s', c.oid::regclass, role_name)
        FROM slm_feedback.object_access() a
        JOIN pg_class c ON c.relname = a.object_name AND c.relnamespace = 'slm_feedback'::regnamespace
        WHERE a.kind = 'table' AND a.level = ANY (levels)
    LOOP
        EXECUTE statement;
    END LOOP;
    PERFORM slm_feedback.audit('grant_access', jsonb_build_object('role', role_name::text, 'level', level));
END
$$;
COMMENT ON FUNCTION slm_feedback.grant_access(regrole, text) IS
'Gives a role what a level needs: app (write through the capture functions, read nothing), analyst (reports, without texts of single people), analyst_texts (also texts and the tables queries, feedback and daily_metrics) or admin (everything, these two functions included). Levels add up. Call it again after an update of the extension. Errors: 42704 unknown role, 22023 unknown level.';

CREATE FUNCTION slm_feedback.privileges_of(role_name regrole) RETURNS TABLE (grantor regrole, privilege text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.grantor::regrole, format('%s%s ON %s %s', a.privilege_type, o.of_column, o.kind, o.object)
    FROM (SELECT 'SCHEMA' AS kind, quote_ident(n.nspname) AS object, '' AS of_column, n.nspacl AS acl
          FROM pg_namespace n WHERE n.oid = 'slm_feedback'::regnamespace
          UNION ALL
          SELECT 'ROUTINE', p.oid::regprocedure::text, '', p.proacl
          FROM pg_proc p WHERE p.pronamespace = 'slm_feedback'::regnamespace
          UNION ALL
          SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass::text, '', c.relacl
          FROM pg_class c WHERE c.relnamespace = 'slm_feedback'::regnamespace
          UNION ALL
          SELECT 'TABLE', c.oid::regclass::text, format(' (%I)', t.attname), t.attacl
          FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid
          WHERE c.relnamespace = 'slm_feedback'::regnamespace AND NOT t.attisdropped
          UNION ALL
          SELECT 'TYPE', format_type(t.oid, NULL), '', t.typacl
          FROM pg_type t WHERE t.typnamespace = 'slm_feedback'::regnamespace) o,
         LATERAL aclexplode(o.acl) a
    WHERE a.grantee = role_name::oid;
END;
COMMENT ON FUNCTION slm_feedback.privileges_of(regrole) IS
'The privileges that a role itself has on anything in schema slm_feedback, each with the role that granted it, in words of GRANT.';

-- A privilege can be revoked only by who granted it.
CREATE FUNCTION slm_feedback.revoke_as(grantor regrole, statement text) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'slm_revoke_as';
COMMENT ON FUNCTION slm_feedback.revoke_as(regrole, text) IS
'Runs a REVOKE of revoke_access() as the role that had granted the privilege. Errors: 42501 if the owner of the extension is no superuser.';

CREATE FUNCTION slm_feedback.revoke_access(role_name regrole) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    statement text;
    given record;
    remaining text;
BEGIN
    IF role_name IS NULL THEN
        RAISE EXCEPTION 'role must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF role_name = (SELECT c.relowner FROM pg_class c WHERE c.oid = 'slm_feedback.queries'::regclass) THEN
        RAISE EXCEPTION 'the owner of the extension keeps its access'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'The capture functions and reports run as this role.';
    END IF;
    FOREACH statement IN ARRAY ARRAY[
        'REVOKE ALL ON ALL ROUTINES IN SCHEMA slm_feedback FROM %s CASCADE',
        'REVOKE ALL ON ALL TABLES IN SCHEMA slm_feedback FROM %s CASCADE',
        'REVOKE ALL ON ALL SEQUENCES IN SCHEMA slm_feedback FROM %s CASCADE',
        'REVOKE ALL ON SCHEMA slm_feedback FROM %s CASCADE']
    LOOP
        EXECUTE format(statement, role_name);
    END LOOP;
    -- What others granted who had the right to, and what stands on types.
    FOR given IN SELECT p.grantor, p.privilege FROM slm_feedback.privileges_of(role_name) p LOOP
        BEGIN
            PERFORM slm_feedback.revoke_as(given.grantor, format('REVOKE %s FROM %s CASCADE', given.privilege, role_name));
        EXCEPTION WHEN insufficient_privilege THEN
            NULL; -- reported below
        END;
    END LOOP;
    SELECT string_agg(format('%s granted %s', p.grantor, p.privilege), E'\n') INTO remaining
    FROM slm_feedback.privileges_of(role_name) p;
    IF remaining IS NOT NULL THEN
        RAISE WARNING 'role % still has privileges on objects of slm_feedback', role_name
            USING ERRCODE = 'privilege_not_revoked', DETAIL = remaining, HINT = 'Only the roles that granted them can revoke them.';
    END IF;
    PERFORM slm_feedback.audit('revoke_access', jsonb_build_object('role', role_name::text));
END
$$;
COMMENT ON FUNCTION slm_feedback.revoke_access(regrole) IS
'Takes every privilege on the extension''s objects from a role, whoever granted it, and what the role has granted to others. What it has as a member of other roles, or everybody has, stays. Warns (01006) of what it could not take: grants by others where the owner of the extension is no superuser. Errors: 42704 unknown role, 22023 the owner.';

REVOKE ALL ON ALL ROUTINES IN SCHEMA slm_feedback FROM PUBLIC;
