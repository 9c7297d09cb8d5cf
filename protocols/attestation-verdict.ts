// The verdict on evidence: everything that policy asks of it, one check after the other, and a refusal when any of them fails.
import {
  type AttestationBasis,
  type AttestationBinding,
  type AttestationCircumstances,
  type AttestationCode,
  type QuotedClock,
  type RegisterSelection,
  type StoredChallenge,
  type Verdict,
} from '#contracts/attestation.ts';
import type { JsonObject } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import { canonicalBytes } from './canonical-json.ts';
import { requireAllowedManufacturer, verifyEndorsement, type VerifiedEndorsement } from './endorsement.ts';
import { evidenceFault, evidenceRefusal } from './evidence-fault.ts';
import { endorsementOf, wasActivated } from './key-activation.ts';
import { endorsementRootsOf } from './attestation-basis.ts';
import { baselinesFor, requireApproved, selectionOf, type PcrBaseline } from './pcr-baselines.ts';
import { verifySignedMeasurement } from './signed-measurement.ts';
import { readForeignQuote, verifyTpmQuote } from './tpm-quote.ts';
import type { TpmClock } from './tpm-structures.ts';
import { readVerifierAnswer, type VerifierAnswer } from './verifier-answer.ts';

export interface Judgement {
  /** Untrusted, as parsed from JSON. */
  readonly evidence: unknown;
  readonly circumstances: AttestationCircumstances;
  readonly basis: AttestationBasis;
  readonly now: Date;
}

/**
 * Judges evidence. The same input gives the same verdict at any time, so that a verdict of the past can be computed again.
 * Whatever goes wrong is a refusal; nothing is thrown.
 *
 * @see TPM 2.0 Part 1 §31 (quotes), §24 (credentials); RFC 9334 §4 (appraisal)
 */
export function judgeEvidence(judgement: Judgement): Verdict {
  try {
    const challenge = requireOpenChallenge(judgement);
    const verdict = judges[judgement.basis.provider](judgement, challenge);
    return isWhole(verdict) ? verdict : refusal(new Error('no verdict'));
  } catch (error) {
    return refusal(error);
  }
}

const nothing: Omit<Verdict, 'outcome'> = {
  code: null,
  reason: null,
  detail: null,
  facts: {},
  key_id: null,
  binding_id: null,
  binding_source: null,
  manufacturer: null,
  pcrs: null,
  clock: null,
  fresh_until: null,
};

/** Of evidence that nobody could judge. */
export const unjudged: Verdict = {
  ...nothing,
  outcome: 'refused',
  code: 'attestation.failed',
  reason: 'judgement_failed',
  detail: 'The evidence could not be judged',
};

/** A step that answers with nothing at all has proven nothing. */
function isWhole(verdict: Verdict): boolean {
  if (verdict.outcome === 'refused') return verdict.code !== null;
  if (verdict.outcome === 'unproven') return verdict.key_id !== null;
  return (
    verdict.outcome === 'verified' &&
    typeof verdict.key_id === 'string' &&
    verdict.pcrs !== null &&
    typeof verdict.fresh_until === 'string'
  );
}

function refusal(error: unknown): Verdict {
  const attestationCode =
    error instanceof TrustError && error.code.startsWith('attestation.') ? (error.code as AttestationCode) : null;
  if (!(error instanceof TrustError) || attestationCode === null) return unjudged;
  const { reason, ...facts } = error.facts;
  return {
    ...nothing,
    outcome: 'refused',
    code: attestationCode,
    reason: typeof reason === 'string' ? reason : 'malformed',
    detail: error.message,
    facts,
  };
}

