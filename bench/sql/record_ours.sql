\set u random(1, 1000000000)
SELECT slm_feedback.record_query('How do I change setting ' || :u || ' of the product that I bought last year?', repeat('Open the settings, choose the entry and press the button twice. ', 6), gen_random_uuid()::text, 'user-' || :u, 's-1', 800, 'model-1', 'v1', 80, 300, 0.0002);
