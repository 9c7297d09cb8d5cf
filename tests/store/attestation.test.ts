// What of the evidence of a device is written down: whatever moves it, and of the rest no more than a device may fill a disk with.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, describe, it } from 'node:test';
import type { AttestationBasis, StoredChallenge, Verdict } from '#contracts/attestation.ts';
import { standingAfter } from '#machines/attestation-standing.ts';
import { unjudged } from '#protocols/attestation-verdict.ts';
import { digestOf } from '#protocols/canonical-json.ts';
import { askForEvidence, findVerdict, readStanding, recordVerdict, type DeviceStanding } from '#store/attestation.ts';
import type { Store } from '#store/store.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { after, auditEntry, digest, noon } from './builders.ts';
import { type StoreTest, storeTest } from './database.ts';

const project = 'default';
const basis = { provider: 'signed_measurement_v1' } as AttestationBasis;
const mostUnmoving = 4;
/** As large as a body may be, or nearly. */
const bodyBytes = 200_000;

const refused = (reason: string, code: Verdict['code'] = 'attestation.failed'): Verdict => ({
  ...unjudged,
  code,
  reason,
});
const verified: Verdict = {
  ...unjudged,
  outcome: 'verified',
  code: null,
  reason: null,
  detail: null,
  key_id: 'ab',
  fresh_until: after(900),
};
const unproven: Verdict = { ...verified, outcome: 'unproven', fresh_until: null };

function challenge(): StoredChallenge {
  return {
    provider: 'signed_measurement_v1',
    nonce: randomBytes(32).toString('base64url'),
    selection: { sha256: [0] },
    issued_at: noon,
    expires_at: after(3600),
    activation: null,
  };
}

