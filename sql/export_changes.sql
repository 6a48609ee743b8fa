-- export_changes(): src/export_changes.c tells why it is exact.
CREATE FUNCTION slm_feedback.changes_since(cursor text) RETURNS xid8
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'slm_changes_since';
COMMENT ON FUNCTION slm_feedback.changes_since(text) IS
'The transaction id at which a cursor goes on; 0 means everything. Errors: 22023 not a cursor, 55000 a cursor of another database or from before a restore, or one that is too old.';

CREATE FUNCTION slm_feedback.changes_cursor(since xid8) RETURNS text
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'slm_changes_cursor';
COMMENT ON FUNCTION slm_feedback.changes_cursor(xid8) IS
'The cursor for the read that follows the present statement''s. Writes a record to the write-ahead log and waits until it is on disk.';

CREATE FUNCTION slm_feedback.written_since(row_xmin xid, since xid8) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_written_since';
COMMENT ON FUNCTION slm_feedback.written_since(xid, xid8) IS
'Whether a row with this xmin was written at or after a transaction id.';

-- Answers come whole: first those of which something was removed, then those whose query was written, those
-- whose feedback was, and those whose corrections were; last the new cursor. Not parallel, which keeps this
-- order.
CREATE FUNCTION slm_feedback.export_changes(cursor text DEFAULT NULL) RETURNS SETOF json
    LANGUAGE sql STABLE PARALLEL UNSAFE ROWS 100000
BEGIN ATOMIC
    SELECT CASE WHEN q.request_id IS NULL THEN json_build_object('op', 'delete', 'request_id', c.request_id)
                ELSE json_build_object(
                    'op', c.op, 'request_id', c.request_id, 'query', row_to_json(q),
                    'feedback', (SELECT coalesce(json_agg(row_to_json(f)), '[]'::json)
                                 FROM slm_feedback.feedback f WHERE f.request_id = c.request_id),
                    'corrections', (SELECT coalesce(json_agg(row_to_json(d)), '[]'::json)
                                    FROM slm_feedback.corrections d WHERE d.request_id = c.request_id)) END
    FROM (SELECT 'withdraw' AS op, t.request_id
          FROM slm_feedback.tombstones t
          WHERE cursor IS NOT NULL AND t.request_id IS NOT NULL
            AND t.transaction_id >= (SELECT slm_feedback.changes_since(cursor))
          UNION ALL
          SELECT 'put', q.request_id
          FROM slm_feedback.queries q
          WHERE slm_feedback.written_since(q.xmin, (SELECT slm_feedback.changes_since(cursor)))
          UNION ALL
          SELECT 'put', f.request_id
          FROM slm_feedback.feedback f
          WHERE cursor IS NOT NULL
            AND slm_feedback.written_since(f.xmin, (SELECT slm_feedback.changes_since(cursor)))
            AND NOT (SELECT slm_feedback.written_since(q.xmin, (SELECT slm_feedback.changes_since(cursor))) FROM slm_feedback.queries q WHERE q.request_id = f.request_id)
            AND (SELECT count(*) FROM slm_feedback.feedback g
                 WHERE g.request_id = f.request_id AND slm_feedback.written_since(g.xmin, (SELECT slm_feedback.changes_since(cursor)))
                   AND (g.user_id < f.user_id OR (g.user_id IS NOT NULL AND f.user_id IS NULL))) = 0
          UNION ALL
          SELECT 'put', d.request_id
          FROM slm_feedback.corrections d
          WHERE cursor IS NOT NULL
            AND slm_feedback.written_since(d.xmin, (SELECT slm_feedback.changes_since(cursor)))
            AND NOT (SELECT slm_feedback.written_since(q.xmin, (SELECT slm_feedback.changes_since(cursor))) FROM slm_feedback.queries q WHERE q.request_id = d.request_id)
            AND (SELECT count(*) FROM slm_feedback.feedback g
                 WHERE g.request_id = d.request_id AND slm_feedback.written_since(g.xmin, (SELECT slm_feedback.changes_since(cursor)))) = 0) c
    LEFT JOIN LATERAL (SELECT r.* FROM slm_feedback.queries r WHERE r.request_id = c.request_id OFFSET 0) q ON true
    UNION ALL
    SELECT json_build_object('op', 'cursor', 'cursor', slm_feedback.changes_cursor(slm_feedback.changes_since(cursor)));
END;
COMMENT ON FUNCTION slm_feedback.export_changes(text) IS
'What has changed since a cursor (null, the default: everything), as JSON Lines. op put: the whole present state of an answer (query, feedback, corrections), which replaces what the reader holds; withdraw: the same, after an opinion or correction was removed; delete: the answer is gone; cursor, always the last line: the cursor for the next read. Exact under concurrent writers and after crashes: nothing is missed; an answer may come again unchanged. Errors: 22023 not a cursor, 55000 a cursor of another database, from before a restore, a failover or a TRUNCATE, or older than the tombstones.';
