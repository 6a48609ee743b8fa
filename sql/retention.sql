-- Retention: how long raw rows and texts are kept. src/retention.c is its protocol.
CREATE FUNCTION slm_feedback.set_retention(rows_days integer, texts_days integer DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF rows_days < 1 OR texts_days < 1 THEN
        RAISE EXCEPTION 'rows and texts must be kept for at least one day'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use null to keep them for good.';
    END IF;
    IF texts_days >= rows_days THEN
        RAISE EXCEPTION 'texts would be kept as long as their rows, or longer'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Rows are kept for %s days, texts for %s.', rows_days, texts_days),
                  HINT = 'Leave texts_days out to remove texts together with their rows.';
    END IF;
    PERFORM slm_feedback.lock_settings();
    INSERT INTO slm_feedback.settings (retain_rows_days, retain_texts_days) VALUES (rows_days, texts_days)
    ON CONFLICT (singleton) DO UPDATE
        SET retain_rows_days = excluded.retain_rows_days, retain_texts_days = excluded.retain_texts_days;
    PERFORM slm_feedback.audit('set_retention',
                               jsonb_build_object('rows_days', rows_days, 'texts_days', texts_days));
END
$$;
COMMENT ON FUNCTION slm_feedback.set_retention(integer, integer) IS
'Sets for how many days after the query raw rows (queries with their feedback and corrections) and texts (query_text, response_text, comments, corrections) are kept; null, the default, keeps them for good. The retention job removes what is older, only on days that are final; daily_metrics stays. Errors: 22023 less than one day, or texts_days not shorter than rows_days.';

CREATE FUNCTION slm_feedback.freeze_days(OUT rows_before timestamptz, OUT texts_before timestamptz)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept slm_feedback.settings;
    state slm_feedback.rollup_state;
    today date := slm_feedback.day_of(slm_feedback.clock());
    final_before date;
    freeze_before date;
BEGIN
    SELECT s.* INTO kept FROM slm_feedback.settings s;
    IF kept.retain_rows_days IS NULL AND kept.retain_texts_days IS NULL THEN
        RETURN;
    END IF;
    -- Against a rollup that is just recomputing a day.
    SELECT s.* INTO state FROM slm_feedback.rollup_state s FOR UPDATE;
    IF state.final_through IS NULL THEN
        RETURN;
    END IF;
    SELECT least(state.final_through + 1, min(q.date)) INTO final_before
    FROM slm_feedback.rollup_queue q
    WHERE state.purged_before IS NULL OR q.date >= state.purged_before;

    freeze_before := greatest(least(final_before, today - kept.retain_rows_days), state.purged_before);
    IF kept.retain_rows_days IS NOT NULL AND freeze_before IS NOT NULL THEN
        IF freeze_before IS DISTINCT FROM state.purged_before
           AND EXISTS (SELECT 1 FROM slm_feedback.queries q WHERE q.created_at < slm_feedback.day_start(freeze_before)) THEN
            UPDATE slm_feedback.rollup_state SET purged_before = freeze_before;
            state.purged_before := freeze_before;
        END IF;
        rows_before := slm_feedback.day_start(state.purged_before);
    END IF;
    IF kept.retain_texts_days IS NOT NULL THEN
        texts_before := slm_feedback.day_start(least(final_before, today - kept.retain_texts_days));
    END IF;
END
$$;
COMMENT ON FUNCTION slm_feedback.freeze_days() IS
'First step of the retention job: freezes the days whose raw rows are to be deleted, and returns before when rows and texts go (null: none). Only days that are final and not marked.';

CREATE FUNCTION slm_feedback.why_nothing_purged() RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE
        WHEN k.days IS NULL THEN 'Rows and texts are kept for good, unless set_retention() says otherwise.'
        WHEN o.day IS NULL OR o.day >= k.before THEN format('No query is older than %s days.', k.days)
        WHEN r.final_through IS NULL THEN 'Only final days are purged, and no day is final yet: run CALL slm_feedback.rollup().'
        WHEN m.day < k.before AND m.day <= r.final_through THEN
            format('Only days before those marked for a rollup are purged, and %s is marked: run CALL slm_feedback.rollup().', m.day)
        WHEN r.final_through + 1 < k.before THEN
            format('Only final days are purged, and no day after %s is final; report_jobs() tells what rolls up.', r.final_through)
        ELSE 'What is old enough was removed earlier.'
    END
    FROM (SELECT least(s.retain_rows_days, s.retain_texts_days) AS days,
                 slm_feedback.day_of(slm_feedback.clock()) - least(s.retain_rows_days, s.retain_texts_days) AS before
          FROM (SELECT 1) one LEFT JOIN slm_feedback.settings s ON true) k,
         (SELECT slm_feedback.day_of(min(q.created_at)) AS day FROM slm_feedback.queries q) o,
         (SELECT max(s.final_through) AS final_through, max(s.purged_before) AS purged_before FROM slm_feedback.rollup_state s) r,
         LATERAL (SELECT min(q.date) AS day FROM slm_feedback.rollup_queue q
                  WHERE r.purged_before IS NULL OR q.date >= r.purged_before) m;
END;
COMMENT ON FUNCTION slm_feedback.why_nothing_purged() IS
'Why the retention job has nothing to remove just now, as a sentence. run_jobs(''retention'') shows it when it has removed nothing.';

CREATE FUNCTION slm_feedback.purge_rows(before timestamptz, max_rows integer DEFAULT 5000) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ids text[];
BEGIN
    ids := ARRAY(SELECT q.request_id FROM slm_feedback.queries q
                 -- Days that the clock, set right meanwhile, still has before it are not frozen any more.
                 WHERE q.created_at < least(before, slm_feedback.day_start(slm_feedback.day_of(clock_timestamp())))
                 ORDER BY q.created_at LIMIT max_rows);
    PERFORM slm_feedback.lock_answers(ids);
    -- Feedback goes by the foreign key.
    DELETE FROM slm_feedback.queries q WHERE q.request_id = ANY (ids);
    RETURN cardinality(ids);
END
$$;
COMMENT ON FUNCTION slm_feedback.purge_rows(timestamptz, integer) IS
'One batch of the retention job: deletes the oldest queries asked before an instant, with their feedback; returns how many it found. For the job only: called by anybody else, the deletions are late writes.';

CREATE FUNCTION slm_feedback.purge_texts(
    after timestamptz, before timestamptz, max_rows integer DEFAULT 5000,
    OUT done_through timestamptz, OUT changed bigint
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ids text[];
    more bigint;
BEGIN
    SELECT max(w.created_at) INTO done_through
    FROM (SELECT q.created_at FROM slm_feedback.queries q
          WHERE q.created_at > coalesce(after, '-infinity') AND q.created_at < before
          ORDER BY q.created_at LIMIT max_rows) w;
    changed := 0;
    IF done_through IS NULL THEN
        RETURN;
    END IF;
    -- Those that still have a text.
    ids := ARRAY(SELECT q.request_id FROM slm_feedback.queries q
                 WHERE q.created_at > coalesce(after, '-infinity') AND q.created_at <= done_through
                   AND (q.query_text IS NOT NULL OR q.response_text IS NOT NULL
                        OR EXISTS (SELECT 1 FROM slm_feedback.feedback f WHERE f.request_id = q.request_id AND f.comment <> '')
                        OR EXISTS (SELECT 1 FROM slm_feedback.corrections c WHERE c.request_id = q.request_id)));
    PERFORM slm_feedback.lock_answers(ids);
    UPDATE slm_feedback.queries q SET query_text = NULL, response_text = NULL
    WHERE q.request_id = ANY (ids) AND (q.query_text IS NOT NULL OR q.response_text IS NOT NULL);
    GET DIAGNOSTICS changed = ROW_COUNT;
    -- Empty, not null: an opinion that is a comment alone stays one.
    UPDATE slm_feedback.feedback f SET comment = '' WHERE f.request_id = ANY (ids) AND f.comment <> '';
    GET DIAGNOSTICS more = ROW_COUNT;
    changed := changed + more;
    -- A correction is nothing but text.
    DELETE FROM slm_feedback.corrections c WHERE c.request_id = ANY (ids);
    GET DIAGNOSTICS more = ROW_COUNT;
    changed := changed + more;
END
$$;
COMMENT ON FUNCTION slm_feedback.purge_texts(timestamptz, timestamptz, integer) IS
'One batch of the retention job: removes the texts of queries asked after one instant and before another, oldest first; returns how far it came (null: nothing left) and how many rows it changed. For the job only: called by anybody else, the changes are late writes.';
