-- What pgspot looks for in a script, looked for in what is installed: every name that a function of the extension uses
-- is bound, pinned or written with its schema, and nothing is open to everybody.
\ir setup.inc
CREATE EXTENSION slm_feedback CASCADE;
SELECT * FROM no_plan();

CREATE TEMP VIEW member AS
SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS object
FROM pg_depend d
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
  AND d.refobjid = (SELECT e.oid FROM pg_extension e WHERE e.extname = 'slm_feedback');
CREATE TEMP VIEW routine AS
SELECT p.*, m.object, l.lanname AS language
FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid JOIN pg_language l ON l.oid = p.prolang;
SELECT cmp_ok((SELECT count(*) FROM routine), '>', 100::bigint, 'the routines are looked at');

-- ---- paths ----
SELECT is_empty($$SELECT object FROM routine WHERE prosecdef AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false)$$,
    'every SECURITY DEFINER function pins search_path to pg_catalog, pg_temp');
SELECT is_empty($$SELECT object, s FROM routine, unnest(proconfig) s WHERE s !~ '^(search_path|enable_\w+|jit|plan_cache_mode|max_parallel_workers_per_gather|work_mem)='
                     AND (object, s) <> ('function slm_feedback.check_members()', 'quote_all_identifiers=off')$$,
    'what else a function sets is the planner''s, but how check_members() reads names');
SELECT is_empty($$SELECT object, s FROM routine, unnest(proconfig) s WHERE s LIKE 'search_path%' AND s <> 'search_path=pg_catalog, pg_temp'$$,
    'no function pins another path');
SELECT is_empty($$SELECT object FROM routine WHERE language = 'sql' AND prosqlbody IS NULL$$,
    'every SQL function has a standard body, whose names are bound');
SELECT is_empty($$SELECT object FROM routine WHERE language NOT IN ('c', 'sql', 'plpgsql', 'internal')$$, 'no other language is used');

-- ---- bodies that are strings, without a pinned path ----
-- The words of a body that would be looked up in the caller's path.
CREATE FUNCTION pg_temp.unqualified(body text) RETURNS SETOF text LANGUAGE plpgsql AS $f$
BEGIN
    body := regexp_replace(body, '--[^\n]*', '', 'g');
    body := regexp_replace(body, $$'([^']|'')*'$$, 'NULL', 'g');
    body := regexp_replace(body, 'operator\s*\(\s*pg_catalog\.[^)\s]+\s*\)', ' , ', 'gi');
    body := regexp_replace(body, ':=|=>|\.\.|\m(ERRCODE|MESSAGE|DETAIL|HINT)\s*=', ' ', 'g');
    -- operators, and what the grammar makes operators of
    RETURN QUERY SELECT m[1] FROM regexp_matches(body, '([-+*/<>=~!@#%^&|`?]+)', 'g') m;
    RETURN QUERY SELECT m[1] FROM regexp_matches(body, '\m(BETWEEN|LIKE|ILIKE|SIMILAR|NULLIF|DISTINCT\s+FROM|USING\s*\(|IN\s*\()', 'gi') m;
    RETURN QUERY SELECT m[1] FROM regexp_matches(body, '\mCASE\s+(?!WHEN)(\w+)', 'gi') m;
    -- functions, unless it is a word of SQL or a list of columns
    RETURN QUERY SELECT m[1] FROM regexp_matches(body, '(?<![.\w"])([a-z_]\w*)\s*\(', 'gi') m
    WHERE lower(m[1]) NOT IN ('coalesce', 'greatest', 'least', 'values', 'and', 'or', 'not', 'exists', 'in', 'using', 'numeric', 'select');
    -- types that are no words of the grammar, relations
    RETURN QUERY SELECT m[1] FROM regexp_matches(body, '(?<![.\w"])(text|date|timestamptz|jsonb|name|oid|uuid|bytea|int[248]|float[48]|reg[a-z]+)\M', 'g') m;
    RETURN QUERY SELECT m[1] FROM regexp_matches(body, '\m(?:FROM|JOIN|UPDATE|INTO\s+TABLE|TABLE)\s+(?!ONLY\M|LATERAL\M)([a-z_]\w*)\M(?!\s*\.|\s*\()', 'g') m;
