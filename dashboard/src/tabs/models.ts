import { tooltip, valueAxis } from '../axis';
import { Table, card, dataTable, saveCsv } from '../chart';
import { el } from '../dom';
import { dollars, fixed, integer, milliseconds, percent } from '../format';
import { Group, dailyMean, groups, positiveRatio, ratio, wilson } from '../metrics';
import type { Context } from '../main';

interface Measure { head: string; raw: (g: Group) => number; shown: (v: number, g: Group) => string }

let sortBy = 1;
let descending = true;

export function models(context: Context): HTMLElement[] {
    const { store, view, totals, update } = context;
    const list = groups(store, view);
    const byVersion = view.byVersion || view.version !== null;
    const name = (g: Group): string => context.modelName(g.model) + (byVersion ? ` \u00b7 ${context.versionName(g.version!)}` : '');
    const exact = list.every((g) => g.merged);
    const mark = exact ? '\u2248' : 'daily';
    const over = (key: 'users' | 'p50' | 'p95' | 'p99') => (g: Group): number => (exact ? g.merged![key] ?? NaN : dailyMean(g.days.daily[key]));
    const measures: Measure[] = [
        { head: 'Queries', raw: (g) => g.totals.queries, shown: integer },
        { head: 'Share', raw: (g) => ratio(g.totals.queries, totals.queries), shown: (v) => percent(v) },
        { head: 'Positive ratio', raw: (g) => positiveRatio(g.totals), shown: (v) => percent(v) },
        { head: '95% low', raw: (g) => wilson(g.totals.positive, g.totals.positive + g.totals.negative)[0], shown: (v) => percent(v) },
        { head: '95% high', raw: (g) => wilson(g.totals.positive, g.totals.positive + g.totals.negative)[1], shown: (v) => percent(v) },
        { head: 'Positive', raw: (g) => g.totals.positive, shown: integer },
        { head: 'Neutral', raw: (g) => g.totals.neutral, shown: integer },
        { head: 'Negative', raw: (g) => g.totals.negative, shown: integer },
        { head: 'Feedback rate', raw: (g) => ratio(g.totals.rated, g.totals.queries), shown: (v) => percent(v) },
        { head: 'Rating', raw: (g) => ratio(g.totals.rating_sum, g.totals.rating_count), shown: (v) => fixed(v, 2) },
        { head: 'Average', raw: (g) => ratio(g.totals.time_sum, g.totals.timed), shown: milliseconds },
        { head: `p50 (${mark})`, raw: over('p50'), shown: milliseconds },
        { head: `p95 (${mark})`, raw: over('p95'), shown: milliseconds },
        { head: `p99 (${mark})`, raw: over('p99'), shown: milliseconds },
        { head: `Users (${mark})`, raw: over('users'), shown: integer },
        { head: 'Errors', raw: (g) => g.totals.errors, shown: integer },
        { head: 'Tokens in', raw: (g) => g.totals.input_tokens, shown: integer },
        { head: 'Tokens out', raw: (g) => g.totals.output_tokens, shown: integer },
        { head: 'Cost', raw: (g) => g.totals.cost, shown: dollars },
    ];
    const row = (g: Group, which: Measure[]): { shown: string[]; raw: (string | number | null)[] } => ({
        shown: [name(g), ...which.map((m) => m.shown(m.raw(g), g))],
        raw: [name(g), ...which.map((m) => m.raw(g))],
    });
    const tableOf = (which: Measure[], sorted = list): Table => ({ head: ['Model', ...which.map((m) => m.head)], rows: sorted.map((g) => row(g, which)) });

    const value = (g: Group): number | string => (sortBy === 0 ? name(g) : measures[sortBy - 1].raw(g));
    const sorted = [...list].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        const order = typeof x === 'string' ? x.localeCompare(y as string)
            : Number.isNaN(x) ? (Number.isNaN(y as number) ? 0 : 1) : Number.isNaN(y as number) ? -1 : (x - (y as number)) * (descending ? -1 : 1);
        return typeof x === 'string' && descending ? -order : order;
    });
    const full = tableOf(measures, sorted);
    const table = dataTable(full, 'Models side by side');
    table.querySelectorAll('thead th').forEach((th, i) => {
        const button = el('button', {
            type: 'button', class: 'sort', onclick: () => {
                descending = sortBy === i ? !descending : i > 0;
                sortBy = i;
                update({}, `#models-table thead th:nth-child(${i + 1}) button`);
            },
        }, full.head[i], el('span', { 'aria-hidden': 'true' }, sortBy === i ? (descending ? ' \u25bc' : ' \u25b2') : ''));
        th.replaceChildren(button);
        th.setAttribute('aria-sort', sortBy === i ? (descending ? 'descending' : 'ascending') : 'none');
    });

    const shownInCharts = list.slice(0, 30);
    const height = 56 + 26 * shownInCharts.length;
    const names = shownInCharts.map(name);
    const more = list.length > shownInCharts.length ? ` The ${shownInCharts.length} with most queries.` : '';
    const categories = (muted: string): object => ({
        type: 'category', data: names, inverse: true, axisTick: { show: false }, axisLine: { show: false },
        axisLabel: { color: muted, width: 150, overflow: 'truncate' },
    });
    const intervals = shownInCharts.map((g) => wilson(g.totals.positive, g.totals.positive + g.totals.negative));
    const judged = shownInCharts.map((g) => g.totals.positive + g.totals.negative);
    const widest = Math.max(0.05, ...intervals.map((v) => (Number.isNaN(v[1]) ? 0 : v[1])));
    const ratioMeasures = measures.slice(2, 8);
    const timeMeasures = measures.slice(10, 14);
    const marked = (s: string): string => s.replace(' (daily)', '').replace(' (\u2248)', '');
    return [
        el('section', { class: 'card', 'aria-labelledby': 'title-models' },
            el('div', { class: 'card-head' },
                el('div', {},
                    el('h3', { id: 'title-models' }, 'Models side by side'),
                    el('p', { class: 'note' }, exact
                        ? 'Columns marked \u2248 are approximate: users within about 2.3%, percentiles of 1,000 timed queries or more within about 1% of rank and one distinct time.'
                        : 'Columns marked daily are means of the daily values: users and percentiles of several days do not add up.')),
                el('div', { class: 'tools' },
                    el('button', { type: 'button', id: 'by-version', 'aria-pressed': String(byVersion), disabled: view.version !== null, onclick: () => update({ byVersion: !view.byVersion }, '#by-version') }, 'By prompt version'),
                    el('button', { type: 'button', 'aria-label': 'Models side by side: save the data as CSV', onclick: () => saveCsv('slm-feedback-models', tableOf(measures)) }, 'CSV'))),
            el('div', { id: 'models-table' }, table)),
        el('div', { class: 'grid' },
            card({
                id: 'model-ratio', title: 'Positive ratio by model', note: `The line is the 95% Wilson interval: where two overlap, the difference may be chance.${more}`, height,
                describe: shownInCharts.map((g, i) => `${names[i]} ${percent(positiveRatio(g.totals))}`).join(', ') + '.',
                option: (c) => ({
                    grid: { top: 4, right: 24 }, legend: { show: false },
                    xAxis: valueAxis(c, (v) => percent(v, 0), widest > 0.5 ? { min: 0, max: 1, interval: 0.25 } : { min: 0 }), yAxis: categories(c.muted),
                    tooltip: {
                        trigger: 'axis', axisPointer: { type: 'shadow' },
                        formatter: (hit: { dataIndex: number }[]) => {
                            const i = hit[0].dataIndex;
                            return tooltip(names[i], ratioMeasures.map((m) => [m.head, m.shown(m.raw(shownInCharts[i]), shownInCharts[i])]));
                        },
                    },
                    series: [{
                        type: 'custom', encode: { x: [1, 2, 3], y: 0 },
                        data: shownInCharts.map((g, i) => (judged[i] > 0 ? [i, positiveRatio(g.totals), ...intervals[i]] : [i, null, null, null])),
                        renderItem: (_: unknown, api: { value(i: number): number; coord(v: number[]): number[] }) => {
                            if (Number.isNaN(api.value(1)) || api.value(1) === null) {
                                return null;
                            }
                            const [x, y] = api.coord([api.value(1), api.value(0)]);
                            const low = api.coord([api.value(2), api.value(0)])[0];
                            const high = api.coord([api.value(3), api.value(0)])[0];
                            const stroke = { stroke: c.positive, lineWidth: 2, fill: null };
                            return {
                                type: 'group', children: [
                                    { type: 'line', shape: { x1: low, y1: y, x2: high, y2: y }, style: stroke },
                                    { type: 'line', shape: { x1: low, y1: y - 5, x2: low, y2: y + 5 }, style: stroke },
                                    { type: 'line', shape: { x1: high, y1: y - 5, x2: high, y2: y + 5 }, style: stroke },
                                    { type: 'circle', shape: { cx: x, cy: y, r: 5 }, style: { fill: c.positive } },
                                ],
                            };
                        },
                    }],
                }),
                table: () => tableOf(ratioMeasures),
            }),
            card({
                id: 'model-times', title: 'Response time by model', note: `Average and p95${exact ? ' (\u2248)' : ' (mean of the days)'}.${more}`, height: height + 24,
                describe: shownInCharts.map((g, i) => `${names[i]} ${milliseconds(timeMeasures[0].raw(g))}`).join(', ') + ' on average.',
                option: (c) => ({
                    grid: { right: 24 },
                    xAxis: valueAxis(c, (v) => (v >= 1000 ? `${v / 1000} s` : `${v} ms`), { min: 0, splitNumber: 3 }), yAxis: categories(c.muted),
                    tooltip: {
                        trigger: 'axis', axisPointer: { type: 'shadow' },
                        formatter: (hit: { dataIndex: number }[]) => {
                            const i = hit[0].dataIndex;
                            return tooltip(names[i], timeMeasures.map((m) => [m.head, m.shown(m.raw(shownInCharts[i]), shownInCharts[i])]));
                        },
                    },
                    series: [timeMeasures[0], timeMeasures[2]].map((m, n) => ({
                        name: marked(m.head), type: 'bar', barMaxWidth: 9, itemStyle: { color: n === 0 ? c.series[0] : c.series[2], borderRadius: [0, 2, 2, 0] },
                        data: shownInCharts.map((g) => { const v = m.raw(g); return Number.isNaN(v) ? null : v; }),
                    })),
                }),
                table: () => tableOf(timeMeasures),
            })),
    ];
}
