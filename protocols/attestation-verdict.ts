// The verdict on evidence: everything that policy asks of it, one step after the other, and a refusal when any of them fails.
//
// The steps are lists (verification.ts). Nothing else looks at evidence, and no list ends with a verdict unless each of
// its steps has said that it holds.
import {
  type ActivationRecord,
  type AttestationBasis,
  type AttestationBinding,
  type AttestationCircumstances,
  type AttestationCode,
  type QuotedClock,
  type RegisterSelection,
  type Verdict,
} from '#contracts/attestation.ts';
import type { JsonObject } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import { canonicalBytes } from './canonical-json.ts';
import { requireAllowedManufacturer, verifyEndorsement, type VerifiedEndorsement } from './endorsement.ts';
import { evidenceFault, evidenceRefusal } from './evidence-fault.ts';
import {
  activationVerification,
  endorsementOf,
  wasActivated,
  type ActivatedKey,
  type ActivationToVerify,
} from './key-activation.ts';
import { endorsementRootsOf } from './attestation-basis.ts';
import { baselinesFor, requireApproved, selectionOf } from './pcr-baselines.ts';
import { measurementSteps } from './signed-measurement.ts';
import { foreignQuoteSteps, keyIdOf, quoteSteps } from './tpm-quote.ts';
import type { TpmClock } from './tpm-structures.ts';
import { StepFailed, verificationOf, type Verification } from './verification.ts';
import { readVerifierAnswer, type VerifierAnswer } from './verifier-answer.ts';

export interface Judgement {
  /** Untrusted, as parsed from JSON. */
  readonly evidence: unknown;
  readonly circumstances: AttestationCircumstances;
  readonly basis: AttestationBasis;
  readonly now: Date;
  /**
   * The evidence with which the key has shown before where it lives, which is verified again; null when there is none.
   * Where this is absent, the circumstances say what was proven, and are believed.
   */
  readonly activation?: ActivationRecord | null;
}

type VerdictSteps = Verification<Judgement, Judgement & { readonly verdict: Verdict }>;

/** The lists of steps, by what they are for. */
export interface EvidenceVerifications {
  readonly measurement: VerdictSteps;
  readonly quote: VerdictSteps;
  /** Of quotes that the verifier command verifies. */
  readonly foreignQuote: VerdictSteps;
  /** Of what a key has shown before. */
  readonly activation: Verification<ActivationToVerify, ActivationToVerify & { readonly activated: ActivatedKey }>;
}

/**
 * A judge of evidence. The same input gives the same verdict at any time, so that a verdict of the past can be computed
 * again. Whatever goes wrong is a refusal; nothing is thrown.
 *
 * @see TPM 2.0 Part 1 §31 (quotes), §24 (credentials); RFC 9334 §4 (appraisal)
 */
export function judgeBy(verifications: EvidenceVerifications): (judgement: Judgement) => Verdict {
  return (judgement) => {
    try {
      const { basis, activation } = judgement;
      const proven =
        activation === undefined ? judgement.circumstances.proven : provenBy(activation, verifications.activation);
      const circumstances = { ...judgement.circumstances, proven };
      const { verdict } = verifications[listFor(basis)].run({ ...judgement, circumstances });
      return isWhole(verdict) ? verdict : unjudged;
    } catch (error) {
      return refusal(error);
    }
  };
}

function listFor({ provider, verifier }: AttestationBasis): Exclude<keyof EvidenceVerifications, 'activation'> {
  if (provider === 'signed_measurement_v1') return 'measurement';
  return verifier === 'built_in' ? 'quote' : 'foreignQuote';
}

