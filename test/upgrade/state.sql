-- What a database says, for comparison with another: a line for every row of every report and export over a
-- fixed range, and of every table that a dump takes. :digits is the precision of floating point, as
-- extra_float_digits. Left out are the marks of days to roll up again, of which a restore makes its own, and
-- what follows from them: which days export_daily_metrics() computes live (export_live_...). And tombstones: their
-- transaction ids mean nothing elsewhere, so a dump leaves them out.
-- tdigest before 1.4 prints the zeros of (1057.000000, 1).
\set QUIET 1
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET timezone = 'UTC';
SET extra_float_digits = :digits;
SELECT format($$SELECT %L, regexp_replace(regexp_replace(replace(r::text, E'\n', '\n'), '(\.\d*?)0+(, \d+\))', '\1\2', 'g'), '\.(, \d+\))', '\1', 'g') AS line FROM %s AS r ORDER BY r::text COLLATE "C"$$, source, source)
FROM (SELECT format('slm_feedback.%I(%L, %L)', proname, '2026-01-01', '2026-03-31')
      FROM pg_proc
      WHERE pronamespace = 'slm_feedback'::regnamespace AND proname ~ '^(report|export_(?!live_))' AND pronargs - pronargdefaults <= 2
        AND proargtypes[0] = 'date'::regtype AND proargtypes[1] = 'date'::regtype
      UNION ALL
      SELECT CASE relkind WHEN 'S' THEN format('(SELECT last_value, is_called FROM %s)', oid::regclass) ELSE oid::regclass::text END
      FROM pg_class WHERE oid = ANY (SELECT unnest(extconfig) FROM pg_extension WHERE extname = 'slm_feedback')
        AND relname NOT IN ('rollup_queue', 'tombstones')) AS sources (source)
ORDER BY source
\gexec
