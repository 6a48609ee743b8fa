-- What an analyst must not learn, by whatever way: texts, ids of persons, and groups that min_group_users hides.
\ir setup.inc
CREATE EXTENSION slm_feedback CASCADE;
SELECT * FROM no_plan();

CREATE ROLE slm_analyst;
CREATE ROLE slm_reader;
CREATE ROLE slm_admin;
SELECT slm_feedback.grant_access('slm_analyst', 'analyst');
SELECT slm_feedback.grant_access('slm_reader', 'analyst_texts');
SELECT slm_feedback.grant_access('slm_admin', 'admin');
CREATE SCHEMA lab;
GRANT ALL ON SCHEMA lab TO slm_analyst, slm_reader, slm_admin;

SELECT slm_feedback.record_query(format('What is secret %s?', i % 40), 'The answer ' || i, 'r' || i, 'person-' || i % 30, 'session-' || i, i,
    'm' || i % 2, 'v', i, i, 0.01, '["source"]', NULL, jsonb_build_object('tag', i % 7), '{"meta": 1}', now() - interval '3 days')
FROM generate_series(1, 400) i \g /dev/null
-- one group of a single person
SELECT slm_feedback.record_query('What is secret 1?', 'x', 'lone', 'person-lonely', model => 'lonely model', cost_usd => 77.25, created_at => now() - interval '3 days') \g /dev/null
SELECT slm_feedback.submit_feedback('r' || i, NULL, 1 + i % 5, 'comment ' || i, 'person-' || i % 30) FROM generate_series(1, 400, 2) i \g /dev/null
SELECT slm_feedback.submit_correction('r' || i, 'better ' || i, 'person-' || i, 'note ' || i) FROM generate_series(1, 100) i \g /dev/null
CALL slm_feedback.rollup();
ANALYZE slm_feedback.queries;
ANALYZE slm_feedback.feedback;
ANALYZE slm_feedback.corrections;
ANALYZE slm_feedback.daily_metrics;

