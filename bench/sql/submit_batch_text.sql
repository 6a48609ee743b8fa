SELECT count(*) FROM raw.feedback_batches_text b, slm_feedback.submit_feedback_batch(b.batch::jsonb) WHERE b.n = (SELECT nextval('raw.batch_number'));
