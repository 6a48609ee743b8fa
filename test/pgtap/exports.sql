-- Exports against the tables: rows, filters, training sets and their reports, access, and plans that stream.
\ir setup.inc
CREATE EXTENSION slm_feedback CASCADE;
SELECT * FROM no_plan();

-- ---- an answer for each way to be labelled or skipped ----
SELECT count(*) FROM slm_feedback.record_queries($$[
    {"request_id": "good",     "query_text": "Capital of France?",    "response_text": "Paris.",   "model": "a", "prompt_version": "v1", "created_at": "2026-03-01T23:30:00Z"},
    {"request_id": "better",   "query_text": "capital of  FRANCE",    "response_text": "It is Paris.", "model": "b", "created_at": "2026-03-02T12:00:00Z"},
    {"request_id": "bad",      "query_text": "Capital of France",     "response_text": "Lyon.",    "model": "a", "created_at": "2026-03-03T12:00:00Z"},
    {"request_id": "worse",    "query_text": "Capital of France!",    "response_text": "London.",  "model": "a", "created_at": "2026-03-03T13:00:00Z"},
    {"request_id": "tie",      "query_text": "Capital of France?",    "response_text": "Who knows", "created_at": "2026-03-04T12:00:00Z"},
    {"request_id": "unrated",  "query_text": "Capital of France?",    "response_text": "Marseille", "created_at": "2026-03-04T12:00:00Z"},
    {"request_id": "comment",  "query_text": "Capital of Spain?",     "response_text": "Madrid",   "created_at": "2026-03-04T12:00:00Z"},
    {"request_id": "failed",   "query_text": "Capital of Spain?",     "response_text": "Mad",      "error": "timeout", "created_at": "2026-03-04T12:00:00Z"},
    {"request_id": "silent",   "query_text": "Capital of Spain?",     "created_at": "2026-03-04T12:00:00Z"},
    {"request_id": "blank",    "query_text": " \n ",                  "response_text": "What?",    "created_at": "2026-03-04T12:00:00Z"},
    {"request_id": "lonely",   "query_text": "Capital of Italy?",     "response_text": "=Rome",    "model": "-a", "created_at": "2026-03-05T12:00:00Z"}
]$$);
SELECT count(*) FROM slm_feedback.submit_feedback_batch($$[
    {"request_id": "good", "user_id": "u1", "is_helpful": true, "rating": 3}, {"request_id": "good", "user_id": "u2", "is_helpful": true, "rating": 4},
    {"request_id": "good", "user_id": "u3", "is_helpful": false},
    {"request_id": "better", "user_id": "u1", "rating": 5}, {"request_id": "better", "user_id": "u2", "rating": 5},
    {"request_id": "bad", "user_id": "u1", "is_helpful": false},
    {"request_id": "worse", "user_id": "u1", "rating": 1}, {"request_id": "worse", "user_id": "u2", "rating": 1},
    {"request_id": "tie", "user_id": "u1", "rating": 5}, {"request_id": "tie", "user_id": "u2", "rating": 1},
    {"request_id": "comment", "user_id": "u1", "comment": "hm"},
    {"request_id": "failed", "user_id": "u1", "rating": 1}, {"request_id": "silent", "user_id": "u1", "rating": 1},
    {"request_id": "blank", "user_id": "u1", "rating": 5},
    {"request_id": "lonely", "user_id": "u1", "is_helpful": true, "comment": "@home"}
]$$);
SELECT count(c) FROM (SELECT slm_feedback.submit_correction('bad', 'Paris, of course.', 'u1'), slm_feedback.submit_correction('bad', 'Paris!', 'u2'),
    slm_feedback.submit_correction('silent', 'Madrid.'), slm_feedback.submit_correction('lonely', '=Rome')) c;

