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
'Who used the privacy functions (data-subject requests, policies, access), and when. Holds no user id. Append only for everybody but the owner. Every entry also stands in the server''s log, at level LOG.';
COMMENT ON COLUMN slm_feedback.audit_log.audit_id IS 'Number of the entry.';
COMMENT ON COLUMN slm_feedback.audit_log.at IS 'When the function was called.';
COMMENT ON COLUMN slm_feedback.audit_log.session_role IS 'The role that logged in.';
COMMENT ON COLUMN slm_feedback.audit_log.acting_role IS 'The role it acted as (SET ROLE), or the same. A SECURITY DEFINER function of another role counts as its caller''s doing.';
COMMENT ON COLUMN slm_feedback.audit_log.action IS 'The function.';
COMMENT ON COLUMN slm_feedback.audit_log.details IS 'What was asked and how many rows it touched; no user id.';
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.audit_log', '');
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.audit_log_audit_id_seq', '');

CREATE FUNCTION slm_feedback.caller() RETURNS name
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'slm_caller';
COMMENT ON FUNCTION slm_feedback.caller() IS
'The role that the session acts as (by login or SET ROLE), also inside a SECURITY DEFINER function. Errors: 42501 where that is not the role that acts: when a superuser''s REFRESH MATERIALIZED VIEW, ANALYZE or REINDEX runs code of the owner.';

CREATE FUNCTION slm_feedback.log_audit(action text, details text) RETURNS void
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'slm_log_audit';
COMMENT ON FUNCTION slm_feedback.log_audit(text, text) IS
'Writes an entry of audit_log to the server''s log, too, where it stays when the transaction is rolled back.';

-- Not SECURITY DEFINER: the functions that call it are. The log comes first: what is returned to the caller in
-- a transaction that is rolled back afterwards has been returned.
CREATE FUNCTION slm_feedback.audit(action text, details jsonb) RETURNS void
    LANGUAGE sql VOLATILE
BEGIN ATOMIC
    INSERT INTO slm_feedback.audit_log (session_role, acting_role, action, details)
    VALUES (session_user, slm_feedback.caller(), action, details);
    SELECT slm_feedback.log_audit(action, details::text);
END;
COMMENT ON FUNCTION slm_feedback.audit(text, jsonb) IS
'Adds an entry to audit_log and to the server''s log. Called by the functions that must be accounted for.';
