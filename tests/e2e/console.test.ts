// The console in a real browser against a made-up API: what people see and do, and what no page may do.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import type { Page } from 'playwright-core';
import { trustTiers } from '#contracts/states.ts';
import { buildConsole } from '#start/console-build.ts';
import { fakePassword, startFakeApi, type FakeApi } from '#tests/fakes/fake-api.ts';
import { appendAudit, fakeDevice, putUnderReview } from '#tests/fakes/fake-fleet.ts';
import { startBrowser, type Browser, type Look, type Tab } from '#tests/harness/browser.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { judgePage } from '#tests/harness/judge-page.ts';
import { requires } from '#tests/harness/requires.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const dist = join(root, 'web', 'dist');
const screens = { 'a wide screen': { width: 1280, height: 800 }, 'a phone': { width: 390, height: 844 } } as const;
const wide = { scheme: 'light', ...screens['a wide screen'] } as const;
/** Of everything here, which is limited like one test otherwise. */
const limitMs = 600_000;
/** Compressed script that the first view may need. */
const firstViewLimit = 250_000;

describe('the console', { skip: requires('chromium'), timeout: limitMs }, () => {
  const cleanup = cleanupAfterAll();
  let browser: Browser;

  before(
    async () => {
      await buildConsole(root, { PATH: process.env['PATH'] ?? '' }, AbortSignal.timeout(120_000));
      browser = await startBrowser(cleanup);
    },
    { timeout: 150_000 },
  );

  /** A tab and an API of its own, which knows the tab as somebody where one is named. */
  async function prepare(t: TestContext, { as }: { as?: string } = {}) {
    const api = await startFakeApi(t, dist);
    const tab = await browser.open(t, wide);
    if (as !== undefined) await knowAs(tab, api, as);
    return { api, ...tab };
  }

  /** The same, at a page. */
  async function open(t: TestContext, path: string, { as }: { as?: string } = {}) {
    const prepared = await prepare(t, as === undefined ? {} : { as });
    await prepared.page.goto(prepared.api.url + path);
    return prepared;
  }

  /** Signs in past the page for it, which takes two pages longer and has tests of its own. */
  async function knowAs({ context }: Pick<Tab, 'context'>, api: FakeApi, username: string): Promise<void> {
    const answer = await context.request.post(`${api.url}/api/admin/login`, {
      data: { username, password: fakePassword },
    });
    assert.equal(answer.status(), 200);
  }

  async function signIn(page: Page, api: FakeApi, username: string): Promise<void> {
    await page.goto(`${api.url}/login`);
    await page.getByLabel('User name').fill(username);
    await page.getByLabel('Password', { exact: true }).fill(fakePassword);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.waitForURL('**/dashboard');
  }

  const row = (page: Page, deviceId: string) => page.locator(`tr[data-row="${deviceId}"]`);
  const fleetIsShown = (page: Page) => row(page, 'kiosk-berlin-01').waitFor();

  describe('the way in', () => {
    it('shows a visitor at the root what this is and what to do first (UI-01)', async (t) => {
      const { page, faults } = await open(t, '/');
      await page.getByRole('heading', { level: 1, name: 'Know which devices to trust, and why.' }).waitFor();
      await page.getByRole('heading', { name: 'What to do first' }).waitFor();
      await page.getByRole('link', { name: 'Sign in to the console' }).click();
      await page.waitForURL('**/login');
      await page.getByLabel('User name').waitFor();
      assert.deepEqual(faults, []);
    });

    it('shows somebody who has signed in at the root where things stand and the next step (UI-01)', async (t) => {
      const { page, faults } = await open(t, '/', { as: 'admin' });
      await page.getByText('3 reviews wait for a decision').waitFor();
      const numbers = page.getByRole('region', { name: 'Fleet in numbers' });
      assert.match(await numbers.getByRole('link', { name: /Trusted/ }).innerText(), /\b2\b/);
      await page.getByRole('link', { name: 'Open the queue' }).click();
      await page.waitForURL('**/approvals');
      assert.deepEqual(faults, []);
    });

    it('sends a visitor of the dashboard to sign in, and afterwards to where they wanted (UI-02)', async (t) => {
      const { page, faults } = await open(t, '/dashboard?trust_tier=restricted');
      await page.waitForURL(/\/login\?next=/);
      await page.getByText('That page is for people who have signed in.').waitFor();
      await page.getByLabel('User name').fill('approver1');
      await page.getByLabel('Password', { exact: true }).fill('wrong');
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.getByText('User name or password is wrong.').waitFor();
      await page.getByLabel('Password', { exact: true }).fill(fakePassword);
      await page.keyboard.press('Enter');
      await page.waitForURL('**/dashboard?trust_tier=restricted');
      await row(page, 'meter-0042').waitFor();
      assert.equal(await row(page, 'kiosk-berlin-01').count(), 0);
      assert.deepEqual(faults, []);
    });

    it('takes no address of another site as the place to go to after sign-in', async (t) => {
      const { api, page } = await open(t, '/login?next=%2F%5Cevil.example%2F');
      await page.getByLabel('User name').fill('admin');
      await page.getByLabel('Password', { exact: true }).fill(fakePassword);
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.waitForURL(`${api.url}/dashboard`);
    });

    it('asks to sign in again when the session has ended, with the way back, and forgets what it showed', async (t) => {
      const { api, page, faults } = await open(t, '/devices/gate-north-01', { as: 'admin' });
      await page.getByRole('heading', { level: 1, name: /gate-north-01/ }).waitFor();
      api.endSessions();
      await page.waitForURL(/\/login\?.*ended=true/);
      await page.getByText('Your session has ended.').waitFor();
      assert.equal(await page.getByText('gate-north-01').count(), 0);
      assert.match(page.url(), /next=%2Fdevices%2Fgate-north-01/);
      assert.deepEqual(faults, []);
    });

    it('signs out', async (t) => {
      const { page } = await open(t, '/dashboard', { as: 'admin' });
      await fleetIsShown(page);
      await page.getByRole('button', { name: 'Account of admin' }).click();
      await page.getByRole('menuitem', { name: 'Sign out' }).click();
      await page.getByRole('link', { name: 'Sign in to the console' }).waitFor();
      await page.goBack();
      await page.waitForURL(/\/login/);
    });
  });

  describe('the dashboard', () => {
    it('shows trust and attestation of every device as an icon and a word (UI-03)', async (t) => {
      const { page, faults } = await open(t, '/dashboard', { as: 'viewer1' });
      await fleetIsShown(page);
      for (const [id, tier, evidence] of [
        ['gate-north-01', 'Trusted', 'Verified'],
        ['kiosk-berlin-01', 'Monitored', 'Not required'],
        ['meter-0043', 'Observed', 'Stale'],
        ['meter-0042', 'Restricted', 'Failed'],
        ['printer-lobby', 'Revoked', 'Not required'],
      ] as const) {
        const trust = row(page, id).locator('[data-column="trust"]');
        assert.equal((await trust.innerText()).trim(), tier);
        assert.equal(await trust.locator('svg').count(), 1);
        assert.match(
          await row(page, id).locator('[data-column="attestation"]').innerText(),
          new RegExp(`^${evidence}`),
        );
      }
      assert.match(await row(page, 'kiosk-hamburg-02').innerText(), /Rotation required/);
      assert.match(await row(page, 'kiosk-berlin-03').innerText(), /Stale\s+2 min ago/);
      assert.equal(
        await page.getByRole('group', { name: 'Filter by trust tier' }).getByRole('button').count(),
        trustTiers.length + 1,
      );
      assert.deepEqual(faults, []);
    });

    it('changes by itself when something happens (UI-03)', async (t) => {
      const { api, page } = await open(t, '/dashboard', { as: 'viewer1' });
      await fleetIsShown(page);
      await page.getByText('Live', { exact: true }).waitFor();
      const device = fakeDevice('kiosk-berlin-01', Date.now(), { trust_tier: 'revoked' });
      api.fleet.devices.set(device.device_id, device);
      api.emit('device.trust.updated', { kind: 'device', id: device.device_id });
      // Sooner than polling would have found it.
      await row(page, 'kiosk-berlin-01').getByText('Revoked').first().waitFor({ timeout: 3_000 });
    });

    it('keeps filters and search in the address', async (t) => {
      const { page } = await open(t, '/dashboard', { as: 'viewer1' });
      await fleetIsShown(page);
      await page.getByRole('button', { name: /^Restricted/ }).click();
      await page.waitForURL('**/dashboard?trust_tier=restricted');
      await row(page, 'kiosk-berlin-01').waitFor({ state: 'detached' });
      await page.getByLabel('Search', { exact: true }).fill('meter');
      await page.waitForURL('**/dashboard?trust_tier=restricted&search=meter');
      await row(page, 'old-scanner').waitFor({ state: 'detached' });
      await page.reload();
      await row(page, 'meter-0042').waitFor();
      assert.equal(await page.getByLabel('Search', { exact: true }).inputValue(), 'meter');
      await page.getByLabel('Liveness').selectOption('offline');
      await page.getByText('No device matches').waitFor();
      await page.getByRole('button', { name: 'Clear the filters' }).click();
      await fleetIsShown(page);
    });

    it('moves no row while the pointer is over the table, and says so', async (t) => {
      const { api, page } = await open(t, '/dashboard', { as: 'viewer1' });
      await fleetIsShown(page);
      await row(page, 'kiosk-berlin-01').hover();
      api.fleet.devices.delete('gate-north-01');
      api.emit('device.identity.retired', { kind: 'device', id: 'gate-north-01' });
      await page.getByText('Held while you point at the table').waitFor();
      assert.equal(await row(page, 'gate-north-01').count(), 1);
      await page.getByRole('heading', { level: 1 }).hover();
      await row(page, 'gate-north-01').waitFor({ state: 'detached' });
    });

    it('shows in place what changed while the keyboard is in the table, and moves rows when told to (CP-41)', async (t) => {
      const { api, page, faults } = await open(t, '/dashboard', { as: 'viewer1' });
      await fleetIsShown(page);
      await row(page, 'kiosk-berlin-01').getByRole('checkbox').focus();
      api.fleet.devices.delete('gate-north-01');
      api.fleet.devices.set('aaa-new', fakeDevice('aaa-new', Date.now()));
      const device = fakeDevice('kiosk-berlin-01', Date.now(), { trust_tier: 'revoked' });
      api.fleet.devices.set(device.device_id, device);
      api.emit('device.trust.updated', { kind: 'device', id: device.device_id });
      await row(page, 'kiosk-berlin-01').getByText('Revoked').first().waitFor({ timeout: 3_000 });
      assert.equal(await row(page, 'gate-north-01').count(), 1);
      assert.equal(await row(page, 'aaa-new').count(), 0);
      await page.getByRole('button', { name: '2 changes' }).click();
      await row(page, 'aaa-new').waitFor();
      assert.equal(await row(page, 'gate-north-01').count(), 0);
      assert.deepEqual(faults, []);
    });

    it('counts what each filter has, and goes on when counting takes too long (UI-05)', async (t) => {
      const { api, page } = await open(t, '/dashboard', { as: 'viewer1' });
      await fleetIsShown(page);
      const certificate = page.getByLabel('Certificate', { exact: true });
      await certificate.selectOption({ label: 'Rotation required (2)' });
      await page.waitForURL('**/dashboard?rotation=required');
      await row(page, 'kiosk-berlin-01').waitFor({ state: 'detached' });
      await row(page, 'kiosk-hamburg-02').getByText('Rotation required').waitFor();
      await page.getByText('2 devices match, live.').waitFor();
      // Its own filter does not narrow what else there is.
      assert.match(await certificate.innerText(), /Rotation recommended \(1\)/);
      const tiers = page.getByRole('group', { name: 'Filter by trust tier' });
      assert.match(await tiers.getByRole('button', { name: /^Monitored/ }).innerText(), /\b1$/);
      api.counting.fails = true;
      await page.getByLabel('Service', { exact: true }).selectOption('false');
      await page.getByText('Counting takes too long; the list is not affected.').waitFor();
      await row(page, 'kiosk-hamburg-02').waitFor();
      assert.match(await tiers.getByRole('button', { name: /^Monitored/ }).innerText(), /–$/);
    });

    it('shows of which device the hardware is known (UI-05)', async (t) => {
      const { page } = await open(t, '/dashboard', { as: 'viewer1' });
      await fleetIsShown(page);
      await row(page, 'gate-north-01').getByRole('img', { name: 'Hardware is known' }).waitFor();
      assert.equal(await row(page, 'kiosk-berlin-01').getByRole('img', { name: 'Hardware is known' }).count(), 0);
    });

    it('keeps filters under a name, goes to them and forgets them', async (t) => {
      const { api, page, faults } = await open(t, '/dashboard?liveness=stale&order=certificate_end', { as: 'viewer1' });
      await row(page, 'kiosk-berlin-03').waitFor();
      await page.getByRole('button', { name: 'Saved filters' }).click();
      await page.getByRole('menuitem', { name: 'Save and manage…' }).click();
      const dialog = page.getByRole('dialog', { name: 'Saved filters' });
      await dialog.getByText('Stale, Certificate ends first').waitFor();
      await dialog.getByLabel('Name for the present filters').fill('Gone quiet');
      await page.keyboard.press('Enter');
      await dialog.getByRole('button', { name: 'Delete Gone quiet' }).waitFor();
      assert.deepEqual(api.seen.at(-1), {
        method: 'PUT',
        path: '/api/saved-filters/Gone%20quiet',
        body: { query: { liveness: 'stale', order: 'certificate_end' } },
      });
      await page.keyboard.press('Escape');
      await page.goto(`${api.url}/dashboard`);
      await fleetIsShown(page);
      await page.getByRole('button', { name: 'Saved filters' }).click();
      await page.getByRole('menuitem', { name: 'Gone quiet' }).click();
      await page.waitForURL(/liveness=stale/);
      await row(page, 'kiosk-berlin-01').waitFor({ state: 'detached' });
      await page.getByRole('button', { name: 'Saved filters' }).click();
      await page.getByRole('menuitem', { name: 'Save and manage…' }).click();
      await dialog.getByRole('button', { name: 'Delete Gone quiet' }).click();
      await dialog.getByRole('button', { name: 'Delete Gone quiet' }).waitFor({ state: 'detached' });
      assert.deepEqual(faults, []);
    });

    it('retires many devices at once, after their number was typed, and says what became of each', async (t) => {
      const { api, page, faults } = await open(t, '/dashboard?search=kiosk', { as: 'admin' });
      await fleetIsShown(page);
      await row(page, 'kiosk-berlin-01').getByRole('checkbox').click();
      await row(page, 'kiosk-hamburg-01')
        .getByRole('checkbox')
        .click({ modifiers: ['Shift'] });
      const bar = page.getByRole('region', { name: 'Selection' });
      await bar.getByText('4 devices selected').waitFor();
      await row(page, 'kiosk-berlin-02').getByRole('checkbox').click();
      await bar.getByText('3 devices selected').waitFor();
      api.refuse.add('kiosk-berlin-03');
      await bar.getByRole('button', { name: 'Retire…' }).click();
      const dialog = page.getByRole('dialog');
      const button = dialog.getByRole('button', { name: 'Retire the device of 3 devices' });
      await dialog.getByLabel('Type 3 to confirm').fill('2');
      assert.equal(await button.isDisabled(), true);
      await dialog.getByLabel('Type 3 to confirm').fill('3');
      await dialog.getByLabel('Reason').fill('Sold');
      await button.click();
      await dialog.getByText('2 done, 1 failed.').waitFor();
      await dialog.getByRole('list', { name: 'Failed' }).getByText('kiosk-berlin-03').waitFor();
      assert.deepEqual(
        api.seen.map(({ path, body }) => [path, body] as const).toSorted(([a], [b]) => a.localeCompare(b)),
        ['kiosk-berlin-01', 'kiosk-berlin-03', 'kiosk-hamburg-01'].map((id) => [
          `/api/devices/${id}/retire`,
          { reason: 'Sold' },
        ]),
      );
      await dialog.getByRole('button', { name: 'Done' }).click();
      await row(page, 'kiosk-berlin-01').getByText('Retired').waitFor();
      assert.deepEqual(faults, []);
    });

    it('selects all that match, page after page, takes them along as CSV, and offers nobody what they may not', async (t) => {
      const { api, page, faults } = await prepare(t, { as: 'viewer1' });
      for (let index = 1; index <= 1_200; index += 1) {
        const id = `bulk-${String(index).padStart(4, '0')}`;
        api.fleet.devices.set(id, fakeDevice(id, Date.now()));
      }
      await page.goto(`${api.url}/dashboard?search=bulk`);
      await row(page, 'bulk-0001').waitFor();
      await page.getByRole('checkbox', { name: 'Select all on this page' }).click();
      const bar = page.getByRole('region', { name: 'Selection' });
      await bar.getByText('50 devices selected').waitFor();
      await bar.getByRole('button', { name: 'Select all 1,200' }).click();
      await bar.getByText('1,200 devices selected').waitFor();
      assert.equal(await bar.getByRole('button', { name: 'Revoke…' }).isDisabled(), true);
      await bar.getByRole('button', { name: 'Take along' }).click();
      const [file] = await Promise.all([
        page.waitForEvent('download'),
        page.getByRole('menuitem', { name: 'As CSV' }).click(),
      ]);
      const text = await readFile(await file.path(), 'utf8');
      assert.equal(text.trim().split('\r\n').length, 1_201);
      await bar.getByRole('button', { name: 'Clear the selection' }).click();
      await bar.waitFor({ state: 'detached' });
      assert.deepEqual(faults, []);
    });

    it('goes through a fleet that is larger than a page by its cursor', async (t) => {
      const { api, page } = await prepare(t, { as: 'viewer1' });
      for (let index = 1; index <= 300; index += 1) {
        const id = `bulk-${String(index).padStart(4, '0')}`;
        api.fleet.devices.set(id, fakeDevice(id, Date.now()));
      }
      await page.goto(`${api.url}/dashboard?limit=150&search=bulk`);
      await row(page, 'bulk-0001').waitFor();
      const rendered = await page.locator('tr[data-row]').count();
      assert.ok(rendered < 100, `only rows near the view are rendered, not ${rendered}`);
      const next = page.getByRole('button', { name: 'Next page' });
      await next.scrollIntoViewIfNeeded();
      // The rows at the end take their real height when they come into view, and move what is below them.
      await row(page, 'bulk-0150').waitFor();
      await next.click();
      await page.waitForURL(/cursor=/);
      await row(page, 'bulk-0151').waitFor();
      await page.goBack();
      // The browser goes back to where the page was scrolled to, if it is tall enough in time.
      await page.locator('tr[data-row="bulk-0001"], tr[data-row="bulk-0150"]').first().waitFor();
    });

    it('says that the connection is lost, keeps what it knew, and recovers by itself', async (t) => {
      const { api, page } = await open(t, '/dashboard', { as: 'viewer1' });
      await fleetIsShown(page);
      api.setDown(true);
      await page.getByText('Connection lost').waitFor({ timeout: 15_000 });
      assert.equal(await row(page, 'kiosk-berlin-01').count(), 1);
      api.setDown(false);
      await page.getByText('Connection lost').waitFor({ state: 'detached', timeout: 20_000 });
      await page.getByText('Live', { exact: true }).waitFor({ timeout: 20_000 });
    });

    it('says what to do when there is no device yet', async (t) => {
      const { api, page } = await prepare(t, { as: 'viewer1' });
      api.fleet.devices.clear();
      await page.goto(`${api.url}/dashboard`);
      await page.getByText('No device has been heard yet').waitFor();
      await page.getByText('sentinel ca issue my-device').waitFor();
    });
  });

  describe('reviews', () => {
    it('approves an enrollment from the dashboard, with the digest of what was shown (UI-04)', async (t) => {
      const { api, page, faults } = await open(t, '/dashboard', { as: 'approver1' });
      await page.getByRole('button', { name: 'Review kiosk-munich-01' }).click();
      const dialog = page.getByRole('dialog', { name: 'Enrollment of kiosk-munich-01' });
      const digest = api.fleet.devices.get('kiosk-munich-01')?.pending_review?.digest ?? '';
      await dialog.getByText(digest).waitFor();
      await dialog.getByLabel('Reason').fill('Unpacked it myself');
      await dialog.getByRole('button', { name: 'Approve' }).click();
      await dialog.waitFor({ state: 'detached' });
      await row(page, 'kiosk-munich-01').getByText('Approved').waitFor();
      assert.deepEqual(api.seen, [
        {
          method: 'POST',
          path: '/api/devices/kiosk-munich-01/identity-review',
          body: { decision: 'approve', digest, reason: 'Unpacked it myself' },
        },
      ]);
      await page.getByText('Your approval is recorded').waitFor();
      assert.deepEqual(faults, []);
    });

    it('rejects a rotation from the device page, where it shows what would be replaced (UI-04)', async (t) => {
      const { api, page } = await open(t, '/devices/gate-south-01', { as: 'approver1' });
      const device = api.fleet.devices.get('gate-south-01');
      const review = page.getByRole('region', { name: 'Pending review' });
      await review.getByRole('columnheader', { name: 'Pinned now' }).waitFor();
      await review.getByText(device?.certificate?.fingerprint_sha256 ?? '').waitFor();
      await review.getByText(device?.candidate_certificate?.fingerprint_sha256 ?? '').waitFor();
      await review.getByRole('button', { name: 'Reject' }).click();
      await review.waitFor({ state: 'detached' });
      assert.equal(api.seen[0]?.path, '/api/devices/gate-south-01/identity-review');
      assert.deepEqual(api.seen[0]?.body, { decision: 'reject', digest: device?.pending_review?.digest });
    });

    it('counts the votes of several people in the queue, and lets nobody vote twice', async (t) => {
      const { api, page } = await open(t, '/approvals', { as: 'approver2' });
      const card = page.getByRole('region', { name: 'Enrollment' }).filter({ hasText: 'vault-door-01' });
      await card.getByText('1 of 2 approvals').waitFor();
      await card.getByText('You have voted to approve. One more person has to approve.').waitFor();
      assert.equal(await card.getByRole('button', { name: 'Approve' }).count(), 0);
      assert.deepEqual(api.seen, []);
    });

    it('offers nobody to decide what they asked for', async (t) => {
      const { api, page } = await prepare(t, { as: 'admin' });
      const device = fakeDevice('own-request', Date.now(), { approval_state: 'pending', certificate: null });
      const approval = putUnderReview(api.fleet, device, Date.now(), {
        kind: 'enrollment',
        required: 1,
        requestedBy: { kind: 'user', id: 'admin' },
      });
      await page.goto(`${api.url}/approvals/${approval.id}`);
      await page.getByText('You asked for this, and nobody decides what they asked for.').waitFor();
      assert.equal(await page.getByRole('button', { name: 'Approve' }).count(), 0);
    });

    it('says with code and request id when what was up for approval has changed', async (t) => {
      const { api, page } = await open(t, '/devices/kiosk-munich-01', { as: 'approver1' });
      const review = page.getByRole('region', { name: 'Pending review' });
      await review.getByRole('button', { name: 'Approve' }).waitFor();
      const device = api.fleet.devices.get('kiosk-munich-01');
      const approval = api.fleet.approvals.get(device?.pending_review?.id ?? '');
      assert.ok(approval);
      api.fleet.approvals.set(approval.id, { ...approval, digest: 'f'.repeat(64) });
      await review.getByRole('button', { name: 'Approve' }).click();
      const problem = review.getByRole('alert').filter({ hasText: 'Your vote was not recorded' });
      await problem.getByText('review.changed').waitFor();
      await problem.getByText('Look at the review again and vote on its present digest.').waitFor();
      await problem.getByRole('button', { name: 'Copy the request id' }).waitFor();
      // Nothing is voted on that was not on the screen before.
      await review.getByText('f'.repeat(64)).waitFor();
      assert.equal(await review.getByRole('button', { name: 'Approve' }).count(), 0);
      await review.getByRole('button', { name: 'I have read it again' }).click();
      await review.getByRole('button', { name: 'Approve' }).click();
      await review.waitFor({ state: 'detached' });
      assert.equal(api.seen.at(-1)?.body['digest'], 'f'.repeat(64));
    });

    it('sets the certificate that is pinned beside the one that would replace it, and marks what differs (CP-37)', async (t) => {
      const { page, faults } = await open(t, '/approvals?kind=rotation', { as: 'approver1' });
      const table = page.getByRole('table', { name: /^The certificate that is pinned now/ });
      const line = (name: string) => table.getByRole('row').filter({ hasText: name });
      await line('Fingerprint').getByText('Changed').waitFor();
      await line('Issuer').getByText('Same').waitFor();
      await page.getByText('Anyone with identity.review (approver, security or admin), once each.').waitFor();
      assert.deepEqual(faults, []);
    });

    it('says what approving other hardware means, beside the key and hardware that the device is bound to (AT-15)', async (t) => {
      const { api, page, faults } = await prepare(t, { as: 'approver1' });
      const device = api.fleet.devices.get('gate-north-02');
      assert.ok(device);
      const key = 'e1'.repeat(34);
      const asked = (hardware: string | null) =>
        putUnderReview(api.fleet, device, Date.now(), {
          kind: 'hardware',
          required: 1,
          hardware: { provider: 'tpm_quote_v1', key_id: key, binding_id: hardware, manufacturer: 'IFX' },
        });
      const { id } = asked(device.hardware_identity);
      await page.goto(`${api.url}/approvals/${id}`);
      const claim = page.getByRole('region', { name: 'Attestation key and hardware' });
      await claim.getByText(/^The hardware stays the same/).waitFor();
      const line = (name: string) => claim.getByRole('row').filter({ hasText: name });
      await line('Attestation key').getByText('Changed').waitFor();
      await line('Attestation key').getByText(key).waitFor();
      await line('Hardware').last().getByText('Same').waitFor();
      await claim.getByText('IFX').waitFor();

      asked('tpm:another');
      await page.goto(`${api.url}/dashboard`);
      await page.getByRole('button', { name: 'Review gate-north-02' }).click();
      const dialog = page.getByRole('dialog');
      await dialog.getByText(/^This is not the hardware that the device is bound to/).waitFor();
      await dialog.getByText('tpm:another').waitFor();
      assert.deepEqual(faults, []);
    });

    it('is a queue for the keyboard, and moves nothing under the pointer (CP-37)', async (t) => {
      const { api, page, faults } = await open(t, '/approvals', { as: 'approver1' });
      const reviews = page.locator('[data-review]');
      await reviews.nth(2).waitFor();
      const focused = () => page.evaluate(() => document.activeElement?.getAttribute('data-review'));
      const ids = await reviews.evaluateAll((all) => all.map((one) => one.getAttribute('data-review')));
      for (const [key, index] of [
        ['j', 0],
        ['j', 1],
        ['j', 2],
        ['j', 2],
        ['k', 1],
      ] as const) {
        await page.keyboard.press(key);
        assert.equal(await focused(), ids[index], `${key} to ${index}`);
      }
      await reviews.nth(0).hover();
      putUnderReview(api.fleet, fakeDevice('latecomer', Date.now()), Date.now(), { kind: 'enrollment', required: 1 });
      const first = api.fleet.approvals.get(ids[0] ?? '');
      assert.ok(first);
      const vote = { by: 'approver2', decision: 'approve', reason: null, at: new Date().toISOString() } as const;
      api.fleet.approvals.set(first.id, { ...first, required_approvals: 2, votes: [vote] });
      api.emit('approval.opened', { kind: 'approval', id: first.id });
      await reviews.nth(0).getByText('1 of 2 approvals').waitFor();
      await page.getByText('Held while you point at the table').waitFor();
      assert.equal(await reviews.count(), ids.length);
      await page.getByRole('button', { name: '1 change' }).click();
      await page.getByRole('link', { name: 'latecomer' }).waitFor();
      assert.deepEqual(faults, []);
    });

    it('says why a person without the permission may not decide', async (t) => {
      const { page } = await open(t, '/approvals', { as: 'viewer1' });
      await page.getByText('This needs the permission identity.review').first().waitFor();
      assert.equal(await page.getByRole('button', { name: 'Approve' }).count(), 0);
    });
  });

  describe('the certificates', () => {
    it('show the one that ends first at the top, with the urgency of its rotation (HB-13, UI-05)', async (t) => {
      const { page, faults } = await open(t, '/certificates', { as: 'viewer1' });
      const rows = page.locator('tr[data-row]');
      await rows.first().waitFor();
      const ids = await rows.evaluateAll((all) => all.map((one) => one.getAttribute('data-row')?.split(' ')[0]));
      assert.deepEqual(ids.slice(0, 3), ['kiosk-lapsed-01', 'kiosk-hamburg-02', 'kiosk-hamburg-01']);
      assert.match(await rows.nth(0).innerText(), /Expired 3 d ago/);
      assert.match(await rows.nth(1).innerText(), /Rotation required/);
      await page.getByRole('button', { name: 'Expired', exact: true }).click();
      await page.waitForURL('**/certificates?expired=true');
      await rows.nth(1).waitFor({ state: 'detached' });
      await page.getByRole('button', { name: 'Under review' }).click();
      await page.getByRole('link', { name: 'kiosk-munich-01' }).waitFor();
      await page.getByLabel('Search', { exact: true }).fill('nothing like it');
      await page.getByText('No certificate matches').waitFor();
      await page.getByRole('button', { name: 'Show all certificates' }).click();
      await page.getByRole('link', { name: 'kiosk-lapsed-01' }).click();
      await page.waitForURL('**/devices/kiosk-lapsed-01');
      assert.deepEqual(faults, []);
    });

    it('draw how many end when, and each bar is the filter of the list, by keyboard too (UI-05)', async (t) => {
      const { api, page, faults } = await open(t, '/certificates', { as: 'viewer1' });
      const plan = page.getByRole('region', { name: 'When they end' });
      const bars = plan.getByRole('list', { name: 'Pinned certificates by the week in which they end' });
      await bars.getByRole('listitem').first().waitFor();
      assert.equal(await bars.getByRole('listitem').count(), 15, 'those without a certificate too');
      const numbers = await bars.getByRole('listitem').allInnerTexts();
      const drawn = numbers.reduce(
        (sum, text) => sum + Number(/\b\d+(?=\s)/.exec(text.split(': ')[1] ?? '')?.[0] ?? 0),
        0,
      );
      const pinned = [...api.fleet.devices.values()].filter(({ certificate }) => certificate !== null);
      assert.equal(drawn, pinned.length);

      const ended = bars.getByRole('link', { name: 'Have ended: 1 certificate, rotation required for 1' });
      await ended.focus();
      await page.keyboard.press('Enter');
      await page.waitForURL((url) => url.searchParams.get('expired') === 'true');
      assert.equal(new URL(page.url()).searchParams.get('role'), 'pinned');
      const rows = page.locator('tr[data-row]');
      await rows.nth(1).waitFor({ state: 'detached' });
      assert.match(await rows.first().innerText(), /kiosk-lapsed-01/);
      assert.equal(await ended.getAttribute('aria-current'), 'true');

      await plan.getByRole('button', { name: 'Months' }).click();
      await page.waitForURL(/plan=month/);
      const months = plan.getByRole('list', { name: 'Pinned certificates by the month in which they end' });
      const last = months.getByRole('link').last();
      const counted = Number(/: (\d+) certificate/.exec(await last.innerText())?.[1]);
      await last.click();
      await page.waitForURL(/not_after_from=/);
      await page.getByText(`${counted} certificates that match on this page`).waitFor();
      await page.getByRole('button', { name: /^Ends .*: show all times$/ }).click();
      await page.waitForURL((url) => !url.search.includes('not_after'));
      await plan.getByRole('link', { name: 'Expired' }).click();
      await page.waitForURL((url) => url.searchParams.get('expired') === 'true');
      assert.equal(new URL(page.url()).searchParams.get('plan'), 'month');
      assert.deepEqual(faults, []);
    });
  });

  describe('the device page', () => {
    it('shows why its evidence stands where it stands, what it is bound to and its last verdicts (AT-15)', async (t) => {
      const { page, faults } = await open(t, '/devices/meter-0042', { as: 'viewer1' });
      const panel = page.getByRole('region', { name: 'Attestation and hardware' });
      await panel.getByText(/^Its last evidence was refused \(“PCR 7 does not fit the baseline”\)/).waitFor();
      await panel.getByText('Measurement signed by the agent').waitFor();
      await panel.getByRole('button', { name: 'Copy the bound key' }).waitFor();
      await panel.getByRole('list', { name: 'Last verdicts' }).getByText('Refused').waitFor();
      assert.deepEqual(faults, []);
    });

    it('says in words why a device stands where it stands', async (t) => {
      const { page } = await open(t, '/devices/meter-0042', { as: 'viewer1' });
      const why = page.getByRole('region', { name: 'Why it is restricted' });
      await why.getByText('PCR 7 does not fit the baseline').first().waitFor();
      const href = await page.getByRole('button', { name: 'Workflow' }).getAttribute('href');
      assert.equal(href, null, 'a viewer has no permission to look at workflows');
    });

    it('revokes a certificate only after its device was named', async (t) => {
      const { api, page, faults } = await open(t, '/devices/kiosk-berlin-01', { as: 'admin' });
      assert.match(
        (await page.getByRole('link', { name: 'Workflow' }).getAttribute('href')) ?? '',
        /^http:\/\/localhost:\d+\/temporal\/namespaces\/default\/workflows\/device%2Fdefault%2Fkiosk-berlin-01$/,
      );
      await page.getByRole('button', { name: 'Revoke the certificate…' }).click();
      const dialog = page.getByRole('dialog', { name: 'Revoke the certificate' });
      const button = dialog.getByRole('button', { name: 'Revoke the certificate' });
      await dialog.getByLabel('Type kiosk-berlin-01 to confirm').fill('kiosk-berlin-02');
      assert.equal(await button.isDisabled(), true);
      await dialog.getByLabel('Type kiosk-berlin-01 to confirm').fill('kiosk-berlin-01');
      await dialog.getByLabel('Reason').fill('Key was copied');
      await button.click();
      await page.getByRole('heading', { level: 1, name: /Revoked/ }).waitFor();
      assert.deepEqual(api.seen, [
        {
          method: 'POST',
          path: '/api/devices/kiosk-berlin-01/certificate/revoke',
          body: {
            reason: 'Key was copied',
            fingerprint_sha256: api.fleet.devices.get('kiosk-berlin-01')?.certificate?.fingerprint_sha256,
          },
        },
      ]);
      assert.deepEqual(faults, []);
    });

    it('shows all that happened in one timeline, by kind, and says that a device does not exist', async (t) => {
      const { api, page } = await open(t, '/devices/gate-north-01', { as: 'viewer1' });
      await page.getByRole('tab', { name: 'Timeline' }).click();
      await page.waitForURL(/tab=timeline/);
      const entries = page.getByRole('list', { name: 'What happened, newest first' }).getByRole('listitem');
      await entries.filter({ hasText: 'Device first contact' }).waitFor();
      await entries.filter({ hasText: 'Device identity approved' }).waitFor();
      assert.match(await entries.first().innerText(), /^Heard again after 30 min of silence/);
      await page.getByRole('img', { name: /^In the last 24 hours it was silent 2 times, 3 h 30 min in all/ }).waitFor();
      await page.getByRole('button', { name: 'Heartbeats' }).click();
      await page.waitForURL(/kind=heartbeat/);
      await entries.filter({ hasText: 'Device identity approved' }).waitFor({ state: 'detached' });
      await page.getByRole('button', { name: 'Audit' }).click();
      await entries.filter({ hasText: 'Device identity approved' }).getByText('Details').click();
      await page.getByText('Hash', { exact: true }).first().waitFor();
      await page.getByRole('button', { name: 'Everything' }).click();
      const before = await entries.count();
      appendAudit(api.fleet, {
        occurred_at: new Date().toISOString(),
        category: 'identity',
        action: 'device.identity.reset',
        actor: { kind: 'user', id: 'security1', ip: null },
        subject: { kind: 'device', id: 'gate-north-01' },
        outcome: 'success',
        details: {},
        request_id: null,
      });
      await entries.nth(1).hover();
      api.emit('device.identity.reset', { kind: 'device', id: 'gate-north-01' });
      await page.getByText('Held while you point at it').waitFor();
      assert.equal(await entries.count(), before, 'no row moves under the pointer');
      await page.getByRole('heading', { level: 1 }).hover();
      await entries.filter({ hasText: 'Device identity reset' }).waitFor();
      await page.goto(`${api.url}/devices/nobody`);
      await page.getByText('There is no such device in this project').waitFor();
    });
  });

  it('shows every part and how they hang together, and says what to do about those that are not well', async (t) => {
    const { page, faults } = await open(t, '/health', { as: 'viewer1' });
    await page.getByText('It works in part').waitFor();
    const parts = page.getByRole('list', { name: 'Parts of the installation' });
    for (const [part, state] of [
      ['API', 'OK'],
      ['Postgres', 'OK'],
      ['Temporal', 'Degraded'],
      ['Worker', 'Degraded'],
      ['Sealer', 'OK'],
    ] as const) {
      await parts
        .getByRole('listitem')
        .filter({ hasText: new RegExp(`^${part}${state}`) })
        .waitFor();
    }
    await parts.getByText('Postgres: commits').waitFor();
    await page.getByRole('region', { name: 'Checks' }).getByText('See whether the worker process runs').waitFor();
    assert.deepEqual(faults, []);
  });

  it('finds devices and pages by keyboard alone', async (t) => {
    const { page, faults } = await open(t, '/health', { as: 'viewer1' });
    await page.getByText('It works in part').waitFor();
    await page.keyboard.press('Control+K');
    await page.getByPlaceholder('Device name, host name or page').fill('berlin-03');
    await page.getByText('Monitored · ').waitFor();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/devices/kiosk-berlin-03');
    assert.deepEqual(faults, []);
  });

  it('verifies the audit trail, filters it, and exports what the filters let through (CP-39)', async (t) => {
    const { page } = await open(t, '/audit', { as: 'viewer1' });
    await page.getByRole('button', { name: 'Verify from the start' }).click();
    await page.getByText('The chain is intact').waitFor();
    await page.getByLabel('Outcome').selectOption('refused');
    await page.waitForURL('**/audit?outcome=refused');
    await page.locator('tr[data-row]').filter({ hasText: 'mallory' }).waitFor();
    await page.getByRole('button', { name: 'Export' }).click();
    const file = page.getByRole('menuitem', { name: 'CSV, for a spreadsheet' });
    assert.equal(await file.getAttribute('href'), '/api/audit/export?outcome=refused&format=csv');
  });

  it('ends another session of the same person', async (t) => {
    const { api, page, context } = await prepare(t, { as: 'admin' });
    const other = await context.request.post(`${api.url}/api/admin/login`, {
      headers: { 'user-agent': 'sentinel-cli/0.1.0' },
      data: { username: 'admin', password: fakePassword },
    });
    assert.equal(other.status(), 200);
    // That call has replaced the cookie: this tab is the second session.
    await page.goto(`${api.url}/sessions`);
    await page.getByText('Sentinel command line').waitFor();
    await page.getByRole('button', { name: 'End the session of admin from 127.0.0.1' }).click();
    await page.getByRole('button', { name: 'End the session of admin from 127.0.0.1' }).waitFor({ state: 'detached' });
    const own = page.getByRole('region', { name: 'Your sessions' });
    assert.equal(await own.locator('tr[data-row]').count(), 1);
  });

  it('ends the session of somebody else for those who may, and shows others none', async (t) => {
    const { api, page, context } = await prepare(t, { as: 'admin' });
    const other = await fetch(`${api.url}/api/admin/login`, {
      method: 'POST',
      headers: { 'user-agent': 'curl/8' },
      body: JSON.stringify({ username: 'viewer1', password: fakePassword }),
    });
    assert.equal(other.status, 200);
    await page.goto(`${api.url}/sessions`);
    await page.getByRole('button', { name: 'End the session of viewer1 from 127.0.0.1' }).click();
    await page
      .getByRole('button', { name: 'End the session of viewer1 from 127.0.0.1' })
      .waitFor({ state: 'detached' });
    await context.clearCookies();
    await knowAs({ context }, api, 'viewer1');
    await page.goto(`${api.url}/sessions`);
    await page.getByRole('region', { name: 'Your sessions' }).locator('tr[data-row]').first().waitFor();
    assert.equal(await page.getByRole('region', { name: 'Sessions of others' }).count(), 0);
  });

  it('needs less than 250 KB of compressed script for its first view', async (t) => {
    const api = await startFakeApi(t, dist);
    /** In a browser that has kept nothing. */
    async function bytesUntil(tab: Tab, path: string, isShown: (page: Page) => Promise<unknown>): Promise<number> {
      const scripts: string[] = [];
      tab.page.on('request', (request) => {
        const { pathname } = new URL(request.url());
        if (pathname.endsWith('.js')) scripts.push(pathname);
      });
      await tab.page.goto(api.url + path);
      await isShown(tab.page);
      const bodies = await Promise.all(scripts.map((script) => readFile(join(dist, script))));
      return bodies.reduce((sum, body) => sum + gzipSync(body).length, 0);
    }
    const visitor = await browser.open(t, wide);
    const landing = await bytesUntil(visitor, '/', (page) => page.getByRole('heading', { level: 1 }).waitFor());
    const person = await browser.open(t, wide);
    await knowAs(person, api, 'admin');
    const dashboard = await bytesUntil(person, '/dashboard', fleetIsShown);
    t.diagnostic(`landing ${landing} bytes, dashboard ${dashboard} bytes`);
    assert.ok(landing < firstViewLimit && dashboard < firstViewLimit, `landing ${landing}, dashboard ${dashboard}`);
  });

  it('would be caught if it broke the policy', async (t) => {
    const { page, faults } = await open(t, '/login');
    await page.evaluate(() => document.body.insertAdjacentHTML('beforeend', '<p style="color: red">x</p>'));
    assert.match(faults.join('\n'), /Content Security Policy/);
  });

  // Judging a page keeps one core busy.
  describe('every page keeps the policy, is accessible and fits', { concurrency: 2, timeout: limitMs }, () => {
    for (const [name, screen] of Object.entries(screens)) {
      describe(`on ${name}, light and dark`, { concurrency: false }, () => {
        const ofAll = cleanupAfterAll();
        let api: FakeApi;
        let tab: Tab;
        const schemes: Look['scheme'][] = ['light', 'dark'];

        before(async () => {
          api = await startFakeApi(ofAll, dist);
          tab = await browser.open(ofAll, { ...screen, scheme: 'light' });
        });

        function judged(what: string, reach: (page: Page) => Promise<unknown>): void {
          it(what, async () => {
            await reach(tab.page);
            await isRead(tab.page);
            for (const scheme of schemes) {
              await tab.page.emulateMedia({ colorScheme: scheme });
              await tab.page.locator(`html[data-mantine-color-scheme="${scheme}"]`).waitFor();
              await colorsAreFinal(tab.page);
              await judgePage(tab.page, scheme);
            }
            // The next page begins in the scheme in which this one ends, so that pages are loaded in either.
            schemes.reverse();
            assert.deepEqual(tab.faults.splice(0), []);
          });
        }

        judged('as a visitor', (page) => page.goto(api.url));
        judged('at sign-in', (page) => page.goto(`${api.url}/login?next=%2Faudit`));
        judged('after sign-in', (page) => signIn(page, api, 'admin'));
        for (const path of [
          '/',
          '/dashboard',
          '/dashboard?search=nothing',
          '/devices/vault-door-01',
          '/devices/gate-north-01',
          '/devices/kiosk-berlin-03?tab=timeline',
          '/devices/gate-north-01?tab=timeline&kind=heartbeat',
          '/devices/gate-north-01?tab=json',
          '/devices/nobody',
          '/approvals',
          '/approvals?state=all',
          '/certificates',
          '/certificates?search=nothing',
          '/certificates?plan=month&expired=true&role=pinned',
          '/audit',
          '/sessions',
          '/health',
          '/nowhere',
        ]) {
          judged(`at ${path}`, (page) => page.goto(api.url + path));
        }
        judged('at a review', (page) => page.goto(`${api.url}/approvals/${[...api.fleet.approvals.keys()][0]}`));
        judged('in the review dialog', async (page) => {
          await page.goto(`${api.url}/dashboard`);
          await page.getByRole('button', { name: 'Review kiosk-munich-01' }).click();
          await page.getByRole('dialog').getByRole('button', { name: 'Approve' }).waitFor();
        });
        judged('at a review of hardware', async (page) => {
          const device = api.fleet.devices.get('gate-north-02');
          assert.ok(device);
          const hardware = {
            provider: 'tpm_quote_v1',
            key_id: 'e1'.repeat(34),
            binding_id: 'other',
            manufacturer: 'IFX',
          };
          const { id } = putUnderReview(api.fleet, device, Date.now(), { kind: 'hardware', required: 1, hardware });
          await page.goto(`${api.url}/approvals/${id}`);
          await page.getByRole('table', { name: /^What the device is bound to now/ }).waitFor();
        });
        judged('in the account menu', async (page) => {
          await page.keyboard.press('Escape');
          await page.getByRole('button', { name: 'Account of admin' }).click();
          await page.getByRole('menuitem', { name: 'Sign out' }).waitFor();
        });
        judged('in the search', async (page) => {
          await page.keyboard.press('Escape');
          await page.keyboard.press('Control+K');
          await page.getByPlaceholder('Device name, host name or page').waitFor();
        });
      });
    }
  });
});

async function isRead(page: Page): Promise<void> {
  await page.getByRole('heading', { level: 1, includeHidden: true }).first().waitFor();
  await page.locator('[aria-label^="Reading"], [aria-label^="Opening"]').first().waitFor({ state: 'detached' });
}

/** A change of scheme fades; without motion too this takes a frame, and one more for what inherits the colour. */
function colorsAreFinal(page: Page): Promise<void> {
  return page.evaluate(async () => {
    do await new Promise((resolve) => requestAnimationFrame(resolve));
    while (document.getAnimations().length > 0);
  });
}
