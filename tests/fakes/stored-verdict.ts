// A verdict as the store has it: a signed measurement that was judged once.
import { generateKeyPairSync } from 'node:crypto';
import { readSettings } from '#contracts/settings.ts';
import { basisDigest, parseAttestationBasis } from '#protocols/attestation-basis.ts';
import { judgeEvidence } from '#protocols/attestation-verdict.ts';
import { digestOf } from '#protocols/canonical-json.ts';
import { makeSignedMeasurement } from '#protocols/signed-measurement.ts';
import type { StoredVerdict } from '#store/attestation.ts';

const approvedValue = 'aa'.repeat(32);
const { privateKey } = generateKeyPairSync('ed25519');

/** What is known of a device that was asked for the first time, and is bound to nothing. */
export function askedOnce(
  device_id: string,
  nonce: string,
  at: Date,
  ttlSeconds: number,
): StoredVerdict['circumstances'] {
  return {
    device_id,
    challenge: {
      provider: 'signed_measurement_v1',
      nonce,
      selection: { sha256: [0] },
      issued_at: at.toISOString(),
      expires_at: new Date(at.getTime() + ttlSeconds * 1000).toISOString(),
      activation: null,
    },
    bound: null,
    proven: null,
    last_clock: null,
    assigned_tags: [],
    external: null,
  };
}

export function aVerdict(deviceId: string, changes: Partial<StoredVerdict> = {}): StoredVerdict {
  const setup = parseAttestationBasis(
    readSettings({
      SENTINEL_ATTESTATION_PROVIDER: 'signed_measurement_v1',
      SENTINEL_ATTESTATION_PCR_BASELINES_JSON: JSON.stringify({ sha256: { 0: [approvedValue] } }),
    }),
    () => '',
  );
  if (setup === null) throw new TypeError('nobody is asked for evidence');
  const { basis } = setup;
  const now = new Date('2026-11-22T12:00:00.000Z');
  const nonce = 'A'.repeat(43);
  const evidence = makeSignedMeasurement({
    deviceId,
    nonce,
    measuredAt: now,
    pcrs: { sha256: { 0: approvedValue } },
    privateKey,
  });
  const circumstances = askedOnce(deviceId, nonce, now, 60);
  return {
    verdict: 1,
    at: now.toISOString(),
    generation: 1,
    changed: true,
    unrecorded: 0,
    evidence_digest: digestOf(evidence),
    evidence: evidence as unknown as StoredVerdict['evidence'],
    circumstances,
    basis_digest: basisDigest(basis),
    basis,
    result: judgeEvidence({ evidence, circumstances, basis, now }),
    ...changes,
  };
}
