-- export_user() and erase_user(): everything about one person, nothing about others, and metrics that follow
-- the documented rule.
\ir setup.inc
CREATE EXTENSION slm_feedback CASCADE;
SELECT plan(27);

SELECT is_empty($$
    SELECT c.relname || '.' || a.attname
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'slm_feedback'::regnamespace AND c.relkind = 'r'
      AND a.atttypid IN ('text'::regtype, 'text[]'::regtype, 'jsonb'::regtype, 'name'::regtype)
      -- names and words of the operator's own
      AND c.relname NOT IN ('settings', 'audit_log', 'rollup_runs', 'job_runs', 'job_settings', 'alert_rules', 'alerts',
                            'redaction_patterns',
                            -- numbers, and the ids of requests
                            'stored_reports')
      AND a.attname NOT IN ('request_id', 'model', 'prompt_version', 'period')
      AND (c.relname, a.attname::text) NOT IN (SELECT table_name, column_name FROM slm_feedback.personal_columns())$$,
    'every column that could hold personal data stands in personal_columns()');

CREATE FUNCTION pg_temp.fill() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM slm_feedback.queries;
    PERFORM slm_feedback.record_query('alice secret ' || i, 'answer', 'a' || i, 'alice', 's-alice', 100, 'm', created_at => now() - i * interval '1 day',
                                      error => CASE WHEN i = 2 THEN 'failed for alice' END, metadata => '{"who": "alice"}') FROM generate_series(1, 3) i;
    PERFORM slm_feedback.record_query('bob asks ' || i, 'answer', 'b' || i, 'bob', 's-bob', 300, 'm', created_at => now() - i * interval '1 day') FROM generate_series(1, 3) i;
    PERFORM slm_feedback.submit_feedback('b1', true, 5, 'from alice', 'alice');
    PERFORM slm_feedback.submit_feedback('b2', comment => 'only words of alice', user_id => 'alice');
    PERFORM slm_feedback.submit_feedback('a1', false, comment => 'from bob', user_id => 'bob');
    PERFORM slm_feedback.submit_feedback('b1', false, user_id => 'bob');
    PERFORM slm_feedback.submit_correction('b1', 'better, says alice', 'alice');
    PERFORM slm_feedback.submit_correction('a1', 'better, says bob', 'bob');
