// Every step of every verification of evidence is made to fail in every way, on the real store: the device loses its trust each
// time, the audit says so, and the actor's own activity confirms nothing. Steps join these tests by being in their list.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { MockActivityEnvironment } from '@temporalio/testing';
import { createAttestationActivities } from '#activities/attestation.ts';
import { createAttestation, EvidenceRefused, type Attestation, type AttestationDeps } from '#api/attestation.ts';
import { createMetrics } from '#api/metrics.ts';
import type { AttestationBasis, AttestationBinding } from '#contracts/attestation.ts';
import { take } from '#bench/simulate/model-actor.ts';
import { deviceActor } from '#machines/device-actor.ts';
import { judgeEvidence, type Judgement } from '#protocols/attestation-verdict.ts';
import { digestOf } from '#protocols/canonical-json.ts';
import { askForEvidence, findVerdict, lowerStandings, readStanding, recordVerdict } from '#store/attestation.ts';
import { cleanupAfterAll, type Cleanup } from '#tests/harness/cleanup.ts';
import { everyStep, judgeWithStep, listNames, type ListName, type StepName } from '#tests/harness/failing-steps.ts';
import { failures, failuresAtOnce } from '#tests/harness/forced-failure.ts';
import { hangingJudge } from '#tests/harness/hanging-judge.ts';
import { approved, decide, digest, facts, heartbeat, report } from '#tests/store/builders.ts';
import { storeTest, type StoreTest } from '#tests/store/database.ts';
import * as devices from '#tests/unit/machines/devices.ts';
import { inWords } from '#tests/unit/machines/machines.ts';
import { judgedAt, soundJudgements } from '#tests/unit/protocols/judgements.ts';
import { bytesOf, quoteVector } from '#tests/unit/protocols/tpm-vectors.ts';

const project = 'default';
const ways = [...failuresAtOnce, 'never answers'] as const;
/** Threads that hang at the same time: they wait, and take no processor. */
const hangingAtOnce = 6;

/** Every nonce, and every secret, is that of the recorded quote. */
const nonce = bytesOf(quoteVector('rsassa', 'sha256').challenge.nonce);
const random = {
  bytes: (length: number) => nonce.subarray(0, length),
  uuid: () => '00000000-0000-4000-8000-000000000000',
};

const metrics = createMetrics('test');

