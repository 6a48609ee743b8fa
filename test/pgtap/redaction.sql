-- Redaction: what is found and what is not, every way of writing, the dry run.
\ir setup.inc
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

-- The DBA's own patterns.
SELECT is(slm_feedback.redaction_kinds('a@x.org, b@x.org, 4111 1111 1111 1111, nothing'), '{EMAIL,EMAIL,CARD}', 'the kinds, a match each');
SELECT is(slm_feedback.redaction_kinds('nothing'), '{}', 'no match is an empty array, not null');
SELECT lives_ok($$SELECT slm_feedback.set_redaction_pattern('CUSTOMER', 'C-\d{4,12}')$$);
SELECT lives_ok($$SELECT slm_feedback.set_redaction_pattern('BADGE', '(?i)\mbadge \d+\M')$$);
SELECT is(slm_feedback.redact('C-12345 asks, Badge 7, a@x.org, C-1'), '[CUSTOMER] asks, [BADGE], [EMAIL], C-1', 'own patterns beside the built-in ones');
SELECT is(slm_feedback.redact(slm_feedback.redact(t)), slm_feedback.redact(t), 'twice is once: ' || t)
FROM unnest(ARRAY['C-12345', 'badge 77 C-1234 C-1234', '[CUSTOMER] C-1234']) t;
SELECT is(slm_feedback.redaction_kinds('C-12345 badge 7 a@x.org C-9999'), '{BADGE,CUSTOMER,CUSTOMER,EMAIL}', 'counted by their names');
SELECT slm_feedback.set_redaction_pattern('EARLY', '\d{3}-\d{3}-\d{4}');
SELECT is(slm_feedback.redact('212-555-0100'), '[EARLY]', 'own patterns go first');
SELECT slm_feedback.set_redaction_pattern('EARLY', NULL);
SELECT is(slm_feedback.redact('212-555-0100'), '[PHONE]', 'a removed one counts no more');
SELECT slm_feedback.set_redaction_pattern('CUSTOMER', 'K-\d+');
SELECT is(slm_feedback.redact('C-12345 K-1'), 'C-12345 [CUSTOMER]', 'a replaced one is used at once');
SAVEPOINT before_change;
SELECT slm_feedback.set_redaction_pattern('CUSTOMER', NULL);
SELECT is(slm_feedback.redact('K-1'), 'K-1', 'removed');
ROLLBACK TO before_change;
SELECT is(slm_feedback.redact('K-1'), '[CUSTOMER]', 'and there again after a rollback');