-- ---- interactions ----
SELECT results_eq(
    $$SELECT e.request_id, e.query_text, e.response_text, e.created_at, e.model, e.feedback_user_id, e.rating, e.is_helpful, e.comment, e.sentiment
      FROM slm_feedback.export_interactions() e ORDER BY 1, 6$$,
    $$SELECT q.request_id, q.query_text, q.response_text, q.created_at, q.model, f.user_id, f.rating, f.is_helpful, f.comment, f.sentiment
      FROM slm_feedback.queries q LEFT JOIN slm_feedback.feedback f USING (request_id) ORDER BY 1, 6$$,
    'export_interactions() without arguments gives everything');
SELECT is((SELECT jsonb_agg(j::jsonb ORDER BY j ->> 'request_id', j ->> 'feedback_user_id') FROM slm_feedback.export_interactions_jsonl() j),
          (SELECT jsonb_agg(to_jsonb(e) ORDER BY e.request_id, e.feedback_user_id) FROM slm_feedback.export_interactions() e),
          'the JSON lines are the same rows');
CREATE TEMP TABLE hostile AS
SELECT string_agg(chr(i), '' ORDER BY i) || E'\\"\u2028\U0001f600' AS t, true AS b, (-32768)::int2 AS s, 2147483647 AS i, (-9223372036854775807 - 1)::bigint AS l, 0.10::numeric AS n,
       '2026-01-01 00:00:00.5+00'::timestamptz AS at, '{"a\n": [1, "x"]}'::jsonb AS j, NULL::text AS "a ""key\""", 'C'::text COLLATE "C" AS c
