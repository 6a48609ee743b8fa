-- Training sets, one JSON object a row. Every export has a report with the same arguments.
CREATE FUNCTION slm_feedback.messages(prompt text, completion text) RETURNS json
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT json_build_array(json_build_object('role', 'user', 'content', prompt),
                            json_build_object('role', 'assistant', 'content', completion));
END;
COMMENT ON FUNCTION slm_feedback.messages(text, text) IS
'A question and its answer as the messages of a chat.';

CREATE FUNCTION slm_feedback.export_sft(
    format text DEFAULT 'prompt_completion',
    from_date date DEFAULT NULL,
    to_date date DEFAULT NULL,
    model text DEFAULT NULL,
    prompt_version text DEFAULT NULL,
    min_rating double precision DEFAULT NULL,
    min_raters integer DEFAULT 1,
    one_per_question boolean DEFAULT false,
    split text DEFAULT NULL,
    with_corrections boolean DEFAULT true,
    redact boolean DEFAULT false
) RETURNS SETOF json
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 100000
BEGIN ATOMIC
    SELECT CASE format
               WHEN 'messages' THEN json_build_object('messages', slm_feedback.messages(t.prompt, t.completion))
               ELSE json_build_object('prompt', t.prompt, 'completion', t.completion) END
    FROM slm_feedback.training_examples(from_date, to_date, model, prompt_version, min_rating, min_raters, one_per_question, split, true, with_corrections) e
    CROSS JOIN LATERAL (SELECT CASE WHEN redact IS NOT FALSE THEN slm_feedback.redact(e.prompt) ELSE e.prompt END AS prompt,
                               CASE WHEN redact IS NOT FALSE THEN slm_feedback.redact(e.completion) ELSE e.completion END AS completion) t
    WHERE slm_feedback.check_choice('format', format, ARRAY['prompt_completion', 'messages']) = format;
END;
COMMENT ON FUNCTION slm_feedback.export_sft(text, date, date, text, text, double precision, integer, boolean, text, boolean, boolean) IS
'Supervised fine-tuning (TRL): good answers, and corrections unless with_corrections is false. format prompt_completion (prompt and completion as texts) or messages (a chat). Filters: from_date and to_date (by the day of the query; null, the default: everything), model and prompt_version (null: all, empty string: not given), min_raters (opinions with a sentiment, default 1), min_rating (the least average rating of a good answer), one_per_question and split (train, validation or test); min_raters and min_rating do not concern corrections. redact replaces personal data in the texts as redact() does. Errors: 22023 from_date after to_date, a min_rating not between 1 and 5, a negative min_raters, or an unknown word.';

CREATE FUNCTION slm_feedback.export_kto(
    from_date date DEFAULT NULL,
    to_date date DEFAULT NULL,
    model text DEFAULT NULL,
    prompt_version text DEFAULT NULL,
    min_rating double precision DEFAULT NULL,
    min_raters integer DEFAULT 1,
    one_per_question boolean DEFAULT false,
    split text DEFAULT NULL,
    redact boolean DEFAULT false
) RETURNS SETOF json
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 100000
BEGIN ATOMIC
    SELECT json_build_object('prompt', CASE WHEN redact IS NOT FALSE THEN slm_feedback.redact(e.prompt) ELSE e.prompt END,
                             'completion', CASE WHEN redact IS NOT FALSE THEN slm_feedback.redact(e.completion) ELSE e.completion END, 'label', e.label)
    FROM slm_feedback.training_examples(from_date, to_date, model, prompt_version, min_rating, min_raters, one_per_question, split, false, false) e;
END;
COMMENT ON FUNCTION slm_feedback.export_kto(date, date, text, text, double precision, integer, boolean, text, boolean) IS
'Unpaired preferences (TRL''s KTO): prompt, completion and label, true for a good answer and false for a bad one by the majority of its opinions. Filters: from_date and to_date (by the day of the query; null, the default: everything), model and prompt_version (null: all, empty string: not given), min_raters (opinions with a sentiment, default 1), min_rating (the least average rating of a good answer), one_per_question and split (train, validation or test). redact replaces personal data in the texts as redact() does. export_kto_report() gives the balance of the labels. Errors: 22023 from_date after to_date, a min_rating not between 1 and 5, a negative min_raters, or an unknown word.';

