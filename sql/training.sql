-- What a training set is made of, one definition for the exports and for the reports that say what they skip.
-- An answer's label is the majority of its opinions: true if more are positive than negative.
CREATE FUNCTION slm_feedback.training_split(question_hash bigint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN question_hash IS NULL THEN NULL
                WHEN (question_hash & 9223372036854775807) % 10 < 8 THEN 'train'
                WHEN (question_hash & 9223372036854775807) % 10 = 8 THEN 'validation'
                ELSE 'test' END;
END;
COMMENT ON FUNCTION slm_feedback.training_split(bigint) IS
'The side on which a question stands: train (80%), validation (10%) or test (10%), by its hash alone, so that equal questions never stand on two sides and nothing moves between exports.';

CREATE FUNCTION slm_feedback.is_blank(value text) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_is_blank';
COMMENT ON FUNCTION slm_feedback.is_blank(text) IS
'Whether a text has no character that a reader could see.';

-- Conditions of an export that are wrong raise an error even where there is nothing to export: the planner takes the
-- call for a condition on no table, and asks it before it reads one.
CREATE FUNCTION slm_feedback.check_training(
    from_date date,
    to_date date,
    min_rating double precision,
    min_raters integer,
    split text
) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM slm_feedback.export_from(from_date, to_date);
    IF min_rating NOT BETWEEN 1 AND 5 THEN
        RAISE EXCEPTION 'min_rating is out of range'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = pg_catalog.format('It is %s; ratings lie between 1 and 5.', min_rating),
                  HINT = 'Null takes every rating.';
    END IF;
    IF min_raters < 0 THEN
        RAISE EXCEPTION 'min_raters is out of range'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = pg_catalog.format('It is %s; it must not be negative.', min_raters),
                  HINT = 'The default, 1, takes every answer that anybody rated.';
    END IF;
    IF split IS NOT NULL THEN
        PERFORM slm_feedback.check_choice('split', split, ARRAY['train', 'validation', 'test']);
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION slm_feedback.check_training(date, date, double precision, integer, text) IS
'True if the conditions of a training export make sense. Errors: 22023 from_date after to_date, min_rating not between 1 and 5, a negative min_raters, an unknown split.';

CREATE FUNCTION slm_feedback.check_max_pairs(max_pairs integer) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF max_pairs >= 1 THEN
        RETURN true;
    END IF;
    RAISE EXCEPTION 'max_pairs is out of range'
        USING ERRCODE = 'invalid_parameter_value',
              DETAIL = pg_catalog.format('It is %s; it must be 1 or more.', coalesce(max_pairs::text, 'null')),
              HINT = 'The default is 10 pairs a question.';
END
$$;
COMMENT ON FUNCTION slm_feedback.check_max_pairs(integer) IS
'True if so many pairs a question can be exported. Errors: 22023 null, zero or a negative number.';

-- Every answer in range with its label, and the reason if it is of no use.
CREATE FUNCTION slm_feedback.training_answers(
    from_date date,
    to_date date,
    model text,
    prompt_version text,
    min_rating double precision,
    min_raters integer,
    split text
) RETURNS TABLE (
    request_id text,
    prompt text,
    completion text,
    question bigint,
    label boolean,
    margin bigint,
    average_rating double precision,
    skipped text
)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 100000
BEGIN ATOMIC
    SELECT q.request_id, q.query_text, q.response_text, q.question_hash,
           CASE WHEN f.positive > f.negative THEN true WHEN f.positive < f.negative THEN false END,
           f.positive - f.negative, f.average_rating,
           CASE WHEN q.query_text IS NULL OR slm_feedback.is_blank(q.query_text) THEN 'no question'
                WHEN q.error IS NOT NULL THEN 'request failed'
                WHEN q.response_text IS NULL OR slm_feedback.is_blank(q.response_text) THEN 'no answer'
                WHEN f.raters = 0 THEN 'not rated'
                WHEN f.raters < min_raters THEN 'too few raters'
                WHEN f.positive = f.negative THEN 'no majority'
                WHEN f.positive > f.negative AND min_rating IS NOT NULL AND NOT coalesce(f.average_rating >= min_rating, false)
                    THEN 'rating too low' END
    FROM slm_feedback.readable_queries q
    CROSS JOIN LATERAL (
        SELECT count(r.sentiment) AS raters,
               count(*) FILTER (WHERE r.sentiment = 1) AS positive,
               count(*) FILTER (WHERE r.sentiment = -1) AS negative,
               avg(r.rating)::double precision AS average_rating
        FROM slm_feedback.readable_feedback r
        WHERE r.request_id = q.request_id AND slm_feedback.may_be_rated(q.request_id)) f
    WHERE (from_date IS NULL OR q.created_at >= (SELECT slm_feedback.export_from(from_date, to_date)))
      AND (to_date IS NULL OR q.created_at < (SELECT slm_feedback.export_until(from_date, to_date)))
      AND (training_answers.model IS NULL OR coalesce(q.model, '') = training_answers.model)
      AND (training_answers.prompt_version IS NULL OR coalesce(q.prompt_version, '') = training_answers.prompt_version)
      AND (split IS NULL OR slm_feedback.training_split(q.question_hash) = split)
      AND slm_feedback.check_training(from_date, to_date, min_rating, min_raters, split);
END;
COMMENT ON FUNCTION slm_feedback.training_answers(date, date, text, text, double precision, integer, text) IS
'Every answer in range with its label (true: more opinions are positive than negative), margin (positive - negative) and average rating; skipped says why it is of no use for training, null if it is. min_rating concerns answers labelled true.';

-- Every correction in range, as a pair with the answer that it corrects.
CREATE FUNCTION slm_feedback.training_corrections(
    from_date date,
    to_date date,
    model text,
    prompt_version text,
    split text
) RETURNS TABLE (
    request_id text,
    prompt text,
    chosen text,
    rejected text,
    question bigint,
    corrected_at timestamptz,
    skipped text
)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 10000
BEGIN ATOMIC
    SELECT q.request_id, q.query_text, c.corrected_text, q.response_text, q.question_hash, c.created_at,
           CASE WHEN q.query_text IS NULL OR slm_feedback.is_blank(q.query_text) THEN 'no question'
                WHEN c.corrected_text IS NULL OR slm_feedback.is_blank(c.corrected_text) THEN 'no correction' END
    FROM slm_feedback.readable_corrections c
    CROSS JOIN LATERAL (SELECT r.* FROM slm_feedback.readable_queries r WHERE r.request_id = c.request_id OFFSET 0) q
    WHERE (from_date IS NULL OR q.created_at >= (SELECT slm_feedback.export_from(from_date, to_date)))
      AND (to_date IS NULL OR q.created_at < (SELECT slm_feedback.export_until(from_date, to_date)))
      AND (training_corrections.model IS NULL OR coalesce(q.model, '') = training_corrections.model)
      AND (training_corrections.prompt_version IS NULL OR coalesce(q.prompt_version, '') = training_corrections.prompt_version)
      AND (split IS NULL OR slm_feedback.training_split(q.question_hash) = split)
      AND slm_feedback.check_training(from_date, to_date, NULL, NULL, split);
END;
COMMENT ON FUNCTION slm_feedback.training_corrections(date, date, text, text, text) IS
'Every correction to an answer in range with its question and the answer that it corrects; skipped says why it is of no use for training, null if it is.';

-- Labelled prompts and completions: answers, and corrections as answers labelled true where they are asked
-- for. With one_per_question a correction comes before an answer, the newest first, and then the answer on
-- which most agree. Only ids are sorted for it; the texts are looked up after.
CREATE FUNCTION slm_feedback.training_examples(
    from_date date,
    to_date date,
    model text,
    prompt_version text,
    min_rating double precision,
    min_raters integer,
    one_per_question boolean,
    split text,
    good_only boolean,
    with_corrections boolean
) RETURNS TABLE (
    prompt text,
    completion text,
    label boolean
)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 100000
BEGIN ATOMIC
    SELECT a.prompt, a.completion, a.label
    FROM slm_feedback.training_answers(from_date, to_date, model, prompt_version, min_rating, min_raters, split) a
    WHERE one_per_question IS NOT TRUE AND a.skipped IS NULL AND (a.label OR NOT good_only)
    UNION ALL
    SELECT c.prompt, c.chosen, true
    FROM slm_feedback.training_corrections(from_date, to_date, model, prompt_version, split) c
    WHERE one_per_question IS NOT TRUE AND with_corrections AND c.skipped IS NULL
    UNION ALL
    SELECT q.query_text, coalesce(b.correction, q.response_text), b.label
    FROM (SELECT DISTINCT ON (e.question) e.request_id, e.correction, e.label
          FROM (SELECT a.question, a.request_id, a.label, abs(a.margin) AS margin, a.average_rating,
                       NULL::text AS correction, NULL::timestamptz AS corrected_at
                FROM slm_feedback.training_answers(from_date, to_date, model, prompt_version, min_rating, min_raters, split) a
                WHERE a.skipped IS NULL AND (a.label OR NOT good_only)
                UNION ALL
                SELECT c.question, c.request_id, true, NULL, NULL, c.chosen, c.corrected_at
                FROM slm_feedback.training_corrections(from_date, to_date, model, prompt_version, split) c
                WHERE with_corrections AND c.skipped IS NULL) e
          ORDER BY e.question, e.corrected_at DESC NULLS LAST, e.margin DESC, e.average_rating DESC NULLS LAST,
                   e.request_id DESC, e.correction COLLATE "C") b
    CROSS JOIN LATERAL (SELECT r.query_text, r.response_text FROM slm_feedback.readable_queries r
                        WHERE r.request_id = b.request_id OFFSET 0) q
    WHERE one_per_question IS TRUE;
END;
COMMENT ON FUNCTION slm_feedback.training_examples(date, date, text, text, double precision, integer, boolean, text, boolean, boolean) IS
'The labelled prompts and completions of export_sft() and export_kto().';

-- Pairs: each correction with the answer that it corrects; and answers to the same question, one labelled
-- true and one false, the clearest first, at most max_pairs a question. Only ids are sorted for it, and the pairs
-- a question at a time: a sort of all pairs would carry both arrays of ids in each row.
CREATE FUNCTION slm_feedback.training_pairs(
    from_date date,
    to_date date,
    model text,
    prompt_version text,
    min_rating double precision,
    min_raters integer,
    max_pairs integer,
    split text
) RETURNS TABLE (
    prompt text,
    chosen text,
    rejected text,
    question bigint,
    place bigint,
    of_places bigint,
    skipped text
)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 100000
BEGIN ATOMIC
    SELECT c.prompt, c.chosen, c.rejected, c.question, 0, 0,
           CASE WHEN c.skipped IS NOT NULL THEN c.skipped
                WHEN c.rejected IS NULL OR slm_feedback.is_blank(c.rejected) THEN 'no answer'
                WHEN c.rejected = c.chosen THEN 'same text' END
    FROM slm_feedback.training_corrections(from_date, to_date, model, prompt_version, split) c
    UNION ALL
    SELECT g.query_text, g.response_text, b.response_text, p.question, p.place, p.of_places,
           CASE WHEN slm_feedback.normalize_question(g.query_text) <> slm_feedback.normalize_question(b.query_text) THEN 'another question'
                WHEN g.response_text = b.response_text THEN 'same text' END
    FROM (SELECT q.question, pair.good_id, pair.bad_id, pair.place, cardinality(q.good)::bigint * cardinality(q.bad) AS of_places
          FROM (SELECT a.question,
                       array_agg(a.request_id ORDER BY a.margin DESC, a.average_rating DESC NULLS LAST, a.request_id COLLATE "C")
                           FILTER (WHERE a.label) AS good,
                       array_agg(a.request_id ORDER BY a.margin, a.average_rating NULLS LAST, a.request_id COLLATE "C")
                           FILTER (WHERE NOT a.label) AS bad
                FROM slm_feedback.training_answers(from_date, to_date, model, prompt_version, min_rating, min_raters, split) a
                WHERE a.skipped IS NULL
                GROUP BY a.question
                HAVING bool_or(a.label) AND NOT bool_and(a.label)) q
          CROSS JOIN LATERAL (SELECT good.id AS good_id, bad.id AS bad_id, row_number() OVER (ORDER BY good.n + bad.n, good.n) AS place
                              FROM unnest(q.good[1:max_pairs]) WITH ORDINALITY AS good (id, n),
                                   unnest(q.bad[1:max_pairs]) WITH ORDINALITY AS bad (id, n)) pair) p
    CROSS JOIN LATERAL (SELECT r.query_text, r.response_text FROM slm_feedback.readable_queries r
                        WHERE r.request_id = p.good_id OFFSET 0) g
    CROSS JOIN LATERAL (SELECT r.query_text, r.response_text FROM slm_feedback.readable_queries r
                        WHERE r.request_id = p.bad_id OFFSET 0) b
    WHERE p.place <= max_pairs AND slm_feedback.check_max_pairs(max_pairs);
END;
COMMENT ON FUNCTION slm_feedback.training_pairs(date, date, text, text, double precision, integer, integer, text) IS
'The pairs of export_dpo(), with the reason for those that are skipped: of corrections (place 0), and of answers rated apart (place 1 to max_pairs of of_places possible pairs of the question).';
