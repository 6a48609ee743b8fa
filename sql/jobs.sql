-- Jobs: what is to be done, when, and what came of it. The worker (src/worker.c) runs what is due; so does
-- CALL run_jobs() from any scheduler.
CREATE FUNCTION slm_feedback.clock() RETURNS timestamptz
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_clock';
COMMENT ON FUNCTION slm_feedback.clock() IS
'The present time as the schedule of jobs sees it: the real time, unless slm_feedback.debug_now is set.';

CREATE FUNCTION slm_feedback.nightly_time() RETURNS time
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_nightly_time_of_day';
COMMENT ON FUNCTION slm_feedback.nightly_time() IS 'The server setting slm_feedback.nightly_time.';

CREATE FUNCTION slm_feedback.refresh_interval() RETURNS interval
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_refresh_interval_setting';
COMMENT ON FUNCTION slm_feedback.refresh_interval() IS
'The server setting slm_feedback.refresh_interval; null if refreshes are off.';

CREATE FUNCTION slm_feedback.wake_worker() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'slm_wake_worker';
COMMENT ON FUNCTION slm_feedback.wake_worker() IS
'Trigger: makes the background worker look at this database''s schedule once the change is committed.';

-- Only what was changed from the defaults stands here, so that a dump brings no row that is there already.
CREATE TABLE slm_feedback.job_settings (
    job text COLLATE "C" PRIMARY KEY,
    enabled boolean,
    nightly_at time,
    every interval CHECK (every > '0'),
    requested_at timestamptz
);
COMMENT ON TABLE slm_feedback.job_settings IS 'Jobs whose schedule was changed by set_job(), or that were asked for; view jobs shows all.';
COMMENT ON COLUMN slm_feedback.job_settings.job IS 'The job.';
COMMENT ON COLUMN slm_feedback.job_settings.enabled IS 'Whether the job runs; null as by default.';
COMMENT ON COLUMN slm_feedback.job_settings.nightly_at IS 'When a nightly job runs, in the configured time zone; null as slm_feedback.nightly_time says.';
COMMENT ON COLUMN slm_feedback.job_settings.every IS 'How often the refresh runs; null as slm_feedback.refresh_interval says.';
COMMENT ON COLUMN slm_feedback.job_settings.requested_at IS 'When a run was last asked for beside the schedule, as set_alert_rule() does; a run that started later has served it.';
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.job_settings', '');
CREATE TRIGGER wake_worker AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON slm_feedback.job_settings
    FOR EACH STATEMENT EXECUTE FUNCTION slm_feedback.wake_worker();

CREATE TABLE slm_feedback.job_runs (
    run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job text COLLATE "C" NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'done', 'failed', 'interrupted')),
    rows bigint,
    error text,
    sqlstate text,
    pid integer
);
CREATE INDEX job_runs_job_idx ON slm_feedback.job_runs (job, run_id);
COMMENT ON TABLE slm_feedback.job_runs IS 'The log of jobs, the newest 200 runs of each.';
COMMENT ON COLUMN slm_feedback.job_runs.run_id IS 'Number of the run.';
COMMENT ON COLUMN slm_feedback.job_runs.job IS 'The job.';
COMMENT ON COLUMN slm_feedback.job_runs.started_at IS 'When the run started.';
COMMENT ON COLUMN slm_feedback.job_runs.ended_at IS 'When it ended; null while it runs, or if it was interrupted.';
COMMENT ON COLUMN slm_feedback.job_runs.status IS 'running, done, failed (see error) or interrupted (a cancel, a stop or a crash of the server: what was committed stays done).';
COMMENT ON COLUMN slm_feedback.job_runs.rows IS 'What the job did: days recomputed, rows purged, reports written, alerts opened or closed.';
COMMENT ON COLUMN slm_feedback.job_runs.error IS 'The error''s message.';
COMMENT ON COLUMN slm_feedback.job_runs.sqlstate IS 'The error''s SQLSTATE.';
COMMENT ON COLUMN slm_feedback.job_runs.pid IS 'The server process that ran it.';
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.job_runs', '');
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.job_runs_run_id_seq', '');