CREATE FUNCTION pg_temp.as_role(role_name text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    PERFORM set_config('role', role_name, true);
    BEGIN
        EXECUTE statement INTO result;
    EXCEPTION WHEN OTHERS THEN
        result := SQLSTATE;
    END;
    PERFORM set_config('role', 'none', true);
    RETURN result;
END
$$;

-- ---- EXPLAIN: row estimates come from statistics of the tables ----
-- The estimates of every node of the plan of a condition, as the role sees them.
CREATE FUNCTION pg_temp.estimates(role_name text, relation text, condition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    PERFORM set_config('role', role_name, true);
    EXECUTE format('EXPLAIN (FORMAT json) SELECT * FROM %s WHERE %s', relation, condition) INTO plan;
    PERFORM set_config('role', 'none', true);
    RETURN (SELECT string_agg(m[1], ' ') FROM regexp_matches(plan::text, '"Plan Rows": (\d+)', 'g') m);
END
$$;
-- The step of a binary search: does the estimate tell a frequent value from one that does not occur, or below from above?
CREATE FUNCTION pg_temp.tells(role_name text, relation text, column_name text, low text, present text, high text) RETURNS boolean LANGUAGE sql AS $$
    SELECT count(DISTINCT pg_temp.estimates(role_name, relation, format('%I %s %L', column_name, o, v))) > 1
    FROM unnest(ARRAY[low, present, high]) v, unnest(ARRAY['=', '<', '>']) o
    GROUP BY o ORDER BY 1 DESC LIMIT 1
$$;
CREATE TEMP TABLE hidden (column_name text, low text, present text, high text);
INSERT INTO hidden VALUES
    ('query_text', 'A', 'What is secret 1?', 'Z'), ('response_text', 'A', 'The answer 7', 'Z'), ('user_id', 'a', 'person-3', 'z'), ('session_id', 'a', 'session-3', 'z'),
    ('sources_used', '[]', '["source"]', '["z", "z"]'), ('tags', '{}', '{"tag": 3}', '{"tag": 9, "z": 1}'), ('metadata', '{}', '{"meta": 1}', '{"z": 1, "y": 2}'), ('error', 'a', 'b', 'z'),
    ('question_hash', '-9223372036854775807', slm_feedback.question_hash('What is secret 1?'), '9223372036854775807'),
    ('feedback_user_id', 'a', 'person-3', 'z'), ('comment', 'a', 'comment 3', 'z'), ('corrected_text', 'a', 'better 7', 'z'), ('note', 'a', 'note 7', 'z');
-- Every such column of every relation and export that an analyst may select from.
CREATE TEMP TABLE surface AS
SELECT c.oid::regclass::text AS relation, h.*
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN hidden h ON h.column_name = a.attname
WHERE c.relnamespace = 'slm_feedback'::regnamespace AND has_table_privilege('slm_analyst', c.oid, 'SELECT')
UNION ALL
SELECT 'slm_feedback.export_interactions()', h.*
FROM pg_attribute a JOIN hidden h ON h.column_name = a.attname
WHERE a.attrelid = 'slm_feedback.interactions'::regclass;
SELECT cmp_ok((SELECT count(*) FROM surface), '>', 25::bigint, 'columns to attack');
SELECT ok(pg_temp.tells('slm_reader', 'slm_feedback.queries', 'user_id', 'a', 'person-3', 'z'), 'the estimates of a table tell its values');
SELECT ok(NOT pg_temp.tells('slm_analyst', s.relation, s.column_name, s.low, s.present, s.high), format('EXPLAIN tells an analyst nothing of %s.%s', s.relation, s.column_name))
FROM surface s;
-- The planner calls the function of an operator with the values that it has kept, if it believes that the caller may see them.
CREATE FUNCTION pg_temp.plant_operator() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL ROLE slm_analyst;
    CREATE TABLE lab.seen (value text);
    CREATE FUNCTION lab.look(a text, b text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $f$BEGIN IF a IS NOT NULL THEN INSERT INTO lab.seen VALUES (a); END IF; RETURN true; END$f$;
    CREATE OPERATOR lab.=== (leftarg = text, rightarg = text, function = lab.look, restrict = eqsel);
END
$$;
SELECT pg_temp.plant_operator();
SELECT pg_temp.estimates('slm_analyst', s.relation, format('%I::text OPERATOR(lab.===) ''x''', s.column_name)) FROM surface s \g /dev/null
SELECT pg_temp.as_role('slm_analyst', format('SELECT count(*) FROM %s WHERE %I::text OPERATOR(lab.===) ''x''', s.relation, s.column_name)) FROM surface s \g /dev/null
SELECT is_empty('SELECT DISTINCT value FROM lab.seen', 'an operator of the analyst''s gets no value to see, neither from a row nor from the statistics');

-- ---- hashes of questions: a guess could be confirmed ----
SELECT is(pg_temp.as_role('slm_analyst', 'SELECT concat_ws('' '', count(*) > 100, count(question_hash)) FROM slm_feedback.export_interactions()'), 't 0', 'an export has no hashes for an analyst');
SELECT is(pg_temp.as_role('slm_analyst', 'SELECT concat_ws('' '', count(*), count(question_hash), count(question)) FROM slm_feedback.report_top_questions(max_rows => 5)'), '5 0 0', 'nor has report_top_questions()');
SELECT is(pg_temp.as_role('slm_reader', 'SELECT concat_ws('' '', count(*), count(question_hash), count(question)) FROM slm_feedback.report_top_questions(max_rows => 5)'), '5 5 5', 'analyst_texts gets both');
SELECT is(pg_temp.as_role('slm_analyst', $$SELECT count(*) FROM slm_feedback.export_sft_report(split => 'train') WHERE reason <> 'all'$$), '0', 'nor do the sides of a split tell it');
GRANT SELECT (query_text) ON slm_feedback.queries TO slm_analyst;
SELECT is(pg_temp.as_role('slm_analyst', 'SELECT concat_ws('' '', count(*), count(question_hash), count(question)) FROM slm_feedback.report_top_questions(max_rows => 5)'), '5 0 5', 'a grant of the column shows the text');
REVOKE SELECT (query_text) ON slm_feedback.queries FROM slm_analyst;

-- ---- code of the analyst's that a superuser runs ----
CREATE FUNCTION pg_temp.plant_code(role_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('role', role_name, true);
    EXECUTE format($f$
        CREATE TABLE lab.loot_of_%1$s (what text, got text);
        CREATE FUNCTION lab.steal_%1$s(what text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $g$
        BEGIN
            RETURN lab.loot_%1$s(what);
        END $g$;
        CREATE FUNCTION lab.loot_%1$s(what text) RETURNS text LANGUAGE plpgsql AS $g$
        BEGIN
            INSERT INTO lab.loot_of_%1$s SELECT what, concat(t.question, t.question_hash) FROM slm_feedback.report_top_questions() t;
            BEGIN
                INSERT INTO lab.loot_of_%1$s SELECT what, i.query_text FROM slm_feedback.export_interactions() i;
                INSERT INTO lab.loot_of_%1$s SELECT what, m[1] FROM regexp_matches(slm_feedback.dashboard(), '(What is secret)') m;
            EXCEPTION WHEN undefined_file THEN
                NULL;
            END;
            RETURN what;
        END $g$;
        CREATE FUNCTION lab.lend_%1$s() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $g$
        BEGIN
            RETURN lab.loot_%1$s('definer');
        END $g$;
        CREATE TABLE lab.bait_%1$s (x text);
        CREATE INDEX ON lab.bait_%1$s (lab.steal_%1$s(x));
        INSERT INTO lab.bait_%1$s VALUES ('index');
        CREATE MATERIALIZED VIEW lab.view_%1$s AS SELECT lab.loot_%1$s('view') WITH NO DATA;
        TRUNCATE lab.loot_of_%1$s;
    $f$, role_name);
    PERFORM set_config('role', 'none', true);
END
$$;
SELECT pg_temp.plant_code(r) FROM unnest(ARRAY['slm_analyst', 'slm_reader']) r;
REFRESH MATERIALIZED VIEW lab.view_slm_analyst;
REFRESH MATERIALIZED VIEW lab.view_slm_reader;
ANALYZE lab.bait_slm_analyst;
REINDEX TABLE lab.bait_slm_reader;
REINDEX TABLE lab.bait_slm_analyst;
SELECT lab.lend_slm_analyst(), lab.lend_slm_reader() \g /dev/null
SELECT is((SELECT string_agg(DISTINCT what, ' ' ORDER BY what) FROM lab.loot_of_slm_analyst), 'definer index view', 'the superuser ran it');
SELECT is_empty($$SELECT DISTINCT what, got FROM lab.loot_of_slm_analyst WHERE got <> ''$$, 'REFRESH, ANALYZE, REINDEX and a SECURITY DEFINER function get no text for an analyst');
SELECT is((SELECT string_agg(DISTINCT what, ' ' ORDER BY what) FROM lab.loot_of_slm_reader WHERE got LIKE 'What is secret%'), 'definer index view', 'who may read texts gets them there, too');

-- Who is audited: where a superuser runs an admin's code, nobody could be named.
CREATE FUNCTION pg_temp.plant_audit() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL ROLE slm_admin;
    CREATE MATERIALIZED VIEW lab.framed AS SELECT slm_feedback.export_user('person-1') WITH NO DATA;
    CREATE MATERIALIZED VIEW lab.shown AS SELECT slm_feedback.set_min_group_users(0)::text AS done WITH NO DATA;
END
$$;
SELECT pg_temp.plant_audit();
SELECT throws_ok('REFRESH MATERIALIZED VIEW lab.framed', '42501', 'cannot use a function that is audited within a security-restricted operation', 'export_user() in a superuser''s REFRESH');
SELECT throws_ok('REFRESH MATERIALIZED VIEW lab.shown', '42501', 'cannot use a function that is audited within a security-restricted operation', 'set_min_group_users() in a superuser''s REFRESH');
SELECT is_empty($$SELECT * FROM slm_feedback.audit_log WHERE action = 'export_user'$$, 'no entry names the superuser');
SELECT ok(pg_temp.as_role('slm_admin', $$SELECT slm_feedback.export_user('person-1') ->> 'queries'$$) LIKE '[{%', 'the admin may call it');
SELECT is((SELECT string_agg(acting_role, ' ') FROM slm_feedback.audit_log WHERE action = 'export_user'), 'slm_admin', 'and is named');

-- ---- groups of few users ----
SELECT slm_feedback.set_min_group_users(5);
CREATE FUNCTION pg_temp.plant_leak() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL ROLE slm_analyst;
    CREATE TABLE lab.leaked (model text, cost numeric);
    CREATE FUNCTION lab.leak(model text, cost numeric) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $f$BEGIN INSERT INTO lab.leaked VALUES (model, cost); RETURN true; END$f$;
END
$$;
SELECT pg_temp.plant_leak();
SELECT is(pg_temp.as_role('slm_analyst', s), '0', 'no group of one user in: ' || s)
FROM unnest(ARRAY['SELECT count(*) FILTER (WHERE model = ''lonely model'') FROM slm_feedback.readable_daily_metrics WHERE lab.leak(model, cost_usd)',
    'SELECT count(*) FILTER (WHERE model = ''lonely model'') FROM slm_feedback.export_daily_metrics() WHERE lab.leak(model, cost_usd)',
    'SELECT count(*) FILTER (WHERE model = ''lonely model'') FROM slm_feedback.report_models() WHERE lab.leak(model, cost_usd)',
    'SELECT count(*) FROM slm_feedback.report_daily(model => ''lonely model'')',
    'SELECT count(*) FROM slm_feedback.report_top_questions() WHERE unique_users < 5']) s;
SELECT isnt_empty('SELECT 1 FROM lab.leaked', 'a cheap function saw rows');
SELECT is_empty('SELECT * FROM lab.leaked WHERE model = ''lonely model'' OR cost = 77.25', 'but none of the small group');
SELECT ok(NOT pg_temp.tells('slm_analyst', 'slm_feedback.readable_daily_metrics', c.name, c.low, c.present, c.high), 'EXPLAIN tells nothing of hidden groups by ' || c.name)
FROM (VALUES ('model', 'a', 'lonely model', 'z'), ('cost_usd', '0', '77.25', '9999'), ('total_queries', '0', '1', '99999'), ('unique_users', '0', '1', '99999')) c (name, low, present, high);
SELECT slm_feedback.set_min_group_users(3);
SELECT is(pg_temp.as_role('slm_analyst', 'SELECT concat_ws('' '', count(*), count(question_hash), count(question)) FROM slm_feedback.report_top_questions(max_rows => 5)'), '5 0 0', 'questions of many come without their texts');
SELECT is(pg_temp.as_role('slm_reader', 'SELECT concat_ws('' '', count(*), count(question_hash), count(question)) FROM slm_feedback.report_top_questions(max_rows => 5)'), '5 5 5', 'for who may read texts, with them');
SELECT slm_feedback.set_min_group_users(5);
-- Rows of single answers are groups of one.
SELECT is(pg_temp.as_role('slm_analyst', s), '42501', 'refused: ' || s)
FROM unnest(ARRAY['SELECT count(*) FROM slm_feedback.export_interactions()', 'SELECT model FROM slm_feedback.export_interactions() GROUP BY model HAVING count(*) < 3', 'SELECT count(*) FROM slm_feedback.export_interactions_jsonl()',
    'SELECT count(*) FROM slm_feedback.interactions', 'SELECT count(*) FROM slm_feedback.readable_queries', 'SELECT count(*) FROM slm_feedback.readable_feedback', 'SELECT count(*) FROM slm_feedback.readable_corrections',
    'SELECT count(*) FROM slm_feedback.export_sft()', 'SELECT count(*) FROM slm_feedback.export_dpo_report()', 'SELECT count(*) FROM slm_feedback.training_answers(NULL, NULL, NULL, NULL, NULL, 1, NULL)']) s;
SELECT is(pg_temp.as_role('slm_reader', 'SELECT count(*) FROM slm_feedback.export_interactions()'), '401', 'not to who may read the tables');

-- Estimators hand the frequent values and the bounds of the histogram to the function of an operator, with the rights of
-- a view's owner. For each column that is not null for an analyst, one operator for each kind of estimator.
CREATE FUNCTION pg_temp.plant_estimators() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    t text;
BEGIN
    SET LOCAL ROLE slm_analyst;
    FOREACH t IN ARRAY ARRAY['text', 'integer', 'bigint', 'smallint', 'numeric', 'double precision', 'boolean', 'date', 'timestamptz'] LOOP
        EXECUTE format('CREATE FUNCTION lab.look(a %1$s, b %1$s) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS
            $f$BEGIN INSERT INTO lab.seen VALUES (a::text); RETURN true; END$f$', t);
        EXECUTE format('CREATE OPERATOR lab.=== (leftarg = %1$s, rightarg = %1$s, function = lab.look, restrict = eqsel)', t);
        EXECUTE format('CREATE OPERATOR lab.<<< (leftarg = %1$s, rightarg = %1$s, function = lab.look, restrict = scalarltsel)', t);
        EXECUTE format('CREATE OPERATOR lab.~~~ (leftarg = %1$s, rightarg = %1$s, function = lab.look, restrict = matchingsel)', t);
    END LOOP;
END
$$;
DROP OPERATOR lab.=== (text, text);
DROP FUNCTION lab.look(text, text);
SELECT pg_temp.plant_estimators();
CREATE TEMP TABLE shape AS SELECT * FROM unnest(ARRAY['%s', '(SELECT * FROM %s OFFSET 0)', '(SELECT * FROM %s UNION ALL SELECT * FROM %1$s)']) s (shape);
CREATE FUNCTION pg_temp.look_everywhere(relations text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    refused bigint := 0;
    statement text;
BEGIN
    TRUNCATE lab.seen;
    FOR statement IN
        SELECT format('EXPLAIN SELECT * FROM %s x WHERE x.%I OPERATOR(lab.%s) (SELECT NULL::%s) IS NULL OR x.%2$I OPERATOR(lab.%3$s) %5$L::%4$s', format(s.shape, r.call), a.attname, o,
                      format_type(a.atttypid, NULL), CASE WHEN a.atttypid = 'boolean'::regtype THEN 'true' WHEN a.atttypid IN ('date'::regtype, 'timestamptz'::regtype) THEN '2026-01-01' ELSE '1' END)
        FROM (SELECT c.oid, c.oid::regclass::text AS call FROM pg_class c
              WHERE c.relnamespace = 'slm_feedback'::regnamespace AND c.relkind = 'v' AND has_table_privilege('slm_analyst', c.oid, 'SELECT')
              UNION ALL VALUES ('slm_feedback.interactions'::regclass, 'slm_feedback.export_interactions()'), ('slm_feedback.readable_daily_metrics', 'slm_feedback.export_daily_metrics()')) r
             JOIN pg_attribute a ON a.attrelid = r.oid, shape s, unnest(ARRAY['===', '<<<', '~~~']) o
        WHERE r.call ~ relations AND a.attnum > 0 AND a.atttypid IN (SELECT p.proargtypes[0] FROM pg_proc p WHERE p.pronamespace = 'lab'::regnamespace AND p.proname = 'look')
    LOOP
        PERFORM set_config('role', 'slm_analyst', true);
        BEGIN
            EXECUTE statement;
        EXCEPTION WHEN insufficient_privilege THEN
            refused := refused + 1;
        END;
        PERFORM set_config('role', 'none', true);
    END LOOP;
    RETURN format('%s refused, %s', CASE WHEN refused > 100 THEN 'many' ELSE refused::text END,
        (SELECT CASE WHEN count(*) = 0 THEN 'nothing seen' ELSE 'seen ' || string_agg(DISTINCT s.value, ',') FILTER (WHERE s.value ~ '^m\d|lonely') END FROM lab.seen s));
END
$$;
SELECT is(pg_temp.look_everywhere('queries|feedback\M|interactions|corrections'), 'many refused, nothing seen', 'nor does the planner hand an operator values of single answers');
SELECT is(pg_temp.look_everywhere('daily_metrics'), '0 refused, nothing seen', 'or of groups');
-- may_be_rated() answers from the table itself, once it has been asked often enough.
CREATE FUNCTION pg_temp.unrated(role_name text) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.as_role(role_name, 'SELECT count(*) FILTER (WHERE NOT slm_feedback.may_be_rated(''r'' || i % 400)) > 0 FROM generate_series(1, 30000) i') $$;
SELECT is(pg_temp.unrated('slm_analyst'), 'false', 'may_be_rated() tells an analyst nothing of single answers');
SELECT is(pg_temp.unrated('slm_reader'), 'true', 'who may read feedback gets its answer');
-- Alerts that opened while the group was shown.
CREATE FUNCTION pg_temp.alerts_at(k integer) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM slm_feedback.set_min_group_users(k);
    RETURN pg_temp.as_role('slm_analyst', 'SELECT string_agg(a.rule_name, '' '' ORDER BY a.rule_name) FROM slm_feedback.report_alerts(false) a');
END
$$;
SELECT slm_feedback.set_min_group_users(0);
SELECT slm_feedback.set_alert_rule('lonely costs', 'cost_usd', 'above', 50, days => 10, model => 'lonely model') \g /dev/null
SELECT slm_feedback.set_alert_rule('lonely and dear', 'cost_usd', 'above', 1, days => 10, model => 'lonely model') \g /dev/null
SELECT slm_feedback.set_alert_rule('queries', 'total_queries', 'above', 1, days => 10, model => 'm1') \g /dev/null
SELECT slm_feedback.set_alert_rule('silence', 'total_queries', 'above', 1, model => 'nobody''s', no_data => 'open', min_sample => 1) \g /dev/null
SELECT slm_feedback.evaluate_alerts() \g /dev/null
SELECT slm_feedback.drop_alert_rule('lonely and dear') \g /dev/null
SELECT is(pg_temp.alerts_at(0), 'lonely and dear lonely costs queries silence', 'alerts, open and closed');
SELECT is(pg_temp.alerts_at(2), 'queries silence', 'none of a group that is hidden now');
SELECT slm_feedback.evaluate_alerts() \g /dev/null
SELECT is(pg_temp.alerts_at(15), 'queries silence', 'nor after an evaluation that sees no group');
SELECT is(pg_temp.alerts_at(16), 'silence', 'of exactly that many users, and one less');
SELECT is(pg_temp.alerts_at(5), 'queries silence', 'and back');
-- The parameters of a sketch are not the session's.
SELECT slm_feedback.record_query('Who is there?', 'x', 'lone today', 'person-lonely', model => 'lonely model') \g /dev/null
SELECT * FROM hll_set_defaults(4, 1, 0, 0) \g /dev/null
SELECT is(pg_temp.as_role('slm_analyst', s), '0', 'whatever the session''s defaults of hll: ' || s)
FROM unnest(ARRAY['SELECT count(*) FROM slm_feedback.report_models() WHERE model = ''lonely model''', 'SELECT count(*) FROM slm_feedback.report_models(to_date => current_date, from_date => current_date)',
    'SELECT count(*) FROM slm_feedback.report_summary(current_date, current_date)']) s;
SELECT is((SELECT string_agg(DISTINCT concat_ws(' ', hll_log2m(m.users), hll_regwidth(m.users), hll_sparseon(m.users)), ', ') FROM slm_feedback.metrics(current_date - 3, current_date) m), '11 5 1', 'every sketch has the same parameters');
SELECT * FROM hll_set_defaults(11, 5, -1, 1) \g /dev/null
-- Over days the number of users is an estimate: a row is shown if it has enough for certain.
SELECT slm_feedback.record_query('q', 'a', format('big-%s-%s', d, i), format('big-%s', i + d * 50), model => 'big model', created_at => now() - d * interval '1 day')
FROM generate_series(4, 5) d, generate_series(1, 170) i \g /dev/null
CREATE FUNCTION pg_temp.shown(k integer, first date, last date) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM slm_feedback.set_min_group_users(k);
    RETURN (SELECT count(*) FROM slm_feedback.report_models(first, last) m WHERE m.model = 'big model');
END
$$;
SELECT is(pg_temp.shown(k, current_date - 6, current_date), shown, format('a model of 220 users in two days, 170 a day, with at least %s: %s', k, shown))
FROM (VALUES (5, 1::bigint), (170, 1), (200, 1), (217, 0), (220, 0), (340, 0), (341, 0)) v (k, shown);
SELECT is(pg_temp.shown(170, current_date - 4, current_date - 4), 1::bigint, 'a single day is exact');
SELECT is(pg_temp.shown(171, current_date - 4, current_date - 4), 0::bigint, 'so that one user less hides it');
SELECT slm_feedback.set_min_group_users(0);
SELECT is(pg_temp.as_role('slm_analyst', 'SELECT count(*) > 401 FROM slm_feedback.export_interactions()'), 'true', 'and not where no group is hidden');
SELECT is(pg_temp.look_everywhere('queries'), '0 refused, seen m0,m1', 'there the planner hands over what may be read anyway');
SELECT is(pg_temp.unrated('slm_analyst'), 'true', 'and may_be_rated() answers');

SELECT * FROM finish();
DROP SCHEMA lab CASCADE;
DROP EXTENSION slm_feedback CASCADE;
DROP ROLE slm_analyst, slm_reader, slm_admin;
