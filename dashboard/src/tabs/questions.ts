import { el } from '../dom';
import { fixed, integer, longDay, middleDay, milliseconds, percent, isoDay } from '../format';
import { ratio, wilson } from '../metrics';
import { dayNumber } from '../payload';
import { Table, saveCsv } from '../chart';
import type { Context } from '../main';

interface Asked {
    index: number; // in the order of the hash, as the reports break ties
    text: string;
    asked: number; timed: number; time_sum: number;
    positive: number; negative: number; neutral: number;
    rating_sum: number; rating_count: number;
    last: number;
    high: number;
}

const SUMS = ['asked', 'timed', 'time_sum', 'positive', 'negative', 'neutral', 'rating_sum', 'rating_count'] as const;
const TOP = 10;
const FOUND = 50;

function collect({ store, view }: Context): Asked[] {
    const cells = store.questions!;
    const list = new Map<number, Asked>();
    for (let i = 0; i < cells.question.length; i++) {
        if (cells.day[i] < view.from || cells.day[i] > view.to
            || (view.model !== null && cells.model[i] !== view.model)
            || (view.version !== null && cells.version[i] !== view.version)) {
            continue;
        }
        const index = cells.question[i];
        let q = list.get(index);
        if (!q) {
            const text = store.payload.questions.text![index];
            if (text === null) {
                continue; // erased meanwhile
            }
            q = { index, text, asked: 0, timed: 0, time_sum: 0, positive: 0, negative: 0, neutral: 0, rating_sum: 0, rating_count: 0, last: 0, high: NaN };
            list.set(index, q);
        }
        for (const name of SUMS) {
            q[name] += cells.columns[name][i];
        }
        q.last = Math.max(q.last, cells.day[i]);
    }
    for (const q of list.values()) {
        q.high = wilson(q.positive, q.positive + q.negative)[1];
    }
    return [...list.values()];
}

const byAsked = (a: Asked, b: Asked): number => b.asked - a.asked || a.index - b.index;
const byWorst = (a: Asked, b: Asked): number => a.high - b.high || byAsked(a, b);

const HEAD = ['Question', 'Asked', 'Positive ratio', 'Positive', 'Neutral', 'Negative', 'Rating', 'Average', 'Last asked'];
const shown = (q: Asked): string[] => [
    integer(q.asked), percent(ratio(q.positive, q.positive + q.negative)), integer(q.positive), integer(q.neutral), integer(q.negative),
    fixed(ratio(q.rating_sum, q.rating_count), 2), milliseconds(ratio(q.time_sum, q.timed)), middleDay(q.last)];
const asTable = (list: Asked[]): Table => ({
    head: HEAD,
    rows: list.map((q) => ({
        shown: [q.text, ...shown(q)],
        raw: [q.text, q.asked, ratio(q.positive, q.positive + q.negative), q.positive, q.neutral, q.negative, ratio(q.rating_sum, q.rating_count), ratio(q.time_sum, q.timed), isoDay(q.last)],
    })),
});

function bar(q: Asked): HTMLElement {
    const all = q.positive + q.neutral + q.negative;
    const part = (n: number, tone: string): HTMLElement => el('span', { class: tone, style: `width:${(100 * ratio(n, all)).toFixed(2)}%` });
    return el('span', { class: 'bar', 'aria-hidden': 'true' }, all > 0 && [part(q.positive, 'positive'), part(q.neutral, 'neutral'), part(q.negative, 'negative')]);
}

function list(id: string, title: string, note: string, questions: Asked[], empty: string): HTMLElement {
    return el('section', { class: 'card', 'aria-labelledby': `title-${id}` },
        el('div', { class: 'card-head' },
            el('div', {}, el('h3', { id: `title-${id}` }, title), el('p', { class: 'note' }, note)),
            el('div', { class: 'tools' }, el('button', { type: 'button', 'aria-label': `${title}: save the data as CSV`, onclick: () => saveCsv(`slm-feedback-${id}`, asTable(questions)) }, 'CSV'))),
        questions.length === 0 ? el('p', { class: 'empty' }, empty)
            : el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': title, id: `table-${id}` },
                el('table', { class: 'questions' },
                    el('caption', { class: 'hidden' }, title),
                    el('thead', {}, el('tr', {}, HEAD.map((h) => el('th', { scope: 'col' }, h)))),
                    el('tbody', {}, questions.map((q) => {
                        const cells = shown(q);
                        return el('tr', {}, el('th', { scope: 'row', dir: 'auto' }, q.text),
                            cells.map((v, i) => (i === 1 ? el('td', {}, v, bar(q)) : el('td', {}, v))));
                    })))));
}

const told = (title: string, ...text: string[]): HTMLElement[] =>
    [el('section', { class: 'card told' }, el('h3', {}, title), text.map((t) => el('p', {}, t)))];

export function questions(context: Context): HTMLElement[] {
    const { store, view, update } = context;
    const of = store.payload.questions;
    if (of.state === 'denied') {
        return told('Questions are not shown here', 'This page was made for somebody who may not read the texts of questions.',
            'A role with access to texts sees them; for the page that the server writes to a file, the setting slm_feedback.dashboard_file_questions decides.');
    }
    if (of.state === 'suppressed') {
        return told('Questions are not shown here', 'Groups of few users are left out of reports, and a question of one day is such a group. report_top_questions() shows the questions that enough people have asked.');
    }
    if (of.state === 'missing') {
        return told('Questions have not been chosen yet', 'The background worker and run_jobs() choose them after each rollup. Or run: SELECT slm_feedback.refresh_dashboard_questions();');
    }
    const all = collect(context);
    const needle = view.search.trim().toLocaleLowerCase();
    const found = needle === '' ? [] : all.filter((q) => q.text.toLocaleLowerCase().includes(needle)).sort(byAsked);
    const rated = all.filter((q) => q.positive + q.negative > 0);
    const first = dayNumber(of.from!);
    const last = dayNumber(of.to!);
    const covers = view.from < first || view.to > last ? ` In the chosen range, days outside of ${longDay(first)} to ${longDay(last)} are not counted here.` : '';
    const search = el('input', {
        type: 'search', id: 'search', value: view.search, autocomplete: 'off', placeholder: 'Words in a question',
        oninput: (e: Event) => update({ search: (e.target as HTMLInputElement).value }, '#search'),
    });
    return [
        el('div', { class: 'search' }, el('label', { for: 'search' }, 'Search'), search,
            el('p', { class: 'note', id: 'questions-cover' },
                `${integer(of.text!.length)} questions: the most asked and the worst rated of the last 7, 30 and 90 days up to ${longDay(last)}, as of ${context.instant(of.computed_at)}. `
                + `Counts are exact for these questions.${covers} report_top_questions() searches all.`)),
        needle !== '' && list('found', found.length > FOUND ? `The first ${FOUND} of ${found.length} matches` : found.length === 1 ? '1 match' : `${found.length} matches`, `Questions with \u201c${view.search.trim()}\u201d.`, found.slice(0, FOUND), 'No question here matches.'),
        list('asked', 'Asked most often', 'Questions that differ only in case, space or trailing punctuation are one.', [...all].sort(byAsked).slice(0, TOP), 'No questions in this range.'),
        list('worst', 'Rated worst', 'By the upper end of the 95% interval of the positive ratio: first those that are bad beyond doubt.', rated.sort(byWorst).slice(0, TOP), 'No opinions in this range.'),
    ].filter((e): e is HTMLElement => e !== false);
}
