// What of the evidence of a device is written down: whatever moves it, of the rest so much, and what repeats once.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, describe, it } from 'node:test';
import pg from 'pg';
import { replayVerdict } from '#api/attestation-verdicts.ts';
import type { AttestationBasis, StoredChallenge, Verdict } from '#contracts/attestation.ts';
import type { Json } from '#contracts/deps.ts';
import { standingAfter } from '#machines/attestation-standing.ts';
import { basisDigest } from '#protocols/attestation-basis.ts';
import { judgeEvidence, unjudged } from '#protocols/attestation-verdict.ts';
import { digestOf } from '#protocols/canonical-json.ts';
import {
  askForEvidence,
  findVerdict,
  listVerdicts,
  readStanding,
  recordVerdict,
  type DeviceStanding,
} from '#store/attestation.ts';
import { prune } from '#store/reconcile.ts';
import type { Store } from '#store/store.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { circumstancesFor, judgedAt, provenEvidence, quoteBasis } from '#tests/unit/protocols/judgements.ts';
import { quoteVector } from '#tests/unit/protocols/tpm-vectors.ts';
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
        activates: false,
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

describe('verdicts of a device that goes on', () => {
  const cleanup = cleanupAfterAll();
  const vector = quoteVector('rsassa', 'sha256');
  const judging = quoteBasis(vector);
  let database: StoreTest;
  before(async () => {
    database = await storeTest(cleanup);
  });

  /** Judges a TPM's evidence that came at `now`, and writes the verdict down. */
  async function attest(
    id: string,
    { now = judgedAt, tags = ['lab'], activates = false } = {},
  ): Promise<DeviceStanding> {
    const evidence = provenEvidence(vector);
    const circumstances = circumstancesFor(vector, { device_id: id, assigned_tags: tags });
    const result = judgeEvidence({ evidence, circumstances, basis: judging, now });
    const recorded = await recordVerdict(
      database.api,
      project,
      {
        ...{ device_id: id, circumstances, basis: judging, basis_digest: basisDigest(judging), result },
        evidence: evidence as unknown as Json,
        evidence_digest: digestOf(evidence),
        activates,
      },
      {
        ...{ now: now.toISOString(), next: null, mostUnmoving, announce: () => [] },
        standingAfter: (before_) => standingAfter(before_, result, { provider: 'tpm_quote_v1', at: now.toISOString() }),
      },
    );
    assert.ok(recorded);
    return recorded;
  }
  const later = (seconds: number): Date => new Date(judgedAt.getTime() + seconds * 1000);
  const commonOf = (id: string) =>
    database.rows<{ digest: string; verdicts: number }>(
      `SELECT common_digest AS digest, count(*)::integer AS verdicts FROM attestation_verdict
       WHERE device_id = $1 GROUP BY 1 ORDER BY min(verdict)`,
      [id],
    );

  it('keep once what they have in common, and each comes to the same again', async () => {
    for (let beat = 0; beat < 5; beat += 1) await attest('steady', { now: later(beat) });
    await attest('steady', { now: later(5), tags: ['lab', 'moved'] });
    assert.deepEqual(
      (await commonOf('steady')).map(({ verdicts }) => verdicts),
      [5, 1],
    );
    for (const verdict of [1, 5, 6]) {
      const kept = await findVerdict(database.worker, project, 'steady', verdict);
      assert.ok(kept);
      assert.deepEqual(kept.evidence, JSON.parse(JSON.stringify(provenEvidence(vector))));
      const { same, stored } = replayVerdict(kept);
      assert.deepEqual([same, stored.outcome], [true, 'verified']);
    }
    const listed = await listVerdicts(database.api, project, 'steady', { limit: 2, after: null });
    assert.deepEqual(
      listed.map(({ result }) => [result.outcome, result.key_id]),
      [
        ['verified', vector.ak_name],
        ['verified', vector.ak_name],
      ],
    );
    assert.ok(listed.every(({ basis_digest }) => basis_digest === basisDigest(judging)));
  });

  it('show that what they have in common was changed since', async () => {
    await attest('changed');
    await database.rows(
      `UPDATE attestation_common SET content = jsonb_set(content, '{evidence,pcrs,sha256,0}', '"00"')
       WHERE digest = (SELECT common_digest FROM attestation_verdict WHERE device_id = 'changed')`,
    );
    const kept = await findVerdict(database.api, project, 'changed', 1);
    const replay = kept && replayVerdict(kept);
    assert.deepEqual([replay?.same, replay?.evidence_digest_matches], [false, false]);
  });

  it('from before anything was kept in common are whole', async () => {
    await attest('earlier');
    const whole = await findVerdict(database.api, project, 'earlier', 1);
    assert.ok(whole);
    const { evidence, circumstances, result } = whole;
    await database.rows(
      `UPDATE attestation_verdict SET evidence = $1, circumstances = $2, result = $3, basis_digest = $4,
         common_digest = NULL WHERE device_id = 'earlier'`,
      [...[evidence, circumstances, result].map((part) => JSON.stringify(part)), whole.basis_digest],
    );
    assert.deepEqual(await findVerdict(database.api, project, 'earlier', 1), whole);
    assert.deepEqual(
      (await listVerdicts(database.api, project, 'earlier', { limit: 1, after: null }))[0]?.result,
      result,
    );
  });

  /** Makes all verdicts of these devices as old as the sweep looks for, and what they rest on. */
  async function age(...ids: string[]): Promise<void> {
    await database.rows(
      `UPDATE attestation_verdict SET at = now() - verdict * interval '1 minute' - interval '40 days', changed = false
       WHERE device_id = ANY ($1)`,
      [ids],
    );
    await database.rows(`UPDATE attestation_common SET first_used_at = now() - interval '90 days'`);
    await database.rows(`UPDATE attestation_basis SET first_used_at = now() - interval '90 days'`);
  }
  const sweep = async () => {
    const removed = await prune(database.worker, new Date(), { verdictDays: 30 });
    return [removed['attestation_verdicts'], removed['attestation_commons'], removed['attestation_bases']];
  };

  it('are swept with what only they had in common, and with nothing that another one rests on', async () => {
    for (const [beat, tags] of [['one'], ['one'], ['two'], ['three'], ['three']].entries())
      await attest('swept', { now: later(beat), tags });
    await attest('beside');
    const [one, two, three] = await commonOf('swept');
    await age('swept');
    // Of the second state a verdict is kept that moved the device.
    await database.rows(`UPDATE attestation_verdict SET changed = true WHERE device_id = 'swept' AND verdict = 3`);
    assert.deepEqual(await sweep(), [3, 1, 0]);
    assert.deepEqual(await commonOf('swept'), [
      { ...two, verdicts: 1 },
      { ...three, verdicts: 1 },
    ]);
    const left = await database.rows(`SELECT FROM attestation_common WHERE digest = $1`, [one?.digest]);
    assert.equal(left.length, 0);
    for (const verdict of [3, 5]) {
      const kept = await findVerdict(database.worker, project, 'swept', verdict);
      assert.equal(kept && replayVerdict(kept).same, true);
    }
    assert.deepEqual(await sweep(), [0, 0, 0]);
    const orphans = `SELECT digest FROM attestation_common c
      WHERE content->'circumstances'->>'device_id' = 'swept'
        AND NOT EXISTS (SELECT FROM attestation_verdict v WHERE v.common_digest = c.digest)`;
    assert.deepEqual(await database.rows(orphans), []);
  });

  it('are kept while a key rests on their evidence, and hold up no sweep', async () => {
    await attest('activates');
    await attest('activates', { now: later(1), activates: true });
    await attest('activates', { now: later(2) });
    await attest('activates', { now: later(3) });
    assert.deepEqual(await recordedOf('activates'), [
      [1, true],
      [2, true],
      [3, false],
      [4, false],
    ]);
    await database.rows(`UPDATE attestation_verdict SET at = now() - interval '40 days' WHERE device_id = 'activates'`);
    assert.deepEqual(await sweep(), [1, 0, 0]);
    assert.deepEqual(await recordedOf('activates'), [
      [1, true],
      [2, true],
      [4, false],
    ]);
  });
  const recordedOf = async (id: string) =>
    (
      await database.rows<{ verdict: number; changed: boolean }>(
        'SELECT verdict::integer, changed FROM attestation_verdict WHERE device_id = $1 ORDER BY verdict',
        [id],
      )
    ).map(({ verdict, changed }) => [verdict, changed]);

  const waits = (statement: string) =>
    eventually(
      async () =>
        (
          await database.rows(
            `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
             AND query LIKE $1`,
            [`%${statement}%`],
          )
        ).length > 0,
      `${statement} waits`,
    );
  async function other(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: database.superuserUrl });
    await client.connect();
    cleanup.after(() => client.end());
    return client;
  }

  it('come again while the sweep removes what they had in common, and find it missing or make it stay', async () => {
    await attest('returns');
    await attest('returns', { now: later(1), tags: ['other'] });
    await age('returns');
    const [first] = await commonOf('returns');
    const client = await other();
    await client.query('BEGIN');
    // As the sweep does, which has not ended yet.
    await client.query(`DELETE FROM attestation_verdict WHERE device_id = 'returns' AND verdict = 1`);
    await client.query(`DELETE FROM attestation_common WHERE digest = $1`, [first?.digest]);
    const coming = attest('returns', { now: later(2) });
    await waits('INSERT INTO attestation_common');
    await client.query('COMMIT');
    assert.equal((await coming).attestation?.verdict, 3);
    assert.equal((await findVerdict(database.api, project, 'returns', 3))?.circumstances.assigned_tags[0], 'lab');

    await age('returns');
    await client.query('BEGIN');
    // As a heartbeat does, which has not ended yet.
    await client.query(
      `INSERT INTO attestation_verdict SELECT r.* FROM attestation_verdict v
       CROSS JOIN LATERAL jsonb_populate_record(v, '{"verdict": 4}') r WHERE v.device_id = 'returns' AND v.verdict = 2`,
    );
    const sweeping = sweep();
    await waits('prune_verdicts');
    await client.query('COMMIT');
    assert.deepEqual(await sweeping, [1, 0, 0]);
    const kept = await findVerdict(database.worker, project, 'returns', 4);
    assert.equal(kept && replayVerdict(kept).same, true);
  });

  it('are written again when what they have in common was swept between two of their statements', async () => {
    await attest('between');
    await attest('between', { now: later(1), tags: ['other'] });
    await database.rows('CREATE SEQUENCE sweeps');
    await database.rows(`CREATE FUNCTION sweep_once() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        IF nextval('public.sweeps') = 1 THEN DELETE FROM public.attestation_common c WHERE c.digest = NEW.common_digest; END IF;
        RETURN NEW;
      END $$`);
    await database.rows(`DELETE FROM attestation_verdict WHERE device_id = 'between' AND verdict = 1`);
    await database.rows(
      'CREATE TRIGGER sweep_once BEFORE INSERT ON attestation_verdict FOR EACH ROW EXECUTE FUNCTION sweep_once()',
    );
    const recorded = await attest('between', { now: later(2) });
    await database.rows('DROP TRIGGER sweep_once ON attestation_verdict');
    assert.equal(recorded.attestation?.verdict, 3);
    assert.deepEqual(await database.rows('SELECT last_value::integer AS times FROM sweeps'), [{ times: 2 }]);
    const kept = await findVerdict(database.worker, project, 'between', 3);
    assert.equal(kept && replayVerdict(kept).same, true);
  });
});
