// The dashboard in a browser. Every number is compared with what SELECTs of the reports give.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const work = process.env.SLM_WORK;
const pictures = process.env.SLM_SCREENSHOTS;
const service = process.env.SLM_SERVICE;

// --- TAP ------------------------------------------------------------------------

let count = 0;
let failed = 0;
function ok(good, title, ...why) {
    count++;
    if (!good) {
        failed++;
    }
    console.log(`${good ? 'ok' : 'not ok'} ${count} - ${title}`);
    if (!good) {
        console.log(why.map((w) => `# ${typeof w === 'string' ? w : JSON.stringify(w)}`.slice(0, 1500).replaceAll('\n', '\n# ')).join('\n'));
    }
}
const is = (got, wanted, title) => ok(JSON.stringify(got) === JSON.stringify(wanted), title, { got }, { wanted });

// --- the database -----------------------------------------------------------------

function psql(statement, database = 'browser_test', user = process.env.PGUSER ?? '') {
    return execFileSync('psql', ['-X', '-q', '-At', '-v', 'ON_ERROR_STOP=1', '-d', database, ...(user ? ['-U', user] : []), '-f', '-'],
        { input: statement, encoding: 'utf8', maxBuffer: 1 << 28 }).trim();
}
const rows = (query) => JSON.parse(psql(`SELECT coalesce(json_agg(r), '[]') FROM (${query}) r;`));
const literal = (v) => (v === null || v === undefined ? 'NULL' : `'${String(v).replaceAll("'", "''")}'`);
function writePage(name, call = 'slm_feedback.dashboard()', database, user) {
    const file = `${work}/${name}.html`;
    writeFileSync(file, psql(`SELECT ${call};`, database, user));
    return `file://${file}`;
}

// Texts that would break a page that takes them for markup; asked often enough to stand at the top.
const NASTY = '</script><script>window.pwned = 1</script><!-- <img src=x onerror="window.pwned=2"> & "q" \u2028\u2029 \u{1F600} ]]> {{1}} ${1}';
const NASTY_MODEL = '<b onmouseover="window.pwned=3">m&m</b>';
const FORMULAS = ['=', '+', '-', '@', '\uff1d', '\uff0b', '\uff0d', '\uff20', '\t', '\r', '\n'].map((c, i) => `${c}${i} is a formula`);
const day0 = psql("SELECT max(date) FROM slm_feedback.daily_metrics;");
psql(`SELECT count(slm_feedback.record_query(${literal(NASTY)}, 'a', 'nasty-' || n, 'nasty', NULL, 100 + n, ${literal(NASTY_MODEL)}, 'v<2>',
             created_at => ${literal(day0)}::timestamptz + interval '12 hours' + n * interval '1 second'))
      FROM generate_series(1, 60) n;
      SELECT count(slm_feedback.record_query(f, 'a', 'formula-' || i || '-' || n, created_at => ${literal(day0)}::timestamptz + interval '12 hours'))
      FROM json_array_elements_text(${literal(JSON.stringify(FORMULAS))}) WITH ORDINALITY AS t (f, i), generate_series(1, 30) n;
      SELECT count(slm_feedback.submit_feedback('nasty-' || n, false, 1 + n % 2, 'c', 'u' || n)) FROM generate_series(1, 30) n;
      CALL slm_feedback.rollup();`);

const page0 = writePage('page');
const payload = JSON.parse(readFileSync(page0.slice(7), 'utf8').match(/<script type="application\/json" id="slm-data">(.*)<\/script>/)[1]);
const { from, to } = payload.view;
const range = `${literal(from)}, ${literal(to)}`;

// --- the browser ----------------------------------------------------------------