END
$f$;
SELECT isnt_empty(format('SELECT pg_temp.unqualified(%L)', bad), 'the check finds what is wrong in: ' || bad)
FROM unnest(ARRAY['x := a + 1;', 'IF a = b THEN', 'PERFORM lower(a);', 'SELECT x FROM queries q', 'y := x::text;', 'SELECT a IN (1, 2)', 'y := NULLIF(a, b);',
                  'CASE a WHEN 1 THEN', 'a IS DISTINCT FROM b', 'SELECT 1 FROM slm_feedback.a JOIN slm_feedback.b USING (c)', 'a BETWEEN 1 AND 2', 'DECLARE x text;']) bad;
SELECT is_empty(format('SELECT pg_temp.unqualified(%L)', good), 'and nothing in: ' || good)
FROM unnest(ARRAY['x := a OPERATOR(pg_catalog.+) 1; -- not a + 1', 'PERFORM pg_catalog.lower(coalesce(a, ''lower(b) = c''));', 'SELECT f.x INTO y FROM slm_feedback.f(a => 1) f;']) good;
SELECT is_empty($$SELECT object, pg_temp.unqualified(prosrc) FROM routine WHERE language = 'plpgsql' AND proconfig IS NULL$$,
    'a body that is a string writes every schema where the path is not pinned');

-- ---- what the members use ----
SELECT lives_ok('SELECT slm_feedback.check_members()', 'check_members() finds nothing');
-- The same in other words, for what is read without pg_depend: types of arguments, results and columns.
SELECT is_empty($$
    SELECT r.object, t.oid::regtype
    FROM routine r, unnest(coalesce(r.proallargtypes, r.proargtypes::oid[]) || r.prorettype) u (type) JOIN pg_type t ON t.oid = u.type
    WHERE t.typnamespace NOT IN ('pg_catalog'::regnamespace, 'slm_feedback'::regnamespace)$$, 'no argument or result has a type of others');
SELECT is_empty($$
    SELECT m.object, a.attname FROM member m JOIN pg_attribute a ON m.classid = 'pg_class'::regclass AND a.attrelid = m.objid
    JOIN pg_type t ON t.oid = a.atttypid
    WHERE t.typnamespace <> 'pg_catalog'::regnamespace
      AND NOT EXISTS (SELECT 1 FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
                      WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e' AND e.extname IN ('hll', 'tdigest'))$$,
    'no column has a type but those of pg_catalog, hll and tdigest');

-- ---- what the members are ----
SELECT is_empty($$SELECT object FROM member WHERE classid NOT IN ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_namespace'::regclass)
      -- since PostgreSQL 17 the row types of tables are members, and their arrays
      AND NOT (classid = 'pg_type'::regclass AND objid IN (SELECT unnest(ARRAY[t.oid, t.typarray]) FROM pg_type t WHERE t.typrelid <> 0))$$,
    'no operator, cast, type, language or event trigger of ours, which others could meet without naming it');
SELECT is_empty($$SELECT r.object FROM routine r JOIN pg_proc p ON p.proname = r.proname AND p.pronamespace = 'pg_catalog'::regnamespace$$,
    'no function has the name of one of pg_catalog');
SELECT is_empty($$SELECT m.object FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
    JOIN pg_class b ON b.relname = c.relname AND b.relnamespace = 'pg_catalog'::regnamespace$$, 'no relation has the name of one of pg_catalog');
SELECT is_empty($$SELECT object FROM routine WHERE proleakproof$$, 'no function is declared leakproof');
SELECT is((SELECT count(DISTINCT o.owner) FROM (
        SELECT r.proowner AS owner FROM routine r
        UNION ALL SELECT c.relowner FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
        UNION ALL SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = 'slm_feedback') o), 1::bigint, 'everything has one owner');

-- ---- nothing for everybody ----
SELECT is_empty($$
    SELECT r.object FROM routine r, aclexplode(coalesce(r.proacl, acldefault('f', r.proowner))) a WHERE a.grantee = 0
    UNION ALL
    SELECT m.object FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid, aclexplode(c.relacl) a WHERE a.grantee = 0
    UNION ALL
    SELECT m.object || '.' || t.attname FROM member m JOIN pg_attribute t ON m.classid = 'pg_class'::regclass AND t.attrelid = m.objid, aclexplode(t.attacl) a WHERE a.grantee = 0
    UNION ALL
    SELECT 'schema' FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a WHERE n.nspname = 'slm_feedback' AND a.grantee = 0$$,
    'nothing is granted to PUBLIC');

SELECT * FROM finish();
DROP EXTENSION slm_feedback CASCADE;