/** Before anything of the evidence is looked at: there is a question that it can answer. */
function requireOpenChallenge({ circumstances: { challenge }, basis, now }: Judgement): StoredChallenge {
  if (challenge === null || challenge.provider !== basis.provider)
    throw evidenceRefusal('attestation.nonce_unknown', 'other_challenge', 'No challenge of this device is open');
  if (!(now.getTime() < Date.parse(challenge.expires_at)))
    throw evidenceRefusal('attestation.stale', 'challenge_expired', 'The challenge has expired');
  if (!(now.getTime() <= countsUntil(challenge.issued_at, basis) + basis.max_clock_skew_seconds * 1000))
    throw evidenceRefusal('attestation.stale', 'too_old', 'The challenge was given too long ago');
  return challenge;
}

const judges: Readonly<
  Record<AttestationBasis['provider'], (judgement: Judgement, challenge: StoredChallenge) => Verdict>
> = {
  signed_measurement_v1: judgeMeasurement,
  tpm_quote_v1: (judgement, challenge) =>
    judgement.basis.verifier === 'built_in' ? judgeQuote(judgement, challenge) : judgeForeign(judgement, challenge),
};

function judgeMeasurement({ evidence, circumstances, basis, now }: Judgement, challenge: StoredChallenge): Verdict {
  const baselines = baselinesAsked(basis, circumstances, challenge);
  const { keyFingerprint, measuredAt, pcrs } = verifySignedMeasurement({
    evidence,
    deviceId: circumstances.device_id,
    challenge,
    limits: {
      maximumAgeSeconds: basis.max_evidence_age_seconds,
      maximumClockSkewSeconds: basis.max_clock_skew_seconds,
    },
    now,
  });
  const bound = boundBy(basis, circumstances.bound);
  if (bound !== null && bound.key_id !== keyFingerprint) throw otherKey();
  requireApproved(pcrs, baselines);
  // A clock that is ahead makes nothing last longer, and one that is as far behind as it may be nothing shorter.
  const made = Math.min(Date.parse(measuredAt) + basis.max_clock_skew_seconds * 1000, now.getTime());
  return { ...nothing, outcome: 'verified', key_id: keyFingerprint, pcrs, fresh_until: freshUntil(made, basis) };
}

function judgeQuote({ evidence, circumstances, basis, now }: Judgement, challenge: StoredChallenge): Verdict {
  const baselines = baselinesAsked(basis, circumstances, challenge);
  const quote = verifyTpmQuote({ evidence, challenge });
  const endorsement = endorsementOf(quote.evidence, basis, now);
  const bound = boundBy(basis, circumstances.bound);
  const proven = boundBy(basis, circumstances.proven);
  const claimed = endorsement.key?.id ?? null;
  const isBound = requireSameHardware({ bound, keyId: quote.akName, bindingId: claimed });
  const isProven =
    proven?.key_id === quote.akName && (claimed === null ? bound === null : proven.binding_id === claimed);
  const bindingId = claimed ?? (isBound ? (bound?.binding_id ?? null) : isProven ? proven.binding_id : null);
  if (bindingId === null && !isBound)
    throw evidenceFault('endorsement_missing', 'The evidence does not say which endorsement key its TPM has');
  if (basis.require_hardware_binding && bindingId === null) throw unbound();
  if (bound === null) requireAllowedKey(bindingId, basis);
  requireAllowedManufacturer({
    allowed: basis.allowed_tpm_manufacturers,
    reported: quote.evidence.manufacturer,
    certified: endorsement.manufacturer,
  });
  const clock = quotedClock(quote.clock);
  const facts = requireForward(clock, proven?.key_id === quote.akName ? circumstances.last_clock : null);
  requireApproved(quote.pcrs, baselines);
  const resident =
    isBound ||
    isProven ||
    wasActivated({
      challenge,
      keyId: quote.akName,
      endorsementKeyId: claimed,
      secret: quote.evidence.activatedSecret,
    });
  return {
    ...nothing,
    outcome: resident === true ? 'verified' : 'unproven',
    facts,
    key_id: quote.akName,
    binding_id: bindingId,
    binding_source: endorsement.verified !== null ? 'certificate' : claimed !== null ? 'key' : null,
    manufacturer: endorsement.manufacturer?.vendor ?? quote.evidence.manufacturer,
    pcrs: quote.pcrs,
    clock,
    fresh_until: resident === true ? freshUntil(Date.parse(challenge.issued_at), basis) : null,
  };
}