CREATE FUNCTION slm_feedback.export_dpo(
    from_date date DEFAULT NULL,
    to_date date DEFAULT NULL,
    model text DEFAULT NULL,
    prompt_version text DEFAULT NULL,
    min_rating double precision DEFAULT NULL,
    min_raters integer DEFAULT 1,
    one_per_question boolean DEFAULT false,
    split text DEFAULT NULL,
    max_pairs integer DEFAULT 10,
    redact boolean DEFAULT false
) RETURNS SETOF json
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 100000
BEGIN ATOMIC
    SELECT json_build_object('prompt', CASE WHEN redact IS NOT FALSE THEN slm_feedback.redact(p.prompt) ELSE p.prompt END,
                             'chosen', CASE WHEN redact IS NOT FALSE THEN slm_feedback.redact(p.chosen) ELSE p.chosen END,
                             'rejected', CASE WHEN redact IS NOT FALSE THEN slm_feedback.redact(p.rejected) ELSE p.rejected END)
    FROM slm_feedback.training_pairs(from_date, to_date, model, prompt_version, min_rating, min_raters, max_pairs, split) p
    WHERE one_per_question IS NOT TRUE AND p.skipped IS NULL
    UNION ALL
    SELECT json_build_object('prompt', CASE WHEN redact IS NOT FALSE THEN slm_feedback.redact(o.prompt) ELSE o.prompt END,
                             'chosen', CASE WHEN redact IS NOT FALSE THEN slm_feedback.redact(o.chosen) ELSE o.chosen END,
                             'rejected', CASE WHEN redact IS NOT FALSE THEN slm_feedback.redact(o.rejected) ELSE o.rejected END)
    FROM (SELECT DISTINCT ON (p.question) p.prompt, p.chosen, p.rejected
          FROM slm_feedback.training_pairs(from_date, to_date, model, prompt_version, min_rating, min_raters, max_pairs, split) p
          WHERE one_per_question IS TRUE AND p.skipped IS NULL
          ORDER BY p.question, p.place, p.chosen COLLATE "C", p.rejected COLLATE "C") o;
END;
COMMENT ON FUNCTION slm_feedback.export_dpo(date, date, text, text, double precision, integer, boolean, text, integer, boolean) IS
'Preference pairs (TRL''s DPO): prompt, chosen and rejected, from each correction and the answer that it corrects, and from good and bad answers to the same normalised question, the clearest pairs first, at most max_pairs a question. Filters: from_date and to_date (by the day of the query; null, the default: everything), model and prompt_version (null: all, empty string: not given), min_raters (opinions with a sentiment, default 1), min_rating (the least average rating of a good answer), one_per_question and split (train, validation or test), which both answers of a pair must meet; min_raters and min_rating do not concern corrections; with one_per_question a correction comes first. redact replaces personal data in the texts as redact() does. Errors: 22023 from_date after to_date, a min_rating not between 1 and 5, a negative min_raters, or an unknown word.';

CREATE FUNCTION slm_feedback.export_openai(
    method text DEFAULT 'supervised',
    from_date date DEFAULT NULL,
    to_date date DEFAULT NULL,
    model text DEFAULT NULL,
    prompt_version text DEFAULT NULL,
    min_rating double precision DEFAULT NULL,
    min_raters integer DEFAULT 1,
    one_per_question boolean DEFAULT false,
    split text DEFAULT NULL,
    with_corrections boolean DEFAULT true,
    max_pairs integer DEFAULT 10,
    redact boolean DEFAULT false
) RETURNS SETOF json
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 100000
BEGIN ATOMIC
    SELECT e.line
    FROM slm_feedback.export_sft('messages', from_date, to_date, model, prompt_version, min_rating, min_raters,
                                 one_per_question, split, with_corrections, redact) AS e (line)
    WHERE slm_feedback.check_choice('method', method, ARRAY['supervised', 'preference']) = 'supervised'
    UNION ALL
    SELECT json_build_object(
               'input', json_build_object('messages', json_build_array(json_build_object('role', 'user', 'content', e.line -> 'prompt'))),
               'preferred_output', json_build_array(json_build_object('role', 'assistant', 'content', e.line -> 'chosen')),
               'non_preferred_output', json_build_array(json_build_object('role', 'assistant', 'content', e.line -> 'rejected')))
    FROM slm_feedback.export_dpo(from_date, to_date, model, prompt_version, min_rating, min_raters,
                                 one_per_question, split, max_pairs, redact) AS e (line)
    WHERE slm_feedback.check_choice('method', method, ARRAY['supervised', 'preference']) = 'preference';
