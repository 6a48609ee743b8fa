COPY raw.queries (query_text, response_text, user_id, session_id, response_time_ms, model, prompt_version, input_tokens, output_tokens, cost_usd) FROM ':data/queries.copy';
