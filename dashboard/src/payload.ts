// What the server puts into the page (src/dashboard.c writes it), and how it is read.
//
// A column of numbers is a string: each number in groups of five bits, lowest first, a character a
// group, the sixth bit saying that more follow. Three years of daily rows fit that way. An empty
// string stands for a column of zeros. Nullable columns hold the value plus one, 0 for null.

export interface Payload {
    format: number;
    version: string;
    title: string;
    generated_at: string;
    refresh_seconds: number;
    time_zone: string;
    today: string;
    first_day: string;
    last_day: string;
    view: { from: string; to: string };
    rows_left_out: number;
    models: string[];
    versions: string[];
    series: Packed;
    levels: Packed;
    hours: Packed; // by hour of the day: over all for every day, by model and version since hours_from
    hours_from: string;
    merged: { from: string; to: string; rows: MergedRow[] } | null;
    questions: Questions;
    operations: Operations;
}

// series holds [model, version, rows] triples, -1 for "all"; the columns hold the rows of all series.
interface Packed {
    series: [number, number, number][];
    [column: string]: string | [number, number, number][];
}

export interface MergedRow {
    model: string | null;
    prompt_version: string | null;
    users: number;
    p50: number | null;
    p95: number | null;
    p99: number | null;
}

export interface Questions {
    state: 'ready' | 'denied' | 'suppressed' | 'missing';
    computed_at?: string;
    from?: string;
    to?: string;
    distinct?: number;
    text?: (string | null)[];
    cells?: Record<string, string>;
    count?: number;
}

export interface Run {
    started_at: string;
    ended_at: string | null;
    status: string;
    days: number;
    final_through: string | null;
}

export interface Operations {
    final_through: string | null;
    purged_before: string | null;
    marked_days: number;
    refreshed_at: string | null;
    runs: Run[];
    jobs: Record<string, unknown>[] | null;
    alerts: Record<string, unknown>[] | null;
}

export const MS_PER_DAY = 86400000;
export const dayNumber = (iso: string): number => Math.round(Date.parse(iso + 'T00:00:00Z') / MS_PER_DAY);
export const isoDay = (day: number): string => new Date(day * MS_PER_DAY).toISOString().slice(0, 10);

const DIGITS = new Int8Array(128);
[...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'].forEach((c, i) => { DIGITS[c.charCodeAt(0)] = i; });

export function unpack(text: string, count: number): Float64Array {
    const values = new Float64Array(count);
    for (let at = 0, i = 0; at < text.length && i < count; i++) {
        let factor = 1;
        let value = 0;
        let digit;
        do {
            digit = DIGITS[text.charCodeAt(at++)];
            value += (digit & 31) * factor;
            factor *= 32;
        } while (digit & 32);
        values[i] = value;
    }
    return values;
}

const nullable = (values: Float64Array): Float64Array => values.map((v) => (v === 0 ? NaN : v - 1));

// One (model, prompt version): its days and its columns, each as long as days.
export interface Series {
    model: number;
    version: number;
    days: Float64Array;
    columns: Record<string, Float64Array>;
}

function split(packed: Packed, firstDay: number, nullables: string[]): Series[] {
    const total = packed.series.reduce((n, s) => n + s[2], 0);
    const columns: Record<string, Float64Array> = {};
    for (const [name, text] of Object.entries(packed)) {
        if (typeof text === 'string' && name !== 'counts') {
            const values = unpack(text, total);
            columns[name] = nullables.includes(name) ? nullable(values) : values;
        }
    }
    let at = 0;
    return packed.series.map(([model, version, rows]) => {
        const end = at + rows;
        const days = columns.day.slice(at, end);
        let day = firstDay;
        for (let i = 0; i < rows; i++) {
            day += days[i];
            days[i] = day;
        }
        const own: Record<string, Float64Array> = {};
        for (const name of Object.keys(columns)) {
            if (name !== 'day') {
                own[name] = columns[name].subarray(at, end);
            }
        }
        at = end;
        return { model, version, days, columns: own };
    });
}

export interface HourSeries {
    model: number;
    version: number;
    days: Float64Array;
    counts: Float64Array; // 24 a day
}

export interface QuestionCells {
    question: Float64Array;
    day: Float64Array;
    model: Float64Array;
    version: Float64Array;
    columns: Record<string, Float64Array>;
}

export interface Store {
    payload: Payload;
    firstDay: number;
    lastDay: number;
    series: Series[]; // one a (model, version)
    levels: Series[]; // rows over all models or all versions: what does not add up
    hours: HourSeries[];
    questions: QuestionCells | null;
}

export function readPayload(): Payload {
    return JSON.parse(document.getElementById('slm-data')!.textContent!) as Payload;
}

export function openStore(payload: Payload): Store {
    const firstDay = dayNumber(payload.first_day);
    const hourSeries = split(payload.hours, firstDay, []);
    const hourRows = payload.hours.series.reduce((n, s) => n + s[2], 0);
    const counts = unpack(payload.hours.counts as string, hourRows * 24);
    let at = 0;
    const hours = hourSeries.map((s) => {
        const own = counts.subarray(at, at + s.days.length * 24);
        at += s.days.length * 24;
        return { model: s.model, version: s.version, days: s.days, counts: own };
    });
    let questions: QuestionCells | null = null;
    if (payload.questions.state === 'ready') {
        const columns: Record<string, Float64Array> = {};
        for (const [name, text] of Object.entries(payload.questions.cells!)) {
            columns[name] = unpack(text, payload.questions.count!);
        }
        const { question, day, model, version } = columns;
        const first = dayNumber(payload.questions.from!);
        for (let i = 1; i < question.length; i++) {
            question[i] += question[i - 1];
        }
        questions = { question, day: day.map((d) => d + first), model, version, columns };
    }
    const times = ['p50', 'p95', 'p99'];
    return {
        payload,
        firstDay,
        lastDay: dayNumber(payload.last_day),
        series: split(payload.series, firstDay, times),
        levels: split(payload.levels, firstDay, times),
        hours,
        questions,
    };
}
