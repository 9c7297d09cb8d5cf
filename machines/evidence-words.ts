// How a device stands with its evidence, in words: what is missing and since when, why it failed, and what would change that.
import type { AttestationStanding, DeviceAttestation } from '#contracts/attestation.ts';
import { standingOnceStale, type AttestedBy } from './attestation-standing.ts';
import { moment, quoted } from './words.ts';

/** What is known of the evidence of a device; never the evidence itself. */
export interface ExplainedEvidence {
  readonly state: AttestationStanding;
  /** Why not, as `Verdict` has it: a stable word, and the same for people. */
  readonly reason: string | null;
  readonly detail: string | null;
  readonly verified_at: string | null;
  readonly fresh_until: string | null;
  /** How it relates to what people have bound the device to. */
  readonly binding: 'none' | 'this' | 'other';
}

/** What there is to say of a standing. @param now RFC 3339 */
export function explainedEvidence(
  standing: DeviceAttestation,
  grant: AttestedBy | null,
  now: string,
): ExplainedEvidence {
  const { state, reason, detail, verified_at, fresh_until } = standingOnceStale(standing, now) ?? standing;
  const bound = grant?.binding ?? null;
  const hardware = bound?.binding_id ?? standing.binding_id;
  const same = bound?.key_id === standing.key_id && hardware === standing.binding_id;
  return {
    ...{ state, reason, detail, verified_at, fresh_until },
    binding: bound === null ? 'none' : same ? 'this' : 'other',
  };
}

/** Whether it is for the device to do something about it. */
export function evidenceAsked(evidence: ExplainedEvidence | null): boolean {
  return evidence?.state !== 'verified' || evidence.binding === 'other';
}

export function unaskedEvidence(evidence: ExplainedEvidence | null): string {
  const most = 'so it is monitored at most';
  if (evidence === null) return `No evidence of its state is asked for, ${most}.`;
  return `Evidence of its state is not required, and none counts now, ${most}. ${missingEvidence(evidence)}`;
}

export function verifiedEvidence(evidence: ExplainedEvidence | null): string {
  const until = evidence?.fresh_until ?? null;
  return until === null
    ? 'Its evidence is verified and fresh.'
    : `Its evidence is verified, and counts until ${moment(until)}.`;
}

export function missingEvidence(evidence: ExplainedEvidence | null): string {
  if (evidence === null) return 'Evidence was asked for and has not been given.';
  if (evidence.state === 'verified') {
    if (evidence.binding === 'none') return 'Its evidence fits; nobody has approved its key and hardware yet.';
    if (evidence.binding === 'other')
      return 'Its evidence is of another key or other hardware than people have approved.';
    return 'Its evidence fits, and waits for its actor to verify it again.';
  }
  const why = missingReasons[evidence.reason ?? ''] ?? 'Evidence was asked for and has not been given';
  const { verified_at } = evidence;
  return `${why}${verified_at === null ? '; none was ever verified' : `; the last was verified on ${moment(verified_at)}`}.`;
}

const missingReasons: Readonly<Record<string, string>> = {
  evidence_missing: 'Its last heartbeat brought no evidence',
  other_challenge: 'It answered another challenge than the one that it was given',
  challenge_expired: 'It answered its challenge too late',
  challenge_outdated: 'Other registers are asked for than those that it answered with',
  too_old: 'Its evidence came too late to count',
  key_unproven: 'Its key has not shown yet that it lives in its TPM',
};

export function missingEvidenceChange(evidence: ExplainedEvidence | null): string {
  if (evidence === null || evidenceAsked(evidence)) return 'The device answers its challenge with evidence that fits.';
  return evidence.binding === 'none'
    ? 'People approve its key and hardware, and its actor verifies the evidence again.'
    : 'Its actor verifies the evidence again.';
}

export function staleEvidence(evidence: ExplainedEvidence | null): string {
  const { verified_at = null, fresh_until = null } = evidence ?? {};
  if (verified_at === null || fresh_until === null) return 'Its last evidence is too old.';
  return `Its last evidence is too old: it was verified on ${moment(verified_at)}, and counted until ${moment(fresh_until)}.`;
}

export function failedEvidence(evidence: ExplainedEvidence | null): string {
  const { reason = null, detail = null } = evidence ?? {};
  return `${failures[reason ?? ''] ?? 'Its last evidence was refused'}${quoted(detail)}.`;
}

export function failedEvidenceChange(evidence: ExplainedEvidence | null): string {
  return changes[evidence?.reason ?? ''] ?? 'The device gives evidence that fits.';
}

const failures: Readonly<Record<string, string>> = {
  pcr_mismatch: 'It runs something else than what is approved',
  pcr_selection: 'Its evidence is of other registers than those that it was asked for',
  pcr_digest: 'The values that it reports are not those that were signed',
  baseline_missing: 'No values are approved for it, so none can fit',
  other_hardware: 'Its evidence is of other hardware than people have approved',
  other_key: 'Its evidence is of another key than people have approved',
  hardware_unbound: 'Its evidence does not say which hardware it is from',
  clock_went_back: 'Its evidence is older than what it has given before',
  endorsement_missing: 'Nothing says who made its TPM',
  endorsement_untrusted: 'Nobody whom policy trusts vouches for its TPM',
  endorsement_expired: 'The certificate of its TPM is not valid any more',
  manufacturer_not_allowed: 'Its TPM is of a manufacturer that policy does not allow',
  endorsement_key_not_allowed: 'Its TPM is not among those that may enroll',
  activation_wrong: 'Its key could not show that it lives in its TPM',
  verifier_failed: 'The verifier of the operator gave no usable answer',
  verifier_refused: 'The verifier of the operator refused its evidence',
  judgement_failed: 'Its evidence could not be judged',
};

const changes: Readonly<Record<string, string>> = {
  pcr_mismatch:
    'The device starts what is approved, or its values are approved (SENTINEL_ATTESTATION_PCR_BASELINES_JSON).',
  baseline_missing: 'Values are approved for it (SENTINEL_ATTESTATION_PCR_BASELINES_JSON).',
  other_hardware:
    'The device answers from the hardware that it is bound to, or somebody resets it and people approve it anew.',
  other_key: 'The device answers with the key that it is bound to, or somebody resets it and people approve it anew.',
  hardware_unbound:
    'The device shows its endorsement key, or policy asks for none (SENTINEL_ATTESTATION_REQUIRE_HARDWARE_BINDING).',
  endorsement_untrusted:
    'Its manufacturer is trusted (SENTINEL_ATTESTATION_TRUSTED_ENDORSEMENT_ROOT_PATHS), or the device gets another TPM.',
  manufacturer_not_allowed:
    'Its manufacturer is allowed (SENTINEL_ATTESTATION_ALLOWED_TPM_MANUFACTURERS), or the device gets another TPM.',
  endorsement_key_not_allowed: 'Its endorsement key is allowed (SENTINEL_ATTESTATION_ALLOWED_ENDORSEMENT_KEYS).',
  verifier_failed: 'Somebody repairs the verifier (SENTINEL_TPM_QUOTE_VERIFIER_COMMAND).',
};
