-- A column of a readable_ view says what that of its table says.
DO $$
DECLARE
    c record;
BEGIN
    FOR c IN
        SELECT v.relname AS view_name, a.attname AS column_name, pg_catalog.col_description(t.oid, b.attnum) AS comment
        FROM pg_catalog.pg_class v
        JOIN pg_catalog.pg_class t ON t.relnamespace OPERATOR(pg_catalog.=) v.relnamespace
            AND v.relname OPERATOR(pg_catalog.=) pg_catalog.concat('readable_', t.relname)
        JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) v.oid
        JOIN pg_catalog.pg_attribute b ON b.attrelid OPERATOR(pg_catalog.=) t.oid AND b.attname OPERATOR(pg_catalog.=) a.attname
        WHERE v.relnamespace OPERATOR(pg_catalog.=) 'slm_feedback'::pg_catalog.regnamespace
    LOOP
        EXECUTE pg_catalog.format('COMMENT ON COLUMN slm_feedback.%I.%I IS %L', c.view_name, c.column_name, c.comment);
    END LOOP;
END
$$;
