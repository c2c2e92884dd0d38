// SPDX-License-Identifier: MIT
// The page in headless Chromium: `node page.mjs SCENARIO` with the figures of the scenario as JSON on stdin.
// Prints one JSON object: what was seen. Whatever the page complains of ends it with status 1.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const input = JSON.parse(readFileSync(0, 'utf8'));
const { chromium } = createRequire(join(input.modules, 'package.json'))('playwright-core');
const profile = mkdtempSync(join(tmpdir(), 'aistrace-page-'));
const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const complaints = [];
let shots = 0;

const context = await chromium.launchPersistentContext(profile, {
  executablePath: input.chromium, headless: true, args: flags, viewport: { width: 1360, height: 860 }, colorScheme: 'light' });
const page = await context.newPage();
page.setDefaultTimeout(120000);
page.on('console', (message) => { if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text()); });
page.on('pageerror', (error) => complaints.push(error.stack));
page.on('dialog', (dialog) => { complaints.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
page.on('request', (request) => { if (!request.url().startsWith(input.url)) complaints.push(`asked elsewhere: ${request.url()}`); });

const open = (path) => page.goto(input.url + path);
const rows = () => page.locator('.rows .row');
const spans = () => page.locator('.waterfall .span-row');
const texts = async (locator) => (await locator.allInnerTexts()).map((text) => text.replace(/\s+/g, ' ').trim());
const found = (text) => page.waitForFunction((wanted) => document.querySelector('.results:not(.loading) .results-head h1')?.firstChild?.textContent === wanted, text);
async function expectReadable() {
  const line = (await page.locator('body').innerText()).split('\n').find((text) => text.includes('[object'));
  if (line) complaints.push(`an object shown as text: ${line}`);
}
async function screenshot(name) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await page.waitForTimeout(150);
    await page.screenshot({ path: join(input.screenshots, `${name}-${colorScheme}.png`) });
    shots++;
  }
  await page.emulateMedia({ colorScheme: 'light' });
}

