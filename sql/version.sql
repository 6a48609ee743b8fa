-- The version of the library that a session has loaded: see src/version.c.
CREATE FUNCTION slm_feedback.library_version() RETURNS text
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'slm_library_version';
COMMENT ON FUNCTION slm_feedback.library_version() IS
'The version of the library that this session has loaded. It fits the extension (pg_extension.extversion) if the two are equal up to the last number; if not, the other functions raise an error that says what to do.';