FROM generate_series(1, 300) i;
SELECT is(slm_feedback.json_line(h)::text, row_to_json(h)::text, 'json_line() is row_to_json(): ' || g) FROM hostile h, generate_series(1, 2) g;
SELECT is(slm_feedback.json_line(f)::text, row_to_json(f)::text, 'and of a table') FROM slm_feedback.feedback f LIMIT 1;
SELECT throws_ok('SELECT slm_feedback.json_line(ROW(''1 day''::interval))', '0A000', NULL, 'a column of another type');
SELECT set_eq('SELECT request_id FROM slm_feedback.export_interactions(''2026-03-02'', ''2026-03-03'')', ARRAY['better', 'bad', 'worse'], 'both dates are included');
SELECT set_eq('SELECT request_id FROM slm_feedback.export_interactions(to_date => ''2026-03-01'')', ARRAY['good'], 'an open start');
SELECT set_eq('SELECT request_id FROM slm_feedback.export_interactions(''2026-03-05'', ''infinity'')', ARRAY['lonely'], 'infinity is an open end');
SELECT set_eq('SELECT request_id FROM slm_feedback.export_interactions(model => ''a'', prompt_version => '''')', ARRAY['bad', 'worse'], 'a model, and queries without a version');
SELECT slm_feedback.set_time_zone('Europe/Berlin');
SELECT set_eq('SELECT request_id FROM slm_feedback.export_interactions(''2026-03-02'', ''2026-03-02'')', ARRAY['good', 'better'], 'days follow the time zone');
SELECT slm_feedback.set_time_zone('UTC');
SELECT throws_ok(format('SELECT * FROM slm_feedback.%s', c), '22023', NULL, c) FROM unnest(ARRAY[
    'export_interactions(''2026-03-05'', ''2026-03-04'')', 'export_interactions_jsonl(''2026-03-05'', ''2026-03-04'')', 'export_daily_metrics(''2026-03-05'', ''2026-03-04'')',
    'export_kto(''2026-03-05'', ''2026-03-04'')', 'export_kto(split => ''half'')', 'export_sft(''chatml'')', 'export_openai(''dpo'')', 'export_dpo(split => ''x'')',
    'export_kto(min_raters => -1)', 'export_sft(min_rating => 9)', 'export_dpo(min_rating => ''NaN'', one_per_question => true)', 'export_dpo(max_pairs => 0)',
    'export_openai(''preference'', max_pairs => NULL)', 'export_kto_report(min_rating => 0)']) c;
SELECT throws_ok(format('SELECT * FROM slm_feedback.%s', c), '22023', NULL, c || ' where nothing is to be exported') FROM unnest(ARRAY[
    'export_sft(''chatml'', from_date => ''2020-01-01'', to_date => ''2020-01-01'')', 'export_sft(NULL, to_date => ''2020-01-01'')',
    'export_kto(to_date => ''2020-01-01'', split => ''half'')', 'export_kto(to_date => ''2020-01-01'', min_raters => -1, one_per_question => true)',
    'export_dpo(to_date => ''2020-01-01'', max_pairs => -1)', 'export_dpo_report(to_date => ''2020-01-01'', min_rating => 6)',
    'export_openai(''dpo'', to_date => ''2020-01-01'')', 'export_kto(model => ''none such'', from_date => ''2026-03-05'', to_date => ''2026-03-04'')']) c;
SELECT is((SELECT count(*) FROM slm_feedback.export_kto(one_per_question => NULL)), (SELECT count(*) FROM slm_feedback.export_kto()), 'a null switch is as its default');
SELECT is((SELECT md5(string_agg(j::text, '' ORDER BY j::text)) FROM slm_feedback.export_interactions_jsonl(redact => NULL) j),
    (SELECT md5(string_agg(j::text, '' ORDER BY j::text)) FROM slm_feedback.export_interactions_jsonl(redact => true) j), 'but a null redact redacts');

-- ---- spreadsheets ----
SELECT is((SELECT string_agg(concat_ws(' ', e.response_text, e.model, e.comment), '') FROM slm_feedback.export_interactions('2026-03-05', neutralize_formulas => true) e),
          $$'=Rome '-a '@home$$, 'texts that could be formulas get an apostrophe');
SELECT is((SELECT string_agg(concat_ws(' ', e.response_text, e.model, e.comment), '') FROM slm_feedback.export_interactions('2026-03-05') e),
          '=Rome -a @home', 'but only on demand');
SELECT is(slm_feedback.plain_cell(v), CASE WHEN i < 9 THEN '''' ELSE '' END || v, format('plain_cell(%s)', to_json(v)))
FROM unnest(ARRAY['=1', '+1', '-1', '@x', E'\t=1', E'\r=1', E'\n=1', '＝1', 'a=1', ' x', '', '1-1']) WITH ORDINALITY AS t (v, i);

-- ---- training sets ----
SELECT is(slm_feedback.is_blank(t), i < 6, format('is_blank(%s)', to_json(t))) FROM unnest(ARRAY['', ' ', E'\t\r\n ', E'\u0085\u00a0\u2028\u3000', E'\u200b\ufeff', 'x', E' \u00e9 ', '.', E'\u0001']) WITH ORDINALITY AS b (t, i);
SELECT set_eq($$SELECT j ->> 'prompt' AS c1, j ->> 'completion' AS c2, (j ->> 'label')::boolean AS c3 FROM slm_feedback.export_kto() j$$,
    $$VALUES ('Capital of France?', 'Paris.', true), ('capital of  FRANCE', 'It is Paris.', true), ('Capital of France', 'Lyon.', false),
             ('Capital of France!', 'London.', false), ('Capital of Italy?', '=Rome', true)$$, 'export_kto()');
SELECT results_eq('SELECT * FROM slm_feedback.export_kto_report()',
    $$VALUES ('exported', 'label true', 3::bigint, 0.6::float8), ('exported', 'label false', 2, 0.4), ('skipped', 'not rated', 2, NULL),
             ('skipped', 'no answer', 1, NULL), ('skipped', 'no majority', 1, NULL), ('skipped', 'no question', 1, NULL), ('skipped', 'request failed', 1, NULL)$$,
    'export_kto_report(): the balance, and each skipped answer with its reason');
SELECT set_eq($$SELECT j ->> 'completion' FROM slm_feedback.export_kto(min_raters => 2) j$$, ARRAY['Paris.', 'It is Paris.', 'London.'], 'min_raters');
SELECT set_eq($$SELECT j ->> 'completion' FROM slm_feedback.export_kto(min_rating => 4) j$$, ARRAY['It is Paris.', 'Lyon.', 'London.'], 'min_rating concerns good answers');
SELECT set_eq($$SELECT j ->> 'completion' FROM slm_feedback.export_kto(model => 'a') j$$, ARRAY['Paris.', 'Lyon.', 'London.'], 'model');
SELECT set_eq($$SELECT j ->> 'completion' FROM slm_feedback.export_kto(one_per_question => true) j$$, ARRAY['It is Paris.', '=Rome'], 'one_per_question: the answer on which most agree');
SELECT is((SELECT sum(row_count) FROM slm_feedback.export_kto_report(one_per_question => true)), 11::numeric, 'the report adds up to all answers');

SELECT set_eq($$SELECT j ->> 'prompt' AS c1, j ->> 'completion' AS c2 FROM slm_feedback.export_sft() j$$,
    $$VALUES ('Capital of France?', 'Paris.'), ('capital of  FRANCE', 'It is Paris.'), ('Capital of Italy?', '=Rome'), ('Capital of Italy?', '=Rome'),
             ('Capital of France', 'Paris, of course.'), ('Capital of France', 'Paris!'), ('Capital of Spain?', 'Madrid.')$$, 'export_sft(): good answers and corrections');
SELECT set_eq($$SELECT j #>> '{messages,0,role}' AS c1, j #>> '{messages,0,content}' AS c2, j #>> '{messages,1,role}' AS c3, j #>> '{messages,1,content}' AS c4, json_array_length(j -> 'messages') AS c5
                FROM slm_feedback.export_sft('messages', with_corrections => false) j$$,
    $$VALUES ('user', 'Capital of France?', 'assistant', 'Paris.', 2), ('user', 'capital of  FRANCE', 'assistant', 'It is Paris.', 2), ('user', 'Capital of Italy?', 'assistant', '=Rome', 2)$$,
    'export_sft(''messages''), without corrections');
SELECT set_eq($$SELECT j ->> 'completion' FROM slm_feedback.export_sft(one_per_question => true) j$$, ARRAY['Paris!', '=Rome', 'Madrid.'], 'the newest correction stands for its question');
SELECT results_eq('SELECT * FROM slm_feedback.export_sft_report(one_per_question => true)',
    $$VALUES ('exported', 'one a question', 3::bigint), ('skipped', 'another row for the question', 4), ('skipped', 'bad answer', 2), ('skipped', 'not rated', 2),
             ('skipped', 'no answer', 1), ('skipped', 'no majority', 1), ('skipped', 'no question', 1), ('skipped', 'request failed', 1)$$, 'export_sft_report()');

SELECT set_eq($$SELECT j ->> 'prompt' AS c1, j ->> 'chosen' AS c2, j ->> 'rejected' AS c3 FROM slm_feedback.export_dpo() j$$,
    $$VALUES ('Capital of France', 'Paris, of course.', 'Lyon.'), ('Capital of France', 'Paris!', 'Lyon.'),
             ('capital of  FRANCE', 'It is Paris.', 'London.'), ('capital of  FRANCE', 'It is Paris.', 'Lyon.'), ('Capital of France?', 'Paris.', 'London.'), ('Capital of France?', 'Paris.', 'Lyon.')$$,
    'export_dpo(): corrections, and answers to the same question rated apart');
SELECT results_eq('SELECT * FROM slm_feedback.export_dpo_report(max_pairs => 3)',
    $$VALUES ('exported', 'pairs of ratings', 3::bigint), ('exported', 'pairs of corrections', 2), ('skipped', 'answer: not rated', 2), ('skipped', 'answer: no answer', 1),
             ('skipped', 'answer: no majority', 1), ('skipped', 'answer: no question', 1), ('skipped', 'answer: request failed', 1),
             ('skipped', 'correction: no answer', 1), ('skipped', 'correction: same text', 1), ('skipped', 'pair: more than max_pairs', 1)$$, 'export_dpo_report()');
SELECT set_eq($$SELECT j ->> 'chosen' AS c1, j ->> 'rejected' AS c2 FROM slm_feedback.export_dpo(max_pairs => 1, min_rating => 4, to_date => '2026-03-03') j WHERE j ->> 'rejected' <> 'Lyon.'$$,
    $$VALUES ('It is Paris.', 'London.')$$, 'max_pairs: the clearest pair first');
SELECT is((SELECT count(*) FROM slm_feedback.export_dpo(one_per_question => true)), 1::bigint, 'one pair a question');
SELECT is((SELECT sum(row_count) FROM slm_feedback.export_dpo_report(one_per_question => true) WHERE outcome = 'exported' OR reason = 'another pair for the question'), 6::numeric, 'and the report of it');
SELECT is((SELECT jsonb_agg(DISTINCT (SELECT jsonb_agg(k ORDER BY k) FROM jsonb_object_keys(j::jsonb) k)) FROM slm_feedback.export_openai('preference') j),
          '[["input", "non_preferred_output", "preferred_output"]]', 'export_openai(''preference'')');
SELECT is((SELECT count(*) FROM slm_feedback.export_openai('preference')), (SELECT count(*) FROM slm_feedback.export_dpo()), 'has the pairs of export_dpo()');
SELECT set_eq('SELECT j::text FROM slm_feedback.export_openai() j', 'SELECT j::text FROM slm_feedback.export_sft(''messages'') j', 'export_openai() is export_sft(''messages'')');
SELECT is(slm_feedback.training_split(NULL), NULL, 'no question, no split');

-- ---- many rows: splits, and plans that stream ----
INSERT INTO slm_feedback.queries (request_id, query_text, response_text, created_at)
SELECT 'm' || i, 'Many ' || i / 3 || CASE i % 3 WHEN 0 THEN '?' WHEN 1 THEN '!' ELSE '' END, 'Answer ' || i, '2026-04-01'::timestamptz + i * interval '1 minute'
FROM generate_series(1, 20000) i;
INSERT INTO slm_feedback.feedback (request_id, user_id, is_helpful, query_created_at)
SELECT 'm' || i, 'u', i % 3 > 0, now() FROM generate_series(1, 20000) i;
ANALYZE slm_feedback.queries, slm_feedback.feedback;
CREATE TEMP TABLE side AS
SELECT s, slm_feedback.normalize_question(j ->> 'prompt') AS question FROM unnest(ARRAY['train', 'validation', 'test']) s, LATERAL slm_feedback.export_kto('2026-04-01', split => s) j;
SELECT is((SELECT count(*) FROM side), 20000::bigint, 'the three splits are everything');
SELECT is_empty('SELECT question FROM side GROUP BY question HAVING count(DISTINCT s) > 1', 'no question stands on two sides');
SELECT bag_eq($$SELECT s, round(10.0 * count(*) / 20000) AS n FROM side GROUP BY s$$, $$VALUES ('train', 8.0), ('validation', 1.0), ('test', 1.0)$$, '80, 10 and 10 percent');
SELECT is((SELECT array_agg(DISTINCT slm_feedback.question_hash(t)) FROM unnest(ARRAY['Many 1?', 'many  1']) t),
          (SELECT array_agg(DISTINCT e.question_hash) FROM slm_feedback.export_interactions() e WHERE e.query_text IN ('Many 1?', 'Many 1!', 'Many 1')), 'equal questions have one hash');
SELECT is((SELECT count(*) FROM slm_feedback.export_dpo('2026-04-01')), (SELECT sum(g * b) FROM (SELECT count(*) FILTER (WHERE i % 3 > 0) AS g, count(*) FILTER (WHERE i % 3 = 0) AS b
          FROM generate_series(1, 20000) i GROUP BY i / 3) n)::bigint, 'every pair of many questions');
SELECT is((SELECT count(*) FROM slm_feedback.export_kto('2026-04-01', one_per_question => true)), 6667::bigint, 'one row of each of many questions');

-- ---- the filter that spares the probe of unrated answers ----
SELECT is((SELECT count(*) FROM slm_feedback.feedback f, generate_series(1, 5) WHERE NOT slm_feedback.may_be_rated(f.request_id)), 0::bigint,
          'may_be_rated() is never false for an answer with feedback, in ' || (SELECT 5 * count(*) FROM slm_feedback.feedback) || ' calls');
SELECT cmp_ok((SELECT count(*) FROM generate_series(1, 100000) i WHERE NOT slm_feedback.may_be_rated('none ' || i)), '>', 70000::bigint,
              'and false for most that have none');
SELECT bag_eq('SELECT e.request_id, e.feedback_user_id, e.sentiment FROM slm_feedback.export_interactions() e',
              'SELECT q.request_id, f.user_id, f.sentiment FROM slm_feedback.queries q LEFT JOIN slm_feedback.feedback f USING (request_id)',
              'nothing is lost by it');
-- A PL/pgSQL expression keeps the function's state from one snapshot to the next.
BEGIN ISOLATION LEVEL REPEATABLE READ;
CREATE FUNCTION pg_temp.asks_again(OUT before boolean, OUT after boolean) LANGUAGE plpgsql AS $$
DECLARE
    rated boolean;
BEGIN
    PERFORM slm_feedback.record_query('q', request_id => 'asked again');
    FOR i IN 1 .. 20002 LOOP
        rated := slm_feedback.may_be_rated('asked again');
        IF i = 20001 THEN
            before := rated;
            PERFORM slm_feedback.submit_feedback('asked again', true);
        END IF;
    END LOOP;
    after := rated;
END $$;
SELECT results_eq('SELECT * FROM pg_temp.asks_again()', 'VALUES (false, true)', 'feedback given in a loop is not taken for none');
ROLLBACK;
BEGIN;
SELECT count(slm_feedback.record_query('q', 'a', 'fresh ' || i)) FROM generate_series(1, 3) i;
SELECT count(f) FROM (SELECT slm_feedback.submit_feedback('fresh 3', true)) f;
SELECT bag_eq('SELECT e.request_id, e.feedback_user_id, e.sentiment FROM slm_feedback.export_interactions() e',
              'SELECT q.request_id, f.user_id, f.sentiment FROM slm_feedback.queries q LEFT JOIN slm_feedback.feedback f USING (request_id)',
              'feedback of the running transaction included');
ROLLBACK;

-- ---- redacted on request ----
BEGIN;
DELETE FROM slm_feedback.queries;
SELECT slm_feedback.set_redaction_pattern('CUSTOMER', 'K-\d+');
SELECT count(slm_feedback.record_query('Mail of K-' || i, 'Write to a' || i || '@x.org', 'r' || i)) FROM generate_series(1, 2) i;
SELECT count(slm_feedback.record_query('mail of K-1', 'Not to b@x.org', 'r3'));
SELECT count(f) FROM (SELECT slm_feedback.submit_feedback('r' || i, i < 3, comment => '=b@x.org', user_id => 'u') FROM generate_series(1, 3) i) f;
SELECT count(c) FROM (SELECT slm_feedback.submit_correction('r2', 'Call +49 30 1234567')) c;
SELECT bag_eq('SELECT query_text, response_text, comment FROM slm_feedback.export_interactions(redact => true)',
    $$VALUES ('Mail of [CUSTOMER]', 'Write to [EMAIL]', '=[EMAIL]'), ('Mail of [CUSTOMER]', 'Write to [EMAIL]', '=[EMAIL]'), ('mail of [CUSTOMER]', 'Not to [EMAIL]', '=[EMAIL]')$$,
    'rows with placeholders');
SELECT is((SELECT min(comment) FROM slm_feedback.export_interactions(redact => true, neutralize_formulas => true)), '''=[EMAIL]', 'and without formulas');
SELECT is_empty(format('SELECT j FROM slm_feedback.%s j WHERE j::text ~ ''x[.]org|K-|1234567''', e), 'no personal data in ' || e)
FROM unnest(ARRAY['export_interactions_jsonl(redact => true)', 'export_sft(redact => true)', 'export_sft(''messages'', redact => true)', 'export_kto(redact => true)',
    'export_kto(redact => true, one_per_question => true)', 'export_dpo(redact => true)', 'export_dpo(redact => true, one_per_question => true)',
    'export_openai(redact => true)', 'export_openai(''preference'', redact => true)']) e;
