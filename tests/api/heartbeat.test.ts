// The heartbeat route over fakes: what reaches the store, what is answered, what is refused and written down.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ApiDeps } from '#api/app.ts';
import type { DeviceIdentity } from '#api/device-identity.ts';
import type { Refused } from '#api/refusals.ts';
import type { HeartbeatAnswer } from '#contracts/http/heartbeat.ts';
import { TrustError, type ProblemCode } from '#contracts/problems.ts';
import type { HeartbeatItem, HeartbeatVerdict } from '#store/heartbeat.ts';
import { unjudged } from '#protocols/attestation-verdict.ts';
import { parseCertificate } from '#protocols/certificate.ts';
import { parseTrustAnchors, verifyDeviceCertificate } from '#protocols/device-certificate.ts';
import { issueCertificate } from '#protocols/issue-certificate.ts';
import { fakeApi, problemOf } from '#tests/fakes/api-over-fakes.ts';
import type { Cleanup } from '#tests/harness/cleanup.ts';

const accepted: HeartbeatVerdict = {
  code: 'accepted',
  first_contact: false,
  signal: false,
  acknowledged: true,
  identity_verified: true,
  grant: { state: 'approved', tier: 'monitored', epoch: 1 },
  pinned_not_after: '2027-06-01T00:00:00.000Z',
  pinned_revoked: false,
};
const body = { device_id: 'device-1', heartbeat_counter: 1 };
const identity = await identityOf('device-1');

interface Scripted {
  readonly identity?: DeviceIdentity | null | ProblemCode;
  readonly verdicts?: readonly (HeartbeatVerdict | ProblemCode)[];
  readonly policy?: Partial<ApiDeps['heartbeat']['policy']>;
  readonly catchUp?: ApiDeps['heartbeat']['actors']['catchUp'];
  readonly asking?: ApiDeps['heartbeat']['asking'];
  readonly attestation?: ApiDeps['heartbeat']['attestation'];
}

async function scripted(t: Cleanup, script: Scripted = {}) {
  const items: HeartbeatItem[] = [];
  const refused: Refused[] = [];
  const caughtUp: unknown[] = [];
  const verdicts = [...(script.verdicts ?? [accepted])];
  const api = await fakeApi(t, {
    change: (deps) => ({
      ...deps,
      heartbeat: {
        ...deps.heartbeat,
        ...(script.asking === undefined ? {} : { asking: script.asking }),
        attestation: script.attestation ?? null,
        identification: {
          identify() {
            const who = script.identity === undefined ? identity : script.identity;
            if (typeof who === 'string') throw new TrustError(who);
            return who;
          },
        },
        batcher: {
          async submit(item) {
            items.push(item);
            const verdict = verdicts.length > 1 ? verdicts.shift() : verdicts[0];
            if (verdict === undefined || typeof verdict === 'string') throw new TrustError(verdict ?? 'internal.error');
            return verdict;
          },
        },
        refusals: { record: async (refusal) => void refused.push(refusal) },
        actors: {
          async catchUp(device, origin) {
            caughtUp.push({ device, by: origin.by });
            return (await script.catchUp?.(device, origin)) ?? { state: 'approved', revision: 1 };
          },
        },
        policy: { ...deps.heartbeat.policy, ...script.policy },
      },
    }),
  });
  const send = (payload: object = body, headers: Record<string, string> = {}) =>
    api.app.inject({ method: 'POST', url: '/api/heartbeat', payload, headers });
  return { ...api, send, items, refused, caughtUp };
}

