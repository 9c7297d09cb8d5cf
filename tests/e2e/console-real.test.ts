// The console on the real API: a person signs in, a device appears, is approved, rotates and is revoked, all in the browser.
import assert from 'node:assert/strict';
import { before, describe, it, type TestContext } from 'node:test';
import type { Page } from 'playwright-core';
import { startBrowser, type Browser } from '#tests/harness/browser.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { requires } from '#tests/harness/requires.ts';
import { startStack, type Person, type Stack } from '#tests/harness/stack.ts';

describe('the console on the real API', { skip: requires('chromium') }, () => {
  const cleanup = cleanupAfterAll();
  let stack: Stack;
  let browser: Browser;

  before(
    async () => {
      stack = await startStack(cleanup);
      browser = await startBrowser(cleanup);
    },
    { timeout: 240_000 },
  );

  /** Goes to a page as a visitor, and signs in where that leads. */
  async function visit(t: TestContext, path: string, person: Person): Promise<{ page: Page; faults: string[] }> {
    const { page, faults } = await browser.open(t, { scheme: 'light', width: 1280, height: 800 });
    await page.goto(stack.instance.api_url + path);
    await page.waitForURL(/\/login\?next=/);
    // Password hashing is slow on purpose.
    await page.getByLabel('User name').fill(person);
    await page.getByLabel('Password', { exact: true }).fill(person);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.waitForURL(stack.instance.api_url + path, { timeout: 30_000 });
    return { page, faults };
  }

  const row = (page: Page, deviceId: string) => page.locator(`tr[data-row="${deviceId}"]`);

  it('shows a new device without being asked, and approves it (UI-02, UI-03, UI-04)', async (t) => {
    const { page, faults } = await visit(t, '/dashboard', 'ann');
    await page.getByText('No device has been heard yet').waitFor();
    const device = await stack.device('console-1');
    assert.equal((await device.heartbeat(1)).status, 202);
    await row(page, 'console-1').getByText('Pending').waitFor({ timeout: 30_000 });
    await row(page, 'console-1').getByText('Observed').waitFor();

    await page.getByRole('button', { name: 'Review console-1' }).click({ timeout: 30_000 });
    const dialog = page.getByRole('dialog', { name: 'Enrollment of console-1' });
    await dialog.getByLabel('Reason').fill('Seen in the office');
    await dialog.getByRole('button', { name: 'Approve' }).click();
    await dialog.waitFor({ state: 'detached', timeout: 30_000 });
    await row(page, 'console-1').getByText('Monitored').waitFor({ timeout: 30_000 });
    assert.equal((await device.heartbeat(1)).status, 200);

    await row(page, 'console-1').getByRole('link', { name: 'console-1' }).click();
    await page.getByRole('tab', { name: 'Timeline' }).click();
    await page.getByText('Pending → Approved').waitFor();
    await page.getByRole('button', { name: 'Audit' }).click();
    await page.getByText('Device identity approved').waitFor();
    assert.deepEqual(faults, []);
  });

  it('rejects an enrollment from the queue (UI-04)', async (t) => {
    const device = await stack.device('console-2');
    assert.equal((await device.heartbeat(1)).status, 202);
    const { page, faults } = await visit(t, '/approvals', 'bob');
    const card = page.getByRole('region', { name: 'Enrollment' }).filter({ hasText: 'console-2' });
    await card.getByRole('button', { name: 'Reject' }).click({ timeout: 30_000 });
    await card.waitFor({ state: 'detached', timeout: 30_000 });
    await page.goto(`${stack.instance.api_url}/devices/console-2`);
    await page.getByText('Its identity was rejected').first().waitFor();
    assert.equal((await device.heartbeat(2)).status, 403);
    assert.deepEqual(faults, []);
  });

  it('revokes a certificate and verifies the trail of it', async (t) => {
    const { page, faults } = await visit(t, '/devices/console-1', 'sam');
    await page.getByRole('button', { name: 'Revoke the certificate…' }).click();
    await page.getByLabel('Type console-1 to confirm').fill('console-1');
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke the certificate' }).click();
    await page.getByRole('heading', { level: 1, name: /Revoked/ }).waitFor({ timeout: 30_000 });
    await page.goto(`${stack.instance.api_url}/audit?action=device.certificate.revoked`);
    await page.locator('tr[data-row]').filter({ hasText: 'console-1' }).waitFor();
    await page.getByRole('button', { name: 'Verify from the start' }).click();
    await page.getByText('The chain is intact').waitFor();
    assert.deepEqual(faults, []);
  });

  it('draws when the certificates of real devices end, and leads to them (UI-05)', async (t) => {
    const { page, faults } = await visit(t, '/certificates', 'vic');
    const plan = page.getByRole('region', { name: 'When they end' });
    const bar = plan.getByRole('link', { name: /: \d+ certificate/ }).last();
    await bar.click();
    await page.waitForURL(/role=pinned/);
    await page.locator('tr[data-row]').filter({ hasText: 'console-1' }).waitFor();
    assert.equal(await bar.getAttribute('aria-current'), 'true');
    assert.deepEqual(faults, []);
  });

  it('leads to the workflow of a device in Temporal, which says how it stands, signed in as oneself', async (t) => {
    const { page, faults } = await visit(t, '/devices/console-1', 'ann');
    const address = await page.getByRole('link', { name: 'Workflow' }).getAttribute('href');
    await page.goto(new URL(address ?? '', stack.instance.api_url).href);
    await page.getByText('device/default/console-1').first().waitFor({ timeout: 30_000 });
    await page.getByText('User Metadata').click();
    const details = page.frameLocator('iframe[src*="console-1%20is"], iframe[src*="console-1**"]').locator('body');
    await details.getByText('tier at most').waitFor({ timeout: 30_000 });
    assert.deepEqual(faults, []);
  });

  it('breaks no policy of the API on any page', async (t) => {
    const { page, faults } = await visit(t, '/health', 'root');
    await page.getByRole('region', { name: 'Checks' }).getByRole('listitem').first().waitFor();
    for (const [path, heading] of [
      ['/', 'Overview'],
      ['/dashboard', 'Fleet'],
      ['/approvals?state=all', 'Approvals'],
      ['/certificates', 'Certificates'],
      ['/audit', 'Audit trail'],
      ['/sessions', 'Sessions'],
      ['/devices/nobody', 'nobody'],
    ] as const) {
      await page.goto(stack.instance.api_url + path);
      await page.getByRole('heading', { level: 1, name: heading }).waitFor();
      await page.getByText('Live', { exact: true }).waitFor();
    }
    await page.getByRole('button', { name: 'Account of root' }).click();
    await page.getByRole('menuitem', { name: 'Sign out' }).click();
    await page.getByRole('link', { name: 'Sign in to the console' }).waitFor();
    assert.deepEqual(faults, []);
  });
});
