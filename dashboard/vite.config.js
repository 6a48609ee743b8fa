// Builds the page as one file: script and style stand in it, and a content security policy with the
// script's hash keeps it from loading or sending anything. The result is pure ASCII, so that it reads
// the same in every server and client encoding.
import { createHash } from 'node:crypto';
import { defineConfig } from 'vite';

const DATA_MARK = '@SLM_FEEDBACK_DATA@';

const escapeUnit = (unit) => '\\u' + unit.charCodeAt(0).toString(16).padStart(4, '0');
const asciiScript = (code) => code
    .replace(/[\u0080-\uffff]/g, escapeUnit)
    .replace(/<(\/script|!--)/gi, '\\u003c$1');
const asciiStyle = (code) => code
    .replace(/[\u{80}-\u{10ffff}]/gu, (c) => '\\' + c.codePointAt(0).toString(16) + ' ');

function onePage() {
    return {
        name: 'one-page',
        enforce: 'post',
        generateBundle(_, bundle) {
            const parts = Object.values(bundle);
            const html = parts.find((p) => p.fileName.endsWith('.html'));
            const script = asciiScript(parts.filter((p) => p.type === 'chunk').map((p) => p.code).join('').trim());
            const style = asciiStyle(parts.filter((p) => p.fileName.endsWith('.css')).map((p) => p.source).join('').trim());
            const hash = createHash('sha256').update(script).digest('base64');
            const page = String(html.source)
                .replace(/\s*<script type="module"[^>]*><\/script>/, '')
                .replace(/\s*<link rel="(stylesheet|modulepreload)"[^>]*>/g, '')
                .replace('@SCRIPT_HASH@', () => `sha256-${hash}`)
                .replace('</head>', () => `<style>${style}</style>\n</head>`)
                .replace('</body>', () => `<script type="module">${script}</script>\n</body>`);
            if (/[^\x00-\x7f]/.test(page)) {
                this.error('the page is not pure ASCII');
            }
            if (page.split(DATA_MARK).length !== 2) {
                this.error(`the page must hold ${DATA_MARK} exactly once`);
            }
            for (const name of Object.keys(bundle)) {
                delete bundle[name];
            }
            this.emitFile({ type: 'asset', fileName: 'slm_feedback--dashboard.html', source: page });
        },
    };
}

export default defineConfig({
    base: './',
    build: {
        target: 'es2022',
        modulePreload: { polyfill: false },
        assetsInlineLimit: 1 << 20,
        cssCodeSplit: false,
        chunkSizeWarningLimit: 2000,
        reportCompressedSize: false,
    },
    plugins: [onePage()],
});