/** The verifier command has said that the quote is that of a TPM; what we can read ourselves has to fit as well. */
function judgeForeign({ evidence, circumstances, basis, now }: Judgement, challenge: StoredChallenge): Verdict {
  const baselines = baselinesAsked(basis, circumstances, challenge);
  const quote = readForeignQuote({ evidence, challenge });
  const answer = readVerifierAnswer(circumstances.external, challenge.selection);
  if (answer.valid !== true)
    throw evidenceFault('verifier_refused', answer.reason ?? 'The verifier says that the evidence is not valid');
  const certified = foreignEndorsement(answer, { basis, now });
  const bindingId = answer.bindingId ?? certified?.key.id ?? null;
  const bound = boundBy(basis, circumstances.bound);
  requireSameHardware({ bound, keyId: quote.keyId, bindingId });
  if (basis.require_hardware_binding && bindingId === null) throw unbound();
  if (bound === null) requireAllowedKey(certified?.key.id ?? bindingId, basis);
  requireAllowedManufacturer({
    allowed: basis.allowed_tpm_manufacturers,
    reported: quote.manufacturer,
    certified: certified?.manufacturer ?? null,
  });
  const proven = boundBy(basis, circumstances.proven);
  const clock = quote.clock === null ? null : quotedClock(quote.clock);
  const facts = requireForward(clock, proven?.key_id === quote.keyId ? circumstances.last_clock : null);
  const pcrs = answer.pcrs ?? quote.pcrs;
  if (pcrs === null) throw evidenceFault('pcr_selection', 'Neither evidence nor verifier says what the registers hold');
  if (answer.pcrs !== null && quote.pcrs !== null && !sameValue(answer.pcrs, quote.pcrs))
    throw evidenceFault('pcr_digest', 'The PCR values that were reported are not those that the verifier found');
  requireApproved(pcrs, baselines);
  return {
    ...nothing,
    outcome: 'verified',
    facts,
    key_id: quote.keyId,
    binding_id: bindingId ?? (bound?.key_id === quote.keyId ? bound.binding_id : null),
    binding_source: answer.bindingId !== null ? 'verifier' : certified !== null ? 'certificate' : null,
    manufacturer: certified?.manufacturer.vendor ?? quote.manufacturer,
    pcrs,
    clock,
    fresh_until: freshUntil(Date.parse(challenge.issued_at), basis),
  };
}

/**
 * By our roots, of the chain that the verifier forwards. A chain in the evidence proves nothing here: a device can send
 * anybody's, and only the verifier knows whether the key of the quote lives in that TPM.
 */
function foreignEndorsement(
  { endorsementChain }: VerifierAnswer,
  { basis, now }: Pick<Judgement, 'basis' | 'now'>,
): VerifiedEndorsement | null {
  const roots = endorsementRootsOf(basis);
  if (endorsementChain === null) {
    if (!basis.require_endorsement_chain) return null;
    throw evidenceFault('endorsement_missing', 'The verifier did not forward the endorsement chain');
  }
  if (!basis.require_endorsement_chain && roots.length === 0) return null;
  const [certificate = null, ...chain] = endorsementChain;
  return verifyEndorsement({ certificate, chain, ekPublic: null, roots, now });
}

/** The approved values for this device; what they name has to be what it was asked. */
function baselinesAsked(
  basis: AttestationBasis,
  { assigned_tags }: AttestationCircumstances,
  challenge: StoredChallenge,
): readonly PcrBaseline[] {
  const baselines = baselinesFor(basis.baselines, assigned_tags);
  if (!sameValue(selectionOf(baselines), challenge.selection))
    throw evidenceRefusal(
      'attestation.stale',
      'challenge_outdated',
      'The approved registers are no longer those that the challenge asked for',
    );
  return baselines;
}

