-- The schema is a member of the extension: DROP EXTENSION drops it, and CREATE EXTENSION fails where there is one of
-- this name already, so nobody can have planted an object that the installed functions would find by its name.
CREATE SCHEMA slm_feedback;
COMMENT ON SCHEMA slm_feedback IS 'The extension slm_feedback: capture, metrics, reports, exports.';
