-- Which questions are one question.
CREATE EXTENSION slm_feedback CASCADE;
-- Unaligned: psql 15 counts the width of a zero-width space differently.
\pset format unaligned
SELECT t.question, slm_feedback.normalize_question(t.question) AS normal
FROM (VALUES
    (1, 'How are you?'), (2, '  how ARE   you '), (3, E'How\tare\nyou?!'), (4, 'How are you ...'),
    (5, '???'), (6, ''), (7, 'C++'), (8, 'What is f(x)?'), (9, 'ﬁne print；'), (10, 'ＦＵＬＬ　width？'),
    (11, 'ÉCOLE'), (12, E'E\u0301cole'), (13, 'ΣΊΣΥΦΟΣ'), (14, E'zero\u200Bwidth'), (15, '你好吗？'), (16, '你好吗。'),
    (17, 'هل هذا صحيح؟'), (18, 'a.b.c.'), (19, E'non\u00A0breaking'), (20, 'ok 👍🏽!'), (21, '½ cup')
) AS t (n, question) ORDER BY n;
-- The hash follows the normal form, whatever path computed it.
SELECT count(DISTINCT slm_feedback.question_hash(q)) AS one
FROM (VALUES ('Is it École?'), (E'is it e\u0301cole'), ('IS  IT ÉCOLE!'), (E'\u00A0is it \u200Bécole ?')) AS t (q);
SELECT count(DISTINCT slm_feedback.question_hash(q)) AS one
FROM (VALUES ('plain ascii?'), ('Plain  ASCII'), ('ＰＬＡＩＮ ascii.'), (E'plain\u2003ascii')) AS t (q);
SELECT slm_feedback.question_hash(NULL) IS NULL AS null_stays;
-- Stored values must never change between releases: the hash of a known text.
SELECT slm_feedback.question_hash('What is X?'), slm_feedback.question_hash('Où est-ce ?');
-- Normalising twice changes nothing more.
SELECT count(*) AS unstable
FROM generate_series(1, 3000) AS i,
     LATERAL (SELECT string_agg(chr((ARRAY[32, 46, 63, 65, 97, 201, 233, 769, 8203, 12288, 65311, 64257, 931, 1600, 128077])
                                    [1 + abs(hashint4(i * 31 + j)) % 15]), '') AS q FROM generate_series(1, 12) AS j) AS t,
     LATERAL (SELECT slm_feedback.normalize_question(q) AS once) AS o
WHERE slm_feedback.normalize_question(once) <> once;
-- Many marks on one letter take no quadratic time (they are sorted by their classes).
SET statement_timeout = '5s';
SELECT octet_length(slm_feedback.normalize_question('a' || repeat(U&'\0323\0301', 100000))) > 0 AS in_time,
       slm_feedback.question_hash(U&'a\0301\0323') = slm_feedback.question_hash(U&'a\0323\0301') AS sorted;
-- Ten megabytes of a character that stands for eighteen: only the first 8,192 characters are normalised.
SELECT slm_feedback.question_hash(repeat(U&'\FDFA', 3495000)) <> slm_feedback.question_hash(repeat(U&'\FDFA', 3494999)) AS bounded,
       octet_length(slm_feedback.normalize_question(repeat(U&'\FDFA', 3495000))) < 11000000 AS small;
RESET statement_timeout;
SELECT t.n, slm_feedback.question_hash(t.a) = slm_feedback.question_hash(t.b) AS same
FROM (VALUES
    (1, repeat('Ab ', 2720) || 'C ?', repeat('aB ', 2720) || 'c'),
    (2, repeat('A', 8192), repeat('a', 8192)),
    (3, repeat('A', 8192) || '?', repeat('a', 8192)),
    (4, repeat('A', 8192) || 'rest', repeat('a', 8192) || 'rest'),
    (5, repeat('A', 8192) || 'rest', repeat('a', 8192) || 'Rest'),
    (6, repeat('a', 8191) || '. x', repeat('a', 8191) || ' x'),
    (7, repeat(U&'\00C9', 8192) || 'x', repeat(U&'\00E9', 8192) || 'x'),
    (8, repeat(U&'\00C9', 8192) || U&'\00C9', repeat(U&'\00E9', 8192) || U&'\00E9')
) AS t (n, a, b) ORDER BY n;
DROP EXTENSION slm_feedback, hll, tdigest;
