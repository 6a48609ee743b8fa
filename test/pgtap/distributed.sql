-- Tables that Citus has distributed are refused. Citus itself is not needed: its name and its catalog are made here as
-- it makes them, and the table is invalidated as create_distributed_table() does it.
\ir setup.inc
CREATE EXTENSION slm_feedback CASCADE;
SELECT * FROM no_plan();
SELECT slm_feedback.record_query('q', request_id => 'before');

CREATE TABLE pg_dist_partition (logicalrelid regclass NOT NULL, partmethod "char" NOT NULL);
ALTER TABLE pg_dist_partition SET SCHEMA pg_catalog;
CREATE TABLE others (id int);
CREATE PROCEDURE distribute(relation regclass) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pg_catalog.pg_dist_partition VALUES (relation, 'h');
    EXECUTE format('ALTER TABLE %s SET (fillfactor = 90)', relation);
END $$;
CREATE PROCEDURE undistribute(relation regclass) LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM pg_catalog.pg_dist_partition WHERE logicalrelid = relation;
    EXECUTE format('ALTER TABLE %s RESET (fillfactor)', relation);
END $$;

-- ---- what is not refused ----
CALL distribute('slm_feedback.queries');
SELECT lives_ok($$SELECT slm_feedback.record_query('q', request_id => 'no citus')$$, 'without the extension citus nobody asks its catalog');
INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
SELECT 1, 'citus', oid, 'pg_catalog'::regnamespace, false, '13' FROM pg_roles WHERE rolname = current_user;
CALL undistribute('slm_feedback.queries');
CALL distribute('others');
SELECT lives_ok($$SELECT slm_feedback.record_query('q', request_id => 'others')$$, 'tables of others may be distributed');

-- ---- what is ----
CREATE FUNCTION refused(sql text, what text) RETURNS text LANGUAGE sql AS $$
    SELECT throws_ok(sql, '0A000', 'table "slm_feedback.queries" is distributed by Citus', what)
$$;
CALL distribute('slm_feedback.queries');
SELECT refused($$SELECT slm_feedback.record_query('q', request_id => 'shell')$$, 'record_query()');
SELECT refused($$SELECT slm_feedback.record_queries('[{"query_text": "q"}]')$$, 'record_queries()');
SELECT refused($$SELECT slm_feedback.submit_feedback('before', true)$$, 'submit_feedback()');
SELECT refused($$SELECT slm_feedback.submit_feedback_batch('[{"request_id": "before", "rating": 3}]')$$, 'submit_feedback_batch()');
SELECT refused($$SELECT slm_feedback.withdraw_feedback('before', 'u')$$, 'withdraw_feedback()');
SELECT refused($$SELECT slm_feedback.submit_correction('before', 'better')$$, 'submit_correction()');
SELECT refused($$INSERT INTO slm_feedback.queries (request_id, query_text) VALUES ('direct', 'q')$$, 'a direct write');
SELECT refused(format('SELECT * FROM slm_feedback.%I()', f), f || '()')
FROM unnest(ARRAY['report_daily', 'report_models', 'report_summary', 'report_top_questions', 'dashboard', 'export_changes', 'export_daily_metrics']) f;
\set ON_ERROR_STOP 0
CALL slm_feedback.rollup();
SELECT is(:'SQLSTATE'::text, '0A000', 'rollup()');
CALL slm_feedback.run_jobs();
SELECT is(:'SQLSTATE'::text, '0A000', 'run_jobs()');
\set ON_ERROR_STOP 1
SELECT is((SELECT count(*) FROM slm_feedback.queries), 3::bigint, 'and nothing is written');

-- ---- and no longer ----
CALL undistribute('slm_feedback.queries');
SELECT lives_ok($$SELECT slm_feedback.submit_feedback('before', true)$$, 'a table that is a plain one again is used again');
CALL distribute('slm_feedback.feedback');
SELECT throws_ok($$SELECT slm_feedback.submit_feedback('before', true)$$, '0A000', 'table "slm_feedback.feedback" is distributed by Citus', 'each table counts');

SELECT * FROM finish();
DELETE FROM pg_extension WHERE extname = 'citus';
DROP TABLE pg_catalog.pg_dist_partition, others;
DROP PROCEDURE distribute, undistribute;
DROP FUNCTION refused;
DROP EXTENSION slm_feedback CASCADE;
