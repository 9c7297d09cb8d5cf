// The agent on a whole Sentinel: it enrols, is approved, survives kills and outages, and takes up a new certificate.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, mkdir, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Client } from '#client/client.ts';
import type { Device } from '#contracts/http/devices.ts';
import { agentFolder, runAgent, startAgent, writeIdentity } from '#tests/harness/agent.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { startStack, type Stack } from '#tests/harness/stack.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);

describe('the agent on a running installation', () => {
  const cleanup = cleanupAfterAll();
  let stack: Stack;
  let ann: Client;

  before(
    async () => {
      stack = await startStack(cleanup, { SENTINEL_HEARTBEAT_INTERVAL_SECONDS: '1' });
      ann = await stack.as('ann');
    },
    { timeout: 240_000 },
  );

  async function approve(deviceId: string, kind: 'enrollment' | 'rotation' = 'enrollment'): Promise<Device> {
    const review = await eventually(async () => {
      const { pending_review } = await ann.devices.get(deviceId);
      if (pending_review?.kind !== kind) return null;
      const approval = await ann.approvals.get(pending_review.id).catch(() => null);
      return approval?.state === 'open' ? pending_review : null;
    }, `a ${kind} review of ${deviceId}`);
    return ann.devices.identityReview(deviceId, { decision: 'approve', digest: review.digest });
  }

  /** A folder as `sentinel ca issue` makes it, and how the agent is called with it. */
  async function issued(t: TestContext, deviceId: string) {
    const folder = await agentFolder(t);
    await writeIdentity(folder, await stack.ca.issueDevice({ deviceId }), stack.ca.caCertificatePem);
    return { folder, identity: ['--identity', folder, '--url', stack.instance.api_url] };
  }

  async function enrolled(t: TestContext, deviceId: string) {
    const device = await issued(t, deviceId);
    assert.equal((await runAgent(t, ['run', '--once', ...device.identity])).code, 3);
    await approve(deviceId);
    return device;
  }

  test('the two commands of the README bring a device of your own to its approval (AG-01)', async (t) => {
    const readme = await readFile(join(root, 'README.md'), 'utf8');
    assert.ok(readme.includes('`npx --no-install sentinel ca issue my-laptop --out ./my-laptop`'));
    assert.ok(readme.includes('`npm run agent -- run --identity ./my-laptop`'));
    const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
      scripts: { agent: string };
    };
    assert.equal(scripts.agent, 'node agent/bin.mjs');

    const folder = join(await agentFolder(t), 'my-laptop');
    const environment = { ...process.env, SENTINEL_HOME: stack.home };
    await run(process.execPath, [join(root, 'cli/bin.mjs'), 'ca', 'issue', 'my-laptop', '--out', folder], {
      env: environment,
    });
    const agent = startAgent(t, ['run', '--identity', folder], {
      environment: { SENTINEL_URL: stack.instance.api_url },
    });
    assert.match(String((await agent.line(/Waiting for approval/))['advice']), /sentinel device approve my-laptop/);
    await approve('my-laptop');
    await agent.line(/trust tier of this device is monitored/);
    await agent.line(/Heartbeats are accepted/);

    const seen = await ann.devices.get('my-laptop');
    assert.equal(seen.liveness, 'online');
    assert.equal(seen.platform, `${process.platform}-${process.arch}`);
    assert.ok(seen.hostname !== null && seen.agent_version !== null);
    assert.match(String(seen.posture['booted_at']), /^\d{4}-.*:00\.000Z$/);

    agent.child.kill('SIGTERM');
    assert.equal((await agent.ended).code, 0);
    assert.equal((await runAgent(t, ['run', '--once', '--identity', folder, '--url', stack.instance.api_url])).code, 0);
  });

  test('the example, copied to agent/config.json, passes the preflight as it is and enrols (AG-03, AG-04)', async (t) => {
    const folder = await agentFolder(t);
    const certificates = join(stack.home, 'ca');
    await run(process.execPath, [
      join(root, 'deploy/certs/generate-dev-certs.ts'),
      ...['--out', certificates, '--device', 'my-laptop-2'],
    ]);
    await mkdir(join(folder, 'agent'));
    await mkdir(join(folder, 'deploy/certs'), { recursive: true });
    await symlink(certificates, join(folder, 'deploy/certs/out'));
    await copyFile(join(root, 'agent/config.example.json'), join(folder, 'agent/config.json'));
    const file = join(folder, 'agent/config.json');
    const example = (await readFile(file, 'utf8'))
      .replace('https://localhost:8443', stack.instance.api_url)
      .replaceAll('my-laptop', 'my-laptop-2');
    await writeFile(file, example);
    const checked = await runAgent(t, ['preflight'], { directory: folder });
    assert.equal(checked.code, 0, checked.out);
    assert.doesNotMatch(checked.out, /^(error|warning)/m);
    assert.equal((await runAgent(t, ['run', '--once'], { directory: folder })).code, 3);
    assert.equal((await ann.devices.get('my-laptop-2')).approval_state, 'pending');
  });

  test('a device that is killed goes on with a greater counter, and is not taken for a replay (AG-08)', async (t) => {
    const { identity } = await enrolled(t, 'killed-1');
    let last = 0;
    for (let life = 0; life < 3; life += 1) {
      const agent = startAgent(t, ['run', ...identity]);
      await agent.line(/Heartbeats are accepted/);
      const { heartbeat_counter } = await eventually(async () => {
        const device = await ann.devices.get('killed-1');
        return (device.heartbeat_counter ?? 0) > last ? device : null;
      }, 'a greater counter');
      last = heartbeat_counter ?? 0;
      agent.child.kill('SIGKILL');
      await agent.ended;
      assert.ok(agent.lines.every(({ msg }) => !msg.includes('refused')));
    }
    const { items } = await ann.audit.list({ subject_kind: 'device', subject_id: 'killed-1', limit: 100 });
    assert.ok(items.every(({ details }) => !JSON.stringify(details).includes('heartbeat.replayed')));
  });

  test('an agent outlives the server, and goes on by itself when that is back', async (t) => {
    const { identity } = await enrolled(t, 'outage-1');
    const agent = startAgent(t, ['run', ...identity]);
    await agent.line(/Heartbeats are accepted/);
    stack.kill('api', 'SIGKILL');
    await agent.line(/Heartbeats do not get through/);
    await agent.line(/Heartbeats are accepted/);
    assert.equal((await ann.devices.get('outage-1')).approval_state, 'approved');
  });

  test('the old certificate keeps the device online while the new one on disk waits for approval, and then gives way (EN-03)', async (t) => {
    const { folder, identity } = await enrolled(t, 'rotated-1');
    const agent = startAgent(t, ['run', ...identity]);
    await agent.line(/Heartbeats are accepted/);
    const before = (await ann.devices.get('rotated-1')).certificate?.fingerprint_sha256;

    const next = await stack.ca.issueDevice({ deviceId: 'rotated-1' });
    for (const [name, text] of [
      ['device.key', next.keyPem],
      ['device.crt', next.certificatePem],
    ] as const) {
      await writeFile(join(folder, `new-${name}`), text, { mode: 0o600 });
      await rename(join(folder, `new-${name}`), join(folder, name));
    }
    const waiting = await agent.line(/was replaced on disk/);
    await agent.line(/The new certificate waits for approval/);
    // Each round takes two counters, so this is a round that began after the new one was shown.
    const counted = await ann.devices.get('rotated-1');
    const later = await eventually(async () => {
      const device = await ann.devices.get('rotated-1');
      return (device.heartbeat_counter ?? 0) > (counted.heartbeat_counter ?? 0) + 1 ? device : null;
    }, 'heartbeats with the old certificate');
    assert.deepEqual(
      [later.liveness, later.approval_state, later.trust_tier, later.certificate?.fingerprint_sha256],
      ['online', 'approved', counted.trust_tier, before],
    );

    await approve('rotated-1', 'rotation');
    const taken = await agent.line(/The new certificate is accepted/);
    const after = await eventually(async () => {
      const device = await ann.devices.get('rotated-1');
      return (device.heartbeat_counter ?? 0) > (later.heartbeat_counter ?? 0) + 2 ? device : null;
    }, 'heartbeats with the new certificate');
    assert.equal(after.liveness, 'online');
    assert.equal(after.certificate?.fingerprint_sha256, taken['fingerprint_sha256']);
    assert.equal(taken['fingerprint_sha256'], waiting['fingerprint_sha256']);
    assert.notEqual(after.certificate?.fingerprint_sha256, before);
    assert.ok(agent.lines.every(({ msg }) => !/refused|get through/.test(msg)));
  });

  test('a device that was revoked hears so, keeps asking, and ends in good order', async (t) => {
    const { identity } = await enrolled(t, 'revoked-1');
    const agent = startAgent(t, ['run', ...identity]);
    await agent.line(/Heartbeats are accepted/);
    const sam = await stack.as('sam');
    await sam.devices.revoke('revoked-1', { reason: 'lost' });
    const refused = await agent.line(/refused/);
    assert.equal(refused['code'], 'certificate.revoked');
    assert.ok(String(refused['advice']).length > 10);
    agent.child.kill('SIGINT');
    const { code, signal } = await agent.ended;
    assert.deepEqual([code, signal], [0, null]);
  });
});
