// The simulated devices against a small API over mTLS, and the vote of the demo's approver.
import assert from 'node:assert/strict';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { describe, it, type TestContext } from 'node:test';
import { Check } from 'typebox/value';
import { createApprovalQueue, type ApprovalQueue } from '#agent/fleet/approval-queue.ts';
import { evidenceProviders } from '#agent/fleet/attestation.ts';
import { approveDemoDevices } from '#agent/fleet/approve.ts';
import { prepareDevices, runFleet } from '#agent/fleet/fleet.ts';
import { keepIdentity } from '#agent/fleet/identity.ts';
import { changePaused, readPaused, watchPaused } from '#agent/fleet/paused.ts';
import { createJudge } from '#agent/fleet/judge.ts';
import { planFleet } from '#agent/fleet/plan.ts';
import { profileOf } from '#agent/fleet/profiles.ts';
import { parseScenario } from '#agent/fleet/scenario.ts';
import { createTally } from '#agent/fleet/tally.ts';
import { createClient } from '#client/client.ts';
import { createTransport } from '#client/node-transport.ts';
import { systemClock as clock, systemRandom as random, type Log } from '#contracts/deps.ts';
import { HeartbeatBody } from '#contracts/http/heartbeat.ts';
import { createDevelopmentCa } from '#protocols/development-ca.ts';
import { verifySignedMeasurement } from '#protocols/signed-measurement.ts';
import { fakeSystem } from '#tests/fakes/fake-system.ts';
import { anApproval, aPendingDevice, approvalId, aDevice } from '#tests/fakes/api-objects.ts';
import { problemAnswer, scriptedApi, type ScriptedAnswer, type SeenRequest } from '#tests/fakes/scripted-api.ts';

const demoFile = new URL('../../../agent/fleet/scenarios/demo.json', import.meta.url);
const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
const measured = fakeSystem({ files: { '/pcrs.json': JSON.stringify({ sha256: { '0': 'ab'.repeat(32) } }) } });
const soon = async (_ms: number, signal: AbortSignal): Promise<void> => sleepFor(1, undefined, { signal });

async function aFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sentinel-fleet-'));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

interface Waiting {
  readonly deviceId: string;
  readonly fingerprint: string;
}

/** Runs a fleet in this folder until `enough` is true of what the API has seen. */
async function runUntil(
  t: TestContext,
  folder: string,
  options: {
    count: number;
    answer: (request: SeenRequest) => ScriptedAnswer;
    enough: (seen: SeenRequest[]) => boolean;
    attestation?: string;
  },
) {
  const ca = await createDevelopmentCa(join(folder, 'ca'), { clock, random });
  const stop = new AbortController();
  const limit = setTimeout(() => stop.abort(new Error('not enough in time')), 20_000);
  const api = await scriptedApi(
    t,
    (request) => {
      if (options.enough(api.seen)) stop.abort();
      return options.answer(request);
    },
    {
      cert: ca.serverCertificatePem,
      key: ca.serverKeyPem,
      ca: ca.caCertificatePem,
      requestCert: true,
      rejectUnauthorized: true,
    },
  );
  const waiting: Waiting[] = [];
  const approvals: ApprovalQueue = {
    add: (deviceId, fingerprint) => void waiting.push({ deviceId, fingerprint }),
    run: async () => {},
  };
  const tally = createTally();
  const judge = createJudge({ tally, clock, pendingLimit: 10_000, withPeople: true });
  const scenario = parseScenario('demo', await readFile(demoFile, 'utf8'));
  const deps = {
    directory: join(folder, 'fleet'),
    deviceUrl: api.url,
    ca,
    foreignCa: async () => ca,
    elapsedMs: () => performance.now(),
    intervalSeconds: null,
    judge,
    tally,
    clock,
    random,
    log: silent,
    limits: { firstIntervalSeconds: 15, pendingSeconds: 5, longestSeconds: 60 },
    sleep: soon,
    paused: { untilResumed: async () => {} },
    approvals,
    evidenceFor: await evidenceProviders(options.attestation ?? null, { system: measured, clock, environment: {} }),
  };
  const plans = planFleet(scenario, { devices: options.count, seed: 1 });
  await runFleet(deps, await prepareDevices(deps, plans, stop.signal), stop.signal);
  clearTimeout(limit);
  assert.ok(options.enough(api.seen), String(stop.signal.reason));
  return { seen: api.seen, waiting };
}

