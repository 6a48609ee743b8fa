-- What triggers of the DBA's do in a statement of the extension's is a write like any other: it marks its day, follows
-- the policies and leaves tombstones.
\ir setup.inc
CREATE EXTENSION slm_feedback CASCADE;
SELECT * FROM no_plan();

SELECT slm_feedback.record_query('old question', 'old answer', 'old', created_at => now() - interval '3 days') \g /dev/null
SELECT slm_feedback.record_query('older question', 'older answer', 'older', created_at => now() - interval '5 days') \g /dev/null
SELECT slm_feedback.record_query('question', 'answer', 'new') \g /dev/null
SELECT slm_feedback.submit_feedback('old', true, user_id => 'a') \g /dev/null
SELECT slm_feedback.submit_feedback('older', true, user_id => 'a') \g /dev/null
CALL slm_feedback.rollup();
CREATE FUNCTION pg_temp.differing_days() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM slm_feedback.report_daily(CURRENT_DATE - 10) r,
        LATERAL (SELECT count(*) FILTER (WHERE f.sentiment = 1) AS positive, count(*) FILTER (WHERE f.sentiment = -1) AS negative,
                        count(DISTINCT q.request_id) AS asked
                 FROM slm_feedback.queries q LEFT JOIN slm_feedback.feedback f USING (request_id)
                 WHERE slm_feedback.day_of(q.created_at) = r.date) t
    WHERE (r.positive_feedback_count, r.negative_feedback_count, r.total_queries) IS DISTINCT FROM (t.positive, t.negative, t.asked) $$;
SELECT is(pg_temp.differing_days(), 0::bigint, 'reports agree with the rows');

-- ---- a capture function's statement ----
CREATE FUNCTION turn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.request_id = 'new' THEN
        UPDATE slm_feedback.feedback SET is_helpful = NOT is_helpful, user_id = 'b' WHERE request_id = 'old';
        PERFORM slm_feedback.submit_feedback('older', NEW.is_helpful IS NOT TRUE, user_id => 'a');
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER turn AFTER INSERT OR UPDATE ON slm_feedback.feedback FOR EACH ROW EXECUTE FUNCTION turn();
SELECT slm_feedback.submit_feedback('new', true) \g /dev/null
SELECT is((SELECT count(DISTINCT date) FROM slm_feedback.rollup_queue), 2::bigint, 'rows that a trigger changes beside the insert mark their days');
SELECT is(pg_temp.differing_days(), 0::bigint, 'reports see them');
CALL slm_feedback.rollup();
SELECT is(pg_temp.differing_days(), 0::bigint, 'so do metrics');
SELECT slm_feedback.submit_feedback('new', false) \g /dev/null
SELECT is((SELECT count(DISTINCT date) FROM slm_feedback.rollup_queue), 2::bigint, 'so do rows beside a changed opinion');
SELECT slm_feedback.set_user_id_policy('drop');
SELECT slm_feedback.submit_feedback('new', true) \g /dev/null
SELECT is((SELECT user_id FROM slm_feedback.feedback WHERE request_id = 'old'), NULL, 'and they follow the policy of user ids');
DROP TRIGGER turn ON slm_feedback.feedback;
CALL slm_feedback.rollup();

CREATE FUNCTION fail_inside() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        PERFORM 1 / 0;
    EXCEPTION WHEN division_by_zero THEN NULL;
    END;
    RETURN NEW;
END
$$;
CREATE TRIGGER a_fails_inside BEFORE INSERT ON slm_feedback.feedback FOR EACH ROW EXECUTE FUNCTION fail_inside();
SELECT slm_feedback.submit_feedback('old', false, user_id => 'c') \g /dev/null
SELECT is((SELECT count(*) FROM slm_feedback.rollup_queue), 1::bigint, 'a subtransaction that fails in a trigger changes nothing about it');
DROP TRIGGER a_fails_inside ON slm_feedback.feedback;
CALL slm_feedback.rollup();

CREATE FUNCTION backdate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.created_at := now() - interval '4 days'; RETURN NEW; END $$;
CREATE TRIGGER backdate BEFORE INSERT ON slm_feedback.queries FOR EACH ROW EXECUTE FUNCTION backdate();
SELECT slm_feedback.record_query('question', request_id => 'backdated') \g /dev/null
SELECT is((SELECT date FROM slm_feedback.rollup_queue), slm_feedback.day_of(now() - interval '4 days'), 'a time that a trigger changes is the one that is marked');
DROP TRIGGER backdate ON slm_feedback.queries;
CALL slm_feedback.rollup();

-- ---- the purge ----
CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM slm_feedback.feedback WHERE request_id = 'new';
    UPDATE slm_feedback.feedback SET is_helpful = true WHERE request_id = 'old';
    DELETE FROM slm_feedback.queries WHERE request_id = 'backdated';
    RETURN NULL;