const browser = await chromium.launch({
    executablePath: process.env.SLM_CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const noise = [];
async function open(url, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, acceptDownloads: true, timezoneId: 'America/New_York', ...options });
    const page = await context.newPage();
    page.on('console', (m) => { if (['error', 'warning'].includes(m.type())) { noise.push(`console ${m.type()}: ${m.text()}`); } });
    page.on('pageerror', (e) => noise.push(`error: ${e.message}`));
    page.on('request', (r) => { if (r.url().split('#')[0] !== url.split('#')[0] && !/^(data|blob):/.test(r.url())) { noise.push(`request: ${r.url()}`); } });
    await page.goto(url);
    await page.waitForSelector('html[data-ready]');
    return page;
}
const tab = async (page, name) => { await page.click(`#tab-${name}`); await page.waitForTimeout(60); };
async function download(page, selector) {
    const [file] = await Promise.all([page.waitForEvent('download'), page.click(selector)]);
    return readFileSync(await file.path());
}
function parseCsv(text) {
    const out = [[]];
    let cell = '';
    let quoted = false;
    for (let i = 0; i < text.length; i++) {
        const c = text[i];
        if (quoted) {
            if (c === '"' && text[i + 1] === '"') { cell += '"'; i++; } else if (c === '"') { quoted = false; } else { cell += c; }
        } else if (c === '"') { quoted = true; } else if (c === ',') { out.at(-1).push(cell); cell = ''; } else if (c === '\n') { out.at(-1).push(cell); out.push([]); cell = ''; } else if (c !== '\r') { cell += c; }
    }
    return out.filter((r) => r.length > 0);
}
const csv = async (page, id) => parseCsv((await download(page, `section:has(#chart-${id}) button[aria-label$="as CSV"]`)).toString());
const shown = (page, id) => page.$$eval(`#${id} tbody tr`, (trs) => trs.map((tr) => [...tr.cells].map((c) => c.textContent.trim())));
const close = (a, b) => (a === '' || a === null || b === null || b === undefined ? (a === '' || a === null) && (b === null || b === undefined) : Math.abs(Number(a) - Number(b)) <= 1e-9 * Math.max(1, Math.abs(Number(b))));
const rounded = (a, b) => (b === null ? a === '' : Math.abs(Number(a) - b) <= 0.5 + 1e-9);
// sameTable: the CSV of a chart against rows of a SELECT, column by column.
function sameTable(got, wanted, columns, title) {
    const bad = [];
    if (got.length - 1 !== wanted.length) {
        bad.push(`${got.length - 1} rows, wanted ${wanted.length}`);
    }
    wanted.forEach((w, i) => columns.forEach(([head, value, same = close], j) => {
        const g = got[i + 1]?.[j];
        if (got[0][j] !== head || g === undefined || !(typeof value(w) === 'string' ? g === value(w) : same(g, value(w)))) {
            bad.push(`row ${i} ${head}/${got[0][j]}: ${g}, wanted ${value(w)}`);
        }
    }));
    ok(bad.length === 0 && wanted.length > 0, title, ...bad.slice(0, 5));
}
const dailyOf = (model = null, version = null, a = from, b = to) => rows(
    `SELECT d.*, w.low, w.high FROM slm_feedback.report_daily(${literal(a)}, ${literal(b)}, ${literal(model)}, ${literal(version)}) d,
     LATERAL slm_feedback.wilson_interval(positive_feedback_count, positive_feedback_count + negative_feedback_count) w`);

// Every figure of the charts over days, for the filters that stand in the page.
async function compareDaily(page, wanted, what) {
    await tab(page, 'usage');
    sameTable(await csv(page, 'queries'), wanted, [['Day', (d) => d.date], ['Queries', (d) => d.total_queries], ['Errors', (d) => d.error_count],
        ['Input tokens', (d) => d.input_tokens], ['Output tokens', (d) => d.output_tokens], ['Cost (USD)', (d) => Number(d.cost_usd)]], `queries a day: ${what}`);
    sameTable(await csv(page, 'users'), wanted, [['Day', (d) => d.date], ['Unique users', (d) => d.unique_users]], `unique users: ${what}`);
    await tab(page, 'quality');
    sameTable(await csv(page, 'positive-ratio'), wanted, [['Day', (d) => d.date], ['Positive ratio', (d) => d.positive_ratio], ['Low (95%)', (d) => d.low], ['High (95%)', (d) => d.high],
        ['Positive', (d) => d.positive_feedback_count], ['Neutral', (d) => d.neutral_feedback_count], ['Negative', (d) => d.negative_feedback_count]], `positive ratio and its interval: ${what}`);
    sameTable(await csv(page, 'feedback-rate'), wanted, [['Day', (d) => d.date], ['Feedback rate', (d) => d.feedback_rate]], `feedback rate: ${what}`);
    sameTable(await csv(page, 'ratings'), wanted, [['Day', (d) => d.date], ['Average rating', (d) => d.avg_rating]], `ratings: ${what}`);
    await tab(page, 'speed');
    sameTable(await csv(page, 'response-times'), wanted, [['Day', (d) => d.date], ['Average (ms)', (d) => d.avg_response_time_ms], ['p50 (ms)', (d) => d.p50_response_time_ms, rounded],
        ['p95 (ms)', (d) => d.p95_response_time_ms, rounded], ['p99 (ms)', (d) => d.p99_response_time_ms, rounded]], `response times: ${what}`);
}