-- The jobs, in the order in which they run. Reports come before retention, because they name questions. A new
-- job is one more line: its command is SQL that returns one bigint, or the name of a job in src/jobs.c. Jobs
-- with the same lock never run at once.
CREATE VIEW slm_feedback.jobs AS
SELECT d.position, d.lock_number, d.job, d.description, d.command, d.kind,
       coalesce(s.enabled, true) AND (d.kind <> 'every' OR coalesce(s.every, slm_feedback.refresh_interval()) IS NOT NULL) AS enabled,
       CASE d.kind
           WHEN 'nightly' THEN 'nightly at ' || to_char(coalesce(s.nightly_at, slm_feedback.nightly_time()), 'HH24:MI')
           WHEN 'every' THEN coalesce('every ' || coalesce(s.every, slm_feedback.refresh_interval()), 'off')
           ELSE 'after each rollup'
       END AS schedule,
       CASE WHEN d.kind = 'nightly' THEN coalesce(s.nightly_at, slm_feedback.nightly_time()) END AS nightly_at,
       CASE WHEN d.kind = 'every' THEN coalesce(s.every, slm_feedback.refresh_interval()) END AS every,
       s.requested_at
FROM (VALUES
    (1, 1, 'rollup', 'nightly', 'rollup', 'Recompute every marked day and the days since the last final one'),
    (2, 1, 'refresh', 'every', 'rollup', 'The same during the day, for the open day'),
    (3, 3, 'reports', 'after rollup', 'SELECT slm_feedback.write_due_reports()', 'Write the weekly and monthly reports whose period has ended'),
    (4, 4, 'alerts', 'after rollup', 'SELECT slm_feedback.evaluate_alerts()', 'Open and close alerts'),
    (5, 5, 'questions', 'nightly', 'SELECT slm_feedback.refresh_dashboard_questions()', 'Choose the questions that the dashboard shows'),
    (6, 6, 'dashboard', 'after rollup', 'dashboard', 'Write the dashboard into slm_feedback.dashboard_file, if that is set'),
    (8, 8, 'tombstones', 'nightly', 'SELECT slm_feedback.prune_tombstones()', 'Remove tombstones that are older than 90 days'),
    (9, 9, 'retention', 'nightly', 'retention', 'Remove rows and texts that are old enough')
) AS d (position, lock_number, job, kind, command, description)
LEFT JOIN slm_feedback.job_settings s ON s.job = d.job;
COMMENT ON VIEW slm_feedback.jobs IS 'Every job and its schedule. set_job() changes it, report_jobs() tells how it went.';
COMMENT ON COLUMN slm_feedback.jobs."position" IS 'The order in which jobs that are due run.';
COMMENT ON COLUMN slm_feedback.jobs.lock_number IS 'The number of the lock that keeps a job from running twice at once.';
COMMENT ON COLUMN slm_feedback.jobs.job IS 'The name that set_job() and run_jobs() take.';
COMMENT ON COLUMN slm_feedback.jobs.description IS 'What it does.';
COMMENT ON COLUMN slm_feedback.jobs.command IS 'What is run: a job of the library, or a statement.';
COMMENT ON COLUMN slm_feedback.jobs.kind IS 'nightly, every (so often), or after rollup.';
COMMENT ON COLUMN slm_feedback.jobs.enabled IS 'Whether it runs.';
COMMENT ON COLUMN slm_feedback.jobs.schedule IS 'When it runs, in words.';
COMMENT ON COLUMN slm_feedback.jobs.nightly_at IS 'The time of day of a nightly job, in the configured time zone; null for others.';
COMMENT ON COLUMN slm_feedback.jobs.every IS 'How often a job of kind every runs; null for others and for one that is switched off.';
COMMENT ON COLUMN slm_feedback.jobs.requested_at IS 'When a run was last asked for beside the schedule; null if never.';

CREATE FUNCTION slm_feedback.check_job(job text) RETURNS text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT slm_feedback.check_choice('job', job, (SELECT array_agg(j.job ORDER BY j.position) FROM slm_feedback.jobs j));
END;
COMMENT ON FUNCTION slm_feedback.check_job(text) IS 'The job, if there is one of this name. Errors: 22023 with the list of jobs as hint.';

