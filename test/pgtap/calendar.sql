-- What a day is, in every time zone that this system knows, around each change of its clock from 1970 to 2037: day_of(),
-- day_start() and hourly_counts() against a definition by brute force, which asks the server for nothing but local
-- times. Then writes, marks, reports and the rollup in zones whose midnight comes twice.
\ir setup.inc
CREATE EXTENSION slm_feedback CASCADE;
SELECT plan(17);

-- How far the clock of each zone is from UTC, once a week; where that changed, once a day.
CREATE TEMP TABLE zones AS
SELECT name, jsonb_populate_record(NULL::slm_feedback.settings, jsonb_build_object('time_zone', name)) AS settings
FROM pg_timezone_names;
CREATE FUNCTION pg_temp.utc_offset(at timestamptz, zone text) RETURNS interval LANGUAGE sql STABLE
RETURN (at AT TIME ZONE zone) - (at AT TIME ZONE 'UTC');
CREATE TEMP TABLE changes AS
SELECT min(c.zone) AS zone, c.day
FROM (SELECT w.zone, day,
             -- Zones that do the same these days are tried once.
             ARRAY(SELECT pg_temp.utc_offset(day + d * interval '1 day', w.zone) FROM generate_series(-4, 3) d) AS offsets
      FROM (SELECT o.*, lead(o.before) OVER (PARTITION BY o.zone ORDER BY o.week) AS after
            FROM (SELECT z.name AS zone, week, pg_temp.utc_offset(week, z.name) AS before
                  FROM zones z, generate_series('1970-01-01 00:00Z'::timestamptz, '2038-01-10 00:00Z', '7 days') week OFFSET 0) o) w,
           generate_series(w.week, w.week + interval '6 days', '1 day') day
      WHERE w.before <> w.after
        AND pg_temp.utc_offset(day, w.zone) <> pg_temp.utc_offset(day + interval '1 day', w.zone)) c
GROUP BY c.day, c.offsets;
SELECT cmp_ok((SELECT count(*) FROM changes), '>=', 500::bigint, 'zones and changes of the clock were found');

-- Half-hours around each change. By brute force, an instant's day is the latest local date that the clock has shown.
CREATE TEMP TABLE points AS
SELECT p.*, max(p.local::date) OVER (PARTITION BY p.zone, p.change ORDER BY p.at) AS day
FROM (SELECT c.zone, c.day AS change, at, at AT TIME ZONE c.zone AS local, z.settings
      FROM changes c JOIN zones z ON z.name = c.zone, generate_series(c.day - interval '4 days', c.day + interval '3 days', '30 minutes') at) p;
-- The first two days of each stretch are only there for the latest date.
CREATE TEMP TABLE tried AS SELECT * FROM points WHERE at >= change - interval '2 days';
CREATE INDEX ON tried (zone, change, day);
CREATE TEMP TABLE days AS SELECT zone, change, day, settings, min(at) AS seen FROM tried GROUP BY 1, 2, 3, 4;
CREATE INDEX ON days (zone, change, day);
ANALYZE tried, days;
CREATE TEMP TABLE twice AS
SELECT zone, change, day, sum((local::date < day)::int) AS set_back, sum((local::time = '00:00')::int) AS midnights
FROM tried GROUP BY 1, 2, 3 HAVING sum((local::time = '00:00')::int) > 1 OR bool_or(local::date < day);
SELECT cmp_ok((SELECT count(DISTINCT zone) FROM twice), '>=', 5::bigint, 'among them zones whose midnight comes twice');
SELECT cmp_ok((SELECT count(*) FROM twice WHERE set_back > 0), '>=', 1::bigint, 'and changes back to the day before');

-- By instant, so that each call is about another zone than the one before it.
SELECT is_empty($$
    SELECT t.zone, t.at, t.day, slm_feedback.day_of(t.at, t.settings)
    FROM (SELECT * FROM tried ORDER BY at OFFSET 0) t
    WHERE slm_feedback.day_of(t.at, t.settings) IS DISTINCT FROM t.day$$, 'day_of() is right around every change');
