// What looks across projects: news that nobody took in, actors that may be running, and what is swept away.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { actorRuns, devicesWithNews, prune, staleStandings } from '#store/reconcile.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { after, approved, decide, digest, grant, heartbeat, report, review, revoke } from './builders.ts';
import { addProject, type StoreTest, storeTest } from './database.ts';

describe('what looks across projects', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  before(async () => {
    database = await storeTest(cleanup);
    await addProject(database, 'other');
  });
  const news = (after_: { project: string; device_id: string } | null, limit: number, seconds: number) =>
    devicesWithNews(database.worker, after_, limit, new Date(after(seconds)));

  it('finds devices whose news nobody took in, after a while, page by page', async () => {
    await report(database.api, heartbeat('a'));
    await report(database.api, heartbeat('b'));
    await report(database.api, heartbeat('a', { project: 'other' }));
    await report(database.api, heartbeat('taken'));
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

  it('finds what waits until it is taken in, turned down or denied, and nothing of an earlier review', async () => {
    const taken = { applied_digest: digest('observed') };
    const grants = {
      'w-waits': grant(taken),
      'w-expired': grant({ ...taken, state: 'expired', candidate_fingerprint: digest('w-expired-1') }),
      'w-digest': grant({ candidate_fingerprint: digest('w-digest-1') }),
      'w-acknowledged': grant({ ...taken, candidate_fingerprint: digest('w-acknowledged-1') }),
      'x-reviewed': grant({ ...taken, candidate_fingerprint: digest('x-reviewed-1') }),
      'x-turned-down': grant({ ...taken, rejected_fingerprints: [digest('x-turned-down-1')] }),
      'x-earlier': grant({ ...taken, review_generation: 1 }),
      'x-denied': grant(taken),
      'x-rejected': grant({ state: 'rejected' }),
      'x-retired': grant({ state: 'retired' }),
    };
    for (const [id, row] of Object.entries(grants)) {
      await report(database.api, heartbeat(id));
      await decide(database.worker, id, row);
    }
    await revoke(database.api, 'x-denied', digest('x-denied-1'));
    await database.rows(`UPDATE device_liveness SET inbox_seq = 1 WHERE device_id = 'w-acknowledged'`);
    const found = async () => {
      const { items } = await news(null, 500, 60);
      return items.map(({ device_id }) => device_id).filter((id) => /^[wx]-/.test(id));
    };
    assert.deepEqual(await found(), ['w-acknowledged', 'w-digest', 'w-expired', 'w-waits']);
    for (const id of Object.keys(grants).filter((name) => name.startsWith('w-')))
      await decide(
        database.worker,
        id,
        grant({ ...taken, candidate_fingerprint: digest(`${id}-1`), inbox_consumed: 1 }),
      );
    assert.deepEqual(await found(), []);
  });

  it('finds devices that have not heard of a revocation, whatever else was written since', async () => {
    const hears = async (id: string): Promise<boolean> =>
      (await news(null, 500, 60)).items.some(({ device_id }) => device_id === id);
    await report(database.api, heartbeat('revoked'));
    await decide(database.worker, 'revoked', approved('revoked-1'));
    assert.equal(await hears('revoked'), false);
    await revoke(database.api, 'revoked', null, { now: after(20) });
    assert.ok(await hears('revoked'));
    // A decision that was under way is written without a word of it.
    await decide(database.worker, 'revoked', approved('revoked-1', { reason: 'something else' }), after(30));
    assert.ok(await hears('revoked'));
    const noted = [digest('revoked-1')];
    await decide(database.worker, 'revoked', approved('revoked-1'), after(40), noted);
    assert.equal(await hears('revoked'), false);
    await decide(database.worker, 'revoked', approved('revoked-1', { review: review('r1') }), after(45), noted);
    assert.ok(await hears('revoked'), 'what is revoked is under review');
  });

  it('finds devices whose review is about a certificate that was revoked meanwhile, until it is over', async () => {
    const hears = async (): Promise<boolean> =>
      (await news(null, 500, 60)).items.some(({ device_id }) => device_id === 'reviewed');
    const underReview = { applied_digest: digest('observed'), candidate_fingerprint: digest('reviewed-1') };
    await report(database.api, heartbeat('reviewed'));
    await decide(database.worker, 'reviewed', grant({ ...underReview, review: review('r2') }));
    assert.equal(await hears(), false);
    await revoke(database.api, 'reviewed', digest('reviewed-1'), { now: after(20) });
    await decide(database.worker, 'reviewed', grant({ ...underReview, review: review('r2'), reason: 'x' }), after(30));
    assert.ok(await hears());
    await decide(database.worker, 'reviewed', grant({ applied_digest: digest('observed'), review_generation: 1 }));
    assert.equal(await hears(), false);
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
    await database.rows(`INSERT INTO idempotency_key (project_id, principal, route, key, request_digest, claim,
        claimed_until, created_at, expires_at)
      SELECT project, 'ann', '/r', lapsed, 'd', gen_random_uuid(), now(), now(), now() + lapsed::interval
      FROM unnest(ARRAY['default', 'other']) project, unnest(ARRAY['-1 second', '1 hour']) lapsed`);
    assert.deepEqual(await prune(database.worker, new Date(), { verdictDays: 30 }), {
      inbox: 2,
      idempotency_keys: 2,
      sessions: 1,
      totp_uses: 1,
      attestation_verdicts: 0,
      attestation_commons: 0,
      attestation_bases: 0,
    });
    assert.deepEqual(await database.rows('SELECT DISTINCT key FROM idempotency_key'), [{ key: '1 hour' }]);
    assert.deepEqual(await prune(database.worker, new Date(), { verdictDays: 30 }), {
      inbox: 0,
      idempotency_keys: 0,
      sessions: 0,
      totp_uses: 0,
      attestation_verdicts: 0,
      attestation_commons: 0,
      attestation_bases: 0,
    });
    assert.deepEqual(await database.rows('SELECT seq::integer FROM device_inbox'), [{ seq: 3 }]);
    assert.deepEqual(await database.rows('SELECT username FROM admin_session'), [{ username: 'recent' }]);
  });

  it('removes verdicts that moved nothing once they are old, but for the last of a device, and rules that none used', async () => {
    const verdict = `INSERT INTO attestation_verdict (project_id, device_id, verdict, at, provider, outcome, changed,
      generation, evidence_digest, evidence, circumstances, basis_digest, result)
      SELECT v.project, 'judged', v.number, now() - v.days * interval '1 day', 'signed_measurement_v1', 'verified',
        v.changed, 1, repeat('a', 64), '{}', '{}', repeat(v.basis, 64), '{}'`;
    await database.rows(`INSERT INTO attestation_basis (project_id, digest, content, first_used_at)
      SELECT project, repeat(digest, 64), '{}', now() - days * interval '1 day'
      FROM (VALUES ('default', 'b', 90), ('default', 'c', 90), ('default', 'd', 1), ('other', 'b', 90))
        v (project, digest, days)`);
    await database.rows(`${verdict} FROM (VALUES
      ('default', 1, 60, true, 'b'), ('default', 2, 59, false, 'c'), ('default', 3, 32, false, 'b'),
      ('default', 4, 28, false, 'b'), ('default', 5, 40, false, 'b'), ('other', 1, 60, false, 'b'))
      v (project, number, days, changed, basis)`);
    await database.rows(`INSERT INTO device_attestation (project_id, device_id, state, generation, verdict, provider,
      updated_at) VALUES ('default', 'judged', 'challenged', 1, 5, 'signed_measurement_v1', now())`);
    const removed = await prune(database.worker, new Date(), { verdictDays: 30 });
    assert.deepEqual([removed['attestation_verdicts'], removed['attestation_bases']], [3, 2]);
    assert.deepEqual(
      await database.rows('SELECT project_id, verdict::integer FROM attestation_verdict ORDER BY verdict'),
      [
        { project_id: 'default', verdict: 1 },
        { project_id: 'default', verdict: 4 },
        { project_id: 'default', verdict: 5 },
      ],
    );
    assert.deepEqual(await database.rows('SELECT left(digest, 1) AS digest FROM attestation_basis ORDER BY digest'), [
      { digest: 'b' },
      { digest: 'd' },
    ]);
  });

  it('finds standings whose evidence has run out, page by page', async () => {
    const now = new Date();
    const at = (seconds: number): string => new Date(now.getTime() + seconds * 1000).toISOString();
    await database.rows(
      `INSERT INTO device_attestation (project_id, device_id, state, generation, verdict, provider, key_id, verified_at,
         fresh_until, updated_at)
       SELECT v.project, v.device, v.state, 1, 1, 'signed_measurement_v1', 'k', $1::timestamptz, v.until::timestamptz, $1::timestamptz
       FROM (VALUES ('default', 's1', 'verified', $2), ('default', 's2', 'verified', $3), ('default', 's3', 'failed', $2),
         ('other', 's1', 'verified', $1::text), ('other', 's2', 'challenged', $2)) v (project, device, state, until)`,
      [at(0), at(-1), at(1)],
    );
    const found = [];
    let pages = 0;
    for (let after: Awaited<ReturnType<typeof staleStandings>>['next'] = null; ; pages += 1) {
      const page: Awaited<ReturnType<typeof staleStandings>> = await staleStandings(database.api, after, 2, now);
      found.push(...page.items);
      if (page.next === null) break;
      after = page.next;
    }
    assert.deepEqual(found, [
      { project: 'default', device_id: 's1' },
      { project: 'other', device_id: 's1' },
    ]);
    assert.ok(pages >= 2);
  });
});
