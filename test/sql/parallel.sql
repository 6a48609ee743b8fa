-- A session whose first look at the settings comes in the middle of a parallel plan.
CREATE EXTENSION slm_feedback CASCADE;
CREATE TABLE many AS SELECT i FROM generate_series(1, 1000) i;
\c -
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT slm_feedback.shows_group(count(*)) FROM many;
SELECT slm_feedback.shows_group(count(*)) FROM many;
DROP TABLE many;
DROP EXTENSION slm_feedback, hll, tdigest;
