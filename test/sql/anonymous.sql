-- What is said without a user id is one row an answer: a call completes it, and gets back no more than it said itself.
CREATE EXTENSION slm_feedback CASCADE;
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT slm_feedback.record_query('q', 'a', request_id => 'r1', created_at => '2026-01-10 12:00+00');
SELECT is_helpful, rating, comment, sentiment FROM slm_feedback.submit_feedback('r1', false, comment => 'my sister Ann is ill');
SELECT user_id, is_helpful, rating, comment, created_at = updated_at AS as_new, query_created_at, sentiment
FROM slm_feedback.submit_feedback('r1', rating => 5);
-- All that was said is kept.
SELECT is_helpful, rating, comment, created_at < updated_at AS completed, sentiment FROM slm_feedback.feedback;

-- Neither does the executor's way tell more, nor an error, be it a constraint of the DBA's that the completed row breaks.
SET slm_feedback.direct_insert = off;
SELECT is_helpful, rating, comment, created_at = updated_at AS as_new, sentiment FROM slm_feedback.submit_feedback('r1', rating => 4);
RESET slm_feedback.direct_insert;
ALTER TABLE slm_feedback.feedback ADD CONSTRAINT house_rule CHECK (comment IS NULL OR rating > 1);
SELECT slm_feedback.submit_feedback('r1', rating => 1);
SELECT position, status, sqlstate, reason FROM slm_feedback.submit_feedback_batch('[{"request_id": "r1", "rating": 1}]');
-- A person's own row may be quoted.
SELECT sqlstate, reason ~ 'r1, ann, null, 1, mine' AS quoted
FROM slm_feedback.submit_feedback_batch('[{"request_id": "r1", "rating": 1, "comment": "mine", "user_id": "ann"}]');
ALTER TABLE slm_feedback.feedback DROP CONSTRAINT house_rule;

-- It cannot be withdrawn, because it may be another's.
SELECT slm_feedback.withdraw_feedback('r1', NULL);
SELECT slm_feedback.withdraw_feedback('unknown', NULL);
SELECT count(*) FROM slm_feedback.feedback;

-- With a session's id for a user id each has a row of their own.
SELECT comment FROM slm_feedback.submit_feedback('r1', comment => 'of session 1', user_id => 'session-1');
SELECT comment FROM slm_feedback.submit_feedback('r1', rating => 3, user_id => 'session-2');
SELECT comment FROM slm_feedback.submit_feedback('r1', rating => 3, user_id => 'session-1');
SELECT slm_feedback.withdraw_feedback('r1', 'session-1'), slm_feedback.withdraw_feedback('r1', 'session-2') AS other;

-- Corrections, in the same way.
SELECT corrected_text, note FROM slm_feedback.submit_correction('r1', 'better', note => 'as my doctor Jones says');
SELECT user_id, corrected_text, note, created_at > (SELECT min(created_at) FROM slm_feedback.corrections) AS as_new
FROM slm_feedback.submit_correction('r1', 'better');
SELECT note FROM slm_feedback.corrections;
ALTER TABLE slm_feedback.corrections ADD CONSTRAINT house_rule CHECK (created_at < '2020-01-01') NOT VALID;
SELECT slm_feedback.submit_correction('r1', 'better');
ALTER TABLE slm_feedback.corrections DROP CONSTRAINT house_rule;
SELECT slm_feedback.withdraw_corrections('r1', NULL);
SELECT count(*) FROM slm_feedback.corrections;

-- Under the policy drop everybody is without a user id.
SELECT slm_feedback.set_user_id_policy('drop');
SELECT slm_feedback.record_query('q', request_id => 'r2');
SELECT comment FROM slm_feedback.submit_feedback('r2', comment => 'secret of eve', user_id => 'eve');
SELECT user_id, is_helpful, comment FROM slm_feedback.submit_feedback('r2', true, user_id => 'mallory');
SELECT note FROM slm_feedback.submit_correction('r2', 'x', 'eve', 'secret of eve');
SELECT user_id, note FROM slm_feedback.submit_correction('r2', 'x', 'mallory');
SELECT slm_feedback.withdraw_feedback('r2', 'mallory');
SELECT slm_feedback.withdraw_corrections('r2', 'mallory');
SELECT is_helpful, comment FROM slm_feedback.feedback WHERE request_id = 'r2';
-- In a batch the last word on each point stands, in the order of the array.
SELECT position, status FROM slm_feedback.submit_feedback_batch('[{"request_id": "r2", "rating": 1, "user_id": "zoe"},
    {"request_id": "r1", "rating": 2}, {"request_id": "r2", "rating": 5, "user_id": "ann"}]');
SELECT rating FROM slm_feedback.feedback WHERE request_id = 'r2';

-- Under plain, what has the form of a pseudonym is no id: it could be the stored form of a person from before.
SELECT slm_feedback.set_user_id_policy('plain');
INSERT INTO slm_feedback.feedback (request_id, user_id, comment) VALUES ('r1', 'slmp:k1:00112233445566778899aabbccddeeff', 'secret of a person');
SELECT slm_feedback.submit_feedback('r1', true, user_id => 'slmp:k1:00112233445566778899aabbccddeeff');
SELECT slm_feedback.withdraw_feedback('r1', 'slmp:k1:00112233445566778899aabbccddeeff');
SELECT slm_feedback.submit_correction('r1', 'x', 'slmp:k1:00112233445566778899aabbccddeeff');
SELECT slm_feedback.withdraw_corrections('r1', 'slmp:k1:00112233445566778899aabbccddeeff');
SELECT slm_feedback.record_query('q', user_id => 'slmp:erased:00112233445566778899aabbccddeeff');
SELECT position, status, sqlstate, reason FROM slm_feedback.submit_feedback_batch('[{"request_id": "r2", "is_helpful": false, "user_id": "ann"},
    {"request_id": "r1", "rating": 2, "user_id": "slmp:k1:00112233445566778899aabbccddeeff"}, {"request_id": "r1", "rating": 2, "user_id": "slmp:k1:x"}]');
SELECT user_id, is_helpful, rating, comment FROM slm_feedback.feedback WHERE user_id LIKE 'slmp%' ORDER BY 1;
DROP EXTENSION slm_feedback, hll, tdigest;
