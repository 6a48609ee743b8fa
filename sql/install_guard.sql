-- Nothing may stand in the schema before the extension does: an object planted there by somebody who
-- was allowed to create the schema first could be found by the names that the installed functions bind.
DO $guard$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_proc WHERE pronamespace = 'slm_feedback'::pg_catalog.regnamespace)
       OR EXISTS (SELECT FROM pg_catalog.pg_class WHERE relnamespace = 'slm_feedback'::pg_catalog.regnamespace)
       OR EXISTS (SELECT FROM pg_catalog.pg_type WHERE typnamespace = 'slm_feedback'::pg_catalog.regnamespace)
       OR EXISTS (SELECT FROM pg_catalog.pg_operator WHERE oprnamespace = 'slm_feedback'::pg_catalog.regnamespace)
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
