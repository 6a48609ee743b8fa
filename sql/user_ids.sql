-- The user-id policy (src/user_ids.c): what is stored for a person, and the conversion of what is stored
-- already. The capture functions and the guard triggers apply it to every write.
CREATE FUNCTION slm_feedback.stored_user_id(user_id text) RETURNS text
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'slm_stored_user_id';
COMMENT ON FUNCTION slm_feedback.stored_user_id(text) IS
'The form in which the user-id policy wants a stored id: the id itself (plain), its pseudonym under the newest key (pseudonym; pseudonyms of older keys are lifted, those of unknown keys and erased ids stay) or null (drop). Errors: F0000 no usable key.';

CREATE FUNCTION slm_feedback.user_id_kind(user_id text) RETURNS text
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'slm_user_id_kind';
COMMENT ON FUNCTION slm_feedback.user_id_kind(text) IS
'What a stored id is: plain, current or older (a pseudonym of the newest or of an older key), foreign (of a key that this server does not have) or erased. Errors: F0000 an unusable key file.';

CREATE FUNCTION slm_feedback.user_id_forms(user_id text) RETURNS text[]
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'slm_user_id_forms';
COMMENT ON FUNCTION slm_feedback.user_id_forms(text) IS
'Every form in which a person''s rows can stand, given an id or a pseudonym: as it is, and as a pseudonym of each key. Errors: F0000 no usable key under the policy pseudonym.';

CREATE FUNCTION slm_feedback.new_erased_user_id() RETURNS text
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'slm_new_erased_user_id';
COMMENT ON FUNCTION slm_feedback.new_erased_user_id() IS
'A random id to stand for an erased person: it has the form of a pseudonym, and no policy or key changes it.';

