// The activity that judges evidence again: by what holds now, against what the actor says, and of nothing that the store has changed.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  createAttestationActivities,
  type AttestationActivityDeps,
  type StoredEvidence,
} from '#activities/attestation.ts';
import type { AttestationBinding } from '#contracts/attestation.ts';
import type { Json } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import { judgeEvidence } from '#protocols/attestation-verdict.ts';
import { digestOf } from '#protocols/canonical-json.ts';
import { forgeAuthority } from '#tests/unit/protocols/certificate-forge.ts';
import {
  circumstancesFor,
  endorsementIdOf,
  judgedAt,
  provenEvidence,
  quoteBasis,
} from '#tests/unit/protocols/judgements.ts';
import { quoteVector, vectors } from '#tests/unit/protocols/tpm-vectors.ts';
import { basis, giveEvidence } from '#tests/workflows/evidence.ts';

const { certificatePem: otherRoot } = await forgeAuthority('Another manufacturer', {
  notBefore: new Date('2026-01-01'),
  notAfter: new Date('2028-01-01'),
});

const { at, evidence, circumstances, standing } = giveEvidence('d1', new Date('2026-12-01T12:00:00.000Z'));
const stored: StoredEvidence = { at, generation: 1, evidence, evidence_digest: digestOf(evidence), circumstances };
const bound: AttestationBinding = {
  provider: 'signed_measurement_v1',
  key_id: standing.key_id ?? '',
  binding_id: null,
};
const query = { project: 'default', device_id: 'd1', epoch: 3, generation: 1, verdict: 1, bound, assigned_tags: [] };
const policy = {
  provider: 'signed_measurement_v1' as const,
  required: true,
  require_hardware_binding: false,
  allow_key_rotation_with_stable_binding: false,
};

function activity(more: Partial<AttestationActivityDeps> = {}) {
  return createAttestationActivities({
    storedEvidence: async () => stored,
    storedActivation: async () => null,
    judgeEvidence: async (judgement) => judgeEvidence(judgement),
    askVerifier: () => Promise.reject(new Error('there is none')),
    digestOf,
    attestation: policy,
    basis: () => basis,
    ...more,
  }).verifyEvidence;
}
const holding = (found: StoredEvidence | null) => activity({ storedEvidence: async () => found });

describe('verifyEvidence', () => {
  it('says what the evidence proves, however long ago it came', async () => {
    assert.deepEqual(await activity()(query), {
      epoch: 3,
      generation: 1,
      verdict: 1,
      policy,
      valid: true,
      code: null,
      reason: null,
      key_id: standing.key_id,
      binding_id: null,
      evidence_digest: digestOf(evidence),
    });
  });

  it('judges by the reference values of now', async () => {
    const changed = { ...basis, baselines: [{ matchTags: [], pcrs: { sha256: { 0: ['bb'.repeat(32)] } } }] };
    const { valid, code, reason } = await activity({ basis: () => changed })(query);
    assert.deepEqual([valid, code, reason], [false, 'attestation.failed', 'pcr_mismatch']);
  });

  it('judges by the key and the tags that the actor holds, not by those that are stored (SA-04)', async () => {
    const other = { ...bound, key_id: 'ab'.repeat(32) };
    const claimed = { ...stored, circumstances: { ...circumstances, bound: other } };
    assert.equal((await holding(claimed)(query)).valid, true);
    assert.equal((await holding(claimed)({ ...query, bound: other })).valid, false);
    const tagged = {
      ...basis,
      baselines: [{ ...basis.baselines[0], matchTags: ['edge'], pcrs: { sha256: { 0: ['aa'.repeat(32)] } } }],
    };
    const lying = { ...stored, circumstances: { ...circumstances, assigned_tags: ['edge'] } };
    const verify = activity({ basis: () => tagged, storedEvidence: async () => lying });
    assert.equal((await verify(query)).valid, false);
    assert.equal((await verify({ ...query, assigned_tags: ['edge'] })).valid, true);
  });

  it('proves nothing by what is missing, of another device or generation, or was changed (SA-04)', async () => {
    const swapped = giveEvidence('d1', new Date(at));
    const cases: readonly (readonly [string, StoredEvidence | null])[] = [
      ['evidence_missing', null],
      ['other_generation', { ...stored, generation: 2 }],
      ['evidence_changed', { ...stored, evidence: swapped.evidence }],
      ['other_device', { ...stored, circumstances: { ...circumstances, device_id: 'd2' } }],
    ];
    for (const [reason, found] of cases) {
      const answer = await holding(found)(query);
      assert.deepEqual([answer.valid, answer.reason, answer.key_id], [false, reason, null]);
    }
  });

  it('proves nothing where nobody is asked for evidence', async () => {
    const answer = await activity({ basis: () => null, attestation: { ...policy, provider: null } })(query);
    assert.deepEqual([answer.valid, answer.reason], [false, 'not_required']);
  });

  it('proves nothing without a verdict, and is tried again when too much waits for one (SA-03)', async () => {
    const judging = (error: Error) => activity({ judgeEvidence: () => Promise.reject(error) })(query);
    const { valid, code, reason } = await judging(new Error('its thread ended'));
    assert.deepEqual([valid, code, reason], [false, 'attestation.failed', 'judgement_failed']);
    await assert.rejects(judging(new TrustError('service.overloaded')), { code: 'service.overloaded' });
  });

  it('confirms nothing by manufacturers that it does not trust, whatever the API does at that moment (SA-03)', async () => {
    const vector = quoteVector('rsassa', 'sha256');
    const [root, intermediate] = vectors.authorities;
    const certified = {
      ...provenEvidence(vector),
      ek_certificate: vectors.endorsement.find(({ kind }) => kind === 'rsa')?.certificate,
      endorsement_chain: [intermediate],
    } as unknown as Json;
    const verify = (roots: readonly string[]) =>
      activity({
        storedEvidence: async () => ({
          ...{ at: judgedAt.toISOString(), generation: 1, evidence: certified, evidence_digest: digestOf(certified) },
          circumstances: circumstancesFor(vector, { device_id: 'd1' }),
        }),
        basis: () => quoteBasis(vector, { require_endorsement_chain: true, endorsement_roots: roots }),
      })({
        ...query,
        bound: { provider: 'tpm_quote_v1', key_id: vector.ak_name, binding_id: endorsementIdOf(vector) },
      });
    assert.equal((await verify([root])).valid, true);
    // Taken away, replaced, or not to be relied on; beside another file that is good, and alone.
    for (const roots of [[], [otherRoot], [''], ['', otherRoot]]) {
      const { valid, code, reason } = await verify(roots);
      assert.deepEqual(
        [valid, code, reason],
        [false, 'attestation.failed', 'endorsement_untrusted'],
        String(roots.length),
      );
    }
    assert.equal((await verify(['', root])).valid, true);
  });

  it('lets an error be an error, which Temporal tries again (SA-03)', async () => {
    const verify = activity({
      storedEvidence: () => Promise.reject(new Error('the store does not answer')),
    });
    await assert.rejects(verify(query), /does not answer/);
  });
});
