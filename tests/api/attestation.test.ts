// Evidence over the real store: what a device is asked, what its answers come to, and that nothing here raises trust.
import assert from 'node:assert/strict';
import { generateKeyPairSync, hash, type KeyObject } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { replayVerdict } from '#api/attestation-verdicts.ts';
import { createStaleEvidence } from '#api/stale-evidence.ts';
import { createAttestation, EvidenceRefused, type Attestation, type AttestationDeps } from '#api/attestation.ts';
import { createEvidencePace } from '#api/evidence-pace.ts';
import { createMetrics } from '#api/metrics.ts';
import { systemRandom } from '#contracts/deps.ts';
import type { AttestationChallenge } from '#contracts/http/heartbeat.ts';
import { TrustError } from '#contracts/problems.ts';
import { readSettings } from '#contracts/settings.ts';
import { parseAttestationBasis } from '#protocols/attestation-basis.ts';
import { judgeEvidence, unjudged } from '#protocols/attestation-verdict.ts';
import { makeSignedMeasurement } from '#protocols/signed-measurement.ts';
import {
  askForEvidence,
  findVerdict,
  listVerdicts,
  lowerStandings,
  readStanding,
  recordVerdict,
  verdictAt,
  type DeviceStanding,
} from '#store/attestation.ts';
import { approved, decide, digest, heartbeat, noon, report, revoke } from '#tests/store/builders.ts';
import { storeTest, type StoreTest } from '#tests/store/database.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';

const good = 'aa'.repeat(32);
const bad = 'bb'.repeat(32);
const project = 'default';