CREATE FUNCTION slm_feedback.set_user_id_policy(policy text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM slm_feedback.check_choice('policy', policy, ARRAY['plain', 'pseudonym', 'drop']);
    -- No write may be under way that was judged by the old policy.
    PERFORM slm_feedback.lock_out_writers();
    INSERT INTO slm_feedback.settings AS s (user_id_policy, user_id_policy_since)
    VALUES (policy, clock_timestamp())
    ON CONFLICT (singleton) DO UPDATE
        SET user_id_policy = excluded.user_id_policy, user_id_policy_since = excluded.user_id_policy_since
        WHERE s.user_id_policy <> excluded.user_id_policy;
    -- Raises F0000 if there is no usable key: a policy that could store nothing is not set.
    IF policy = 'pseudonym' THEN
        PERFORM slm_feedback.stored_user_id('probe');
    END IF;
    PERFORM slm_feedback.audit('set_user_id_policy', jsonb_build_object('policy', policy));
END
$$;
COMMENT ON FUNCTION slm_feedback.set_user_id_policy(text) IS
'Sets how user ids are stored from now on: plain, pseudonym or drop. Waits for running writes. What is stored already stays until CALL slm_feedback.convert_user_ids(). Errors: 22023 unknown policy, F0000 pseudonym without a usable key.';

CREATE FUNCTION slm_feedback.user_id_report(
    OUT table_name text,
    OUT kind text,
    OUT row_count bigint,
    OUT to_convert bigint
) RETURNS SETOF record
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT t.table_name, t.kind, count(*),
           count(*) FILTER (WHERE t.user_id IS DISTINCT FROM slm_feedback.stored_user_id(t.user_id))
    FROM (SELECT 'queries' AS table_name, coalesce(slm_feedback.user_id_kind(q.user_id), 'none') AS kind, q.user_id
          FROM slm_feedback.queries q
          UNION ALL
          SELECT 'feedback', coalesce(slm_feedback.user_id_kind(f.user_id), 'none'), f.user_id
          FROM slm_feedback.feedback f
          UNION ALL
          SELECT 'corrections', coalesce(slm_feedback.user_id_kind(c.user_id), 'none'), c.user_id
          FROM slm_feedback.corrections c) t
    GROUP BY 1, 2
    ORDER BY 1 DESC, 2;
END;
COMMENT ON FUNCTION slm_feedback.user_id_report() IS
'How user ids are stored now, a row a table and kind (see user_id_kind; none = null): row_count, and to_convert, the rows that convert_user_ids() would change. Reads the tables whole. Exact. Errors: F0000 no usable key under the policy pseudonym.';

CREATE FUNCTION slm_feedback.convert_queries_batch(
    from_time timestamptz,
    batch_rows integer,
    OUT last_time timestamptz,
    OUT converted bigint
)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ids text[];
BEGIN
    SELECT max(b.created_at), array_agg(b.request_id) INTO last_time, ids
    FROM (SELECT q.request_id, q.created_at
          FROM slm_feedback.queries q
          WHERE q.created_at >= from_time AND q.user_id IS NOT NULL
            AND q.user_id IS DISTINCT FROM slm_feedback.stored_user_id(q.user_id)
          ORDER BY q.created_at
          LIMIT batch_rows) b;
    PERFORM slm_feedback.lock_answers(ids);
    UPDATE slm_feedback.queries q SET user_id = slm_feedback.stored_user_id(q.user_id)
    WHERE q.request_id = ANY (ids);
    GET DIAGNOSTICS converted = ROW_COUNT;
END
$$;
COMMENT ON FUNCTION slm_feedback.convert_queries_batch(timestamptz, integer) IS
'Converts the user ids of up to batch_rows queries, in order of created_at from from_time; last_time is where the next batch goes on, null if none was left. Called by convert_user_ids().';

-- Two opinions can become one: a person's from before the switch and from after it, or, under drop, those
-- of several people. They merge as submit_feedback() would have merged them: the latest word on each point.
CREATE FUNCTION slm_feedback.convert_feedback_batch(
    from_time timestamptz,
    batch_rows integer,
    OUT last_time timestamptz,
    OUT converted bigint,
    OUT merged bigint
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    requests text[];
BEGIN
    SELECT max(b.query_created_at), array_agg(b.request_id)
    INTO last_time, requests
    FROM (SELECT f.request_id, f.query_created_at
          FROM slm_feedback.feedback f
          WHERE f.query_created_at >= from_time AND f.user_id IS NOT NULL
            AND f.user_id IS DISTINCT FROM slm_feedback.stored_user_id(f.user_id)
          ORDER BY f.query_created_at
          LIMIT batch_rows) b;
    -- Nobody adds an opinion under the new id, or changes one, before they are converted.
    PERFORM slm_feedback.lock_answers(requests);
    -- A direct UPDATE may be under way.
    PERFORM 1 FROM slm_feedback.feedback f WHERE f.request_id = ANY (requests)
    ORDER BY f.request_id, f.user_id
    FOR UPDATE;
    WITH opinion AS (
        SELECT f.request_id, f.user_id, slm_feedback.stored_user_id(f.user_id) AS new_id,
               f.is_helpful, f.rating, f.comment, f.created_at, f.updated_at
        FROM slm_feedback.feedback f
        WHERE f.request_id = ANY (requests)
    ), person AS (
        SELECT o.request_id, o.new_id,
               -- The row that stays is the one that has the new id, if there is one.
               (array_agg(o.user_id ORDER BY o.user_id IS NOT DISTINCT FROM o.new_id DESC, o.created_at, o.user_id))[1] AS kept,
               count(*) AS opinions,
               (array_agg(o.is_helpful ORDER BY o.updated_at DESC) FILTER (WHERE o.is_helpful IS NOT NULL))[1] AS is_helpful,
               (array_agg(o.rating ORDER BY o.updated_at DESC) FILTER (WHERE o.rating IS NOT NULL))[1] AS rating,
               (array_agg(o.comment ORDER BY o.updated_at DESC) FILTER (WHERE o.comment IS NOT NULL))[1] AS comment,
               min(o.created_at) AS created_at, max(o.updated_at) AS updated_at
        FROM opinion o
        GROUP BY o.request_id, o.new_id
        HAVING bool_or(o.user_id IS DISTINCT FROM o.new_id)
    ), gone AS (
        DELETE FROM slm_feedback.feedback f
        USING person p, opinion o
        WHERE p.opinions > 1
          AND o.request_id = p.request_id AND o.new_id IS NOT DISTINCT FROM p.new_id
          AND f.request_id = o.request_id AND f.user_id IS NOT DISTINCT FROM o.user_id
          AND f.user_id IS DISTINCT FROM p.kept
        RETURNING f.request_id
    ), done AS (
        UPDATE slm_feedback.feedback f
        SET user_id = p.new_id, is_helpful = p.is_helpful, rating = p.rating, comment = p.comment,
            created_at = p.created_at, updated_at = p.updated_at
        FROM person p
        WHERE f.request_id = p.request_id AND f.user_id IS NOT DISTINCT FROM p.kept
        RETURNING f.request_id
    )
    SELECT (SELECT count(*) FROM done), (SELECT count(*) FROM gone) INTO converted, merged;
END
$$;
COMMENT ON FUNCTION slm_feedback.convert_feedback_batch(timestamptz, integer) IS
'Converts the user ids of up to batch_rows opinions, in order of query_created_at from from_time; last_time is where the next batch goes on, null if none was left. Opinions that become one person''s on one answer are merged: the latest word on each point. Called by convert_user_ids().';

-- Corrections are few: all in one transaction. The same text of what is now one person is one correction.
CREATE FUNCTION slm_feedback.convert_corrections() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    converted bigint;
BEGIN
    LOCK TABLE slm_feedback.corrections IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM slm_feedback.corrections c
    USING (SELECT d.ctid AS place,
                  row_number() OVER (PARTITION BY d.request_id, slm_feedback.stored_user_id(d.user_id), d.corrected_text COLLATE "C"
                                     ORDER BY d.created_at, d.user_id) AS n
           FROM slm_feedback.corrections d) again
    WHERE again.n > 1 AND c.ctid = again.place;
    UPDATE slm_feedback.corrections c SET user_id = slm_feedback.stored_user_id(c.user_id)
    WHERE c.user_id IS DISTINCT FROM slm_feedback.stored_user_id(c.user_id);
    GET DIAGNOSTICS converted = ROW_COUNT;
    RETURN converted;
END
$$;
COMMENT ON FUNCTION slm_feedback.convert_corrections() IS
'Converts the user ids of corrections, in one transaction; returns how many it changed. Called by convert_user_ids(). Errors: F0000 no usable key under the policy pseudonym.';

-- A frozen day can't be computed again, and its sketch of users holds hashes of the ids of before: of all days that were
-- rolled up before the first conversion since the policy changed has ended, because until then rows are stored as before.
CREATE FUNCTION slm_feedback.forget_frozen_users() RETURNS bigint
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    -- Whoever changes stored metrics locks the state of the rollup first.
    WITH state AS MATERIALIZED (
        SELECT r.purged_before FROM slm_feedback.rollup_state r FOR UPDATE
    ), done AS (
        UPDATE slm_feedback.daily_metrics m SET users = NULL
        FROM state r, slm_feedback.settings s
        WHERE m.date < r.purged_before AND m.users IS NOT NULL AND s.user_id_policy_since IS NOT NULL
          AND m.refreshed_at < coalesce((SELECT min(a.at) FROM slm_feedback.audit_log a
                                         WHERE a.action = 'convert_user_ids' AND a.at > s.user_id_policy_since), 'infinity')
        RETURNING m.date
    )
    SELECT count(DISTINCT d.date) FROM done d;
END;
COMMENT ON FUNCTION slm_feedback.forget_frozen_users() IS
'Removes the sketches of users from the days that retention has frozen and that were computed before the first conversion since the policy changed; returns the number of days. Their unique_users stay. Called by convert_user_ids().';

CREATE FUNCTION slm_feedback.audit_conversion(queries bigint, feedback bigint, merged bigint) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT slm_feedback.audit('convert_user_ids', jsonb_build_object('queries', queries, 'feedback', feedback, 'merged', merged));
END;
COMMENT ON FUNCTION slm_feedback.audit_conversion(bigint, bigint, bigint) IS
'Notes a conversion in audit_log. Called by convert_user_ids().';

-- Not SECURITY DEFINER: a procedure that commits can't be. Every step that needs rights is a function.
CREATE PROCEDURE slm_feedback.convert_user_ids(
    batch_rows integer DEFAULT 5000,
    INOUT queries_converted bigint DEFAULT 0,
    INOUT feedback_converted bigint DEFAULT 0,
    INOUT feedback_merged bigint DEFAULT 0
)
    LANGUAGE plpgsql
AS $$
DECLARE
    at pg_catalog.timestamptz := '-infinity';
    batch record;
    frozen bigint;
    corrections bigint;
BEGIN
    IF batch_rows IS NULL OR batch_rows OPERATOR(pg_catalog.<) 1 THEN
        RAISE EXCEPTION 'batch_rows must be at least 1' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    queries_converted := 0;
    feedback_converted := 0;
    feedback_merged := 0;
    LOOP
        SELECT b.last_time, b.converted INTO batch FROM slm_feedback.convert_queries_batch(at, batch_rows) b;
        EXIT WHEN batch.last_time IS NULL;
        at := batch.last_time;
        queries_converted := queries_converted OPERATOR(pg_catalog.+) batch.converted;
        RAISE NOTICE '% queries converted, through %', queries_converted, at;
        COMMIT;
    END LOOP;
    at := '-infinity';
    LOOP
        SELECT b.last_time, b.converted, b.merged INTO batch FROM slm_feedback.convert_feedback_batch(at, batch_rows) b;
        EXIT WHEN batch.last_time IS NULL;
        at := batch.last_time;
        feedback_converted := feedback_converted OPERATOR(pg_catalog.+) batch.converted;
        feedback_merged := feedback_merged OPERATOR(pg_catalog.+) batch.merged;
        RAISE NOTICE '% opinions converted, % merged, for queries through %', feedback_converted, feedback_merged, at;
        COMMIT;
    END LOOP;
    corrections := slm_feedback.convert_corrections();
    IF corrections OPERATOR(pg_catalog.>) 0 THEN
        RAISE NOTICE '% corrections converted', corrections;
    END IF;
    frozen := slm_feedback.forget_frozen_users();
    IF frozen OPERATOR(pg_catalog.>) 0 THEN
        RAISE NOTICE 'sketches of users removed from % frozen days', frozen;
    END IF;
    PERFORM slm_feedback.audit_conversion(queries_converted, feedback_converted, feedback_merged);
END
$$;
COMMENT ON PROCEDURE slm_feedback.convert_user_ids(integer, bigint, bigint, bigint) IS
'Converts stored user ids to what the policy and the newest key say, batch_rows a transaction; the OUT values count what it did. Stop it at any time and call it again: it goes on with what is left (see user_id_report()). Days whose rows change are marked for the next rollup. Errors: 2D000 inside a transaction block, 22023 batch_rows below 1, F0000 no usable key.';