describe('POST /api/heartbeat', () => {
  it('digests what is said each time it is something else, and again the same when it is said again', async (t) => {
    const { send, items } = await scripted(t);
    const other = await scripted(t, { identity: await identityOf('device-1') });
    const first = { ...body, tags: ['b', 'a'], posture: { firewall: true } };
    for (const said of [first, first, { ...first, posture: { firewall: false } }, { ...first, tags: ['a', 'b'] }])
      await send(said);
    await other.send(first);
    const digests = items.map(({ observed_digest }) => observed_digest);
    assert.equal(digests[1], digests[0]);
    assert.notEqual(digests[2], digests[0]);
    assert.equal(digests[3], digests[0], 'tags are a set');
    assert.equal(items[2]?.observation.posture['firewall'], false);
    assert.notEqual(other.items[0]?.observed_digest, digests[0], 'the certificate is part of it');
  });

  it('answers an approved device with its tier and when to report again', async (t) => {
    const { send } = await scripted(t);
    const answer = await send({ ...body, acknowledgements: [{ id: 'c-1', status: 'completed' }] });
    assert.equal(answer.statusCode, 200);
    assert.deepEqual(answer.json(), {
      status: 'accepted',
      trust_tier: 'monitored',
      commands: [],
      attestation_challenge: null,
      acknowledged: ['c-1'],
      next_heartbeat_seconds: 15,
    });
  });

  it('asks the store for nothing but its verdict where nobody has to give evidence', async (t) => {
    let asked = 0;
    const asking = { submit: () => Promise.reject(new Error(`asked ${(asked += 1)} times`)) };
    const { send, items, caughtUp, notified } = await scripted(t, { asking });
    for (const attestation of [{}, { attestation: { provider: 'tpm_quote_v1', nonce: 'n' } }])
      assert.equal((await send({ ...body, ...attestation })).statusCode, 200);
    assert.deepEqual([items.length, asked, caughtUp, notified], [2, 0, [], []]);
    assert.equal(items[1]?.observed_digest, items[0]?.observed_digest);
  });

  it('tells no actor of a device that goes on answering, and one whose evidence waits for it', async (t) => {
    for (const waits of [false, true]) {
      const standing = {
        grant: null,
        attestation: null,
        challenge: null,
        candidate_fingerprint: null,
        activated_in: null,
        counted: 0,
        unrecorded: 0,
      };
      const attestation = {
        judge: async () => ({ verdict: unjudged, standing }),
        ask: async () => [],
        lowerStale: async () => [],
        stateOf: () => 'verified' as const,
        waitsForActor: () => waits,
        challengeOf: () => null,
        noted: () => ({ generation: 1 }),
        readStanding: async () => standing,
      };
      const { send, items, caughtUp, notified } = await scripted(t, { attestation });
      for (let beat = 1; beat <= 3; beat += 1)
        await send({ ...body, heartbeat_counter: beat, attestation: { provider: 'tpm_quote_v1', nonce: `${beat}` } });
      assert.equal(new Set(items.map(({ observed_digest }) => observed_digest)).size, 1);
      assert.deepEqual([items.length, caughtUp.length, notified.length], [3, waits ? 3 : 0, 0]);
    }
  });

  it('hands what was reported to the store, as the device that the certificate names', async (t) => {
    const { send, items } = await scripted(t);
    await send({
      ...body,
      tags: ['b', 'a', 'b'],
      hostname: 'h',
      posture: { disk_encrypted: true },
      directory: { entra_device_id: 'x' },
      acknowledgements: [{ id: 'c-1', status: 'failed', detail: 'why' }],
    });
    const [item] = items;
    assert.deepEqual([item?.project, item?.device_id, item?.counter], ['tenant', 'device-1', 1]);
    assert.equal(item?.certificate?.facts.fingerprint_sha256, identity.certificate.fingerprintSha256);
    assert.equal(
      parseCertificate(item?.certificate?.pem ?? '').fingerprintSha256,
      identity.certificate.fingerprintSha256,
    );
    assert.deepEqual(item?.observation, {
      hostname: 'h',
      platform: null,
      agent_version: null,
      tags: ['a', 'b'],
      posture: { disk_encrypted: true },
      directory: { entra_device_id: 'x' },
    });
    assert.deepEqual(item?.acknowledgements, [
      { kind: 'acknowledgement', payload: { id: 'c-1', status: 'failed', detail: 'why' } },
    ]);
  });

  it('gives what was reported one digest, whatever the order, and another one for each change', async (t) => {
    const { send, items } = await scripted(t);
    const same = [
      { tags: ['a', 'b'], posture: { x: 1, y: 2 } },
      { tags: ['b', 'a', 'a'], posture: { y: 2, x: 1 }, heartbeat_counter: 2 },
    ];
    const other = [
      {},
      { tags: ['a'] },
      { hostname: 'h' },
      { platform: 'p' },
      { agent_version: '1' },
      { directory: { a: 'b' } },
    ];
    for (const more of [...same, ...other]) await send({ ...body, ...more });
    const digests = items.map(({ observed_digest }) => observed_digest);
    assert.equal(digests[0], digests[1]);
    assert.equal(new Set(digests).size, digests.length - 1);
  });

  for (const [what, counter] of [
    ['missing', undefined],
    ['0', 0],
    ['−1', -1],
    ['1.5', 1.5],
    ['"7"', '7'],
    ['2^53', 2 ** 53],
    ['null', null],
    ['true', true],
    ['[1]', [1]],
  ] as const) {
    it(`refuses a counter that is ${what} (HB-07)`, async (t) => {
      const { send, items } = await scripted(t);
      const answer = await send({ device_id: 'device-1', heartbeat_counter: counter });
      assert.equal(problemOf(answer).code, 'heartbeat.counter_invalid');
      assert.deepEqual(items, []);
    });
  }

  it('refuses a counter that JSON numbers can no longer carry exactly (HB-07)', async (t) => {
    const { app } = await scripted(t);
    for (const text of ['9007199254740993', '1e400', '9007199254740992']) {
      const payload = `{"device_id":"device-1","heartbeat_counter":${text}}`;
      const headers = { 'content-type': 'application/json' };
      const answer = await app.inject({ method: 'POST', url: '/api/heartbeat', payload, headers });
      assert.equal(problemOf(answer).code, 'heartbeat.counter_invalid', text);
    }
  });

  it('needs no counter where counters are not required, and judges one that comes (HB-07)', async (t) => {
    const { send, items } = await scripted(t, { policy: { requireCounters: false } });
    assert.equal((await send({ device_id: 'device-1' })).statusCode, 200);
    assert.equal(items[0]?.counter, null);
    assert.equal(
      problemOf(await send({ device_id: 'device-1', heartbeat_counter: 0 })).code,
      'heartbeat.counter_invalid',
    );
  });

  it('refuses what does not fit the schema before it looks at who it is', async (t) => {
    const { send, items, refused } = await scripted(t, { identity: 'certificate.untrusted' });
    for (const [more, field] of [
      [{ surprise: 1 }, 'surprise'],
      [{ device_id: '../x' }, 'device_id'],
      [{ device_id: 'x'.repeat(65) }, 'device_id'],
      [{ tags: ['a b'] }, 'tags[0]'],
      [{ tags: Array.from({ length: 65 }, (_, index) => `t${index}`) }, 'tags'],
      [{ posture: { Bad: 1 } }, 'posture.Bad'],
      [{ posture: { nested: {} } }, 'posture.nested'],
      [{ directory: { entra_device_id: 7 } }, 'directory.entra_device_id'],
      [{ acknowledgements: [{ id: 'x' }] }, 'acknowledgements[0].status'],
      [{ hostname: '' }, 'hostname'],
    ] as const) {
      const problem = problemOf(await send({ ...body, ...more }));
      assert.equal(problem.code, 'request.invalid', JSON.stringify(more));
      assert.deepEqual(
        problem.errors.map((error) => error.field),
        [field],
      );
    }
    assert.deepEqual([items, refused], [[], []]);
  });

  it('refuses whoever shows no certificate while device mTLS is required (HB-02)', async (t) => {
    const { send, items } = await scripted(t, { identity: null });
    assert.deepEqual(problemOf(await send()), { ...problemOf(await send()), status: 401, code: 'certificate.missing' });
    assert.deepEqual(items, []);
  });

  it('takes an unverified device where device mTLS is off, with a low tier and no commands (HB-03)', async (t) => {
    const { send, items } = await scripted(t, {
      identity: null,
      policy: { requireMtls: false },
      verdicts: [{ ...accepted, identity_verified: false }],
    });
    const answer = (await send()).json<HeartbeatAnswer>();
    assert.deepEqual([answer.status, answer.trust_tier, answer.commands], ['accepted', 'observed', []]);
    assert.deepEqual([items[0]?.project, items[0]?.certificate], ['default', null]);
  });

  it('refuses a certificate that names another device, unless names need not match (HB-05)', async (t) => {
    const { send, items, refused } = await scripted(t);
    assert.equal(problemOf(await send({ ...body, device_id: 'device-2' })).code, 'certificate.name_mismatch');
    assert.deepEqual(items, []);
    assert.deepEqual(
      [refused[0]?.deviceId, refused[0]?.provenFingerprint, refused[0]?.project],
      ['device-2', identity.certificate.fingerprintSha256, 'tenant'],
    );
    const loose = await scripted(t, { policy: { requireCommonNameMatch: false } });
    assert.equal((await loose.send({ ...body, device_id: 'device-2' })).statusCode, 200);
  });

  for (const code of [
    'certificate.missing',
    'certificate.untrusted',
    'certificate.expired',
    'certificate.not_yet_valid',
    'certificate.wrong_usage',
    'certificate.headers_disagree',
    'proxy.untrusted',
  ] as const) {
    it(`writes down an identity refused as ${code} (HB-11)`, async (t) => {
      const { send, refused } = await scripted(t, { identity: code });
      const answer = await send();
      assert.equal(problemOf(answer).code, code);
      assert.deepEqual(refused, [
        {
          code,
          project: 'default',
          deviceId: 'device-1',
          provenFingerprint: null,
          address: '127.0.0.1',
          addressBlock: '127.0.0.1',
          requestId: answer.headers['x-request-id'],
          details: {},
        },
      ]);
    });
  }

  for (const code of [
    'certificate.revoked',
    'heartbeat.replayed',
    'device.rejected',
    'device.retired',
    'device.other_certificate_pending',
  ] as const) {
    it(`answers the verdict ${code} with its problem, and writes it down (HB-08, HB-11)`, async (t) => {
      const { send, refused, notified } = await scripted(t, { verdicts: [{ ...accepted, code, signal: true }] });
      assert.equal(problemOf(await send()).code, code);
      assert.deepEqual(
        refused.map((refusal) => [refusal.code, refusal.provenFingerprint]),
        [[code, identity.certificate.fingerprintSha256]],
      );
      assert.deepEqual(notified, []);
    });
  }

  it('does not write down what says nothing about an identity', async (t) => {
    for (const code of ['service.overloaded', 'service.unavailable', 'rate.limited'] as const) {
      const { send, refused } = await scripted(t, { verdicts: [code] });
      const answer = await send();
      assert.equal(problemOf(answer).code, code);
      assert.ok(Number(answer.headers['retry-after']) >= 1);
      assert.deepEqual(refused, []);
    }
  });

  it('lets devices above the limit of pending ones wait longer', async (t) => {
    const { send } = await scripted(t, { verdicts: [{ ...accepted, code: 'rate.limited', grant: null }] });
    assert.equal((await send()).headers['retry-after'], '60');
  });

  it('answers 202 while a certificate waits, with no more than observed, and tells the actor once', async (t) => {
    const first = { ...accepted, code: 'pending', first_contact: true, signal: true, grant: null } as const;
    const rotating = { ...accepted, code: 'pending' } as const;
    const { send, notified } = await scripted(t, { verdicts: [first, rotating] });
    for (const expected of ['observed', 'observed']) {
      const answer = await send();
      assert.equal(answer.statusCode, 202);
      const { status, trust_tier } = answer.json<HeartbeatAnswer>();
      assert.deepEqual([status, trust_tier], ['pending', expected]);
    }
    assert.deepEqual(notified, [{ project: 'tenant', id: 'device-1', starts: true }]);
  });

  it('answers the tier that holds now: revoked, expired, whatever is lowest', async (t) => {
    for (const [more, tier] of [
      [{ pinned_revoked: true }, 'revoked'],
      [{ pinned_not_after: '2026-11-22T11:00:00.000Z' }, 'restricted'],
      [{ grant: { state: 'approved', tier: 'observed', epoch: 1 } }, 'observed'],
    ] as const) {
      const { send } = await scripted(t, { verdicts: [{ ...accepted, ...more }] });
      assert.equal((await send()).json<HeartbeatAnswer>().trust_tier, tier);
    }
  });

  it('approves a new device while it waits in an open enrollment window', async (t) => {
    const unknown = { ...accepted, code: 'pending', first_contact: true, signal: true, grant: null } as const;
    const { send, caughtUp, items } = await scripted(t, {
      policy: { requireApproval: false },
      verdicts: [unknown, accepted],
    });
    assert.equal((await send()).statusCode, 200);
    assert.deepEqual(caughtUp, [
      { device: { project: 'tenant', id: 'device-1' }, by: { kind: 'device', id: 'device-1' } },
    ]);
    assert.equal(items.length, 2);
  });

  it('answers 202 in an open enrollment window when Temporal is away, and tells the actor later', async (t) => {
    const unknown = { ...accepted, code: 'pending', first_contact: true, signal: true, grant: null } as const;
    const { send, notified } = await scripted(t, {
      policy: { requireApproval: false },
      verdicts: [unknown],
      catchUp: () => Promise.reject(new TrustError('service.unavailable')),
    });
    assert.equal((await send()).statusCode, 202);
    assert.deepEqual(notified, [{ project: 'tenant', id: 'device-1', starts: true }]);
  });

  it('leaves a rotation to people also in an open enrollment window', async (t) => {
    const { send, caughtUp } = await scripted(t, {
      policy: { requireApproval: false },
      verdicts: [{ ...accepted, code: 'pending', signal: true }],
    });
    assert.equal((await send()).statusCode, 202);
    assert.deepEqual(caughtUp, []);
  });

  it('counts what became of each', async (t) => {
    const { send, metrics } = await scripted(t, { verdicts: [accepted, { ...accepted, code: 'heartbeat.replayed' }] });
    await send();
    await send();
    const { values } = await metrics.heartbeats.get();
    assert.deepEqual(
      values.map(({ labels, value }) => [labels.outcome, value]),
      [
        ['accepted', 1],
        ['heartbeat.replayed', 1],
      ],
    );
  });
});

async function identityOf(deviceId: string): Promise<DeviceIdentity> {
  const life = {
    notBefore: new Date('2026-01-01'),
    notAfter: new Date('2027-01-01'),
    serialNumber: new Uint8Array([1]),
  };
  const authority = await issueCertificate({
    ...life,
    subject: [{ CN: ['CA'] }],
    authority: {},
    keyUsage: ['keyCertSign'],
  });
  const leaf = await issueCertificate({
    ...life,
    subject: [{ CN: [deviceId] }],
    issuer: authority,
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: ['1.3.6.1.5.5.7.3.2'],
  });
  const certificate = verifyDeviceCertificate({
    leaf: parseCertificate(leaf.certificatePem),
    presentedChain: [],
    anchors: parseTrustAnchors(authority.certificatePem),
    now: new Date('2026-11-22'),
  });
  return { project: 'tenant', certificate };
}
