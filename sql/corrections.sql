-- corrections: better answers, written by people. Several an answer; the same words of the same person are
-- one, so that a repeated call writes nothing twice. They stand beside feedback and enter no metrics.
CREATE TABLE slm_feedback.corrections (
    request_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C",
    corrected_text text NOT NULL,
    note text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT corrections_request_id_fkey FOREIGN KEY (request_id) REFERENCES slm_feedback.queries (request_id) ON DELETE CASCADE,
    CONSTRAINT corrections_user_id_length CHECK (octet_length(user_id) BETWEEN 1 AND 255)
);
-- By a hash, because a text may be too long for an index. An expression and not a generated column, which is not
-- replicated: since PostgreSQL 16 a subscriber looks rows up in this index.
CREATE UNIQUE INDEX corrections_key ON slm_feedback.corrections
    (request_id, user_id, hashtextextended(corrected_text COLLATE "C", 0)) NULLS NOT DISTINCT;
ALTER TABLE slm_feedback.corrections REPLICA IDENTITY FULL;
COMMENT ON TABLE slm_feedback.corrections IS
'Better answers to recorded questions, as people wrote them: training pairs with the answer that they correct. Written by submit_correction().';
COMMENT ON COLUMN slm_feedback.corrections.request_id IS 'The answer that is corrected: queries.request_id.';
COMMENT ON COLUMN slm_feedback.corrections.user_id IS 'Who wrote the correction, as the user-id policy stores it; null for anonymous ones.';
COMMENT ON COLUMN slm_feedback.corrections.corrected_text IS 'The better answer, whole. A correction is deleted when retention removes the texts of its question.';
COMMENT ON COLUMN slm_feedback.corrections.note IS 'What was wrong, in the person''s words; null if nothing was said.';
COMMENT ON COLUMN slm_feedback.corrections.created_at IS 'When the correction was submitted first.';
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.corrections', '');

CREATE FUNCTION slm_feedback.guard_corrections() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'slm_guard_corrections';
COMMENT ON FUNCTION slm_feedback.guard_corrections() IS
'Trigger of corrections: applies the user-id policy to direct writes, and notes removals for export_changes(). Errors: 0A000 for a changed request_id.';
CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON slm_feedback.corrections
    FOR EACH ROW EXECUTE FUNCTION slm_feedback.guard_corrections();
CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON slm_feedback.corrections
    FOR EACH STATEMENT EXECUTE FUNCTION slm_feedback.guard_truncate();
ALTER TABLE slm_feedback.corrections ENABLE ALWAYS TRIGGER guard;
ALTER TABLE slm_feedback.corrections ENABLE ALWAYS TRIGGER guard_truncate;

CREATE FUNCTION slm_feedback.submit_correction(
    request_id text,
    corrected_text text,
    user_id text DEFAULT NULL,
    note text DEFAULT NULL
) RETURNS slm_feedback.corrections
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'slm_submit_correction';
COMMENT ON FUNCTION slm_feedback.submit_correction IS
'Stores a better answer to a recorded question and returns it as stored. An answer can have several corrections, also of one person; the same text again only replaces the note, if one is given. Without a user id (or under the policy drop) a call gets back only what it said itself. Errors: PT404 unknown request, 22004 no request id or no text, 22001 over-long value, 22023 empty id or text, or a pseudonym as id under the policy plain.';

CREATE FUNCTION slm_feedback.withdraw_corrections(
    request_id text,
    user_id text
) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'slm_withdraw_corrections';
COMMENT ON FUNCTION slm_feedback.withdraw_corrections IS
'Removes all corrections of a person to an answer; returns how many there were. Those without a user id cannot be withdrawn, because they may be another''s. Errors: PT404 unknown request, 22004 no request id or no user id, 22023 empty id, or a pseudonym as id under the policy plain, 55000 under the policy drop.';