describe('the steps of a verification', () => {
  const t = cleanupAfterAll();
  let database: StoreTest;
  before(async () => {
    database = await storeTest(t);
  });

  type Judge = AttestationDeps['judge'];
  const sound: Judge = async (judgement) => judgeEvidence(judgement);

  function attesting(basis: AttestationBasis, judge: Judge): Attestation {
    const { api } = database;
    return createAttestation({
      basis,
      required: true,
      identityVerified: true,
      readStanding: ({ project: own, id }) => readStanding(api, own, id),
      recordVerdict: (own, verdict, options) => recordVerdict(api, own, verdict, options),
      askForEvidence: (own, items, options) => askForEvidence(api, own, items, options),
      lowerStandings: (own, ids, options) => lowerStandings(api, own, ids, options),
      judge,
      askVerifier: async () => ({ valid: true }),
      tellActor: () => {},
      pace: { count: () => {} },
      metrics,
      clock: { now: () => judgedAt },
      random,
    });
  }

  /** A device that is trusted by its evidence, and how to have it judged again. */
  async function trustedDevice(id: string, list: ListName) {
    const { evidence: good, basis } = soundJudgements(id)[list];
    // The secret of the recorded quote is the one of every credential here.
    const secret = nonce.toString('base64url');
    const evidence = list === 'quote' ? { ...(good as object), activated_secret: secret } : good;
    await report(database.api, heartbeat(id), judgedAt.toISOString());
    const pinned_certificate = { ...facts(`${id}-1`, { not_after: '2028-01-01T00:00:00.000Z' }) };
    await decide(database.worker, { project, id }, approved(`${id}-1`, { tier: 'trusted', pinned_certificate }));
    const judge = (by: Judge) =>
      attesting(basis, by).judge({
        device: { project, id },
        evidence,
        fingerprint: digest(`${id}-1`),
        counter: 100,
        requestId: 'request',
      });
    const stateNow = async () => {
      const attestation = attesting(basis, sound);
      return attestation.stateOf(await attestation.readStanding({ project, id }));
    };
    const bound = async (): Promise<{ binding: AttestationBinding; generation: number; verdict: number }> => {
      const { attestation } = await readStanding(database.api, project, id);
      assert.ok(attestation !== null && attestation.key_id !== null);
      const { provider, key_id, binding_id, generation, verdict } = attestation;
      return { binding: { provider, key_id, binding_id }, generation, verdict };
    };
    /** Judged as it should be, and confirmed as the actor's commit would. */
    async function trust(): Promise<void> {
      await attesting(basis, sound).ask([{ project, device_id: id, own: false }]);
      let judged = await judge(sound);
      // Asked to open a credential first.
      if (judged?.verdict.outcome === 'unproven') judged = await judge(sound);
      assert.equal(judged?.verdict.outcome, 'verified', judged?.verdict.detail ?? '');
      const { binding, generation } = await bound();
      await database.rows(
        `UPDATE device SET attestation_provider = $2, attestation_key = $3, hardware_binding = $4,
           attested_generation = $5 WHERE device_id = $1`,
        [id, binding.provider, binding.key_id, binding.binding_id, generation],
      );
      assert.equal(await stateNow(), 'verified');
    }
    /** What the audit has heard since it was asked last. */
    const heard = new Set<string>();
    async function audited(): Promise<readonly (readonly [string, unknown])[]> {
      const rows = await database.rows<{ id: string; action: string; details: Record<string, unknown> }>(
        `SELECT id::text, action, details FROM audit_event
         WHERE subject_id = $1 AND action ~ '^attestation|trust' ORDER BY action`,
        [id],
      );
      const news = rows.filter((row) => !heard.has(row.id));
      for (const row of news) heard.add(row.id);
      return news.map(({ action, details }) => [action, details['to'] ?? details['code']]);
    }
    return { id, basis, judge, trust, stateNow, bound, audited };
  }
  type TrustedDevice = Awaited<ReturnType<typeof trustedDevice>>;

  /** By the API the device is refused, falls at once, and the audit has both. */
  async function falls(device: TrustedDevice, judge: Judge, why: string): Promise<void> {
    await device.trust();
    await device.audited();
    await assert.rejects(device.judge(judge), (error) => {
      assert.ok(error instanceof EvidenceRefused, `${why}: ${String(error)}`);
      assert.equal(error.code, 'attestation.failed', why);
      return true;
    });
    assert.equal(await device.stateNow(), 'failed', why);
    assert.deepEqual(
      await device.audited(),
      [
        ['attestation.failed', 'attestation.failed'],
        ['device.trust.updated', 'restricted'],
      ],
      why,
    );
  }

  /** By the actor's activity nothing is proven, and its machine says so instead of raising the tier. */
  async function isDisputed(device: TrustedDevice, judge: Judge, why: string): Promise<void> {
    const { binding, generation, verdict } = await device.bound();
    const verify = (by: Judge) => {
      const { verifyEvidence } = createAttestationActivities({
        storedEvidence: (query) => findVerdict(database.api, query.project, query.device_id, query.verdict),
        judgeEvidence: by,
        askVerifier: async () => ({ valid: true }),
        digestOf,
        attestation: { ...devices.asks, provider: device.basis.provider },
        basis: device.basis,
      });
      return new MockActivityEnvironment().run(verifyEvidence, {
        ...{ project, device_id: device.id, epoch: 1, generation, verdict },
        ...{ bound: binding, assigned_tags: [] },
      }) as ReturnType<typeof verifyEvidence>;
    };
    assert.equal((await verify(sound)).valid, true, `${why}: every step as it is`);
    const { valid, code, reason, key_id, binding_id } = await verify(judge);
    assert.deepEqual([valid, code, key_id, binding_id], [false, 'attestation.failed', null, null], why);
    const answer = devices.evidence(devices.bound, { valid, code, reason, key_id, binding_id });
    const taken = take(deviceActor, devices.bound, answer);
    assert.equal(inWords(taken), 'approved: +device.attestation.disputed', why);
    assert.notEqual(taken.snapshot.context.tier, 'trusted', why);
  }

  for (const { list, step } of everyStep) {
    it(`${list} › ${step} takes the trust when it ${ways.join(', ')} (SA-03)`, async () => {
      const device = await trustedDevice(`${list}-${step}`, list);
      for (const way of ways) {
        const failing = judgeWithStep({ list, step }, failures[way]);
        const judge: Judge = async (judgement: Judgement) => failing(judgement);
        await device.trust();
        await isDisputed(device, judge, way);
        await falls(device, judge, way);
      }
    });
  }

  for (const list of listNames) {
    it(`of ${list}: each takes the trust when it hangs, ended by the limit of its thread (SA-03)`, async (context) => {
      const waiting = everyStep.filter((one) => one.list === list);
      const work = async (): Promise<void> => {
        for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await hangs(context, next);
      };
      await Promise.all(Array.from({ length: hangingAtOnce }, work));
    });
  }

  async function hangs(context: Cleanup, name: StepName): Promise<void> {
    const device = await trustedDevice(`${name.list}-${name.step}-hangs`, name.list);
    await device.trust();
    const said: string[] = [];
    const judge = hangingJudge(context, name, said);
    await isDisputed(device, judge.judge, name.step);
    await falls(device, judge.judge, name.step);
    await judge.close();
    assert.equal(said.length, 2, name.step);
    for (const why of said) assert.match(why, /^it gave no answer within/);
  }
});
