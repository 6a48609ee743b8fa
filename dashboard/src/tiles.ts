// The figures above the charts.
import { el } from './dom';
import { fixed, percent } from './format';

export interface Tile {
    label: string;
    value: string;
    note?: string;
    change?: HTMLElement | null;
}

// The change against the period before, of a ratio in percentage points; whether more is better is for the reader, unless good says so.
export function change(now: number, before: number, good: 1 | -1 | 0, what: string, points = false): HTMLElement | null {
    if (!(before > 0) || Number.isNaN(now)) {
        return null;
    }
    const by = points ? now - before : now / before - 1;
    const direction = Math.abs(by) < 0.0005 ? 0 : Math.sign(by);
    const tone = good === 0 || direction === 0 ? '' : direction === good ? ' better' : ' worse';
    return el('span', { class: `change${tone}`, title: `${what}: against the period of the same length before` },
        `${direction > 0 ? '\u25b2' : direction < 0 ? '\u25bc' : ''} ${points ? `${fixed(100 * Math.abs(by), 1)} points` : percent(Math.abs(by))}`.trim(),
        el('span', { class: 'hidden' }, direction > 0 ? ' more than in the period before' : direction < 0 ? ' less than in the period before' : ' as in the period before'));
}

export const tiles = (list: Tile[]): HTMLElement =>
    el('dl', { class: 'tiles' }, list.map((t) => el('div', { class: 'tile' },
        el('dt', {}, t.label),
        el('dd', {}, el('span', { class: 'figure' }, t.value), t.change, t.note ? el('span', { class: 'tile-note' }, t.note) : null))));