END $$;
CREATE FUNCTION pg_temp.everywhere(word text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    t regclass;
    n bigint;
    total bigint := 0;
BEGIN
    FOR t IN SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'slm_feedback'::regnamespace AND c.relkind = 'r' LOOP
        EXECUTE format('SELECT count(*) FROM %s t WHERE t::text LIKE %L', t, '%' || word || '%') INTO n;
        total := total + n;
    END LOOP;
    RETURN total;
END $$;

SELECT pg_temp.fill();
CALL slm_feedback.rollup();
DO $$ BEGIN PERFORM slm_feedback.generate_report('range', (now() - interval '5 days')::date, now()::date); END $$;
SELECT ok((SELECT report::text LIKE '%alice secret%' AND markdown LIKE '%alice secret%' FROM slm_feedback.period_reports), 'a stored report quotes the person');
SELECT is((SELECT array[jsonb_array_length(u -> 'queries'), jsonb_array_length(u -> 'feedback'), jsonb_array_length(u -> 'corrections')]
           FROM slm_feedback.export_user('alice') u), array[3, 2, 1], 'export_user has every row of the person');
SELECT ok(slm_feedback.export_user('alice')::text NOT LIKE '%bob asks%' AND slm_feedback.export_user('alice')::text NOT LIKE '%from bob%',
          'and none of others');
SELECT is(slm_feedback.export_user('nobody'), '{"queries": [], "feedback": [], "corrections": []}'::jsonb, 'an unknown person has nothing');
SELECT throws_ok($$SELECT slm_feedback.export_user(NULL)$$, '22004', NULL, 'null is no person');
SELECT throws_ok($$SELECT slm_feedback.erase_user(NULL)$$, '22004', NULL, 'null is not erased');
SELECT throws_ok($$SELECT slm_feedback.erase_user('alice', 'burn')$$, '22023', NULL, 'an unknown mode');

-- anonymize: no words and no id are left; every metric stays
CREATE TEMP TABLE before AS SELECT * FROM slm_feedback.report_daily();
CREATE TEMP TABLE before_models AS SELECT * FROM slm_feedback.report_models();
SELECT is((SELECT array[queries, feedback, corrections, of_others] FROM slm_feedback.erase_user('alice', 'anonymize')),
          array[3, 2, 1, 2]::bigint[], 'erase_user(anonymize) counts');
SELECT is((SELECT array[count(*), count(*) FILTER (WHERE report::text LIKE '%alice%' OR markdown LIKE '%alice%')] FROM slm_feedback.period_reports), array[1, 0]::bigint[],
          'no report quotes the person');
-- What others said on the person's answers: the opinion stays, its words go, as the corrections do.
SELECT results_eq($$SELECT f.user_id, f.is_helpful, f.comment FROM slm_feedback.feedback f WHERE f.request_id = 'a1'$$,
                  $$VALUES ('bob' COLLATE "C", false, '')$$, 'an opinion of somebody else stays without its words');
SELECT is_empty($$SELECT 1 FROM slm_feedback.corrections c WHERE c.request_id = 'a1'$$, 'a correction of somebody else is gone');
SELECT is(pg_temp.everywhere('alice'), 0::bigint, 'no table holds the person''s id or words');
SELECT is((SELECT count(DISTINCT q.user_id) FROM slm_feedback.queries q WHERE q.user_id LIKE 'slmp:erased:%'), 1::bigint, 'one stand-in for the person');
SELECT set_eq('SELECT * FROM slm_feedback.report_daily()', 'SELECT * FROM before', 'anonymize keeps the daily metrics, computed live');
CALL slm_feedback.rollup();
SELECT set_eq('SELECT * FROM slm_feedback.report_daily()', 'SELECT * FROM before', 'and rolled up');
SELECT set_eq('SELECT * FROM slm_feedback.report_models()', 'SELECT * FROM before_models', 'and those of the models');
SELECT is(pg_temp.everywhere('alice'), 0::bigint, 'still nothing after a rollup');
SELECT is((SELECT queries + feedback FROM slm_feedback.erase_user('alice', 'anonymize')), 0::bigint, 'a second time finds nothing');

-- delete: the metrics of a database that never had the person
SELECT pg_temp.fill();
CALL slm_feedback.rollup();
SELECT is((SELECT array[queries, feedback, corrections, of_others] FROM slm_feedback.erase_user('alice')), array[3, 2, 1, 2]::bigint[],
          'erase_user(delete) counts');
SELECT is(pg_temp.everywhere('alice'), 0::bigint, 'no table holds the person''s id or words');
CREATE TEMP TABLE without AS SELECT * FROM slm_feedback.report_daily();
CALL slm_feedback.rollup();
SELECT set_eq('SELECT * FROM slm_feedback.report_daily()', 'SELECT * FROM without', 'live and rolled up agree');
SELECT is((SELECT array[sum(total_queries), sum(unique_users), sum(positive_feedback_count), sum(negative_feedback_count)] FROM without),
          array[3, 3, 0, 1]::numeric[], 'the metrics are those of the others');

-- the audit log: who, what and when, not whom
SELECT set_eq($$SELECT DISTINCT action FROM slm_feedback.audit_log$$, ARRAY['export_user', 'erase_user'], 'both are in audit_log');
SELECT is((SELECT count(*) FROM slm_feedback.audit_log WHERE action = 'erase_user'), 3::bigint, 'every erasure');
SELECT is_empty($$SELECT * FROM slm_feedback.audit_log l WHERE l::text ~ 'alice|nobody'$$, 'without the erased id');

-- a rolled back erasure erases nothing
SELECT pg_temp.fill();
BEGIN;
SELECT count(*) FROM slm_feedback.erase_user('alice') \g /dev/null
ROLLBACK;
SELECT is(jsonb_array_length(slm_feedback.export_user('alice') -> 'queries'), 3, 'one transaction: rolled back, nothing is erased');

SELECT * FROM finish();
