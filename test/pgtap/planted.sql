-- What the owner of a database, who is no superuser, can plant before a superuser runs CREATE EXTENSION: operators,
-- functions, aggregates, casts, types, collations and relations in every schema that the install script's path could
-- have, those of hll and tdigest included. None may ever run, and none may be bound.
\ir setup.inc
-- pgTAP's own names must not be looked up where something is planted.
CREATE SCHEMA slm_tap;
ALTER EXTENSION pgtap SET SCHEMA slm_tap;
SET search_path = slm_tap, pg_temp;
DROP EXTENSION IF EXISTS hll CASCADE;
DROP EXTENSION IF EXISTS tdigest CASCADE;
SELECT * FROM no_plan();

CREATE ROLE slm_planter;
CREATE FUNCTION pg_temp.give_database(role_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER DATABASE %I OWNER TO %I', current_database(), role_name);
END
$$;
SELECT pg_temp.give_database('slm_planter');
SET ROLE slm_planter;
CREATE SCHEMA slm_hll;
CREATE SCHEMA slm_tdigest;
CREATE SCHEMA slm_trap;
CREATE TABLE slm_trap.trace (what text);
GRANT USAGE ON SCHEMA slm_trap TO PUBLIC;
GRANT INSERT ON slm_trap.trace TO PUBLIC;
-- Harmless for the planter himself.
CREATE FUNCTION slm_trap.spring(what text) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF current_user <> 'slm_planter' THEN
        INSERT INTO slm_trap.trace VALUES (what);
    END IF;
    RETURN NULL;
END
$$;
RESET ROLE;
CREATE EXTENSION hll SCHEMA slm_hll;
CREATE EXTENSION tdigest SCHEMA slm_tdigest;

-- Every name that the install script calls.
CREATE TABLE slm_trap.names AS
SELECT DISTINCT m[1] AS name
FROM pg_config() c, pg_available_extensions e,
     regexp_matches(pg_read_file(format('%s/extension/slm_feedback--%s.sql', c.setting, e.default_version)), '\m([a-z][a-z0-9_]*)\(', 'g') m
WHERE c.name = 'SHAREDIR' AND e.name = 'slm_feedback';
GRANT SELECT ON slm_trap.names TO slm_planter;

SET ROLE slm_planter;
-- One function a signature, in slm_trap; operators and aggregates share them.
CREATE FUNCTION slm_trap.function(name text, arguments text[], result text) RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    signature text := format('%s(%s)', name, array_to_string(arguments, ', '));
BEGIN
    EXECUTE format('CREATE FUNCTION %s RETURNS %s LANGUAGE plpgsql AS %L', signature, result,
                   format('BEGIN PERFORM slm_trap.spring(%L); RETURN NULL; END', signature));
    RETURN signature;
END
$$;
CREATE FUNCTION slm_trap.plant(schema text) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog AS $$
#variable_conflict use_variable
DECLARE
    types text[] := ARRAY['text', 'int2', 'int4', 'int8', 'numeric', 'float8', 'date', 'timestamp', 'timestamptz', 'interval', 'bool', 'jsonb', 'json', 'oid', 'name', 'regclass'];
    few text[] := ARRAY['text', 'int4', 'int8', 'numeric', 'jsonb', 'bool'];
    l text;
    r text;
    n text;
    result text;
    planted bigint := 0;
    kind "char";
BEGIN
    FOREACH l IN ARRAY types LOOP
        FOREACH r IN ARRAY types LOOP
            PERFORM slm_trap.function(format('%s.two', schema), ARRAY[l, r], 'bool');
            FOR n IN SELECT unnest(ARRAY['=', '<>', '<', '>', '<=', '>=', '~', '~~', '!~', '@>']) LOOP
                EXECUTE format('CREATE OPERATOR %s.%s (leftarg = %s, rightarg = %s, function = %s.two)', schema, n, l, r, schema);
                planted := planted + 1;
            END LOOP;
            result := CASE WHEN 'jsonb' IN (l, r) THEN 'jsonb' WHEN 'text' IN (l, r) THEN 'text'
                           WHEN l IN ('date', 'timestamp', 'timestamptz') AND r <> l THEN l
                           WHEN 'float8' IN (l, r) THEN 'float8' WHEN 'numeric' IN (l, r) THEN 'numeric' ELSE 'int8' END;
            PERFORM slm_trap.function(format('%s.sum_of', schema), ARRAY[l, r], result);
            FOR n IN SELECT unnest(ARRAY['+', '-', '*', '/', '%', '^', '&', '||', '->', '->>']) LOOP
                EXECUTE format('CREATE OPERATOR %s.%s (leftarg = %s, rightarg = %s, function = %s.sum_of)', schema, n, l, r, schema);
                planted := planted + 1;
            END LOOP;
        END LOOP;
    END LOOP;
    -- Functions and aggregates of pg_catalog, for other argument types or for those that it takes as "any".
    FOR n, kind IN
        SELECT DISTINCT ON (s.name) s.name, p.prokind FROM slm_trap.names s JOIN pg_proc p ON p.proname = s.name
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind IN ('f', 'a') ORDER BY s.name
    LOOP
        result := coalesce((SELECT min(p.prorettype::regtype::text) FROM pg_proc p
                            WHERE p.proname = n AND p.pronamespace = 'pg_catalog'::regnamespace
                              AND p.prorettype IN (SELECT t::regtype FROM unnest(types) t)), 'text');
        FOR l, r IN SELECT t.t, NULL FROM unnest(types || ARRAY['text[]', 'int4[]', 'record']) t UNION ALL
                    SELECT a.a, b.b FROM unnest(few) a, unnest(few) b WHERE kind = 'f' LOOP
            -- a function of SQL cannot take a record
            CONTINUE WHEN l = 'record' AND kind = 'a';
            BEGIN
                IF kind = 'a' THEN
                    PERFORM slm_trap.function(format('%s.add_%s', schema, n), ARRAY[result, l], result);
                    EXECUTE format('CREATE AGGREGATE %s.%I(%s) (sfunc = %s.add_%s, stype = %s)', schema, n, l, schema, n, result);
                ELSE
                    PERFORM slm_trap.function(format('%s.%I', schema, n), array_remove(ARRAY[l, r], NULL), result);
                END IF;
                planted := planted + 1;
            EXCEPTION WHEN duplicate_function THEN
                NULL;
            END;
        END LOOP;
    END LOOP;
    PERFORM slm_trap.function(schema || '.regexp_replace', ARRAY['text', 'text', 'text', 'text'], 'text');
    PERFORM slm_trap.function(schema || '.hll_cardinality', ARRAY['text'], 'float8');
    PERFORM slm_trap.function(schema || '.tdigest_percentile', ARRAY['slm_tdigest.tdigest', 'numeric[]'], 'float8[]');
    -- What is exact, in a schema of the path before the right one.
    IF schema <> 'slm_hll' THEN
        PERFORM slm_trap.function(schema || '.hll_cardinality', ARRAY['slm_hll.hll'], 'float8');
        EXECUTE format('CREATE DOMAIN %s.hll AS slm_hll.hll CHECK (slm_trap.spring(''domain hll'') IS NULL)', schema);
    END IF;
    IF schema <> 'slm_tdigest' THEN
        PERFORM slm_trap.function(schema || '.tdigest_percentile', ARRAY['slm_tdigest.tdigest', 'float8[]'], 'float8[]');
        EXECUTE format('CREATE DOMAIN %s.tdigest AS slm_tdigest.tdigest CHECK (slm_trap.spring(''domain tdigest'') IS NULL)', schema);
    END IF;
    FOREACH n IN ARRAY ARRAY['text', 'date', 'jsonb', 'json', 'timestamptz', 'regclass', 'record', 'name', 'interval'] LOOP
        EXECUTE format('CREATE DOMAIN %s.%I AS pg_catalog.text CHECK (slm_trap.spring(''domain %s'') IS NULL)', schema, n, n);
    END LOOP;
    EXECUTE format('CREATE COLLATION %s."C" FROM pg_catalog."POSIX"', schema);
    EXECUTE format('CREATE VIEW %s.pg_proc AS SELECT slm_trap.spring(''pg_proc'') AS proname', schema);
    EXECUTE format('CREATE VIEW %s.pg_extension AS SELECT slm_trap.spring(''pg_extension'') AS extname', schema);
    -- Casts are found whatever the path is.
    EXECUTE format('CREATE TYPE %s.anything AS (x text)', schema);
    FOREACH l IN ARRAY types LOOP
        EXECUTE format('CREATE CAST (%s AS %s.anything) WITH FUNCTION %s AS IMPLICIT', l, schema,
                       slm_trap.function(format('%s.from_%s', schema, l), ARRAY[l], schema || '.anything'));
        EXECUTE format('CREATE CAST (%s.anything AS %s) WITH FUNCTION %s AS IMPLICIT', schema, l,
                       slm_trap.function(format('%s.to_%s', schema, l), ARRAY[schema || '.anything'], l));
    END LOOP;
    RETURN planted;
END
$$;
CREATE TABLE slm_trap.planted AS
SELECT s AS schema, slm_trap.plant(s) AS n FROM unnest(ARRAY['public', 'slm_hll', 'slm_tdigest']) s;
-- The temporary schema of the superuser's session, should its owner have run something of the planter's.
CREATE DOMAIN pg_temp.text AS pg_catalog.text CHECK (slm_trap.spring('pg_temp.text') IS NULL);
CREATE DOMAIN pg_temp.hll AS pg_catalog.text CHECK (slm_trap.spring('pg_temp.hll') IS NULL);
CREATE TEMP VIEW pg_extension AS SELECT slm_trap.spring('pg_temp.pg_extension') AS extname;
CREATE TEMP VIEW pg_depend AS SELECT slm_trap.spring('pg_temp.pg_depend') AS classid;
RESET ROLE;
SELECT cmp_ok(n, '>', 6000::bigint, 'planted in ' || schema) FROM slm_trap.planted;

SET search_path = public;
SELECT 2::pg_catalog.float8 / 1::pg_catalog.int8 \g /dev/null
SET search_path = slm_tap, pg_temp;
SELECT is((SELECT array_agg(what) FROM slm_trap.trace), ARRAY['public.sum_of(float8, int8)'], 'a planted operator wins where it fits better, and the trap says so');
DELETE FROM slm_trap.trace;

-- ---- the installation ----
SET search_path = public, slm_hll, slm_tdigest;
CREATE EXTENSION slm_feedback;
SET search_path = slm_tap, pg_temp;
SELECT is_empty('SELECT DISTINCT what FROM slm_trap.trace', 'nothing planted ran during the installation');
SELECT lives_ok('SELECT slm_feedback.check_members()', 'nothing planted is bound');

-- ---- everything that a superuser does with it ----
SET search_path = public, slm_hll, slm_tdigest;
SELECT slm_feedback.record_query('How do I reset?', 'Press a@b.example.', 'r1', 'alice', 's', 120, 'm', 'v', 10, 20, 0.5, '[]', NULL, '{}', '{}',
                                 pg_catalog.now() OPERATOR(pg_catalog.-) '2 days'::pg_catalog.interval) \g /dev/null
SELECT * FROM slm_feedback.record_queries('[{"query_text": "Why?", "request_id": "r2", "user_id": "bob", "response_time_ms": 7, "created_at": "2026-01-01 00:00+00"},
                                           {"query_text": "Why?", "response_text": "Because.", "request_id": "r3", "user_id": "eve"}]') \g /dev/null
SELECT slm_feedback.submit_feedback('r1', true, 5, 'fine', 'alice') \g /dev/null
SELECT slm_feedback.submit_feedback('r1', NULL, 4, NULL, 'alice') \g /dev/null
SELECT slm_feedback.submit_feedback_batch('[{"request_id": "r2", "rating": 1}, {"request_id": "r3", "is_helpful": false}]') \g /dev/null
SELECT slm_feedback.submit_correction('r1', 'better', 'alice', 'a note') \g /dev/null
SELECT slm_feedback.submit_correction('r1', 'better', 'alice', 'a note') \g /dev/null
CALL slm_feedback.rollup();
CALL slm_feedback.run_jobs();
SELECT slm_feedback.generate_report('range', '2026-01-01', '2026-01-02') \g /dev/null
SELECT slm_feedback.set_alert_rule('a', 'total_queries', 'falls', 0.5, no_data => 'open', min_sample => 5) \g /dev/null
CALL slm_feedback.run_jobs('alerts');
SELECT slm_feedback.set_alert_rule('a', 'positive_ratio', 'below', 0.5) \g /dev/null
SELECT slm_feedback.drop_alert_rule('a') \g /dev/null
SELECT slm_feedback.set_retention(400, 90), slm_feedback.set_redaction_pattern('A', 'a0'), slm_feedback.set_redaction(true),
       slm_feedback.set_time_zone('Europe/Berlin'), slm_feedback.set_min_group_users(1), slm_feedback.set_min_group_users(0),
       slm_feedback.set_user_id_policy('plain'), slm_feedback.set_job('rollup', true, '01:00') \g /dev/null
CALL slm_feedback.run_jobs('retention');
CALL slm_feedback.convert_user_ids() \g /dev/null
CALL slm_feedback.rebuild('2026-01-01', '2026-01-02');
-- Every other function that can be called with its defaults, and every view.
\o /dev/null
SELECT pg_catalog.format('SELECT * FROM %s()', p.oid::pg_catalog.regproc)
FROM pg_catalog.pg_proc p
WHERE p.pronamespace OPERATOR(pg_catalog.=) 'slm_feedback'::pg_catalog.regnamespace AND p.prokind OPERATOR(pg_catalog.=) 'f'
  AND p.pronargs OPERATOR(pg_catalog.=) p.pronargdefaults
  AND p.prorettype OPERATOR(pg_catalog.<>) 'trigger'::pg_catalog.regtype
  -- these need the page or a setting
  AND p.proname OPERATOR(pg_catalog.<>) ALL ('{dashboard,write_dashboard}'::pg_catalog.name[])
UNION ALL
SELECT pg_catalog.format('TABLE %s', c.oid::pg_catalog.regclass)
FROM pg_catalog.pg_class c
WHERE c.relnamespace OPERATOR(pg_catalog.=) 'slm_feedback'::pg_catalog.regnamespace AND c.relkind OPERATOR(pg_catalog.=) 'v'
\gexec
SELECT * FROM slm_feedback.report_models(by_prompt_version => true);
SELECT * FROM slm_feedback.report_top_questions(order_by => 'worst', model => 'm', prompt_version => 'v');
SELECT * FROM slm_feedback.export_interactions('2026-01-01', 'infinity', 'm', 'v', true, true);
SELECT slm_feedback.export_interactions_jsonl();
SELECT * FROM slm_feedback.export_sft('messages', one_per_question => true, split => 'train');
SELECT * FROM slm_feedback.export_kto(one_per_question => true);
SELECT * FROM slm_feedback.export_dpo(one_per_question => true, max_pairs => 2);
SELECT * FROM slm_feedback.export_openai('preference');
SELECT slm_feedback.dashboard_ranges('2026-01-01', '2026-12-31');
SELECT * FROM slm_feedback.dashboard_rows('2026-01-01', '2026-12-31');
SELECT * FROM slm_feedback.choose_dashboard_questions('2026-12-31', 365, 100);
SELECT slm_feedback.export_user('alice');
SELECT * FROM slm_feedback.erase_user('bob', 'anonymize');
SELECT * FROM slm_feedback.erase_user('alice');
UPDATE slm_feedback.queries SET query_text = 'Why not?', tags = '{}';
UPDATE slm_feedback.feedback SET comment = 'x';
DELETE FROM slm_feedback.queries;
TRUNCATE slm_feedback.queries, slm_feedback.feedback, slm_feedback.corrections;
\o
SET search_path = slm_tap, pg_temp;
SELECT is_empty('SELECT DISTINCT what FROM slm_trap.trace', 'nothing planted ran, whatever the superuser called');

-- ---- what check_members() finds ----
CREATE FUNCTION slm_tap.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    EXECUTE statement;
    PERFORM slm_feedback.check_members();
    RAISE EXCEPTION USING ERRCODE = 'ZZZZZ';
EXCEPTION WHEN SQLSTATE '55000' THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN detail;
WHEN SQLSTATE 'ZZZZZ' THEN
    RETURN 'nothing';
END
$$;
CREATE FUNCTION slm_tap.member(statement text, object text) RETURNS text LANGUAGE sql AS $$
    SELECT slm_tap.try(format('DO $x$ BEGIN %s; ALTER EXTENSION slm_feedback ADD %s; END $x$', statement, object));
$$;
SELECT is(slm_tap.member('CREATE FUNCTION slm_feedback.x() RETURNS int LANGUAGE sql RETURN 1 + 1', 'FUNCTION slm_feedback.x()'), 'nothing', 'a member of ours that uses pg_catalog');
SELECT matches(slm_tap.member(statement, object), pattern, 'a planted ' || what || ' is found')
FROM (VALUES
    ('function', 'CREATE FUNCTION slm_feedback.x() RETURNS float8 LANGUAGE sql RETURN public.round(''1''::text)', 'FUNCTION slm_feedback.x()', 'function slm_feedback.x\(\) uses function public.round\(text\)'),
    ('operator', 'CREATE FUNCTION slm_feedback.x() RETURNS float8 LANGUAGE sql RETURN 1::float8 OPERATOR(public./) 2::int8', 'FUNCTION slm_feedback.x()', 'uses operator public./\(double precision,bigint\)'),
    ('type of an argument', 'CREATE FUNCTION slm_feedback.x(public.hll) RETURNS int LANGUAGE sql RETURN 1', 'FUNCTION slm_feedback.x(public.hll)', 'uses type public.hll'),
    ('type of a column', 'CREATE TABLE slm_feedback.x (y public.hll)', 'TABLE slm_feedback.x', 'uses type public.hll'),
    ('cast', 'CREATE VIEW slm_feedback.x AS SELECT ''1''::text::public.anything', 'VIEW slm_feedback.x', 'rule _RETURN on view slm_feedback.x uses function public.from_text\(text\)'),
    ('collation', 'CREATE TABLE slm_feedback.x (y text COLLATE public."C")', 'TABLE slm_feedback.x', 'uses collation public."C"'),
    ('default', 'CREATE TABLE slm_feedback.x (y float8 DEFAULT public.round(''1''::text))', 'TABLE slm_feedback.x', 'default value for column y of table slm_feedback.x uses function public.round\(text\)'),
    ('check', 'CREATE TABLE slm_feedback.x (y text, CHECK (y OPERATOR(public.=) 1))', 'TABLE slm_feedback.x', 'constraint x_y_check on table slm_feedback.x uses operator public.=\(text,integer\)'),
    ('relation', 'CREATE VIEW slm_feedback.x AS SELECT 1 FROM public.pg_proc', 'VIEW slm_feedback.x', 'uses view public.pg_proc'),
    ('operator class', 'CREATE OPERATOR CLASS public.planted FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(int, int);
      CREATE TABLE slm_feedback.x (y int); CREATE INDEX ON slm_feedback.x (y public.planted)', 'TABLE slm_feedback.x', 'index slm_feedback.x_y_idx uses operator class public.planted'),
    ('trigger', 'CREATE FUNCTION public.planted() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN RETURN NULL; END'';
      CREATE TABLE slm_feedback.x (y int); CREATE TRIGGER t AFTER INSERT ON slm_feedback.x EXECUTE FUNCTION public.planted()', 'TABLE slm_feedback.x', 'trigger t on table slm_feedback.x uses function public.planted\(\)')
    ) v (what, statement, object, pattern);
SELECT matches(slm_tap.try($x$DO $y$ BEGIN
    ALTER EXTENSION hll ADD FUNCTION public.round(text);
    CREATE FUNCTION slm_feedback.x() RETURNS float8 LANGUAGE sql RETURN public.round('1'::text);
    ALTER EXTENSION slm_feedback ADD FUNCTION slm_feedback.x(); END $y$$x$), 'uses function public.round\(text\)', 'also where the owner of hll has made it a member of hll');
-- What a DBA adds to our tables is his own affair.
CREATE FUNCTION public.dba() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER dba AFTER INSERT ON slm_feedback.queries EXECUTE FUNCTION public.dba();
CREATE FUNCTION public.dba(text) RETURNS text LANGUAGE sql IMMUTABLE RETURN $1;
CREATE INDEX dba ON slm_feedback.queries (public.dba(model));
SELECT is(slm_tap.try('SELECT 1'), 'nothing', 'a DBA may add a trigger and an index');

CREATE FUNCTION pg_temp.state_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END
$$;
-- A schema's name must not become part of a statement, in an upgrade either. Servers that refuse a name with a mark by
-- themselves say 22P02.
SELECT is(pg_temp.state_of($$SELECT slm_feedback.define('SELECT 1')$$), NULL, 'define() takes plain names');
ALTER SCHEMA slm_hll RENAME TO "a-b";
SELECT is(pg_temp.state_of($$SELECT slm_feedback.define('SELECT 1')$$), '3F000', 'but no other name that a schema was given since');
ALTER SCHEMA "a-b" RENAME TO slm_hll;
DROP EXTENSION slm_feedback CASCADE;
ALTER SCHEMA slm_hll RENAME TO "a-b";
SELECT is(pg_temp.state_of('CREATE EXTENSION slm_feedback'), '3F000', 'a schema of hll whose name is not plain is refused');
ALTER SCHEMA "a-b" RENAME TO "a@extschema:tdigest@b";
SELECT ok(pg_temp.state_of('CREATE EXTENSION slm_feedback') IN ('3F000', '22P02'), 'and one whose name holds a mark');
ALTER SCHEMA "a@extschema:tdigest@b" RENAME TO slm_hll;

SELECT * FROM finish();
SET search_path = pg_catalog, pg_temp;
ALTER EXTENSION pgtap SET SCHEMA public;
SELECT pg_temp.give_database(session_user::text);
-- Too many for the lock table at once.
DO $$
DECLARE
    f text;
    n bigint := 0;
BEGIN
    FOR f IN SELECT p.oid::regprocedure FROM pg_proc p WHERE p.proowner = 'slm_planter'::regrole AND p.prokind = 'f' LOOP
        n := n + 1;
        EXECUTE format('DROP FUNCTION IF EXISTS %s CASCADE', f);
        IF n % 100 = 0 THEN
            COMMIT;
        END IF;
    END LOOP;
END
$$;
DROP OWNED BY slm_planter CASCADE;
RESET search_path;
DROP ROLE slm_planter;