const CHARTS = { usage: ['queries', 'users', 'hours'], quality: ['positive-ratio', 'opinions', 'feedback-rate', 'ratings'], speed: ['response-times', 'errors'], models: ['model-ratio', 'model-times'], questions: [], operations: [] };
const integer = (v) => Number(v).toLocaleString('en', { maximumFractionDigits: 0 });
const percent = (v) => (v === null ? '\u2013' : `${(100 * v).toLocaleString('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 })}%`);

// --- the page ----------------------------------------------------------------------

const page = await open(page0);
const all = dailyOf();
for (const [name, charts] of Object.entries(CHARTS)) {
    await tab(page, name);
    for (const id of charts) {
        // what the chart draws without data: the same chart's axes, grid and background
        const marks = await page.$eval(`#chart-${id} svg`, (svg) => [...svg.querySelectorAll('path, circle, rect')].filter((e) => {
            const box = e.getBBox();
            const fill = e.getAttribute('fill');
            const stroke = e.getAttribute('stroke');
            return box.width + box.height > 2 && ((fill && fill !== 'none' && fill !== 'transparent') || (stroke && stroke !== 'none'));
        }).length);
        const axes = await page.$eval(`#chart-${id} svg`, (svg) => svg.querySelectorAll('text').length);
        ok(marks >= (id.startsWith('model') ? 4 : 8) && axes >= 3, `${id} has marks and axes`, { marks, axes });
    }
    ok(await page.$eval('#panel', (p) => p.textContent.length > 40), `${name} says something`);
}
await compareDaily(page, all, 'all models');

await tab(page, 'usage');
await page.click('section:has(#chart-queries) button[aria-expanded]');
is((await shown(page, 'table-queries')).map((r) => r.slice(0, 3)), all.map((d) => [d.date, integer(d.total_queries), integer(d.error_count)]), 'the table under a chart shows what report_daily() gives');
// tooltips: the middle of each bar
for (const i of [0, Math.floor(all.length / 2)]) {
    const days = Math.round((Date.parse(to) - Date.parse(from)) / 86400000) + 1;
    const at = Math.round((Date.parse(all[i].date) - Date.parse(from)) / 86400000);
    const x = await page.evaluate(([id, index, n]) => {
        const bars = document.querySelector(`#chart-${id}`).getBoundingClientRect();
        return { left: bars.left, width: bars.width, top: bars.top, height: bars.height, index, n };
    }, ['queries', at, days]);
    const left = x.left + 52;
    await page.mouse.move(left + ((x.width - 66) * (at + 0.5)) / days, x.top + x.height / 2);
    await page.waitForTimeout(150);
    const tip = await page.$$eval('.tip td', (tds) => tds.map((t) => t.textContent));
    is(tip, ['Queries', integer(all[i].total_queries), 'Errors', integer(all[i].error_count)], `the tooltip of ${all[i].date} shows what report_daily() gives`);
}
const summary = rows(`SELECT * FROM slm_feedback.report_summary(${range})`)[0];
const tiles = async () => Object.fromEntries(await page.$$eval('.tile', (t) => t.map((e) => [e.querySelector('dt').textContent, e.querySelector('.figure').textContent])));
let tile = await tiles();
is([tile.Queries, tile['Unique users']], [integer(summary.total_queries), `\u2248\u2009${integer(summary.approx_unique_users)}`], 'the tiles of Usage equal report_summary()');
await tab(page, 'quality');
tile = await tiles();
is([tile['Positive ratio'], tile['Feedback rate']], [percent(summary.positive_ratio), percent(summary.feedback_rate)], 'the tiles of Quality equal report_summary()');
await tab(page, 'speed');
tile = await tiles();
is([tile.Average, tile.p95], [`${integer(summary.avg_response_time_ms)} ms`, `\u2248\u2009${integer(Math.round(summary.approx_p95_response_time_ms))} ms`], 'the tiles of Speed equal report_summary()');