END;
COMMENT ON FUNCTION slm_feedback.export_openai(text, date, date, text, text, double precision, integer, boolean, text, boolean, integer, boolean) IS
'OpenAI fine-tuning: method supervised gives chats (messages) as export_sft(), preference gives input, preferred_output and non_preferred_output as export_dpo(). The other arguments are theirs. Errors: 22023 from_date after to_date, a min_rating not between 1 and 5, a negative min_raters, or an unknown word.';

-- ---- what was exported, what was skipped and why ----
CREATE FUNCTION slm_feedback.export_sft_report(
    from_date date DEFAULT NULL,
    to_date date DEFAULT NULL,
    model text DEFAULT NULL,
    prompt_version text DEFAULT NULL,
    min_rating double precision DEFAULT NULL,
    min_raters integer DEFAULT 1,
    one_per_question boolean DEFAULT false,
    split text DEFAULT NULL,
    with_corrections boolean DEFAULT true
) RETURNS TABLE (
    outcome text,
    reason text,
    row_count bigint
)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH candidate AS (
        SELECT a.question, a.label, false AS correction,
               CASE WHEN a.skipped IS NULL AND NOT a.label THEN 'bad answer' ELSE a.skipped END AS skipped
        FROM slm_feedback.training_answers(from_date, to_date, model, prompt_version, min_rating, min_raters, split) a
        UNION ALL
        SELECT c.question, true, true, c.skipped
        FROM slm_feedback.training_corrections(from_date, to_date, model, prompt_version, split) c
        WHERE with_corrections
    ), counted AS (
        SELECT c.skipped, c.correction, count(*) AS n FROM candidate c GROUP BY 1, 2
    ), exported AS (
        SELECT count(*) AS n FROM slm_feedback.export_sft('messages', from_date, to_date, model, prompt_version, min_rating,
                                                          min_raters, one_per_question, split, with_corrections)
    )
    SELECT 'exported', CASE WHEN one_per_question IS TRUE THEN 'one a question' ELSE 'all' END, e.n FROM exported e
    UNION ALL
    SELECT 'skipped', 'another row for the question', s.n - e.n
    FROM exported e, (SELECT coalesce(sum(c.n), 0)::bigint AS n FROM counted c WHERE c.skipped IS NULL) s
    WHERE one_per_question IS TRUE
    UNION ALL
    SELECT 'skipped', CASE WHEN c.correction THEN 'correction: ' ELSE '' END || c.skipped, c.n
    FROM counted c WHERE c.skipped IS NOT NULL
    ORDER BY 1, 3 DESC, 2;
END;
COMMENT ON FUNCTION slm_feedback.export_sft_report(date, date, text, text, double precision, integer, boolean, text, boolean) IS
'What export_sft() (and export_openai(''supervised'')) exports and skips with the same arguments: rows a reason. The numbers add up to all answers and corrections in range. Exact. Errors: 22023 from_date after to_date, a min_rating not between 1 and 5, a negative min_raters, or an unknown word.';

CREATE FUNCTION slm_feedback.export_kto_report(
    from_date date DEFAULT NULL,
    to_date date DEFAULT NULL,
    model text DEFAULT NULL,
    prompt_version text DEFAULT NULL,
    min_rating double precision DEFAULT NULL,
    min_raters integer DEFAULT 1,
    one_per_question boolean DEFAULT false,
    split text DEFAULT NULL
) RETURNS TABLE (
    outcome text,
    reason text,
    row_count bigint,
    share double precision
)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH counted AS (
        SELECT a.skipped, count(*) AS n
        FROM slm_feedback.training_answers(from_date, to_date, model, prompt_version, min_rating, min_raters, split) a
        GROUP BY 1
    ), exported AS (
        SELECT count(*) FILTER (WHERE e.label) AS good, count(*) FILTER (WHERE NOT e.label) AS bad, count(*) AS n
        FROM slm_feedback.training_examples(from_date, to_date, model, prompt_version, min_rating, min_raters, one_per_question, split, false, false) e
    )
    SELECT 'exported', 'label true', e.good, e.good::double precision / nullif(e.n, 0) FROM exported e
    UNION ALL
    SELECT 'exported', 'label false', e.bad, e.bad::double precision / nullif(e.n, 0) FROM exported e
    UNION ALL
    SELECT 'skipped', 'another row for the question', s.n - e.n, NULL
    FROM exported e, (SELECT coalesce(sum(c.n), 0)::bigint AS n FROM counted c WHERE c.skipped IS NULL) s
    WHERE one_per_question IS TRUE
    UNION ALL
    SELECT 'skipped', c.skipped, c.n, NULL FROM counted c WHERE c.skipped IS NOT NULL
    ORDER BY 1, 3 DESC, 2;
