-- Redaction: what is found and what is not, every way of writing, the dry run.
\set QUIET 1
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS slm_feedback CASCADE;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION slm_feedback CASCADE;

BEGIN;
SELECT * FROM no_plan();
CREATE TEMP TABLE example (value text, expected text);
COPY example FROM STDIN (DELIMITER '|');
write to ann.b+c@mail.example.org.|write to [EMAIL].
<jörg@exämple.de>|<[EMAIL]>
user@localhost and a@b stay|user@localhost and a@b stay
card 4111 1111 1111 1111, thanks|card [CARD], thanks
5500-0000-0000-0004|[CARD]
378282246310005|[CARD]
4111 1111 1111 1112 fails Luhn|4111 1111 1111 1112 fails Luhn
pay DE89 3704 0044 0532 0130 00 NOW|pay [IBAN] NOW
GB82WEST12345698765432|[IBAN]
GB82WEST12345698765433|GB82WEST12345698765433
from 192.168.0.1:8080 and 10.0.0.300|from [IP]:8080 and 10.0.0.300
fe80::1 or 2001:db8::8a2e:370:7334.|[IP] or [IP].
at 12:34:56 std::vector stays|at 12:34:56 std::vector stays
call +49 30 1234567 or (212) 555-0100|call [PHONE] or [PHONE]
06 12 34 56 78 and 030 1234567|[PHONE] and [PHONE]
212-555-0100.|[PHONE].
on 2026-11-23 and 09-11-2026 10:30|on 2026-11-23 and 09-11-2026 10:30
id 1732350000000 and 1,234,567.89|id 1732350000000 and 1,234,567.89
key=sk-abcdefghijklmnopqrstuv|key=[KEY]
ghp_abcdefghijklmnopqrstuvwxyz0123456789|[KEY]
AKIAIOSFODNN7EXAMPLE|[KEY]
Authorization: Bearer abcdefghijklmnop.qrs|Authorization: [KEY]
eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl x|[KEY] x
the task-force and sk-short stay|the task-force and sk-short stay
|
\.
SELECT is(slm_feedback.redact(e.value), e.expected, 'redact: ' || e.value) FROM example e;
SELECT is(slm_feedback.redact(e.expected), e.expected, 'redacted stays: ' || e.expected) FROM example e;

-- Linear: a megabyte of what makes a backtracking matcher slow, four times the text in well under 16 times the time.
CREATE FUNCTION pg_temp.took(seed text, bytes int) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    value text := repeat(seed, bytes / length(seed));
    best float8 := 'infinity';
    since timestamptz;
BEGIN
    FOR i IN 1..3 LOOP
        since := clock_timestamp();
        PERFORM slm_feedback.redaction_counts(value);
        best := least(best, extract(epoch FROM clock_timestamp() - since));
    END LOOP;
    RETURN best;
END
$$;
SELECT cmp_ok(pg_temp.took(s, 1000000), '<', 0.005 + 10 * pg_temp.took(s, 250000), 'linear in ' || s)
FROM unnest(ARRAY['a', 'a@', 'a.', 'a@a.', '1 ', '4-', 'eyJa.', 'eyJaaaa-', 'eyJaaaa.', '+1 ', '(', ':', 'f:', 'A1', 'bearer ', 'AA11 ']) s;

-- Every way of writing, off and on.
CREATE FUNCTION pg_temp.write_all(id text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM slm_feedback.record_query('I am a@x.org', 'You are a@x.org', id || '1');
    PERFORM slm_feedback.record_queries(jsonb_build_array(jsonb_build_object('query_text', 'a@x.org', 'response_text', 'a@x.org', 'request_id', id || '2')));
    INSERT INTO slm_feedback.queries (request_id, query_text, response_text) VALUES (id || '3', 'a@x.org', 'a@x.org');
    PERFORM slm_feedback.submit_feedback(id || '1', true, comment => 'a@x.org');
    PERFORM slm_feedback.submit_feedback(id || '1', true, comment => 'again a@x.org');
    PERFORM slm_feedback.submit_feedback_batch(jsonb_build_array(jsonb_build_object('request_id', id || '2', 'comment', 'a@x.org')));
    INSERT INTO slm_feedback.feedback (request_id, comment) VALUES (id || '3', 'a@x.org');
    PERFORM slm_feedback.submit_correction(id || '1', 'a@x.org', note => 'a@x.org');
    INSERT INTO slm_feedback.corrections (request_id, corrected_text, note) VALUES (id || '3', 'a@x.org', 'a@x.org');
END
$$;
CREATE FUNCTION pg_temp.raw(id text) RETURNS bigint LANGUAGE sql AS $$
    SELECT (SELECT count(*) FROM slm_feedback.queries q, unnest(ARRAY[q.query_text, q.response_text]) t
            WHERE q.request_id LIKE id || '_' AND t LIKE '%a@x.org%')
         + (SELECT count(*) FROM slm_feedback.feedback f WHERE f.request_id LIKE id || '_' AND f.comment LIKE '%a@x.org%')
         + (SELECT count(*) FROM slm_feedback.corrections c, unnest(ARRAY[c.corrected_text, c.note]) t
            WHERE c.request_id LIKE id || '_' AND t LIKE '%a@x.org%')
$$;
SELECT pg_temp.write_all('off');
SELECT is(pg_temp.raw('off'), 13::bigint, 'off: every text is stored as given');
SELECT bag_eq('SELECT * FROM slm_feedback.redaction_dry_run()',
    $$VALUES ('queries', 'query_text', 'EMAIL', 3::bigint, 3::bigint), ('queries', 'response_text', 'EMAIL', 3, 3),
             ('feedback', 'comment', 'EMAIL', 3, 3), ('corrections', 'corrected_text', 'EMAIL', 2, 2),
             ('corrections', 'note', 'EMAIL', 2, 2)$$, 'the dry run counts by column and kind');
SELECT is_empty($$SELECT * FROM slm_feedback.redaction_dry_run('2001-01-01', '2001-01-02')$$, 'and only the days it is asked for');
SELECT slm_feedback.set_redaction(true);
SELECT pg_temp.write_all('on');
SELECT is(pg_temp.raw('on'), 0::bigint, 'on: no text is stored as given, whoever writes it');
SELECT is((SELECT query_text FROM slm_feedback.queries WHERE request_id = 'on1'), 'I am [EMAIL]', 'the rest of the text stays');
UPDATE slm_feedback.queries SET query_text = query_text;
UPDATE slm_feedback.feedback SET comment = comment;
UPDATE slm_feedback.corrections SET note = note;
SELECT is_empty('SELECT * FROM slm_feedback.redaction_dry_run()', 'an UPDATE redacts what was stored before');
SELECT slm_feedback.set_redaction(false);
SELECT pg_temp.write_all('of2');
SELECT is(pg_temp.raw('of2'), 13::bigint, 'off again');
SELECT throws_ok('SELECT slm_feedback.set_redaction(NULL)', '22004');
SELECT is((SELECT count(*) FROM slm_feedback.audit_log WHERE action = 'set_redaction'), 2::bigint, 'the switch is in the audit log');
SELECT * FROM finish();
ROLLBACK;
