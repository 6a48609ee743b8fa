SELECT count(*) FROM raw.query_batch_text b, slm_feedback.record_queries(b.batch::jsonb);
