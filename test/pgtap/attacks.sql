-- Attacks by roles that may use the extension: names, operators and types shadowed through search_path and
-- pg_temp, injection through every text argument, objects planted before CREATE EXTENSION.
\ir setup.inc
CREATE EXTENSION IF NOT EXISTS hll;
CREATE EXTENSION IF NOT EXISTS tdigest;

SELECT * FROM no_plan();

-- ---- objects planted before CREATE EXTENSION ----
CREATE FUNCTION pg_temp.planted(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    CREATE SCHEMA slm_feedback;
    EXECUTE what;
    CREATE EXTENSION slm_feedback;
    RETURN 'installed';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END
$$;
SELECT is(pg_temp.planted($$CREATE TABLE slm_feedback.queries (request_id text)$$), '42P06', 'a planted table stops the installation');
SELECT is(pg_temp.planted($$CREATE FUNCTION slm_feedback.hll_add_agg(bigint) RETURNS int LANGUAGE sql AS 'SELECT 1'$$), '42P06', 'a planted function');
CREATE ROLE slm_attack_planter;
SELECT is(pg_temp.planted($$ALTER SCHEMA slm_feedback OWNER TO slm_attack_planter$$), '42P06', 'a schema of somebody else');
SELECT is(pg_temp.planted($$SELECT 1$$), '42P06', 'an empty schema of our own, too: somebody could have a right in it');
SELECT is(pg_temp.planted($$DROP SCHEMA slm_feedback$$), 'installed', 'without the schema it installs');
DROP ROLE slm_attack_planter;
SELECT is((SELECT n.nspname::text FROM pg_depend d JOIN pg_namespace n ON n.oid = d.objid
           WHERE d.classid = 'pg_namespace'::regclass AND d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
             AND d.refobjid = (SELECT e.oid FROM pg_extension e WHERE e.extname = 'slm_feedback')),
          'slm_feedback', 'the schema belongs to the extension');
SELECT throws_ok('ALTER EXTENSION slm_feedback SET SCHEMA public', '0A000', NULL, 'which cannot be moved to another schema');
SELECT lives_ok('DROP EXTENSION slm_feedback', 'DROP EXTENSION');
SELECT is(to_regnamespace('slm_feedback')::text, NULL, 'leaves no schema');

-- ---- names ----
CREATE EXTENSION slm_feedback CASCADE;

CREATE ROLE slm_attack_app;
CREATE ROLE slm_attack_analyst;
CREATE ROLE slm_attack_admin;
SELECT slm_feedback.grant_access('slm_attack_app', 'app');
SELECT slm_feedback.grant_access('slm_attack_analyst', 'analyst');
SELECT slm_feedback.grant_access('slm_attack_admin', 'admin');

-- A schema that shadows every function, operator and type name of pg_catalog that the extension could use
-- without a schema. Whoever runs one of them with the owner's rights leaves a trace.
CREATE SCHEMA evil;
GRANT ALL ON SCHEMA evil TO slm_attack_app, slm_attack_analyst, slm_attack_admin;
CREATE TABLE evil.trace (what text, by name);
GRANT INSERT, SELECT ON evil.trace TO PUBLIC;
DO $$
DECLARE
    o record;
    owner name := current_user;
    n int := 0;
BEGIN
    -- The trap: harmless for the attacker, it records who ran it.
    CREATE FUNCTION evil.trap(what text) RETURNS void LANGUAGE plpgsql AS $f$
    BEGIN
        IF current_user OPERATOR(pg_catalog.<>) session_user OR pg_catalog.current_setting('evil.enabled', true) OPERATOR(pg_catalog.=) 'on' THEN
            INSERT INTO evil.trace VALUES (what, current_user);
        END IF;
    END $f$;
    -- exact-argument operators, which win over pg_catalog's when evil comes first in the path
    FOR o IN
        SELECT op.oprname, op.oprleft::regtype AS l, op.oprright::regtype AS r, op.oprresult::regtype AS res, op.oprcode, p.proretset
        FROM pg_operator op JOIN pg_proc p ON p.oid = op.oprcode
        WHERE op.oprnamespace = 'pg_catalog'::regnamespace AND op.oprleft <> 0 AND op.oprright <> 0
          AND op.oprname IN ('=', '<>', '<', '>', '<=', '>=', '+', '-', '*', '/', '%', '||', '->', '->>', '~')
          AND op.oprleft IN (SELECT unnest(ARRAY['text', 'bigint', 'integer', 'date', 'timestamptz', 'timestamp', 'boolean', 'numeric',
                             'double precision', 'name', 'oid', 'jsonb', 'interval', 'smallint']::regtype[]))
          AND op.oprright IN (SELECT unnest(ARRAY['text', 'bigint', 'integer', 'date', 'timestamptz', 'timestamp', 'boolean', 'numeric',
                             'double precision', 'name', 'oid', 'jsonb', 'interval', 'smallint']::regtype[]))
    LOOP
        n := n + 1;
        EXECUTE format('CREATE FUNCTION evil.op%s(a %s, b %s) RETURNS %s LANGUAGE plpgsql AS %L', n, o.l, o.r, o.res,
            format('BEGIN PERFORM evil.trap(%L); RETURN a OPERATOR(pg_catalog.%s) b; END', o.oprname, o.oprname));
        EXECUTE format('CREATE OPERATOR evil.%s (leftarg = %s, rightarg = %s, function = evil.op%s)', o.oprname, o.l, o.r, n);
    END LOOP;
    IF n < 100 THEN
        RAISE EXCEPTION 'too few operators shadowed: %', n;
    END IF;
END
$$;
CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN PERFORM evil.trap('now'); RETURN pg_catalog.now(); END$$;
CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN PERFORM evil.trap('clock_timestamp'); RETURN pg_catalog.clock_timestamp(); END$$;
CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE plpgsql AS $$BEGIN PERFORM evil.trap('lower'); RETURN pg_catalog.lower($1); END$$;
CREATE FUNCTION evil.format(text, VARIADIC "any") RETURNS text LANGUAGE internal AS 'text_format';
CREATE FUNCTION evil.jsonb_build_object(VARIADIC "any") RETURNS jsonb LANGUAGE internal AS 'jsonb_build_object';
CREATE FUNCTION evil.octet_length(text) RETURNS int LANGUAGE plpgsql AS $$BEGIN PERFORM evil.trap('octet_length'); RETURN pg_catalog.octet_length($1); END$$;
CREATE FUNCTION evil.round(double precision) RETURNS double precision LANGUAGE plpgsql AS $$BEGIN PERFORM evil.trap('round'); RETURN pg_catalog.round($1); END$$;
CREATE FUNCTION evil.timezone(text, timestamptz) RETURNS timestamp LANGUAGE plpgsql AS $$BEGIN PERFORM evil.trap('timezone'); RETURN pg_catalog.timezone($1, $2); END$$;
CREATE DOMAIN evil.text AS pg_catalog.text CHECK (false);
CREATE DOMAIN evil.timestamptz AS pg_catalog.timestamptz CHECK (false);
CREATE DOMAIN evil.date AS pg_catalog.date CHECK (false);
CREATE DOMAIN evil.bigint AS pg_catalog.int8 CHECK (false);
-- Casts, implicit ones, from and to types that have one for everything in use.
CREATE TYPE evil.anything AS (x pg_catalog.text);
DO $x$
DECLARE
    t regtype;
    n int := 0;
BEGIN
    FOREACH t IN ARRAY ARRAY['pg_catalog.text', 'pg_catalog.int8', 'pg_catalog.int4', 'pg_catalog.date', 'pg_catalog.timestamptz', 'pg_catalog.bool', 'pg_catalog.numeric', 'pg_catalog.jsonb']::regtype[] LOOP
        n := n + 1;
        EXECUTE format('CREATE FUNCTION evil.from_%s(a %s) RETURNS evil.anything LANGUAGE plpgsql AS %L', n, t, 'BEGIN PERFORM evil.trap(''cast''); RETURN ROW(a::pg_catalog.text)::evil.anything; END');
        EXECUTE format('CREATE FUNCTION evil.to_%s(a evil.anything) RETURNS %s LANGUAGE plpgsql AS %L', n, t, 'BEGIN PERFORM evil.trap(''cast''); RETURN NULL; END');
        EXECUTE format('CREATE CAST (%s AS evil.anything) WITH FUNCTION evil.from_%s(%s) AS IMPLICIT', t, n, t);
        EXECUTE format('CREATE CAST (evil.anything AS %s) WITH FUNCTION evil.to_%s(evil.anything) AS IMPLICIT', t, n);
    END LOOP;
END
$x$;
CREATE FUNCTION evil.lower(evil.anything) RETURNS pg_catalog.text LANGUAGE plpgsql AS $$BEGIN PERFORM evil.trap('lower'); RETURN 'x'; END$$;
CREATE FUNCTION evil.length(evil.anything) RETURNS int LANGUAGE plpgsql AS $$BEGIN PERFORM evil.trap('length'); RETURN 1; END$$;
CREATE TABLE evil.queries (x int);
CREATE TABLE evil.feedback (x int);
CREATE TABLE evil.settings (x int);
CREATE TABLE evil.daily_metrics (x int);

-- The trap works: a definer function that does not pin its path falls into it.
CREATE FUNCTION evil.careless(a pg_catalog.text) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$BEGIN RETURN a = 'x'::pg_catalog.text; END$$;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA evil TO PUBLIC;

SELECT slm_feedback.record_query('How do I reset?', 'Press the button.', 'r1', 'alice', created_at => pg_catalog.now() - interval '2 days');

-- One attack: as the role, with the evil path and temporary objects of the same names, run a statement.
CREATE FUNCTION public.slm_attack(role_name text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    outcome text := 'ran';
    traces bigint;
    path text := current_setting('search_path');
BEGIN
    PERFORM set_config('evil.enabled', 'on', true);
    PERFORM set_config('role', role_name, true);
    PERFORM set_config('search_path', 'evil, pg_temp, pg_catalog, public', true);
    BEGIN
        EXECUTE statement;
    EXCEPTION WHEN OTHERS THEN
        outcome := SQLSTATE;
    END;
    PERFORM set_config('search_path', 'pg_catalog', true);
    PERFORM set_config('role', 'none', true);
    SELECT count(*) INTO traces FROM evil.trace t WHERE t.by = session_user;
    DELETE FROM evil.trace;
    PERFORM set_config('search_path', path, true);
    RETURN outcome || CASE WHEN traces > 0 THEN ', the owner ran ' || traces || ' planted functions' ELSE '' END;
END
$$;
SELECT matches(public.slm_attack('slm_attack_app', $$SELECT evil.careless('x')$$), 'the owner ran', 'the trap catches a careless definer function');

-- Temporary relations and functions of the same names stand in pg_temp for the whole session.
CREATE TEMP TABLE settings (singleton boolean, time_zone text, user_id_policy text);
CREATE TEMP TABLE queries (request_id text);
CREATE TEMP TABLE feedback (request_id text);
CREATE TEMP TABLE pg_proc (oid oid, proname name, pronamespace oid);
CREATE TEMP TABLE pg_class (oid oid, relname name, relnamespace oid, relowner oid);
CREATE FUNCTION pg_temp.now() RETURNS pg_catalog.timestamptz LANGUAGE plpgsql AS $$BEGIN PERFORM evil.trap('pg_temp.now'); RETURN pg_catalog.now(); END$$;

-- Every routine that a level may use, with arguments; a routine without a line here fails the test below.
CREATE TABLE public.slm_calls (routine pg_catalog.text, role_name pg_catalog.text, statement pg_catalog.text, outcome pg_catalog.text);
INSERT INTO public.slm_calls VALUES
    ('record_query', 'app', $$SELECT slm_feedback.record_query('q', user_id => 'u', created_at => pg_catalog.now() OPERATOR(pg_catalog.-) '3 days'::interval)$$, 'ran'),
    ('record_queries', 'app', $$SELECT slm_feedback.record_queries('[{"query_text": "q", "created_at": "2026-01-01 00:00+00"}]')$$, 'ran'),
    ('submit_feedback', 'app', $$SELECT slm_feedback.submit_feedback('r1', true, 5, 'fine', 'u')$$, 'ran'),
    ('submit_feedback_batch', 'app', $$SELECT slm_feedback.submit_feedback_batch('[{"request_id": "r1", "rating": 3}]')$$, 'ran'),
    ('withdraw_feedback', 'app', $$SELECT slm_feedback.withdraw_feedback('r1', 'u')$$, 'ran'),
    ('report_daily', 'analyst', $$SELECT * FROM slm_feedback.report_daily()$$, 'ran'),
    ('report_models', 'analyst', $$SELECT * FROM slm_feedback.report_models()$$, 'ran'),
    ('report_summary', 'analyst', $$SELECT * FROM slm_feedback.report_summary()$$, 'ran'),
    ('report_top_questions', 'analyst', $$SELECT * FROM slm_feedback.report_top_questions(order_by => 'asked')$$, 'ran'),
    ('top_questions', 'analyst', $$SELECT * FROM slm_feedback.top_questions(NULL, NULL, 5, 'worst', 'm', 'v')$$, 'ran'),
    ('readable_question', 'analyst', $$SELECT * FROM slm_feedback.readable_question('r1')$$, 'ran'),
    ('check_single_answers', 'analyst', $$SELECT slm_feedback.check_single_answers()$$, 'ran'),
    ('dashboard', 'analyst', $$SELECT slm_feedback.dashboard()$$,
        -- the page is there only where npm was when the extension was built
        (SELECT CASE WHEN pg_catalog.pg_stat_file(pg_catalog.concat(c.setting, '/extension/slm_feedback--dashboard.html'), true) IS NULL THEN '58P01' ELSE 'ran' END
         FROM pg_catalog.pg_config() c WHERE c.name OPERATOR(pg_catalog.=) 'SHAREDIR')),
    ('normalize_question', 'analyst', $$SELECT slm_feedback.normalize_question('Hm?')$$, 'ran'),
    ('question_hash', 'analyst', $$SELECT slm_feedback.question_hash('Hm?')$$, 'ran'),
    ('wilson_interval', 'analyst', $$SELECT slm_feedback.wilson_interval(1, 2)$$, 'ran'),
    ('submit_correction', 'app', $$SELECT slm_feedback.submit_correction('r1', 'better', 'u', 'a note')$$, 'ran'),
    ('withdraw_corrections', 'app', $$SELECT slm_feedback.withdraw_corrections('r1', 'u')$$, 'ran'),
    ('export_interactions', 'analyst', $$SELECT * FROM slm_feedback.export_interactions('2026-01-01', 'infinity', 'm', 'v', true)$$, 'ran'),
    ('export_interactions_jsonl', 'analyst', $$SELECT slm_feedback.export_interactions_jsonl()$$, 'ran'),
    ('export_daily_metrics', 'analyst', $$SELECT * FROM slm_feedback.export_daily_metrics()$$, 'ran'),
    ('export_daily_metrics_jsonl', 'analyst', $$SELECT slm_feedback.export_daily_metrics_jsonl()$$, 'ran'),
    ('export_from', 'analyst', $$SELECT slm_feedback.export_from('2026-01-01', NULL)$$, 'ran'),
    ('export_until', 'analyst', $$SELECT slm_feedback.export_until(NULL, '2026-01-01')$$, 'ran'),
    ('export_live_days', 'analyst', $$SELECT slm_feedback.export_live_days(NULL, NULL)$$, 'ran'),
    ('export_live_metrics', 'analyst', $$SELECT * FROM slm_feedback.export_live_metrics('{2026-01-01}')$$, 'ran'),
    ('max_staleness', 'analyst', $$SELECT slm_feedback.max_staleness()$$, 'ran'),
    ('export_sft', 'analyst', $$SELECT slm_feedback.export_sft(one_per_question => true, split => 'train')$$, 'ran'),
    ('export_kto', 'analyst', $$SELECT slm_feedback.export_kto(one_per_question => true, split => 'train')$$, 'ran'),
    ('export_dpo', 'analyst', $$SELECT slm_feedback.export_dpo(one_per_question => true, split => 'train')$$, 'ran'),
    ('export_openai', 'analyst', $$SELECT slm_feedback.export_openai(one_per_question => true, split => 'train')$$, 'ran'),
    ('export_sft_report', 'analyst', $$SELECT slm_feedback.export_sft_report(one_per_question => true, split => 'train')$$, 'ran'),
    ('export_kto_report', 'analyst', $$SELECT slm_feedback.export_kto_report(one_per_question => true, split => 'train')$$, 'ran'),
    ('export_dpo_report', 'analyst', $$SELECT slm_feedback.export_dpo_report(one_per_question => true, split => 'train')$$, 'ran'),
    ('training_split', 'analyst', $$SELECT slm_feedback.training_split(1)$$, 'ran'),
    ('check_training', 'analyst', $$SELECT slm_feedback.check_training('2026-01-01', '2026-01-02', 3, 1, 'train')$$, 'ran'),
    ('check_max_pairs', 'analyst', $$SELECT slm_feedback.check_max_pairs(5)$$, 'ran'),
    ('training_answers', 'analyst', $$SELECT * FROM slm_feedback.training_answers(NULL, NULL, 'm', 'v', 3, 1, 'train')$$, 'ran'),
    ('training_corrections', 'analyst', $$SELECT * FROM slm_feedback.training_corrections(NULL, NULL, 'm', 'v', 'test')$$, 'ran'),
    ('training_examples', 'analyst', $$SELECT * FROM slm_feedback.training_examples(NULL, NULL, 'm', 'v', 3, 1, true, 'test', true, true)$$, 'ran'),
    ('training_pairs', 'analyst', $$SELECT * FROM slm_feedback.training_pairs(NULL, NULL, 'm', 'v', 3, 1, 5, 'test')$$, 'ran'),
    ('messages', 'analyst', $$SELECT slm_feedback.messages('q', 'a')$$, 'ran'),
    ('check_choice', 'analyst', $$SELECT slm_feedback.check_choice('x', 'y', '{y}'::pg_catalog.text[])$$, 'ran'),
    ('export_changes', 'admin', $$SELECT slm_feedback.export_changes()$$, 'ran'),
    ('changes_since', 'admin', $$SELECT slm_feedback.changes_since('x')$$, '22023'),
    ('changes_cursor', 'admin', $$SELECT slm_feedback.changes_cursor('1')$$, 'ran'),
    ('written_since', 'admin', $$SELECT slm_feedback.written_since('1', '1')$$, 'ran'),
    ('prune_tombstones', 'admin', $$SELECT slm_feedback.prune_tombstones()$$, 'ran'),
    ('is_blank', 'analyst', $$SELECT slm_feedback.is_blank('x')$$, 'ran'),
    ('json_line', 'analyst', $$SELECT slm_feedback.json_line(ROW('a'::pg_catalog.text, 1))$$, 'ran'),
    ('plain_cell', 'analyst', $$SELECT slm_feedback.plain_cell('=1')$$, 'ran'),
    ('write_dashboard', 'admin', $$SELECT slm_feedback.write_dashboard()$$, '55000'),
    ('refresh_dashboard_questions', 'admin', $$SELECT slm_feedback.refresh_dashboard_questions()$$, 'ran'),
    ('rollup', 'admin', $$CALL slm_feedback.rollup()$$, '25001'),
    ('rebuild', 'admin', $$CALL slm_feedback.rebuild('2026-01-01', '2026-01-02')$$, '25001'),
    ('set_time_zone', 'admin', $$SELECT slm_feedback.set_time_zone('Europe/Berlin')$$, 'ran'),
    ('run_jobs', 'admin', $$CALL slm_feedback.run_jobs()$$, '25001'),
    ('set_job', 'admin', $$SELECT slm_feedback.set_job('rollup', true, '01:00')$$, 'ran'),
    ('report_jobs', 'admin', $$SELECT * FROM slm_feedback.report_jobs()$$, 'ran'),
    ('set_retention', 'admin', $$SELECT slm_feedback.set_retention(400, 90)$$, 'ran'),
    ('generate_report', 'admin', $$SELECT slm_feedback.generate_report('range', '2026-01-01', '2026-01-02')$$, 'ran'),
    ('report_markdown', 'admin', $$SELECT slm_feedback.report_markdown('{}')$$, 'ran'),
    ('with_questions', 'admin', $$SELECT slm_feedback.with_questions('{"questions": {"best": [{"request_id": "r1"}]}}')$$, 'ran'),
    ('set_alert_rule', 'admin', $$SELECT slm_feedback.set_alert_rule('a', 'total_queries', 'falls', 0.5, no_data => 'open', min_sample => 5)$$, 'ran'),
    ('report_alerts', 'analyst', $$SELECT * FROM slm_feedback.report_alerts()$$, 'ran'),
    ('drop_alert_rule', 'admin', $$SELECT slm_feedback.drop_alert_rule('a')$$, 'ran'),
    ('library_version', 'admin', $$SELECT slm_feedback.library_version()$$, 'ran'),
    ('grant_access', 'admin', $$SELECT slm_feedback.grant_access('slm_attack_app', 'app')$$, 'ran'),
    ('revoke_access', 'admin', $$SELECT slm_feedback.revoke_access('slm_attack_nobody')$$, 'ran'),
    ('set_min_group_users', 'admin', $$SELECT slm_feedback.set_min_group_users(0)$$, 'ran'),
    ('set_user_id_policy', 'admin', $$SELECT slm_feedback.set_user_id_policy('drop')$$, 'ran'),
    ('redact', 'admin', $$SELECT slm_feedback.redact('a@b.example')$$, 'ran'),
    ('set_redaction', 'admin', $$SELECT slm_feedback.set_redaction(false)$$, 'ran'),
    ('set_redaction_pattern', 'admin', $$SELECT slm_feedback.set_redaction_pattern('A', 'a0'), slm_feedback.redact('a0 a@b.example'), slm_feedback.set_redaction_pattern('A', NULL)$$, 'ran'),
    ('least_group_users', 'analyst', $$SELECT slm_feedback.least_group_users()$$, 'ran'),
    ('may_be_rated', 'analyst', $$SELECT slm_feedback.may_be_rated('r1')$$, 'ran'),
    ('redaction_dry_run', 'admin', $$SELECT * FROM slm_feedback.redaction_dry_run()$$, 'ran'),
    ('export_user', 'admin', $$SELECT slm_feedback.export_user('u')$$, 'ran'),
    ('erase_user', 'admin', $$SELECT * FROM slm_feedback.erase_user('u')$$, 'ran'),
    ('user_id_report', 'admin', $$SELECT * FROM slm_feedback.user_id_report()$$, 'ran'),
    ('convert_queries_batch', 'admin', $$SELECT * FROM slm_feedback.convert_queries_batch('-infinity', 10)$$, 'ran'),
    ('convert_feedback_batch', 'admin', $$SELECT * FROM slm_feedback.convert_feedback_batch('-infinity', 10)$$, 'ran'),
    ('convert_corrections', 'admin', $$SELECT slm_feedback.convert_corrections()$$, 'ran'),
    ('forget_frozen_users', 'admin', $$SELECT slm_feedback.forget_frozen_users()$$, 'ran'),
    ('audit_conversion', 'admin', $$SELECT slm_feedback.audit_conversion(1, 2, 3)$$, 'ran'),
    ('convert_user_ids', 'admin', $$CALL slm_feedback.convert_user_ids()$$, 'ran');
CREATE ROLE slm_attack_nobody;
SELECT is(public.slm_attack('slm_attack_' || c.role_name, c.statement), c.outcome, c.routine || ' under shadowed names')
FROM public.slm_calls c;
SELECT is_empty($$SELECT DISTINCT a.object_name FROM slm_feedback.object_access() a
                  WHERE a.kind = 'routine' AND a.object_name NOT IN (SELECT c.routine FROM public.slm_calls c)$$,
    'every routine that can be granted is attacked');
-- The procedures that commit, outside a block, under the same path.
SET search_path = evil, pg_temp, pg_catalog, public;
SET evil.enabled = 'on';
CALL slm_feedback.rollup();
CALL slm_feedback.run_jobs();
CALL slm_feedback.convert_user_ids();
RESET evil.enabled;
RESET search_path;
SELECT is((SELECT pg_catalog.count(*) FROM evil.trace), 0::int8, 'rollup(), run_jobs() and convert_user_ids() bind no planted name');

-- ---- injection: every text argument takes every such value for a value ----
CREATE TABLE public.slm_injection (value text);
INSERT INTO public.slm_injection VALUES ($$'; DROP TABLE slm_feedback.feedback; --$$), ($$') OR true --$$), ($$" OR ""="$$), ($$\'; SELECT 1; --$$),
    ($${"a": "'; DROP TABLE x; --"}$$), ($$$1 || pg_sleep(9)$$), ($$%s %I %L$$), (E'\\000\\377'), ($$x'||(SELECT 1/0)||'$$);
SELECT is(
    (SELECT (f.r).comment || (f.r).user_id FROM (SELECT slm_feedback.submit_feedback(
        slm_feedback.record_query(i.value, i.value, i.value || row_number, i.value, i.value, 1, i.value, i.value, error => i.value),
        NULL, 3, i.value, i.value) AS r) f),
    i.value || i.value, 'capture keeps the text ' || i.value)
FROM (SELECT value, row_number() OVER () FROM public.slm_injection WHERE (SELECT slm_feedback.set_user_id_policy('plain')) IS NOT NULL) i;
SELECT throws_ok(format('SELECT slm_feedback.%s', replace(c.call, '?', quote_literal(i.value))), c.sqlstate, NULL, c.call || ' with ' || i.value)
FROM public.slm_injection i, (VALUES ('set_time_zone(?)', '22023'), ('set_user_id_policy(?)', '22023'),
    ('report_top_questions(order_by => ?)', '22023'), ('grant_access(''slm_attack_app'', ?)', '22023')) c (call, sqlstate);
-- regrole takes a quoted name only
CREATE ROLE "slm_attack_x; DROP TABLE slm_feedback.feedback; --";
SELECT lives_ok($$SELECT slm_feedback.grant_access('"slm_attack_x; DROP TABLE slm_feedback.feedback; --"', 'admin')$$, 'a role with a hostile name');
SELECT lives_ok($$SELECT slm_feedback.revoke_access('"slm_attack_x; DROP TABLE slm_feedback.feedback; --"')$$, 'and back');
SELECT lives_ok(format('SELECT * FROM slm_feedback.report_daily(model => %L, prompt_version => %L)', value, value), 'report_daily with ' || value)
FROM public.slm_injection;
SELECT lives_ok(format('SELECT * FROM slm_feedback.report_top_questions(model => %L, prompt_version => %L)', value, value), 'report_top_questions with ' || value)
FROM public.slm_injection;
SELECT ok(to_regclass('slm_feedback.feedback') IS NOT NULL, 'the tables are still there');

-- ---- an application role reads nothing ----
SELECT is(public.slm_attack('slm_attack_app', s), '42501', s)
FROM unnest(ARRAY[
    'SELECT count(x.*) FROM slm_feedback.queries x', 'SELECT 1 FROM slm_feedback.feedback', 'TABLE slm_feedback.daily_metrics',
    'TABLE slm_feedback.audit_log', 'SELECT * FROM slm_feedback.report_top_questions()', 'SELECT slm_feedback.metrics(NULL, NULL)',
    'SELECT slm_feedback.stored_user_id(''alice'')', 'SELECT slm_feedback.user_id_forms(''alice'')',
    'INSERT INTO slm_feedback.queries (request_id) VALUES (''x'')', 'LOCK TABLE slm_feedback.queries',
    'UPDATE slm_feedback.settings SET user_id_policy = ''plain''', 'SELECT slm_feedback.audit(''x'', ''{}'')',
    'CREATE TABLE slm_feedback.x ()', 'LOCK TABLE slm_feedback.feedback IN ACCESS EXCLUSIVE MODE', 'SELECT slm_feedback.grant_access(''slm_attack_app'', ''admin'')',
    'ALTER TABLE slm_feedback.queries DISABLE TRIGGER ALL', 'TRUNCATE slm_feedback.queries CASCADE']) s;
-- an analyst sees the question's hash, not its text; with texts granted, the text
CREATE FUNCTION public.slm_questions(role_name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    PERFORM set_config('role', role_name, true);
    SELECT (count(*) > 0) || ' ' || count(question) INTO result FROM slm_feedback.report_top_questions();
    PERFORM set_config('role', 'none', true);
    RETURN result;
END
$$;
SELECT is(public.slm_questions('slm_attack_analyst'), 'true 0', 'an analyst sees questions without their texts');
SELECT slm_feedback.grant_access('slm_attack_analyst', 'analyst_texts');
SELECT matches(public.slm_questions('slm_attack_analyst'), 'true [1-9]', 'with analyst_texts, with their texts');
SELECT slm_feedback.revoke_access('slm_attack_analyst');
SELECT is(public.slm_attack('slm_attack_analyst', 'SELECT * FROM slm_feedback.report_summary()'), '42501', 'revoked, nothing');
-- Privileges that others granted, in a chain, on every kind of object, and what the role passed on itself.
CREATE ROLE slm_attack_granter;
CREATE ROLE slm_attack_passer;
CREATE SEQUENCE slm_feedback.slm_attack_sequence;
CREATE FUNCTION public.slm_privileges(role_name text) RETURNS bigint LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT (SELECT count(*) FROM (SELECT proacl FROM pg_catalog.pg_proc WHERE pronamespace = 'slm_feedback'::regnamespace UNION ALL SELECT relacl FROM pg_catalog.pg_class WHERE relnamespace = 'slm_feedback'::regnamespace
                UNION ALL SELECT attacl FROM pg_catalog.pg_attribute UNION ALL SELECT nspacl FROM pg_catalog.pg_namespace WHERE nspname = 'slm_feedback' UNION ALL SELECT typacl FROM pg_catalog.pg_type) o (acl), LATERAL aclexplode(o.acl) a
            WHERE a.grantee = role_name::regrole) $$;
GRANT USAGE ON SCHEMA slm_feedback TO slm_attack_granter WITH GRANT OPTION;
GRANT SELECT, INSERT ON slm_feedback.queries TO slm_attack_granter WITH GRANT OPTION;
GRANT SELECT (comment), UPDATE (rating) ON slm_feedback.feedback TO slm_attack_granter WITH GRANT OPTION;
GRANT EXECUTE ON FUNCTION slm_feedback.redact(text) TO slm_attack_granter WITH GRANT OPTION;
GRANT USAGE ON SEQUENCE slm_feedback.slm_attack_sequence TO slm_attack_granter WITH GRANT OPTION;
GRANT USAGE ON TYPE slm_feedback.settings TO slm_attack_granter WITH GRANT OPTION;
SET ROLE slm_attack_granter;
GRANT USAGE ON SCHEMA slm_feedback TO slm_attack_analyst, slm_attack_passer WITH GRANT OPTION;
GRANT SELECT, INSERT ON slm_feedback.queries TO slm_attack_analyst, slm_attack_passer WITH GRANT OPTION;
GRANT SELECT (comment), UPDATE (rating) ON slm_feedback.feedback TO slm_attack_analyst;
GRANT EXECUTE ON FUNCTION slm_feedback.redact(text) TO slm_attack_analyst;
GRANT USAGE ON SEQUENCE slm_feedback.slm_attack_sequence TO slm_attack_analyst;
GRANT USAGE ON TYPE slm_feedback.settings TO slm_attack_analyst;
SET ROLE slm_attack_passer;
GRANT SELECT ON slm_feedback.queries TO slm_attack_analyst WITH GRANT OPTION;
SET ROLE slm_attack_analyst;
GRANT SELECT ON slm_feedback.queries TO slm_attack_nobody;
RESET ROLE;
SELECT cmp_ok(public.slm_privileges('slm_attack_analyst'), '>=', 9::bigint, 'a role with privileges from others');
SELECT lives_ok($$SELECT slm_feedback.revoke_access('slm_attack_analyst')$$, 'revoked');
SELECT is(public.slm_privileges('slm_attack_analyst'), 0::bigint, 'has nothing, whoever granted it');
SELECT is(public.slm_privileges('slm_attack_nobody'), 0::bigint, 'nor has who had it from the role');
SELECT is(public.slm_attack('slm_attack_passer', 'SELECT count(*) FROM slm_feedback.queries'), 'ran', 'who granted it keeps it');
SELECT lives_ok($$SELECT slm_feedback.revoke_access('slm_attack_granter')$$, 'revoked from who has granted it on');
SELECT is(public.slm_privileges('slm_attack_granter') + public.slm_privileges('slm_attack_passer'), 0::bigint, 'and so from all below');
SELECT is(public.slm_attack('slm_attack_admin', $$SELECT slm_feedback.revoke_as('slm_attack_app', 'SELECT 1')$$), '42501', 'no admin runs anything as another role');
DROP SEQUENCE slm_feedback.slm_attack_sequence;
DROP ROLE slm_attack_granter, slm_attack_passer;
SELECT throws_ok($$SELECT slm_feedback.revoke_access(current_user::regrole)$$, '22023', NULL, 'the owner cannot lose its rights');

-- ---- the audit log says who ----
SELECT is((SELECT acting_role::pg_catalog.text FROM slm_feedback.audit_log WHERE action = 'set_user_id_policy' ORDER BY audit_id LIMIT 1),
          'slm_attack_admin', 'the audit log names the role that acted');

SELECT * FROM finish();
DROP SCHEMA evil CASCADE;
DROP EXTENSION slm_feedback CASCADE;
DROP ROLE slm_attack_app, slm_attack_analyst, slm_attack_admin, slm_attack_nobody, "slm_attack_x; DROP TABLE slm_feedback.feedback; --";
