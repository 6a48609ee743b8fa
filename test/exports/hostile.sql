-- Texts that break careless exports: every control character, quotes, backslashes, line ends of all kinds,
-- separators of Unicode, formulas, the end marker of COPY, and the quote and delimiter that the commands use.
CREATE TEMP TABLE hostile (n bigint GENERATED ALWAYS AS IDENTITY, t text);
INSERT INTO hostile (t)
SELECT chr(i) || 'x' || chr(i) FROM generate_series(1, 31) i
UNION ALL SELECT unnest(ARRAY['"', '""', '''', '\', '\\', '\n', '\.', E'\\.\n', E'a\nb', E'a\r\nb', E'a\rb', E'\n', ',', ',,"', '"quoted"', 'back\"slash',
    E'\u2028', E'\u2029', E'\u0085', E'\u00a0', E'\ufeffbom', E'\u200b', E'\U0001f600', E'e\u0301', E'\u202egnirts', '\u0041', '\x02', '{"a": "b\\"}', 'NULL', 'null', '', ' ',
    '=1+1', '+1', '-1', '@SUM(A1)', E'\t=1', E'\r=1', '＝1', repeat('long ', 5000), E'\x01quoted\x01', E'\x02delimited\x02']);
SELECT slm_feedback.record_query('Question ' || t, 'Answer ' || t, request_id => 'hostile-' || n, user_id => nullif(t, ''), session_id => 's' || left(t, 100),
    model => 'm' || left(t, 100), prompt_version => left(nullif(t, ''), 100), error => CASE WHEN n % 7 = 0 THEN t END, tags => to_jsonb(t), metadata => jsonb_build_object(t, t))
FROM hostile WHERE octet_length(t) <= 200;
SELECT slm_feedback.record_query(t, t, request_id => 'bare-' || n) FROM hostile;
SELECT slm_feedback.submit_feedback('hostile-' || n, n % 2 = 0, comment => t, user_id => 'rater' || left(t, 50)) FROM hostile WHERE octet_length(t) <= 200;
SELECT slm_feedback.submit_feedback('bare-' || n, n % 3 > 0) FROM hostile;
SELECT slm_feedback.submit_correction('bare-' || n, 'Better ' || t, note => t) FROM hostile;
-- The same question answered well and badly.
SELECT slm_feedback.record_query('Same ' || n % 20 || '?', 'Answer ' || t, request_id => 'same-' || n, model => 'm' || n % 3) FROM hostile;
SELECT slm_feedback.submit_feedback('same-' || n, n % 40 < 20) FROM hostile;
