// draw_time.mjs FILE ROUNDS: milliseconds from the start of navigation until the page's first tab is drawn, a line
// a round, each in a new browser context.
import { chromium } from 'playwright-core';

const [,, file, rounds] = process.argv;
const browser = await chromium.launch({
    executablePath: process.env.SLM_CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
for (let i = 0; i < Number(rounds); i++) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
    const page = await context.newPage();
    // all of the three years, the most that there is to draw
    await page.goto(`file://${file}#tab=usage&range=all`);
    await page.waitForSelector('html[data-ready]');
    await page.waitForSelector('#chart-hours svg path');
    console.log(await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))));
    await context.close();
}
await browser.close();
