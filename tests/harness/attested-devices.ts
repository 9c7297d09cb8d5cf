// Devices that are trusted by their evidence, on the real store, with everything that judges it: once the API has, and once
// the activity of their actor.
import assert from 'node:assert/strict';
import { MockActivityEnvironment } from '@temporalio/testing';
import { createAttestationActivities, type AttestationActivityDeps } from '#activities/attestation.ts';
import { createAttestation, type Attestation, type AttestationDeps } from '#api/attestation.ts';
import { createMetrics } from '#api/metrics.ts';
import type { AttestationBasis, AttestationBinding } from '#contracts/attestation.ts';
import { judgeEvidence } from '#protocols/attestation-verdict.ts';
import { digestOf } from '#protocols/canonical-json.ts';
import {
  askForEvidence,
  findActivation,
  findVerdict,
  lowerStandings,
  readStanding,
  recordVerdict,
} from '#store/attestation.ts';
import { approved, decide, digest, facts, heartbeat, report } from '#tests/store/builders.ts';
import type { StoreTest } from '#tests/store/database.ts';
import * as devices from '#tests/unit/machines/devices.ts';
import { judgedAt, soundJudgements } from '#tests/unit/protocols/judgements.ts';
import { bytesOf, quoteVector } from '#tests/unit/protocols/tpm-vectors.ts';
import type { ListName } from './failing-steps.ts';

const project = 'default';
const metrics = createMetrics('test');
/** Every nonce, and every secret, is that of the recorded quote. */
const nonce = bytesOf(quoteVector('rsassa', 'sha256').challenge.nonce);
const random = {
  bytes: (length: number) => nonce.subarray(0, length),
  uuid: () => '00000000-0000-4000-8000-000000000000',
};

export type Judge = AttestationDeps['judge'];
export const soundJudge: Judge = async (judgement) => judgeEvidence(judgement);

export type AttestedDevice = Awaited<ReturnType<typeof attestedDevice>>;

/**
 * A device whose evidence is judged by a list of steps.
 *
 * @param list Of `activation`, whose key has shown before where it lives.
 */
export async function attestedDevice(database: StoreTest, id: string, list: ListName) {
  const { api, worker } = database;
  const { evidence: good, basis } = soundJudgements(id)[list];
  const secret = nonce.toString('base64url');
  const evidence = list === 'quote' || list === 'activation' ? { ...(good as object), activated_secret: secret } : good;
  await report(api, heartbeat(id), judgedAt.toISOString());
  const pinned_certificate = { ...facts(`${id}-1`, { not_after: '2028-01-01T00:00:00.000Z' }) };
  await decide(worker, { project, id }, approved(`${id}-1`, { tier: 'trusted', pinned_certificate }));

  const attesting = (judge: Judge): Attestation =>
    createAttestation({
      basis: () => basis,
      required: true,
      identityVerified: true,
      readStanding: ({ project: own, id: device }) => readStanding(api, own, device),
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

  const standing = () => readStanding(api, project, id);
  const stateNow = async () => attesting(soundJudge).stateOf(await standing());
  /** Asks for evidence where nothing is open. */
  const ask = () => attesting(soundJudge).ask([{ project, device_id: id, own: false }]);
  const judge = (by: Judge = soundJudge) =>
    attesting(by).judge({
      device: { project, id },
      evidence,
      fingerprint: digest(`${id}-1`),
      counter: 100,
      requestId: 'request',
    });

  /** As its row has it. */
  async function shown(): Promise<{ binding: AttestationBinding; generation: number; verdict: number }> {
    const { attestation } = await standing();
    assert.ok(attestation !== null && attestation.key_id !== null);
    const { provider, key_id, binding_id, generation, verdict } = attestation;
    return { binding: { provider, key_id, binding_id }, generation, verdict };
  }

  /** Judged as it should be, and confirmed as the actor's commit would. */
  async function trust(): Promise<void> {
    await ask();
    let judged = await judge();
    // Asked to open a credential first.
    if (judged?.verdict.outcome === 'unproven') judged = await judge();
    assert.equal(judged?.verdict.outcome, 'verified', judged?.verdict.detail ?? '');
    const { binding, generation } = await shown();
    await database.rows(
      `UPDATE device SET attestation_provider = $2, attestation_key = $3, hardware_binding = $4,
         attested_generation = $5 WHERE device_id = $1`,
      [id, binding.provider, binding.key_id, binding.binding_id, generation],
    );
    assert.equal(await stateNow(), 'verified');
  }

  /** What the activity of its actor makes of the last verdict, for a device that people have bound to what its row has. */
  async function verify(by: Judge = soundJudge, change: Partial<AttestationActivityDeps> = {}) {
    const { binding, generation, verdict } = await shown();
    const { verifyEvidence } = createAttestationActivities({
      storedEvidence: (query) => findVerdict(worker, query.project, query.device_id, query.verdict),
      storedActivation: (query) => findActivation(worker, query.project, query.device_id, query.verdict),
      judgeEvidence: by,
      askVerifier: async () => ({ valid: true }),
      digestOf,
      attestation: { ...devices.asks, provider: basis.provider },
      basis: () => basis,
      ...change,
    });
    return new MockActivityEnvironment().run(verifyEvidence, {
      ...{ project, device_id: id, epoch: 1, generation, verdict },
      ...{ bound: binding, assigned_tags: [] },
    }) as ReturnType<typeof verifyEvidence>;
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

  return {
    id,
    list,
    basis: basis satisfies AttestationBasis,
    standing,
    stateNow,
    ask,
    judge,
    shown,
    trust,
    verify,
    audited,
  };
}
