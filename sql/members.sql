-- The last word of the install script, and of each upgrade script: nothing of the extension uses anything that
-- somebody else could have planted. What a function with a standard body, a view, an index, a default or a check uses
-- is recorded in pg_depend; functions whose body is a string pin their search_path or write every schema.
CREATE FUNCTION slm_feedback.check_members() RETURNS void
    -- pg_identify_object() quotes as the session does.
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
AS $$
DECLARE
    planted text;
BEGIN
    WITH RECURSIVE member AS (
        SELECT d.classid, d.objid, e.extname
        FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
        WHERE d.deptype = 'e' AND e.extname IN ('slm_feedback', 'hll', 'tdigest', 'plpgsql')
    ), part AS (
        SELECT m.classid, m.objid FROM member m WHERE m.extname = 'slm_feedback'
        UNION
        -- A view's rule; an index, default, constraint or trigger only if this transaction made it, because a DBA
        -- may have added some.
        SELECT d.classid, d.objid
        FROM part p JOIN pg_depend d ON d.refclassid = p.classid AND d.refobjid = p.objid
        WHERE d.deptype = 'i'
           OR d.deptype = 'a' AND age(d.xmin) <= age(pg_current_xact_id_if_assigned()::xid)
    ), used AS (
        SELECT DISTINCT d.refclassid, d.refobjid, d.refobjsubid, p.classid, p.objid
        FROM part p JOIN pg_depend d ON d.classid = p.classid AND d.objid = p.objid
        WHERE d.refclassid NOT IN ('pg_extension'::regclass, 'pg_namespace'::regclass)
          AND (d.refclassid, d.refobjid) NOT IN (SELECT o.classid, o.objid FROM part o)
    )
    SELECT string_agg(format('%s uses %s', pg_describe_object(u.classid, u.objid, 0),
                             pg_describe_object(u.refclassid, u.refobjid, u.refobjsubid)), E'\n' ORDER BY u.objid, u.refobjid)
    INTO planted
    FROM used u,
         LATERAL pg_identify_object(u.refclassid, u.refobjid, u.refobjsubid) o
    WHERE NOT coalesce(o.schema = 'pg_catalog', false)
      AND (NOT EXISTS (SELECT 1 FROM member m WHERE m.classid = u.refclassid AND m.objid = u.refobjid)
           -- The owner of an extension may add objects of his own to it.
           OR EXISTS (SELECT 1 FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid
                      WHERE s.dbid = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database())
                        AND s.classid = u.refclassid AND s.objid = u.refobjid AND s.deptype = 'o'
                        AND s.refclassid = 'pg_authid'::regclass AND NOT r.rolsuper));
    IF planted IS NOT NULL THEN
        RAISE EXCEPTION 'slm_feedback would use objects of others'
            USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = planted,
                  HINT = 'Its objects may use only pg_catalog, hll, tdigest and each other. Find out who made these objects, drop them, and try again.';
    END IF;
END
$$;
COMMENT ON FUNCTION slm_feedback.check_members() IS
'Raises an error if an object of the extension uses a function, operator, type, cast, operator class, collation or relation outside pg_catalog, hll, tdigest and the extension itself, or one of hll or tdigest that does not belong to a superuser. Every install and upgrade script ends with it. Errors: 55000 with the list of what is used.';
