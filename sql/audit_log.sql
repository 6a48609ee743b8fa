-- audit_log: who asked what of the functions that concern privacy, and when; never about whom.
CREATE TABLE slm_feedback.audit_log (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    session_role text NOT NULL,
    acting_role text NOT NULL,
    action text NOT NULL,
    details jsonb NOT NULL
);
COMMENT ON TABLE slm_feedback.audit_log IS
'Who used the privacy functions (data-subject requests, policies, access), and when. Holds no user id. Append only for everybody but the owner.';
COMMENT ON COLUMN slm_feedback.audit_log.audit_id IS 'Number of the entry.';
COMMENT ON COLUMN slm_feedback.audit_log.at IS 'When the function was called.';
COMMENT ON COLUMN slm_feedback.audit_log.session_role IS 'The role that logged in.';
COMMENT ON COLUMN slm_feedback.audit_log.acting_role IS 'The role it acted as (SET ROLE), or the same.';
COMMENT ON COLUMN slm_feedback.audit_log.action IS 'The function.';
COMMENT ON COLUMN slm_feedback.audit_log.details IS 'What was asked and how many rows it touched; no user id.';
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.audit_log', '');
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.audit_log_audit_id_seq', '');

CREATE FUNCTION slm_feedback.caller() RETURNS name
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'slm_caller';
COMMENT ON FUNCTION slm_feedback.caller() IS
'The role that the session acts as (by login or SET ROLE), also inside a SECURITY DEFINER function.';

-- Not SECURITY DEFINER: the functions that call it are.
CREATE FUNCTION slm_feedback.audit(action text, details jsonb) RETURNS void
    LANGUAGE sql VOLATILE
BEGIN ATOMIC
    INSERT INTO slm_feedback.audit_log (session_role, acting_role, action, details)
    VALUES (session_user, slm_feedback.caller(), action, details);
END;
COMMENT ON FUNCTION slm_feedback.audit(text, jsonb) IS
'Adds an entry to audit_log. Called by the functions that must be accounted for.';
