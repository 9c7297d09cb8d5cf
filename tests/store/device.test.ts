// Devices as the store gives them: joined, filtered, paged, and as their actor asks for them.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import fc from 'fast-check';
import { attestationStates, deviceStates, trustTiers } from '#contracts/states.ts';
import { effectiveTier } from '#machines/effective-tier.ts';
import { revokeCertificate } from '#store/denylist.ts';
import { deviceNews, findDevice, listDevices, listHistory, type DeviceFilter } from '#store/device.ts';
import { heartbeatBatch, type HeartbeatItem } from '#store/heartbeat.ts';
import { actorRuns, devicesWithNews, prune } from '#store/reconcile.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import {
  after,
  approval,
  approvalCommit,
  approved,
  commit,
  decide,
  digest,
  facts,
  grant,
  heartbeat,
  noon,
} from './builders.ts';
import { addProject, type StoreTest, storeTest } from './database.ts';

const view = { now: noon, stale_seconds: 60, offline_seconds: 600, identity_verified: true };
const review = (id: string) => ({
  id,
  kind: 'enrollment',
  digest: digest('subject'),
  expires_at: after(3600),
  required: 2,
});

describe('a device in the store', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  before(async () => {
    database = await storeTest(cleanup);
    await addProject(database, 'other');
  });

  const report = (item: HeartbeatItem, now = noon) =>
    heartbeatBatch(database.api, [item], { pendingLimit: 1000, signalIntervalSeconds: 43_200 }, now);
  const revoke = (device_id: string, fingerprint_sha256: string | null = null, now = noon) =>
    revokeCertificate(
      database.api,
      'default',
      { device_id, fingerprint_sha256, reason: null, by: { kind: 'user', id: 'sam' }, request_id: 'r' },
      now,
    );
  const idsOf = async (filter: DeviceFilter, now = noon): Promise<string[]> => {
    const rows = await listDevices(database.api, 'default', filter, { limit: 500, after: null }, { ...view, now });
    return rows.map(({ device_id }) => device_id);
  };

  it('is there from its first heartbeat, and shows its certificate as one that waits', async () => {
    await report(heartbeat('first'));
    const row = await findDevice(database.api, 'default', 'first');
    assert.equal(row?.grant, null);
    assert.equal(row?.candidate?.fingerprint_sha256, digest('first-1'));
    assert.deepEqual(row?.liveness, {
      first_seen_at: noon,
      last_seen_at: noon,
      heartbeat_counter: 0,
      counter_epoch: null,
    });
    assert.equal(row?.observation?.hostname, 'host');
    assert.equal(await findDevice(database.api, 'other', 'first'), null);
    assert.equal(await findDevice(database.api, 'default', `first' OR true --`), null);
  });

  it('shows a certificate no longer that was turned down, denied, or seen in an earlier review', async () => {
    for (const id of ['turned-down', 'denied', 'earlier']) await report(heartbeat(id));
    await decide(database.worker, 'turned-down', grant({ rejected_fingerprints: [digest('turned-down-1')] }));
    await revoke('denied', digest('denied-1'));
    await decide(database.worker, 'earlier', grant({ review_generation: 1 }));
    for (const id of ['turned-down', 'denied', 'earlier']) {
      assert.equal((await findDevice(database.api, 'default', id))?.candidate, null, id);
    }
  });

  it('shows its review once the approval is there, with the votes so far', async () => {
    const id = '11111111-1111-4111-8111-111111111111';
    await report(heartbeat('reviewed'));
    await decide(database.worker, 'reviewed', grant({ review: review(id) }));
    assert.equal((await findDevice(database.api, 'default', 'reviewed'))?.grant?.review, null);
    assert.ok(!(await idsOf({ pending_review: true })).includes('reviewed'));
    const votes = [
      { by: 'ann', decision: 'approve', reason: null, at: noon },
      { by: 'bob', decision: 'reject', reason: null, at: noon },
    ];
    await commit(database.worker, 'run-a', approvalCommit(id, { row: approval({ subject_id: 'reviewed', votes }) }));
    const row = await findDevice(database.api, 'default', 'reviewed');
    assert.equal(row?.grant?.review?.id, id);
    assert.equal(row?.review_approvals, 1);
    assert.deepEqual(await idsOf({ pending_review: true }), ['reviewed']);
  });

  it('is one too when its liveness was lost', async () => {
    await decide(database.worker, 'silent', approved('silent-1'));
    const row = await findDevice(database.api, 'default', 'silent');
    assert.equal(row?.liveness, null);
    assert.equal(row?.grant?.state, 'approved');
    assert.ok((await idsOf({})).includes('silent'));
    assert.ok((await idsOf({ liveness: 'offline' })).includes('silent'));
  });

  it('is found by state, tag, name, liveness, and any of these together', async () => {
    const observation = heartbeat('x').observation;
    await report(heartbeat('f-pending', { observation: { ...observation, tags: ['blue'], hostname: 'Berlin_1' } }));
    await report(heartbeat('f-approved', { observed_digest: digest('1') }));
    await decide(database.worker, 'f-approved', approved('f-approved-1', { assigned_tags: ['blue'] }));
    await decide(database.worker, 'f-retired', approved('f-retired-1', { state: 'retired', tier: 'restricted' }));
    const among = async (filter: DeviceFilter, now = noon) =>
      (await idsOf(filter, now)).filter((id) => id.startsWith('f-'));
    assert.deepEqual(await among({ tag: 'blue' }), ['f-approved', 'f-pending']);
    assert.deepEqual(await among({ approval_state: 'approved' }), ['f-approved', 'f-retired']);
    assert.deepEqual(await among({ approval_state: 'pending' }), ['f-pending']);
    assert.deepEqual(await among({ search: 'berlin_' }), ['f-pending']);
    assert.deepEqual(await among({ search: 'berlin%1' }), [], 'nothing of it is a pattern');
    assert.deepEqual(await among({ search: 'F-A' }), ['f-approved']);
    assert.deepEqual(await among({ liveness: 'online' }), ['f-approved', 'f-pending']);
    assert.deepEqual(await among({ liveness: 'online' }, after(60)), []);
    assert.deepEqual(await among({ liveness: 'stale' }, after(60)), ['f-approved', 'f-pending']);
    assert.deepEqual(await among({ liveness: 'offline' }, after(600)), ['f-approved', 'f-pending', 'f-retired']);
    assert.deepEqual(await among({ trust_tier: 'monitored' }), ['f-approved']);
    assert.deepEqual(await among({ trust_tier: 'monitored', tag: 'red' }), []);
    assert.deepEqual(await among({ trust_tier: 'restricted' }, '2027-06-01T00:00:00.000Z'), [
      'f-approved',
      'f-retired',
    ]);
    await revoke('f-approved');
    assert.deepEqual(await among({ trust_tier: 'revoked' }), ['f-approved']);
    assert.equal((await findDevice(database.api, 'default', 'f-approved'))?.pinned_revoked, true);
  });

  it('comes in pages that neither lose nor repeat one', async () => {
    const all = await idsOf({});
    const paged: string[] = [];
    for (let last: string | null = null; ;) {
      const page: readonly { device_id: string }[] = await listDevices(
        database.api,
        'default',
        {},
        { limit: 2, after: last },
        view,
      );
      if (page.length === 0) break;
      paged.push(...page.map(({ device_id }) => device_id));
      last = page.at(-1)?.device_id ?? null;
    }
    assert.deepEqual(paged, all);
    assert.deepEqual(
      all,
      all.toSorted((a, b) => (a < b ? -1 : 1)),
    );
  });

  it('has the same tier in SQL as in the decision, whatever the facts (HB-14)', async () => {
    const cases = fc.record({
      grant: fc.option(fc.record({ state: fc.constantFrom(...deviceStates), tier: fc.constantFrom(...trustTiers) })),
      pinned_not_after: fc.option(fc.constantFrom(after(-1), noon, after(1))),
      pinned_revoked: fc.boolean(),
      attestation: fc.constantFrom(...attestationStates),
      identity_verified: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(cases, async (inputs) => {
        const [row] = await database.api.query<{ tier: string }>(
          'SELECT effective_tier($1, $2, $3, $4, $5, $6, $7) AS tier',
          [
            inputs.grant?.state ?? null,
            inputs.grant?.tier ?? null,
            inputs.pinned_not_after,
            inputs.pinned_revoked,
            inputs.attestation,
            inputs.identity_verified,
            noon,
          ],
        );
        assert.equal(row?.tier, effectiveTier(inputs, noon).tier);
      }),
      { numRuns: 300 },
    );
  });

  it('tells its actor what was observed, what waits, and what is denied', async () => {
    const news = (pinned: string | null = null) =>
      deviceNews(database.worker, {
        project: 'default',
        device_id: 'news',
        pinned: pinned === null ? null : facts(pinned),
      });
    assert.deepEqual(await news(), { observed: null, candidate: null, inbox_through: 0, revoked: [] });
    await report(heartbeat('news', { observation: { ...heartbeat('x').observation, tags: ['a', 'b'] } }));
    assert.deepEqual(await news(), {
      observed: { digest: digest('observed'), reported_tags: ['a', 'b'], hostname: 'host', platform: 'linux' },
      candidate: { certificate: facts('news-1'), generation: 0 },
      inbox_through: 0,
      revoked: [],
    });
    await revoke('news', digest('news-1'));
    assert.deepEqual((await news('news-0')).revoked, [digest('news-1')]);
    assert.deepEqual((await news('news-1')).revoked, [digest('news-1')]);
  });

  it('keeps its whole history, newest first, over all epochs', async () => {
    await decide(database.worker, 'history', grant());
    await decide(database.worker, 'history', approved('history-1'));
    const ref = { kind: 'device', project: 'default', id: 'history' } as const;
    const page = await listHistory(database.api, ref, { limit: 1, after: null });
    assert.deepEqual(
      page.map(({ epoch, revision, to_state }) => [epoch, revision, to_state]),
      [[1, 2, 'approved']],
    );
    const rest = await listHistory(database.api, ref, { limit: 9, after: { epoch: 1, revision: 2 } });
    assert.deepEqual(
      rest.map(({ revision }) => revision),
      [1],
    );
    assert.deepEqual(await listHistory(database.api, { ...ref, project: 'other' }, { limit: 9, after: null }), []);
  });
});

