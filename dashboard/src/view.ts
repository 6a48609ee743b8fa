// What the reader has chosen stands in the address (behind #), so that a view can be shared and survives
// a reload. A choice that is the default is left out.
import { Store, dayNumber, isoDay } from './payload';

export const TABS = ['usage', 'quality', 'speed', 'models', 'questions', 'operations'] as const;
export type Tab = (typeof TABS)[number];

export const PRESETS: [string, string, number][] = [
    ['7d', '7 days', 7], ['30d', '30 days', 30], ['90d', '90 days', 90], ['1y', '1 year', 365], ['all', 'All', 0],
];

export interface View {
    tab: Tab;
    preset: string | null; // null: the page's own range, 'custom': from and to
    from: number;
    to: number;
    model: number | null; // index of models
    version: number | null;
    byVersion: boolean;
    search: string;
}

export function presetRange(store: Store, preset: string): [number, number] | null {
    const found = PRESETS.find((p) => p[0] === preset);
    if (!found) {
        return null;
    }
    const to = dayNumber(store.payload.view.to);
    return found[2] === 0 ? [store.firstDay, store.lastDay] : [Math.max(store.firstDay, to - found[2] + 1), to];
}

export function readView(store: Store, hash: string): View {
    const wanted = new URLSearchParams(hash.replace(/^#/, ''));
    const view: View = {
        tab: TABS.find((t) => t === wanted.get('tab')) ?? 'usage',
        preset: null,
        from: dayNumber(store.payload.view.from),
        to: dayNumber(store.payload.view.to),
        model: null,
        version: null,
        byVersion: wanted.get('by') === 'version',
        search: wanted.get('search') ?? '',
    };
    const preset = presetRange(store, wanted.get('range') ?? '');
    if (preset) {
        view.preset = wanted.get('range');
        [view.from, view.to] = preset;
    }
    const from = dayNumber(wanted.get('from') ?? '');
    const to = dayNumber(wanted.get('to') ?? '');
    if (from <= to) {
        view.preset = 'custom';
        view.from = Math.min(Math.max(from, store.firstDay), store.lastDay);
        view.to = Math.max(Math.min(to, store.lastDay), store.firstDay);
    }
    const index = (names: string[], name: string | null): number | null => {
        const i = name === null ? -1 : names.indexOf(name);
        return i < 0 ? null : i;
    };
    view.model = index(store.payload.models, wanted.get('model'));
    view.version = index(store.payload.versions, wanted.get('version'));
    return view;
}

export function writeView(store: Store, view: View): string {
    const said = new URLSearchParams();
    said.set('tab', view.tab);
    if (view.preset === 'custom') {
        said.set('from', isoDay(view.from));
        said.set('to', isoDay(view.to));
    } else if (view.preset) {
        said.set('range', view.preset);
    }
    if (view.model !== null) {
        said.set('model', store.payload.models[view.model]);
    }
    if (view.version !== null) {
        said.set('version', store.payload.versions[view.version]);
    }
    if (view.byVersion) {
        said.set('by', 'version');
    }
    if (view.search) {
        said.set('search', view.search);
    }
    return '#' + said;
}
