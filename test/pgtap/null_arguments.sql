-- Nobody can bring the server down with a null: every function and procedure of the extension is called with nulls only,
-- and with each argument null while the others have a value. An error is an answer; a lost connection or an internal
-- error is not.
\ir setup.inc
CREATE EXTENSION slm_feedback CASCADE;
SELECT * FROM no_plan();

CREATE FUNCTION pg_temp.value_of(type oid) RETURNS text LANGUAGE sql AS $$
    SELECT CASE
        WHEN t.typcategory = 'A' THEN format('%L', '{}')
        WHEN t.typname IN ('json', 'jsonb') THEN format('%L', '[{}]')
        WHEN t.typcategory = 'N' OR t.typname IN ('xid', 'xid8') THEN format('%L', '1')
        WHEN t.typcategory = 'D' THEN format('%L', '2026-01-01')
        WHEN t.typcategory = 'T' THEN format('%L', '1 day')
        WHEN t.typcategory = 'B' THEN format('%L', 'true')
        WHEN t.typcategory = 'S' THEN format('%L', 'x')
        ELSE 'NULL' END || '::' || format_type(type, NULL)
    FROM pg_type t WHERE t.oid = type $$;

-- One call, undone whatever it does: its SQLSTATE, or 00000.
CREATE FUNCTION pg_temp.state_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RAISE EXCEPTION USING ERRCODE = 'SLM00';
EXCEPTION
    WHEN SQLSTATE 'SLM00' THEN RETURN '00000';
    WHEN OTHERS THEN RETURN SQLSTATE;
END
$$;

-- What SQL cannot call (internal types, triggers) is left out; aggregates stand for their parts.
CREATE TEMP TABLE routine AS
    SELECT p.oid, p.oid::regprocedure::text AS name, p.proname, p.prokind, p.proargtypes::oid[] AS types
    FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass AND e.extname = 'slm_feedback'
    WHERE p.pronargs > 0 AND p.prokind IN ('f', 'p', 'a') AND NOT 'internal'::regtype = ANY (p.proargtypes) AND p.prorettype <> 'trigger'::regtype;
CREATE TEMP TABLE calls AS
    SELECT r.name, format(CASE r.prokind WHEN 'p' THEN 'CALL %s.%I(%s)' ELSE 'SELECT * FROM %s.%I(%s) LIMIT 3' END,
        'slm_feedback', r.proname, a.arguments) AS statement
    FROM routine r, generate_series(0, cardinality(r.types)) AS which_null,
        LATERAL (SELECT string_agg(CASE WHEN which_null IN (0, i) THEN 'NULL::' || format_type(t, NULL) ELSE pg_temp.value_of(t) END, ', ' ORDER BY i) AS arguments
                 FROM unnest(r.types) WITH ORDINALITY u (t, i)) a;

SELECT cmp_ok(count(DISTINCT name), '>=', 100::bigint, 'all functions with arguments are called') FROM calls;
SELECT is(string_agg(statement, E'\n') FILTER (WHERE state LIKE 'XX%'), NULL, name || ' takes nulls without an internal error')
FROM (SELECT name, statement, pg_temp.state_of(statement) AS state FROM calls) s
GROUP BY name ORDER BY name;
SELECT throws_ok($$SELECT slm_feedback.check_choice(NULL, 'a', ARRAY['a'])$$, '22004', 'argument is null', 'check_choice without the argument''s name');
SELECT throws_ok($$SELECT slm_feedback.check_choice('kind', 'a', NULL)$$, '22004', 'choices is null', 'check_choice without choices');
SELECT throws_ok($$SELECT slm_feedback.check_choice('kind', NULL, ARRAY['a'])$$, '22023', 'kind "null" is not known', 'check_choice of a null');
SELECT * FROM finish();
