import { isoDay } from './payload';

const DASH = '\u2013';
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const compactNumber = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const missing = (v: number | null | undefined): v is null | undefined => v === null || v === undefined || Number.isNaN(v);

export const none = DASH;
export const integer = (v: number | null | undefined): string => (missing(v) ? DASH : whole.format(v));
export const compact = (v: number | null | undefined): string => (missing(v) ? DASH : compactNumber.format(v));
export const fixed = (v: number | null | undefined, digits: number): string =>
    (missing(v) ? DASH : v.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits }));
export const percent = (v: number | null | undefined, digits = 1): string => (missing(v) ? DASH : `${fixed(100 * v, digits)}%`);
export const milliseconds = (v: number | null | undefined): string => (missing(v) ? DASH : `${whole.format(v)} ms`);
export const dollars = (v: number | null | undefined): string => (missing(v) ? DASH : `$${fixed(v, v !== 0 && v < 1 ? 4 : 2)}`);

const dayLong = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric', weekday: 'short', timeZone: 'UTC' });
const dayShort = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' });
const dayMiddle = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric', timeZone: 'UTC' });
const toDate = (day: number): number => day * 86400000;
export const longDay = (day: number): string => dayLong.format(toDate(day));
export const shortDay = (day: number): string => dayShort.format(toDate(day));
export const middleDay = (day: number): string => dayMiddle.format(toDate(day));

// The server's time zone names are nearly those of the browser; where not, UTC is said.
export function instantFormat(timeZone: string): (iso: string | null | undefined) => string {
    const options: Intl.DateTimeFormatOptions = {
        day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit', timeZoneName: 'short',
    };
    let format: Intl.DateTimeFormat;
    try {
        format = new Intl.DateTimeFormat('en-GB', { ...options, timeZone });
    } catch {
        format = new Intl.DateTimeFormat('en-GB', { ...options, timeZone: 'UTC' });
    }
    return (iso) => (iso ? format.format(Date.parse(iso)) : DASH);
}

export function duration(seconds: number): string {
    const s = Math.max(0, Math.round(seconds));
    if (s < 60) {
        return s === 1 ? '1 second' : `${s} seconds`;
    }
    for (const [unit, size] of [['day', 86400], ['hour', 3600], ['minute', 60]] as const) {
        if (s >= size) {
            const n = Math.floor(s / size);
            return n === 1 ? `1 ${unit}` : `${n} ${unit}s`;
        }
    }
    return '';
}

// RFC 4180; a cell that a spreadsheet would take for a formula gets an apostrophe in front (as in plain_cell()).
export function csv(head: string[], rows: (string | number | null)[][]): string {
    const cell = (v: string | number | null): string => {
        if (v === null || (typeof v === 'number' && Number.isNaN(v))) {
            return '';
        }
        let text = String(v);
        if (typeof v === 'string' && /^[=+\-@\uff1d\uff0b\uff0d\uff20\t\r\n]/.test(text)) {
            text = `'${text}`;
        }
        return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    return [head, ...rows].map((r) => r.map(cell).join(',')).join('\r\n') + '\r\n';
}

export { isoDay };
