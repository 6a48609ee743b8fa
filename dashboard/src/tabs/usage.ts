import { dayAxis, dayTable, dayTooltip, gaps, span, symbols, tooltip, valueAxis } from '../axis';
import { Table, card } from '../chart';
import { el } from '../dom';
import { compact, dollars, integer, longDay, percent } from '../format';
import { dailyMean, heat, ratio } from '../metrics';
import { change, tiles } from '../tiles';
import type { Context } from '../main';

const WEEKDAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];
const two = (n: number): string => String(n).padStart(2, '0');

export function usage({ store, view, days, totals, before, range }: Context): HTMLElement[] {
    const q = days.sums.queries;
    const errors = days.sums.errors;
    const users = days.daily.users;
    const mean = dailyMean(users);
    const queries = card({
        id: 'queries', title: 'Queries a day', note: 'Questions asked; the part that ended with an error in red.', wide: true, height: 280,
        describe: `${integer(totals.queries)} queries, ${span(q, integer)}.`,
        option: (c) => ({
            grid: { top: 12 }, legend: { show: false },
            xAxis: dayAxis(days, c), yAxis: valueAxis(c, compact),
            tooltip: dayTooltip(days, [
                { label: 'Queries', value: (i) => integer(q[i]), color: c.accent },
                { label: 'Errors', value: (i) => integer(errors[i]), color: c.negative }]),
            series: [
                { name: 'Errors', type: 'bar', stack: 'q', barMaxWidth: 28, barCategoryGap: '20%', itemStyle: { color: c.negative }, data: Array.from(errors) },
                { name: 'Queries', type: 'bar', stack: 'q', barMaxWidth: 28, itemStyle: { color: c.accent }, data: Array.from(q, (v, i) => v - errors[i]) },
            ],
        }),
        table: () => dayTable(days, [
            { head: 'Queries', shown: (i) => integer(q[i]), raw: (i) => q[i] },
            { head: 'Errors', shown: (i) => integer(errors[i]), raw: (i) => errors[i] },
            { head: 'Input tokens', shown: (i) => integer(days.sums.input_tokens[i]), raw: (i) => days.sums.input_tokens[i] },
            { head: 'Output tokens', shown: (i) => integer(days.sums.output_tokens[i]), raw: (i) => days.sums.output_tokens[i] },
            { head: 'Cost (USD)', shown: (i) => dollars(days.sums.cost[i]), raw: (i) => days.sums.cost[i] }]),
    });
    const uniques = card({
        id: 'users', title: 'Unique users a day', note: 'Each person once a day; anonymous queries are not counted.',
        describe: `On average ${integer(mean)} users, ${span(users, integer)}.`,
        option: (c) => ({
            grid: { top: 12 }, legend: { show: false },
            xAxis: dayAxis(days, c, false), yAxis: valueAxis(c, compact),
            tooltip: dayTooltip(days, [{ label: 'Unique users', value: (i) => integer(users[i]), color: c.series[0] }]),
            series: [{
                name: 'Unique users', type: 'line', data: gaps(users), lineStyle: { width: 2, color: c.series[0] }, itemStyle: { color: c.series[0] },
                areaStyle: { color: c.series[0], opacity: 0.12 }, ...symbols(days),
            }],
        }),
        table: () => dayTable(days, [{ head: 'Unique users', shown: (i) => integer(users[i]), raw: (i) => users[i] }]),
    });
    const hot = heat(store, view);
    const most = Math.max(1, ...hot.counts);
    const peak = hot.counts.indexOf(Math.max(...hot.counts));
    const late = hot.from > days.from ? ` Hours by model are kept since ${longDay(hot.from)}.` : '';
    const heatTable = (): Table => ({
        head: ['Weekday', ...Array.from({ length: 24 }, (_, h) => two(h))],
        rows: WEEKDAYS.map((name, d) => {
            const counts = Array.from(hot.counts.subarray(d * 24, d * 24 + 24));
            return { shown: [name, ...counts.map(integer)], raw: [name, ...counts] };
        }),
    });
    const hours = card({
        id: 'hours', title: 'When people ask', note: `Queries by weekday and hour (${store.payload.time_zone}).${late}`,
        describe: `The busiest hour is ${WEEKDAYS[Math.floor(peak / 24)]} at ${two(peak % 24)}:00 with ${integer(hot.counts[peak])} queries.`,
        option: (c) => ({
            grid: { top: 4, left: 4, right: 4 }, legend: { show: false },
            xAxis: {
                type: 'category', data: Array.from({ length: 24 }, (_, h) => two(h)), axisTick: { show: false }, axisLine: { show: false },
                axisLabel: { color: c.muted, interval: 2 }, splitArea: { show: false },
            },
            yAxis: { type: 'category', data: WEEKDAYS, inverse: true, axisTick: { show: false }, axisLine: { show: false }, axisLabel: { color: c.muted } },
            tooltip: {
                trigger: 'item',
                formatter: (p: { value: number[] }) => tooltip(`${WEEKDAYS[p.value[1]]}, ${two(p.value[0])}:00\u2013${two(p.value[0])}:59`, [['Queries', integer(p.value[2])]]),
            },
            series: [{
                type: 'custom',
                data: Array.from(hot.counts, (v, i) => [i % 24, Math.floor(i / 24), v]),
                renderItem: (_: unknown, api: { value(i: number): number; coord(v: number[]): number[]; size(v: number[]): number[] }) => {
                    const [x, y] = api.coord([api.value(0), api.value(1)]);
                    const [w, h] = api.size([1, 1]);
                    return {
                        type: 'rect',
                        shape: { x: x - w / 2 + 1, y: y - h / 2 + 1, width: Math.max(1, w - 2), height: Math.max(1, h - 2), r: 2 },
                        style: { fill: mix(c.heat[0], c.heat[1], api.value(2) / most) },
                    };
                },
            }],
        }),
        table: heatTable,
    });
    const whole = range.merged;
    const tokens = totals.input_tokens + totals.output_tokens;
    return [
        tiles([
            { label: 'Queries', value: integer(totals.queries), change: before && change(totals.queries, before.queries, 0, 'Queries'), note: `${integer(totals.queries / days.count)} a day` },
            whole
                ? { label: 'Unique users', value: `\u2248\u2009${integer(whole.users)}`, note: `approximate; ${integer(mean)} a day` }
                : { label: 'Unique users a day', value: integer(mean), note: 'mean of the days' },
            { label: 'Errors', value: percent(ratio(totals.errors, totals.queries)), note: `${integer(totals.errors)} queries` },
            tokens > 0
                ? { label: 'Tokens', value: compact(tokens), note: totals.cost > 0 ? `${dollars(totals.cost)} in all` : `${compact(totals.output_tokens)} produced` }
                : { label: 'Feedback', value: integer(totals.feedback), note: `${percent(ratio(totals.rated, totals.queries))} of queries` },
        ]),
        el('div', { class: 'grid' }, queries, uniques, hours),
    ];
}

function mix(from: string, to: string, part: number): string {
    const channel = (color: string, i: number): number => parseInt(color.slice(1 + 2 * i, 3 + 2 * i), 16);
    return `rgb(${[0, 1, 2].map((i) => Math.round(channel(from, i) + (channel(to, i) - channel(from, i)) * part)).join(',')})`;
}
