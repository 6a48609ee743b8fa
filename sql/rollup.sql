CREATE PROCEDURE slm_feedback.rollup()
    LANGUAGE c AS 'MODULE_PATHNAME', 'slm_rollup';
COMMENT ON PROCEDURE slm_feedback.rollup() IS
'Recomputes daily_metrics for every day that is marked or not yet final, a transaction a day. Safe at any time and from several places: a second call waits for the first. Errors: 25001 inside a transaction block, 25006 on a standby or in a read-only session.';

CREATE PROCEDURE slm_feedback.rebuild(from_date date, to_date date)
    LANGUAGE c AS 'MODULE_PATHNAME', 'slm_rebuild';
COMMENT ON PROCEDURE slm_feedback.rebuild(date, date) IS
'Recomputes the days from_date to to_date (both included) from the raw rows, whatever is stored, and then all that rollup() would. Days frozen by retention stay as they are. Errors: 25001 inside a transaction block, 25006 on a standby or in a read-only session, 22004 a missing date, 22023 from_date after to_date.';

CREATE FUNCTION slm_feedback.max_staleness() RETURNS interval
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_max_staleness';
COMMENT ON FUNCTION slm_feedback.max_staleness() IS
'The server setting slm_feedback.max_staleness as an interval: how old stored metrics of a day that is not final may be for a report to use them.';

-- What the rollup still has to do, as seen by one snapshot.
CREATE FUNCTION slm_feedback.days_with_queries(after date, through date DEFAULT NULL) RETURNS SETOF date
    LANGUAGE sql STABLE ROWS 30
BEGIN ATOMIC
    WITH RECURSIVE days AS (
        SELECT (SELECT slm_feedback.day_of(min(q.created_at)) FROM slm_feedback.queries q
                WHERE q.created_at >= coalesce(slm_feedback.day_start(after + 1), '-infinity')) AS day
        UNION ALL
        SELECT (SELECT slm_feedback.day_of(min(q.created_at)) FROM slm_feedback.queries q
                WHERE q.created_at >= slm_feedback.day_start(d.day + 1))
        FROM days d
        WHERE d.day < coalesce(through, 'infinity')
    )
    SELECT d.day FROM days d WHERE d.day <= coalesce(through, 'infinity');
END;
COMMENT ON FUNCTION slm_feedback.days_with_queries(date, date) IS
'The days after one day (null: from the first) through another (null: to the last) on which there are queries, by one index probe a day.';

CREATE FUNCTION slm_feedback.days_to_roll_up() RETURNS SETOF date
    LANGUAGE sql STABLE ROWS 30
BEGIN ATOMIC
    WITH state AS (
        SELECT max(s.final_through) AS final_through, max(s.purged_before) AS purged_before
        FROM slm_feedback.rollup_state s
    ), days AS (
        SELECT q.date AS day FROM slm_feedback.rollup_queue q
        UNION
        SELECT m.date FROM slm_feedback.daily_metrics m, state
        WHERE m.date > coalesce(state.final_through, '-infinity')
        UNION
        SELECT d.day FROM state, slm_feedback.days_with_queries(state.final_through) AS d (day)
    )
    SELECT d.day FROM days d, state
    WHERE state.purged_before IS NULL OR d.day >= state.purged_before
    ORDER BY 1;
END;
COMMENT ON FUNCTION slm_feedback.days_to_roll_up() IS
'The days that the next rollup recomputes: marked days, and days after final_through that have queries or stored metrics.';

CREATE FUNCTION slm_feedback.set_time_zone(time_zone text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF time_zone IS NULL THEN
        RAISE EXCEPTION 'time zone must not be null'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'Give a name of pg_timezone_names, such as UTC or Europe/Berlin.';
    END IF;
    BEGIN
        PERFORM pg_catalog.now() AT TIME ZONE time_zone;
    EXCEPTION WHEN invalid_parameter_value THEN
        RAISE EXCEPTION 'time zone "%" is not known', time_zone
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a name of pg_timezone_names, such as UTC or Europe/Berlin.';
    END;
    -- Writers decide by the zone whether they are late: none may be under way with the old one.
    PERFORM slm_feedback.lock_out_writers();
    INSERT INTO slm_feedback.rollup_state DEFAULT VALUES ON CONFLICT (singleton) DO NOTHING;
    -- A rollup under way has to start over.
    UPDATE slm_feedback.rollup_state SET final_through = NULL, closed_through = NULL, epoch = epoch + 1;
    DELETE FROM slm_feedback.daily_metrics m USING slm_feedback.rollup_state s
    WHERE s.purged_before IS NULL OR m.date OPERATOR(pg_catalog.>=) s.purged_before;
    -- Rows before this instant are in the metrics of frozen days, and no others are.
    INSERT INTO slm_feedback.settings (time_zone, calendar_since, calendar_first_day)
    SELECT set_time_zone.time_zone, slm_feedback.day_start(s.purged_before), s.purged_before
    FROM slm_feedback.rollup_state s
    ON CONFLICT (singleton) DO UPDATE
        SET time_zone = excluded.time_zone, calendar_since = excluded.calendar_since,
            calendar_first_day = excluded.calendar_first_day;
END
$$;
COMMENT ON FUNCTION slm_feedback.set_time_zone(text) IS
'Sets the time zone whose midnights separate days. No day is final afterwards: reports compute live until the next rollup has recomputed every day that retention has not frozen. Frozen days stay as they are and end where they ended: the first day after them begins there, so that every query counts once. Waits for running writes. Errors: 22023 unknown time zone, 22004 null.';
