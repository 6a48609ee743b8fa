-- Every report answers whatever values the tables accept: the largest, the smallest and the longest.
\ir setup.inc
CREATE EXTENSION slm_feedback CASCADE;
SELECT plan(52);

-- What the tables do not accept.
SELECT throws_ok(format('INSERT INTO slm_feedback.queries (request_id, %I) VALUES (%L, %L)', c, 'bad', v), '23514', NULL, c || ' ' || v || ' is refused')
FROM (VALUES ('cost_usd', 'NaN'), ('cost_usd', 'Infinity'), ('cost_usd', '-Infinity'), ('cost_usd', '-0.01'), ('cost_usd', '1000000000'),
             ('response_time_ms', '-1'), ('input_tokens', '-1'), ('output_tokens', '-1')) v (c, v);

-- What they do: 9,300 of the largest costs are more millionths of a dollar than a bigint holds.
INSERT INTO slm_feedback.queries (request_id, query_text, response_text, created_at, user_id, session_id, response_time_ms, sources_used, model,
                                  prompt_version, input_tokens, output_tokens, cost_usd, error, tags, metadata)
SELECT 'max' || n, repeat('q', 100), repeat('r', 100), now(), repeat('u', 255), repeat('s', 255), 2147483647, '"x"', repeat('m', 255),
       repeat('v', 255), 2147483647, 2147483647, 999999999.999999, 'e', '{}', '[]'
FROM generate_series(1, 9300) n;
INSERT INTO slm_feedback.queries (request_id, query_text, response_text, created_at, user_id, response_time_ms, model, prompt_version, input_tokens, output_tokens, cost_usd)
VALUES ('tiny', '', '', now(), 'tiny', 0, 'tiny', 'tiny', 0, 0, ('1e-16383')::numeric),
       ('zero', ' ', NULL, now() - interval '1 day', NULL, 0, NULL, NULL, 0, 0, 0),
       ('nulls', NULL, NULL, now() - interval '1 day', NULL, NULL, NULL, NULL, NULL, NULL, NULL),
       ('oldest', 'old', 'old', '2000-01-01 00:00:00+00', 'old', NULL, 'm', NULL, NULL, NULL, 1e-200);
INSERT INTO slm_feedback.feedback (request_id, user_id, is_helpful, rating, comment) VALUES
    ('max1', repeat('u', 255), true, 5, ''), ('max1', NULL, false, 1, NULL), ('tiny', 'tiny', NULL, NULL, ''), ('oldest', 'x', NULL, 3, NULL);
INSERT INTO slm_feedback.corrections (request_id, user_id, corrected_text) VALUES ('max1', NULL, ''), ('tiny', repeat('u', 255), repeat('c', 10000));
SELECT slm_feedback.set_alert_rule('rule ' || metric || condition, metric, condition,
                                   CASE WHEN metric = 'avg_rating' AND condition = 'above' THEN 1.5 ELSE 0.5 END, days => 366)
FROM slm_feedback.alert_metrics(), unnest('{above,rises}'::text[]) condition \g /dev/null
-- the tiny cost alone
SELECT slm_feedback.set_alert_rule('tiny cost', 'cost_usd', 'below', 1, model => 'tiny', days => 1) \g /dev/null

CREATE TEMP TABLE asked (what text, sql text);
INSERT INTO asked VALUES
    -- what the dashboard is made of; the page itself may not be installed (test/t/060_dashboard.pl has it)
    ('dashboard_rows', $$SELECT slm_feedback.dashboard_rows('1999-12-31', 'infinity')$$),
    ('dashboard_ranges', $$SELECT slm_feedback.dashboard_ranges('1999-12-31', 'infinity')$$),
    ('report_daily', $$SELECT slm_feedback.report_daily('-infinity', 'infinity')$$),
    ('report_models', $$SELECT slm_feedback.report_models('-infinity', 'infinity', true)$$),
    ('report_summary', $$SELECT slm_feedback.report_summary('-infinity', 'infinity')$$),
    ('report_top_questions', $$SELECT slm_feedback.report_top_questions('-infinity', 'infinity', NULL, o) FROM unnest('{asked,best,worst}'::text[]) o$$),
    ('report_jobs', 'SELECT slm_feedback.report_jobs()'),
    ('evaluate_alerts', 'SELECT slm_feedback.evaluate_alerts()'),
    ('report_alerts', 'SELECT slm_feedback.report_alerts(false)'),
    ('generate_report', $$SELECT slm_feedback.generate_report('range', slm_feedback.today() - 3000, slm_feedback.today())$$),
    ('write_due_reports', 'SELECT slm_feedback.write_due_reports()'),
    ('refresh_dashboard_questions', 'SELECT slm_feedback.refresh_dashboard_questions()'),
    ('export_interactions', 'SELECT slm_feedback.export_interactions()'),
    ('export_interactions_jsonl', 'SELECT slm_feedback.export_interactions_jsonl()'),
    ('export_daily_metrics', 'SELECT slm_feedback.export_daily_metrics()'),
    ('export_daily_metrics_jsonl', 'SELECT slm_feedback.export_daily_metrics_jsonl()'),
    ('export_sft', 'SELECT slm_feedback.export_sft()'),
    ('export_kto', 'SELECT slm_feedback.export_kto()'),
    ('export_dpo', 'SELECT slm_feedback.export_dpo()'),
    ('export_changes', 'SELECT slm_feedback.export_changes(NULL)'),
    ('export_user', $$SELECT slm_feedback.export_user(repeat('u', 255))$$),
    ('user_id_report', 'SELECT slm_feedback.user_id_report()');
SELECT lives_ok(sql, what || ', computed live') FROM asked;
CALL slm_feedback.rollup();
SELECT lives_ok(sql, what || ', rolled up') FROM asked;
SELECT * FROM finish();
