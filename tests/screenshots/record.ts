// Takes the pictures of the console: `npm run console:screenshots`, or of the named pages only: `… -- fleet health`.
//
// Everything that could differ from one time to the next is fixed: the fleet, the clocks of server and browser, the size.
import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { buildConsole } from '#start/console-build.ts';
import { fakePassword, startFakeApi, type FakeApi } from '#tests/fakes/fake-api.ts';
import { startBrowser, type Look } from '#tests/harness/browser.ts';
import { consolePages, looks, pictureFolder, type ConsolePage } from './pictures.ts';
import { withPalette } from './png.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const now = Date.parse('2026-11-26T09:41:00.000Z');
/** Longer pages are cut: a picture shows what a page is like. */
const tallest = { wide: 1400, phone: 1700 };

const only = process.argv.slice(2);
const cleanups: (() => unknown)[] = [];
const cleanup = { after: (work: () => unknown) => void cleanups.push(work) };

async function main(): Promise<void> {
  await buildConsole(root, { PATH: process.env['PATH'] ?? '' }, AbortSignal.timeout(300_000));
  const pages = await consolePages();
  const unknown = only.filter((name) => !pages.some((page) => page.name === name));
  if (unknown.length > 0) throw new RangeError(`no page is called ${unknown.join(', ')}`);
  await mkdir(pictureFolder, { recursive: true });
  const browser = await startBrowser(cleanup);
  let total = 0;
  for (const [suffix, look] of Object.entries(looks)) {
    const api = await startFakeApi(cleanup, fileURLToPath(new URL('../../web/dist/', import.meta.url)), () => now);
    api.ready.value = allIsWell;
    for (const as of ['visitor', 'admin'] as const) {
      const { page, context } = await browser.open(cleanup, look);
      await page.clock.setFixedTime(now);
      if (as === 'admin') await signIn(page, api);
      for (const wanted of pages.filter((one) => one.as === as && (only.length === 0 || only.includes(one.name)))) {
        const picture = withPalette(await take(page, api, wanted, look));
        await writeFile(new URL(`${wanted.name}${suffix}.png`, pictureFolder), picture);
        total += picture.length;
        process.stdout.write(`${wanted.name}${suffix}.png ${Math.round(picture.length / 1024)} KB\n`);
      }
      await context.close();
    }
  }
  process.stdout.write(`${Math.round(total / 1024)} KB in all\n`);
}

async function signIn(page: Page, api: FakeApi): Promise<void> {
  await page.goto(`${api.url}/login`);
  await page.getByLabel('User name').fill('admin');
  await page.getByLabel('Password', { exact: true }).fill(fakePassword);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForURL('**/dashboard');
}

async function take(page: Page, api: FakeApi, { path }: ConsolePage, look: Look): Promise<Buffer> {
  await page.goto(api.url + pathWith(api, path));
  await page.getByRole('heading', { level: 1, includeHidden: true }).first().waitFor();
  await page.locator('[aria-label^="Reading"], [aria-label^="Opening"]').first().waitFor({ state: 'detached' });
  await page.evaluate('document.fonts.ready');
  await page.waitForLoadState('networkidle').catch(() => {
    // The event stream never rests; what the page shows has been read by now.
  });
  const wanted = await page.evaluate<number>('document.documentElement.scrollHeight');
  const most = look.width < 600 ? tallest.phone : tallest.wide;
  await page.setViewportSize({ width: look.width, height: Math.min(most, Math.max(look.height, wanted)) });
  const picture = await page.screenshot({ animations: 'disabled', caret: 'hide' });
  await page.setViewportSize({ width: look.width, height: look.height });
  return picture;
}

/** The path with an object of the fleet for each parameter. */
function pathWith(api: FakeApi, path: string): string {
  const values: Record<string, string> = {
    // One that has lost trust, so that the page has something to explain.
    $deviceId: 'meter-0042',
    $id: [...api.fleet.approvals.values()].find(({ kind }) => kind === 'rotation')?.id ?? '',
  };
  return path.replaceAll(/\$\w+/g, (parameter) => {
    const value = values[parameter];
    if (value === undefined) throw new RangeError(`say what to show for ${parameter} of ${path}`);
    return value;
  });
}

const ok = (detail: string) => ({ status: 'ok', detail }) as const;
const allIsWell = {
  status: 'ok' as const,
  checks: {
    database: ok('answers'),
    temporal: ok('answers'),
    worker: ok('last seen 4 s ago'),
    news: ok('nothing waits for an actor'),
    sealing: ok('0 s behind'),
    checkpoints: ok('the last one was signed 48 s ago'),
    trust_anchors: ok('1 in force'),
    tls_certificate: ok('ends in 89 d'),
  },
};

try {
  await main();
} finally {
  for (const work of cleanups.toReversed()) await work();
}
