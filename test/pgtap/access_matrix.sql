-- The access matrix: every routine, table and sequence of the extension x every level, by what the server
-- says (has_*_privilege), not by what grant_access was meant to do. An object without a line here fails.
--
-- To add an object: one line, its identity and the roles that may use it: app, analyst, texts, admin, or -
-- for nobody but the owner. Use means EXECUTE of a routine and SELECT of a table or sequence; every other
-- privilege (INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER, USAGE of a sequence) must be nobody's.
\ir setup.inc
CREATE EXTENSION slm_feedback CASCADE;

BEGIN;
CREATE TEMP TABLE matrix (object text PRIMARY KEY, allowed text NOT NULL);
COPY matrix FROM STDIN (DELIMITER '|');
-- capture|
function record_query(text,text,text,text,text,double precision,text,text,bigint,bigint,numeric,jsonb,text,jsonb,jsonb,timestamp with time zone)|app admin
function record_queries(jsonb)|app admin
function submit_feedback(text,boolean,integer,text,text)|app admin
function submit_feedback_batch(jsonb)|app admin
function withdraw_feedback(text,text)|app admin
function submit_correction(text,text,text,text)|app admin
function withdraw_corrections(text,text)|app admin
-- exports|
function export_interactions(date,date,text,text,boolean,boolean)|analyst texts admin
function export_interactions_jsonl(date,date,text,text,boolean)|analyst texts admin
function export_daily_metrics(date,date)|analyst texts admin
function export_daily_metrics_jsonl(date,date)|analyst texts admin
function may_be_rated(text)|analyst texts admin
function export_from(date,date)|analyst texts admin
function export_until(date,date)|analyst texts admin
function export_live_days(date,date)|analyst texts admin
function export_live_metrics(date[])|analyst texts admin
function max_staleness()|analyst texts admin
function export_sft(text,date,date,text,text,double precision,integer,boolean,text,boolean,boolean)|analyst texts admin
function export_kto(date,date,text,text,double precision,integer,boolean,text,boolean)|analyst texts admin
function export_dpo(date,date,text,text,double precision,integer,boolean,text,integer,boolean)|analyst texts admin
function export_openai(text,date,date,text,text,double precision,integer,boolean,text,boolean,integer,boolean)|analyst texts admin
function export_sft_report(date,date,text,text,double precision,integer,boolean,text,boolean)|analyst texts admin
function export_kto_report(date,date,text,text,double precision,integer,boolean,text)|analyst texts admin
function export_dpo_report(date,date,text,text,double precision,integer,boolean,text,integer)|analyst texts admin
function training_split(bigint)|analyst texts admin
function check_training(date,date,double precision,integer,text)|analyst texts admin
function check_max_pairs(integer)|analyst texts admin
function training_answers(date,date,text,text,double precision,integer,text)|analyst texts admin
function training_corrections(date,date,text,text,text)|analyst texts admin
function training_examples(date,date,text,text,double precision,integer,boolean,text,boolean,boolean)|analyst texts admin
function training_pairs(date,date,text,text,double precision,integer,integer,text)|analyst texts admin
function messages(text,text)|analyst texts admin
function check_choice(text,text,text[])|analyst texts admin
function export_changes(text)|texts admin
function changes_since(text)|texts admin
function changes_cursor(xid8)|texts admin
function written_since(xid,xid8)|texts admin
function prune_tombstones(interval)|admin
table tombstones|texts admin
function is_blank(text)|analyst texts admin
function json_line(record)|analyst texts admin
function plain_cell(text)|analyst texts admin
view readable_queries|analyst texts admin
view readable_feedback|analyst texts admin
view readable_corrections|analyst texts admin
view readable_daily_metrics|analyst texts admin
view interactions|analyst texts admin
table corrections|texts admin
-- reports|
function report_daily(date,date,text,text)|analyst texts admin
function report_models(date,date,boolean)|analyst texts admin
function report_summary(date,date)|analyst texts admin
function report_top_questions(date,date,integer,text,text,text)|analyst texts admin
function normalize_question(text)|analyst texts admin
function question_hash(text)|analyst texts admin
function wilson_interval(bigint,bigint,double precision)|analyst texts admin
function dashboard(date,date,integer,text)|analyst texts admin
-- operation|
function write_dashboard()|admin
function refresh_dashboard_questions()|admin
procedure rollup()|admin
procedure rebuild(date,date)|admin
function set_time_zone(text)|admin
function library_version()|admin
function report_alerts(boolean)|analyst texts admin
function generate_report(text,date,date)|texts admin
function set_alert_rule(text,text,text,double precision,double precision,integer,text,bigint,text,text,text,boolean)|admin
function drop_alert_rule(text)|admin
procedure run_jobs(text)|admin
function set_job(text,boolean,text)|admin
function report_jobs()|admin
function set_retention(integer,integer)|admin
-- privacy|
function grant_access(regrole,text)|admin
function revoke_access(regrole)|admin
function set_min_group_users(integer)|admin
function set_user_id_policy(text)|admin
function user_id_report()|admin
function export_user(text)|admin
function erase_user(text,text)|admin
function personal_columns()|-
procedure convert_user_ids(integer,bigint,bigint,bigint)|admin
function convert_queries_batch(timestamp with time zone,integer)|admin
function convert_feedback_batch(timestamp with time zone,integer)|admin
function convert_corrections()|admin
function forget_frozen_users()|admin
function audit_conversion(bigint,bigint,bigint)|admin
-- inside|
function audit(text,jsonb)|-
function caller()|-
function check_single_answers()|analyst texts admin
function least_group_users()|analyst texts admin
function top_questions(date,date,integer,text,text,text)|analyst texts admin
function readable_question(text)|analyst texts admin
function log_audit(text,text)|-
function privileges_of(regrole)|-
function revoke_as(regrole,text)|-
function shows_group(bigint)|-
function shows_merged_group(bigint,bigint,bigint)|-
function check_single_answers_support(internal)|-
function object_access()|-
function stored_user_id(text)|-
function user_id_kind(text)|-
function user_id_forms(text)|-
function redact(text)|analyst texts admin
function redaction_kinds(text)|-
function set_redaction_pattern(text,text)|admin
function check_redaction_pattern()|-
function set_redaction(boolean)|admin
function redaction_dry_run(date,date)|admin
function new_erased_user_id()|-
function choose_dashboard_questions(date,integer,integer)|-
function dashboard_rows(date,date)|-
function dashboard_ranges(date,date)|-
function dashboard_operations()|-
function report_range(date,date,settings)|-
function with_before(jsonb,jsonb)|-
function report_rows(date,date,date,boolean)|-
function report_questions(date,date,date,integer)|-
function markdown_cell(text)|-
function markdown_text(text,integer)|-
function number_text(jsonb,text)|-
function change_text(jsonb,text,text)|-
function ratio_text(jsonb)|-
function report_markdown(jsonb)|texts admin
function with_questions(jsonb)|texts admin
function days_are_final(date,date)|-
function write_due_reports()|-
function lock_answers(text[])|-
function lock_out_writers()|-
function lock_settings()|-
function alert_metrics()|-
function measure(text,date,date,text,text)|-
function notify_alert(alerts)|-
function close_alert(alert_rules,text)|-
function evaluate_alert_rule(alert_rules)|-
function evaluate_alerts()|-
function clock()|-
function nightly_time()|-
function refresh_interval()|-
function wake_worker()|-
function check_job(text)|-
function night_of(date,time without time zone)|-
function job_schedule()|-
function request_job(text)|-
function restore_in_progress()|-
function why_nothing_purged()|-
function freeze_days()|-
function purge_rows(timestamp with time zone,integer)|-
function purge_texts(timestamp with time zone,timestamp with time zone,integer)|-
function live_days(date,date)|-
function metrics(date,date)|-
function day_metrics(date)|-
function day_of(timestamp with time zone)|-
function day_of(timestamp with time zone,settings)|-
function day_start(date)|-
function day_start(date,settings)|-
function time_zone()|-
function today()|-
function define(text)|-
function check_members()|-
function check_schema_names()|-
function days_to_roll_up()|-
function days_with_queries(date,date)|-
function guard_feedback()|-
function guard_corrections()|-
function guard_queries()|-
function guard_truncate()|-
function settings_changed()|-
function rollup_state_changed()|-
aggregate hourly_counts(timestamp with time zone,settings)|-
function hourly_counts_add(internal,timestamp with time zone,settings)|-
function hourly_counts_final(internal)|-
function hourly_counts_merge(internal,bigint[])|-
aggregate hourly_counts_sum(bigint[])|-
function exact_percentiles(bytea,double precision[])|-
aggregate small_values(integer)|-
function small_values_add(internal,integer)|-
function small_values_final(internal)|-
function small_values_merge(internal,bytea)|-
aggregate small_values_sum(bytea)|-
aggregate user_set(text)|-
function user_set_add(internal,text)|-
function user_set_final(internal)|-
function user_set_merge(internal,bytea)|-
function user_set_size(internal)|-
aggregate user_set_size(bytea)|-
-- tables and sequences|
table queries|texts admin
table feedback|texts admin
table daily_metrics|texts admin
table settings|admin
table rollup_queue|admin
table rollup_state|admin
table rollup_runs|admin
table dashboard_questions|admin
table dashboard_questions_state|admin
view period_reports|texts admin
table stored_reports|admin
table alert_rules|admin
table alerts|admin
view jobs|admin
table job_settings|admin
table job_runs|admin
table audit_log|admin
table redaction_patterns|admin
sequence rollup_runs_run_id_seq|-
sequence alerts_alert_id_seq|-
sequence job_runs_run_id_seq|-
sequence audit_log_audit_id_seq|-
\.
DELETE FROM matrix WHERE object LIKE '-- %';

