// From evidence that the API found good to a trusted device, on the real Temporal: whatever goes wrong on the way, the tier stays down.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { Verdict } from '#contracts/attestation.ts';
import { judgeEvidence } from '#protocols/attestation-verdict.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { approval, digestOf, testActors, type TestActors } from './actors.ts';
import { giveEvidence } from './evidence.ts';

describe('evidence of a device', () => {
  const cleanup = cleanupAfterAll();
  let actors: TestActors;
  before(async () => {
    actors = await testActors(cleanup, {
      attestation: { provider: 'signed_measurement_v1', allow_key_rotation_with_stable_binding: true },
    });
    for (const name of ['ann', 'bob']) actors.store.standing.add(name);
  });

  const auditOf = (id: string) => actors.store.audit.filter(({ subject }) => subject.id === id);
  const actionsOf = (id: string) => auditOf(id).map(({ action }) => action);
  const told = (id: string, action: string) =>
    actors.eventually(() => auditOf(id).find((entry) => entry.action === action), `${action} of ${id}`);

  /** The key is in the approval. */
  const shown = (approvalId: string) =>
    actors.eventually(() => actors.store.approvals.get(approvalId)?.subject['attestation'], `the key in ${approvalId}`);

  async function decide(id: string, other?: { readonly id: string }): Promise<{ readonly id: string }> {
    const review = await actors.review(id, other);
    await actors.vote(review.id, 'ann');
    await actors.handle(approval(review.id)).result();
    await actors.catchUp(id);
    return review;
  }

  it('that came first is shown to who approves, and makes it trusted after it was judged again', async () => {
    const id = 'first';
    const given = giveEvidence(id);
    await actors.present(id, id);
    const before = await actors.review(id);
    await actors.attest(id, given);
    assert.deepEqual(await shown(before.id), {
      provider: 'signed_measurement_v1',
      key_id: given.standing.key_id,
      binding_id: null,
      manufacturer: null,
    });
    await decide(id);
    await told(id, 'device.attestation.confirmed');
    const { tier, attestation_key, attested_generation } = actors.grant(id);
    assert.deepEqual([tier, attestation_key, attested_generation], ['trusted', given.standing.key_id, 1]);
    const updates = auditOf(id).filter(({ action }) => action === 'device.trust.updated');
    assert.deepEqual(
      updates.map(({ details }) => details['to']),
      ['monitored', 'trusted'],
    );
  });

  it('that came after the approval is bound by a review of its own', async () => {
    const id = 'later';
    await actors.present(id, id);
    const enrollment = await decide(id);
    await actors.attest(id, giveEvidence(id));
    const review = await decide(id, enrollment);
    assert.equal(actors.store.approvals.get(review.id)?.kind, 'hardware');
    await told(id, 'device.attestation.confirmed');
    assert.equal(actors.grant(id).tier, 'trusted');
  });

  for (const [what, digested] of [
    ['was changed', (was: string) => was],
    ['was changed with its digest', (_was: string, now: string) => now],
  ] as const)
    it(`that ${what} between the verdict of the API and the activity is not confirmed (SA-04)`, async () => {
      const id = what.replaceAll(' ', '-');
      const other = giveEvidence(id);
      await actors.present(id, id);
      const { id: enrollment } = await actors.review(id);
      await actors.attest(id, giveEvidence(id));
      await shown(enrollment);
      // The store says that the device is verified with its own key; the evidence is another key's.
      const stored = actors.evidence.get(`${id} 1`);
      assert.ok(stored);
      const { evidence, circumstances } = other;
      const evidence_digest = digested(stored.evidence_digest, digestOf(evidence));
      actors.evidence.set(`${id} 1`, { ...stored, evidence, circumstances, evidence_digest });
      await decide(id);
      const { outcome } = await told(id, 'device.attestation.disputed');
      assert.equal(outcome, 'failed');
      assert.equal(actors.grant(id).tier, 'monitored');
      assert.equal(actors.grant(id).attested_generation, null);
      assert.ok(!actionsOf(id).includes('device.attestation.confirmed'));
      // What really is its own is.
      actors.evidence.set(`${id} 1`, stored);
      await actors.catchUp(id);
      await told(id, 'device.attestation.confirmed');
    });

  it('leaves the tier down for as long as the activity throws (SA-03)', async () => {
    const id = 'throwing';
    const failed = Promise.withResolvers<void>();
    actors.world.onCall = async (name) => {
      if (name !== 'verifyEvidence') return;
      failed.resolve();
      throw new Error('the store does not answer');
    };
    await actors.present(id, id);
    await actors.review(id);
    await actors.attest(id, giveEvidence(id));
    const review = await actors.review(id);
    await shown(review.id);
    const voted = actors.vote(review.id, 'ann');
    await failed.promise;
    assert.equal(actors.grant(id).state, 'approved');
    assert.equal(actors.grant(id).tier, 'monitored');
    actors.world.onCall = async () => {};
    await voted;
    await told(id, 'device.attestation.confirmed');
    assert.equal(actors.grant(id).tier, 'trusted');
  });

  it('of another key in the same hardware takes the key over without a review (AT-08)', async () => {
    const id = 'rotated';
    // As a verifier that knows the hardware judges.
    actors.judging.judge = (judgement): Verdict => ({
      ...judgeEvidence({ ...judgement, circumstances: { ...judgement.circumstances, bound: null } }),
      binding_id: 'tpm-1',
    });
    const given = (generation: number) => {
      const evidence = giveEvidence(id);
      const standing = { ...evidence.standing, binding_id: 'tpm-1', generation, verdict: generation };
      return { ...evidence, standing };
    };
    await actors.present(id, id);
    const enrollment = await decide(id);
    await actors.attest(id, given(1));
    const hardware = await decide(id, enrollment);
    await told(id, 'device.attestation.confirmed');
    const next = given(2);
    await actors.attest(id, next);
    await told(id, 'device.attestation.key_replaced');
    const { tier, attestation_key, hardware_binding, attested_generation, review } = actors.grant(id);
    assert.deepEqual(
      [tier, attestation_key, hardware_binding, attested_generation, review],
      ['trusted', next.standing.key_id, 'tpm-1', 2, null],
    );
    assert.equal(actors.store.approvals.get(hardware.id)?.state, 'approved');
    actors.judging.judge = judgeEvidence;
  });
});