describe('what looks across projects', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  before(async () => {
    database = await storeTest(cleanup);
    await addProject(database, 'other');
  });
  const report = (item: HeartbeatItem, now = noon) =>
    heartbeatBatch(database.api, [item], { pendingLimit: 1000, signalIntervalSeconds: 43_200 }, now);
  const news = (after_: { project: string; device_id: string } | null, limit: number, seconds: number) =>
    devicesWithNews(database.worker, after_, limit, new Date(after(seconds)));

  it('finds devices whose news nobody took in, after a while, page by page', async () => {
    await report(heartbeat('a'));
    await report(heartbeat('b'));
    await report(heartbeat('a', { project: 'other' }));
    await report(heartbeat('taken'));
    await decide(
      database.worker,
      'taken',
      grant({ applied_digest: digest('observed'), candidate_fingerprint: digest('taken-1') }),
    );
    assert.deepEqual((await news(null, 10, 5)).items, [], 'the path that announces it may be on its way');
    const first = await news(null, 2, 11);
    assert.deepEqual(first.items, [
      { project: 'default', device_id: 'a' },
      { project: 'default', device_id: 'b' },
    ]);
    const second = await news(first.next, 2, 11);
    assert.deepEqual(second, { items: [{ project: 'other', device_id: 'a' }], next: null });
  });

  it('finds devices that have not heard of a revocation', async () => {
    await report(heartbeat('revoked'));
    await decide(database.worker, 'revoked', approved('revoked-1'));
    const before = (await news(null, 100, 11)).items.some(({ device_id }) => device_id === 'revoked');
    assert.equal(before, false);
    await revokeCertificate(
      database.api,
      'default',
      {
        device_id: 'revoked',
        fingerprint_sha256: null,
        reason: null,
        by: { kind: 'user', id: 'sam' },
        request_id: 'r',
      },
      after(20),
    );
    assert.ok((await news(null, 100, 40)).items.some(({ device_id }) => device_id === 'revoked'));
  });

  it('goes through actors that may be running, in an order that can be taken up again', async () => {
    await decide(database.worker, { project: 'other', id: 'z' }, grant());
    const all = await actorRuns(database.worker, null, 100);
    assert.ok(all.items.length >= 3);
    assert.equal(all.next, null);
    const seen = [];
    for (let position: string | null = null; ;) {
      const page: Awaited<ReturnType<typeof actorRuns>> = await actorRuns(database.worker, position, 1);
      seen.push(...page.items);
      if (page.next === null) break;
      position = page.next;
    }
    assert.deepEqual(seen, all.items);
    await assert.rejects(actorRuns(database.worker, '{"not": "ours"}', 1), { code: 'request.cursor_invalid' });
  });

  it('removes what nobody will ask for again, and nothing else', async () => {
    await database.rows(`INSERT INTO device_inbox (project_id, device_id, seq, kind, payload, received_at)
      SELECT 'default', 'taken', n, 'acknowledgement', '{}', now() FROM generate_series(1, 3) n`);
    await database.rows(`UPDATE device SET inbox_consumed = 2 WHERE device_id = 'taken'`);
    await database.rows(`INSERT INTO admin_session (id, username, created_at, expires_at)
      VALUES (gen_random_uuid(), 'old', now() - interval '90 days', now() - interval '60 days'),
             (gen_random_uuid(), 'recent', now() - interval '9 days', now() - interval '2 days')`);
    await database.rows(
      `INSERT INTO totp_use (username, time_step) VALUES ('ann', 1), ('ann', extract(epoch FROM now())::bigint / 30)`,
    );
    assert.deepEqual(await prune(database.worker, new Date()), {
      inbox: 2,
      idempotency_keys: 0,
      sessions: 1,
      totp_uses: 1,
    });
    assert.deepEqual(await database.rows('SELECT seq::integer FROM device_inbox'), [{ seq: 3 }]);
    assert.deepEqual(await database.rows('SELECT username FROM admin_session'), [{ username: 'recent' }]);
  });
});
