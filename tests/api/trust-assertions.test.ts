// Trust assertions over HTTP: what is signed is what everybody sees of the device, for audiences on the list, and on record.
import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { describe, it } from 'node:test';
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from 'jose';
import type { ApiDeps } from '#api/app.ts';
import type { TrustAssertionsDeps } from '#api/trust-assertions.ts';
import type { Device } from '#contracts/http/devices.ts';
import type { TrustAssertion } from '#contracts/http/trust-assertions.ts';
import { TrustError } from '#contracts/problems.ts';
import { verificationKeys } from '#protocols/signed-envelope.ts';
import { verifyTrustAssertion } from '#protocols/trust-assertion.ts';
import type { DeviceRow } from '#store/device.ts';
import { assertionKey, fakeApi, problemOf } from '#tests/fakes/api-over-fakes.ts';
import { approvedDevice, certificateFacts, pendingDevice } from '#tests/fakes/fake-registry.ts';
import type { Cleanup } from '#tests/harness/cleanup.ts';

const keys = verificationKeys([createPublicKey(assertionKey.privateKey)]);

async function minting(t: Cleanup, change: Partial<TrustAssertionsDeps> = {}, others: Partial<ApiDeps> = {}) {
  const api = await fakeApi(t, {
    change: (deps) => ({ ...deps, ...others, trustAssertions: { ...deps.trustAssertions, ...change } }),
  });
  api.registry.addDevice(approvedDevice('lab-1'));
  const headers = await api.as('admin');
  const ask = (id: string, audience = 'demo') =>
    api.app.inject({ url: `/api/devices/${id}/trust-assertion?audience=${encodeURIComponent(audience)}`, headers });
  const actions = () => api.audited.map(({ entry }) => [entry.action, entry.outcome, entry.details['code'] ?? null]);
  return { ...api, headers, ask, actions };
}

