-- submit_correction, withdraw_corrections: what they store, return and refuse.
CREATE EXTENSION slm_feedback CASCADE;
\set VERBOSITY verbose
\set SHOW_CONTEXT never
SELECT slm_feedback.record_query('What is 2 + 2?', '5', request_id => 'r1');

-- Several an answer, also of one person; the same text again is the same correction.
SELECT request_id, user_id, corrected_text, note, created_at >= now() AS stamped FROM slm_feedback.submit_correction('r1', '4', 'ann');
SELECT corrected_text, note FROM slm_feedback.submit_correction('r1', '4', 'ann', 'arithmetic');
SELECT corrected_text, note FROM slm_feedback.submit_correction('r1', '4', 'ann');
SELECT corrected_text FROM slm_feedback.submit_correction('r1', '2 + 2 = 4', 'ann');
SELECT corrected_text FROM slm_feedback.submit_correction('r1', '4', 'bob');
SELECT corrected_text FROM slm_feedback.submit_correction('r1', 'four');
SELECT corrected_text FROM slm_feedback.submit_correction('r1', 'four');
SELECT user_id, corrected_text, note FROM slm_feedback.corrections ORDER BY user_id, corrected_text COLLATE "C";

-- Feedback and metrics know nothing of it.
SELECT (SELECT count(*) FROM slm_feedback.feedback) AS opinions, (SELECT count(*) FROM slm_feedback.rollup_queue) AS marks;

-- Bad input leaves the table as it was.
\set VERBOSITY default
DO $$
DECLARE
    statement text;
    state text;
    message text;
BEGIN
    FOREACH statement IN ARRAY ARRAY[
        $s$slm_feedback.submit_correction('unknown', 'x')$s$,
        $s$slm_feedback.submit_correction(NULL, 'x')$s$,
        $s$slm_feedback.submit_correction('r1', NULL)$s$,
        $s$slm_feedback.submit_correction('r1', '')$s$,
        $s$slm_feedback.submit_correction('', 'x')$s$,
        $s$slm_feedback.submit_correction('r1', 'x', '')$s$,
        $s$slm_feedback.submit_correction('r1', 'x', repeat('u', 256))$s$,
        $s$slm_feedback.submit_correction('r1', repeat('x', 10 * 1024 * 1024 + 1))$s$,
        $s$slm_feedback.submit_correction('r1', 'x', 'u', repeat('x', 65537))$s$,
        $s$slm_feedback.withdraw_corrections('unknown', 'ann')$s$,
        $s$slm_feedback.withdraw_corrections(NULL, 'ann')$s$,
        $s$slm_feedback.withdraw_corrections('r1', '')$s$]
    LOOP
        BEGIN
            EXECUTE 'SELECT ' || statement;
            RAISE NOTICE '%: accepted!', statement;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
            RAISE NOTICE '%: % %', statement, state, message;
        END;
    END LOOP;
END
$$;
SELECT count(*) FROM slm_feedback.corrections;

-- A direct write follows the user-id policy, and moves to no other answer.
SELECT slm_feedback.set_user_id_policy('drop');
SELECT user_id FROM slm_feedback.submit_correction('r1', 'under drop', 'ann');
INSERT INTO slm_feedback.corrections (request_id, user_id, corrected_text) VALUES ('r1', 'eve', 'direct') RETURNING user_id;
UPDATE slm_feedback.corrections SET request_id = 'r2';
-- What is stored already is converted, and equal texts of what is now one person become one.
SELECT user_id, corrected_text FROM slm_feedback.corrections ORDER BY user_id, corrected_text COLLATE "C";
CALL slm_feedback.convert_user_ids();
SELECT user_id, corrected_text FROM slm_feedback.corrections ORDER BY user_id, corrected_text COLLATE "C";
SELECT * FROM slm_feedback.user_id_report() WHERE table_name = 'corrections';
SELECT slm_feedback.set_user_id_policy('plain');
SELECT corrected_text FROM slm_feedback.submit_correction('r1', '4', 'ann');
SELECT corrected_text FROM slm_feedback.submit_correction('r1', '4', 'bob');

-- Withdrawal, and the end of the question.
SELECT slm_feedback.withdraw_corrections('r1', 'ann') AS ann, slm_feedback.withdraw_corrections('r1', 'ann') AS again;
SELECT user_id, corrected_text FROM slm_feedback.corrections;
DELETE FROM slm_feedback.queries;
SELECT count(*) FROM slm_feedback.corrections;
DROP EXTENSION slm_feedback, hll, tdigest;