CREATE ROLE slm_matrix_nobody;
CREATE ROLE slm_matrix_app;
CREATE ROLE slm_matrix_analyst;
CREATE ROLE slm_matrix_texts;
CREATE ROLE slm_matrix_admin;
CREATE ROLE slm_matrix_revoked;
DO $$
BEGIN
    PERFORM slm_feedback.grant_access('slm_matrix_app', 'app');
    PERFORM slm_feedback.grant_access('slm_matrix_analyst', 'analyst');
    PERFORM slm_feedback.grant_access('slm_matrix_texts', 'analyst_texts');
    PERFORM slm_feedback.grant_access('slm_matrix_admin', 'admin');
    PERFORM slm_feedback.grant_access('slm_matrix_revoked', 'admin');
    PERFORM slm_feedback.revoke_access('slm_matrix_revoked');
END
$$;

CREATE TEMP VIEW roles AS
SELECT * FROM (VALUES (1, 'nobody'), (2, 'revoked'), (3, 'app'), (4, 'analyst'), (5, 'texts'), (6, 'admin')) r (n, role);

-- Members of the extension, and sequences that belong to its tables.
CREATE TEMP TABLE object AS
WITH member AS (
    SELECT d.classid, d.objid FROM pg_depend d
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
      AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'slm_feedback')
)
SELECT CASE p.prokind WHEN 'p' THEN 'procedure ' WHEN 'a' THEN 'aggregate ' ELSE 'function ' END
           || replace(p.oid::regprocedure::text, 'slm_feedback.', '') AS name, p.oid, p.prokind::text AS kind
