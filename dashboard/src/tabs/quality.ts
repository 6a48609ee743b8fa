import { dayAxis, dayTable, dayTooltip, gaps, span, symbols, valueAxis } from '../axis';
import { card } from '../chart';
import { el } from '../dom';
import { compact, fixed, integer, percent } from '../format';
import { positiveRatio, ratio, wilson } from '../metrics';
import { change, tiles } from '../tiles';
import type { Context } from '../main';

export function quality({ days, totals, before }: Context): HTMLElement[] {
    const s = days.sums;
    const each = (f: (i: number) => number): Float64Array => Float64Array.from({ length: days.count }, (_, i) => f(i));
    const judged = each((i) => s.positive[i] + s.negative[i]);
    const positive = each((i) => ratio(s.positive[i], judged[i]));
    const low = each((i) => wilson(s.positive[i], judged[i])[0]);
    const high = each((i) => wilson(s.positive[i], judged[i])[1]);
    const rating = each((i) => ratio(s.rating_sum[i], s.rating_count[i]));
    const rate = each((i) => ratio(s.rated[i], s.queries[i]));
    const pct = (v: number): string => percent(v, 0);
    const [wholeLow, wholeHigh] = wilson(totals.positive, totals.positive + totals.negative);
    const top = Math.min(1, Math.max(0.1, ...Array.from(high, (v) => (Number.isNaN(v) ? 0 : v))));
    const satisfaction = card({
        id: 'positive-ratio', title: 'Positive ratio', wide: true, height: 280,
        note: 'Positive among positive and negative opinions, by the day of the question. The band is the 95% Wilson interval: where it is wide, there were few opinions.',
        describe: `${percent(positiveRatio(totals))} over the range, ${span(positive, percent)}.`,
        option: (c) => ({
            grid: { top: 12 }, legend: { show: false },
            xAxis: dayAxis(days, c, false), yAxis: valueAxis(c, pct, top > 0.5 ? { min: 0, max: 1, interval: 0.25 } : { min: 0 }),
            tooltip: dayTooltip(days, [
                { label: 'Positive ratio', value: (i) => percent(positive[i]), color: c.positive },
                { label: '95% interval', value: (i) => (judged[i] > 0 ? `${percent(low[i])} to ${percent(high[i])}` : '\u2013'), color: c.band },
                { label: 'Positive', value: (i) => integer(s.positive[i]) },
                { label: 'Negative', value: (i) => integer(s.negative[i]) }]),
            series: [
                { type: 'line', stack: 'band', data: gaps(low), lineStyle: { opacity: 0 }, symbol: 'none', silent: true },
                { type: 'line', stack: 'band', data: gaps(each((i) => high[i] - low[i])), lineStyle: { opacity: 0 }, symbol: 'none', silent: true, areaStyle: { color: c.positive, opacity: 0.18 } },
                { name: 'Positive ratio', type: 'line', data: gaps(positive), lineStyle: { width: 2, color: c.positive }, itemStyle: { color: c.positive }, ...symbols(days) },
            ],
        }),
        table: () => dayTable(days, [
            { head: 'Positive ratio', shown: (i) => percent(positive[i]), raw: (i) => positive[i] },
            { head: 'Low (95%)', shown: (i) => percent(low[i]), raw: (i) => low[i] },
            { head: 'High (95%)', shown: (i) => percent(high[i]), raw: (i) => high[i] },
            { head: 'Positive', shown: (i) => integer(s.positive[i]), raw: (i) => s.positive[i] },
            { head: 'Neutral', shown: (i) => integer(s.neutral[i]), raw: (i) => s.neutral[i] },
            { head: 'Negative', shown: (i) => integer(s.negative[i]), raw: (i) => s.negative[i] }]),
    });
    const opinions = card({
        id: 'opinions', title: 'Opinions a day', note: 'A thumb decides; without one a rating of 4 or 5 is positive, 3 neutral, 1 or 2 negative.',
        describe: `${integer(totals.positive)} positive, ${integer(totals.neutral)} neutral and ${integer(totals.negative)} negative.`,
        option: (c) => ({
            xAxis: dayAxis(days, c), yAxis: valueAxis(c, compact),
            tooltip: dayTooltip(days, [
                { label: 'Positive', value: (i) => integer(s.positive[i]), color: c.positive },
                { label: 'Neutral', value: (i) => integer(s.neutral[i]), color: c.neutral },
                { label: 'Negative', value: (i) => integer(s.negative[i]), color: c.negative }]),
            series: ([['Positive', s.positive, c.positive], ['Neutral', s.neutral, c.neutral], ['Negative', s.negative, c.negative]] as const)
                .map(([name, values, color]) => ({ name, type: 'bar', stack: 'o', barMaxWidth: 28, barCategoryGap: '20%', itemStyle: { color }, data: Array.from(values) })),
        }),
        table: () => dayTable(days, [
            { head: 'Positive', shown: (i) => integer(s.positive[i]), raw: (i) => s.positive[i] },
            { head: 'Neutral', shown: (i) => integer(s.neutral[i]), raw: (i) => s.neutral[i] },
            { head: 'Negative', shown: (i) => integer(s.negative[i]), raw: (i) => s.negative[i] },
            { head: 'Comment only', shown: (i) => integer(s.feedback[i] - s.positive[i] - s.neutral[i] - s.negative[i]), raw: (i) => s.feedback[i] - s.positive[i] - s.neutral[i] - s.negative[i] }]),
    });
    const rateCard = card({
        id: 'feedback-rate', title: 'Feedback rate', note: 'Queries with at least one opinion.',
        describe: `${percent(ratio(totals.rated, totals.queries))} over the range, ${span(rate, percent)}.`,
        option: (c) => ({
            grid: { top: 12 }, legend: { show: false },
            xAxis: dayAxis(days, c, false), yAxis: valueAxis(c, pct, rate.some((v) => v > 0.8) ? { min: 0, max: 1, interval: 0.25 } : { min: 0 }),
            tooltip: dayTooltip(days, [
                { label: 'Feedback rate', value: (i) => percent(rate[i]), color: c.series[0] },
                { label: 'Queries with feedback', value: (i) => integer(s.rated[i]) }]),
            series: [{ type: 'line', data: gaps(rate), lineStyle: { width: 2, color: c.series[0] }, itemStyle: { color: c.series[0] }, areaStyle: { color: c.series[0], opacity: 0.12 }, ...symbols(days) }],
        }),
        table: () => dayTable(days, [
            { head: 'Feedback rate', shown: (i) => percent(rate[i]), raw: (i) => rate[i] },
            { head: 'Queries with feedback', shown: (i) => integer(s.rated[i]), raw: (i) => s.rated[i] },
            { head: 'Queries', shown: (i) => integer(s.queries[i]), raw: (i) => s.queries[i] }]),
    });
    const ratings = card({
        id: 'ratings', title: 'Average rating', note: 'Ratings from 1 (worst) to 5 (best).',
        describe: `${fixed(ratio(totals.rating_sum, totals.rating_count), 2)} over the range, ${span(rating, (v) => fixed(v, 2))}.`,
        option: (c) => ({
            grid: { top: 12 }, legend: { show: false },
            xAxis: dayAxis(days, c, false), yAxis: valueAxis(c, (v) => String(v), { min: 1, max: 5 }),
            tooltip: dayTooltip(days, [
                { label: 'Average rating', value: (i) => fixed(rating[i], 2), color: c.series[1] },
                { label: 'Ratings', value: (i) => integer(s.rating_count[i]) }]),
            series: [{ type: 'line', data: gaps(rating), lineStyle: { width: 2, color: c.series[1] }, itemStyle: { color: c.series[1] }, ...symbols(days) }],
        }),
        table: () => dayTable(days, [
            { head: 'Average rating', shown: (i) => fixed(rating[i], 2), raw: (i) => rating[i] },
            { head: 'Ratings', shown: (i) => integer(s.rating_count[i]), raw: (i) => s.rating_count[i] }]),
    });
    return [
        tiles([
            { label: 'Positive ratio', value: percent(positiveRatio(totals)), change: before && change(positiveRatio(totals), positiveRatio(before), 1, 'Positive ratio', true), note: totals.positive + totals.negative > 0 ? `95% interval ${percent(wholeLow)} to ${percent(wholeHigh)}` : 'no opinions yet' },
            { label: 'Opinions', value: integer(totals.feedback), change: before && change(totals.feedback, before.feedback, 0, 'Opinions'), note: `${integer(totals.positive)} positive, ${integer(totals.negative)} negative` },
            { label: 'Feedback rate', value: percent(ratio(totals.rated, totals.queries)), note: `${integer(totals.rated)} of ${integer(totals.queries)} queries` },
            { label: 'Average rating', value: fixed(ratio(totals.rating_sum, totals.rating_count), 2), note: `${integer(totals.rating_count)} ratings` },
        ]),
        satisfaction,
        el('div', { class: 'grid three' }, opinions, rateCard, ratings),
    ];
}