CREATE FUNCTION pg_temp.write_own(id text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM slm_feedback.record_query('I am K-1', 'You are K-1', id || '1');
    PERFORM slm_feedback.record_queries(jsonb_build_array(jsonb_build_object('query_text', 'K-1', 'response_text', 'K-1', 'request_id', id || '2')));
    INSERT INTO slm_feedback.queries (request_id, query_text, response_text) VALUES (id || '3', 'K-1', 'K-1');
    PERFORM slm_feedback.submit_feedback(id || '1', true, comment => 'K-1');
    PERFORM slm_feedback.submit_feedback_batch(jsonb_build_array(jsonb_build_object('request_id', id || '2', 'comment', 'K-1')));
    PERFORM slm_feedback.submit_correction(id || '1', 'K-1', note => 'K-1');
    RETURN (SELECT sum(d.match_count) FROM slm_feedback.redaction_dry_run() d WHERE d.kind = 'CUSTOMER');
END
$$;
SELECT is(pg_temp.write_own('own'), 10::bigint, 'the dry run counts own patterns');
DELETE FROM slm_feedback.queries;
SELECT slm_feedback.set_redaction(true);
SELECT is(pg_temp.write_own('own'), NULL::bigint, 'on: every way of writing replaces them');
SELECT is((SELECT response_text FROM slm_feedback.queries WHERE request_id = 'own1'), 'You are [CUSTOMER]');

SELECT throws_ok(format('SELECT slm_feedback.set_redaction_pattern(%L, %L)', name, pattern), state, NULL, 'refused: ' || what)
FROM (VALUES
    (NULL, 'x1', '22004', 'no name'),
    ('lower', 'x1', '22023', 'a name that is no placeholder'),
    ('EMAIL', 'x1', '22023', 'a built-in name'),
    ('A', '(', '2201B', 'not an expression'),
    ('A', 'x{1,300}', '2201B', 'more repetitions than the engine allows'),
    ('A', '((((a{1,255}){1,255}){1,255}){1,255}){1,255}b', '2201B', 'one that explodes when it is compiled'),
    ('A', 'a*', '22023', 'the empty string'),
    ('A', '', '22023', 'an empty pattern'),
    ('A', '(\w)\1', '22023', 'a back-reference'),
    ('A', 'a(?=b)', '22023', 'a look ahead'),
    ('A', '(?<!a)b', '22023', 'a look behind'),
    ('A', 'a^b', '22023', 'what cannot match'),
    ('A', repeat('a', 1001), '22023', 'one that is too long'),
    ('A', '[A-Z]+', '22023', 'one that matches placeholders'),
    ('A', 'CUSTOMER', '22023', 'one that matches the placeholder of another'),
    ('A', '.', '22023', 'everything'),
    ('A', 'x*|yz', '22023', 'an alternative that is empty'),
    ('A', '[^0-9]{6}', '22023', 'what matches the placeholder of another'),
    ('NOBODY', NULL, '42704', 'removal of an unknown one')) t (name, pattern, state, what);
SELECT lives_ok(format('SELECT slm_feedback.set_redaction_pattern(%L, %L)', 'OK', pattern), 'accepted: ' || pattern)
FROM unnest(ARRAY['\d+', '(\d+-)+\d', '(a|aa)+0', '(\d+)+x', 'x\d*y', '[a-z0-9.]+@corp', 'Straße \d{1,4}', '(?:a{1,20}){1,20}0', '[a-z]{1,200}@',
                  '[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,255}\.[A-Za-z]{2,24}', 'a.*0|c', '(a[bc]){2,}0|c', '(?i)ssn:? ?\d{3}-\d\d-\d{4}', '^id \d+$']) pattern;
SELECT slm_feedback.set_redaction_pattern('OK', NULL);
SELECT lives_ok(format('SELECT slm_feedback.set_redaction_pattern(%L, %L)', 'N' || i, 'n' || i || '0')) FROM generate_series(1, 14) i;
SELECT throws_ok($$SELECT slm_feedback.set_redaction_pattern('TOO_MANY', 'n0')$$, '54000', NULL, 'sixteen are enough');
SELECT throws_ok($$INSERT INTO slm_feedback.redaction_patterns VALUES ('A', '(a)\1')$$, '22023', NULL, 'a direct INSERT is judged as well');
SELECT cmp_ok((SELECT count(*) FROM slm_feedback.audit_log WHERE action = 'set_redaction_pattern'), '>', 20::bigint, 'changes are in the audit log');
SELECT is((SELECT count(*) FROM slm_feedback.audit_log WHERE details::text LIKE '%K-%'), 0::bigint, 'which does not repeat the pattern');
DELETE FROM slm_feedback.redaction_patterns;
SELECT slm_feedback.set_redaction(false);

-- ---- what a pattern sees: a line, and a window of a long one ----
SELECT slm_feedback.set_redaction_pattern('LONG', 'K\d{248}k');
SELECT is_empty($$
    SELECT n FROM generate_series(0, 2600) n, LATERAL (SELECT repeat('é', n) AS left, repeat('b', 2600 - n) AS right) t
    WHERE slm_feedback.redact(t.left || 'K' || repeat('7', 248) || 'k' || t.right) <> t.left || '[LONG]' || t.right$$,
    'a match of 250 characters is found wherever it is in a long line');
SELECT slm_feedback.set_redaction_pattern('LONG', '<[^>]*>');
SELECT is(slm_feedback.redact('<' || repeat('x', 998) || '>'), '[LONG]', 'a longer one if a window holds it');
SELECT is(slm_feedback.redact('<' || repeat('x', 999) || '>'), '<' || repeat('x', 999) || '>', 'and not if none does');
SELECT slm_feedback.set_redaction_pattern('LONG', '\d+');
SELECT is(slm_feedback.redact(repeat('7', 12345)), repeat('[LONG]', 13), 'one that goes on is replaced window by window, and nothing of it is left');
SELECT slm_feedback.set_redaction_pattern('LONG', '\m\d+\M');
SELECT is(slm_feedback.redact(repeat('7', 12345) || 'x'), repeat('[LONG]', 12) || repeat('7', 345) || 'x', 'the end of a window ends a word');
SELECT slm_feedback.set_redaction_pattern('LONG', '^id .*\d$');
SELECT is(slm_feedback.redact(E'id a\nid 1\n id 2\nid 3 x\n\nid b 4'), E'id a\n[LONG]\n id 2\nid 3 x\n\n[LONG]', 'a line is a text of its own');
SELECT is(slm_feedback.redact('id ' || repeat('x', 2000) || '1'), 'id ' || repeat('x', 2000) || '1', 'the end of a window is no end of a line');
SELECT is(slm_feedback.redact(repeat('x', 2000) || 'id 1'), repeat('x', 2000) || 'id 1', 'nor is its start the start of one');
SELECT slm_feedback.set_redaction_pattern('LONG', '\mé\d+');
SELECT is(slm_feedback.redact(repeat('a', 749) || 'é1'), repeat('a', 749) || 'é1', 'a window knows the character before it');

-- ---- linear: no window is larger than another. The old matcher needed minutes for each of these. ----
SET LOCAL statement_timeout = '2min';
CREATE FUNCTION pg_temp.matches(pattern text, value text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    PERFORM slm_feedback.set_redaction_pattern('LONG', pattern);
    RETURN cardinality(slm_feedback.redaction_kinds(value));
END
$$;
SELECT is(pg_temp.matches(pattern, repeat(repeat(piece, 740 / length(piece)) || last, 400)), 400, 'in time: ' || pattern)
FROM (VALUES ('<[^>]*>|%%7', '<', '%%7'), ('\d+-\d+|k9', '1', 'k9'), ('(foo.*bar)|(qux1)', 'foo ', 'qux1'), ('a.*0|c', 'a', 'c'), ('(ab)+0|c', 'ab', 'c'),
             ('[a-z]{1,200}@|7', 'a', '7')) t (pattern, piece, last);
SELECT is(pg_temp.matches(pattern, repeat(piece, 300000 / length(piece)) || last), 1, 'in time, at the end only: ' || pattern)
FROM (VALUES ('<[^>]*>|%%7', '<', '%%7'), ('\d+-\d+|k9', '1', 'k9'), ('(foo.*bar)|(qux1)', 'foo ', 'qux1'), ('a.*0|c', 'a', 'c'), ('(ab)+0|c', 'ab', 'c')) t (pattern, piece, last);
RESET statement_timeout;

-- ---- twice is once, with patterns that look at their neighbours ----
DELETE FROM slm_feedback.redaction_patterns;
SELECT slm_feedback.set_redaction_pattern(name, pattern)
FROM (VALUES ('A', '\mC-\d{4}'), ('B', 'k\d+\M'), ('C', 'éx$'), ('D', '^b\d'), ('E', '=\y'), ('F', '\mK-\d{4}'), ('G', 'to [^0-9]{6}')) t (name, pattern);
SELECT is(slm_feedback.redact('C-1234C-1234C-1234'), '[A][A][A]', 'each match opens the next');
SELECT is(slm_feedback.redact('C-1234K-1234C-1234'), '[A][F][A]', 'also that of another pattern');
SELECT is(slm_feedback.redact('k1é4111111111111111'), 'k1é[CARD]', 'é is part of a word for a pattern');
SELECT is(slm_feedback.redact('k14111111111111111 é'), '[B] é', 'patterns go first');
SELECT is(slm_feedback.redact(E'x\n' || repeat('C-1234K-1234', 9) || E'\ny'), E'x\n[A]\ny', 'a line in which they go on and on is replaced as a whole');
CREATE TEMP TABLE piece AS
SELECT ARRAY['C-1234', 'K-1234', 'C-', '1234', 'k1', 'k', '12', 'éx', 'é', 'x', 'b1', 'b', '-', '- ', '=', 'to ', ' ', E'\n', '.', '4111111111111111', 'ann@example.org', '030 123456',
             '+49 30 1234567', '中', '[', ']', '(', '_', '192.168.0.1', 'sk-abcdefghijklmnopqrstuv'] AS pieces;
SELECT is_empty($$
    SELECT r.once, t.value
    FROM generate_series(1, 20000) i,
         LATERAL (SELECT string_agg(p.pieces[1 + (hashint8extended(j, i) & 2147483647) % cardinality(p.pieces)], '' ORDER BY j)
                  FROM piece p, generate_series(1, 3 + (hashint8extended(0, i) & 15)) j) t (value),
         LATERAL (SELECT slm_feedback.redact(t.value)) r (once)
    WHERE slm_feedback.redact(r.once) <> r.once LIMIT 5$$, '20,000 random texts');
SELECT * FROM finish();
ROLLBACK;