SELECT is_empty($$
    WITH begun AS (
        -- A date that the zone skipped begins, and ends, with the date after it.
        SELECT n.zone, n.settings, s.day, slm_feedback.day_start(s.day, n.settings) AS start, n.seen
        FROM (SELECT d.*, lag(d.day) OVER (PARTITION BY d.zone, d.change ORDER BY d.day) AS before FROM days d) n,
             LATERAL (SELECT before + i AS day FROM generate_series(1, n.day - before) i) s (day))
    SELECT d.* FROM begun d
    WHERE NOT (d.start <= d.seen AND d.start > d.seen - interval '30 minutes'
               AND (d.start AT TIME ZONE d.zone)::date >= d.day
               AND ((d.start - interval '1 microsecond') AT TIME ZONE d.zone)::date < d.day)
       OR d.start IS NULL$$, 'day_start() is the first instant of the day');
SELECT is_empty($$
    SELECT t.zone, t.day
    FROM (SELECT zone, change, day, slm_feedback.hourly_counts(at, settings) AS counts FROM tried GROUP BY 1, 2, 3) t
    JOIN (SELECT zone, change, day, array_agg(n ORDER BY hour) AS counts
          FROM (SELECT b.zone, b.change, b.day, h.hour, count(p.at) AS n
                FROM days b
                CROSS JOIN generate_series(0, 23) h (hour)
                LEFT JOIN tried p ON p.zone = b.zone AND p.change = b.change AND p.day = b.day
                    AND h.hour = CASE WHEN p.local::date < p.day THEN 0 ELSE extract(hour FROM p.local) END
                GROUP BY 1, 2, 3, 4) o
          GROUP BY 1, 2, 3) e USING (zone, change, day)
    WHERE t.counts IS DISTINCT FROM e.counts$$, 'hourly_counts() counts by the hour on the clock');

-- A skipped date is an empty day; infinite and far-off days.
SELECT is_empty($$
    SELECT zone, day
    FROM (SELECT d.*, lead(day) OVER (PARTITION BY zone, change ORDER BY day) AS next FROM days d) d
    WHERE next > day + 1 AND slm_feedback.day_start(day + 1, settings) <> slm_feedback.day_start(next, settings)$$, 'a date that a zone skipped is an empty day');
SELECT results_eq($$SELECT slm_feedback.day_start(d::date), slm_feedback.day_of(d::timestamptz) FROM (VALUES ('-infinity'), ('infinity'), (NULL)) v (d)$$,
                  $$VALUES ('-infinity'::timestamptz, '-infinity'::date), ('infinity', 'infinity'), (NULL, NULL)$$, 'infinite days and none');
SELECT is_empty($$
    SELECT z.name, at FROM zones z,
        unnest('{4000-01-01 BC 12:00Z,1500-06-01 12:00Z,1900-06-01 12:00Z,2050-07-01 12:00Z,2500-01-01 12:00Z,294276-12-31 00:00Z}'::timestamptz[]) at
    WHERE slm_feedback.day_of(at, z.settings) <> (at AT TIME ZONE z.name)::date
       OR slm_feedback.day_start(slm_feedback.day_of(at, z.settings), z.settings) > at$$, 'far from now, too');
SELECT throws_ok($$SELECT slm_feedback.day_start('5000000-01-01')$$, '22008', NULL, 'a day after the last timestamp is out of range');

