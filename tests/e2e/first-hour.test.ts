// The first hour of somebody who has read nothing: start it, sign in, decide what waits, stop an agent, see why it is stale.
// Everything they type or press is what the screen before has told them.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import type { Page } from 'playwright-core';
import { startBrowser } from '#tests/harness/browser.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { npmStart, placeForStart, repository } from '#tests/harness/npm-start.ts';
import { requires } from '#tests/harness/requires.ts';
import { eventually } from '#tests/harness/eventually.ts';

const run = promisify(execFile);

describe('the first hour', { skip: requires('chromium') }, () => {
  const cleanup = cleanupAfterAll();

  it('leads from npm start to a device that is approved, stopped, and explained', { timeout: 300_000 }, async (t) => {
    const place = await placeForStart(cleanup);
    const pace = { SENTINEL_HEARTBEAT_INTERVAL_SECONDS: '1', SENTINEL_DEVICE_STALE_SECONDS: '5' };
    const started = npmStart({ ...place, settings: { ...place.settings, ...pace } }, '--demo', '1');
    await started.ready();
    const screen = await eventually(
      () => started.output().includes('Ctrl-C') && started.output(),
      'the screen is whole',
      10_000,
    );

    // The screen says where the console is, who signs in, and where the password is.
    const console_ = said(screen, /Console +(https:\S+)/);
    const account = said(screen, /Sign in +(\w+), with the password in/);
    const passwordFile = said(screen, /with the password in (\S+)/);
    const approver = said(screen, /Approvers +\w+, (\w+)/);
    const browser = await startBrowser(cleanup);
    const { page, faults } = await browser.open(t, { scheme: 'light', width: 1280, height: 800 });

    await page.goto(console_);
    await page.getByRole('heading', { name: 'What to do first' }).waitFor();
    const issue = said(await page.getByRole('main').innerText(), /(npx \S+ sentinel ca issue my-device \S+ \S+)/);
    await page.getByRole('link', { name: 'Sign in to the console' }).click();
    await signIn(page, account, await readFile(passwordFile, 'utf8'));

    // The command that the first page shows makes a device, and says how to run an agent with it.
    const folder = join(dirname(place.home), 'my-device');
    const here = { cwd: repository, env: { ...process.env, ...place.settings, SENTINEL_HOME: place.home } };
    const issued = await run('npx', issue.replace(/\S+$/, folder).split(' ').slice(1), here);
    const agent = spawn('npm', said(issued.stderr, /(run agent .*)/).split(' '), {
      ...here,
      stdio: 'ignore',
      detached: true,
    });
    /** As a terminal does: everything that the command has started. */
    const interrupt = (): void => void process.kill(-(agent.pid ?? assert.fail('npm did not start')), 'SIGINT');
    cleanup.after(() => (agent.exitCode === null && agent.signalCode === null ? interrupt() : undefined));

    // The overview says that decisions wait, the queue what exactly they are about.
    await page.getByRole('link', { name: 'Overview' }).click();
    await page.getByText('2 reviews wait for a decision').waitFor({ timeout: 30_000 });
    await page.getByRole('button', { name: `Account of ${account}` }).click();
    await page.getByRole('menuitem', { name: 'Sign out' }).click();

    // A second account, whose password is beside the first one's, decides.
    await page.getByRole('link', { name: 'Sign in to the console' }).click();
    await signIn(page, approver, await readFile(passwordFile.replace(account, approver), 'utf8'));
    await page.getByRole('link', { name: 'Overview' }).click();
    await page.getByRole('link', { name: 'Open the queue' }).click({ timeout: 30_000 });
    const request = page.getByRole('region', { name: 'Enrollment' }).filter({ hasText: 'my-device' });
    await request.getByRole('button', { name: 'Approve' }).click();
    await request.waitFor({ state: 'detached', timeout: 30_000 });

    await page.getByRole('link', { name: 'Fleet' }).first().click();
    const row = page.locator('tr[data-row="my-device"]');
    await row.getByText('Monitored').waitFor({ timeout: 30_000 });
    await row.getByText('Online').waitFor({ timeout: 30_000 });

    // The agent is stopped: the table says so by itself, and the page of the device says why.
    const stopped = once(agent, 'exit');
    interrupt();
    await stopped;
    await row.getByText('Stale').waitFor({ timeout: 30_000 });
    await row.getByRole('link', { name: 'my-device' }).click();
    await page.getByRole('heading', { level: 1, name: /my-device/ }).waitFor({ timeout: 30_000 });
    await page
      .getByText(/its agent has stopped, cannot reach this server, or is refused\. That does not change its tier/)
      .first()
      .waitFor();
    assert.deepEqual(faults, []);

    started.npm.kill('SIGINT');
    assert.deepEqual(await started.ended(), [0, null]);
  });
});

function said(screen: string, pattern: RegExp): string {
  const found = pattern.exec(screen)?.[1];
  assert.ok(found !== undefined, `the screen does not say ${pattern.source}:\n${screen}`);
  return found;
}

async function signIn(page: Page, username: string, password: string): Promise<void> {
  await page.getByLabel('User name').fill(username);
  await page.getByLabel('Password', { exact: true }).fill(password.trim());
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForURL('**/dashboard', { timeout: 30_000 });
}