await tab(page, 'usage');
const heat = rows(`SELECT extract(isodow FROM created_at AT TIME ZONE slm_feedback.time_zone())::int - 1 AS d, extract(hour FROM created_at AT TIME ZONE slm_feedback.time_zone())::int AS h, count(*)::int AS n
    FROM slm_feedback.queries WHERE created_at >= slm_feedback.day_start(${literal(from)}) AND created_at < slm_feedback.day_start(${literal(to)}::date + 1) GROUP BY 1, 2`);
const grid = Array.from({ length: 7 }, () => Array(24).fill(0));
heat.forEach((c) => { grid[c.d][c.h] = c.n; });
is((await csv(page, 'hours')).slice(1).map((r) => r.slice(1).map(Number)), grid, 'the heat map equals a count of the raw rows by weekday and hour');

// models
const modelRows = (byVersion, where = '') => rows(`SELECT m.*, m.total_queries::float8 / sum(m.total_queries) OVER () AS share FROM slm_feedback.report_models(${range}, ${byVersion}) m ${where}`);
async function compareModels(byVersion, title) {
    const wanted = modelRows(byVersion);
    const got = parseCsv((await download(page, '#panel > section:first-child button[aria-label$="as CSV"]')).toString());
    const versionless = (v) => (v === '' ? '(not given)' : v);
    const name = (w) => versionless(w.model) + (byVersion ? ` \u00b7 ${versionless(w.prompt_version)}` : '');
    const sortedGot = [got[0], ...got.slice(1).sort((a, b) => (a[0] < b[0] ? -1 : 1))];
    wanted.sort((a, b) => (name(a) < name(b) ? -1 : 1));
    const exact = byVersion ? [] : [['p50 (\u2248)', (m) => m.approx_p50_response_time_ms], ['p95 (\u2248)', (m) => m.approx_p95_response_time_ms], ['p99 (\u2248)', (m) => m.approx_p99_response_time_ms], ['Users (\u2248)', (m) => m.approx_unique_users]];
    sameTable(sortedGot, wanted, [['Model', name], ['Queries', (m) => m.total_queries], ['Share', (m) => m.share], ['Positive ratio', (m) => m.positive_ratio],
        ['95% low', (m) => m.positive_ratio_low], ['95% high', (m) => m.positive_ratio_high], ['Positive', (m) => m.positive_feedback_count], ['Neutral', (m) => m.neutral_feedback_count],
        ['Negative', (m) => m.negative_feedback_count], ['Feedback rate', (m) => m.feedback_rate], ['Rating', (m) => m.avg_rating], ['Average', (m) => m.avg_response_time_ms], ...exact], title);
}
await tab(page, 'models');
await compareModels(false, 'models side by side equal report_models()');
await page.click('#by-version');
await compareModels(true, 'models by prompt version equal report_models(by_prompt_version)');
ok((await page.evaluate(() => location.hash)).includes('by=version'), 'by prompt version stands in the address');
await page.click('#by-version');
await page.click('#models-table thead th:nth-child(4) button');
is(await page.$eval('#models-table thead th:nth-child(4)', (t) => t.getAttribute('aria-sort')), 'descending', 'a click on a head sorts by it');
const order = (await shown(page, 'models-table')).map((r) => parseFloat(r[3]));
ok(order.filter((v) => !Number.isNaN(v)).every((v, i, a) => i === 0 || a[i - 1] >= v), 'rows stand in that order', order);

// questions
// A question stands for all of its spellings: the page may show another one than the report.
const normal = (texts) => JSON.parse(psql(`SELECT json_agg(left(slm_feedback.normalize_question(left(t, 300)), 200) ORDER BY n) FROM json_array_elements_text(${literal(JSON.stringify(texts))}) WITH ORDINALITY AS e (t, n);`));
async function compareQuestions(orderBy, where, title) {
    const wanted = rows(`SELECT * FROM slm_feedback.report_top_questions(${range}, 10, ${literal(orderBy)}${where})`);
    const got = await shown(page, `table-${orderBy}`);
    is(got.map((r) => r.slice(1, 6)), wanted.map((q) => [integer(q.times_asked), percent(q.positive_ratio), integer(q.positive_feedback_count), integer(q.neutral_feedback_count), integer(q.negative_feedback_count)]), `${title}: figures`);
    is(normal(got.map((r) => r[0])), normal(wanted.map((q) => q.question)), `${title}: texts`);
}
await tab(page, 'questions');
await compareQuestions('asked', '', 'asked most equals report_top_questions()');
await compareQuestions('worst', '', 'rated worst equals report_top_questions()');
const nastyRow = (await shown(page, 'table-worst')).find((r) => r[0].includes('pwned'));
is(nastyRow?.[0], NASTY, 'a question full of markup is shown as it was asked');
await page.fill('#search', 'PWNED = 1');
await page.waitForTimeout(80);
is((await shown(page, 'table-found')).map((r) => r[0]), [NASTY], 'the search finds it');
ok(await page.$eval('#search', (e) => document.activeElement === e && e.value === 'PWNED = 1'), 'and the cursor stays in the field');
await page.fill('#search', 'is a formula');
await page.waitForTimeout(80);
const formulas = parseCsv((await download(page, 'section:has(#table-found) button[aria-label$="as CSV"]')).toString()).slice(1).map((r) => r[0]);
is(formulas.sort(), FORMULAS.map((f) => `'${f}`).sort(), 'CSV: questions that a spreadsheet would take for formulas get an apostrophe');
await page.fill('#search', '');

