-- tombstones: the answers of which something was removed, for export_changes(). A row without a request id
-- is a barrier: removals at or below its transaction id have left no tombstones. Transaction ids mean
-- nothing in another cluster, so a dump leaves the rows out.
CREATE TABLE slm_feedback.tombstones (
    request_id text COLLATE "C",
    removed_at timestamptz NOT NULL DEFAULT now(),
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id()
);
ALTER TABLE slm_feedback.tombstones REPLICA IDENTITY FULL;
COMMENT ON TABLE slm_feedback.tombstones IS
'Answers that were deleted, or of which an opinion or correction was: export_changes() tells its readers. Holds no user id. Not dumped. prune_tombstones() removes old rows.';
COMMENT ON COLUMN slm_feedback.tombstones.request_id IS 'The answer; null for a barrier (a TRUNCATE, or pruned tombstones): cursors at or below it must start again.';
COMMENT ON COLUMN slm_feedback.tombstones.removed_at IS 'When it was removed.';
COMMENT ON COLUMN slm_feedback.tombstones.transaction_id IS 'The transaction that removed it.';
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.tombstones', 'WHERE false');

CREATE FUNCTION slm_feedback.prune_tombstones(older_than interval DEFAULT '90 days') RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    request_count bigint;
BEGIN
    -- One at a time; removals go on leaving tombstones.
    LOCK TABLE slm_feedback.tombstones IN SHARE UPDATE EXCLUSIVE MODE;
    WITH pruned AS (
        DELETE FROM slm_feedback.tombstones t
        WHERE t.removed_at < now() - older_than
        RETURNING t.request_id, t.transaction_id
    ), barrier AS (
        INSERT INTO slm_feedback.tombstones (transaction_id)
        SELECT p.transaction_id FROM pruned p ORDER BY p.transaction_id DESC LIMIT 1
    )
    SELECT count(p.request_id) INTO request_count FROM pruned p;
    RETURN request_count;
END
$$;
COMMENT ON FUNCTION slm_feedback.prune_tombstones(interval) IS
'Removes tombstones older than this and returns how many; readers of export_changes() whose cursor is older must start again. Errors: none of its own.';
