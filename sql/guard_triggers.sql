-- Triggers that hold the extension's rules on writes that do not come through its functions (INSERT,
-- COPY, UPDATE, DELETE, logical replication, pg_restore): days touched late are marked for the next
-- rollup, copies of created_at stay equal, user ids follow the policy. ENABLE ALWAYS: a subscriber's
-- apply process writes with session_replication_role = replica.
CREATE FUNCTION slm_feedback.guard_queries() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'slm_guard_queries';
COMMENT ON FUNCTION slm_feedback.guard_queries() IS
'Trigger of queries: checks and marks direct writes. Errors: 22008 for a created_at in the future, 0A000 for a changed request_id or created_at.';
CREATE FUNCTION slm_feedback.guard_feedback() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'slm_guard_feedback';
COMMENT ON FUNCTION slm_feedback.guard_feedback() IS
'Trigger of feedback: fills query_created_at and marks direct writes. Errors: 0A000 for a changed request_id.';
CREATE FUNCTION slm_feedback.guard_truncate() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'slm_guard_truncate';
COMMENT ON FUNCTION slm_feedback.guard_truncate() IS
'Trigger of queries and feedback: a TRUNCATE marks every day that has metrics.';

CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON slm_feedback.queries
    FOR EACH ROW EXECUTE FUNCTION slm_feedback.guard_queries();
CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON slm_feedback.queries
    FOR EACH STATEMENT EXECUTE FUNCTION slm_feedback.guard_truncate();
CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON slm_feedback.feedback
    FOR EACH ROW EXECUTE FUNCTION slm_feedback.guard_feedback();
CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON slm_feedback.feedback
    FOR EACH STATEMENT EXECUTE FUNCTION slm_feedback.guard_truncate();
ALTER TABLE slm_feedback.queries ENABLE ALWAYS TRIGGER guard;
ALTER TABLE slm_feedback.queries ENABLE ALWAYS TRIGGER guard_truncate;
ALTER TABLE slm_feedback.feedback ENABLE ALWAYS TRIGGER guard;
ALTER TABLE slm_feedback.feedback ENABLE ALWAYS TRIGGER guard_truncate;
