\set r :rows - random(0, :recent - 1)
\set u random(1, 1000000000)
SELECT raw.submit_plpgsql('bench-' || lpad((:r)::text, 10, '0'), true, 4, NULL, 'rater-' || :u);