SELECT cmp_ok((SELECT count(*) FROM slm_feedback.export_dpo(redact => true)), '>=', 2::bigint, 'as many pairs as ever');
SELECT isnt_empty('SELECT j FROM slm_feedback.export_kto() j WHERE j::text ~ ''x[.]org''', 'the default exports the texts as they are stored');
ROLLBACK;

CREATE FUNCTION pg_temp.plan_of(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, TIMING off) ' || statement;
END
$$;
SET work_mem = '64kB';
SELECT is_empty(format('SELECT line FROM pg_temp.plan_of(%L) line WHERE line ~ ''Function Scan|temp|Disk|Hash|Sort|Materialize''', s), 'streams: ' || s)
FROM unnest(ARRAY['SELECT * FROM slm_feedback.export_interactions()', 'SELECT * FROM slm_feedback.export_interactions(''2026-01-01'', ''2026-12-31'', ''a'', ''v'', true)',
    'SELECT * FROM slm_feedback.export_interactions_jsonl()', 'SELECT slm_feedback.export_interactions_jsonl()',
    'SELECT slm_feedback.export_interactions()', 'SELECT * FROM slm_feedback.export_interactions(redact => true)', 'SELECT slm_feedback.export_kto(redact => true)', 'SELECT * FROM slm_feedback.export_kto()', 'SELECT slm_feedback.export_kto()', 'SELECT slm_feedback.export_sft()',
    'SELECT * FROM slm_feedback.export_sft(''messages'')', 'SELECT * FROM slm_feedback.export_openai()', 'SELECT slm_feedback.export_openai(''supervised'')']) s;
