-- CREATE EXTENSION makes the same objects whatever the session's settings are, those that change how values and names are
-- written included.
\ir setup.inc
CREATE EXTENSION IF NOT EXISTS hll;
CREATE EXTENSION IF NOT EXISTS tdigest;
SELECT * FROM no_plan();

-- Every object of the extension, with its definition.
CREATE FUNCTION pg_temp.definitions() RETURNS SETOF text LANGUAGE sql AS $$
    WITH member AS (
        SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
        WHERE d.deptype = 'e' AND e.extname = 'slm_feedback'
    )
    SELECT concat_ws(' ', pg_describe_object(m.classid, m.objid, 0), obj_description(m.objid, m.classid::regclass::name),
        CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END, CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END, c.relacl, p.proacl,
        (SELECT string_agg(concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)), ', ' ORDER BY a.attnum)
         FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum WHERE a.attrelid = c.oid),
        (SELECT string_agg(pg_get_constraintdef(k.oid), ', ' ORDER BY k.conname) FROM pg_constraint k WHERE k.conrelid = c.oid),
        (SELECT string_agg(pg_get_indexdef(i.indexrelid), ', ' ORDER BY pg_get_indexdef(i.indexrelid)) FROM pg_index i WHERE i.indrelid = c.oid),
        (SELECT string_agg(pg_get_triggerdef(t.oid), ', ' ORDER BY t.tgname) FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal))
    FROM member m LEFT JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
    LEFT JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
$$;
CREATE TEMP TABLE usual AS SELECT ''::text AS definition;
CREATE FUNCTION pg_temp.installed_with(setting text, value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    before text := current_setting(setting);
    result text;
BEGIN
    BEGIN
        PERFORM set_config(setting, value, false);
        CREATE EXTENSION slm_feedback;
        PERFORM set_config(setting, before, false);
        IF setting = '' THEN RETURN NULL; END IF;
        SELECT CASE WHEN count(*) = 0 THEN 'as ever' ELSE format('differs: %s', left(min(x.d), 300)) END INTO result
        FROM ((SELECT d FROM pg_temp.definitions() d EXCEPT SELECT definition FROM usual) UNION ALL (SELECT definition FROM usual EXCEPT SELECT d FROM pg_temp.definitions() d)) x (d);
        PERFORM slm_feedback.record_query('What?', 'That.', 'r', created_at => '2026-01-02 03:04:05+00', cost_usd => 1.5, tags => '{"a": 1}');
        result := concat_ws(' ', result, (SELECT total_queries FROM slm_feedback.report_daily('2026-01-02', '2026-01-02')));
        RAISE EXCEPTION USING ERRCODE = 'P0001', MESSAGE = result;
    EXCEPTION WHEN OTHERS THEN
        PERFORM set_config(setting, before, false);
        RETURN SQLERRM;
    END;
END
$$;
CREATE EXTENSION slm_feedback;
INSERT INTO usual SELECT * FROM pg_temp.definitions();
DROP EXTENSION slm_feedback;
DELETE FROM usual WHERE definition = '';
SELECT cmp_ok((SELECT count(*) FROM usual), '>', 150::bigint, 'objects to compare');
SELECT is(pg_temp.installed_with(name, value), 'as ever 1', format('CREATE EXTENSION with %s = %s', name, value))
FROM (VALUES ('quote_all_identifiers', 'on'), ('DateStyle', 'SQL, DMY'), ('DateStyle', 'German'), ('DateStyle', 'Postgres, MDY'), ('IntervalStyle', 'iso_8601'),
    ('IntervalStyle', 'sql_standard'), ('extra_float_digits', '-15'), ('bytea_output', 'escape'), ('standard_conforming_strings', 'off'), ('escape_string_warning', 'off'),
    ('backslash_quote', 'off'), ('check_function_bodies', 'off'), ('row_security', 'off'), ('search_path', ''), ('search_path', 'pg_temp, public'), ('TimeZone', 'Asia/Kathmandu'),
    ('array_nulls', 'off'), ('transform_null_equals', 'on'), ('xmlbinary', 'hex'), ('xmloption', 'document'), ('session_replication_role', 'replica'),
    ('default_tablespace', 'pg_default'), ('default_transaction_isolation', 'serializable'), ('client_min_messages', 'error'),
    ('plpgsql.variable_conflict', 'use_column'), ('plpgsql.variable_conflict', 'use_variable'), ('plpgsql.extra_errors', 'all'), ('plpgsql.extra_warnings', 'all'),
    ('from_collapse_limit', '1'), ('enable_nestloop', 'off'), ('enable_hashjoin', 'off'), ('work_mem', '64kB'), ('lc_numeric', 'C'), ('timezone_abbreviations', 'India'),
    ('default_toast_compression', 'pglz'), ('gin_fuzzy_search_limit', '1'), ('geqo_threshold', '2'), ('constraint_exclusion', 'on')) s (name, value);

SELECT * FROM finish();
