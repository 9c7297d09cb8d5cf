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
  const circumstances: StoredVerdict['circumstances'] = {
    device_id: deviceId,
    challenge: {
      provider: basis.provider,
      nonce,
      selection: { sha256: [0] },
      issued_at: now.toISOString(),
      expires_at: new Date(now.getTime() + 60_000).toISOString(),
      activation: null,
    },
    bound: null,
    proven: null,
    last_clock: null,
    assigned_tags: [],
    external: null,
  };
  return {
    verdict: 1,
    at: now.toISOString(),
    generation: 1,
    changed: true,
    evidence_digest: digestOf(evidence),
    evidence: evidence as unknown as StoredVerdict['evidence'],
    circumstances,
    basis_digest: basisDigest(basis),
    basis,
    result: judgeEvidence({ evidence, circumstances, basis, now }),
    ...changes,
  };
}
