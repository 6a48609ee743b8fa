-- wrk's requests: POST /feedback or /queries with the same values as bench/sql/*_ours.sql.
-- Arguments: what (feedback or queries), the newest request's number, how many requests are recent, a seed.
local what, rows, recent
function init(args)
   what, rows, recent = args[1], tonumber(args[2]), tonumber(args[3])
   math.randomseed(tonumber(args[4]))
   wrk.method = "POST"
   wrk.headers["Content-Type"] = "application/json"
   answer = string.rep("Open the settings, choose the entry and press the button twice. ", 6)
end
function request()
   local n = math.random(1, 1000000000)
   if what == "feedback" then
      return wrk.format(nil, "/feedback", nil, string.format(
         '{"request_id": "bench-%010d", "is_helpful": true, "rating": 4, "user_id": "http-%d"}',
         rows - math.random(0, recent - 1), n))
   end
   return wrk.format(nil, "/queries", nil, string.format(
      '{"query_text": "How do I change setting %d of the product that I bought last year?", "response_text": "%s", ' ..
      '"user_id": "user-%d", "session_id": "s-1", "response_time_ms": 800, "model": "model-1", "prompt_version": "v1", ' ..
      '"input_tokens": 80, "output_tokens": 300, "cost_usd": 0.0002}', n, answer, n))
end