function provenBy(
  record: ActivationRecord | null,
  verification: EvidenceVerifications['activation'],
): AttestationBinding | null {
  if (record === null) return null;
  const { evidence, challenge, at } = record;
  const { activated } = verification.run({ evidence, challenge, now: new Date(at) });
  return { provider: 'tpm_quote_v1', key_id: activated.key_id, binding_id: activated.endorsement_key_id };
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
  if (error instanceof StepFailed)
    return {
      ...unjudged,
      detail: `${String(unjudged.detail)}: the step ${error.step} failed`,
      facts: { step: error.step },
    };
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
const questionSteps = verificationOf<Judgement>()
  .find('challenge', ({ circumstances: { challenge }, basis }) => {
    if (challenge === null || challenge.provider !== basis.provider)
      throw evidenceRefusal('attestation.nonce_unknown', 'other_challenge', 'No challenge of this device is open');
    return challenge;
  })
  .require('challenge_open', ({ challenge, now }) => {
    if (!(now.getTime() < Date.parse(challenge.expires_at)))
      throw evidenceRefusal('attestation.stale', 'challenge_expired', 'The challenge has expired');
    return true;
  })
  .require('challenge_recent', ({ challenge, basis, now }) => {
    if (!(now.getTime() <= countsUntil(challenge.issued_at, basis) + basis.max_clock_skew_seconds * 1000))
      throw evidenceRefusal('attestation.stale', 'too_old', 'The challenge was given too long ago');
    return true;
  })
  .find('baselines', ({ basis, circumstances }) => baselinesFor(basis.baselines, circumstances.assigned_tags))
  .require('registers_asked', ({ baselines, challenge }) => {
    // What the approved values name has to be what the device was asked.
    if (!sameValue(selectionOf(baselines), challenge.selection))
      throw evidenceRefusal(
        'attestation.stale',
        'challenge_outdated',
        'The approved registers are no longer those that the challenge asked for',
      );
    return true;
  })
  .find('bound', ({ basis, circumstances }) => boundBy(basis, circumstances.bound));

const measurement: VerdictSteps = measurementSteps(
  questionSteps
    .find('deviceId', ({ circumstances }) => circumstances.device_id)
    .find('limits', ({ basis }) => ({
      maximumAgeSeconds: basis.max_evidence_age_seconds,
      maximumClockSkewSeconds: basis.max_clock_skew_seconds,
    })),
)
  .require('same_key', ({ bound, key }) => {
    if (bound !== null && bound.key_id !== key.fingerprint) throw otherKey();
    return true;
  })
  .require('approved', ({ pcrs, baselines }) => requireApproved(pcrs, baselines))
  .find('verdict', ({ measuredAt, basis, now, key, pcrs }): Verdict => {
    // A clock that is ahead makes nothing last longer, and one that is as far behind as it may be nothing shorter.
    const made = Math.min(measuredAt.getTime() + basis.max_clock_skew_seconds * 1000, now.getTime());
    return { ...nothing, outcome: 'verified', key_id: key.fingerprint, pcrs, fresh_until: freshUntil(made, basis) };
  });

const quote: VerdictSteps = quoteSteps(questionSteps)
  .find('endorsement', ({ bundle, basis, now }) => endorsementOf(bundle, basis, now))
  .find('keyId', ({ key }) => keyIdOf(key))
  /** What the evidence says itself. */
  .find('claimed', ({ endorsement }) => endorsement.key?.id ?? null)
  .find('relation', ({ bound, keyId, claimed }) => relationTo(bound, { keyId, bindingId: claimed }))
  .find('recorded', ({ basis, circumstances, bound, keyId, claimed }) => {
    const proven = boundBy(basis, circumstances.proven);
    const hardware = claimed ?? bound?.binding_id ?? null;
    return proven?.key_id === keyId && (hardware === null || proven.binding_id === hardware) ? proven : null;
  })
  .find('bindingId', ({ claimed, relation, bound, recorded }) => {
    return claimed ?? (relation === 'same key' ? bound : recorded)?.binding_id ?? null;
  })
  .require('hardware_named', ({ bindingId, relation }) => {
    if (bindingId === null && relation !== 'same key')
      throw evidenceFault('endorsement_missing', 'The evidence does not say which endorsement key its TPM has');
    return true;
  })
  .require('hardware_bound', ({ basis, bindingId }) => requireHardware(basis, bindingId))
  .require(
    'endorsement_key_allowed',
    ({ bound, bindingId, basis }) => bound !== null || requireAllowedKey(bindingId, basis),
  )
  .require('manufacturer_allowed', ({ basis, bundle, endorsement }) =>
    requireAllowedManufacturer({
      allowed: basis.allowed_tpm_manufacturers,
      reported: bundle.manufacturer,
      certified: endorsement.manufacturer,
    }),
  )
  .find('clock', ({ quote: { clock } }) => quotedClock(clock))
  .find('reboot', ({ clock, keyId, circumstances }) => requireForward(clock, lastClockOf(keyId, circumstances)))
  .require('approved', ({ pcrs, baselines }) => requireApproved(pcrs, baselines))
  .find('residency', ({ recorded, challenge, keyId, claimed, bundle }) => {
    // That people have bound the key says whose it is, and nothing of where it lives.
    if (recorded !== null) return 'recorded';
    const shown = wasActivated({ challenge, keyId, endorsementKeyId: claimed, secret: bundle.activatedSecret });
    return shown ? 'shown' : 'unproven';
  })
  .find(
    'verdict',
    ({ residency, reboot, keyId, bindingId, claimed, endorsement, bundle, pcrs, clock, challenge, basis }): Verdict => {
      const resident = residency === 'recorded' || residency === 'shown';
      return {
        ...nothing,
        outcome: resident ? 'verified' : 'unproven',
        facts: reboot,
        key_id: keyId,
        binding_id: bindingId,
        binding_source: endorsement.verified !== null ? 'certificate' : claimed !== null ? 'key' : null,
        manufacturer: endorsement.manufacturer?.vendor ?? bundle.manufacturer,
        pcrs,
        clock,
        fresh_until: resident ? freshUntil(Date.parse(challenge.issued_at), basis) : null,
      };
    },
  );

/** The verifier command has said that the quote is that of a TPM; what we can read ourselves has to fit as well. */
const foreignQuote: VerdictSteps = foreignQuoteSteps(questionSteps)
  .find('answer', ({ circumstances, challenge }) => readVerifierAnswer(circumstances.external, challenge.selection))
  .require('valid', ({ answer }) => {
    if (answer.valid !== true)
      throw evidenceFault('verifier_refused', answer.reason ?? 'The verifier says that the evidence is not valid');
    return true;
  })
  .find('certified', ({ answer, basis, now }) => foreignEndorsement(answer, { basis, now }))
  .find('claimed', ({ answer, certified }) => answer.bindingId ?? certified?.key.id ?? null)
  .find('relation', ({ bound, keyId, claimed }) => relationTo(bound, { keyId, bindingId: claimed }))
  .require('hardware_bound', ({ basis, claimed }) => requireHardware(basis, claimed))
  .require(
    'endorsement_key_allowed',
    ({ bound, certified, claimed, basis }) => bound !== null || requireAllowedKey(certified?.key.id ?? claimed, basis),
  )
  .require('manufacturer_allowed', ({ basis, manufacturer, certified }) =>
    requireAllowedManufacturer({
      allowed: basis.allowed_tpm_manufacturers,
      reported: manufacturer,
      certified: certified?.manufacturer ?? null,
    }),
  )
  .find('clock', ({ quote: quoted }) => (quoted === null ? null : quotedClock(quoted.clock)))
  .find('reboot', ({ clock, keyId, circumstances }) => requireForward(clock, lastClockOf(keyId, circumstances)))
  .find('pcrs', ({ answer, reported }) => {
    const pcrs = answer.pcrs ?? reported;
    if (pcrs === null)
      throw evidenceFault('pcr_selection', 'Neither evidence nor verifier says what the registers hold');
    return pcrs;
  })
  .require('same_pcrs', ({ answer, reported }) => {
    if (answer.pcrs !== null && reported !== null && !sameValue(answer.pcrs, reported))
      throw evidenceFault('pcr_digest', 'The PCR values that were reported are not those that the verifier found');
    return true;
  })
  .require('approved', ({ pcrs, baselines }) => requireApproved(pcrs, baselines))
  .find(
    'verdict',
    ({
      reboot,
      keyId,
      claimed,
      relation,
      bound,
      answer,
      certified,
      manufacturer,
      pcrs,
      clock,
      challenge,
      basis,
    }): Verdict => ({
      ...nothing,
      outcome: 'verified',
      facts: reboot,
      key_id: keyId,
      binding_id: claimed ?? (relation === 'same key' ? (bound?.binding_id ?? null) : null),
      binding_source: answer.bindingId !== null ? 'verifier' : certified !== null ? 'certificate' : null,
      manufacturer: certified?.manufacturer.vendor ?? manufacturer,
      pcrs,
      clock,
      fresh_until: freshUntil(Date.parse(challenge.issued_at), basis),
    }),
  );

export const evidenceVerifications: EvidenceVerifications = {
  measurement,
  quote,
  foreignQuote,
  activation: activationVerification,
};

export const judgeEvidence = judgeBy(evidenceVerifications);

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

/** How key and hardware of evidence relate to what the device is bound to. @throws TrustError when they must not */
function relationTo(
  bound: AttestationBinding | null,
  { keyId, bindingId }: { readonly keyId: string; readonly bindingId: string | null },
): 'unbound' | 'same key' | 'another key' {
  if (bound === null) return 'unbound';
  if (bindingId !== null && bound.binding_id !== null && bindingId !== bound.binding_id)
    throw evidenceRefusal(
      'attestation.hardware_mismatch',
      'other_hardware',
      'The evidence comes from other hardware than the device is bound to',
      { facts: { bound: bound.binding_id, found: bindingId } },
    );
  if (keyId === bound.key_id) return 'same key';
  // Another key of the same hardware has to prove itself; whether it is taken over without a review is for the actor to say.
  if (bindingId === null || bindingId !== bound.binding_id) throw otherKey();
  return 'another key';
}

function requireHardware({ require_hardware_binding }: AttestationBasis, bindingId: string | null): true {
  if (require_hardware_binding && bindingId === null)
    throw evidenceFault('hardware_unbound', 'Nothing says which hardware the evidence comes from');
  return true;
}

function requireAllowedKey(
  endorsementKeyId: string | null,
  { allowed_endorsement_keys: allowed }: AttestationBasis,
): true {
  if (allowed.length > 0 && (endorsementKeyId === null || !allowed.includes(endorsementKeyId)))
    throw evidenceFault('endorsement_key_not_allowed', 'The endorsement key is not one of those that may enroll');
  return true;
}

/** The clock that a key has shown last; null for a key of which nothing is known. */
function lastClockOf(keyId: string, { proven, last_clock }: AttestationCircumstances): QuotedClock | null {
  return proven?.key_id === keyId ? last_clock : null;
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

function countsUntil(instant: string, { max_evidence_age_seconds }: AttestationBasis): number {
  return Date.parse(instant) + max_evidence_age_seconds * 1000;
}

function freshUntil(madeMs: number, { max_evidence_age_seconds }: AttestationBasis): string {
  return new Date(madeMs + max_evidence_age_seconds * 1000).toISOString();
}

function sameValue(a: unknown, b: unknown): boolean {
  return Buffer.from(canonicalBytes(a)).equals(canonicalBytes(b));
}
