// Devices and approvals over fakes: what is shown, who may ask for what, and what an actor's refusal becomes.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Approval } from '#contracts/http/approvals.ts';
import type { Device, DeviceList } from '#contracts/http/devices.ts';
import type { DeviceExplanation } from '#contracts/http/explanation.ts';
import { TrustError } from '#contracts/problems.ts';
import { fakeApi, problemOf } from '#tests/fakes/api-over-fakes.ts';
import {
  approvedDevice,
  certificateFacts,
  openApproval,
  pendingDevice,
  reviewDigest,
  reviewId,
} from '#tests/fakes/fake-registry.ts';

describe('GET /api/devices', () => {
  it('shows trust tier, attestation, certificate and directory ids of each device (HB-09, HB-12, HB-14)', async (t) => {
    const { app, as, registry } = await fakeApi(t);
    registry.addDevice(approvedDevice('device-1'));
    const { items } = (await app.inject({ url: '/api/devices', headers: await as('viewer') })).json<DeviceList>();
    assert.deepEqual(items, [
      {
        device_id: 'device-1',
        project: 'default',
        approval_state: 'approved',
        retired: false,
        trust_tier: 'monitored',
        liveness: 'online',
        last_seen_at: '2026-11-22T11:59:50.000Z',
        first_seen_at: '2026-11-01T00:00:00.000Z',
        heartbeat_counter: 7,
        token_version: 1,
        reported_tags: ['server'],
        assigned_tags: [],
        agent_version: '1.0.0',
        hostname: 'device-1.example',
        platform: 'linux',
        posture: { disk_encrypted: true },
        directory: { entra_device_id: 'e-1' },
        certificate: { ...certificateFacts, expiring_soon: false, rotation: 'none' },
        candidate_certificate: null,
        attestation: { state: 'not_required', provider: null, verified_at: null, reason: null },
        hardware_identity: null,
        pending_review: null,
        reason: null,
        workflow: {
          id: 'device/default/device-1',
          url: '/temporal/namespaces/default/workflows/device%2Fdefault%2Fdevice-1',
        },
      },
    ]);
  });

  it('marks certificates inside the configured number of days as expiring soon (HB-12)', async (t) => {
    const { app, as, registry } = await fakeApi(t);
    const headers = await as('viewer');
    for (const [not_after, expected] of [
      ['2026-12-22T12:00:00.001Z', { expiring_soon: false, rotation: 'none', trust_tier: 'monitored' }],
      ['2026-12-22T11:59:59.000Z', { expiring_soon: true, rotation: 'recommended', trust_tier: 'monitored' }],
      ['2026-11-29T11:59:59.000Z', { expiring_soon: true, rotation: 'required', trust_tier: 'monitored' }],
      ['2026-11-22T12:00:00.000Z', { expiring_soon: true, rotation: 'required', trust_tier: 'restricted' }],
    ] as const) {
      const row = approvedDevice('device-1');
      registry.addDevice({
        ...row,
        grant: row.grant && { ...row.grant, pinned_certificate: { ...certificateFacts, not_after } },
      });
      const { certificate, trust_tier } = (await app.inject({ url: '/api/devices/device-1', headers })).json<Device>();
      const { expiring_soon, rotation } = certificate ?? {};
      assert.deepEqual({ expiring_soon, rotation, trust_tier }, expected, not_after);
    }
  });

  it('computes liveness and tier when it is asked, so that trust decays while nothing happens (HB-14)', async (t) => {
    const { app, as, registry, clock } = await fakeApi(t);
    const headers = await as('viewer');
    registry.addDevice(approvedDevice('device-1'));
    const ask = async () => (await app.inject({ url: '/api/devices/device-1', headers })).json<Device>();
    assert.equal((await ask()).liveness, 'online');
    clock.advance(50_000);
    assert.equal((await ask()).liveness, 'stale');
    clock.advance(600_000);
    const offline = await ask();
    assert.deepEqual([offline.liveness, offline.trust_tier], ['offline', 'monitored']);
  });

  it('shows a device that nobody has decided about, and its review', async (t) => {
    const { app, as, registry } = await fakeApi(t);
    registry.addDevice(pendingDevice('pending-1', { review_voters: ['ann'] }));
    registry.addDevice(approvedDevice('untouched', { grant: null, liveness: null, observation: null }));
    const headers = await as('viewer');
    const pending = (await app.inject({ url: '/api/devices/pending-1', headers })).json<Device>();
    assert.deepEqual(pending.pending_review, {
      id: reviewId,
      kind: 'enrollment',
      digest: reviewDigest,
      expires_at: '2026-11-29T12:00:00.000Z',
      approvals: 1,
      required: 2,
    });
    assert.deepEqual([pending.certificate, pending.candidate_certificate?.subject], [null, 'CN=pending-1']);
    const untouched = (await app.inject({ url: '/api/devices/untouched', headers })).json<Device>();
    assert.deepEqual(
      [untouched.approval_state, untouched.trust_tier, untouched.liveness, untouched.heartbeat_counter],
      ['pending', 'observed', 'offline', null],
    );
  });

  it('gives pages whose cursors go on where they ended, and hold for the same filters only', async (t) => {
    const { app, as, registry } = await fakeApi(t);
    const headers = await as('viewer');
    for (const id of ['a', 'b', 'c']) registry.addDevice(approvedDevice(id));
    const list = async (query: string) => app.inject({ url: `/api/devices?${query}`, headers });
    const first = (await list('limit=2')).json<DeviceList>();
    assert.deepEqual(
      first.items.map(({ device_id }) => device_id),
      ['a', 'b'],
    );
    const second = (await list(`limit=2&cursor=${first.next_cursor}`)).json<DeviceList>();
    assert.deepEqual([second.items.map(({ device_id }) => device_id), second.next_cursor], [['c'], null]);
    const other = await list(`limit=2&approval_state=pending&cursor=${first.next_cursor}`);
    assert.equal(problemOf(other).code, 'request.cursor_invalid');
  });

  it('finds nothing of another project', async (t) => {
    const { app, as, registry } = await fakeApi(t);
    registry.addDevice(approvedDevice('device-1'));
    const headers = { ...(await as('admin')), 'x-sentinel-project': 'other' };
    assert.deepEqual((await app.inject({ url: '/api/devices', headers })).json<DeviceList>().items, []);
    for (const [method, url] of [
      ['GET', '/api/devices/device-1'],
      ['GET', '/api/devices/device-1/history'],
      ['POST', '/api/devices/device-1/reset'],
      ['POST', '/api/devices/device-1/retire'],
      ['POST', '/api/devices/device-1/certificate/revoke'],
    ] as const) {
      const answer = await app.inject({ method, url, headers, ...(method === 'POST' ? { payload: {} } : {}) });
      assert.equal(problemOf(answer).code, 'resource.not_found', url);
    }
  });

  it('explains a tier in words and as data, and says what would change it', async (t) => {
    const { app, as, registry, clock } = await fakeApi(t);
    registry.addDevice(pendingDevice('pending-1'));
    const answer = await app.inject({ url: '/api/devices/pending-1/explanation', headers: await as('viewer') });
    assert.equal(answer.statusCode, 200);
    const body = answer.json<DeviceExplanation>();
    assert.equal(body.trust_tier, 'observed');
    assert.deepEqual(body.facts[0], {
      reason: 'identity.pending',
      about: 'identity',
      text: 'Nobody has approved this device yet.',
      at_most: 'observed',
      decides: true,
      change: 'People approve its enrollment.',
      at: null,
      by: [],
      settings: ['SENTINEL_REQUIRE_NEW_DEVICE_APPROVAL'],
    });
    assert.deepEqual(
      body.answers.map(({ question, standing }) => [question, standing]),
      [
        ['expected', 'watch'],
        ['trusted', 'watch'],
        ['certificate', 'none'],
        ['waiting', 'watch'],
      ],
    );
    assert.deepEqual([body.waits_for?.missing, body.waits_for?.permission], [2, 'identity.review']);
    assert.ok(body.settings.some(({ name, value }) => name === 'SENTINEL_DEVICE_STALE_SECONDS' && value === '60'));
    assert.equal(body.pending_review?.required, 2);
    assert.equal(body.liveness.state, 'online');
    assert.equal(body.explained_at, clock.now().toISOString());
    const nobody = await app.inject({ url: '/api/devices/nobody/explanation', headers: await as('viewer') });
    assert.equal(problemOf(nobody).code, 'resource.not_found');
  });

  it('shows the whole history, newest first', async (t) => {
    const { app, as, registry } = await fakeApi(t);
    registry.addDevice(approvedDevice('device-1'));
    for (const revision of [3, 2, 1]) {
      registry.history.push({
        epoch: 0,
        revision,
        at: '2026-11-22T12:00:00.000Z',
        event: 'news.fetched',
        by: { kind: 'system', id: 'actor', ip: null },
        from_state: null,
        to_state: 'pending',
        details: { revision },
      });
    }
    const headers = await as('viewer');
    const page = async (query: string) =>
      (await app.inject({ url: `/api/devices/device-1/history?${query}`, headers })).json<{
        items: { revision: number; by: object }[];
        next_cursor: string;
      }>();
    const first = await page('limit=2');
    assert.deepEqual(
      first.items.map(({ revision }) => revision),
      [3, 2],
    );
    assert.deepEqual(first.items[0]?.by, { kind: 'system', id: 'actor' });
    assert.deepEqual(
      (await page(`limit=2&cursor=${first.next_cursor}`)).items.map(({ revision }) => revision),
      [1],
    );
  });
});

