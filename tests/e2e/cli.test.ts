// The command line and the simulated devices on a whole Sentinel: enrol, approve, stop, revoke, reset, and read it all back.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Client } from '#client/client.ts';
import type { Approval } from '#contracts/http/approvals.ts';
import type { AuditEvent, Integrity } from '#contracts/http/audit.ts';
import type { Device, HistoryEntry } from '#contracts/http/devices.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { startStack, type Stack } from '#tests/harness/stack.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const commandLimitMs = 30_000;

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly talk: string;
}

interface ItemsOf<T> {
  readonly items: T[];
}

describe('sentinel on a running installation', () => {
  const cleanup = cleanupAfterAll();
  let stack: Stack;
  let viewer: Client;

  before(
    async () => {
      const quick = {
        SENTINEL_HEARTBEAT_INTERVAL_SECONDS: '1',
        SENTINEL_DEVICE_STALE_SECONDS: '3',
        SENTINEL_DEVICE_OFFLINE_SECONDS: '600',
      };
      stack = await startStack(cleanup, quick, 4);
      viewer = await stack.as('vic');
    },
    { timeout: 240_000 },
  );

  function run(script: string, words: string, input = ''): Promise<Ended> {
    return new Promise((resolve) => {
      const environment = Object.entries(process.env).filter(([name]) => !name.startsWith('SENTINEL_'));
      const child = execFile(
        process.execPath,
        [join(root, script), ...words.split(' ')],
        {
          cwd: stack.home,
          env: { ...Object.fromEntries(environment), SENTINEL_HOME: stack.home },
          timeout: commandLimitMs,
        },
        (error, out, talk) => resolve({ code: error === null ? 0 : Number(error.code ?? -1), out, talk }),
      );
      child.stdin?.end(input);
    });
  }
  const sentinel = (words: string, input?: string) => run('cli/bin.mjs', words, input);

  /** Runs a command that must succeed, and reads its object. */
  async function read<T>(words: string): Promise<T> {
    const { code, out, talk } = await sentinel(`${words} --json`);
    assert.equal(code, 0, talk);
    return JSON.parse(out) as T;
  }

  async function signIn(username: string, password = username): Promise<void> {
    const { code, talk } = await sentinel(`login --username ${username}`, `${password}\n`);
    assert.equal(code, 0, talk);
  }

  /** Waits through the API, since each look of the command line is a process, and then reads what the command line says. */
  async function untilDevice(id: string, holds: (device: Device) => boolean, what: string): Promise<Device> {
    await eventually(
      async () => (await viewer.devices.list({ search: id })).items.some((one) => one.device_id === id && holds(one)),
      `${id}: ${what}`,
      60_000,
    );
    const { items } = await read<ItemsOf<Device>>(`device list --search ${id}`);
    const device = items.find((one) => one.device_id === id);
    assert.ok(device !== undefined && holds(device), `${id}: ${what}`);
    return device;
  }

  it('signs in with the password of a demo account, and keeps the session private', async () => {
    const { code, talk } = await sentinel('login --username approver1 --password-file secrets/approver1.password');
    assert.equal(code, 0, talk);
    assert.equal((await stat(join(stack.home, 'cli-session.json'))).mode & 0o777, 0o600);
    const password = (await readFile(join(stack.home, 'secrets', 'approver1.password'), 'utf8')).trim();
    assert.ok(!talk.includes(password));
  });

  it('sees the simulated devices live and approved, and the last one waiting', async () => {
    for (const id of ['demo-001', 'demo-002', 'demo-003']) {
      const device = await untilDevice(id, ({ approval_state }) => approval_state === 'approved', 'approved');
      assert.equal(device.liveness, 'online');
      assert.equal(device.trust_tier, 'monitored');
    }
    await untilDevice('demo-004', ({ pending_review }) => pending_review !== null, 'waiting for review');
    const { items } = await read<ItemsOf<Approval>>('approval list');
    assert.deepEqual(
      items.map(({ subject, kind }) => [subject.id, kind]),
      [['demo-004', 'enrollment']],
    );
  });

  it('shows the whole installation on one screen, without anything that signs in', async () => {
    const { code, out, talk } = await sentinel('status');
    assert.equal(code, 0, talk);
    assert.match(out, /Ready\tok/);
    assert.match(out, /Signed in\tapprover1 \(approver\)/);
    assert.match(out, /Devices\t4, /);
    assert.match(out, /Open approvals\t1/);
    assert.match(out, /^demo-004\tenrollment\t0\/1\tapprover, security, admin\t/m);
    assert.match(out, /^Certificates\tnone expires soon$/m);
    assert.match(out, /^Audit\tvalid, /m);
    assert.doesNotMatch(out, /postgres:\/\//);
  });

  it('votes on the digest that is shown, and not on another', async () => {
    const before = await read<Device>('device show demo-004');
    const other = await sentinel(`device approve demo-004 --digest ${'0'.repeat(64)}`);
    assert.equal(other.code, 1);
    assert.match(other.talk, /review\.changed, request /);
    const shown = await sentinel('device approve demo-004 --reason known');
    assert.equal(shown.code, 0, shown.talk);
    assert.ok(shown.out.includes(before.pending_review?.digest ?? 'no digest'));
    assert.match(shown.talk, /demo-004 is approved, tier monitored/);
    const { items } = await read<ItemsOf<Approval>>('approval list --state approved --subject demo-004');
    assert.deepEqual(
      items[0]?.votes.map(({ by, decision, reason }) => ({ by, decision, reason })),
      [{ by: 'approver1', decision: 'approve', reason: 'known' }],
    );
  });

  it('sees a device that is stopped by hand go stale and come back', async () => {
    const paused = await run('agent/fleet/main.ts', 'pause demo-002');
    assert.equal(paused.code, 0, paused.talk);
    await untilDevice('demo-002', ({ liveness }) => liveness === 'stale', 'stale');
    assert.equal((await read<Device>('device show demo-001')).liveness, 'online');
    assert.equal((await run('agent/fleet/main.ts', 'resume')).code, 0);
    const back = await untilDevice('demo-002', ({ liveness }) => liveness === 'online', 'back online');
    assert.equal(back.trust_tier, 'monitored');
  });

  it('says which permission is missing, and changes nothing', async () => {
    const { code, talk } = await sentinel('device revoke demo-001 --yes');
    assert.equal(code, 1);
    assert.match(talk, /auth\.forbidden/);
    assert.notEqual((await read<Device>('device show demo-001')).trust_tier, 'revoked');
  });

  it('takes trust away, and leaves a reset device to people', async () => {
    await signIn('sam');
    const refused = await sentinel('device revoke demo-001');
    assert.equal(refused.code, 2);
    const revoked = await sentinel('device revoke demo-001 --yes --reason lost');
    assert.equal(revoked.code, 0, revoked.talk);
    assert.equal((await read<Device>('device show demo-001')).trust_tier, 'revoked');

    assert.equal((await sentinel('device reset demo-003 --yes')).code, 0);
    const reset = await untilDevice('demo-003', ({ pending_review }) => pending_review !== null, 'waiting again');
    assert.equal(reset.approval_state, 'pending');
    const retired = await sentinel('device retire demo-002 --yes');
    assert.equal(retired.code, 0, retired.talk);
    assert.equal((await read<Device>('device show demo-002')).retired, true);

    const own = await sentinel('device reject demo-003 --yes --reason unknown');
    assert.equal(own.code, 1);
    assert.match(own.talk, /review\.own_request/);
    await signIn('bob');
    const rejected = await sentinel('device reject demo-003 --yes --reason unknown');
    assert.equal(rejected.code, 0, rejected.talk);
    assert.equal((await read<Device>('device show demo-003')).approval_state, 'rejected');
  });

  it('takes ids from a list, tells of each, and says what would be done', async () => {
    const { out: ids } = await sentinel('device list --all --quiet');
    assert.deepEqual(ids.trim().split('\n'), ['demo-001', 'demo-002', 'demo-003', 'demo-004']);
    const planned = await sentinel('device retire - --dry-run', ids);
    assert.equal(planned.code, 0, planned.talk);
    assert.match(planned.out, /^would retire demo-004; it is approved, tier monitored$/m);
    assert.equal((await read<Device>('device show demo-004')).retired, false);
    const mixed = await sentinel('device approve demo-999 demo-998 --yes');
    assert.equal(mixed.code, 1);
    assert.match(mixed.talk, /^demo-999: error: [^]*^demo-998: error: [^]*^error: 2 of 2/m);
  });

  it('offers ids to a shell', async () => {
    const { code, out } = await sentinel('__complete -- device show demo-00');
    assert.equal(code, 0);
    assert.match(out, /^demo-004\tapproved, monitored$/m);
  });

  it('reads back what happened, and verifies the trail of it', async () => {
    const { items: history } = await read<ItemsOf<HistoryEntry>>('device history demo-003');
    assert.ok(history.length >= 3);
    const { items } = await read<ItemsOf<AuditEvent>>('audit list --subject demo-001 --category identity');
    const revocation = items.find(({ action }) => action === 'device.certificate.revoked');
    assert.equal(revocation?.actor.id, 'sam');
    const report = await read<Integrity>('audit verify --full');
    assert.equal(report.valid, true);
    assert.equal(report.unsealed, 0);
  });

  it('issues a certificate that a new device enrols with', async () => {
    const { code, talk } = await sentinel('ca issue lab-1 --out lab-1');
    assert.equal(code, 0, talk);
    const file = (name: string) => readFile(join(stack.home, 'lab-1', name), 'utf8');
    const [certificatePem, keyPem] = [await file('device.crt'), await file('device.key')];
    const device = await stack.device('lab-1', { certificatePem, keyPem });
    assert.equal((await device.heartbeat(1)).status, 202);
  });

  it('finds the database up to date', async () => {
    assert.deepEqual(await read('migrate'), { applied: [] });
  });

  it('ends its session on the server too', async () => {
    const { token } = JSON.parse(await readFile(join(stack.home, 'cli-session.json'), 'utf8')) as { token: string };
    assert.equal((await sentinel('logout')).code, 0);
    const answer = await stack.request('/api/devices', { headers: { authorization: `Bearer ${token}` } });
    assert.equal(answer.status, 401);
    assert.equal(answer.body['code'], 'auth.session_ended');
    assert.equal((await sentinel('device list')).code, 1);
  });

  it('goes on with the same identities and counters after everything was killed', async () => {
    const sam = await stack.as('sam');
    const before = await sam.devices.get('demo-004');
    await stack.killAndRestart();
    const again = await stack.as('sam');
    const after = await eventually(async () => {
      const device = await again.devices.get('demo-004');
      return (device.heartbeat_counter ?? 0) > (before.heartbeat_counter ?? 0) ? device : null;
    }, 'heartbeats after the restart');
    assert.equal(after.certificate?.fingerprint_sha256, before.certificate?.fingerprint_sha256);
    assert.equal(after.approval_state, 'approved');
  });
});