describe('GET /api/devices/:device_id/trust-assertion', () => {
  it('signs for an audience what is known of the device at this moment, and writes down that it did (TF-04)', async (t) => {
    const { ask, app, clock, audited, headers } = await minting(t);
    const answer = await ask('lab-1');
    assert.equal(answer.statusCode, 200, answer.body);
    assert.equal(answer.headers['cache-control'], 'no-store');
    const { assertion, ...said } = answer.json<TrustAssertion>();
    const device = (await app.inject({ url: '/api/devices/lab-1', headers })).json<Device>();
    assert.deepEqual(said, {
      assertion_id: said.assertion_id,
      key_id: assertionKey.keyId,
      issuer: 'https://sentinel.test',
      audience: 'demo',
      issued_at: clock.now().toISOString(),
      expires_at: new Date(clock.now().getTime() + 60_000).toISOString(),
      device_id: 'lab-1',
      project: 'default',
      trust_tier: device.trust_tier,
      approval_state: device.approval_state,
      retired: false,
      certificate_fingerprint_sha256: device.certificate?.fingerprint_sha256,
    });
    const verified = await verifyTrustAssertion(assertion, {
      issuer: said.issuer,
      audience: 'demo',
      keys,
      now: clock.now(),
    });
    assert.equal(verified.id, said.assertion_id);
    assert.equal(verified.trust_tier, 'monitored');
    assert.equal(verified.certificate_fingerprint_sha256, certificateFacts.fingerprint_sha256);

    const [event, ...rest] = audited;
    assert.equal(rest.length, 0);
    assert.deepEqual(
      { project: event?.project, ...event?.entry },
      {
        project: 'default',
        occurred_at: clock.now().toISOString(),
        category: 'identity',
        action: 'trust_assertion.minted',
        actor: { kind: 'user', id: 'admin', ip: '127.0.0.1' },
        subject: { kind: 'device', id: 'lab-1' },
        outcome: 'success',
        details: {
          audience: 'demo',
          assertion_id: said.assertion_id,
          key_id: assertionKey.keyId,
          trust_tier: 'monitored',
          approval_state: 'approved',
          expires_at: said.expires_at,
        },
        request_id: answer.headers['x-request-id'],
      },
    );
    for (const part of assertion.split('.')) assert.ok(!JSON.stringify(audited).includes(part));
  });

  const past = '2026-11-01T00:00:00.000Z';
  const { grant } = approvedDevice('any');
  assert.ok(grant);
  const rows: readonly (readonly [title: string, row: DeviceRow, tier: string, approval: string])[] = [
    ['a pending device', pendingDevice('d'), 'observed', 'pending'],
    ['a revoked one', approvedDevice('d', { pinned_revoked: true }), 'revoked', 'approved'],
    [
      'one whose certificate has ended, though nobody has noticed yet',
      approvedDevice('d', { grant: { ...grant, pinned_certificate: { ...certificateFacts, not_after: past } } }),
      'restricted',
      'approved',
    ],
    ['a retired one', approvedDevice('d', { grant: { ...grant, state: 'retired' } }), 'restricted', 'approved'],
    [
      'a rejected one',
      approvedDevice('d', { grant: { ...grant, state: 'rejected', tier: 'restricted' } }),
      'restricted',
      'rejected',
    ],
    ['one that nobody has decided about', approvedDevice('d', { grant: null }), 'observed', 'pending'],
  ];
  for (const [title, row, tier, approval] of rows) {
    it(`says of ${title} that it is ${tier} (TF-04)`, async (t) => {
      const { ask, registry, clock } = await minting(t);
      registry.addDevice(row);
      const { assertion, ...said } = (await ask('d')).json<TrustAssertion>();
      const now = clock.now();
      const verified = await verifyTrustAssertion(assertion, { issuer: said.issuer, audience: 'demo', keys, now });
      assert.deepEqual([verified.trust_tier, verified.approval_state], [tier, approval]);
      assert.deepEqual([said.trust_tier, said.approval_state], [tier, approval]);
    });
  }

  it('says what holds when it is asked, not what held a moment ago (TF-04)', async (t) => {
    const { ask, registry } = await minting(t);
    assert.equal((await ask('lab-1')).json<TrustAssertion>().trust_tier, 'monitored');
    registry.addDevice(approvedDevice('lab-1', { pinned_revoked: true }));
    assert.equal((await ask('lab-1')).json<TrustAssertion>().trust_tier, 'revoked');
  });

  for (const audience of ['mail', 'Demo', 'demo ', 'demo/', '*', 'https://vpn.test', 'constructor']) {
    it(`refuses the audience ${JSON.stringify(audience)}, which is not on the list, and writes that down (TF-06)`, async (t) => {
      const { ask, actions } = await minting(t);
      const answer = await ask('lab-1', audience);
      // A space is in no name of a system.
      const isName = audience.trim() === audience;
      assert.deepEqual(
        [problemOf(answer).status, problemOf(answer).code],
        isName ? [403, 'assertion.audience_refused'] : [400, 'request.invalid'],
      );
      assert.deepEqual(actions(), isName ? [['trust_assertion.refused', 'refused', 'assertion.audience_refused']] : []);
    });
  }

  it('takes every audience that is on the list as it stands there (TF-05)', async (t) => {
    const { ask } = await minting(t);
    assert.equal((await ask('lab-1', 'https://vpn.test/')).json<TrustAssertion>().audience, 'https://vpn.test/');
  });

  it('refuses every audience while the list is empty (TF-05, TF-06)', async (t) => {
    const { ask } = await minting(t, { allowedAudiences: [] });
    assert.equal(problemOf(await ask('lab-1')).code, 'assertion.audience_refused');
  });

  for (const [query, why] of [
    ['', 'no audience'],
    ['?audience=', 'an empty audience'],
    ['?audience=demo&audience=mail', 'two audiences'],
    [`?audience=${'x'.repeat(201)}`, 'a long one'],
    ['?audience=demo,mail', 'a list'],
    ['?audience=demo&lifetime_seconds=9999', 'a lifetime'],
  ] as const) {
    it(`refuses ${why}`, async (t) => {
      const { app, headers } = await minting(t);
      const answer = await app.inject({ url: `/api/devices/lab-1/trust-assertion${query}`, headers });
      assert.equal(problemOf(answer).code, 'request.invalid');
    });
  }

  const noKey = {
    published: () => [],
    signing: () => {
      throw new TrustError('assertion.unavailable', { detail: 'SENTINEL_X is not set' });
    },
  };
  for (const [title, change] of [
    ['no key', { keys: noKey }],
    ['no issuer', { issuer: undefined }],
  ] as const) {
    it(`says what to set when there is ${title}, and writes the refusal down (TF-05)`, async (t) => {
      const { ask, actions } = await minting(t, change);
      const problem = problemOf(await ask('lab-1'));
      assert.deepEqual([problem.status, problem.code], [503, 'assertion.unavailable']);
      assert.match(problem.detail, /SENTINEL_\w+ is not set/);
      assert.deepEqual(actions(), [['trust_assertion.refused', 'refused', 'assertion.unavailable']]);
    });
  }

  it('knows no device that is not there, and says no more of one of another project', async (t) => {
    const { ask, app, headers, actions } = await minting(t);
    assert.equal(problemOf(await ask('nobody')).code, 'resource.not_found');
    const elsewhere = await app.inject({
      url: '/api/devices/lab-1/trust-assertion?audience=demo',
      headers: { ...headers, 'x-sentinel-project': 'other' },
    });
    assert.equal(problemOf(elsewhere).code, 'resource.not_found');
    assert.deepEqual(actions(), [
      ['trust_assertion.refused', 'refused', 'resource.not_found'],
      ['trust_assertion.refused', 'refused', 'resource.not_found'],
    ]);
  });

  it('gives nothing out that could not be written down', async (t) => {
    const { ask } = await minting(t, { audit: () => Promise.reject(new TrustError('service.unavailable')) });
    const answer = await ask('lab-1');
    assert.equal(problemOf(answer).code, 'service.unavailable');
    assert.doesNotMatch(answer.body, /eyJ/);
  });

  it('gives nothing out while the audit trail cannot be sealed, though it is only a GET', async (t) => {
    const base = { limitSeconds: 300, isRewritten: async () => false, isAuditWritable: async () => true };
    const { ask, app, headers } = await minting(
      t,
      {},
      { sealGuard: { ...base, sealLagSeconds: async () => 301, clock: { now: () => new Date() } } },
    );
    assert.equal(problemOf(await ask('lab-1')).code, 'service.unavailable');
    assert.equal((await app.inject({ url: '/api/devices/lab-1', headers })).statusCode, 200);
  });

  it('mints nothing for a HEAD, which nobody would get, and does not count it (TF-04)', async (t) => {
    const { ask, app, headers, audited } = await minting(t);
    for (let i = 0; i < 121; i += 1) {
      const answer = await app.inject({
        method: 'HEAD',
        url: '/api/devices/lab-1/trust-assertion?audience=demo',
        headers,
      });
      assert.equal(answer.statusCode, 404);
    }
    assert.deepEqual(audited, []);
    assert.equal((await ask('lab-1')).statusCode, 200);
  });

  it('makes whoever asks for too many wait', async (t) => {
    const { ask } = await minting(t);
    for (let i = 0; i < 120; i += 1) assert.equal((await ask('lab-1')).statusCode, 200);
    const limited = await ask('lab-1');
    assert.equal(problemOf(limited).code, 'rate.limited');
    assert.ok(Number(limited.headers['retry-after']) > 0);
  });
});

