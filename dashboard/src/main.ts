// The page: filters, tabs and what they show. Everything is drawn anew when the view changes.
import './style.css';
import { disposeCharts } from './chart';
import { el } from './dom';
import { duration, instantFormat, middleDay } from './format';
import { Days, Totals, daily, merged, totals } from './metrics';
import { MergedRow, Store, dayNumber, isoDay, openStore, readPayload } from './payload';
import { models } from './tabs/models';
import { operations } from './tabs/operations';
import { quality } from './tabs/quality';
import { questions } from './tabs/questions';
import { speed } from './tabs/speed';
import { usage } from './tabs/usage';
import { PRESETS, TABS, Tab, View, presetRange, readView, writeView } from './view';

export interface Context {
    store: Store;
    view: View;
    days: Days;
    totals: Totals;
    before: Totals | null; // of the period of the same length before, if the page covers it
    range: { merged: MergedRow | null };
    instant: (iso: string | null | undefined) => string;
    modelName: (index: number) => string;
    versionName: (index: number) => string;
    update: (change: Partial<View>, focus?: string) => void;
}

const LABELS: Record<Tab, string> = {
    usage: 'Usage', quality: 'Quality', speed: 'Speed', models: 'Models', questions: 'Questions', operations: 'Operations',
};
const DRAW: Record<Tab, (context: Context) => HTMLElement[]> = { usage, quality, speed, models, questions, operations };

const payload = readPayload();
const store = openStore(payload);
const instant = instantFormat(payload.time_zone);
const named = (name: string): string => (name === '' ? '(not given)' : name);
let view = readView(store, location.hash);

// --- theme ------------------------------------------------------------------

const THEMES = ['auto', 'light', 'dark'] as const;
function storedTheme(): string {
    try {
        return localStorage.getItem('slm-theme') ?? 'auto';
    } catch {
        return 'auto';
    }
}
function applyTheme(theme: string): void {
    document.documentElement.dataset.theme = theme;
    try {
        localStorage.setItem('slm-theme', theme);
    } catch {
        // a page opened from a file may have no storage
    }
}

// --- frame ------------------------------------------------------------------

const freshness = el('p', { id: 'freshness', class: 'note' });
const themeButton = el('button', {
    type: 'button', id: 'theme', class: 'quiet',
    onclick: () => {
        const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme as 'auto') + 1) % THEMES.length];
        applyTheme(next);
        nameTheme();
        draw();
    },
});
const nameTheme = (): void => { themeButton.textContent = `Theme: ${document.documentElement.dataset.theme}`; };

const presets = el('div', { class: 'presets', role: 'group', 'aria-label': 'Range' }, PRESETS.map(([key, label]) =>
    el('button', { type: 'button', 'data-preset': key, onclick: () => { const [from, to] = presetRange(store, key)!; update({ preset: key, from, to }); } }, label)));
const dateInput = (id: string, which: 'from' | 'to'): HTMLInputElement => el('input', {
    type: 'date', id, min: payload.first_day, max: payload.last_day,
    onchange: (e: Event) => {
        const day = dayNumber((e.target as HTMLInputElement).value);
        if (Number.isNaN(day)) {
            showFilters();
            return;
        }
        const inside = Math.min(Math.max(day, store.firstDay), store.lastDay);
        update(which === 'from' ? { preset: 'custom', from: inside, to: Math.max(inside, view.to) } : { preset: 'custom', from: Math.min(inside, view.from), to: inside });
    },
});
const fromInput = dateInput('from', 'from');
const toInput = dateInput('to', 'to');
const choice = (id: string, names: string[], key: 'model' | 'version', all: string): HTMLSelectElement => el('select', {
    id, onchange: (e: Event) => { const v = (e.target as HTMLSelectElement).value; update({ [key]: v === '' ? null : Number(v) }); },
}, el('option', { value: '' }, all), names.map((n, i) => el('option', { value: i }, named(n))));
const modelChoice = choice('model', payload.models, 'model', 'All models');
const versionChoice = choice('version', payload.versions, 'version', 'All versions');
const reset = el('button', {
    type: 'button', id: 'reset', class: 'quiet',
    onclick: () => update({ ...readView(store, `tab=${view.tab}`) }, '#reset'),
}, 'Reset');

const tabButtons = TABS.map((t) => el('button', {
    type: 'button', role: 'tab', id: `tab-${t}`, 'aria-controls': 'panel',
    onclick: () => update({ tab: t }),
    onkeydown: (e: Event) => {
        const at = TABS.indexOf(t);
        const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: TABS.length - 1 }[(e as KeyboardEvent).key];
        if (to !== undefined) {
            e.preventDefault();
            const next = TABS[(to + TABS.length) % TABS.length];
            update({ tab: next }, `#tab-${next}`);
        }
    },
}, LABELS[t]));
const panel = el('div', { id: 'panel', role: 'tabpanel', tabindex: 0 });

