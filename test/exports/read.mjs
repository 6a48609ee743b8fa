// The exports as DuckDB reads them, against the tables as PostgreSQL gives them.
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { DuckDBInstance } from '@duckdb/node-api'

const work = process.argv[2]
const duck = await (await DuckDBInstance.create(':memory:')).connect()
let count = 0
let failed = 0

function is(have, want, name) {
  count++
  const passed = JSON.stringify(have) === JSON.stringify(want)
  if (!passed) failed++
  console.log(`${passed ? 'ok' : 'not ok'} - DuckDB: ${name}`)
  if (!passed) console.log(`# have ${JSON.stringify(have)}\n# want ${JSON.stringify(want)}`)
}

const postgres = (statement) => JSON.parse(execFileSync('psql', ['-X', '-At', '-c', `SELECT row_to_json(r) FROM (${statement}) r`], { encoding: 'utf8' }))
const duckdb = async (statement) => (await duck.runAndReadAll(statement)).getRowObjectsJson()[0]

// Rows, sums, and a digest of every text in order. Both sides run the same statement: order and md5 are bytewise.
const texts = ['request_id', 'query_text', 'response_text', 'user_id', 'session_id', 'model', 'prompt_version', 'error', 'feedback_user_id', 'comment']
const summary = (from, collate) => `
  SELECT count(*)::varchar AS row_count, sum(response_time_ms)::varchar AS ms, sum(rating)::varchar AS rating, sum(sentiment)::varchar AS sentiment,
         sum(question_hash)::varchar AS hashes, count(CASE WHEN is_helpful THEN 1 END)::varchar AS helpful,
         ${texts.map((t) => `md5(string_agg(md5(coalesce(${t}, 'null!')), '' ORDER BY request_id ${collate}, coalesce(feedback_user_id, '') ${collate})) AS ${t}_digest`).join(', ')}
  FROM ${from}`
const want = postgres(summary(`(SELECT q.*, f.user_id AS feedback_user_id, f.is_helpful, f.rating, f.sentiment, f.comment
  FROM slm_feedback.queries q LEFT JOIN slm_feedback.feedback f USING (request_id)) t`, 'COLLATE "C"'))

const types = { request_id: 'VARCHAR', query_text: 'VARCHAR', response_text: 'VARCHAR', created_at: 'TIMESTAMPTZ', user_id: 'VARCHAR', session_id: 'VARCHAR',
  response_time_ms: 'INTEGER', sources_used: 'VARCHAR', model: 'VARCHAR', prompt_version: 'VARCHAR', input_tokens: 'INTEGER', output_tokens: 'INTEGER',
  cost_usd: 'DECIMAL(18,6)', error: 'VARCHAR', tags: 'VARCHAR', metadata: 'VARCHAR', question_hash: 'BIGINT', feedback_user_id: 'VARCHAR', is_helpful: 'BOOLEAN',
  rating: 'SMALLINT', comment: 'VARCHAR', sentiment: 'SMALLINT', feedback_created_at: 'TIMESTAMPTZ', feedback_updated_at: 'TIMESTAMPTZ' }
const columns = `{${Object.entries(types).map(([name, type]) => `'${name}': '${type}'`).join(', ')}}`
is(await duckdb(summary(`read_csv('${work}/interactions.csv', header = true, delim = ',', quote = '"', escape = '"', auto_detect = false, allow_quoted_nulls = false, columns = ${columns})`, '')),
  want, 'interactions.csv: rows, sums and every text')
for (const name of ['psql', 'copy', 'program']) {
  is(await duckdb(summary(`read_json('${work}/${name}.jsonl', format = 'newline_delimited', columns = ${columns})`, '')), want, `${name}.jsonl: rows, sums and every text`)
}

is(await duckdb(`SELECT count(*)::varchar AS row_count, sum(total_queries)::bigint::varchar AS queries, sum(positive_feedback_count)::bigint::varchar AS positive
                 FROM read_csv('${work}/daily.csv', header = true) WHERE model IS NULL OR model <> '!'`),
  postgres(`SELECT count(*)::varchar AS row_count, sum(total_queries)::varchar AS queries, sum(positive_feedback_count)::varchar AS positive
            FROM slm_feedback.metrics('2000-01-01', '2100-01-01')`), 'daily.csv: rows and sums')

for (const [name, fields, label] of [['kto', 'prompt, completion', true], ['sft', 'prompt, completion'], ['dpo', 'prompt, chosen, rejected']]) {
  const parts = fields.split(', ')
  const digest = (from, get, collate) => `SELECT count(*)::varchar AS row_count, ${label ? `count(CASE WHEN ${get('label')} = 'true' THEN 1 END)::varchar AS good, ` : ''}
    md5(string_agg(md5(${parts.map(get).join(` || '|' || `)}), '' ORDER BY ${parts.map((p) => `md5(${get(p)}) ${collate}`).join(', ')}${label ? `, ${get('label')} ${collate}` : ''})) AS digest FROM ${from}`
  is(await duckdb(digest(`read_json('${work}/${name}.jsonl', format = 'newline_delimited', columns = {${parts.concat(label ? ['label'] : []).map((p) => `${p}: 'VARCHAR'`).join(', ')}})`, (p) => p, '')),
    postgres(digest(`slm_feedback.export_${name}() j`, (p) => `(j ->> '${p}')`, 'COLLATE "C"')), `${name}.jsonl: rows and every text`)
}

writeFileSync(`${work}/count.duckdb`, `${count}\n`)
process.exit(failed > 0 ? 1 : 0)
