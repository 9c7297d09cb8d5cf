// The console on a fleet of 100 000 devices in a real database: pages, filters, counts and scrolling; times are reported.
import assert from 'node:assert/strict';
import { before, describe, it, type TestContext } from 'node:test';
import pg from 'pg';
import type { Page } from 'playwright-core';
import { startBrowser, type Browser } from '#tests/harness/browser.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { requires } from '#tests/harness/requires.ts';
import { startStack, type Stack } from '#tests/harness/stack.ts';
import { fillFleet, idOf } from '#tests/store/fill-fleet.ts';

const fleet = 100_000;

describe('the console on a large fleet', { skip: requires('chromium') }, () => {
  const cleanup = cleanupAfterAll();
  let stack: Stack;
  let browser: Browser;

  before(
    async () => {
      stack = await startStack(cleanup);
      browser = await startBrowser(cleanup);
      const owner = new pg.Client({ connectionString: stack.instance.database_url });
      await owner.connect();
      await owner.query(`SELECT set_config('sentinel.project', 'default', false)`);
      const rows = async <Row>(text: string, values: readonly unknown[] = []) =>
        (await owner.query(text, [...values])).rows as Row[];
      await fillFleet({ rows }, fleet);
      await rows(`UPDATE device_liveness SET first_seen_at = now(), last_seen_at = now() + interval '1 hour'`);
      await rows(`UPDATE device SET state = 'rejected', tier = 'restricted' WHERE device_id IN ($1, $2)`, [
        idOf(70_000),
        idOf(90_000),
      ]);
      await owner.query('ANALYZE');
      await owner.end();
    },
    { timeout: 300_000 },
  );

  const row = (page: Page, n: number) => page.locator(`tr[data-row="${idOf(n)}"]`);

  /** Says how long it took; nothing is judged by it, since machines differ. */
  async function timed<T>(t: TestContext, what: string, work: () => Promise<T>): Promise<T> {
    const from = performance.now();
    const result = await work();
    t.diagnostic(`${what}: ${Math.round(performance.now() - from)} ms`);
    return result;
  }

  it('is shown by pages, counted and filtered, and scrolled with only the rows near the view (CP-41, UI-05)', async (t) => {
    const { page, faults } = await browser.open(t, { scheme: 'light', width: 1280, height: 800 });
    page.setDefaultTimeout(30_000);
    await page.goto(`${stack.instance.api_url}/login?next=%2Fdashboard%3Flimit%3D500`);
    await page.getByLabel('User name').fill('sam');
    await page.getByLabel('Password', { exact: true }).fill('sam');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await row(page, 1).waitFor();
    await timed(t, 'a page of 500, from the address to its first row', async () => {
      await page.reload();
      await row(page, 1).waitFor();
    });
    await timed(t, 'and the counts', () => page.getByText('100,000 devices, live.').waitFor());
    const rendered = await page.locator('tr[data-row]').count();
    assert.ok(rendered < 100, `only rows near the view are rendered, not ${rendered}`);

    const frames = await page.evaluate<{ frames: number; longest: number; late: number }>(`new Promise((resolve) => {
      const times = [];
      let last = performance.now();
      const step = (now) => {
        times.push(now - last);
        last = now;
        window.scrollBy(0, 200);
        const isEnd = window.scrollY + window.innerHeight >= document.documentElement.scrollHeight - 1;
        if (isEnd || times.length > 400) resolve({
          frames: times.length,
          longest: Math.round(Math.max(...times)),
          late: times.filter((ms) => ms > 50).length,
        });
        else requestAnimationFrame(step);
      };
      requestAnimationFrame(step);
    })`);
    t.diagnostic(
      `scrolling through 500: ${frames.frames} frames, longest ${frames.longest} ms, ${frames.late} over 50 ms`,
    );
    await row(page, 500).waitFor();

    await timed(t, 'the next page', async () => {
      await page.getByRole('button', { name: 'Next page' }).click();
      await page.waitForURL(/cursor=/);
      await row(page, 501).or(row(page, 1_000)).first().waitFor();
    });
    await page.goto(`${stack.instance.api_url}/dashboard`);
    await row(page, 1).waitFor();
    await timed(t, 'a filter that two devices fit', async () => {
      await page.getByLabel('Approval', { exact: true }).selectOption('rejected');
      await row(page, 90_000).waitFor();
      await row(page, 1).waitFor({ state: 'detached' });
    });
    await page.getByText('2 devices match, live.').waitFor();
    await page.getByRole('button', { name: 'Clear', exact: true }).click();
    await row(page, 1).waitFor();
    await timed(t, 'a search that walks the fleet, with the pause after typing', async () => {
      await page.getByLabel('Search', { exact: true }).fill('99999');
      await row(page, 99_999).waitFor();
      await row(page, 1).waitFor({ state: 'detached' });
    });
    await timed(t, 'selecting ten thousand', async () => {
      await page.goto(`${stack.instance.api_url}/dashboard`);
      await row(page, 1).getByRole('checkbox').click();
      await page.getByRole('button', { name: 'Select the first 10,000' }).click();
      await page.getByText('10,000 devices selected').waitFor();
    });
    assert.deepEqual(faults, []);
  });

  it('is planned by when its certificates end, all of them counted (UI-05)', async (t) => {
    const { page, faults } = await browser.open(t, { scheme: 'light', width: 1280, height: 800 });
    page.setDefaultTimeout(30_000);
    await page.goto(`${stack.instance.api_url}/login?next=%2Fcertificates`);
    await page.getByLabel('User name').fill('sam');
    await page.getByLabel('Password', { exact: true }).fill('sam');
    await page.getByRole('button', { name: 'Sign in' }).click();
    // They end at one moment, which is in one period, whenever this runs.
    const bar = page.getByRole('link', { name: /: 100,000 certificates/ });
    await bar.waitFor();
    await timed(t, 'the plan by month', async () => {
      await page.getByRole('button', { name: 'Months' }).click();
      await page.getByRole('list', { name: /by the month in which they end/ }).waitFor();
    });
    await bar.click();
    await page.waitForURL(/role=pinned/);
    await page.locator(`tr[data-row^="${idOf(1)} "]`).waitFor();
    assert.deepEqual(faults, []);
  });
});