describe('what people ask of a device', () => {
  it('goes to its actor with who asked, and the answer shows the effect', async (t) => {
    const { app, as, registry } = await fakeApi(t);
    registry.addDevice(approvedDevice('device-1'));
    const answer = await app.inject({
      method: 'POST',
      url: '/api/devices/device-1/retire',
      headers: { ...(await as('operator')), 'idempotency-key': 'once' },
      payload: { reason: 'sold' },
    });
    assert.equal(answer.json<Device>().retired, true);
    const [{ request } = { request: {} }] = registry.asked as { request: { request_id?: string } }[];
    assert.deepEqual(
      { ...request, request_id: typeof request.request_id },
      { by: { kind: 'user', id: 'operator', ip: '127.0.0.1' }, request_id: 'string', reason: 'sold' },
    );
  });

  it('names the same request to the actor when it is repeated, and another one otherwise', async (t) => {
    const { app, as, registry } = await fakeApi(t, {
      // As if the first answer had been lost: nothing of it was kept.
      change: (deps) => ({
        ...deps,
        idempotency: {
          start: async () => ({ kind: 'started', claim: '1' }),
          answer: async () => {},
          abandon: async () => {},
        },
      }),
    });
    registry.addDevice(approvedDevice('device-1'));
    registry.addDevice(approvedDevice('device-2'));
    const [operator, security] = [await as('operator'), await as('security')];
    const retire = async (device: string, headers: Record<string, string>) => {
      await app.inject({ method: 'POST', url: `/api/devices/${device}/retire`, headers, payload: {} });
      const last = registry.asked.at(-1) as { request: { request_id: string } };
      return last.request.request_id;
    };
    const first = await retire('device-1', { ...operator, 'idempotency-key': 'k' });
    assert.equal(await retire('device-1', { ...operator, 'idempotency-key': 'k' }), first);
    const others = [
      await retire('device-1', { ...operator, 'idempotency-key': 'other' }),
      await retire('device-2', { ...operator, 'idempotency-key': 'k' }),
      await retire('device-1', { ...security, 'idempotency-key': 'k' }),
      await retire('device-1', operator),
      await retire('device-1', operator),
    ];
    assert.equal(new Set([first, ...others]).size, 6);
  });

  it('is refused with the code of the actor', async (t) => {
    const { app, as, registry } = await fakeApi(t);
    registry.addDevice(approvedDevice('device-1'));
    const headers = await as('security');
    for (const code of ['device.already_retired', 'control.backlogged', 'service.unavailable'] as const) {
      registry.failWith(new TrustError(code));
      const answer = await app.inject({ method: 'POST', url: '/api/devices/device-1/retire', headers, payload: {} });
      assert.equal(problemOf(answer).code, code);
      assert.equal(answer.headers['retry-after'] !== undefined, answer.statusCode === 503);
    }
  });

  it('revokes the certificate without Temporal, tells the actor afterwards, and shows it at once (SS-04)', async (t) => {
    const { app, as, registry, notified } = await fakeApi(t);
    registry.addDevice(approvedDevice('device-1'));
    registry.failWith(new TrustError('service.unavailable'));
    const answer = await app.inject({
      method: 'POST',
      url: '/api/devices/device-1/certificate/revoke',
      headers: await as('security'),
      payload: { reason: 'key lost' },
    });
    assert.equal(answer.statusCode, 200);
    assert.equal(answer.json<Device>().trust_tier, 'revoked');
    assert.deepEqual(notified, [{ project: 'default', id: 'device-1', starts: false }]);
    assert.deepEqual(
      registry.asked.map(({ what }) => what),
      ['revoke'],
    );
  });

  it('takes an empty body, no body, and nothing unknown', async (t) => {
    const { app, as, registry } = await fakeApi(t);
    registry.addDevice(approvedDevice('device-1'));
    const request = { method: 'POST', url: '/api/devices/device-1/reset', headers: await as('security') } as const;
    assert.equal((await app.inject(request)).statusCode, 200);
    assert.equal((await app.inject({ ...request, payload: {} })).statusCode, 200);
    const json = { ...request.headers, 'content-type': 'application/json' };
    assert.equal((await app.inject({ ...request, headers: json })).statusCode, 200);
    assert.equal(problemOf(await app.inject({ ...request, payload: { force: true } })).code, 'request.invalid');
  });

  it('is refused while the audit trail cannot be sealed, but for what takes trust away; reads go on', async (t) => {
    const { app, as, registry } = await fakeApi(t, {
      change: (deps) => ({ ...deps, sealGuard: { ...deps.sealGuard, sealLagSeconds: async () => 301 } }),
    });
    registry.addDevice(approvedDevice('device-1'));
    const headers = await as('security');
    const post = (path: string) =>
      app.inject({ method: 'POST', url: `/api/devices/device-1/${path}`, headers, payload: {} });
    assert.equal(problemOf(await post('reset')).code, 'service.unavailable');
    assert.equal((await post('certificate/revoke')).statusCode, 200);
    assert.equal((await app.inject({ url: '/api/devices/device-1', headers })).statusCode, 200);
  });
});

