// Devices as the store gives them: joined, found by facts, and as their actor asks for them.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { DeviceAttestation } from '#contracts/attestation.ts';
import { attestationStates, deviceStates, trustTiers } from '#contracts/states.ts';
import { effectiveTier } from '#machines/effective-tier.ts';
import type { DeviceFilter } from '#store/device-filter.ts';
import { deviceNews, findDevice, listDevices, listHistory } from '#store/device.ts';
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
  report,
  review,
  revoke,
  view,
} from './builders.ts';
import { addProject, type StoreTest, storeTest } from './database.ts';

describe('a device in the store', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  before(async () => {
    database = await storeTest(cleanup);
    await addProject(database, 'other');
  });

  const idsOf = async (filter: DeviceFilter, now = noon): Promise<string[]> => {
    const rows = await listDevices(database.api, 'default', filter, { limit: 500, after: null }, { ...view, now });
    return rows.map(({ device_id }) => device_id);
  };

  it('is there from its first heartbeat, and shows its certificate as one that waits', async () => {
    await report(database.api, heartbeat('first'));
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

  it('is known by what it says that directories call it, as it said last (HB-09)', async () => {
    const named = { entra_device_id: 'e-1', azure_ad_device_id: 'a-1' };
    const item = heartbeat('named');
    for (const directory of [{ entra_device_id: 'before' }, named]) {
      const observation = { ...item.observation, directory };
      await report(database.api, { ...item, observation, observed_digest: digest(JSON.stringify(directory)) });
      assert.deepEqual((await findDevice(database.api, 'default', 'named'))?.observation?.directory, directory);
    }
  });

  it('shows a certificate no longer that was turned down, denied, or seen in an earlier review', async () => {
    for (const id of ['turned-down', 'denied', 'earlier']) await report(database.api, heartbeat(id));
    await decide(database.worker, 'turned-down', grant({ rejected_fingerprints: [digest('turned-down-1')] }));
    await revoke(database.api, 'denied', digest('denied-1'));
    await decide(database.worker, 'earlier', grant({ review_generation: 1 }));
    for (const id of ['turned-down', 'denied', 'earlier']) {
      assert.equal((await findDevice(database.api, 'default', id))?.candidate, null, id);
    }
  });

  it('shows its review once the approval is there, with the votes so far', async () => {
    const id = '11111111-1111-4111-8111-111111111111';
    await report(database.api, heartbeat('reviewed'));
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
    assert.deepEqual([row?.review_voters, row?.review_permission], [['ann'], 'identity.review']);
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
    await report(
      database.api,
      heartbeat('f-pending', { observation: { ...observation, tags: ['blue'], hostname: 'Berlin_1' } }),
    );
    await report(database.api, heartbeat('f-approved', { observed_digest: digest('1') }));
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
    await revoke(database.api, 'f-approved');
    assert.deepEqual(await among({ trust_tier: 'revoked' }), ['f-approved']);
    const found = await findDevice(database.api, 'default', 'f-approved');
    assert.equal(found?.pinned_revoked, true);
    assert.deepEqual(found.revocation, { at: noon, by: 'sam', reason: 'lost' });
    assert.equal((await findDevice(database.api, 'default', 'f-pending'))?.revocation, undefined);
  });

  it('has the same tier in SQL as in the decision, for every combination of facts (HB-14)', async () => {
    const grants = [null, ...deviceStates.flatMap((state) => trustTiers.map((tier) => ({ state, tier })))];
    const inputs = grants.flatMap((of) =>
      [null, after(-1), noon, after(1)].flatMap((pinned_not_after) =>
        [true, false].flatMap((pinned_revoked) =>
          attestationStates.flatMap((attestation) =>
            [true, false].map((identity_verified) => ({
              grant: of,
              pinned_not_after,
              pinned_revoked,
              attestation,
              identity_verified,
            })),
          ),
        ),
      ),
    );
    const rows = await database.api.query<{ tier: string }>(
      `SELECT effective_tier(i.state, i.tier, i.pinned_not_after, i.pinned_revoked, i.attestation, i.identity_verified, $2) AS tier
       FROM ROWS FROM (jsonb_to_recordset($1) AS (state text, tier text, pinned_not_after timestamptz, pinned_revoked boolean,
         attestation text, identity_verified boolean)) WITH ORDINALITY AS i (state, tier, pinned_not_after, pinned_revoked,
         attestation, identity_verified, place) ORDER BY i.place`,
      [JSON.stringify(inputs.map(({ grant: of, ...rest }) => ({ ...of, ...rest }))), noon],
    );
    assert.equal(rows.length, 26 * 4 * 2 * attestationStates.length * 2);
    for (const [i, input] of inputs.entries())
      assert.equal(rows[i]?.tier, effectiveTier(input, noon).tier, JSON.stringify(input));
  });

  it('tells its actor what was observed, what waits, and what is denied', async () => {
    const news = (pinned: string | null = null) =>
      deviceNews(database.worker, {
        project: 'default',
        device_id: 'news',
        pinned: pinned === null ? null : facts(pinned),
      });
    assert.deepEqual(await news(), { observed: null, candidate: null, inbox_through: 0, revoked: [], standing: null });
    await report(database.api, heartbeat('news', { observation: { ...heartbeat('x').observation, tags: ['a', 'b'] } }));
    assert.deepEqual(await news(), {
      observed: { digest: digest('observed'), reported_tags: ['a', 'b'], hostname: 'host', platform: 'linux' },
      candidate: { certificate: facts('news-1'), generation: 0, seen_at: noon },
      inbox_through: 0,
      revoked: [],
      standing: null,
    });
    await revoke(database.api, 'news', digest('news-1'));
    assert.deepEqual((await news('news-0')).revoked, [digest('news-1')]);
    assert.deepEqual((await news('news-1')).revoked, [digest('news-1')]);
  });

  it('keeps what its actor has bound it to, and tells the actor where its evidence stands', async () => {
    const bound = {
      attestation_provider: 'tpm_quote_v1',
      attestation_key: digest('key'),
      hardware_binding: digest('endorsement key'),
      attested_generation: 3,
    } as const;
    const written = async () =>
      (
        await database.rows<object>(
          `SELECT attestation_provider, attestation_key, hardware_binding, attested_generation FROM device
           WHERE device_id = 'bound'`,
        )
      )[0];
    await report(database.api, heartbeat('bound'));
    await decide(database.worker, 'bound', grant(bound));
    assert.deepEqual({ ...(await written()) }, bound);
    const standing: DeviceAttestation = {
      ...{ state: 'verified', generation: 3, verdict: 9, provider: 'tpm_quote_v1', manufacturer: 'IFX' },
      ...{ key_id: digest('key'), binding_id: digest('endorsement key'), verified_at: noon, fresh_until: noon },
      ...{ code: null, reason: null, detail: null, clock: null },
    };
    await database.rows(
      'INSERT INTO device_attestation SELECT r.* FROM jsonb_populate_record(NULL::device_attestation, $1) r',
      [JSON.stringify({ ...standing, project_id: 'default', device_id: 'bound', unrecorded: 0, updated_at: noon })],
    );
    const news = await deviceNews(database.worker, { project: 'default', device_id: 'bound', pinned: null });
    assert.deepEqual(news.standing, standing);
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
