SELECT count(*) FROM raw.query_batch b, slm_feedback.record_queries(b.batch);