SELECT isnt_empty($$SELECT line FROM pg_temp.plan_of('SELECT * FROM slm_feedback.export_interactions(''2026-04-01'', ''2026-04-01'')') line WHERE line LIKE '%queries_created_at_idx%'$$,
    'a range of days is an index range');
SELECT isnt_empty($$SELECT line FROM pg_temp.plan_of('SELECT * FROM slm_feedback.export_kto(one_per_question => true) LIMIT 1') line WHERE line LIKE '%Disk%'$$,
    'the check sees a temporary file where there is one');
RESET work_mem;

-- ---- json_line() and a row type that changes while the query runs ----
CREATE TYPE public.slm_shape AS (a int8);
CREATE FUNCTION public.slm_shapes(i int) RETURNS public.slm_shape LANGUAGE plpgsql AS $$
DECLARE
    shape record;
BEGIN
    IF i = 2 THEN
        ALTER TYPE public.slm_shape ALTER ATTRIBUTE a TYPE text, ADD ATTRIBUTE b boolean;
    END IF;
    -- planned anew for each call
    EXECUTE CASE WHEN i = 1 THEN 'SELECT (ROW(1)::public.slm_shape).*' ELSE 'SELECT (ROW(''two'', true)::public.slm_shape).*' END INTO shape;
    RETURN shape;
