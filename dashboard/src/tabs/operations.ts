import { dataTable } from '../chart';
import { el } from '../dom';
import { duration, integer, middleDay, none } from '../format';
import { dayNumber } from '../payload';
import { tiles } from '../tiles';
import type { Context } from '../main';

const title = (name: string): string => name.replaceAll('_', ' ').replace(/^./, (c) => c.toUpperCase());
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d/;

// A report of the server as it comes: its columns are its own.
function rows(id: string, heading: string, note: string, list: Record<string, unknown>[], empty: string, instant: (v: string) => string): HTMLElement {
    const head = list.length ? Object.keys(list[0]) : [];
    const cell = (v: unknown): string => (v === null ? none : typeof v === 'number' ? v.toLocaleString('en', { maximumFractionDigits: 3 }) : typeof v === 'object' ? JSON.stringify(v)
        : typeof v === 'boolean' ? (v ? 'yes' : 'no') : INSTANT.test(String(v)) ? instant(String(v)) : String(v));
    return el('section', { class: 'card', 'aria-labelledby': `title-${id}` },
        el('div', { class: 'card-head' }, el('div', {}, el('h3', { id: `title-${id}` }, heading), el('p', { class: 'note' }, note))),
        list.length === 0 ? el('p', { class: 'empty' }, empty)
            : el('div', { id: `table-${id}` }, dataTable({ head: head.map(title), texts: head.map((h) => !list.some((r) => typeof r[h] === 'number')), rows: list.map((r) => ({ shown: head.map((h) => cell(r[h])), raw: [] })) }, heading)));
}

export function operations({ store, instant }: Context): HTMLElement[] {
    const { operations: o, generated_at: made } = store.payload;
    const age = o.refreshed_at ? (Date.parse(made) - Date.parse(o.refreshed_at)) / 1000 : NaN;
    const open = o.alerts?.filter((a) => a.closed_at === null).length;
    return [
        tiles([
            { label: 'Page made', value: instant(made), note: 'every figure is right as of then' },
            { label: 'Last rollup', value: o.refreshed_at ? age < 60 ? 'just before' : `${duration(age)} before` : 'never', note: o.refreshed_at ? instant(o.refreshed_at) : 'days are computed when asked for' },
            { label: 'Final through', value: o.final_through ? middleDay(dayNumber(o.final_through)) : none, note: o.marked_days > 0 ? `${integer(o.marked_days)} days marked by late writes` : 'no day waits to be recomputed' },
            o.alerts ? { label: 'Open alerts', value: integer(open) }
                : { label: 'Raw rows kept since', value: o.purged_before ? middleDay(dayNumber(o.purged_before)) : 'the start', note: 'older days keep their metrics' },
        ]),
        o.alerts ? rows('alerts', 'Alerts', 'Open ones first.', o.alerts, 'No alert has been raised.', instant) : null,
        o.jobs ? rows('jobs', 'Jobs', 'What the background worker or run_jobs() does.', o.jobs, 'No jobs.', instant) : null,
        rows('runs', 'Rollup runs', 'The last 20, newest first.', o.runs as unknown as Record<string, unknown>[], 'No run yet: reports compute from the raw rows.', instant),
    ].filter((e): e is HTMLElement => e !== null);
}