// filters and addresses
const model = payload.models.find((m) => m !== '' && m !== NASTY_MODEL);
await page.selectOption('#model', { label: model });
await compareDaily(page, dailyOf(model), 'one model');
await tab(page, 'questions');
await compareQuestions('asked', `, ${literal(model)}`, 'asked most of one model');
await tab(page, 'usage');
const shared = page.url();
ok(shared.includes(`model=${encodeURIComponent(model).replaceAll('%20', '+')}`), 'the model stands in the address', shared);
await page.selectOption('#model', { label: NASTY_MODEL });
await page.selectOption('#version', { label: 'v<2>' });
await compareDaily(page, dailyOf(NASTY_MODEL, 'v<2>'), 'a model and prompt version with markup in their names');
const middle = all[Math.floor(all.length / 2)].date;
await page.selectOption('#model', '');
await page.selectOption('#version', '');
await page.fill('#from', middle);
await page.dispatchEvent('#from', 'change');
await compareDaily(page, dailyOf(null, null, middle, to), 'a later first day');
const address = page.url();
ok(address.includes(`from=${middle}`), 'the range stands in the address', address);
const other = await open(shared);
is(await other.$eval('#model', (s) => s.selectedOptions[0].textContent), model, 'a shared address opens the same view');
sameTable(await csv(other, 'queries'), dailyOf(model), [['Day', (d) => d.date], ['Queries', (d) => d.total_queries]], 'with the same figures');
await other.close();
await page.click('#reset');
is(await page.inputValue('#from'), from, 'Reset goes back to the first view');
await page.click('[data-preset="7d"]');
const week = await page.$$eval('#from, #to', (e) => e.map((i) => i.value));
is((Date.parse(week[1]) - Date.parse(week[0])) / 86400000, 6, '7 days are seven days');
await page.goto('about:blank');
await page.goto(`${page0}#tab=nonsense&from=zzz&to=1&model=nobody&range=99`);
await page.waitForSelector('html[data-ready]');
is([await page.inputValue('#from'), await page.$eval('[role=tab][aria-selected=true]', (t) => t.id)], [from, 'tab-usage'], 'an address that makes no sense is the first view');
await page.goto('about:blank');
await page.goto(`${page0}#tab=usage&from=2001-01-01&to=2001-01-02`);
await page.waitForSelector('#nothing, .tile');
await page.goto('about:blank');
await page.goto(page0);

// keyboard
await page.focus('#tab-usage');
await page.keyboard.press('ArrowRight');
is(await page.evaluate(() => [document.activeElement.id, document.querySelector('[role=tab][aria-selected=true]').id]), ['tab-quality', 'tab-quality'], 'an arrow key goes to the next tab');
await page.keyboard.press('End');
await page.keyboard.press('ArrowRight');
is(await page.evaluate(() => document.activeElement.id), 'tab-usage', 'and from the last to the first');
is(await page.$$eval('[role=tab]', (t) => t.filter((e) => e.tabIndex === 0).length), 1, 'one tab is in the tab order');
ok(await page.$$eval('[role=img]', (t) => t.every((e) => e.getAttribute('aria-label').length > 30)), 'each chart says in words what it shows');

// pictures
const svg = (await download(page, 'section:has(#chart-queries) button[title$="as SVG"]')).toString();
ok(svg.length > 2000 && await page.evaluate((text) => new DOMParser().parseFromString(text, 'image/svg+xml').documentElement.nodeName === 'svg', svg), 'a chart is saved as SVG');
const png = await download(page, 'section:has(#chart-queries) button[title$="as PNG"]');
ok(png.subarray(1, 4).toString() === 'PNG' && png.length > 5000, 'and as PNG', png.length);