-- Real writes: a question each half-hour around the last change of each kind since 2000.
CREATE TEMP TABLE cases AS
SELECT DISTINCT ON (set_back > 0, set_back, midnights) zone, change, row_number() OVER (ORDER BY change, zone) AS number
FROM twice WHERE change BETWEEN '2000-01-10' AND now() - interval '10 days'
ORDER BY set_back > 0, set_back, midnights, change DESC;
SELECT cmp_ok((SELECT count(*) FROM cases), '>=', 2::bigint, 'zones to write in were found');
CREATE TEMP TABLE wrong (zone text, what text, day date);
CREATE FUNCTION pg_temp.try_writes(case_zone text, case_change timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM slm_feedback.queries;
    PERFORM slm_feedback.set_time_zone(case_zone);
    DELETE FROM slm_feedback.rollup_queue;
    PERFORM slm_feedback.record_query('q', request_id => to_char(t.at AT TIME ZONE 'UTC', 'MMDDHH24MI'), created_at => t.at)
    FROM (SELECT * FROM tried WHERE zone = case_zone AND change = case_change ORDER BY random()) t;
    INSERT INTO wrong
    SELECT case_zone, 'marks', day
    FROM (SELECT DISTINCT date AS day FROM slm_feedback.rollup_queue) m
    FULL JOIN (SELECT DISTINCT day FROM tried WHERE zone = case_zone AND change = case_change) e USING (day)
    WHERE m.day IS NULL OR e.day IS NULL;
END $$;
-- An opinion from another day than its question's marks the question's day.
CREATE FUNCTION pg_temp.check_late_mark(case_zone text, case_change timestamptz) RETURNS void LANGUAGE sql AS $$
    INSERT INTO wrong SELECT case_zone, 'hours', date FROM slm_feedback.daily_metrics WHERE (SELECT sum(h) FROM unnest(hourly_queries) h) <> total_queries;
    SELECT slm_feedback.submit_feedback(to_char(t.at AT TIME ZONE 'UTC', 'MMDDHH24MI'), true)
    FROM (SELECT at FROM tried WHERE zone = case_zone AND change = case_change ORDER BY local::date < day DESC, at LIMIT 1) t;
    INSERT INTO wrong
    SELECT case_zone, 'late mark', m.date
    FROM slm_feedback.rollup_queue m
    FULL JOIN (SELECT day FROM tried WHERE zone = case_zone AND change = case_change ORDER BY local::date < day DESC, at LIMIT 1) e ON e.day = m.date
    WHERE m.date IS DISTINCT FROM e.day;
$$;
CREATE FUNCTION pg_temp.check_reports(case_zone text, case_change timestamptz, what text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO wrong
    SELECT case_zone, what, date
    FROM slm_feedback.report_daily('-infinity', 'infinity') r
    FULL JOIN (SELECT day AS date, count(*) AS n FROM tried WHERE zone = case_zone AND change = case_change GROUP BY 1) e USING (date)
    WHERE r.total_queries IS DISTINCT FROM e.n
$$;
SELECT format('SELECT pg_temp.try_writes(%L, %L)', zone, change),
       format('SELECT pg_temp.check_reports(%L, %L, %L)', zone, change, 'live'),
       'CALL slm_feedback.rollup()',
       format('SELECT pg_temp.check_reports(%L, %L, %L)', zone, change, 'rolled up'),
       format('SELECT pg_temp.check_late_mark(%L, %L)', zone, change)
FROM cases ORDER BY number
\gexec
SELECT is_empty($$SELECT * FROM wrong$$, 'marks, reports and rollups agree with the half-hours');

-- The zone in force at a snapshot is that of its days.
SELECT slm_feedback.set_time_zone('Asia/Tokyo');
SELECT is(slm_feedback.day_of('2026-01-10 16:00Z'), '2026-01-11'::date, 'the day follows the zone that is set');
BEGIN;
SELECT slm_feedback.set_time_zone('UTC');
SELECT is(slm_feedback.day_of('2026-01-10 16:00Z'), '2026-01-10'::date, 'also in the transaction that sets it');
ROLLBACK;
SELECT is(slm_feedback.day_start('2026-01-11'), '2026-01-10 15:00Z'::timestamptz, 'and not after its end');

-- Frozen days end at an instant, whatever the zone: two zones on both sides of the old one.
SELECT is_empty($$
    WITH s AS (
        SELECT jsonb_populate_record(NULL::slm_feedback.settings, jsonb_build_object('time_zone', zone,
                   'calendar_since', '2026-01-10 00:00Z', 'calendar_first_day', '2026-01-10')) AS s
        FROM unnest('{UTC,Asia/Tokyo,America/Los_Angeles,Pacific/Kiritimati,Etc/GMT+12,<T>+100,<T>-100}'::text[]) zone),
    half_hours AS (
        SELECT s.s, at, slm_feedback.day_of(at, s.s) AS day
        FROM s, generate_series('2026-01-01 00:00Z'::timestamptz, '2026-01-20 00:00Z', '30 minutes') at)
    SELECT (h.s).time_zone, h.at, h.day FROM half_hours h
    WHERE (h.at < '2026-01-10 00:00Z') <> (h.day < '2026-01-10')
       OR h.at < slm_feedback.day_start(h.day, h.s) OR h.at >= slm_feedback.day_start(h.day + 1, h.s)
       OR h.day > '2026-01-15' AND h.day <> (h.at AT TIME ZONE (h.s).time_zone)::date$$, 'frozen days end where they did');
SELECT throws_ok($$INSERT INTO slm_feedback.settings (calendar_since) VALUES (now()) ON CONFLICT (singleton) DO UPDATE SET calendar_since = now()$$,
                 '23514', NULL, 'an instant without its day is refused');
SELECT * FROM finish();
DROP TABLE zones, points, tried, days;
DROP EXTENSION slm_feedback, hll, tdigest;