CREATE FUNCTION slm_feedback.set_job(job text, enabled boolean DEFAULT NULL, schedule text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    kind text;
    nightly_at time;
    every interval;
BEGIN
    PERFORM slm_feedback.check_job(set_job.job);
    SELECT j.kind INTO kind FROM slm_feedback.jobs j WHERE j.job = set_job.job;
    IF schedule IS NOT NULL AND schedule <> 'default' THEN
        BEGIN
            IF kind = 'nightly' THEN
                nightly_at := schedule::time;
            ELSIF kind = 'every' THEN
                every := schedule::interval;
                IF every < interval '1 second' OR every > interval '1 year' THEN
                    RAISE EXCEPTION '' USING ERRCODE = 'invalid_parameter_value';
                END IF;
            ELSE
                RAISE EXCEPTION '' USING ERRCODE = 'invalid_parameter_value';
            END IF;
        EXCEPTION WHEN data_exception THEN
            RAISE EXCEPTION 'schedule "%" does not fit job "%"', schedule, set_job.job
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = CASE kind
                                 WHEN 'nightly' THEN 'Write a time of day as 02:30, or default.'
                                 WHEN 'every' THEN 'Write an interval of a second or more as 10 minutes, or default.'
                                 ELSE 'It runs after each rollup: change the schedule of rollup or refresh.'
                             END;
        END;
    END IF;
    INSERT INTO slm_feedback.job_settings AS s (job, enabled, nightly_at, every)
    VALUES (set_job.job, set_job.enabled, nightly_at, every)
    ON CONFLICT (job) DO UPDATE
    SET enabled = coalesce(excluded.enabled, s.enabled),
        nightly_at = CASE WHEN schedule IS NULL THEN s.nightly_at ELSE excluded.nightly_at END,
        every = CASE WHEN schedule IS NULL THEN s.every ELSE excluded.every END;
END
$$;
COMMENT ON FUNCTION slm_feedback.set_job(text, boolean, text) IS
'Turns a job of this database on or off and changes its schedule: a time of day for nightly jobs (in the configured time zone), an interval for refresh, default for what the server settings say. Null leaves as it is. Errors: 22023 unknown job, or a schedule that does not fit.';

CREATE FUNCTION slm_feedback.night_of(day date, at time) RETURNS timestamptz
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT (day + at) AT TIME ZONE slm_feedback.time_zone();
END;
COMMENT ON FUNCTION slm_feedback.night_of(date, time) IS
'The instant of a local time on a day: a time that the clock skips is as much later, one that comes twice is the second.';

-- Takes effect, and wakes the worker, at commit.
CREATE FUNCTION slm_feedback.request_job(job text) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO slm_feedback.job_settings AS s (job, requested_at) VALUES (request_job.job, slm_feedback.clock())
    ON CONFLICT (job) DO UPDATE SET requested_at = excluded.requested_at;
END;
COMMENT ON FUNCTION slm_feedback.request_job(text) IS
'Makes a job due at once, beside its schedule, unless it is off. Called by set_alert_rule().';

-- When each job runs next. A nightly job is due from its time until it has been done since; so a night when
-- the server was down is made up. A job that was asked for is due from then on. After failures it waits 1, 2, 4, ... up to 60 minutes; the first
-- interruption is not held against it. A run that is still "running" here died, or holds the job's lock.
CREATE FUNCTION slm_feedback.job_schedule() RETURNS TABLE (
    "position" integer, lock_number integer, job text, command text, enabled boolean, schedule text,
    next_run timestamptz, failures bigint, last_run_id bigint
)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH rolled_up AS (
        SELECT max(r.run_id) AS run_id
        FROM slm_feedback.job_runs r
        WHERE r.job IN ('rollup', 'refresh') AND r.status = 'done'
    ), history AS (
        SELECT j.*, done.run_id AS done_id, done.started_at AS done_at, last.run_id AS last_run_id, last.status,
               coalesce(last.ended_at, last.started_at) AS ended_at,
               (SELECT count(*) FROM slm_feedback.job_runs f
                WHERE f.job = j.job AND f.run_id > coalesce(done.run_id, 0)) AS failures
        FROM slm_feedback.jobs j
        LEFT JOIN LATERAL (SELECT r.* FROM slm_feedback.job_runs r
                           WHERE r.job = j.job AND r.status = 'done' ORDER BY r.run_id DESC LIMIT 1) done ON true
        LEFT JOIN LATERAL (SELECT r.* FROM slm_feedback.job_runs r
                           WHERE r.job = j.job ORDER BY r.run_id DESC LIMIT 1) last ON true
    ), planned AS (
        SELECT h.*, least(CASE WHEN h.requested_at > coalesce(h.done_at, '-infinity') THEN h.requested_at END, CASE h.kind
            WHEN 'every' THEN coalesce((SELECT r.started_at + h.every FROM rolled_up u JOIN slm_feedback.job_runs r ON r.run_id = u.run_id),
                                       slm_feedback.clock())
            WHEN 'nightly' THEN
                (SELECT CASE WHEN h.done_at >= n.latest THEN n.following ELSE n.latest END
                 FROM (SELECT slm_feedback.day_of(slm_feedback.clock()) AS day) t,
                      LATERAL (SELECT slm_feedback.night_of(t.day, h.nightly_at) <= slm_feedback.clock() AS past) p,
                      LATERAL (SELECT slm_feedback.night_of(t.day - CASE WHEN p.past THEN 0 ELSE 1 END, h.nightly_at) AS latest,
                                      slm_feedback.night_of(t.day + CASE WHEN p.past THEN 1 ELSE 0 END, h.nightly_at) AS following) n)
            ELSE (SELECT r.ended_at FROM rolled_up u JOIN slm_feedback.job_runs r ON r.run_id = u.run_id
                  WHERE u.run_id > coalesce(h.done_id, 0))
        END) AS due
        FROM history h
    )
    SELECT p.position, p.lock_number, p.job, p.command, p.enabled, p.schedule,
           CASE WHEN NOT p.enabled OR p.due IS NULL THEN NULL
                WHEN p.failures > CASE WHEN p.status = 'failed' THEN 0 ELSE 1 END THEN
                    greatest(p.due, p.ended_at + interval '1 minute' * least(60, 2.0 ^ least(10,
                        p.failures - CASE WHEN p.status = 'failed' THEN 1 ELSE 2 END)))
                ELSE p.due END,
           p.failures, p.last_run_id
    FROM planned p;
END;
COMMENT ON FUNCTION slm_feedback.job_schedule() IS
'Every job with the instant of its next run (null: none planned) and the number of its runs that have failed since one was done.';

CREATE PROCEDURE slm_feedback.run_jobs(job text DEFAULT NULL)
    LANGUAGE c AS 'MODULE_PATHNAME', 'slm_run_jobs_call';
COMMENT ON PROCEDURE slm_feedback.run_jobs(text) IS
'Runs every job that is due, or one job now. For pg_cron and the like: call it as often as you like, beside the worker too; no job runs twice at once. A job that fails raises a warning and is tried again later. Errors: 25001 inside a transaction block, 25006 on a standby or in a read-only session, 22023 unknown job.';

CREATE FUNCTION slm_feedback.restore_in_progress() RETURNS text
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'slm_restore_in_progress';
COMMENT ON FUNCTION slm_feedback.restore_in_progress() IS
'Which session restores a dump into this database and so keeps the worker away, and since when; null if none.';

CREATE FUNCTION slm_feedback.report_jobs() RETURNS TABLE (
    job text,
    schedule text,
    enabled boolean,
    status text,
    last_started_at timestamptz,
    last_duration interval,
    last_rows bigint,
    last_done_at timestamptz,
    next_run timestamptz,
    lag interval,
    failures bigint,
    last_error text,
    paused text,
    description text
)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT s.job, s.schedule, s.enabled,
           CASE WHEN l.status = 'running' AND NOT EXISTS (
                    SELECT 1 FROM pg_locks k
                    WHERE k.locktype = 'object' AND k.classid = 'pg_extension'::regclass
                      AND k.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
                      AND k.objid = (SELECT e.oid FROM pg_extension e WHERE e.extname = 'slm_feedback')
                      AND k.objsubid = 100 + s.lock_number)
                THEN 'interrupted' ELSE coalesce(l.status, 'never run') END,
           l.started_at, l.ended_at - l.started_at, l.rows,
           (SELECT max(d.ended_at) FROM slm_feedback.job_runs d WHERE d.job = s.job AND d.status = 'done'),
           s.next_run,
           CASE WHEN s.next_run < slm_feedback.clock() THEN slm_feedback.clock() - s.next_run END,
           s.failures, (SELECT e.error FROM slm_feedback.job_runs e WHERE e.job = s.job AND e.error IS NOT NULL ORDER BY e.run_id DESC LIMIT 1),
           slm_feedback.restore_in_progress(), j.description
    FROM slm_feedback.job_schedule() s
    JOIN slm_feedback.jobs j ON j.job = s.job
    LEFT JOIN slm_feedback.job_runs l ON l.run_id = s.last_run_id
    ORDER BY s.position;
END;
COMMENT ON FUNCTION slm_feedback.report_jobs() IS
'Every job at a glance: status (running, done, failed, interrupted, never run), the last run and its rows, when it was last done, next_run (null: off, or waiting for a rollup), lag (how long it has been due; null if it is not), failures since it was last done, the last error that the log still holds, and paused: the session that restores a dump and so keeps the worker away, for a day at most (null: none).';

-- Inserts no row. The statement trigger wake_worker fires all the same, and so the worker hears of this database
-- when CREATE EXTENSION commits.
INSERT INTO slm_feedback.job_settings (job) SELECT 'none' WHERE false;