END
$$;
SELECT is((SELECT string_agg(slm_feedback.json_line(public.slm_shapes(i))::text, ' ' ORDER BY i) FROM generate_series(1, 2) i),
          '{"a":1} {"a":"two","b":true}', 'json_line() sees the new attributes');
DROP FUNCTION public.slm_shapes;
DROP TYPE public.slm_shape;

-- ---- daily metrics ----
SELECT bag_eq($$SELECT date, model, prompt_version, total_queries, positive_feedback_count, unique_users, hourly_queries FROM slm_feedback.export_daily_metrics()$$,
    $$SELECT date, model, prompt_version, total_queries, positive_feedback_count, unique_users, hourly_queries FROM slm_feedback.metrics('2000-01-01', '2100-01-01')$$,
    'export_daily_metrics() before a rollup');
CALL slm_feedback.rollup();
SELECT slm_feedback.record_query('late', created_at => '2026-03-02 12:00+00') IS NOT NULL;
SELECT bag_eq($$SELECT (j ->> 'date')::date AS date, j ->> 'model' AS model, (j ->> 'total_queries')::bigint AS n FROM slm_feedback.export_daily_metrics_jsonl() j$$,
    $$SELECT date, model, total_queries FROM slm_feedback.metrics('2000-01-01', '2100-01-01')$$, 'and after one, with a late write');
