// Heartbeats against a real database: how each is judged, what is written down, and what happens when two are one.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { Store } from '#store/store.ts';
import { heartbeatBatch, type HeartbeatItem, type HeartbeatVerdict } from '#store/heartbeat.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { after, approved, decide, digest, grant, heartbeat, heartbeatLimits, noon, revoke } from './builders.ts';
import { addProject, type StoreTest, storeTest } from './database.ts';

describe('heartbeats', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  before(async () => {
    database = await storeTest(cleanup);
    await addProject(database, 'other');
  });

  const batch = (items: readonly HeartbeatItem[], now = noon, more = {}, store: Store = database.api) =>
    heartbeatBatch(store, items, { ...heartbeatLimits, ...more }, now);
  async function judge(item: HeartbeatItem, now = noon, more = {}): Promise<HeartbeatVerdict> {
    const [verdict] = await batch([item], now, more);
    assert.ok(verdict);
    return verdict;
  }
  async function liveness(deviceId: string, project = 'default') {
    const [row] = await database.rows<Record<string, unknown>>(
      'SELECT * FROM device_liveness WHERE project_id = $1 AND device_id = $2',
      [project, deviceId],
    );
    return row;
  }
  async function candidate(deviceId: string) {
    const [row] = await database.rows<{ fingerprint: string; pem: string; generation: number }>(
      'SELECT * FROM device_candidate WHERE device_id = $1',
      [deviceId],
    );
    return row;
  }

  it('takes in an unknown device as pending, with the certificate and what it reports', async () => {
    const verdict = await judge(heartbeat('first', { counter: 7 }));
    assert.deepEqual(verdict, {
      code: 'pending',
      first_contact: true,
      signal: true,
      acknowledged: false,
      identity_verified: true,
      grant: null,
      pinned_not_after: null,
      pinned_revoked: false,
    });
    const row = await liveness('first');
    assert.equal(row?.['candidate_fingerprint'], digest('first-1'));
    assert.equal(row?.['heartbeat_counter'], '0', 'a 202 does not use up the counter');
    assert.equal(row?.['observed_digest'], digest('observed'));
    assert.equal((await candidate('first'))?.pem, 'PEM of first-1');
    const [observation] = await database.rows<{ hostname: string }>(
      `SELECT hostname FROM device_observation WHERE device_id = 'first'`,
    );
    assert.equal(observation?.hostname, 'host');
    const second = await judge(heartbeat('first', { counter: 7 }), after(1));
    assert.equal(second.code, 'pending', 'the same counter again is no replay before approval');
    assert.equal(second.first_contact, false);
  });

  it('pins the first certificate: another one while pending is refused, and the first stays under review (HB-06)', async () => {
    await judge(heartbeat('pinning'));
    assert.equal(
      (await judge(heartbeat('pinning', { certificate: 'pinning-2' }))).code,
      'device.other_certificate_pending',
    );
    assert.equal((await liveness('pinning'))?.['candidate_fingerprint'], digest('pinning-1'));
    assert.equal((await candidate('pinning'))?.pem, 'PEM of pinning-1');
  });

  it('takes another certificate of an approved device for a rotation request, and goes on accepting the pinned one (HB-06)', async () => {
    await judge(heartbeat('rotating'));
    await decide(database.worker, 'rotating', approved('rotating-1'));
    assert.equal((await judge(heartbeat('rotating', { counter: 1 }))).code, 'accepted');
    const asked = await judge(
      heartbeat('rotating', {
        certificate: 'rotating-2',
        counter: 50,
        observed_digest: digest('foreign'),
        acknowledgements: [{ kind: 'acknowledgement', payload: { id: 'x' } }],
      }),
      after(60),
    );
    assert.deepEqual([asked.code, asked.signal, asked.acknowledged], ['pending', true, false]);
    const row = await liveness('rotating');
    assert.equal(row?.['heartbeat_counter'], '1', 'a 202 does not use up the counter');
    assert.equal(row?.['observed_digest'], digest('observed'), 'only the pinned certificate reports about the device');
    assert.equal(new Date(String(row?.['last_seen_at'])).toISOString(), noon);
    assert.equal(row?.['inbox_seq'], '0');
    assert.equal((await candidate('rotating'))?.pem, 'PEM of rotating-2');
    assert.equal((await judge(heartbeat('rotating', { counter: 2 }))).code, 'accepted');
    assert.equal(
      (await judge(heartbeat('rotating', { certificate: 'rotating-3' }))).code,
      'device.other_certificate_pending',
    );
    // The review closed in favour of the new one.
    await decide(
      database.worker,
      'rotating',
      approved('rotating-2', { review_generation: 2, rejected_fingerprints: [digest('rotating-1')] }),
    );
    assert.equal((await judge(heartbeat('rotating', { certificate: 'rotating-2', counter: 3 }))).code, 'accepted');
    assert.equal(
      (await judge(heartbeat('rotating', { certificate: 'rotating-1', counter: 4 }))).code,
      'device.rejected',
    );
    assert.equal((await judge(heartbeat('rotating', { certificate: 'rotating-3' }))).code, 'pending', 'a new review');
  });

  it('accepts growing counters only, and a refusal does not use one up (HB-07)', async () => {
    await judge(heartbeat('counting'));
    await decide(database.worker, 'counting', approved('counting-1'));
    const counters = [5, 5, 4, 6, 6, 2 ** 53 - 1];
    const codes = [];
    for (const counter of counters) codes.push((await judge(heartbeat('counting', { counter }))).code);
    const replayed = 'heartbeat.replayed';
    assert.deepEqual(codes, ['accepted', replayed, replayed, 'accepted', replayed, 'accepted']);
    assert.equal((await liveness('counting'))?.['heartbeat_counter'], String(2 ** 53 - 1));
  });

  it('refuses a repeated counter until a reset starts a new epoch of counters (HB-08)', async () => {
    await judge(heartbeat('resetting'));
    await decide(database.worker, 'resetting', approved('resetting-1'));
    await judge(heartbeat('resetting', { counter: 90 }));
    assert.equal((await judge(heartbeat('resetting', { counter: 1 }))).code, 'heartbeat.replayed');
    await decide(database.worker, 'resetting', grant({ counter_epoch: 2, epoch: 2, review_generation: 2 }));
    assert.equal((await judge(heartbeat('resetting', { counter: 1 }))).code, 'pending');
    await decide(
      database.worker,
      'resetting',
      approved('resetting-1', { counter_epoch: 2, epoch: 2, review_generation: 3 }),
    );
    assert.equal((await judge(heartbeat('resetting', { counter: 1 }))).code, 'accepted');
    assert.equal((await judge(heartbeat('resetting', { counter: 1 }))).code, 'heartbeat.replayed');
  });

  it('accepts a heartbeat without counter where none is required, and keeps the last one', async () => {
    await judge(heartbeat('uncounted'));
    await decide(database.worker, 'uncounted', approved('uncounted-1'));
    await judge(heartbeat('uncounted', { counter: 3 }));
    assert.equal((await judge(heartbeat('uncounted', { counter: null }))).code, 'accepted');
    assert.equal((await judge(heartbeat('uncounted', { counter: 3 }))).code, 'heartbeat.replayed');
  });

  it('judges by the decided state', async () => {
    for (const [state, code] of [
      ['rejected', 'device.rejected'],
      ['retired', 'device.retired'],
      ['expired', 'pending'],
    ] as const) {
      await judge(heartbeat(state));
      await decide(database.worker, state, grant({ state, tier: 'restricted', review_generation: 1 }));
      const before = await liveness(state);
      const verdict = await judge(heartbeat(state), after(100));
      assert.equal(verdict.code, code);
      assert.equal(verdict.signal, state === 'expired', 'a refusal never signals');
      if (state !== 'expired') assert.deepEqual(await liveness(state), before, 'a refusal leaves no trace of life');
      else assert.equal((await candidate(state))?.generation, 1, 'a lapsed enrollment asks again');
    }
  });

  it('refuses a revoked certificate for ever, also after a reset, and takes a new one for a rotation (SS-04)', async () => {
    await judge(heartbeat('revoked'));
    await decide(database.worker, 'revoked', approved('revoked-1'));
    await revoke(database.api, 'revoked', digest('revoked-1'));
    assert.equal((await judge(heartbeat('revoked'))).code, 'certificate.revoked');
    const other = await judge(heartbeat('revoked', { certificate: 'revoked-2' }));
    assert.deepEqual([other.code, other.pinned_revoked], ['pending', true]);
    await decide(database.worker, 'revoked', grant({ counter_epoch: 2, epoch: 3, review_generation: 5 }));
    assert.equal((await judge(heartbeat('revoked'))).code, 'certificate.revoked');
    assert.equal((await judge(heartbeat('revoked', { certificate: 'revoked-2' }))).code, 'pending');
  });

  it('lets a revoked candidate block no other', async () => {
    await judge(heartbeat('unblocked'));
    await revoke(database.api, 'unblocked', digest('unblocked-1'));
    assert.equal((await judge(heartbeat('unblocked', { certificate: 'unblocked-2' }))).code, 'pending');
    assert.equal((await candidate('unblocked'))?.pem, 'PEM of unblocked-2');
  });

  it('refuses an unknown device with a revoked certificate without taking it in', async () => {
    await judge(heartbeat('seen-once'));
    await revoke(database.api, 'seen-once', digest('seen-once-1'));
    assert.equal((await judge(heartbeat('never-seen', { certificate: 'seen-once-1' }))).code, 'certificate.revoked');
    assert.equal(await liveness('never-seen'), undefined);
  });

  it('keeps devices of one name in two projects apart (SS-01)', async () => {
    await judge(heartbeat('twin'));
    await judge(heartbeat('twin', { project: 'other', certificate: 'other-1' }));
    await decide(database.worker, 'twin', approved('twin-1'));
    await decide(database.worker, { project: 'other', id: 'twin' }, approved('other-1'));
    assert.equal((await judge(heartbeat('twin', { counter: 9 }))).code, 'accepted');
    const foreign = await judge(heartbeat('twin', { project: 'other', certificate: 'twin-1', counter: 10 }));
    assert.equal(foreign.code, 'pending', 'the pin of another project does not count');
    assert.equal((await liveness('twin', 'other'))?.['heartbeat_counter'], '0');
    await revoke(database.api, 'twin', digest('twin-1'));
    const own = await judge(heartbeat('twin', { project: 'other', certificate: 'other-1', counter: 1 }));
    assert.equal(own.code, 'accepted', 'a revocation holds in its project');
  });

  it('identifies nobody without a certificate: nothing is pinned, nothing acknowledged', async () => {
    const nobody = { certificate: null, acknowledgements: [{ kind: 'acknowledgement', payload: { id: 'x' } }] };
    const first = await judge(heartbeat('nobody', nobody));
    assert.deepEqual([first.code, first.identity_verified], ['pending', false]);
    assert.equal((await liveness('nobody'))?.['candidate_fingerprint'], null);
    assert.equal(await candidate('nobody'), undefined);
    await decide(database.worker, 'nobody', grant({ state: 'approved', applied_digest: digest('observed') }));
    const accepted = await judge(heartbeat('nobody', nobody));
    assert.deepEqual([accepted.code, accepted.identity_verified, accepted.acknowledged], ['accepted', false, false]);
  });

  it('signals news at once, again after five seconds and then ever later, and a steady device at most once an interval', async () => {
    const signals = async (deviceId: string, times: readonly number[], more = {}) => {
      const found = [];
      let counter = times[0] ?? 0;
      for (const at of times)
        found.push((await judge(heartbeat(deviceId, { counter: (counter += 1000) + at }), after(at), more)).signal);
      return found;
    };
    assert.deepEqual(
      await signals('news', [0, 1, 5, 6, 10, 15, 20, 39, 40]),
      [true, false, true, false, true, false, true, false, true],
      'while nobody has taken it in',
    );
    assert.deepEqual(
      await signals('unheard', [0, 3_000, 3_299, 3_300]),
      [true, true, false, true],
      'five minutes at most',
    );
    await decide(database.worker, 'news', approved('news-1'));
    assert.deepEqual(await signals('news', [10_000, 43_239, 43_240, 43_241]), [false, false, true, false]);
    assert.deepEqual(await signals('news', [50_000, 50_001], { signalIntervalSeconds: 0 }), [true, true]);
    const changed = { counter: 1_000_000, observed_digest: digest('changed') };
    assert.equal(
      (await judge(heartbeat('news', changed), after(50_010))).signal,
      true,
      'a changed observation is news',
    );
  });

  it('writes the observation only when its digest changes', async () => {
    const seen = async () =>
      (
        await database.rows<{ xmin: string }>(
          `SELECT xmin::text AS xmin FROM device_observation WHERE device_id = 'observed'`,
        )
      )[0]?.xmin;
    await judge(heartbeat('observed'));
    const first = await seen();
    await judge(heartbeat('observed'), after(1));
    assert.equal(await seen(), first);
    await judge(heartbeat('observed', { observed_digest: digest('other') }), after(2));
    assert.notEqual(await seen(), first);
  });

  it('writes acknowledgements in their order, and takes no more when nobody takes them in', async () => {
    await judge(heartbeat('acks'));
    await decide(database.worker, 'acks', approved('acks-1'));
    const sent = (from: number, count: number) =>
      Array.from({ length: count }, (_, i) => ({ kind: 'acknowledgement', payload: { id: `a${from + i}` } }));
    const first = await judge(heartbeat('acks', { counter: 1, acknowledgements: sent(0, 3) }));
    assert.deepEqual([first.acknowledged, first.signal], [true, false], 'signalled at first contact a moment ago');
    const rows = await database.rows<{ seq: string; payload: { id: string } }>(
      `SELECT seq, payload FROM device_inbox WHERE device_id = 'acks' ORDER BY seq`,
    );
    assert.deepEqual(
      rows.map(({ seq, payload }) => [seq, payload.id]),
      [
        ['1', 'a0'],
        ['2', 'a1'],
        ['3', 'a2'],
      ],
    );
    let counter = 1;
    for (let i = 0; i < 20; i++)
      await judge(heartbeat('acks', { counter: ++counter, acknowledgements: sent(100 * i, 64) }));
    assert.equal(
      (await judge(heartbeat('acks', { counter: ++counter, acknowledgements: sent(0, 1) }))).acknowledged,
      false,
    );
    await decide(database.worker, 'acks', approved('acks-1', { inbox_consumed: 1000 }));
    assert.equal(
      (await judge(heartbeat('acks', { counter: ++counter, acknowledgements: sent(0, 1) }))).acknowledged,
      true,
    );
  });

  it('answers each item of a mixed batch by itself, in the order of the items', async () => {
    for (const id of ['mixed-a', 'mixed-b', 'mixed-c']) {
      await judge(heartbeat(id));
      await decide(database.worker, id, approved(`${id}-1`));
    }
    await judge(heartbeat('mixed-b', { counter: 10 }));
    await revoke(database.api, 'mixed-c', digest('mixed-c-1'));
    const verdicts = await batch([
      heartbeat('mixed-c'),
      heartbeat('mixed-new'),
      heartbeat('mixed-b', { counter: 10 }),
      heartbeat('mixed-a', { counter: 10 }),
    ]);
    assert.deepEqual(
      verdicts.map(({ code }) => code),
      ['certificate.revoked', 'pending', 'heartbeat.replayed', 'accepted'],
    );
    await assert.rejects(batch([heartbeat('mixed-a'), heartbeat('mixed-a')]), TypeError);
  });

  it('refuses the one device that does not fit the database, and judges the others of its batch', async () => {
    const items = Array.from({ length: 9 }, (_, i) => heartbeat(i === 4 ? 'not\u0000fit' : `fit-${i}`));
    const codes = (await batch(items)).map(({ code }) => code);
    assert.deepEqual(codes, [...Array(4).fill('pending'), 'request.invalid', ...Array(4).fill('pending')]);
  });

  it('takes in no more unknown devices than may wait, also within one batch', async () => {
    await addProject(database, 'small');
    const of = (from: number, count: number) =>
      Array.from({ length: count }, (_, i) => heartbeat(`wait-${from + i}`, { project: 'small' }));
    const codes = (verdicts: readonly HeartbeatVerdict[]) => verdicts.map(({ code }) => code);
    assert.deepEqual(codes(await batch(of(0, 4), noon, { pendingLimit: 3 })), [
      'pending',
      'pending',
      'pending',
      'rate.limited',
    ]);
    await decide(database.worker, { project: 'small', id: 'wait-0' }, grant());
    assert.deepEqual(codes(await batch(of(3, 1), noon, { pendingLimit: 3 })), ['rate.limited'], 'pending still counts');
    await decide(database.worker, { project: 'small', id: 'wait-0' }, approved('wait-0-1'));
    assert.deepEqual(codes(await batch(of(3, 2), noon, { pendingLimit: 3 })), ['pending', 'rate.limited']);
    assert.deepEqual(
      codes(await batch(of(0, 2), noon, { pendingLimit: 3 })),
      ['accepted', 'pending'],
      'who is in stays',
    );
  });

  it('judges every batch by a plan that was made before, whatever its size', async () => {
    // Planning takes three times as long as judging one heartbeat, and a function that is replaced loses the setting.
    const rows = await database.rows<{ name: string; settings: string[] }>(
      `SELECT proname AS name, proconfig AS settings FROM pg_proc
       WHERE proname IN ('heartbeat_batch', 'heartbeat_news', 'heartbeat_steady') ORDER BY proname`,
    );
    assert.deepEqual(
      rows.map(({ name }) => name),
      ['heartbeat_batch', 'heartbeat_news', 'heartbeat_steady'],
    );
    for (const { settings } of rows) assert.ok(settings.includes('plan_cache_mode=force_generic_plan'));
  });
});