describe('evidence of a device', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  before(async () => {
    database = await storeTest(cleanup);
  });

  interface Given {
    readonly now?: string;
    readonly store?: Store;
    readonly evidence?: object;
    readonly provider?: AttestationBasis['provider'];
    /** What it answers; null where nothing is open. */
    readonly asked?: StoredChallenge | null;
  }

  /** One piece of evidence with this verdict, which says something in the trail if it is written down. */
  function give(
    id: string,
    result: Verdict,
    { now = noon, store = database.api, evidence = {}, provider = 'signed_measurement_v1', asked = null }: Given = {},
  ) {
    return recordVerdict(
      store,
      project,
      {
        device_id: id,
        evidence: evidence as never,
        evidence_digest: digestOf(evidence),
        circumstances: {
          device_id: id,
          challenge: asked,
          bound: null,
          proven: null,
          last_clock: null,
          assigned_tags: [],
          external: null,
        },
        basis: { ...basis, provider },
        basis_digest: digest(provider),
        result,
      },
      {
        now,
        next: asked && challenge(),
        mostUnmoving,
        standingAfter: (before_) => standingAfter(before_, result, { provider, at: now }),
        announce: () => [auditEntry({ subject: { kind: 'device', id } })],
      },
    );
  }

  const recorded = (id: string) =>
    database.rows<{ verdict: number; outcome: string; reason: string | null; changed: boolean; unrecorded: number }>(
      `SELECT verdict::integer, outcome, reason, changed, unrecorded::integer FROM attestation_verdict
       WHERE device_id = $1 ORDER BY verdict`,
      [id],
    );
  const reasons = async (id: string) => (await recorded(id)).map(({ reason, outcome }) => reason ?? outcome);
  const standing = (id: string): Promise<DeviceStanding> => readStanding(database.api, project, id);

  it('that fails is recorded so often a minute, however much comes, and each uses its challenge up (AT-06, SA-02)', async () => {
    const id = 'flood';
    const pieces = 60;
    const written = () =>
      database.rows<{ rows: number; bytes: number; events: number }>(
        `SELECT count(*)::integer AS rows, coalesce(sum(length(evidence::text)), 0)::integer AS bytes,
           (SELECT count(*)::integer FROM audit_event WHERE subject_id = $1) AS events
         FROM attestation_verdict WHERE device_id = $1`,
        [id],
      );
    const [first] = await askForEvidence(database.api, project, [{ project, device_id: id, own: false }], {
      now: noon,
      questionFor: () => challenge(),
      challengeFor: () => challenge(),
      withoutEvidence: () => null,
      announce: () => [],
    });
    let asked = first?.challenge ?? null;
    for (let piece = 0; piece < pieces; piece += 1) {
      assert.ok(asked);
      const evidence = { junk: randomBytes(bodyBytes / 2).toString('hex') };
      const answered = await give(id, refused(piece % 2 === 0 ? 'pcr_mismatch' : 'malformed'), { asked, evidence });
      assert.equal(answered?.attestation?.state, 'failed');
      assert.notEqual(answered.challenge?.nonce, asked.nonce);
      assert.equal(await give(id, refused('malformed'), { asked, evidence }), null, 'it was answered');
      asked = answered.challenge;
    }
    const [flood] = await written();
    assert.ok(flood);
    assert.deepEqual([flood.rows, flood.events], [mostUnmoving, mostUnmoving]);
    assert.ok(flood.bytes < mostUnmoving * bodyBytes * 1.1, `${flood.bytes} bytes`);
    const { attestation, unrecorded, challenge: open } = await standing(id);
    assert.deepEqual([attestation?.state, attestation?.verdict, unrecorded], ['failed', mostUnmoving, 56]);
    assert.equal(open?.nonce, asked?.nonce);
    assert.ok(await findVerdict(database.worker, project, id, mostUnmoving), 'what the standing names is there');
  });

  it('is recorded again a minute later, and says how much was only counted', async () => {
    const id = 'later';
    for (let piece = 0; piece < 10; piece += 1) await give(id, refused('pcr_mismatch'), { now: after(piece) });
    await give(id, refused('pcr_mismatch'), { now: after(59) });
    assert.equal((await standing(id)).unrecorded, 7);
    await give(id, refused('pcr_mismatch'), { now: after(61) });
    assert.deepEqual(
      (await recorded(id)).map(({ unrecorded }) => unrecorded),
      [0, 0, 0, 0, 7],
    );
    assert.equal((await standing(id)).unrecorded, 0);
  });

  it('that moves the device is recorded behind any flood, and so is the first of its kind (AT-06, AT-09)', async () => {
    const id = 'behind';
    const late = 'attestation.nonce_unknown';
    for (let piece = 0; piece < 10; piece += 1) await give(id, refused('other_challenge', late));
    assert.deepEqual(await reasons(id), Array(4).fill('other_challenge'));
    assert.equal((await standing(id)).attestation?.state, 'challenged');
    await give(id, refused('pcr_mismatch'));
    assert.equal((await standing(id)).attestation?.state, 'failed');
    for (let piece = 0; piece < 10; piece += 1) await give(id, refused('signature'));
    await give(id, refused('other_hardware', 'attestation.hardware_mismatch'));
    await give(id, refused('other_key', 'attestation.hardware_mismatch'));
    await give(id, unproven);
    await give(id, unproven);
    await give(id, verified);
    await give(id, refused('signature'));
    assert.deepEqual(await recorded(id), [
      ...[1, 2, 3, 4].map((verdict) => ({
        ...{ verdict, outcome: 'refused', reason: 'other_challenge', changed: false, unrecorded: 0 },
      })),
      { verdict: 5, outcome: 'refused', reason: 'pcr_mismatch', changed: true, unrecorded: 6 },
      { verdict: 6, outcome: 'refused', reason: 'other_hardware', changed: false, unrecorded: 10 },
      { verdict: 7, outcome: 'unproven', reason: null, changed: false, unrecorded: 1 },
      { verdict: 8, outcome: 'verified', reason: null, changed: true, unrecorded: 1 },
      { verdict: 9, outcome: 'refused', reason: 'signature', changed: true, unrecorded: 0 },
    ]);
    assert.equal((await standing(id)).attestation?.state, 'failed');
  });

  it('that is verified is always recorded', async () => {
    const id = 'steady';
    for (let piece = 0; piece < 10; piece += 1) await give(id, verified);
    assert.equal((await recorded(id)).length, 10);
  });

  it('of another provider than before is recorded, since readers ask for the provider', async () => {
    const id = 'provider';
    for (let piece = 0; piece < 6; piece += 1) await give(id, refused('malformed'));
    await give(id, refused('malformed'), { provider: 'tpm_quote_v1' });
    const { attestation, unrecorded } = await standing(id);
    assert.deepEqual([attestation?.provider, attestation?.state, unrecorded], ['tpm_quote_v1', 'failed', 0]);
  });

  it('is counted by all processes together, which never wait for each other in a circle', async () => {
    const stores = [database.api, await database.open('sentinel_api'), await database.open('sentinel_api')];
    const ids = ['circle-1', 'circle-2'];
    const asking = (store: Store) =>
      askForEvidence(
        store,
        project,
        ids.map((device_id) => ({ project, device_id, own: true })),
        {
          now: noon,
          questionFor: () => challenge(),
          challengeFor: () => challenge(),
          withoutEvidence: (before_) => ({ ...before_, reason: 'evidence_missing' }),
          announce: () => [],
        },
      );
    await Promise.all(
      stores.flatMap((store) =>
        Array.from({ length: 12 }, async () => {
          await Promise.all([...ids.map((id) => give(id, refused('malformed'), { store })), asking(store)]);
        }),
      ),
    );
    for (const id of ids) {
      assert.equal((await recorded(id)).length, mostUnmoving);
      assert.equal((await standing(id)).unrecorded, 36 - mostUnmoving);
    }
  });

  it('leaves what was counted where it is when the standing is lowered for another reason', async () => {
    const id = 'lowered';
    for (let piece = 0; piece < 6; piece += 1) await give(id, refused('malformed'));
    await askForEvidence(database.api, project, [{ project, device_id: id, own: true }], {
      now: noon,
      questionFor: () => challenge(),
      challengeFor: () => challenge(),
      withoutEvidence: (before_) => ({ ...before_, reason: 'evidence_missing' }),
      announce: () => [],
    });
    assert.deepEqual(
      [(await standing(id)).unrecorded, (await standing(id)).attestation?.reason],
      [2, 'evidence_missing'],
    );
  });
});
