-- convert_user_ids() removes the sketches of users from frozen days that can hold ids from before the conversion: a day may
-- have been rolled up after the policy was set and frozen before its rows were converted. What was converted before it was
-- frozen keeps its sketch, however often the procedure is called.
\ir setup.inc
CREATE EXTENSION slm_feedback CASCADE;
SELECT count(slm_feedback.record_query('q', request_id => 'r' || i, user_id => 'u' || i % 7, created_at => now() - i * interval '1 day'))
FROM generate_series(1, 60) i \g /dev/null
CALL slm_feedback.rollup();
CREATE FUNCTION pg_temp.sketches(OUT frozen bigint, OUT kept bigint) LANGUAGE sql AS $$
    SELECT count(DISTINCT m.date), count(DISTINCT m.date) FILTER (WHERE m.users IS NOT NULL)
    FROM slm_feedback.daily_metrics m, slm_feedback.rollup_state s WHERE m.date < s.purged_before
$$;

SELECT plan(5);
SELECT slm_feedback.set_retention(50) \g /dev/null
CALL slm_feedback.run_jobs('retention');
SELECT cmp_ok((SELECT kept FROM pg_temp.sketches()), '>', 5::bigint, 'days are frozen with their sketches');
SELECT slm_feedback.set_user_id_policy('drop') \g /dev/null
-- Rolled up with the ids as they are, and frozen, before they are converted.
CALL slm_feedback.rebuild('-infinity', 'infinity');
SELECT slm_feedback.set_retention(40) \g /dev/null
CALL slm_feedback.run_jobs('retention');
SELECT cmp_ok((SELECT kept FROM pg_temp.sketches()), '>', 15::bigint, 'more days are frozen between the policy and the conversion');
CALL slm_feedback.convert_user_ids() \g /dev/null
SELECT is((SELECT kept FROM pg_temp.sketches()), 0::bigint, 'no frozen day keeps a sketch of ids from before');
CALL slm_feedback.rollup();
SELECT slm_feedback.set_retention(30) \g /dev/null
CALL slm_feedback.run_jobs('retention');
SELECT cmp_ok((SELECT frozen FROM pg_temp.sketches()), '>', 25::bigint, 'more days are frozen after it');
UPDATE slm_feedback.daily_metrics SET users = (SELECT m.users FROM slm_feedback.daily_metrics m WHERE m.users IS NOT NULL LIMIT 1);
CALL slm_feedback.convert_user_ids() \g /dev/null
SELECT is((SELECT count(DISTINCT m.date) FROM slm_feedback.daily_metrics m, slm_feedback.rollup_state s
           WHERE m.date < s.purged_before AND m.date >= current_date - 39 AND m.users IS NULL), 0::bigint,
          'a second conversion leaves what was rolled up after the first');
SELECT * FROM finish();
DROP EXTENSION slm_feedback CASCADE;
