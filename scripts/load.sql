-- Loads JSON Lines from psql's standard input through record_queries() and submit_feedback_batch():
--     zcat -f FILE | psql -f scripts/load.sql DATABASE
-- A line is an object with
--   query_text and any other argument of record_query(): a query;
--   preference (1..2), beside query_text: a judge's opinion (above 1.5 helpful, below not, 1.5 a rating of 3)
--     whose rater is the line's user_id;
--   feedback, beside query_text: a list of objects with arguments of submit_feedback(), without request_id;
--   dataset, beside query_text: kept as the tag "dataset";
--   request_id and is_helpful, rating or comment, without query_text: feedback to an earlier line.
-- Lines are taken a thousand at a time, each thousand in a transaction of its own. Refused lines are told at
-- the end with their numbers and reasons.
\set ON_ERROR_STOP on
SET client_min_messages = info;

CREATE TEMP TABLE load_lines (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, line text);
CREATE TEMP TABLE load_refusals (n bigint, what text, sqlstate text, reason text);

-- Not the text format, which would read the backslashes; the delimiter and the quote are bytes that JSON
-- never has.
\copy load_lines (line) FROM pstdin WITH (FORMAT csv, DELIMITER E'\x02', QUOTE E'\x01')

-- A thousand lines with their numbers, parsed.
CREATE FUNCTION pg_temp.parsed_lines(first_line bigint, last_line bigint)
	RETURNS TABLE (n bigint, item jsonb) LANGUAGE plpgsql AS $$
DECLARE
	one record;
BEGIN
	RETURN QUERY SELECT l.n, l.line::jsonb FROM load_lines l WHERE l.n BETWEEN first_line AND last_line AND l.line <> '';
EXCEPTION WHEN data_exception THEN
	-- At least one is not JSON: now one by one.
	FOR one IN SELECT l.n, l.line FROM load_lines l WHERE l.n BETWEEN first_line AND last_line AND l.line <> '' LOOP
		BEGIN
			n := one.n;
			item := one.line::jsonb;
			RETURN NEXT;
		EXCEPTION WHEN data_exception THEN
			INSERT INTO load_refusals VALUES (one.n, 'line', sqlstate, sqlerrm);
		END;
	END LOOP;
END
$$;

DO $$
DECLARE
	batch_size CONSTANT bigint := 1000;
	total bigint := (SELECT count(*) FROM load_lines);
	started timestamptz := clock_timestamp();
	told timestamptz := clock_timestamp();
	first_line bigint := 1;
	last_line bigint;
	queries bigint := 0;
	opinions bigint := 0;
	done bigint;
	numbers bigint[];
	batch jsonb;
	feedback_numbers bigint[];
	feedback_batch jsonb;
BEGIN
	WHILE first_line <= total LOOP
		last_line := least(first_line + batch_size - 1, total);

		WITH lines AS MATERIALIZED (
			SELECT p.n, p.item FROM pg_temp.parsed_lines(first_line, last_line) p
		), new_queries AS (
			SELECT l.n, l.item - '{preference,feedback,dataset}'::text[]
				|| CASE WHEN l.item ? 'dataset'
					THEN jsonb_build_object('tags', coalesce(l.item -> 'tags', '{}')
						|| jsonb_build_object('dataset', l.item -> 'dataset'))
					ELSE '{}' END AS item
			FROM lines l
			WHERE jsonb_typeof(l.item) IS DISTINCT FROM 'object' OR l.item ? 'query_text'
		), new_feedback AS (
			SELECT l.n, jsonb_build_object('request_id', l.item -> 'request_id', 'user_id', l.item -> 'user_id')
				|| CASE
					WHEN (l.item -> 'preference')::numeric > 1.5 THEN '{"is_helpful": true}'::jsonb
					WHEN (l.item -> 'preference')::numeric < 1.5 THEN '{"is_helpful": false}'
					ELSE '{"rating": 3}' END AS item
			FROM lines l
			WHERE l.item ? 'query_text' AND jsonb_typeof(l.item -> 'preference') = 'number'
			UNION ALL
			SELECT l.n, jsonb_build_object('request_id', l.item -> 'request_id') || f.item
			FROM lines l, jsonb_array_elements(l.item -> 'feedback') AS f (item)
			WHERE l.item ? 'query_text' AND jsonb_typeof(l.item -> 'feedback') = 'array'
			UNION ALL
			SELECT l.n, l.item
			FROM lines l
			WHERE jsonb_typeof(l.item) = 'object' AND NOT l.item ? 'query_text'
		)
		SELECT (SELECT array_agg(q.n ORDER BY q.n) FROM new_queries q),
			(SELECT jsonb_agg(q.item ORDER BY q.n) FROM new_queries q),
			(SELECT array_agg(f.n ORDER BY f.n) FROM new_feedback f),
			(SELECT jsonb_agg(f.item ORDER BY f.n) FROM new_feedback f)
		INTO numbers, batch, feedback_numbers, feedback_batch;

		WITH results AS MATERIALIZED (
			SELECT r.* FROM slm_feedback.record_queries(coalesce(batch, '[]')) r
		), refused AS (
			INSERT INTO load_refusals
			SELECT numbers[r.position], 'query', r.sqlstate, r.reason FROM results r WHERE r.status = 'refused'
		)
		SELECT count(*) FILTER (WHERE r.status = 'recorded') INTO done FROM results r;
		queries := queries + done;

		WITH results AS MATERIALIZED (
			SELECT r.* FROM slm_feedback.submit_feedback_batch(coalesce(feedback_batch, '[]')) r
		), refused AS (
			INSERT INTO load_refusals
			SELECT feedback_numbers[r.position], 'feedback', r.sqlstate, r.reason FROM results r WHERE r.status = 'refused'
		)
		SELECT count(*) FILTER (WHERE r.status <> 'refused') INTO done FROM results r;
		opinions := opinions + done;
		COMMIT;

		IF clock_timestamp() > told + interval '2 seconds' OR last_line = total THEN
			RAISE INFO '% of % lines: % queries, % opinions, %s', last_line, total, queries, opinions,
				round(extract(epoch FROM clock_timestamp() - started), 1);
			told := clock_timestamp();
		END IF;
		first_line := last_line + 1;
	END LOOP;
END
$$;

DO $$
DECLARE
	refusal record;
BEGIN
	FOR refusal IN
		SELECT what, sqlstate, reason, count(*) AS times, min(n) AS first_line
		FROM load_refusals GROUP BY 1, 2, 3 ORDER BY 4 DESC, 5 LIMIT 10
	LOOP
		RAISE INFO 'refused: % % (SQLSTATE %, first on line %): %', refusal.times, refusal.what, refusal.sqlstate,
			refusal.first_line, refusal.reason;
	END LOOP;
END
$$;

DROP TABLE load_lines, load_refusals;
DROP FUNCTION pg_temp.parsed_lines;
ANALYZE slm_feedback.queries, slm_feedback.feedback;
