-- Periodic reports: a week, a month or any range, each against the period before, kept as structured jsonb and
-- to be read as Markdown. The job 'reports' writes those of weeks and months that have ended.
--
-- A stored report holds numbers and, for each question, the id of one of its requests. The words are added when a
-- report is read, from queries as it is then: so what is redacted, erased, deleted or past its retention is gone from
-- every report in the same moment, and no copy has to be looked for.
CREATE TABLE slm_feedback.stored_reports (
    period text NOT NULL CHECK (period IN ('week', 'month', 'range')),
    first_day date NOT NULL,
    last_day date NOT NULL,
    generated_at timestamptz NOT NULL,
    final boolean NOT NULL,
    report jsonb NOT NULL,
    PRIMARY KEY (period, first_day, last_day)
);
COMMENT ON TABLE slm_feedback.stored_reports IS 'The periodic reports without words, one row a period. Written by generate_report(), read through the view period_reports.';
COMMENT ON COLUMN slm_feedback.stored_reports.period IS 'week (Monday to Sunday), month or range.';
COMMENT ON COLUMN slm_feedback.stored_reports.first_day IS 'The first day of the period.';
COMMENT ON COLUMN slm_feedback.stored_reports.last_day IS 'The last day of the period, included.';
COMMENT ON COLUMN slm_feedback.stored_reports.generated_at IS 'When the report was made.';
COMMENT ON COLUMN slm_feedback.stored_reports.final IS 'Whether every day of it was final and unmarked by then; if not, generate it again later.';
COMMENT ON COLUMN slm_feedback.stored_reports.report IS 'The report as in period_reports, but of each question only its numbers and the id of one of its requests.';
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.stored_reports', '');

