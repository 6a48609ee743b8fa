\set r :rows - random(0, :recent - 1)
\set u random(1, 1000000000)
INSERT INTO raw.feedback_ivm AS f (request_id, user_id, is_helpful, rating, comment, query_created_at) VALUES ('bench-' || lpad((:r)::text, 10, '0'), 'rater-' || :u, true, 4, NULL, now()) ON CONFLICT (request_id, user_id) DO UPDATE SET is_helpful = coalesce(excluded.is_helpful, f.is_helpful), rating = coalesce(excluded.rating, f.rating), comment = coalesce(excluded.comment, f.comment), updated_at = excluded.updated_at;
