import { dayAxis, dayTable, dayTooltip, gaps, span, symbols, valueAxis } from '../axis';
import { card } from '../chart';
import { el } from '../dom';
import { integer, milliseconds, percent } from '../format';
import { dailyMean, ratio } from '../metrics';
import { change, tiles } from '../tiles';
import type { Context } from '../main';

export function speed({ days, totals, before, range }: Context): HTMLElement[] {
    const s = days.sums;
    const mean = Float64Array.from({ length: days.count }, (_, i) => ratio(s.time_sum[i], s.timed[i]));
    const failing = Float64Array.from({ length: days.count }, (_, i) => ratio(s.errors[i], s.queries[i]));
    const { p50, p95, p99 } = days.daily;
    const lines = [['Average', mean], ['p50', p50], ['p95', p95], ['p99', p99]] as const;
    const whole = range.merged;
    const overall = (p: 'p50' | 'p95' | 'p99', values: Float64Array, label: string): { label: string; value: string; note: string } =>
        (whole
            ? { label, value: `\u2248\u2009${milliseconds(whole[p])}`, note: 'over the range, approximate' }
            : { label, value: milliseconds(dailyMean(values)), note: 'mean of the days' });
    const axis = (v: number): string => (v >= 1000 ? `${(v / 1000).toLocaleString('en', { maximumFractionDigits: 1 })} s` : `${integer(v)} ms`);
    return [
        tiles([
            { label: 'Average', value: milliseconds(ratio(totals.time_sum, totals.timed)), change: before && change(ratio(totals.time_sum, totals.timed), ratio(before.time_sum, before.timed), -1, 'Average response time'), note: `${integer(totals.timed)} timed queries` },
            overall('p50', p50, 'Median (p50)'), overall('p95', p95, 'p95'), overall('p99', p99, 'p99'),
        ]),
        el('div', { class: 'grid' },
            card({
                id: 'response-times', title: 'Response time', wide: true, height: 340,
                note: 'Average, median (p50) and the times that 95% and 99% of the answers stay below. Percentiles are exact below 1,000 timed queries a day, else within about 1% of rank and one distinct time.',
                describe: `Average ${milliseconds(ratio(totals.time_sum, totals.timed))}; p95 ${span(p95, milliseconds)}.`,
                option: (c) => ({
                    xAxis: dayAxis(days, c, false), yAxis: valueAxis(c, axis, { min: 0 }),
                    tooltip: dayTooltip(days, lines.map(([label, values], n) => ({ label, value: (i) => milliseconds(values[i]), color: c.series[n] }))),
                    series: lines.map(([name, values], n) => ({
                        name, type: 'line', data: gaps(values), ...symbols(days), symbolSize: 4,
                        lineStyle: { width: n === 0 ? 2.5 : 1.5, color: c.series[n] }, itemStyle: { color: c.series[n] },
                    })),
                }),
                table: () => dayTable(days, lines.map(([head, values]) => ({ head: `${head} (ms)`, shown: (i: number) => integer(values[i]), raw: (i: number) => values[i] }))),
            }),
            card({
                id: 'errors', title: 'Error rate', note: 'Queries that ended with an error.', wide: true, height: 220,
                describe: `${percent(ratio(totals.errors, totals.queries))} over the range, ${span(failing, percent)}.`,
                option: (c) => ({
                    grid: { top: 12 }, legend: { show: false },
                    xAxis: dayAxis(days, c, false), yAxis: valueAxis(c, (v) => percent(v), { min: 0, max: (range: { max: number }) => (range.max > 0 ? null : 0.01) }),
                    tooltip: dayTooltip(days, [
                        { label: 'Error rate', value: (i) => percent(failing[i]), color: c.negative },
                        { label: 'Errors', value: (i) => integer(s.errors[i]) }]),
                    series: [{ type: 'line', data: gaps(failing), lineStyle: { width: 2, color: c.negative }, itemStyle: { color: c.negative }, areaStyle: { color: c.negative, opacity: 0.12 }, ...symbols(days) }],
                }),
                table: () => dayTable(days, [
                    { head: 'Error rate', shown: (i) => percent(failing[i]), raw: (i) => failing[i] },
                    { head: 'Errors', shown: (i) => integer(s.errors[i]), raw: (i) => s.errors[i] },
                    { head: 'Queries', shown: (i) => integer(s.queries[i]), raw: (i) => s.queries[i] }]),
            })),
    ];
}
