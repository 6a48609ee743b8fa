-- A run of many transactions keeps nothing of each.
CREATE EXTENSION slm_feedback CASCADE;
CREATE TABLE kept (what text, results bigint);
CREATE FUNCTION note_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.kept SELECT TG_ARGV[0], count(*) FROM pg_backend_memory_contexts WHERE name = 'SPI TupTable';
    RETURN NULL;
END
$$;
CREATE TRIGGER note_kept AFTER UPDATE ON slm_feedback.rollup_runs FOR EACH ROW EXECUTE FUNCTION note_kept('rollup');
CREATE TRIGGER note_kept AFTER DELETE ON slm_feedback.queries FOR EACH STATEMENT EXECUTE FUNCTION note_kept('purge');
INSERT INTO slm_feedback.queries (request_id, query_text, created_at)
SELECT 'r' || i, 'q', current_date - interval '60 days' + i * interval '1 minute' FROM generate_series(1, 60000) i;
CALL slm_feedback.rollup();
SELECT count(*) FROM slm_feedback.set_retention(1);
CALL slm_feedback.run_jobs('retention');
SELECT what, count(*) > 10 AS many, max(results) - min(results) < 4 AS steady FROM kept GROUP BY what ORDER BY what;
DROP EXTENSION slm_feedback, hll, tdigest;
DROP TABLE kept;
DROP FUNCTION note_kept();