/**
 * The registers to ask a device for.
 *
 * @returns null when nothing is approved for it: whatever it answered would be refused
 */
export function registersToAsk(basis: AttestationBasis, assignedTags: readonly string[]): RegisterSelection | null {
  const baselines = baselinesFor(basis.baselines, assignedTags);
  try {
    return selectionOf(baselines);
  } catch {
    return null;
  }
}

/** What a device is bound to counts for the provider that it was bound by. */
function boundBy({ provider }: AttestationBasis, binding: AttestationBinding | null): AttestationBinding | null {
  return binding?.provider === provider ? binding : null;
}

/**
 * Requires the hardware that the device is bound to, and its key or another one of the same hardware.
 *
 * @returns whether it is the very key
 */
function requireSameHardware({
  bound,
  keyId,
  bindingId,
}: {
  bound: AttestationBinding | null;
  keyId: string;
  bindingId: string | null;
}): boolean {
  if (bound === null) return false;
  if (bindingId !== null && bound.binding_id !== null && bindingId !== bound.binding_id)
    throw evidenceRefusal(
      'attestation.hardware_mismatch',
      'other_hardware',
      'The evidence comes from other hardware than the device is bound to',
      { facts: { bound: bound.binding_id, found: bindingId } },
    );
  if (keyId === bound.key_id) return true;
  // Another key of the same hardware has to prove itself; whether it is taken over without a review is for the actor to say.
  if (bindingId === null || bindingId !== bound.binding_id) throw otherKey();
  return false;
}

function requireAllowedKey(endorsementKeyId: string | null, { allowed_endorsement_keys: allowed }: AttestationBasis) {
  if (allowed.length > 0 && (endorsementKeyId === null || !allowed.includes(endorsementKeyId)))
    throw evidenceFault('endorsement_key_not_allowed', 'The endorsement key is not one of those that may enroll');
}

/**
 * Requires that the TPM's counters went on since its last evidence. They are compared in 32 bits: outside the endorsement
 * hierarchy a TPM adds an amount to them that is the same for a key (Part 1 §36.7).
 *
 * @returns facts for readers: whether the platform was started anew
 */
function requireForward(clock: QuotedClock | null, last: QuotedClock | null): JsonObject {
  if (clock === null || last === null) return {};
  const resets = (clock.reset_count - last.reset_count) | 0;
  const restarts = (clock.restart_count - last.restart_count) | 0;
  const milliseconds = clock.clock_ms - last.clock_ms;
  // The clock goes on over restarts; where power was cut it may have lost some time, and says so.
  const timeWentOn = milliseconds >= 0 || (resets > 0 && !clock.safe);
  const wentOn = timeWentOn && (resets > 0 || (resets === 0 && restarts >= 0));
  if (!wentOn)
    throw evidenceFault('clock_went_back', 'The evidence is from before what this TPM has already shown', {
      facts: { resets, restarts, milliseconds },
    });
  return resets === 0 ? {} : { rebooted: true, resets };
}

function quotedClock({ milliseconds, resetCount, restartCount, safe }: TpmClock): QuotedClock {
  return { clock_ms: milliseconds, reset_count: resetCount, restart_count: restartCount, safe };
}

function otherKey(): TrustError {
  return evidenceRefusal(
    'attestation.hardware_mismatch',
    'other_key',
    'The evidence is of another attestation key than the device is bound to',
  );
}

function unbound(): TrustError {
  return evidenceFault('hardware_unbound', 'Nothing says which hardware the evidence comes from');
}

function countsUntil(instant: string, { max_evidence_age_seconds }: AttestationBasis): number {
  return Date.parse(instant) + max_evidence_age_seconds * 1000;
}

function freshUntil(madeMs: number, { max_evidence_age_seconds }: AttestationBasis): string {
  return new Date(madeMs + max_evidence_age_seconds * 1000).toISOString();
}

function sameValue(a: unknown, b: unknown): boolean {
  return Buffer.from(canonicalBytes(a)).equals(canonicalBytes(b));
}
