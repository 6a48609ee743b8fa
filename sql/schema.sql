-- Nothing may stand in the schema before the extension does: an object planted there by somebody who
-- was allowed to create the schema first could be found by the names that the installed functions bind.
DO $guard$
BEGIN
    -- Every kind of object depends on its schema; so does, already, the extension itself.
    IF EXISTS (SELECT FROM pg_catalog.pg_depend d
               WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass
                 AND d.refobjid OPERATOR(pg_catalog.=) 'slm_feedback'::pg_catalog.regnamespace
                 AND d.classid OPERATOR(pg_catalog.<>) 'pg_catalog.pg_extension'::pg_catalog.regclass)
    THEN
        RAISE EXCEPTION 'schema "slm_feedback" is not empty'
            USING ERRCODE = 'duplicate_object',
                  HINT = 'Drop or rename the schema, then run CREATE EXTENSION slm_feedback CASCADE again.';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace n
                   WHERE n.nspname OPERATOR(pg_catalog.=) 'slm_feedback'
                     AND n.nspowner OPERATOR(pg_catalog.=) (SELECT r.oid FROM pg_catalog.pg_roles r
                                       WHERE r.rolname OPERATOR(pg_catalog.=) current_user))
    THEN
        RAISE EXCEPTION 'schema "slm_feedback" belongs to another role'
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Drop the schema, then run CREATE EXTENSION slm_feedback CASCADE again.';
    END IF;
END
$guard$;
