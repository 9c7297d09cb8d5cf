// What evidence is judged by in tests: rules that let everything good pass, and what is known of a device that is new.
import type { AttestationBasis, AttestationCircumstances, StoredChallenge } from '#contracts/attestation.ts';
import type { Json } from '#contracts/deps.ts';
import { generateKeyPairSync, hash } from 'node:crypto';
import type { Judgement } from '#protocols/attestation-verdict.ts';
import type { PcrValues } from '#protocols/pcr.ts';
import { makeSignedMeasurement } from '#protocols/signed-measurement.ts';
import type { TpmEvidenceOnTheWire } from '#protocols/tpm-evidence.ts';
import { readEndorsementKey } from '#protocols/tpm-credential.ts';
import type { ListName } from '#tests/harness/failing-steps.ts';
import { bytesOf, quoteVector, type QuoteVector } from './tpm-vectors.ts';

export const judgedAt = new Date('2027-01-01T00:01:00Z');
const issuedAt = new Date('2027-01-01T00:00:00Z');
export const activationSecret = Buffer.alloc(32, 0x5e);

export const after = (seconds: number): Date => new Date(issuedAt.getTime() + seconds * 1000);

/** Approves of these values and no others, and asks for nothing more. */
export function basisOf(pcrs: PcrValues, change: Partial<AttestationBasis> = {}): AttestationBasis {
  const approved = Object.fromEntries(
    Object.entries(pcrs).map(([bank, values]) => [
      bank,
      Object.fromEntries(Object.entries(values).map(([register, value]) => [register, [value]])),
    ]),
  );
  return {
    provider: 'tpm_quote_v1',
    verifier: 'built_in',
    baselines: [{ matchTags: [], pcrs: approved }],
    challenge_ttl_seconds: 120,
    max_evidence_age_seconds: 300,
    max_clock_skew_seconds: 30,
    require_hardware_binding: false,
    allow_key_rotation_with_stable_binding: false,
    require_endorsement_chain: false,
    endorsement_roots: [],
    allowed_tpm_manufacturers: [],
    allowed_endorsement_keys: [],
    ...change,
  };
}

export const quoteBasis = ({ evidence }: QuoteVector, change: Partial<AttestationBasis> = {}): AttestationBasis =>
  basisOf(evidence.pcrs, change);

export const endorsementIdOf = ({ evidence }: QuoteVector): string =>
  readEndorsementKey(bytesOf(evidence.ek_public ?? '')).id;

/** The challenge that the vector answers. Its key was given a credential, which `activationSecret` was in. */
export function challengeOf(vector: QuoteVector, change: Partial<StoredChallenge> = {}): StoredChallenge {
  return {
    provider: 'tpm_quote_v1',
    nonce: vector.challenge.nonce,
    selection: vector.challenge.selection as StoredChallenge['selection'],
    issued_at: issuedAt.toISOString(),
    expires_at: after(120).toISOString(),
    activation: {
      key_id: vector.ak_name,
      endorsement_key_id: endorsementIdOf(vector),
      secret_sha256: hash('sha256', activationSecret),
      credential_blob: 'AAAA',
      encrypted_secret: 'AAAA',
    },
    ...change,
  };
}

export function circumstancesFor(
  vector: QuoteVector,
  change: Partial<AttestationCircumstances> = {},
): AttestationCircumstances {
  return {
    device_id: 'device-1',
    challenge: challengeOf(vector),
    bound: null,
    proven: null,
    last_clock: null,
    assigned_tags: [],
    external: null,
    ...change,
  };
}

/** With the secret that came back: all that policy may ask of a key. */
export const provenEvidence = ({ evidence }: QuoteVector): TpmEvidenceOnTheWire => ({
  ...evidence,
  activated_secret: activationSecret.toString('base64url'),
});

const { privateKey } = generateKeyPairSync('ed25519');

/** What is judged as verified by each of the lists of steps. */
export function soundJudgements(deviceId = 'device-1'): Readonly<Record<ListName, Judgement>> {
  const vector = quoteVector('rsassa', 'sha256');
  const quoted: Judgement = {
    evidence: provenEvidence(vector),
    circumstances: circumstancesFor(vector, { device_id: deviceId }),
    basis: quoteBasis(vector),
    now: judgedAt,
  };
  const { circumstances, basis } = quoted;
  const challenge = { ...challengeOf(vector), provider: 'signed_measurement_v1', activation: null } as const;
  return {
    quote: quoted,
    foreignQuote: {
      ...quoted,
      circumstances: { ...circumstances, external: { valid: true } },
      basis: { ...basis, verifier: 'command' },
    },
    activation: {
      ...quoted,
      evidence: vector.evidence,
      activation: { at: judgedAt.toISOString(), evidence: quoted.evidence as Json, challenge: challengeOf(vector) },
    },
    measurement: {
      evidence: makeSignedMeasurement({
        deviceId,
        nonce: vector.challenge.nonce,
        measuredAt: judgedAt,
        pcrs: vector.evidence.pcrs,
        privateKey,
      }),
      circumstances: { ...circumstances, challenge },
      basis: { ...basis, provider: 'signed_measurement_v1' },
      now: judgedAt,
    },
  };
}
