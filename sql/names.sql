-- What names mean in this script. CREATE EXTENSION puts the schemas of hll and tdigest into the path, which others may
-- be allowed to create objects in: an operator or function planted there would win against one of pg_catalog wherever
-- its arguments fit better. So nothing is looked up outside pg_catalog but what a name's schema says. (pg_temp stands
-- last: not named, it would come first.) The last part of the script, members.sql, checks the result.
SET LOCAL search_path = pg_catalog, pg_temp;

-- A schema's name takes the place of a mark inside of statements, so it must be a plain one: a name that holds another
-- mark would be taken apart by the next replacement, and PostgreSQL 16 and later may replace no differently. So this is
-- called before the first mark here and in each upgrade script, when nothing has run yet, and again by define().
CREATE FUNCTION slm_feedback.check_schema_names() RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    odd text;
BEGIN
    SELECT n.nspname INTO odd
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
    WHERE e.extname IN ('hll', 'tdigest') AND n.nspname !~ '^[A-Za-z_][A-Za-z0-9_]*$';
    IF FOUND THEN
        RAISE EXCEPTION 'schema % of hll or tdigest has a name that slm_feedback does not take', quote_ident(odd)
            USING ERRCODE = 'invalid_schema_name',
                  DETAIL = 'The name must consist of ASCII letters, digits and underscores.',
                  HINT = 'Rename the schema, or move the extensions by ALTER EXTENSION ... SET SCHEMA.';
    END IF;
END
$$;
COMMENT ON FUNCTION slm_feedback.check_schema_names() IS
'Raises an error if the schema of hll or tdigest has a name that could become part of a statement. Called first by the install script and by each upgrade script. Errors: 3F000 with the name.';
SELECT slm_feedback.check_schema_names();

-- @extschema:NAME@ is the schema of another extension, as in scripts for PostgreSQL 16 and later, which replace it
-- themselves, also inside a string.
CREATE FUNCTION slm_feedback.define(statement text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    required record;
BEGIN
    PERFORM slm_feedback.check_schema_names();
    FOR required IN
        SELECT concat('@', 'extschema:', e.extname, '@') AS mark, quote_ident(n.nspname) AS schema_name
        FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
        WHERE e.extname IN ('hll', 'tdigest')
    LOOP
        statement := replace(statement, required.mark, required.schema_name);
    END LOOP;
    EXECUTE statement;
END
$$;
COMMENT ON FUNCTION slm_feedback.define(text) IS
'Runs a statement of the install script or of an upgrade script, with the schemas of hll and tdigest in place of the marks that PostgreSQL 16 and later replace themselves (at sign, extschema, colon, name, at sign). Errors: those of check_schema_names() and of the statement.';
