// A card: a chart, the same data as a table, and both to take away.
import { BarChart, CustomChart, LineChart } from 'echarts/charts';
import { GridComponent, LegendComponent, TooltipComponent } from 'echarts/components';
import * as echarts from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import type { EChartsCoreOption, EChartsType } from 'echarts/core';
import { csv } from './format';
import { el, save } from './dom';

echarts.use([BarChart, CustomChart, LineChart, GridComponent, LegendComponent, TooltipComponent, SVGRenderer]);

export interface Table {
    head: string[];
    texts?: boolean[]; // columns that are not figures
    rows: { shown: string[]; raw: (string | number | null)[] }[];
}

export interface Card {
    id: string;
    title: string;
    note: string;
    wide?: boolean;
    height?: number;
    describe: string; // what a screen reader hears of the chart
    option: (colors: Colors) => EChartsCoreOption;
    table: () => Table;
}

export interface Colors {
    ink: string; muted: string; line: string; card: string; accent: string;
    positive: string; negative: string; neutral: string; band: string; heat: [string, string];
    series: string[];
}

export function colors(): Colors {
    const style = getComputedStyle(document.documentElement);
    const of = (name: string): string => style.getPropertyValue(`--${name}`).trim();
    return {
        ink: of('ink'), muted: of('muted'), line: of('line'), card: of('card'), accent: of('accent'),
        positive: of('positive'), negative: of('negative'), neutral: of('neutral'), band: of('band'),
        heat: [of('heat-low'), of('heat-high')],
        series: [1, 2, 3, 4].map((i) => of(`series-${i}`)),
    };
}

const live: { chart: EChartsType; host: HTMLElement }[] = [];
const resizer = new ResizeObserver((entries) => {
    for (const { target } of entries) {
        live.find((l) => l.host === target)?.chart.resize();
    }
});

export function disposeCharts(): void {
    for (const { chart, host } of live.splice(0)) {
        resizer.unobserve(host);
        chart.dispose();
    }
}

// Without quotation marks, which would end the style attribute in a saved SVG.
const FONT = 'system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, Arial, sans-serif';

function base(c: Colors): EChartsCoreOption {
    return {
        animation: false,
        textStyle: { fontFamily: FONT, color: c.muted, fontSize: 12 },
        grid: { left: 8, right: 12, top: 36, bottom: 4, containLabel: true },
        tooltip: {
            trigger: 'axis',
            confine: true,
            appendTo: 'body',
            backgroundColor: c.card,
            borderColor: c.line,
            padding: [8, 12],
            extraCssText: 'box-shadow:0 4px 16px rgba(0,0,0,.16);border-radius:8px;max-width:min(24rem,90vw);white-space:normal',
            textStyle: { color: c.ink, fontSize: 13, fontFamily: FONT },
            axisPointer: { type: 'line', lineStyle: { color: c.muted, type: 'dashed' }, shadowStyle: { color: c.muted, opacity: 0.12 } },
        },
        legend: {
            top: 0, left: 0, icon: 'roundRect', itemWidth: 12, itemHeight: 8, itemGap: 16,
            textStyle: { color: c.muted, fontSize: 12, fontFamily: FONT },
            inactiveColor: c.line,
        },
    };
}

function merge(a: Record<string, unknown>, b: Record<string, unknown>): Record<string, unknown> {
    const out = { ...a };
    for (const [key, value] of Object.entries(b)) {
        const old = out[key];
        out[key] = value && old && typeof value === 'object' && typeof old === 'object' && !Array.isArray(value) && !Array.isArray(old)
            ? merge(old as Record<string, unknown>, value as Record<string, unknown>) : value;
    }
    return out;
}

function picture(chart: EChartsType, type: 'svg' | 'png', name: string): void {
    const c = colors();
    const svg = chart.renderToSVGString().replace(/(<svg[^>]*>)/, `$1<rect width="100%" height="100%" fill="${c.card}"/>`);
    if (type === 'svg') {
        save(`${name}.svg`, 'image/svg+xml', svg);
        return;
    }
    const image = new Image();
    const scale = 2;
    image.onload = () => {
        const canvas = el('canvas', { width: chart.getWidth() * scale, height: chart.getHeight() * scale });
        const context = canvas.getContext('2d')!;
        context.drawImage(image, 0, 0, canvas.width, canvas.height);
        canvas.toBlob((blob) => { if (blob) { save(`${name}.png`, 'image/png', blob); } }, 'image/png');
    };
    image.src = 'data:image/svg+xml;charset=utf-8,' + encodeURIComponent(svg);
}

export function dataTable(table: Table, caption: string): HTMLElement {
    const side = (i: number): { class?: string } => (table.texts?.[i] ? { class: 'text' } : {});
    return el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption },
        el('table', {},
            el('caption', { class: 'hidden' }, caption),
            el('thead', {}, el('tr', {}, table.head.map((h, i) => el('th', { scope: 'col', ...side(i) }, h)))),
            el('tbody', {}, table.rows.map((r) => el('tr', {}, r.shown.map((v, i) => (i === 0 ? el('th', { scope: 'row' }, v) : el('td', side(i), v))))))));
}

export const saveCsv = (name: string, table: Table): void =>
    save(`${name}.csv`, 'text/csv;charset=utf-8', csv(table.head, table.rows.map((r) => r.raw)));

export function card(spec: Card): HTMLElement {
    const host = el('div', { class: 'chart', id: `chart-${spec.id}`, role: 'img', 'aria-label': `${spec.title}. ${spec.describe}` });
    host.style.height = `${spec.height ?? 260}px`;
    const tablePlace = el('div', { id: `table-${spec.id}`, hidden: true });
    let chart: EChartsType;
    const tableButton = el('button', {
        type: 'button', 'aria-expanded': 'false', 'aria-controls': `table-${spec.id}`, 'aria-label': `${spec.title}: show as table`,
        onclick: () => {
            const open = tablePlace.hidden;
            tablePlace.hidden = !open;
            tableButton.setAttribute('aria-expanded', String(open));
            if (open && !tablePlace.hasChildNodes()) {
                tablePlace.append(dataTable(spec.table(), `${spec.title}: data`));
            }
        },
    }, 'Table');
    const take = (label: string, what: string, onclick: () => void): HTMLElement =>
        el('button', { type: 'button', 'aria-label': `${spec.title}: save ${what}`, title: `Save ${what}`, onclick }, label);
    const name = `slm-feedback-${spec.id}`;
    const section = el('section', { class: spec.wide ? 'card wide' : 'card', 'aria-labelledby': `title-${spec.id}` },
        el('div', { class: 'card-head' },
            el('div', {}, el('h3', { id: `title-${spec.id}` }, spec.title), el('p', { class: 'note' }, spec.note)),
            el('div', { class: 'tools' },
                tableButton,
                take('CSV', 'the data as CSV', () => saveCsv(name, spec.table())),
                take('SVG', 'the picture as SVG', () => picture(chart, 'svg', name)),
                take('PNG', 'the picture as PNG', () => picture(chart, 'png', name)))),
        host, tablePlace);
    // drawn once it stands in the page and has a width
    queueMicrotask(() => {
        const c = colors();
        chart = echarts.init(host, null, { renderer: 'svg' });
        chart.setOption(merge(base(c) as Record<string, unknown>, spec.option(c) as Record<string, unknown>) as EChartsCoreOption);
        live.push({ chart, host });
        resizer.observe(host);
    });
    return section;
}

export const chartOf = (id: string): EChartsType | undefined => live.find((l) => l.host.id === `chart-${id}`)?.chart;
