// Adds up the rows that a view selects. Counts and sums add up exactly. Unique users and percentiles do
// not: for a day they come from the row of the level that the filter asks for; for a range the page either
// holds the server's merged values or shows the daily average and says so.
import { MergedRow, Series, Store, dayNumber, isoDay } from './payload';
import { View } from './view';

export const SUMS = ['queries', 'timed', 'time_sum', 'positive', 'negative', 'neutral', 'feedback', 'rated',
    'rating_count', 'rating_sum', 'errors', 'input_tokens', 'output_tokens', 'cost'] as const;
export type Sum = (typeof SUMS)[number];
export type Totals = Record<Sum, number>;
export const DAILY = ['users', 'p50', 'p95', 'p99'] as const;
export type Daily = (typeof DAILY)[number];

export interface Days {
    from: number;
    count: number;
    sums: Record<Sum, Float64Array>;
    daily: Record<Daily, Float64Array>; // NaN: nothing that day
}

export type Selection = Pick<View, 'from' | 'to' | 'model' | 'version'>;

const matches = (s: { model: number; version: number }, chosen: Selection): boolean =>
    (chosen.model === null || s.model === chosen.model) && (chosen.version === null || s.version === chosen.version);

function sum(series: Series, name: Sum, i: number): number {
    const c = series.columns;
    switch (name) {
        // what is nearly equal to another column is stored as the difference
        case 'timed': return c.queries[i] - c.untimed[i];
        case 'feedback': return c.positive[i] + c.negative[i] + c.neutral[i] + c.comments_only[i];
        case 'rated': return c.positive[i] + c.negative[i] + c.neutral[i] + c.comments_only[i] - c.repeated[i];
        case 'cost': return c.cost[i] / 1e6;
        default: return c[name][i];
    }
}

function lowerBound(days: Float64Array, day: number): number {
    let low = 0;
    let high = days.length;
    while (low < high) {
        const middle = (low + high) >> 1;
        if (days[middle] < day) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

export function daily(store: Store, chosen: Selection): Days {
    const count = chosen.to - chosen.from + 1;
    const sums = Object.fromEntries(SUMS.map((n) => [n, new Float64Array(count)])) as Record<Sum, Float64Array>;
    const measures = Object.fromEntries(DAILY.map((n) => [n, new Float64Array(count).fill(NaN)])) as Record<Daily, Float64Array>;
    for (const series of store.series) {
        if (!matches(series, chosen)) {
            continue;
        }
        for (let i = lowerBound(series.days, chosen.from); i < series.days.length && series.days[i] <= chosen.to; i++) {
            const day = series.days[i] - chosen.from;
            for (const name of SUMS) {
                sums[name][day] += sum(series, name, i);
            }
            // a day with one (model, version) only has no row of its own at the levels above
            for (const name of DAILY) {
                measures[name][day] = series.columns[name][i];
            }
        }
    }
    if (chosen.model === null || chosen.version === null) {
        const level = store.levels.find((s) => s.model === (chosen.model ?? -1) && s.version === (chosen.version ?? -1));
        for (let i = level ? lowerBound(level.days, chosen.from) : 0; level && i < level.days.length && level.days[i] <= chosen.to; i++) {
            for (const name of DAILY) {
                measures[name][level.days[i] - chosen.from] = level.columns[name][i];
            }
        }
    }
    return { from: chosen.from, count, sums, daily: measures };
}

export function totals(days: Days): Totals {
    return Object.fromEntries(SUMS.map((n) => [n, days.sums[n].reduce((a, b) => a + b, 0)])) as Totals;
}

export const ratio = (a: number, b: number): number => (b > 0 ? a / b : NaN);
export const positiveRatio = (t: Totals): number => ratio(t.positive, t.positive + t.negative);

// The mean over the days that have a value, each day weighted alike.
export function dailyMean(values: Float64Array): number {
    let n = 0;
    let total = 0;
    for (const v of values) {
        if (!Number.isNaN(v)) {
            n++;
            total += v;
        }
    }
    return ratio(total, n);
}

const Z = 1.959963984540054;
export function wilson(positive: number, total: number): [number, number] {
    if (total <= 0) {
        return [NaN, NaN];
    }
    const middle = positive + Z * Z / 2;
    const half = Z * Math.sqrt(positive * (total - positive) / total + Z * Z / 4);
    return [Math.max(0, (middle - half) / (total + Z * Z)), Math.min(1, (middle + half) / (total + Z * Z))];
}

// The server's merged users and percentiles, if the page has them for this range and level.
export function merged(store: Store, chosen: Selection): MergedRow | null {
    const m = store.payload.merged;
    if (!m || m.from !== isoDay(chosen.from) || m.to !== isoDay(chosen.to)) {
        return null;
    }
    const model = chosen.model === null ? null : store.payload.models[chosen.model];
    const version = chosen.version === null ? null : store.payload.versions[chosen.version];
    return m.rows.find((r) => r.model === model && r.prompt_version === version) ?? null;
}

export interface Group {
    model: number;
    version: number | null;
    days: Days;
    totals: Totals;
    merged: MergedRow | null;
}

// The models, or models and versions, that the view selects, most queries first.
export function groups(store: Store, view: View): Group[] {
    const keys = new Map<string, [number, number | null]>();
    const byVersion = view.byVersion || view.version !== null;
    for (const s of store.series) {
        if (matches(s, view)) {
            const version = byVersion ? s.version : null;
            keys.set(`${s.model} ${version}`, [s.model, version]);
        }
    }
    return [...keys.values()]
        .map(([model, version]) => {
            const chosen = { from: view.from, to: view.to, model, version };
            const days = daily(store, chosen);
            return { model, version, days, totals: totals(days), merged: merged(store, chosen) };
        })
        .filter((g) => g.totals.queries > 0)
        .sort((a, b) => b.totals.queries - a.totals.queries || a.model - b.model || (a.version ?? 0) - (b.version ?? 0));
}

export interface Heat {
    counts: Float64Array; // weekday (Monday first) * 24 + hour
    from: number; // first day that the counts cover: later than the view's if the page holds no hours before
}

export function heat(store: Store, chosen: Selection): Heat {
    const counts = new Float64Array(168);
    const all = chosen.model === null && chosen.version === null;
    const first = all ? store.firstDay : dayNumber(store.payload.hours_from);
    for (const s of store.hours) {
        const overall = s.model < 0;
        if (overall !== all || (!overall && !matches(s, chosen))) {
            continue;
        }
        for (let i = lowerBound(s.days, chosen.from); i < s.days.length && s.days[i] <= chosen.to; i++) {
            const weekday = (s.days[i] + 3) % 7; // day 0, 1970-01-01, was a Thursday
            for (let h = 0; h < 24; h++) {
                counts[weekday * 24 + h] += s.counts[i * 24 + h];
            }
        }
    }
    return { counts, from: Math.max(chosen.from, first) };
}