describe('GET /.well-known/jwks.json', () => {
  it('is open to everybody, may be kept for a minute, and verifies what was signed (TF-05)', async (t) => {
    const { app, ask, clock } = await minting(t);
    const answer = await app.inject({ url: '/.well-known/jwks.json' });
    assert.equal(answer.statusCode, 200);
    assert.equal(answer.headers['cache-control'], 'public, max-age=60');
    assert.match(String(answer.headers['content-type']), /^application\/jwk-set\+json/);
    const { assertion } = (await ask('lab-1')).json<TrustAssertion>();
    const set = createLocalJWKSet(answer.json<JSONWebKeySet>());
    const { payload } = await jwtVerify(assertion, set, { audience: 'demo', currentDate: clock.now() });
    assert.equal(payload.sub, 'default/lab-1');
  });

  it('holds nothing private, even if a private key were handed to it', async (t) => {
    const { app } = await minting(t, {
      keys: { signing: () => assertionKey, published: () => [assertionKey.privateKey] },
    });
    const { keys: found } = (await app.inject({ url: '/.well-known/jwks.json' })).json<JSONWebKeySet>();
    assert.deepEqual(Object.keys(found[0] ?? {}).toSorted(), ['alg', 'crv', 'kid', 'kty', 'use', 'x']);
  });

  it('is an empty set, and no error, while there is no key', async (t) => {
    const { app } = await minting(t, { keys: { signing: () => assertionKey, published: () => [] } });
    assert.deepEqual((await app.inject({ url: '/.well-known/jwks.json' })).json(), { keys: [] });
  });
});