describe('evidence', () => {
  const t = cleanupAfterAll();
  let database: StoreTest;
  before(async () => {
    database = await storeTest(t);
  });

  function attesting(settings: Record<string, string> = {}, change: Partial<AttestationDeps> = {}) {
    const setup = parseAttestationBasis(
      readSettings({
        SENTINEL_ATTESTATION_PROVIDER: 'signed_measurement_v1',
        SENTINEL_ATTESTATION_REQUIRED: 'true',
        SENTINEL_ATTESTATION_PCR_BASELINES_JSON: JSON.stringify({ sha256: { 0: [good] } }),
        ...settings,
      }),
      () => '',
    );
    assert.ok(setup !== null);
    const time = { now: new Date(noon) };
    const told: string[] = [];
    const { api } = database;
    const attestation = createAttestation({
      basis: () => setup.basis,
      required: setup.required,
      identityVerified: true,
      readStanding: ({ project: own, id }) => readStanding(api, own, id),
      recordVerdict: (own, verdict, options) => recordVerdict(api, own, verdict, options),
      askForEvidence: (own, items, options) => askForEvidence(api, own, items, options),
      lowerStandings: (own, ids, options) => lowerStandings(api, own, ids, options),
      judge: async (judgement) => judgeEvidence(judgement),
      askVerifier: async () => null,
      tellActor: ({ id }) => void told.push(id),
      pace: createEvidencePace({ now: () => time.now }, 15, 120),
      metrics: createMetrics('test'),
      clock: { now: () => time.now },
      random: systemRandom,
      ...change,
    });
    return {
      attestation,
      told,
      time,
      pass: (seconds: number) => (time.now = new Date(time.now.getTime() + seconds * 1000)),
    };
  }

  /** A device with a key, approved with its pinned certificate, and bound to the key where `bound` says so. */
  async function device(id: string, { bound = true, tier = 'trusted' as 'trusted' | 'monitored' } = {}) {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    await report(database.api, heartbeat(id));
    await decide(database.worker, { project, id }, approved(`${id}-1`, { tier }));
    const keyId = keyIdOf(publicKey);
    if (bound) await bind(id, keyId, null);
    return { id, privateKey, keyId };
  }

  const keyIdOf = (key: KeyObject): string => hash('sha256', key.export({ type: 'spki', format: 'der' }));

  /** As the actor's commit would. */
  async function bind(id: string, keyId: string, generation: number | null): Promise<void> {
    await database.rows(
      `UPDATE device SET attestation_provider = 'signed_measurement_v1', attestation_key = $2, attested_generation = $3
       WHERE device_id = $1`,
      [id, keyId, generation],
    );
  }

  async function ask(attestation: Attestation, id: string, own = true): Promise<DeviceStanding> {
    const [standing] = await attestation.ask([{ project, device_id: id, own }]);
    assert.ok(standing);
    return standing;
  }

  async function challengeFor(attestation: Attestation, id: string): Promise<AttestationChallenge> {
    const challenge = attestation.challengeOf(await ask(attestation, id, false));
    assert.ok(challenge !== null);
    return challenge;
  }

  const answer = (
    { id, privateKey }: { id: string; privateKey: KeyObject },
    nonce: string,
    { value = good, at = new Date(noon), deviceId = id } = {},
  ) => makeSignedMeasurement({ deviceId, nonce, measuredAt: at, pcrs: { sha256: { 0: value } }, privateKey });

  const judge = (attestation: Attestation, id: string, evidence: unknown, counter = 100) =>
    attestation.judge({
      device: { project, id },
      evidence,
      fingerprint: digest(`${id}-1`),
      counter,
      requestId: 'request',
    });

  async function refused(work: Promise<unknown>): Promise<EvidenceRefused> {
    try {
      await work;
    } catch (error) {
      assert.ok(error instanceof EvidenceRefused, String(error));
      return error;
    }
    throw new assert.AssertionError({ message: 'it was not refused' });
  }

  const auditOf = (id: string) =>
    database.rows<{ action: string; details: Record<string, unknown> }>(
      `SELECT action, details FROM audit_event WHERE subject_id = $1 AND action ~ 'attest|hardware|trust' ORDER BY action`,
      [id],
    );

  it('asks once, and the same until it is answered or expires (AT-01, AT-04)', async () => {
    const { attestation, pass } = attesting({ SENTINEL_ATTESTATION_CHALLENGE_TTL_SECONDS: '60' });
    const own = await device('asked');
    const first = await challengeFor(attestation, own.id);
    assert.equal(first.provider, 'signed_measurement_v1');
    assert.equal(Buffer.from(first.nonce, 'base64url').length, 32);
    assert.deepEqual(first.pcr_selection, { sha256: [0] });
    pass(59);
    assert.equal((await challengeFor(attestation, own.id)).nonce, first.nonce);
    pass(1);
    assert.notEqual((await challengeFor(attestation, own.id)).nonce, first.nonce);
  });

  it('is verified, and raises nothing before the actor has confirmed its generation (AT-02, SA-03)', async () => {
    const { attestation } = attesting();
    const own = await device('verified');
    const { nonce } = await challengeFor(attestation, own.id);
    const judged = await judge(attestation, own.id, answer(own, nonce));
    assert.equal(judged?.verdict.outcome, 'verified');
    assert.equal(judged.standing.attestation?.generation, 1);
    assert.equal(attestation.stateOf(judged.standing), 'challenged');
    assert.equal(attestation.waitsForActor(judged.standing), true);
    await bind(own.id, own.keyId, 1);
    const confirmed = await attestation.readStanding({ project, id: own.id });
    assert.equal(attestation.stateOf(confirmed), 'verified');
    assert.equal(attestation.waitsForActor(confirmed), false);
    await bind(own.id, 'ff'.repeat(32), 1);
    assert.equal(attestation.stateOf(await attestation.readStanding({ project, id: own.id })), 'challenged');
  });

  it('goes on in its generation while the device answers each challenge, and begins another after it did not (AT-05)', async () => {
    const { attestation } = attesting();
    const own = await device('steady');
    let { nonce } = await challengeFor(attestation, own.id);
    for (let beat = 1; beat <= 3; beat += 1) {
      const judged = await judge(attestation, own.id, answer(own, nonce));
      assert.equal(judged?.standing.attestation?.generation, 1, `beat ${beat}`);
      const next = attestation.challengeOf(judged.standing);
      assert.ok(next && next.nonce !== nonce);
      nonce = next.nonce;
    }
    await bind(own.id, own.keyId, 1);
    // A heartbeat without evidence: the nonce was lost.
    const lost = await ask(attestation, own.id);
    assert.equal(attestation.stateOf(lost), 'challenged');
    assert.equal(attestation.challengeOf(lost)?.nonce, nonce);
    assert.deepEqual(
      (await auditOf(own.id)).map(({ action, details }) => [action, details['from'], details['to'], details['reason']]),
      [['device.trust.updated', 'trusted', 'observed', 'evidence_missing']],
    );
    const again = await judge(attestation, own.id, answer(own, nonce));
    assert.equal(again?.standing.attestation?.generation, 2);
    assert.equal(attestation.stateOf(again.standing), 'challenged');
  });

  it('is refused when it answers another challenge, and the open one stays open (AT-05)', async () => {
    const { attestation } = attesting();
    const own = await device('replayed');
    const { nonce } = await challengeFor(attestation, own.id);
    const evidence = answer(own, nonce);
    const judged = await judge(attestation, own.id, evidence);
    const open = judged && attestation.challengeOf(judged.standing);
    await bind(own.id, own.keyId, 1);
    const replay = await refused(judge(attestation, own.id, evidence));
    assert.equal(replay.code, 'attestation.nonce_unknown');
    assert.deepEqual(replay.members.attestation_challenge, open);
    assert.equal(attestation.stateOf(await attestation.readStanding({ project, id: own.id })), 'challenged');
    const other = await device('neighbour');
    const theirs = await challengeFor(attestation, other.id);
    const swapped = await refused(judge(attestation, own.id, answer(own, theirs.nonce)));
    assert.equal(swapped.code, 'attestation.nonce_unknown');
  });

  it('answers one challenge once, however many answer it at the same time (AT-05)', async () => {
    const { attestation } = attesting();
    const own = await device('raced');
    const { nonce } = await challengeFor(attestation, own.id);
    // Each by a process of its own: one process judges a device once at a time.
    const results = await Promise.allSettled(
      Array.from({ length: 6 }, () => judge(attesting().attestation, own.id, answer(own, nonce))),
    );
    const codes = results.map((result) =>
      result.status === 'fulfilled' ? 'ok' : (result.reason as EvidenceRefused).code,
    );
    assert.equal(codes.filter((code) => code === 'ok').length, 1);
    assert.equal(codes.filter((code) => code === 'attestation.nonce_unknown').length, 5);
  });

  it('judges one piece of a device at once, and of so many devices: who is too much comes again', async () => {
    const gate = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const { attestation } = attesting(
      {},
      {
        judge: async (judgement) => {
          if (judgement.circumstances.device_id === 'alone') {
            begun.resolve();
            await gate.promise;
          }
          return judgeEvidence(judgement);
        },
        maximumAtOnce: 2,
      },
    );
    const [own, other] = [await device('alone'), await device('beside')];
    const { nonce } = await challengeFor(attestation, own.id);
    const first = judge(attestation, own.id, answer(own, nonce));
    await begun.promise;
    await assert.rejects(judge(attestation, own.id, answer(own, nonce)), { code: 'service.overloaded' });
    const crowded = attesting({}, { maximumAtOnce: 0 }).attestation;
    await assert.rejects(judge(crowded, other.id, {}), { code: 'service.overloaded' });
    const beside = await judge(attestation, other.id, answer(other, (await challengeFor(attestation, other.id)).nonce));
    assert.equal(beside?.verdict.outcome, 'verified');
    gate.resolve();
    const judged = await first;
    const next = judged && attestation.challengeOf(judged.standing);
    assert.equal((await judge(attestation, own.id, answer(own, next?.nonce ?? '')))?.verdict.outcome, 'verified');
  });

  it('of a steady device has nothing that its actor would have to hear', async () => {
    const { attestation } = attesting();
    const own = await device('quiet');
    let judged = await judge(attestation, own.id, answer(own, (await challengeFor(attestation, own.id)).nonce));
    assert.ok(judged);
    await bind(own.id, own.keyId, 1);
    const noted = attestation.noted(judged);
    for (let beat = 1; beat <= 3; beat += 1) {
      const next = attestation.challengeOf(judged.standing);
      judged = await judge(attestation, own.id, answer(own, next?.nonce ?? ''));
      assert.ok(judged);
      assert.equal(attestation.waitsForActor(judged.standing), false);
      assert.deepEqual(attestation.noted(judged), noted);
    }
  });

  it('takes the trust of a device whose registers differ, at once, until it is verified again (AT-06)', async () => {
    const { attestation, told } = attesting();
    const own = await device('changed');
    const first = await judge(attestation, own.id, answer(own, (await challengeFor(attestation, own.id)).nonce));
    await bind(own.id, own.keyId, 1);
    const next = first && attestation.challengeOf(first.standing);
    const failure = await refused(judge(attestation, own.id, answer(own, next?.nonce ?? '', { value: bad })));
    assert.equal(failure.code, 'attestation.failed');
    assert.deepEqual([failure.facts['reason'], failure.facts['pcr']], ['pcr_mismatch', 0]);
    assert.ok(failure.members.attestation_challenge !== null);
    assert.equal(attestation.stateOf(await attestation.readStanding({ project, id: own.id })), 'failed');
    assert.deepEqual(told, [own.id]);
    // Neither silence nor an old answer mends it.
    assert.equal(attestation.stateOf(await ask(attestation, own.id)), 'failed');
    await refused(judge(attestation, own.id, answer(own, next?.nonce ?? '')));
    assert.equal(attestation.stateOf(await attestation.readStanding({ project, id: own.id })), 'failed');
    assert.deepEqual(
      (await auditOf(own.id)).map(({ action, details }) => [action, details['to'] ?? null]),
      [
        ['attestation.failed', null],
        ['device.trust.updated', 'restricted'],
      ],
    );
  });

  it('that fails as fast as it is answered is refused each time, and recorded so often (AT-06, AT-09, SA-02)', async () => {
    const { attestation, told } = attesting();
    const processes = [attestation, attesting().attestation];
    const own = await device('floods');
    const thief = { id: own.id, privateKey: generateKeyPairSync('ed25519').privateKey };
    const first = await judge(attestation, own.id, answer(own, (await challengeFor(attestation, own.id)).nonce));
    await bind(own.id, own.keyId, 1);
    let next = first && attestation.challengeOf(first.standing);
    const used = new Set<string>();
    // Each moves the reason, and each answers what was asked.
    const kinds = [
      ['attestation.failed', 'pcr_mismatch', (nonce: string) => answer(own, nonce, { value: bad })],
      ['attestation.failed', 'malformed', (nonce: string) => ({ ...answer(own, nonce), junk: 'j'.repeat(50_000) })],
      ['attestation.hardware_mismatch', 'other_key', (nonce: string) => answer(thief, nonce)],
    ] as const;
    const rounds = 10;
    for (let sent = 0; sent < rounds * kinds.length; sent += 1) {
      const [code, reason, evidence] = kinds[sent % kinds.length] ?? kinds[0];
      const nonce = next?.nonce ?? '';
      assert.ok(!used.has(nonce));
      used.add(nonce);
      const refusal = await refused(judge(processes[sent % 2] ?? attestation, own.id, evidence(nonce)));
      assert.deepEqual([refusal.code, refusal.facts['reason']], [code, reason], `${sent}`);
      next = refusal.members.attestation_challenge;
      assert.equal(attestation.stateOf(await attestation.readStanding({ project, id: own.id })), 'failed', `${sent}`);
    }
    const standing = await attestation.readStanding({ project, id: own.id });
    // The verified one, that which failed it, and three more.
    assert.deepEqual([standing.attestation?.verdict, standing.unrecorded], [5, rounds * kinds.length - 4]);
    assert.deepEqual(
      (await auditOf(own.id)).map(({ action, details }) => `${action} ${String(details['reason'])}`).toSorted(),
      [
        'attestation.failed malformed',
        'attestation.failed pcr_mismatch',
        'attestation.failed pcr_mismatch',
        'device.trust.updated pcr_mismatch',
        'hardware_identity_mismatch other_key',
      ],
    );
    const outbox = `SELECT count(*)::integer AS events FROM outbox_event WHERE subject_id = $1`;
    assert.deepEqual(await database.rows(outbox, [own.id]), [{ events: 5 }]);
    assert.ok(told.length <= 4);
  });

  it('that was only counted leaves the verdict before in force, which comes to the same again (AT-06)', async () => {
    const { attestation, pass, time } = attesting();
    const own = await device('counted');
    await judge(attestation, own.id, answer(own, (await challengeFor(attestation, own.id)).nonce));
    await bind(own.id, own.keyId, 1);
    for (let sent = 1; sent <= 9; sent += 1) {
      pass(1);
      const { nonce } = await challengeFor(attestation, own.id);
      await refused(judge(attestation, own.id, answer(own, nonce, { value: bad, at: time.now })));
    }
    const replayAt = async (seconds: number) => {
      const kept = await verdictAt(
        database.api,
        project,
        own.id,
        new Date(Date.parse(noon) + seconds * 1000).toISOString(),
      );
      assert.ok(kept);
      const { verdict, same, stored } = replayVerdict(kept);
      return [verdict, same, stored.outcome];
    };
    assert.deepEqual(await replayAt(0), [1, true, 'verified']);
    assert.deepEqual(await replayAt(4), [5, true, 'refused']);
    assert.deepEqual(await replayAt(9), [5, true, 'refused']);
    const mended = answer(own, (await challengeFor(attestation, own.id)).nonce, { at: time.now });
    assert.equal((await judge(attestation, own.id, mended))?.standing.attestation?.verdict, 6);
    assert.deepEqual(await replayAt(9), [6, true, 'verified']);
    const listed = await listVerdicts(database.api, project, own.id, { limit: 10, after: null });
    assert.deepEqual(
      listed.map(({ verdict, changed, unrecorded }) => [verdict, changed, unrecorded]),
      [
        [6, true, 5],
        [5, false, 0],
        [4, false, 0],
        [3, false, 0],
        [2, true, 0],
        [1, true, 0],
      ],
    );
  });

  it('is refused when it is too old or from the future, as policy has it (AT-04)', async () => {
    const { attestation } = attesting({
      SENTINEL_ATTESTATION_MAX_EVIDENCE_AGE_SECONDS: '100',
      SENTINEL_ATTESTATION_MAX_CLOCK_SKEW_SECONDS: '10',
    });
    const own = await device('skewed');
    const at = (seconds: number): Date => new Date(Date.parse(noon) + seconds * 1000);
    const send = async (seconds: number) =>
      judge(attestation, own.id, answer(own, (await challengeFor(attestation, own.id)).nonce, { at: at(seconds) }));
    assert.equal((await refused(send(-111))).code, 'attestation.stale');
    assert.equal((await refused(send(11))).facts['reason'], 'clock_ahead');
    assert.equal((await send(10))?.verdict.outcome, 'verified');
  });

  it('counts until its time is over, without any event (FT-19)', async () => {
    const { attestation, pass } = attesting({ SENTINEL_ATTESTATION_MAX_EVIDENCE_AGE_SECONDS: '100' });
    const own = await device('aged');
    await judge(attestation, own.id, answer(own, (await challengeFor(attestation, own.id)).nonce));
    await bind(own.id, own.keyId, 1);
    const standing = await attestation.readStanding({ project, id: own.id });
    pass(99);
    assert.equal(attestation.stateOf(standing), 'verified');
    pass(1);
    assert.equal(attestation.stateOf(standing), 'stale');
  });

  it('that has run out is announced once, however many look, with the tier that was lost (FT-19)', async () => {
    const { attestation, pass } = attesting({ SENTINEL_ATTESTATION_MAX_EVIDENCE_AGE_SECONDS: '100' });
    const [own, fresh] = [await device('ran-out'), await device('still-fresh')];
    await judge(attestation, own.id, answer(own, (await challengeFor(attestation, own.id)).nonce));
    await bind(own.id, own.keyId, 1);
    pass(99);
    assert.deepEqual(await attestation.lowerStale(project, [own.id]), []);
    const late = { at: new Date(Date.parse(noon) + 99_000) };
    await judge(attestation, fresh.id, answer(fresh, (await challengeFor(attestation, fresh.id)).nonce, late));
    pass(1);
    const told: string[] = [];
    const processes = [1, 2].map(() =>
      createStaleEvidence({
        staleStandings: async () => ({
          items: [own.id, fresh.id, 'unheard-of'].map((device_id) => ({ project, device_id })),
          next: null,
        }),
        attestation,
        notify: ({ id }) => void told.push(id),
        clock: { now: () => new Date(noon) },
        log: { error: (_facts, message) => assert.fail(message) },
        intervalMs: 3_600_000,
      }),
    );
    await Promise.all(processes.map(({ sweep }) => sweep()));
    await Promise.all(processes.map(({ close }) => close()));
    assert.deepEqual(told, [own.id]);
    const standing = await attestation.readStanding({ project, id: own.id });
    assert.deepEqual(
      [standing.attestation?.state, standing.attestation?.reason, attestation.stateOf(standing)],
      ['challenged', 'too_old', 'stale'],
    );
    assert.deepEqual(
      (await auditOf(own.id)).map(({ action, details }) => [action, details['from'], details['to'], details['reason']]),
      [['device.trust.updated', 'trusted', 'observed', 'too_old']],
    );
    const events = `SELECT type FROM outbox_event WHERE subject_id = $1 AND type = 'device.trust.updated'`;
    assert.equal((await database.rows(events, [own.id])).length, 1);
    assert.equal((await attestation.readStanding({ project, id: fresh.id })).attestation?.state, 'verified');
  });

  it('of another key than the bound one is refused, changes no binding, and stands out in the trail (AT-09, SA-05)', async () => {
    const { attestation } = attesting();
    const own = await device('swapped');
    const thief = { id: own.id, privateKey: generateKeyPairSync('ed25519').privateKey };
    const { nonce } = await challengeFor(attestation, own.id);
    const refusal = await refused(judge(attestation, own.id, answer(thief, nonce)));
    assert.equal(refusal.code, 'attestation.hardware_mismatch');
    const standing = await attestation.readStanding({ project, id: own.id });
    assert.equal(standing.grant?.binding?.key_id, own.keyId);
    assert.equal(attestation.stateOf(standing), 'failed');
    assert.ok((await auditOf(own.id)).some(({ action }) => action === 'hardware_identity_mismatch'));
  });

  it('is not looked at when the heartbeat is refused anyway, and uses nothing up', async () => {
    const { attestation } = attesting();
    const own = await device('elsewhere');
    const { nonce } = await challengeFor(attestation, own.id);
    const wrong = answer(own, nonce, { value: bad });
    const given = { device: { project, id: own.id }, evidence: wrong, counter: 100, requestId: 'r' };
    assert.equal(await attestation.judge({ ...given, fingerprint: digest('another certificate') }), null);
    assert.equal(await judge(attestation, own.id, wrong, 0), null);
    await revoke(database.api, own.id, null);
    assert.equal(await judge(attestation, own.id, wrong), null);
    assert.equal((await attestation.readStanding({ project, id: own.id })).challenge?.nonce, nonce);
  });

  it('of a device that waits for approval comes with the certificate that waits, and with no other (SA-04, SA-05)', async () => {
    const { attestation } = attesting();
    const { privateKey } = generateKeyPairSync('ed25519');
    const id = 'waits';
    await report(database.api, heartbeat(id));
    const { nonce } = await challengeFor(attestation, id);
    const given = { device: { project, id }, evidence: answer({ id, privateKey }, nonce), requestId: 'r' };
    const other = { ...given, fingerprint: digest('another certificate'), counter: 2 };
    assert.equal(await attestation.judge(other), null);
    assert.equal((await attestation.readStanding({ project, id })).attestation, null);
    const own = { fingerprint: digest(`${id}-1`), counter: 2 };
    const judged = await attestation.judge({ ...given, ...own });
    assert.equal(judged?.verdict.outcome, 'verified');
    await revoke(database.api, id, digest(`${id}-1`));
    const next = attestation.challengeOf(judged.standing)?.nonce ?? '';
    const evidence = answer({ id, privateKey }, next);
    assert.equal(await attestation.judge({ ...given, ...own, evidence }), null);
  });

  it('is kept with what it was judged by, and comes to the same verdict again', async () => {
    const { attestation } = attesting();
    const own = await device('kept');
    await judge(attestation, own.id, answer(own, (await challengeFor(attestation, own.id)).nonce));
    const { nonce } = await challengeFor(attestation, own.id);
    await refused(judge(attestation, own.id, answer(own, nonce, { value: bad })));
    for (const number of [1, 2]) {
      const kept = await findVerdict(database.worker, project, own.id, number);
      assert.ok(kept);
      const { evidence, circumstances, basis, at, result } = kept;
      assert.deepEqual(judgeEvidence({ evidence, circumstances, basis, now: new Date(at) }), result);
    }
  });

  it('comes to the answer that held at any time of the past, whatever is approved since', async () => {
    const own = await device('replayed-later');
    const { attestation, pass } = attesting();
    const at = (seconds: number): string => new Date(Date.parse(noon) + seconds * 1000).toISOString();
    await judge(attestation, own.id, answer(own, (await challengeFor(attestation, own.id)).nonce));
    pass(30);
    // From now on something else is approved, and what was good is refused.
    const later = attesting({ SENTINEL_ATTESTATION_PCR_BASELINES_JSON: JSON.stringify({ sha256: { 0: [bad] } }) });
    later.pass(30);
    const { nonce } = await challengeFor(later.attestation, own.id);
    await refused(judge(later.attestation, own.id, answer(own, nonce, { at: new Date(at(30)) })));

    assert.equal(await verdictAt(database.api, project, own.id, at(-1)), null);
    const found = async (seconds: number) => {
      const kept = await verdictAt(database.api, project, own.id, at(seconds));
      assert.ok(kept);
      return replayVerdict(kept);
    };
    for (const [seconds, number, outcome] of [
      [0, 1, 'verified'],
      [29, 1, 'verified'],
      [30, 2, 'refused'],
      [9000, 2, 'refused'],
    ] as const) {
      const { verdict, same, computed, stored } = await found(seconds);
      assert.deepEqual(
        { verdict, same, computed, outcome: stored.outcome },
        { verdict: number, same: true, computed: stored, outcome },
      );
    }
    const listed = await listVerdicts(database.api, project, own.id, { limit: 10, after: null });
    assert.deepEqual(
      listed.map(({ verdict, changed }) => [verdict, changed]),
      [
        [2, true],
        [1, true],
      ],
    );
    assert.deepEqual(
      (await listVerdicts(database.api, project, own.id, { limit: 10, after: 2 })).map(({ verdict }) => verdict),
      [1],
    );
  });

  it('shows by its digests and by what differs that something stored was changed', async () => {
    const own = await device('tampered');
    const { attestation } = attesting();
    await judge(attestation, own.id, answer(own, (await challengeFor(attestation, own.id)).nonce));
    const kept = await findVerdict(database.api, project, own.id, 1);
    assert.ok(kept);
    const otherBasis = { ...kept.basis, max_evidence_age_seconds: kept.basis.max_evidence_age_seconds + 1 };
    const cases = [
      [{}, true, []],
      [{ evidence: { ...(kept.evidence as object), public_key: 'x' } }, false, ['outcome']],
      [{ basis: otherBasis }, false, ['fresh_until']],
      [{ result: { ...kept.result, key_id: 'ff'.repeat(32) } }, false, ['key_id']],
      [{ result: { ...kept.result, facts: { rebooted: true } } }, false, ['facts']],
    ] as const;
    for (const [change, same, differing] of cases) {
      const replay = replayVerdict({ ...kept, ...change } as typeof kept);
      assert.equal(replay.same, same, JSON.stringify(differing));
      for (const name of differing) assert.ok(replay.differing.includes(name), name);
      assert.equal(replay.evidence_digest_matches, !('evidence' in change));
      assert.equal(replay.basis_digest_matches, !('basis' in change));
    }
  });

  it('lowers trust when the judge fails, throws or says nothing (SA-03)', async () => {
    const own = await device('unjudged');
    const sound = attesting().attestation;
    await judge(sound, own.id, answer(own, (await challengeFor(sound, own.id)).nonce));
    await bind(own.id, own.keyId, 1);
    const failing = attesting({}, { judge: () => Promise.reject(new Error('the judge is gone')) }).attestation;
    const { nonce } = await challengeFor(failing, own.id);
    await refused(judge(failing, own.id, answer(own, nonce)));
    assert.equal(failing.stateOf(await failing.readStanding({ project, id: own.id })), 'failed');
  });

  it('lowers trust when no credential can be made for a key that would have to open it (SA-03)', async () => {
    const own = await device('unopened');
    const sound = attesting().attestation;
    await judge(sound, own.id, answer(own, (await challengeFor(sound, own.id)).nonce));
    const verdict = { ...unjudged, outcome: 'unproven' as const, code: null, key_id: own.keyId };
    const { attestation } = attesting({}, { judge: () => Promise.resolve(verdict) });
    const { nonce } = await challengeFor(attestation, own.id);
    const { code, facts, members } = await refused(judge(attestation, own.id, answer(own, nonce)));
    assert.deepEqual([code, facts['reason']], ['attestation.failed', 'judgement_failed']);
    assert.ok(members.attestation_challenge !== null && members.attestation_challenge.nonce !== nonce);
    const standing = await attestation.readStanding({ project, id: own.id });
    assert.equal(attestation.stateOf(standing), 'failed');
  });

  it('is not looked at while too much waits: the device comes again, and stands where it stood', async () => {
    const own = await device('overloaded');
    const sound = attesting().attestation;
    await judge(sound, own.id, answer(own, (await challengeFor(sound, own.id)).nonce));
    const full = attesting({}, { judge: () => Promise.reject(new TrustError('service.overloaded')) }).attestation;
    const before = await full.readStanding({ project, id: own.id });
    const { nonce } = await challengeFor(full, own.id);
    await assert.rejects(judge(full, own.id, answer(own, nonce)), { code: 'service.overloaded' });
    assert.deepEqual(await full.readStanding({ project, id: own.id }), before);
    await judge(sound, own.id, answer(own, nonce));
  });

  it('is not looked at when a device sends more than it is asked for, so that its verdicts fill no disk (SA-21)', async () => {
    const { attestation, pass } = attesting();
    const own = await device('flooding');
    await challengeFor(attestation, own.id);
    const wrong = { provider: 'signed_measurement_v1' };
    for (let sent = 0; sent < 120; sent += 1) await refused(judge(attestation, own.id, wrong));
    const limited = (evidence: unknown) => judge(attestation, own.id, evidence);
    await assert.rejects(limited(wrong), { code: 'rate.limited', facts: { retry_after_seconds: 600 } });
    pass(599);
    await assert.rejects(limited(wrong), { code: 'rate.limited', facts: { retry_after_seconds: 1 } });
    const { attestation: stands, unrecorded } = await attestation.readStanding({ project, id: own.id });
    assert.equal((stands?.verdict ?? 0) + unrecorded, 120);
    const ofAnother = { device: { project, id: own.id }, evidence: wrong, fingerprint: digest('another') };
    assert.equal(await attestation.judge({ ...ofAnother, counter: 101, requestId: 'r' }), null, 'a turn of its own');
    const beside = await device('beside-flooding');
    const { nonce } = await challengeFor(attestation, beside.id);
    const at = new Date(Date.parse(noon) + 599_000);
    assert.equal((await judge(attestation, beside.id, answer(beside, nonce, { at })))?.verdict.outcome, 'verified');
    pass(1);
    await refused(limited(wrong));
    pass(-3600);
    await refused(limited(wrong));
  });

  it('is not looked at when it is larger than any that can be verified (SA-21)', async () => {
    const own = await device('large');
    const { attestation } = attesting();
    const { nonce } = await challengeFor(attestation, own.id);
    const evidence = { ...answer(own, nonce), more: 'x'.repeat(64 * 1024) };
    await assert.rejects(judge(attestation, own.id, evidence), { code: 'request.too_large' });
    assert.equal((await judge(attestation, own.id, answer(own, nonce)))?.verdict.outcome, 'verified');
  });
});