END;
COMMENT ON FUNCTION slm_feedback.export_kto_report(date, date, text, text, double precision, integer, boolean, text) IS
'What export_kto() exports and skips with the same arguments: rows a reason, and for the labels their share of the exported rows, which is their balance. The numbers add up to all answers in range. Exact. Errors: 22023 from_date after to_date, a min_rating not between 1 and 5, a negative min_raters, or an unknown word.';

CREATE FUNCTION slm_feedback.export_dpo_report(
    from_date date DEFAULT NULL,
    to_date date DEFAULT NULL,
    model text DEFAULT NULL,
    prompt_version text DEFAULT NULL,
    min_rating double precision DEFAULT NULL,
    min_raters integer DEFAULT 1,
    one_per_question boolean DEFAULT false,
    split text DEFAULT NULL,
    max_pairs integer DEFAULT 10
) RETURNS TABLE (
    outcome text,
    reason text,
    row_count bigint
)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH answer AS (
        SELECT a.skipped, count(*) AS n
        FROM slm_feedback.training_answers(from_date, to_date, model, prompt_version, min_rating, min_raters, split) a
        WHERE a.skipped IS NOT NULL
        GROUP BY 1
    ), pair AS (
        SELECT p.place = 0 AS correction, p.skipped, count(*) AS n, count(DISTINCT p.question) AS questions,
               coalesce(sum(p.of_places) FILTER (WHERE p.place = 1), 0) AS of_places
        FROM slm_feedback.training_pairs(from_date, to_date, model, prompt_version, min_rating, min_raters, max_pairs, split) p
        GROUP BY 1, 2
    ), exported AS (
        SELECT count(*) AS n FROM slm_feedback.export_dpo(from_date, to_date, model, prompt_version, min_rating,
                                                          min_raters, one_per_question, split, max_pairs)
    )
    SELECT 'exported', 'pairs of corrections', coalesce(sum(p.n), 0)::bigint
    FROM pair p WHERE p.correction AND p.skipped IS NULL AND one_per_question IS NOT TRUE
    HAVING one_per_question IS NOT TRUE
    UNION ALL
    SELECT 'exported', 'pairs of ratings', coalesce(sum(p.n), 0)::bigint
    FROM pair p WHERE NOT p.correction AND p.skipped IS NULL AND one_per_question IS NOT TRUE
    HAVING one_per_question IS NOT TRUE
    UNION ALL
    SELECT 'exported', 'one a question', e.n FROM exported e WHERE one_per_question IS TRUE
    UNION ALL
    SELECT 'skipped', 'another pair for the question', s.n - e.n
    FROM exported e, (SELECT coalesce(sum(p.n), 0)::bigint AS n FROM pair p WHERE p.skipped IS NULL) s
    WHERE one_per_question IS TRUE
    UNION ALL
    SELECT 'skipped', 'pair: more than max_pairs', (sum(p.of_places) - sum(p.n))::bigint
    FROM pair p WHERE NOT p.correction
    HAVING sum(p.of_places) > sum(p.n)
    UNION ALL
    SELECT 'skipped', CASE WHEN p.correction THEN 'correction: ' ELSE 'pair: ' END || p.skipped, p.n
    FROM pair p WHERE p.skipped IS NOT NULL
    UNION ALL
    SELECT 'skipped', 'answer: ' || a.skipped, a.n FROM answer a
    ORDER BY 1, 3 DESC, 2;
END;
COMMENT ON FUNCTION slm_feedback.export_dpo_report(date, date, text, text, double precision, integer, boolean, text, integer) IS
'What export_dpo() (and export_openai(''preference'')) exports and skips with the same arguments: pairs a reason, and the answers that no pair can use. Exact. Errors: 22023 from_date after to_date, a min_rating not between 1 and 5, a negative min_raters, or an unknown word.';