CREATE FUNCTION slm_feedback.with_before(this jsonb, before jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT this || jsonb_build_object(
        'before', before,
        'change', (SELECT jsonb_object_agg(t.key, (t.value::numeric - (before ->> t.key)::numeric))
                   FROM jsonb_each(this) t
                   WHERE jsonb_typeof(t.value) = 'number' AND jsonb_typeof(before -> t.key) = 'number'));
END;
COMMENT ON FUNCTION slm_feedback.with_before(jsonb, jsonb) IS
'A row of measures with the same row of the period before under before, and under change the difference of every number that both have.';

CREATE FUNCTION slm_feedback.report_rows(
    first_day date, last_day date, before_first_day date, by_prompt_version boolean
) RETURNS jsonb
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(jsonb_agg(slm_feedback.with_before(to_jsonb(m), to_jsonb(b) - 'model' - 'prompt_version')
                              ORDER BY m.total_queries DESC, m.model, m.prompt_version), '[]')
    FROM slm_feedback.report_models(first_day, last_day, by_prompt_version) m
    LEFT JOIN slm_feedback.report_models(before_first_day, first_day - 1, by_prompt_version) b
        ON b.model = m.model AND b.prompt_version IS NOT DISTINCT FROM m.prompt_version;
END;
COMMENT ON FUNCTION slm_feedback.report_rows(date, date, date, boolean) IS
'The rows of report_models() for a period as JSON, each with that of the period before.';

CREATE FUNCTION slm_feedback.report_questions(
    first_day date, last_day date, before_first_day date, max_rows integer DEFAULT 5
) RETURNS jsonb
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH chosen AS MATERIALIZED (
        SELECT o.choice, t.*
        FROM unnest(ARRAY['best', 'worst', 'asked']) WITH ORDINALITY AS o (choice, n),
             LATERAL slm_feedback.report_top_questions(first_day, last_day, max_rows, o.choice) WITH ORDINALITY t
    ), before AS MATERIALIZED (
        SELECT b.*
        FROM slm_feedback.report_top_questions(before_first_day, first_day - 1, NULL) b
        WHERE b.question_hash IN (SELECT c.question_hash FROM chosen c)
    )
    SELECT jsonb_object_agg(o.choice, coalesce(r.rows, '[]'))
    FROM unnest(ARRAY['best', 'worst', 'asked']) AS o (choice)
    LEFT JOIN (SELECT c.choice, jsonb_agg(slm_feedback.with_before(
                          to_jsonb(c) - 'choice' - 'ordinality' - 'question' - 'question_hash',
                          to_jsonb(b) - 'question' - 'question_hash' - 'request_id') ORDER BY c.ordinality) AS rows
               FROM chosen c LEFT JOIN before b ON b.question_hash = c.question_hash
               GROUP BY c.choice) r ON r.choice = o.choice;
END;
COMMENT ON FUNCTION slm_feedback.report_questions(date, date, date, integer) IS
'The best and worst rated and the most asked questions of a period as JSON, each with the same question in the period before: numbers and the id of one of its requests, no words.';

-- A code span: by the specification nothing in it is markup, HTML, a link (bare ones included) or a mention, in any
-- renderer, which escapes alone cannot promise. Its fence is longer than every run of backticks in the text.
CREATE FUNCTION slm_feedback.markdown_text(text text, max_length integer DEFAULT 100) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN s.line = '' THEN '' ELSE concat(f.fence, f.pad, s.line, f.pad, f.fence) END
    FROM (SELECT btrim(regexp_replace(regexp_replace(
              coalesce(markdown_text.text, ''), E'[\\u061C\\u200E\\u200F\\u202A-\\u202E\\u2066-\\u2069]', '', 'g'),
              E'[[:space:][:cntrl:]\\u0085\\u2028\\u2029]+', ' ', 'g'))) t (line),
         LATERAL (SELECT CASE WHEN length(t.line) > max_length THEN rtrim(left(t.line, max_length - 3)) || '...'
                              ELSE t.line END) s (line),
         LATERAL (SELECT repeat('`', coalesce(max(length(r.run[1])), 0) + 1) AS fence,
                         CASE WHEN count(*) > 0 THEN ' ' ELSE '' END AS pad
                  FROM regexp_matches(s.line, '`+', 'g') r (run)) f;
END;
COMMENT ON FUNCTION slm_feedback.markdown_text(text, integer) IS
'A text as one line of Markdown: a code span, shortened and without bidirectional controls. Empty if the text is.';

-- A bar would end the cell, and a code span has no escape for it after a backslash.
CREATE FUNCTION slm_feedback.markdown_cell(text text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT translate(slm_feedback.markdown_text(text), '|', '/');
END;
COMMENT ON FUNCTION slm_feedback.markdown_cell(text) IS
'markdown_text() for a cell of a table: bars become slashes.';

CREATE FUNCTION slm_feedback.number_text(value jsonb, unit text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN value IS NULL OR jsonb_typeof(value) <> 'number' THEN '-'
        WHEN unit = '%' THEN round(value::numeric * 100, 1) || ' %'
        WHEN unit = 'usd' THEN round(value::numeric, 2) || ' USD'
        WHEN unit = 'ms' THEN round(value::numeric) || ' ms'
        WHEN unit = 'x' THEN round(value::numeric, 2)::text
        ELSE round(value::numeric)::text
    END;
END;
COMMENT ON FUNCTION slm_feedback.number_text(jsonb, text) IS
'A measure to read. unit: % (of a ratio), usd, ms, x (two decimals) or empty (whole).';

CREATE FUNCTION slm_feedback.change_text(measures jsonb, measure text, unit text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN measures -> 'change' -> measure IS NULL THEN '-'
        ELSE CASE WHEN (measures -> 'change' ->> measure)::numeric >= 0 THEN '+' ELSE '' END
             || CASE WHEN unit = '%' THEN round((measures -> 'change' ->> measure)::numeric * 100, 1) || ' points'
                     ELSE slm_feedback.number_text(measures -> 'change' -> measure, unit) END
    END;
END;
COMMENT ON FUNCTION slm_feedback.change_text(jsonb, text, text) IS
'The change of a measure against the period before, to read.';

CREATE FUNCTION slm_feedback.ratio_text(measures jsonb) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN jsonb_typeof(measures -> 'positive_ratio') = 'number' THEN
        slm_feedback.number_text(measures -> 'positive_ratio', '%')
        || coalesce(' (' || round((measures ->> 'positive_ratio_low')::numeric * 100, 1) || ' to '
                    || round((measures ->> 'positive_ratio_high')::numeric * 100, 1) || ')', '')
        ELSE '-' END;
END;
COMMENT ON FUNCTION slm_feedback.ratio_text(jsonb) IS
'A positive ratio with its 95% interval, to read.';

-- SECURITY DEFINER, so that whoever reads the view below needs no right to call what this calls.
CREATE FUNCTION slm_feedback.report_markdown(report jsonb) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH measures (n, title, key, unit) AS (
        VALUES (1, 'Queries', 'total_queries', ''),
               (2, 'Days with queries', 'days_with_queries', ''),
               (3, 'Users (approx.)', 'approx_unique_users', ''),
               (4, 'Errors', 'error_count', ''),
               (5, 'Satisfied (95% interval)', 'positive_ratio', '%'),
               (6, 'Positive opinions', 'positive_feedback_count', ''),
               (7, 'Negative opinions', 'negative_feedback_count', ''),
               (8, 'Neutral opinions', 'neutral_feedback_count', ''),
               (9, 'Queries with feedback', 'feedback_rate', '%'),
               (10, 'Average rating', 'avg_rating', 'x'),
               (11, 'Average response time', 'avg_response_time_ms', 'ms'),
               (12, 'Median response time (approx.)', 'approx_p50_response_time_ms', 'ms'),
               (13, '95th percentile (approx.)', 'approx_p95_response_time_ms', 'ms'),
               (14, '99th percentile (approx.)', 'approx_p99_response_time_ms', 'ms'),
               (15, 'Input tokens', 'input_tokens', ''),
               (16, 'Output tokens', 'output_tokens', ''),
               (17, 'Cost', 'cost_usd', 'usd')
    ), groups (n, title, key) AS (
        VALUES (1, 'Models', 'models'), (2, 'Prompt versions', 'prompt_versions')
    ), questions (n, title, key) AS (
        VALUES (1, 'Best rated questions', 'best'), (2, 'Worst rated questions', 'worst'), (3, 'Most asked questions', 'asked')
    )
    SELECT concat(
        '# Feedback report: ', report ->> 'first_day', ' to ', report ->> 'last_day', E'\n\n',
        'Compared with ', report -> 'before' ->> 'first_day', ' to ', report -> 'before' ->> 'last_day',
        '. Days in ', slm_feedback.markdown_text(report ->> 'time_zone'), '. Feedback counts on the day of its question.',
        CASE WHEN (report ->> 'final')::boolean THEN '' ELSE ' Not all days were final when this was written.' END, E'\n\n',
        E'| | This period | Before | Change |\n| --- | ---: | ---: | ---: |\n',
        (SELECT string_agg(concat(
             '| ', m.title,
             ' | ', CASE WHEN m.key = 'positive_ratio' THEN slm_feedback.ratio_text(report -> 'summary')
                         ELSE slm_feedback.number_text(report -> 'summary' -> m.key, m.unit) END,
             ' | ', CASE WHEN m.key = 'positive_ratio' THEN slm_feedback.ratio_text(report -> 'summary' -> 'before')
                         ELSE slm_feedback.number_text(report -> 'summary' -> 'before' -> m.key, m.unit) END,
             ' | ', slm_feedback.change_text(report -> 'summary', m.key, m.unit), E' |\n'), '' ORDER BY m.n)
         FROM measures m),
        (SELECT string_agg(concat(
             E'\n## ', g.title, E'\n\n',
             E'| | Queries | Change | Satisfied (95% interval) | Change | 95th percentile | Cost |\n',
             E'| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n',
             (SELECT string_agg(concat(
                  '| ', coalesce(nullif(slm_feedback.markdown_cell(r.value ->> 'model'), ''), 'no model'),
                  CASE WHEN g.key = 'prompt_versions'
                       THEN ', ' || coalesce(nullif(slm_feedback.markdown_cell(r.value ->> 'prompt_version'), ''), 'no prompt version') END,
                  ' | ', slm_feedback.number_text(r.value -> 'total_queries', ''),
                  ' | ', slm_feedback.change_text(r.value, 'total_queries', ''),
                  ' | ', slm_feedback.ratio_text(r.value),
                  ' | ', slm_feedback.change_text(r.value, 'positive_ratio', '%'),
                  ' | ', slm_feedback.number_text(r.value -> 'approx_p95_response_time_ms', 'ms'),
                  ' | ', slm_feedback.number_text(r.value -> 'cost_usd', 'usd'), E' |\n'), '' ORDER BY r.ordinality)
              FROM jsonb_array_elements(report -> g.key) WITH ORDINALITY r)), '' ORDER BY g.n)
         FROM groups g),
        (SELECT string_agg(concat(
             E'\n## ', q.title, E'\n\n',
             coalesce((SELECT string_agg(concat(
                  r.ordinality, '. ', coalesce(nullif(slm_feedback.markdown_text(r.value ->> 'question'), ''), 'text not kept'),
                  ' - asked ', r.value ->> 'times_asked', ' times (before: ', coalesce(r.value -> 'before' ->> 'times_asked', '0'),
                  '), ', r.value ->> 'positive_feedback_count', ' positive, ', r.value ->> 'negative_feedback_count', ' negative (before: ',
                  coalesce(r.value -> 'before' ->> 'positive_feedback_count', '0'), ', ',
                  coalesce(r.value -> 'before' ->> 'negative_feedback_count', '0'), E')\n'), '' ORDER BY r.ordinality)
              FROM jsonb_array_elements(report -> 'questions' -> q.key) WITH ORDINALITY r), E'None.\n')), '' ORDER BY q.n)
         FROM questions q));
END;
COMMENT ON FUNCTION slm_feedback.report_markdown(jsonb) IS
'A report of period_reports as Markdown.';

-- Not SECURITY DEFINER: the texts are read with the rights of the role that asks.
CREATE FUNCTION slm_feedback.with_questions(report jsonb) RETURNS jsonb
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT report || jsonb_build_object('questions', (
        SELECT jsonb_object_agg(k.key, (
            SELECT coalesce(jsonb_agg(r.value || jsonb_build_object(
                       'question', (SELECT q.query_text FROM slm_feedback.readable_queries q
                                    WHERE q.request_id = r.value ->> 'request_id'),
                       'question_hash', (SELECT q.question_hash FROM slm_feedback.readable_queries q
                                         WHERE q.request_id = r.value ->> 'request_id'))
                       ORDER BY r.ordinality), '[]')
            FROM jsonb_array_elements(k.value) WITH ORDINALITY r))
        FROM jsonb_each(report -> 'questions') k));
END;
COMMENT ON FUNCTION slm_feedback.with_questions(jsonb) IS
'A stored report with the questions'' texts and hashes as they stand now: null where a text has been removed, and for a caller who may not read it.';

CREATE VIEW slm_feedback.period_reports AS
SELECT w.period, w.first_day, w.last_day, w.generated_at, w.final, w.report,
       slm_feedback.report_markdown(w.report) AS markdown
FROM (SELECT s.period, s.first_day, s.last_day, s.generated_at, s.final,
             slm_feedback.with_questions(s.report) AS report
      FROM slm_feedback.stored_reports s) w;
COMMENT ON VIEW slm_feedback.period_reports IS 'The periodic reports, one row a period. They quote questions as they stand now, so only roles that may read texts can read them.';
COMMENT ON COLUMN slm_feedback.period_reports.period IS 'week (Monday to Sunday), month or range.';
COMMENT ON COLUMN slm_feedback.period_reports.first_day IS 'The first day of the period.';
COMMENT ON COLUMN slm_feedback.period_reports.last_day IS 'The last day of the period, included.';
COMMENT ON COLUMN slm_feedback.period_reports.generated_at IS 'When the report was made.';
COMMENT ON COLUMN slm_feedback.period_reports.final IS 'Whether every day of it was final and unmarked by then; if not, generate it again later.';
COMMENT ON COLUMN slm_feedback.period_reports.report IS 'period, first_day, last_day, before (the days it is compared with), time_zone, summary, models, prompt_versions, questions (best, worst, asked). The measures are those of report_summary(), report_models() and report_top_questions(); under before and change stand the same measures of the period before and the differences. A question is the text of request_id as it stands now, null once that is removed.';
COMMENT ON COLUMN slm_feedback.period_reports.markdown IS 'The same to read.';

CREATE FUNCTION slm_feedback.days_are_final(first_day date, last_day date) RETURNS boolean
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(last_day <= (SELECT s.final_through FROM slm_feedback.rollup_state s), false)
           AND NOT EXISTS (SELECT 1 FROM slm_feedback.rollup_queue q WHERE q.date BETWEEN first_day AND last_day);
END;
COMMENT ON FUNCTION slm_feedback.days_are_final(date, date) IS
'Whether every day of a range is final and not marked.';

CREATE FUNCTION slm_feedback.generate_report(
    period text,
    from_date date DEFAULT NULL,
    to_date date DEFAULT NULL
) RETURNS slm_feedback.period_reports
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    today date := slm_feedback.day_of(slm_feedback.clock());
    first date;
    last date;
    before_first date;
    body jsonb;
    made slm_feedback.period_reports;
BEGIN
    CASE slm_feedback.check_choice('period', period, ARRAY['week', 'month', 'range'])
        WHEN 'range' THEN
            IF from_date IS NULL OR to_date IS NULL THEN
                RAISE EXCEPTION 'a range needs from_date and to_date' USING ERRCODE = 'null_value_not_allowed';
            END IF;
            IF NOT isfinite(from_date) OR NOT isfinite(to_date) OR from_date > to_date
               OR from_date < '2000-01-01' OR to_date > today + 3 OR to_date - from_date > 3660 THEN
                RAISE EXCEPTION 'the range % to % cannot be reported', from_date, to_date
                    USING ERRCODE = 'invalid_parameter_value',
                          HINT = 'from_date must not be after to_date; up to ten years from 2000 to today.';
            END IF;
            first := from_date;
            last := to_date;
            before_first := first - (last - first + 1);
        ELSE
            IF to_date IS NOT NULL THEN
                RAISE EXCEPTION 'to_date is given for a %', period
                    USING ERRCODE = 'invalid_parameter_value',
                          HINT = 'from_date may be any day of the week or month; for other days use the period range.';
            END IF;
            IF NOT isfinite(from_date) OR from_date < '2000-01-01' OR from_date > today + 31 THEN
                RAISE EXCEPTION 'the % of % cannot be reported', period, from_date
                    USING ERRCODE = 'invalid_parameter_value', HINT = 'Choose a day from 2000 to today.';
            END IF;
            -- Without a day, the last one that has ended.
            first := date_trunc(period, coalesce(from_date::timestamp, today - ('1 ' || period)::interval));
            last := first + ('1 ' || period)::interval - interval '1 day';
            before_first := first - ('1 ' || period)::interval;
    END CASE;

    body := jsonb_build_object(
        'period', period, 'first_day', first, 'last_day', last,
        'before', jsonb_build_object('first_day', before_first, 'last_day', first - 1),
        'time_zone', slm_feedback.time_zone(),
        'final', slm_feedback.days_are_final(first, last),
        'summary', slm_feedback.with_before(
            coalesce((SELECT to_jsonb(s) FROM slm_feedback.report_summary(first, last) s), '{}'),
            (SELECT to_jsonb(s) - 'first_day' - 'last_day' FROM slm_feedback.report_summary(before_first, first - 1) s)),
        'models', slm_feedback.report_rows(first, last, before_first, false),
        'prompt_versions', slm_feedback.report_rows(first, last, before_first, true),
        'questions', slm_feedback.report_questions(first, last, before_first));

    INSERT INTO slm_feedback.stored_reports AS s (period, first_day, last_day, generated_at, final, report)
    VALUES (period, first, last, slm_feedback.clock(), (body ->> 'final')::boolean, body)
    ON CONFLICT ON CONSTRAINT stored_reports_pkey DO UPDATE
    SET generated_at = excluded.generated_at, final = excluded.final, report = excluded.report;
    SELECT p.* INTO made FROM slm_feedback.period_reports p
    WHERE p.period = generate_report.period AND p.first_day = first AND p.last_day = last;
    PERFORM pg_notify('slm_feedback_report', jsonb_build_object(
        'period', period, 'first_day', first, 'last_day', last, 'final', made.final)::text);
    RETURN made;
END
$$;
COMMENT ON FUNCTION slm_feedback.generate_report(text, date, date) IS
'Makes and stores the report of a week (Monday to Sunday) or month, that which holds from_date (default: the last one that has ended), or of a range from_date to to_date; replaces an earlier one of the same days, returns it, and notifies channel slm_feedback_report with period, first_day, last_day and final as JSON. Measures and exactness as in report_summary(), report_models() and report_top_questions(). Errors: 22023 unknown period or a day or range that cannot be reported, 22004 a range without both dates.';

CREATE FUNCTION slm_feedback.write_due_reports() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today date := slm_feedback.day_of(slm_feedback.clock());
    of_period text;
    step interval;
    first date;
    ended date;
    written bigint := 0;
BEGIN
    FOREACH of_period IN ARRAY ARRAY['week', 'month'] LOOP
        step := ('1 ' || of_period)::interval;
        ended := date_trunc(of_period, today::timestamp) - step;
        -- After the newest there is, but no more than a dozen; if there is none yet, the last one.
        first := greatest(coalesce((SELECT max(p.first_day) + step FROM slm_feedback.stored_reports p
                                    WHERE p.period = of_period AND p.final AND p.first_day <= ended),
                                   ended), ended - 11 * step);
        WHILE first <= ended LOOP
            EXIT WHEN NOT slm_feedback.days_are_final((first - step)::date, (first + step)::date - 1);
            -- Nothing to say where nothing was asked, nor in the period before.
            IF EXISTS (SELECT 1 FROM slm_feedback.daily_metrics m
                       WHERE m.date >= first - step AND m.date < first + step) THEN
                PERFORM slm_feedback.generate_report(of_period, first);
                written := written + 1;
            END IF;
            first := first + step;
        END LOOP;
    END LOOP;
    RETURN written;
END
$$;
COMMENT ON FUNCTION slm_feedback.write_due_reports() IS
'The job reports: writes the report of every week and month that has ended since the last report and is final. Returns how many.';
