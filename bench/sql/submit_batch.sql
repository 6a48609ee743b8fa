SELECT count(*) FROM raw.feedback_batches b, slm_feedback.submit_feedback_batch(b.batch) WHERE b.n = (SELECT nextval('raw.batch_number'));
