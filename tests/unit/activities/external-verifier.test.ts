// The actor's second look at evidence that an external verifier judges: it asks the verifier again itself.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createAttestationActivities } from '#activities/attestation.ts';
import type { Json } from '#contracts/deps.ts';
import { judgeEvidence } from '#protocols/attestation-verdict.ts';
import { digestOf } from '#protocols/canonical-json.ts';
import type { VerifierRequest } from '#protocols/verifier-answer.ts';
import { neverAsked } from '#worker/activities.ts';
import { circumstancesFor, judgedAt, quoteBasis } from '#tests/unit/protocols/judgements.ts';
import { quoteVector } from '#tests/unit/protocols/tpm-vectors.ts';

const vector = quoteVector('ecdsa', 'sha256', 'ecc');
const evidence = vector.evidence as unknown as Json;
const bound = { provider: 'tpm_quote_v1', key_id: vector.ak_name, binding_id: null } as const;
const query = {
  project: 'default',
  device_id: 'device-1',
  epoch: 1,
  generation: 1,
  verdict: 1,
  bound,
  assigned_tags: [],
};

function verifying(askVerifier: (request: VerifierRequest) => Promise<Json>) {
  return createAttestationActivities({
    // A store that somebody changed says that the verifier was content.
    storedEvidence: async () => ({
      at: judgedAt.toISOString(),
      generation: 1,
      evidence,
      evidence_digest: digestOf(evidence),
      circumstances: circumstancesFor(vector, { external: { valid: true } }),
    }),
    storedActivation: () => Promise.reject(new Error('nobody asks')),
    judgeEvidence: async (judgement) => judgeEvidence(judgement),
    askVerifier,
    digestOf,
    attestation: {
      provider: 'tpm_quote_v1',
      required: true,
      require_hardware_binding: false,
      allow_key_rotation_with_stable_binding: false,
    },
    basis: () => quoteBasis(vector, { verifier: 'command' }),
  }).verifyEvidence(query);
}

it('asks the verifier itself, and believes no answer that is stored (AT-03, SA-04)', async () => {
  const asked: VerifierRequest[] = [];
  const answers = (answer: Json) => async (request: VerifierRequest) => {
    asked.push(request);
    return answer;
  };
  assert.equal((await verifying(answers({ valid: true }))).valid, true);
  const refused = await verifying(answers({ valid: false }));
  assert.deepEqual([refused.valid, refused.reason], [false, 'verifier_refused']);
  const [first] = asked;
  assert.deepEqual(
    [first?.nonce, first?.device_id, first?.attestation],
    [vector.challenge.nonce, 'device-1', evidence],
  );
});

it('is tried again when the verifier gives no verdict', async () => {
  assert.equal(neverAsked.askVerifier, null);
  await assert.rejects(
    verifying(() => Promise.reject(new Error('no verdict'))),
    /no verdict/,
  );
});