describe('heartbeats that race', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  let other: Store;
  before(async () => {
    database = await storeTest(cleanup);
    other = await database.open('sentinel_api');
  });
  const send = (store: Store, items: readonly HeartbeatItem[]) => heartbeatBatch(store, items, heartbeatLimits, noon);

  it('accepts exactly one of two equal counters on two connections (HB-07)', async () => {
    await send(database.api, [heartbeat('raced')]);
    await decide(database.worker, 'raced', approved('raced-1'));
    for (let counter = 1; counter <= 30; counter++) {
      const both = await Promise.all([
        send(database.api, [heartbeat('raced', { counter })]),
        send(other, [heartbeat('raced', { counter })]),
      ]);
      const codes = both.map(([verdict]) => String(verdict?.code)).toSorted();
      assert.deepEqual(codes, ['accepted', 'heartbeat.replayed'], `counter ${counter}`);
    }
  });

  it('judges two batches over the same devices in different order without a deadlock', async () => {
    const ids = Array.from({ length: 60 }, (_, i) => `order-${i}`);
    await send(
      database.api,
      ids.slice(0, 40).map((id) => heartbeat(id)),
    );
    for (const id of ids.slice(0, 40)) await decide(database.worker, id, approved(`${id}-1`));
    const [deadlocks] = await database.rows<{ count: string }>(
      'SELECT deadlocks AS count FROM pg_stat_database WHERE datname = current_database()',
    );
    for (let round = 1; round <= 20; round++) {
      // A third of them are new to both, so that inserts cross as well.
      const fresh = ids.slice(40).map((id) => `${id}-${round}`);
      const items = [...ids.slice(0, 40), ...fresh].map((id) => heartbeat(id, { counter: round }));
      const [one, two] = await Promise.all([send(database.api, items), send(other, items.toReversed())]);
      const back = two?.toReversed() ?? [];
      for (const [i, verdict] of one?.entries() ?? []) {
        const codes = [String(verdict.code), String(back[i]?.code)].toSorted();
        assert.deepEqual(codes, i < 40 ? ['accepted', 'heartbeat.replayed'] : ['pending', 'pending']);
        if (i >= 40) assert.equal(Number(verdict.first_contact) + Number(back[i]?.first_contact), 1);
      }
    }
    const [now] = await database.rows<{ count: string }>(
      'SELECT pg_stat_clear_snapshot(), deadlocks AS count FROM pg_stat_database WHERE datname = current_database()',
    );
    assert.equal(now?.count, deadlocks?.count);
  });

  it('takes in one certificate when two come at once for an unknown device (HB-06)', async () => {
    for (let round = 0; round < 20; round++) {
      const id = `both-${round}`;
      const verdicts = await Promise.all([
        send(database.api, [heartbeat(id, { certificate: `${id}-a` })]),
        send(other, [heartbeat(id, { certificate: `${id}-b` })]),
      ]);
      const codes = verdicts.map(([verdict]) => String(verdict?.code)).toSorted();
      assert.deepEqual(codes, ['device.other_certificate_pending', 'pending']);
      const [row] = await database.rows<{ agree: boolean }>(
        `SELECT l.candidate_fingerprint = c.fingerprint AS agree
         FROM device_liveness l JOIN device_candidate c USING (project_id, device_id) WHERE device_id = $1`,
        [id],
      );
      assert.equal(row?.agree, true);
    }
  });
});
