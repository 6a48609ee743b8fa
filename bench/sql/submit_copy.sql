COPY raw.feedback (request_id, is_helpful, rating, query_created_at) FROM ':data/feedback.copy';
