// Evidence of a device as the API stores it: a signed measurement that answers a challenge, and where that leaves the device.
import { generateKeyPairSync } from 'node:crypto';
import type { AttestationBasis, AttestationCircumstances, DeviceAttestation, Verdict } from '#contracts/attestation.ts';
import type { Json } from '#contracts/deps.ts';
import { judgeEvidence } from '#protocols/attestation-verdict.ts';
import { makeSignedMeasurement } from '#protocols/signed-measurement.ts';
import { askedOnce } from '#tests/fakes/stored-verdict.ts';

const pcrs = { sha256: { 0: 'aa'.repeat(32) } };

export const basis: AttestationBasis = {
  provider: 'signed_measurement_v1',
  verifier: 'built_in',
  baselines: [{ matchTags: [], pcrs: { sha256: { 0: [pcrs.sha256[0]] } } }],
  challenge_ttl_seconds: 300,
  max_evidence_age_seconds: 300,
  max_clock_skew_seconds: 60,
  require_hardware_binding: false,
  allow_key_rotation_with_stable_binding: false,
  require_endorsement_chain: false,
  endorsement_roots: [],
  allowed_tpm_manufacturers: [],
  allowed_endorsement_keys: [],
};

export interface GivenEvidence {
  readonly at: string;
  readonly evidence: Json;
  readonly circumstances: AttestationCircumstances;
  readonly result: Verdict;
  readonly standing: DeviceAttestation;
}

/** What a device with a key of its own has given. */
export function giveEvidence(device_id: string, at = new Date()): GivenEvidence {
  const { privateKey } = generateKeyPairSync('ed25519');
  const nonce = Buffer.alloc(32, device_id).toString('base64url');
  const evidence = makeSignedMeasurement({ deviceId: device_id, nonce, measuredAt: at, pcrs, privateKey });
  const circumstances = askedOnce(device_id, nonce, at, 300);
  const result = judgeEvidence({ evidence, circumstances, basis, now: at });
  const { outcome, key_id, binding_id, fresh_until, reason, detail } = result;
  if (outcome !== 'verified') throw new Error(`the evidence of ${device_id} is ${outcome}: ${detail ?? reason ?? ''}`);
  const standing: DeviceAttestation = {
    state: 'verified',
    generation: 1,
    verdict: 1,
    provider: basis.provider,
    key_id,
    binding_id,
    manufacturer: null,
    verified_at: at.toISOString(),
    fresh_until,
    code: null,
    reason: null,
    detail: null,
    clock: null,
  };
  return { at: at.toISOString(), evidence: { ...evidence } as unknown as Json, circumstances, result, standing };
}