function frame(): void {
    document.title = payload.title;
    document.body.append(
        el('a', { class: 'skip', href: '#panel', onclick: (e: Event) => { e.preventDefault(); panel.focus(); } }, 'Skip to the figures'),
        el('header', {}, el('div', { class: 'heading' }, el('h1', {}, payload.title), freshness), themeButton),
        el('main', {},
            el('section', { class: 'filters', 'aria-label': 'Filters' },
                presets,
                el('div', { class: 'dates' },
                    el('label', { for: 'from' }, 'From'), fromInput, el('label', { for: 'to' }, 'to'), toInput),
                el('div', { class: 'choices' },
                    el('label', { for: 'model' }, 'Model'), modelChoice,
                    el('label', { for: 'version' }, 'Prompt version'), versionChoice),
                reset),
            el('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Reports' }, tabButtons),
            panel),
        el('footer', {}, `slm_feedback ${payload.version}. Days are days in ${payload.time_zone}; feedback counts on the day of its question.`
            + (payload.rows_left_out > 0 ? ` The page starts on ${middleDay(store.firstDay)}: older days did not fit.` : '')));
}

function showFilters(): void {
    for (const button of presets.querySelectorAll('button')) {
        const range = presetRange(store, button.dataset.preset!)!;
        const on = view.preset === button.dataset.preset
            || (view.preset === null && button.dataset.preset === '30d' && range[0] === view.from && range[1] === view.to);
        button.setAttribute('aria-pressed', String(on));
    }
    fromInput.value = isoDay(view.from);
    toInput.value = isoDay(view.to);
    modelChoice.value = view.model === null ? '' : String(view.model);
    versionChoice.value = view.version === null ? '' : String(view.version);
    reset.hidden = writeView(store, view) === writeView(store, readView(store, `tab=${view.tab}`));
    TABS.forEach((t, i) => {
        tabButtons[i].setAttribute('aria-selected', String(t === view.tab));
        tabButtons[i].tabIndex = t === view.tab ? 0 : -1;
    });
    panel.setAttribute('aria-labelledby', `tab-${view.tab}`);
}

function empty(): HTMLElement {
    return el('section', { class: 'card told', id: 'empty' },
        el('h2', {}, 'No queries yet'),
        el('p', {}, 'As soon as the application records a question and its answer, figures appear here:'),
        el('pre', {}, el('code', {}, "SELECT slm_feedback.record_query('What is PostgreSQL?', 'A database.',\n                                 model => 'my-model', response_time_ms => 420);")));
}

function nothingHere(): HTMLElement {
    return el('section', { class: 'card told', id: 'nothing' },
        el('h2', {}, 'No queries in this choice'),
        el('p', {}, `Nothing was asked from ${middleDay(view.from)} to ${middleDay(view.to)} with these filters.`),
        el('button', { type: 'button', onclick: () => update({ preset: 'all', from: store.firstDay, to: store.lastDay, model: null, version: null }) }, 'Show everything'));
}

function draw(): void {
    disposeCharts();
    showFilters();
    const days = daily(store, view);
    const sums = totals(days);
    const length = view.to - view.from + 1;
    const before = view.from - length >= store.firstDay
        ? totals(daily(store, { ...view, from: view.from - length, to: view.from - 1 })) : null;
    const context: Context = {
        store, view, days, totals: sums, before,
        range: { merged: merged(store, view) },
        instant,
        modelName: (i) => named(payload.models[i]),
        versionName: (i) => named(payload.versions[i]),
        update,
    };
    if (store.series.length === 0 && view.tab !== 'operations') {
        panel.replaceChildren(empty());
    } else if (sums.queries === 0 && view.tab !== 'operations') {
        panel.replaceChildren(nothingHere());
    } else {
        panel.replaceChildren(...DRAW[view.tab](context));
    }
}

function update(change: Partial<View>, focus?: string): void {
    const input = document.querySelector<HTMLInputElement>('#search');
    const caret = input?.selectionStart ?? null;
    view = { ...view, ...change };
    history.replaceState(null, '', writeView(store, view));
    draw();
    if (focus) {
        const target = document.querySelector<HTMLElement>(focus);
        target?.focus();
        if (focus === '#search' && caret !== null) {
            (target as HTMLInputElement).setSelectionRange(caret, caret);
        }
    }
}

// --- age and reload -----------------------------------------------------------

function age(): void {
    const seconds = (Date.now() - Date.parse(payload.generated_at)) / 1000;
    const old = seconds < 10 ? 'now' : `${duration(seconds)} ago`;
    const next = payload.refresh_seconds > 0 ? `, reloads every ${duration(payload.refresh_seconds).replace(/^1 /, '')}` : '';
    freshness.textContent = `Data of ${instant(payload.generated_at)} (${old})${next}`;
    freshness.classList.toggle('stale', payload.refresh_seconds > 0 && seconds > 2 * payload.refresh_seconds + 60);
}

applyTheme(storedTheme());
nameTheme();
frame();
draw();
age();
setInterval(age, 10000);
if (payload.refresh_seconds > 0) {
    // setTimeout counts in 31 bits of milliseconds
    setTimeout(() => location.reload(), Math.min(payload.refresh_seconds * 1000, 2 ** 31 - 1));
}
addEventListener('hashchange', () => { view = readView(store, location.hash); draw(); });
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
document.documentElement.dataset.ready = 'true';
