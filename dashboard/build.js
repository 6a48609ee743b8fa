// Builds the page as one file: script and style stand in it, and a content security policy with the
// script's hash keeps it from loading or sending anything. The result is pure ASCII, so that it reads
// the same in every server and client encoding.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';

const PAGE = 'dist/slm_feedback--dashboard.html';
const DATA_MARK = '@SLM_FEEDBACK_DATA@';

const bundle = await build({
    entryPoints: ['src/main.ts'],
    outdir: 'dist',
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    charset: 'ascii',
    legalComments: 'none',
});
const text = (end) => bundle.outputFiles.find((file) => file.path.endsWith(end)).text.trim();
const script = text('.js').replace(/<(\/script|!--)/gi, '\\u003c$1');
const style = text('.css').replace(/[\u{80}-\u{10ffff}]/gu, (c) => '\\' + c.codePointAt(0).toString(16) + ' ');
const hash = createHash('sha256').update(script).digest('base64');
const page = readFileSync('index.html', 'utf8')
    .replace('@SCRIPT_HASH@', () => `sha256-${hash}`)
    .replace('</head>', () => `<style>${style}</style>\n</head>`)
    .replace(/<script type="module" src=[^>]*>/, () => `<script type="module">${script}`);

if (/[^\x00-\x7f]/.test(page)) {
    throw new Error('the page is not pure ASCII');
}
if (page.split(DATA_MARK).length !== 2) {
    throw new Error(`the page must hold ${DATA_MARK} exactly once`);
}
mkdirSync('dist', { recursive: true });
writeFileSync(PAGE, page);