SELECT is((SELECT count(DISTINCT date) FROM slm_feedback.export_daily_metrics('2026-03-02', '2026-03-03')), 2::bigint, 'a range of them');

-- ---- access ----
CREATE ROLE slm_export_analyst;
CREATE ROLE slm_export_texts;
CREATE ROLE slm_export_app;
SELECT slm_feedback.grant_access('slm_export_analyst', 'analyst');
SELECT slm_feedback.grant_access('slm_export_texts', 'analyst_texts');
SELECT slm_feedback.grant_access('slm_export_app', 'app');
CREATE FUNCTION pg_temp.as_role(role_name text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    PERFORM set_config('role', role_name, true);
    BEGIN
        EXECUTE statement INTO result;
    EXCEPTION WHEN insufficient_privilege THEN
        result := 'refused';
    END;
    PERFORM set_config('role', 'none', true);
    RETURN result;
END
$$;
SELECT is(pg_temp.as_role('slm_export_analyst', $$SELECT row(count(*), count(e.query_text), count(e.response_text), count(e.comment), count(e.user_id), count(e.feedback_user_id),
    count(e.error), count(e.tags), count(e.model) > 0, count(e.sentiment) > 0) FROM slm_feedback.export_interactions(to_date => '2026-03-31') e$$),
    '(17,0,0,0,0,0,0,0,t,t)', 'an analyst sees numbers, and neither texts nor people');
SELECT is(pg_temp.as_role('slm_export_texts', $$SELECT row(count(*), count(e.query_text), count(e.comment), count(e.feedback_user_id)) FROM slm_feedback.export_interactions(to_date => '2026-03-31') e$$),
    '(17,17,2,15)', 'analyst_texts sees them');
SELECT is(pg_temp.as_role('slm_export_analyst', 'SELECT count(*) FROM slm_feedback.export_kto()'), '0', 'no training rows without texts');
SELECT is(pg_temp.as_role('slm_export_analyst', 'SELECT string_agg(DISTINCT reason, '','') FROM slm_feedback.export_kto_report() WHERE outcome = ''skipped'''), 'no question', 'and the report says so');
SELECT is(pg_temp.as_role('slm_export_texts', 'SELECT count(*) FROM slm_feedback.export_dpo(to_date => ''2026-03-31'')'), '6', 'pairs for analyst_texts');
SELECT is(pg_temp.as_role('slm_export_analyst', 'SELECT count(*) > 0 FROM slm_feedback.export_daily_metrics()'), 'true', 'daily metrics for an analyst');
SELECT is(pg_temp.as_role('slm_export_app', format('SELECT count(*) FROM slm_feedback.%s()', e)), 'refused', e || ' refuses an app')
FROM unnest(ARRAY['export_interactions', 'export_daily_metrics', 'export_kto', 'export_sft', 'export_dpo', 'export_openai']) e;
-- a grant of one column shows that column
GRANT SELECT (query_text) ON slm_feedback.queries TO slm_export_analyst;
SELECT is(pg_temp.as_role('slm_export_analyst', $$SELECT row(count(e.query_text), count(e.response_text)) FROM slm_feedback.export_interactions(to_date => '2026-03-31') e$$),
    '(17,0)', 'a grant of one column shows that column');

SELECT * FROM finish();
DROP EXTENSION slm_feedback CASCADE;
DROP ROLE slm_export_analyst, slm_export_texts, slm_export_app;
