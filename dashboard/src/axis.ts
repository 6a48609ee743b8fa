// What the charts over days share.
import type { Colors } from './chart';
import { escapeHtml } from './dom';
import { isoDay, longDay, middleDay, shortDay } from './format';
import type { Days } from './metrics';
import type { Table } from './chart';

export const dayIndexes = (days: Days): number[] => Array.from({ length: days.count }, (_, i) => days.from + i);

export function dayAxis(days: Days, c: Colors, gap = true): object {
    return {
        type: 'category',
        boundaryGap: gap,
        data: dayIndexes(days).map((d) => (days.count > 366 ? middleDay(d) : shortDay(d))),
        axisLine: { lineStyle: { color: c.line } },
        axisTick: { show: false },
        axisLabel: { color: c.muted, hideOverlap: true },
    };
}

export function valueAxis(c: Colors, format: (v: number) => string, more: object = {}): object {
    return {
        type: 'value',
        splitNumber: 4,
        axisLabel: { color: c.muted, formatter: format },
        splitLine: { lineStyle: { color: c.line, type: 'solid' } },
        ...more,
    };
}

export interface Line { label: string; value: (day: number) => string; color?: string }

// The tooltip of a day: the same figures as the table shows.
export function dayTooltip(days: Days, lines: Line[]): object {
    return {
        formatter: (hit: { dataIndex: number } | { dataIndex: number }[]): string => {
            const i = (Array.isArray(hit) ? hit[0] : hit).dataIndex;
            return tooltip(longDay(days.from + i), lines.map((l) => [l.label, l.value(i), l.color]));
        },
    };
}

export const tooltip = (head: string, lines: [string, string, string?][]): string =>
    `<div class="tip-head">${escapeHtml(head)}</div><table class="tip">${lines.map(([label, value, color]) =>
        `<tr><td><i style="background:${color ? escapeHtml(color) : 'transparent'}"></i>${escapeHtml(label)}</td><td>${escapeHtml(value)}</td></tr>`).join('')}</table>`;

export interface Column { head: string; shown: (day: number) => string; raw: (day: number) => number }

export function dayTable(days: Days, columns: Column[]): Table {
    const rows = [];
    for (let i = 0; i < days.count; i++) {
        if (days.sums.queries[i] > 0) {
            rows.push({
                shown: [isoDay(days.from + i), ...columns.map((c) => c.shown(i))],
                raw: [isoDay(days.from + i), ...columns.map((c) => c.raw(i))],
            });
        }
    }
    return { head: ['Day', ...columns.map((c) => c.head)], rows };
}

export const span = (values: ArrayLike<number>, format: (v: number) => string): string => {
    let low = Infinity;
    let high = -Infinity;
    for (let i = 0; i < values.length; i++) {
        if (!Number.isNaN(values[i])) {
            low = Math.min(low, values[i]);
            high = Math.max(high, values[i]);
        }
    }
    return low > high ? 'no values' : `between ${format(low)} and ${format(high)} a day`;
};

export const gaps = (values: Float64Array): (number | null)[] => Array.from(values, (v) => (Number.isNaN(v) ? null : v));
export const symbols = (days: Days): { showSymbol: boolean; symbol: string; symbolSize: number } =>
    ({ showSymbol: days.count <= 62, symbol: 'circle', symbolSize: 5 });