END
$$;
CREATE TRIGGER forget AFTER DELETE ON slm_feedback.queries FOR EACH ROW WHEN (OLD.request_id = 'ancient') EXECUTE FUNCTION forget();
SELECT slm_feedback.record_query('ancient question', request_id => 'ancient', created_at => now() - interval '400 days') \g /dev/null
SELECT slm_feedback.submit_feedback('ancient', true) \g /dev/null
CALL slm_feedback.rollup();
SELECT slm_feedback.set_retention(365);
CALL slm_feedback.run_jobs('retention');
SELECT set_eq('SELECT request_id FROM slm_feedback.queries', ARRAY['new', 'old', 'older'], 'retention deletes what is old enough, and a trigger more');
SELECT results_eq('SELECT DISTINCT date FROM slm_feedback.rollup_queue ORDER BY 1',
    $$SELECT slm_feedback.day_of(now() - d * interval '1 day') FROM unnest(ARRAY[4, 3]) d$$, 'the rows of the trigger mark their days, those of the purge none');
SELECT set_eq('SELECT request_id FROM slm_feedback.tombstones', ARRAY['ancient', 'backdated', 'new'], 'all that is removed leaves a tombstone');
CALL slm_feedback.rollup();
SELECT is(pg_temp.differing_days(), 0::bigint, 'and metrics agree');

-- ---- sentiment is what thumb and rating make, whoever writes ----
SELECT slm_feedback.set_user_id_policy('plain');
SELECT clock_timestamp() AS now \gset
INSERT INTO slm_feedback.feedback (request_id, user_id, is_helpful, rating, sentiment) VALUES ('older', 's1', true, 1, -1), ('older', 's2', NULL, 3, NULL), ('older', 's3', NULL, 2, 1);
INSERT INTO slm_feedback.feedback (request_id, user_id, comment, sentiment) VALUES ('older', 's4', 'a comment', 1);
SELECT is((SELECT string_agg(concat_ws(' ', rating, comment, '->', sentiment), ', ' ORDER BY rating, comment) FROM slm_feedback.feedback WHERE request_id = 'older' AND created_at > :'now'),
    '1 -> 1, 2 -> -1, 3 -> 0, a comment ->', 'an INSERT');
UPDATE slm_feedback.feedback SET sentiment = -1 WHERE request_id = 'older' AND created_at > :'now';
UPDATE slm_feedback.feedback SET rating = 5 WHERE request_id = 'older' AND rating = 2;
SELECT is((SELECT string_agg(concat_ws(' ', rating, comment, '->', sentiment), ', ' ORDER BY rating, comment) FROM slm_feedback.feedback WHERE request_id = 'older' AND created_at > :'now'),
    '1 -> 1, 3 -> 0, 5 -> 1, a comment ->', 'an UPDATE');
SELECT is(pg_temp.differing_days(), 0::bigint, 'reports agree');

-- ---- a plain INSERT of feedback on nothing ----
SELECT throws_ok($$INSERT INTO slm_feedback.feedback (request_id, is_helpful) VALUES ('nowhere', true)$$, '23503',
    'request "nowhere" is not recorded', 'feedback on a request that is not recorded');
SELECT throws_ok($$INSERT INTO slm_feedback.feedback (request_id, is_helpful, query_created_at) VALUES ('nowhere', true, now())$$, '23503',
    NULL, 'with a time as well');

-- ---- where foreign keys are not checked, a deleted query leaves its feedback: docs/operations.md ----
CALL slm_feedback.rollup();
SELECT slm_feedback.record_query('q', 'r', 'left', created_at => now() - interval '3 days');
SELECT count(*) FROM slm_feedback.submit_feedback('left', true);
CALL slm_feedback.rollup();
SET session_replication_role = replica;
DELETE FROM slm_feedback.queries WHERE request_id = 'left';
RESET session_replication_role;
SELECT is((SELECT count(*) FROM slm_feedback.feedback f WHERE NOT EXISTS (SELECT 1 FROM slm_feedback.queries q WHERE q.request_id = f.request_id)), 1::bigint,
    'a DELETE without foreign keys leaves the feedback');
CALL slm_feedback.rollup();
DELETE FROM slm_feedback.feedback f WHERE NOT EXISTS (SELECT 1 FROM slm_feedback.queries q WHERE q.request_id = f.request_id);
SELECT is(pg_temp.differing_days(), 0::bigint, 'reports are right once it is deleted, too');
CALL slm_feedback.rollup();
SELECT is(pg_temp.differing_days(), 0::bigint, 'and so are the metrics');

SELECT * FROM finish();
DROP EXTENSION slm_feedback CASCADE;
DROP FUNCTION turn, fail_inside, backdate, forget;