const countOf = (seen: readonly SeenRequest[], id: string) => seen.filter(({ clientName }) => clientName === id).length;
const answered = (status: 'accepted' | 'pending'): ScriptedAnswer => ({
  status: status === 'accepted' ? 200 : 202,
  body: { status, next_heartbeat_seconds: 15 },
});

describe('the simulated devices', () => {
  it('send valid heartbeats, each under its own certificate, and go on with their counters after a restart', async (t) => {
    const folder = await aFolder(t);
    const ids = ['demo-001', 'demo-002', 'demo-003'];
    const enough = (seen: SeenRequest[]) => ids.every((id) => countOf(seen, id) >= 2);
    const options = { count: 3, answer: () => answered('accepted'), enough };
    const first = await runUntil(t, folder, options);
    const keys = await Promise.all(ids.map((id) => readFile(join(folder, 'fleet', id, 'identity.pem'), 'utf8')));
    const second = await runUntil(t, folder, options);

    for (const id of ids) {
      const bodies = [...first.seen, ...second.seen].map(({ body }) => body as HeartbeatBody);
      const counters = bodies.filter((body) => body.device_id === id).map((body) => Number(body.heartbeat_counter));
      assert.deepEqual(
        counters,
        [...new Set(counters)].toSorted((a, b) => a - b),
        id,
      );
      assert.ok(counters.length >= 4);
    }
    for (const { clientName, body } of [...first.seen, ...second.seen]) {
      assert.equal((body as HeartbeatBody).device_id, clientName);
      assert.ok(Check(HeartbeatBody, body));
    }
    assert.deepEqual(
      await Promise.all(ids.map((id) => readFile(join(folder, 'fleet', id, 'identity.pem'), 'utf8'))),
      keys,
    );
    assert.equal(new Set(keys).size, 3);
    assert.deepEqual(first.waiting, []);
  });

  it('prove what they booted with, those that are set up for it (AG-05)', async (t) => {
    const folder = await aFolder(t);
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    await writeFile(join(folder, 'attest.key'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
    await writeFile(join(folder, 'attest.pub'), publicKey.export({ type: 'spki', format: 'pem' }));
    const attestation = join(folder, 'attestation.json');
    const pair = { attestation_private_key_path: 'attest.key', attestation_public_key_path: 'attest.pub' };
    await writeFile(attestation, JSON.stringify({ 'demo-001': { ...pair, measured_pcrs_path: '/pcrs.json' } }));
    const nonce = Buffer.alloc(32, 7).toString('base64url');
    const challenge = {
      provider: 'signed_measurement_v1',
      nonce,
      expires_at: '2100-01-01T00:00:00.000Z',
      pcr_selection: { sha256: [0] },
    };
    const { seen } = await runUntil(t, folder, {
      count: 2,
      attestation,
      answer: () => {
        const { body } = answered('accepted');
        return { body: { ...(body as object), attestation_challenge: challenge } };
      },
      enough: (all) => ['demo-001', 'demo-002'].every((id) => countOf(all, id) >= 3),
    });
    const evidenceOf = (id: string) =>
      seen.filter(({ clientName }) => clientName === id).map(({ body }) => (body as HeartbeatBody).attestation);
    const [first, ...later] = evidenceOf('demo-001');
    assert.equal(first, undefined);
    for (const evidence of later)
      verifySignedMeasurement({
        evidence,
        deviceId: 'demo-001',
        challenge: { nonce, selection: { sha256: [0] } },
        limits: { maximumAgeSeconds: 60, maximumClockSkewSeconds: 0 },
        now: new Date(),
      });
    assert.ok(evidenceOf('demo-002').every((evidence) => evidence === undefined));
    await writeFile(attestation, JSON.stringify({ 'demo-001': { attestation_provder: 'tpm_quote_v1' } }));
    const deps = { system: measured, clock, environment: {} };
    await assert.rejects(evidenceProviders(attestation, deps), /attestation_provider/);
  });

  it('ask for approval while they are pending, except the last one', async (t) => {
    const { waiting } = await runUntil(t, await aFolder(t), {
      count: 3,
      answer: () => answered('pending'),
      enough: (seen) => ['demo-001', 'demo-002', 'demo-003'].every((id) => countOf(seen, id) >= 2),
    });
    assert.deepEqual(new Set(waiting.map(({ deviceId }) => deviceId)), new Set(['demo-001', 'demo-002']));
    for (const { fingerprint } of waiting) assert.match(fingerprint, /^[0-9a-f]{64}$/);
  });

  it('go on although one of them has a damaged file', async (t) => {
    const folder = await aFolder(t);
    await mkdir(join(folder, 'fleet', 'demo-001'), { recursive: true });
    await writeFile(join(folder, 'fleet', 'demo-001', 'counter'), 'damaged');
    const { seen } = await runUntil(t, folder, {
      count: 2,
      answer: () => answered('accepted'),
      enough: (all) => countOf(all, 'demo-002') >= 3,
    });
    assert.equal(countOf(seen, 'demo-001'), 0);
  });

  it('differ in what they report, and stay the same after a restart', () => {
    const profiles = Array.from({ length: 12 }, (_, index) => profileOf('demo', index).observe(1));
    assert.ok(new Set(profiles.map(({ platform }) => platform)).size >= 3);
    assert.equal(new Set(profiles.map(({ hostname }) => hostname)).size, 12);
    assert.deepEqual(profileOf('demo', 3).observe(1), profiles[3]);
    for (const [index, body] of profiles.entries()) {
      assert.ok(Check(HeartbeatBody, { device_id: profileOf('demo', index).deviceId, ...body }));
    }
  });
});

describe('the identity of a simulated device', () => {
  it('is private, kept, and made anew when its authority is another or its time runs out', async (t) => {
    const folder = await aFolder(t);
    const file = join(folder, 'demo-001', 'identity.pem');
    const authority = (name: string) => createDevelopmentCa(join(folder, name), { clock, random });
    const [ca, otherCa] = [await authority('one'), await authority('two')];
    const first = await keepIdentity(file, 'demo-001', { ca, clock, random });
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(join(folder, 'demo-001')), ['identity.pem']);
    assert.equal(new X509Certificate(first.certificate).subject, 'CN=demo-001');
    assert.deepEqual(await keepIdentity(file, 'demo-001', { ca, clock, random }), { ...first, kept: true });

    const later = { now: () => new Date(Date.now() + 84 * 86_400_000) };
    const renewed = await keepIdentity(file, 'demo-001', { ca, clock: later, random });
    assert.notEqual(renewed.fingerprint, first.fingerprint);
    const other = await keepIdentity(file, 'demo-001', { ca: otherCa, clock, random });
    assert.ok(new X509Certificate(other.certificate).verify(new X509Certificate(otherCa.caCertificatePem).publicKey));
    await writeFile(file, 'damaged');
    assert.notEqual((await keepIdentity(file, 'demo-001', { ca, clock, random })).fingerprint, first.fingerprint);
  });
});

describe('devices that are paused by hand', () => {
  it('are kept in a file, and nobody is paused by a damaged one', async (t) => {
    const file = join(await aFolder(t), 'fleet', 'paused.json');
    assert.deepEqual([...(await readPaused(file))], []);
    await changePaused(file, { verb: 'pause', deviceIds: ['demo-003', 'demo-001'] }, random);
    await changePaused(file, { verb: 'resume', deviceIds: ['demo-001'] }, random);
    assert.deepEqual([...(await readPaused(file))], ['demo-003']);
    await changePaused(file, { verb: 'resume', deviceIds: [] }, random);
    assert.deepEqual([...(await readPaused(file))], []);
    for (const text of ['', '{', '7', '[7]']) {
      await writeFile(file, text);
      assert.deepEqual([...(await readPaused(file))], []);
    }
  });

  it('wait until they are resumed, and others do not', async () => {
    let paused = new Set(['demo-003']);
    let look = Promise.withResolvers<void>();
    const stop = new AbortController();
    const changes: string[][] = [];
    const watch = watchPaused(
      async () => paused,
      () => look.promise,
      (ids) => void changes.push([...ids]),
    );
    const running = watch.run(stop.signal);
    await watch.untilResumed('demo-001', stop.signal);
    let resumed = false;
    const waiting = watch.untilResumed('demo-003', stop.signal).then(() => (resumed = true));
    await Promise.resolve();
    assert.equal(resumed, false);
    paused = new Set(['demo-002']);
    const looked = look;
    look = Promise.withResolvers();
    looked.resolve();
    await waiting;
    assert.deepEqual(changes, [['demo-003'], ['demo-002']]);
    stop.abort();
    look.resolve();
    await running;
  });
});

describe('the approver of the demo', () => {
  const fingerprint = 'f'.repeat(64);
  const approval = anApproval({ content: { device_id: 'lab-1', certificate: { fingerprint_sha256: fingerprint } } });
  const usual: Record<string, ScriptedAnswer> = {
    'POST /api/admin/login': { body: { token: 'token', expires_at: '', session_id: '' } },
    'POST /api/admin/logout': {},
    'GET /api/devices/lab-1': { body: aPendingDevice() },
    [`GET /api/approvals/${approvalId}`]: { body: approval },
    [`POST /api/approvals/${approvalId}/review`]: { body: { ...approval, state: 'approved' } },
  };

  async function vote(
    t: TestContext,
    changes: Record<string, ScriptedAnswer | (() => Promise<ScriptedAnswer>)> = {},
    deviceIds: readonly string[] = ['lab-1'],
  ) {
    const routes = { ...usual, ...changes };
    const { url, seen } = await scriptedApi(t, ({ method, path }) => {
      const answer = routes[`${method} ${path}`] ?? { status: 404 };
      return typeof answer === 'function' ? answer() : answer;
    });
    const transport = createTransport();
    t.after(() => transport.close());
    const clientOf = (token?: string) =>
      createClient({ baseUrl: url, fetch: transport.fetch, random, token, attempts: 1 });
    const settled: string[] = [];
    const work = approveDemoDevices(
      {
        clientOf,
        username: 'approver1',
        password: 'secret',
        log: silent,
        decisionOn: () => 'approve',
        awaitsKey: (id) => id.startsWith('tpm-'),
        watch: { decides() {}, decided() {} },
      },
      new Map(deviceIds.map((id) => [id, fingerprint])),
      async (id) => void settled.push(id),
      new AbortController().signal,
    );
    const failure = await work.then(
      () => null,
      (error: unknown) => error,
    );
    return { settled, failure, routes: seen.map(({ method, path }) => `${method} ${path}`), seen };
  }
  const reviewed = `POST /api/approvals/${approvalId}/review`;

  it('waits for the key of a device that is about to show one, and votes on both at once', async (t) => {
    const body = aPendingDevice({ device_id: 'tpm-1' });
    const about = anApproval({
      subject: { kind: 'device', id: 'tpm-1' },
      content: { device_id: 'tpm-1', certificate: { fingerprint_sha256: fingerprint } },
    });
    const changes = { [`GET /api/approvals/${approvalId}`]: { body: about } };
    const early = await vote(t, { ...changes, 'GET /api/devices/tpm-1': { body } }, ['tpm-1']);
    assert.deepEqual([early.settled, early.failure], [[], null]);
    const content = { ...about.content, attestation: { provider: 'tpm_quote_v1', key_id: 'key', binding_id: 'tpm' } };
    const shown = { [`GET /api/approvals/${approvalId}`]: { body: { ...about, content } } };
    const later = await vote(t, { ...shown, 'GET /api/devices/tpm-1': { body } }, ['tpm-1']);
    assert.deepEqual(later.settled, ['tpm-1']);
    assert.ok(later.routes.includes(reviewed));
  });

  it('signs in, votes on the digest of the review, and signs out', async (t) => {
    const { settled, routes, seen } = await vote(t);
    assert.deepEqual(settled, ['lab-1']);
    assert.deepEqual(routes, [
      'POST /api/admin/login',
      'GET /api/devices/lab-1',
      `GET /api/approvals/${approvalId}`,
      reviewed,
      'POST /api/admin/logout',
    ]);
    assert.equal((seen[3]?.body as { digest?: string } | undefined)?.digest, approval.digest);
    assert.equal(seen[3]?.headers.authorization, 'Bearer token');
  });

  it('votes for nothing but the certificate that was made here', async (t) => {
    const foreign = { fingerprint_sha256: 'e'.repeat(64) };
    for (const changed of [
      { content: { device_id: 'lab-1', certificate: foreign } },
      { content: { device_id: 'lab-1', certificate: null } },
      { content: { certificate: { fingerprint_sha256: fingerprint } } },
      { content: {} },
      { subject: { kind: 'device', id: 'lab-2' } },
      { subject: { kind: 'campaign', id: 'lab-1' } },
    ]) {
      const { settled, routes } = await vote(t, {
        [`GET /api/approvals/${approvalId}`]: { body: { ...approval, ...changed } },
      });
      assert.ok(!routes.includes(reviewed), JSON.stringify(changed));
      assert.deepEqual(settled, []);
      assert.equal(routes.at(-1), 'POST /api/admin/logout');
    }
  });

  it('comes again for a review that is not open yet, and leaves what is decided', async (t) => {
    const cases = [
      [aPendingDevice({ pending_review: null }), false],
      [aDevice(), true],
      [aDevice({ approval_state: 'rejected' }), true],
      [aDevice({ retired: true }), true],
    ] as const;
    for (const [device, isSettled] of cases) {
      const { settled, routes } = await vote(t, { 'GET /api/devices/lab-1': { body: device } });
      assert.ok(!routes.includes(reviewed));
      assert.deepEqual(settled, isSettled ? ['lab-1'] : []);
    }
  });

  it('takes a vote that was cast before for done, and another refusal for something to try again', async (t) => {
    for (const [code, isSettled] of [
      ['review.already_voted', true],
      ['review.closed', true],
      ['review.changed', false],
    ] as const) {
      const { settled, failure } = await vote(t, { [reviewed]: problemAnswer(409, code) });
      assert.deepEqual(settled, isSettled ? ['lab-1'] : [], code);
      assert.equal(failure, null);
    }
  });

  it('signs out only when no vote is on its way any more', async (t) => {
    const slowly = async (): Promise<ScriptedAnswer> => {
      // Long after the other answer has arrived.
      for (let turn = 0; turn < 1_000; turn += 1) await new Promise(setImmediate);
      return { body: { ...approval, state: 'approved' } };
    };
    const changes = { 'GET /api/devices/lab-2': problemAnswer(403, 'auth.forbidden'), [reviewed]: slowly };
    const { settled, failure, routes } = await vote(t, changes, ['lab-1', 'lab-2']);
    assert.equal((failure as { code: string }).code, 'auth.forbidden');
    assert.deepEqual(settled, ['lab-1']);
    assert.equal(routes.at(-1), 'POST /api/admin/logout');
  });

  it('signs out although something went wrong', async (t) => {
    const { failure, routes } = await vote(t, { 'GET /api/devices/lab-1': problemAnswer(403, 'auth.forbidden') });
    assert.equal((failure as { code: string }).code, 'auth.forbidden');
    assert.equal(routes.at(-1), 'POST /api/admin/logout');
  });
});

describe('the queue of the demo’s approver', () => {
  it('has each certificate voted for once in the life of the home', async (t) => {
    const file = join(await aFolder(t), 'votes.json');
    const asked: string[][] = [];
    const round = async (adds: readonly [string, string][], rounds: number) => {
      const stop = new AbortController();
      const queue = await createApprovalQueue({
        file,
        random,
        log: silent,
        sleep: soon,
        async approve(fingerprints, settled) {
          asked.push([...fingerprints.keys()]);
          if (asked.length % 2 === 1) throw new Error('not ready');
          for (const id of fingerprints.keys()) await settled(id);
          if (asked.length >= rounds) stop.abort();
        },
      });
      for (const [id, fingerprint] of adds) queue.add(id, fingerprint);
      await queue.run(stop.signal);
    };
    await round(
      [
        ['demo-001', 'a'],
        ['demo-002', 'b'],
      ],
      2,
    );
    assert.deepEqual(asked, [
      ['demo-001', 'demo-002'],
      ['demo-001', 'demo-002'],
    ]);
    // Reset by an operator under the same certificate: left to people. A new certificate: voted for.
    await round(
      [
        ['demo-001', 'a'],
        ['demo-002', 'c'],
      ],
      4,
    );
    assert.deepEqual(asked.slice(2), [['demo-002'], ['demo-002']]);
  });
});