describe('votes', () => {
  for (const [where, url] of [
    ['the approval', `/api/approvals/${reviewId}/review`],
    ['the device that waits for it', '/api/devices/pending-1/identity-review'],
  ] as const) {
    it(`on ${where} reach the approval's actor with person, decision and digest (AA-04, SA-15)`, async (t) => {
      const { app, as, registry } = await fakeApi(t);
      registry.addDevice(pendingDevice('pending-1'));
      registry.addApproval(openApproval());
      const payload = { decision: 'approve', reason: 'ours', digest: reviewDigest };
      const answer = await app.inject({ method: 'POST', url, headers: await as('approver'), payload });
      assert.equal(answer.statusCode, 200);
      const { what, request } = registry.asked[0] as { what: string; request: Record<string, unknown> };
      assert.deepEqual([what, request['by']], ['vote', { kind: 'user', id: 'approver', ip: '127.0.0.1' }]);
      assert.deepEqual([request['decision'], request['reason'], request['digest']], ['approve', 'ours', reviewDigest]);
    });

    it(`on ${where} are refused to those who may not review (AA-04)`, async (t) => {
      const { app, as, registry } = await fakeApi(t);
      registry.addDevice(pendingDevice('pending-1'));
      registry.addApproval(openApproval());
      for (const role of ['viewer', 'operator'] as const) {
        const answer = await app.inject({
          method: 'POST',
          url,
          headers: await as(role),
          payload: { decision: 'approve' },
        });
        const problem = problemOf(answer);
        assert.deepEqual([problem.code, problem.facts], ['auth.forbidden', { permission: 'identity.review' }]);
      }
      assert.deepEqual(registry.asked, []);
    });
  }

  it('are answered with the approval as it is after them', async (t) => {
    const { app, as, registry } = await fakeApi(t);
    registry.addApproval(openApproval());
    const url = `/api/approvals/${reviewId}/review`;
    const answer = await app.inject({
      method: 'POST',
      url,
      headers: await as('approver'),
      payload: { decision: 'reject' },
    });
    const { votes, workflow, subject, content } = answer.json<Approval>();
    assert.deepEqual(votes, [{ by: 'approver', decision: 'reject', reason: null, at: '2026-11-22T12:00:00.000Z' }]);
    assert.deepEqual(subject, { kind: 'device', id: 'pending-1' });
    assert.deepEqual(content, { device_id: 'pending-1' });
    assert.match(workflow.url ?? '', /^\/temporal\/namespaces\/default\/workflows\/approval%2F/);
  });

  it('are refused with the code of the approval: own request, twice, closed, changed (SA-15)', async (t) => {
    const { app, as, registry } = await fakeApi(t);
    registry.addApproval(openApproval({ state: 'approved', closed_at: '2026-11-22T12:00:00.000Z' }));
    const headers = await as('approver');
    for (const code of ['review.own_request', 'review.already_voted', 'review.closed', 'review.changed'] as const) {
      registry.failWith(new TrustError(code));
      const url = `/api/approvals/${reviewId}/review`;
      const answer = await app.inject({ method: 'POST', url, headers, payload: { decision: 'approve' } });
      assert.equal(problemOf(answer).code, code);
    }
  });

  it('are to be repeated when Temporal has lost an approval that is open', async (t) => {
    const { app, as, registry } = await fakeApi(t);
    registry.addApproval(openApproval());
    registry.failWith(new TrustError('review.closed'));
    const url = `/api/approvals/${reviewId}/review`;
    const answer = await app.inject({
      method: 'POST',
      url,
      headers: await as('approver'),
      payload: { decision: 'approve' },
    });
    assert.equal(problemOf(answer).code, 'service.unavailable');
  });

  it('need a device that waits for one, and an approval that exists', async (t) => {
    const { app, as, registry } = await fakeApi(t);
    registry.addDevice(approvedDevice('device-1'));
    const headers = await as('approver');
    const ask = async (url: string) =>
      problemOf(await app.inject({ method: 'POST', url, headers, payload: { decision: 'approve' } })).code;
    assert.equal(await ask('/api/devices/device-1/identity-review'), 'device.no_pending_review');
    assert.equal(await ask('/api/devices/nobody/identity-review'), 'resource.not_found');
    assert.equal(await ask(`/api/approvals/${reviewId}/review`), 'resource.not_found');
    assert.equal(await ask('/api/approvals/not-a-uuid/review'), 'request.invalid');
  });

  it('on an approval that Temporal has let go of have no link any more', async (t) => {
    const { app, as, registry, clock } = await fakeApi(t);
    registry.addApproval(openApproval({ state: 'expired', closed_at: '2026-11-22T12:00:00.000Z' }));
    clock.advance(30 * 24 * 60 * 60 * 1000 + 1);
    const { workflow } = (
      await app.inject({ url: `/api/approvals/${reviewId}`, headers: await as('viewer') })
    ).json<Approval>();
    assert.deepEqual(workflow, { id: `approval/${reviewId}`, url: null });
  });
});