const scenarios = {
  async guide() {
    await open('/');
    await found(`${input.traces} traces`);
    const list = await texts(page.locator('.rows .row .op'));
    const stats = await page.locator('#stats').innerText();
    await screenshot('list');
    await page.locator('.rows .row', { hasText: 'PUT /v1/objects' }).first().click();
    await spans().first().waitFor();
    const names = await texts(page.locator('.waterfall .op'));
    const levels = await spans().evaluateAll((all) => all.map((row) => Number(row.getAttribute('aria-level'))));
    const services = await texts(page.locator('.legend .chip bdi'));
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.locator('.details h2').waitFor();
    const keys = await texts(page.locator('.details th'));
    await screenshot('waterfall');
    const url = page.url();
    await page.reload();
    await page.locator('.details h2').waitFor();
    const selected = await page.locator('.span-row.selected').getAttribute('aria-level');
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    await rows().first().waitFor();
    return { list, stats, names, levels, services, keys, url, selected, path: new URL(page.url()).pathname };
  },

  async errors() {
    await open('/search');
    await found('3 traces');
    const marked = await page.locator('.rows .row.failed').count();
    await page.locator('#field-errors').check();
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Find traces' }).click();
    await found('1 trace');
    const only = await texts(page.locator('.rows .row .op'));
    const url = page.url();
    await page.reload();
    await found('1 trace');
    const checked = await page.locator('#field-errors').isChecked();
    await screenshot('errors');
    await rows().first().click();
    await spans().first().waitFor();
    await page.keyboard.press('e');
    await page.keyboard.press('Enter');
    const message = await page.locator('.details .notice.bad').innerText();
    await page.goBack();
    await found('1 trace');
    await page.locator('#field-errors').uncheck();
    await page.locator('#field-tags').fill('"order id"="4 2"');
    await page.keyboard.press('Enter');
    await found('1 trace');
    const tagged = await texts(page.locator('.rows .row .op'));
    await page.locator('#field-tags').fill('');
    await page.locator('#field-minDuration').fill('nonsense');
    await page.keyboard.press('Enter');
    await page.locator('.notice.bad').waitFor();
    complaints.splice(0, complaints.length, ...complaints.filter((text) => !text.includes('status of 400')));
    return { marked, only, url, checked, message, tagged, problem: await page.locator('.notice.bad').innerText() };
  },

  async details() {
    await open(`/trace/${input.trace}?span=${input.span}&details=1`);
    await page.locator('.details h2').waitFor();
    for (const closed of await page.locator('.details details:not([open]) > summary').all()) await closed.click();
    const whole = await page.locator('.details').innerText();
    const parts = [];
    for (const part of await page.locator('.details details').all()) {
      const rows = [];
      for (const row of await part.locator('tr').all())
        rows.push([await row.locator('th').innerText(), await row.locator('td').innerText()]);
      parts.push({ title: (await texts(part.locator('summary')))[0], lines: await texts(part.locator('p')), rows });
    }
    await screenshot('details');
    await expectReadable();
    await page.locator('.details .event button.link').click();
    await page.waitForFunction((before) => document.querySelector('.details').innerText !== before, whole);
    return { whole, parts, followed: await page.locator('.details h2').innerText() };
  },

  async hostile() {
    await open('/search?limit=20');
    await found('1 trace');
    const name = await page.locator('.rows .row .op').first().innerText();
    await rows().first().click();
    await spans().first().waitFor();
    const count = await spans().count();
    for (let i = 0; i < count; i++) {
      await spans().nth(i).click();
      await page.locator('.details h2').waitFor();
    }
    await page.locator('[data-span="0000000000000001"]').click();
    const value = await page.locator('.details tr', { hasText: 'markup' }).locator('td').innerText();
    const made = await page.evaluate(() => document.querySelectorAll('main img, main script, main iframe, main svg').length);
    const ran = await page.evaluate(() => window.ran === undefined ? 'nothing' : String(window.ran));
    const refused = await page.evaluate(() => { try { document.body.innerHTML = '<b>x</b>'; return 'made markup'; } catch (error) { return error.name; } });
    await screenshot('hostile');
    complaints.splice(0, complaints.length, ...complaints.filter((text) => !text.includes('TrustedHTML')));
    return { name, value, made, ran, refused, count };
  },

  async many() {
    const started = Date.now();
    await open(`/search?limit=100000`);
    await found('10,000 traces');
    await rows().first().waitFor();
    const ms = Date.now() - started;
    const inDocument = await rows().count();
    await page.keyboard.press('End');
    await page.locator('.row[data-index="9999"]').waitFor();
    const last = await page.locator('.row.selected').getAttribute('data-index');
    await page.keyboard.press('Home');
    await page.locator('.row[data-index="0"]').waitFor();
    await screenshot('many');
    const answered = await page.evaluate(async () => {
      const from = performance.now();
      await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
      return performance.now() - from;
    });
    return { ms, inDocument, last, answered };
  },

  async long() {
    const started = Date.now();
    await open(`/trace/${input.trace}`);
    await spans().first().waitFor();
    const ms = Date.now() - started;
    const inDocument = await spans().count();
    const facts = await texts(page.locator('.fact'));
    await page.keyboard.press('End');
    await page.locator('#span-9999').waitFor();
    await page.keyboard.press('Home');
    await page.keyboard.press('ArrowLeft');
    await page.locator('.span-row .badge').first().waitFor();
    const folded = await spans().count();
    await page.keyboard.press('ArrowRight');
    await page.locator('#span-5').waitFor();
    await screenshot('long');
    return { ms, inDocument, facts, folded };
  },

  async theme() {
    await open('/search');
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await page.emulateMedia({ colorScheme: 'light' });
    const light = await background();
    await page.locator('#theme').click();
    const dark = await background();
    await page.reload();
    const kept = await background();
    await page.locator('#theme').click();
    await page.emulateMedia({ colorScheme: 'dark' });
    const chosen = await background();
    await page.locator('#theme').click();
    return { light, dark, kept, chosen, system: await background() };
  },
};

let status = 0;
try {
  const seen = await scenarios[process.argv[2]]();
  await expectReadable();
  console.log(JSON.stringify({ ...seen, complaints, shots }));
} catch (error) {
  console.error(error.stack, complaints);
  await page.screenshot({ path: join(input.screenshots, `failed-${process.argv[2]}.png`) }).catch(() => {});
  status = 1;
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
process.exit(status);
