\set r :rows - random(0, :recent - 1)
\set u random(1, 1000000000)
SELECT slm_feedback.submit_feedback('bench-' || lpad((:r)::text, 10, '0'), true, 4, NULL, 'rater-' || :u);