FROM pg_proc p
WHERE p.oid IN (SELECT objid FROM member WHERE classid = 'pg_proc'::regclass) OR p.pronamespace = 'slm_feedback'::regnamespace
UNION ALL
SELECT CASE c.relkind WHEN 'S' THEN 'sequence ' WHEN 'v' THEN 'view ' WHEN 'm' THEN 'matview ' ELSE 'table ' END || c.relname, c.oid, c.relkind::text
FROM pg_class c
WHERE (c.oid IN (SELECT objid FROM member WHERE classid = 'pg_class'::regclass) OR c.relnamespace = 'slm_feedback'::regnamespace)
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S');

SELECT plan((SELECT count(*)::int FROM object) + (SELECT count(*)::int FROM matrix) + 2);

-- Each object: exactly the roles of its line.
SELECT is(
    (SELECT coalesce(string_agg(r.role, ' ' ORDER BY r.n), '-') FROM roles r
     WHERE CASE WHEN o.kind IN ('f', 'p', 'a', 'w') THEN has_function_privilege('slm_matrix_' || r.role, o.oid, 'EXECUTE')
                WHEN o.kind = 'S' THEN has_sequence_privilege('slm_matrix_' || r.role, o.oid, 'SELECT')
                ELSE has_table_privilege('slm_matrix_' || r.role, o.oid, 'SELECT')
                     OR has_any_column_privilege('slm_matrix_' || r.role, o.oid, 'SELECT') END),
    coalesce(m.allowed, 'no line in test/pgtap/access_matrix.sql'), o.name)
FROM object o LEFT JOIN matrix m ON m.object = o.name
ORDER BY o.name;

-- Each line: an object.
SELECT ok(EXISTS (SELECT 1 FROM object o WHERE o.name = m.object), 'there is ' || m.object)
FROM matrix m
ORDER BY m.object;

-- Nobody changes a table but through a function.
SELECT is_empty(
    $$SELECT o.name, r.role, p FROM object o, roles r, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) p
      WHERE o.kind NOT IN ('f', 'p', 'a', 'w', 'S') AND has_table_privilege('slm_matrix_' || r.role, o.oid, p)
      UNION ALL
      SELECT o.name, r.role, p FROM object o, roles r, unnest(ARRAY['INSERT', 'UPDATE', 'REFERENCES']) p
      WHERE o.kind NOT IN ('f', 'p', 'a', 'w', 'S') AND has_any_column_privilege('slm_matrix_' || r.role, o.oid, p)
      UNION ALL
      SELECT o.name, r.role, p FROM object o, roles r, unnest(ARRAY['USAGE', 'UPDATE']) p
      WHERE o.kind = 'S' AND has_sequence_privilege('slm_matrix_' || r.role, o.oid, p)$$,
    'nobody may change a table or sequence directly');

SELECT is((SELECT string_agg(r.role, ' ' ORDER BY r.n) FROM roles r
           WHERE has_schema_privilege('slm_matrix_' || r.role, 'slm_feedback', 'USAGE'))
          || '; create: ' || coalesce((SELECT string_agg(r.role, ' ' ORDER BY r.n) FROM roles r
           WHERE has_schema_privilege('slm_matrix_' || r.role, 'slm_feedback', 'CREATE')), '-'),
          'app analyst texts admin; create: -', 'the schema');

SELECT * FROM finish();
ROLLBACK;
