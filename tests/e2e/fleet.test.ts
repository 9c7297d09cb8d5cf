// The simulated fleet against a whole Sentinel: every answer is right, and when one is not, it is named.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Report } from '#agent/fleet/report.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { startStack, type Stack } from '#tests/harness/stack.ts';

const main = fileURLToPath(new URL('../../agent/fleet/main.ts', import.meta.url));

describe('the simulated fleet', () => {
  const cleanup = cleanupAfterAll();
  let stack: Stack;

  before(
    async () => {
      // Fewer places than the fleet has devices: some are turned away until others are approved.
      stack = await startStack(cleanup, { SENTINEL_PENDING_DEVICES_LIMIT: '50' });
      await mkdir(join(stack.home, 'secrets'), { recursive: true });
      await writeFile(join(stack.home, 'secrets', 'ann.password'), 'ann', { mode: 0o600 });
    },
    { timeout: 180_000 },
  );

  function fleet(args: readonly string[], settings: Record<string, string> = {}) {
    const environment = Object.entries(process.env).filter(([name]) => !name.startsWith('SENTINEL_'));
    const child = spawn(process.execPath, [main, ...args, '--json'], {
      env: { ...Object.fromEntries(environment), SENTINEL_HOME: stack.home, ...settings },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
    const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, ...output }));
    return { child, ended };
  }

  async function reportOf(ended: ReturnType<typeof fleet>['ended'], code: number): Promise<Report> {
    const { code: actual, stdout, stderr } = await ended;
    assert.equal(actual, code, `${stderr}\n${stdout.slice(0, 20_000)}`);
    return JSON.parse(stdout) as Report;
  }

  async function scenario(name: string, content: object): Promise<string> {
    const file = join(stack.home, `${name}.json`);
    await writeFile(
      file,
      JSON.stringify({
        about: 'A test',
        devices: 3,
        arrivals_per_second: 50,
        interval_seconds: 1,
        behaviours: [],
        ...content,
      }),
    );
    return file;
  }

  it('goes through everything, a rollout of a new version too, and every answer is right (CP-22, HB-02, HB-05, HB-07)', async () => {
    const { child, ended } = fleet(
      ['--scenario', 'everything', '--devices', '60', '--duration', '160', '--seed', '7', '--approver', 'ann'],
      { SENTINEL_PENDING_DEVICES_LIMIT: '50' },
    );
    const ann = await stack.as('ann');
    // How long it takes depends on the machine.
    await eventually(
      async () => {
        assert.equal(child.exitCode, null, 'the fleet ended before');
        const [devices, refusals] = await Promise.all([
          ann.devices.list({ search: 'everything-', limit: 100 }),
          ann.audit.list({ action: 'heartbeat.refused', limit: 500 }),
        ]);
        const upgraded = devices.items.filter(
          ({ approval_state, agent_version }) => approval_state === 'approved' && agent_version === '0.2.0',
        );
        const codes = new Set(refusals.items.map(({ details }) => details['code']));
        return upgraded.length > 0 && codes.has('device.rejected') && codes.has('heartbeat.replayed');
      },
      'an upgraded device, a rejected one and a replay',
      150_000,
    );
    child.kill('SIGINT');
    const report = await reportOf(ended, 0);
    assert.equal(report.right, true);
    assert.deepEqual(report.mismatches, { total: 0, first: [] });
    const answered = new Map<string, number>();
    for (const { answered: code, count } of report.answers.table) answered.set(code, (answered.get(code) ?? 0) + count);
    for (const code of [
      'accepted',
      'pending',
      'heartbeat.replayed',
      'heartbeat.counter_invalid',
      'certificate.name_mismatch',
      'certificate.untrusted',
      'certificate.missing',
      'certificate.expired',
      'certificate.wrong_usage',
      'device.rejected',
      'rate.limited',
      'request.invalid',
    ])
      assert.ok((answered.get(code) ?? 0) > 0, `${code} was never answered`);
    for (const act of ['lost_request', 'lost_answer', 'duplicate', 'upgrade'])
      assert.ok((report.acts[act] ?? 0) > 0, `${act} never happened`);
    // The records were compared with what each device reported last, its version among it.
    assert.ok((report.census?.versions['0.2.0'] ?? 0) > 0, JSON.stringify(report.census));
  });

  it('reports what is there so far when it is stopped, and names answers that are not what it expects', async () => {
    const file = await scenario('doubtful', { arrivals_per_second: 4 });
    // It believes that one device may wait; the API has places for more.
    const { child, ended } = fleet(['--scenario', file], { SENTINEL_PENDING_DEVICES_LIMIT: '1' });
    const ann = await stack.as('ann');
    await eventually(
      async () => (await ann.devices.list({ search: 'doubtful-' })).items.length === 3,
      'three devices that report',
    );
    child.kill('SIGINT');
    const report = await reportOf(ended, 1);
    assert.equal(report.right, false);
    const [first] = report.mismatches.first;
    assert.match(first?.device_id ?? '', /^doubtful-00\d$/);
    assert.deepEqual(
      [first?.expected, first?.answered, first?.status, first?.counter],
      ['rate.limited', 'pending', 202, 1],
    );
    assert.match(first?.request_id ?? '', /^[0-9a-f-]{36}$/);
  });

  it('finds a server that lets devices report under other names', async () => {
    await stack.restart({ SENTINEL_REQUIRE_CERT_COMMON_NAME_MATCH: 'false', SENTINEL_PENDING_DEVICES_LIMIT: '1000' });
    const file = await scenario('thief', { duration_seconds: 4, behaviours: [{ kind: 'wrong_name', chance: 1 }] });
    const report = await reportOf(fleet(['--scenario', file]).ended, 1);
    const found = report.mismatches.first.find(({ act }) => act === 'wrong_name');
    assert.equal(found?.expected, 'certificate.name_mismatch');
  });

  it('says what it needs before anything is sent', async () => {
    for (const [args, message] of [
      [['--scenario', 'steady'], /approver1\.password cannot be read.*--approver/],
      [['--scenario', 'nothing'], /There is no scenario nothing; --list/],
      [['--scenario', await scenario('wrong', { devices: 0 })], /\/devices must be >= 1/],
      [['--devices', 'many'], /--devices takes a whole number[^]*Usage:/],
    ] as const) {
      const { code, stderr, stdout } = await fleet(args).ended;
      assert.deepEqual([code, stdout], [2, '']);
      assert.match(stderr, message);
    }
    const remote = await fleet(['--scenario', await scenario('far', {})], { SENTINEL_URL: 'https://192.0.2.1' }).ended;
    assert.equal(remote.code, 2);
    assert.match(remote.stderr, /192\.0\.2\.1 is another machine: say --allow-remote/);
  });
});