// accessibility, widths, themes
for (const [mode, options] of [['light', { colorScheme: 'light' }], ['dark', { colorScheme: 'dark' }], ['phone', { viewport: { width: 390, height: 844 } }]]) {
    const p = await open(page0, options);
    const findings = [];
    let overflow = 0;
    for (const name of Object.keys(CHARTS)) {
        await tab(p, name);
        if (name === 'usage') {
            await p.click('section:has(#chart-users) button[aria-expanded]');
        }
        await p.evaluate(axe);
        const result = await p.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
        findings.push(...result.violations.filter((v) => ['serious', 'critical'].includes(v.impact)).map((v) => `${name}: ${v.id} ${v.nodes[0].html} ${v.nodes[0].failureSummary}`));
        overflow = Math.max(overflow, await p.evaluate(() => document.documentElement.scrollWidth - innerWidth));
        if (pictures) {
            await p.screenshot({ path: `${pictures}/${name}-${mode}.png`, fullPage: true });
        }
    }
    is(findings, [], `axe-core has no serious finding (${mode})`);
    ok(overflow <= 0, `nothing sticks out to the side (${mode})`, overflow);
    await p.close();
}
const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
const before = await background();
await page.click('#theme');
await page.click('#theme');
ok(before !== (await background()) && (await page.textContent('#theme')).includes('dark'), 'the button changes the theme');

// who may not read texts, nothing at all, old data
const plain = writePage('analyst', 'slm_feedback.dashboard()', 'browser_test', 'browser_analyst');
ok(!readFileSync(plain.slice(7), 'utf8').includes('window.pwned = 1'), 'the page of an analyst without texts holds no question');
const denied = await open(`${plain}#tab=questions`);
ok((await denied.textContent('#panel')).includes('not shown'), 'and says so');
await denied.close();
const empty = await open(writePage('empty', 'slm_feedback.dashboard()', 'browser_empty'));
ok((await empty.textContent('#panel')).includes('record_query'), 'without data the page says how to begin');
await tab(empty, 'operations');
ok((await empty.textContent('#panel')).includes('never'), 'and its Operations tab works');
await empty.close();
const titled = await open(writePage('titled', `slm_feedback.dashboard(title => ${literal(NASTY)}, refresh_seconds => 0)`));
is([await titled.title(), await titled.textContent('h1')], [NASTY, NASTY], 'a title full of markup is a title');
ok(!(await titled.textContent('#freshness')).includes('reloads'), 'refresh_seconds 0: no reload');
await titled.close();
ok(/Data of .* \((now|.* ago)\), reloads every hour/.test(await page.textContent('#freshness')), 'the page says how old its data is', await page.textContent('#freshness'));
is(await page.evaluate(() => window.pwned), undefined, 'no text of the data ran');

// new feedback over HTTP
if (service) {
    const served = await open(`${service}/dashboard?refresh_seconds=2#tab=quality`);
    const opinions = () => served.$$eval('.tile', (t) => t.find((e) => e.querySelector('dt').textContent === 'Opinions').querySelector('.figure').textContent);
    const had = await opinions();
    const id = psql(`SELECT min(request_id) FROM slm_feedback.queries WHERE created_at >= slm_feedback.day_start(${literal(to)}) AND created_at < slm_feedback.day_start(${literal(to)}::date + 1);`);
    const answer = await fetch(`${service}/feedback`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ request_id: id, is_helpful: true, user_id: 'somebody new' }) });
    is(answer.status, 200, 'feedback is posted over HTTP');
    await served.waitForFunction((old) => [...document.querySelectorAll('.tile')].some((e) => e.querySelector('dt').textContent === 'Opinions' && e.querySelector('.figure').textContent !== old), had, { timeout: 20000 }).catch(() => {});
    is(await opinions(), integer(Number(had.replaceAll(',', '')) + 1), 'and shows after the page has reloaded itself');
    ok(served.url().endsWith('#tab=quality'), 'on the same tab');
    await served.close();
} else {
    console.log(`ok ${++count} - new feedback over HTTP # SKIP the web service's packages are needed`);
}
is(noise, [], 'no request left the page, no console error');

await browser.close();
console.log(`1..${count}`);
process.exit(failed ? 1 : 0);
