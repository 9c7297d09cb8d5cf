// Where a device stands with its evidence: what a verdict makes of it, and what a reader does.
import type {
  AttestationBinding,
  AttestationPolicy,
  AttestationProvider,
  DeviceAttestation,
  Verdict,
} from '#contracts/attestation.ts';
import type { AttestationState } from '#contracts/states.ts';

const unasked = (provider: AttestationProvider): DeviceAttestation => ({
  state: 'challenged',
  generation: 0,
  verdict: 0,
  provider,
  key_id: null,
  binding_id: null,
  manufacturer: null,
  verified_at: null,
  fresh_until: null,
  code: null,
  reason: null,
  detail: null,
  clock: null,
});

/**
 * The standing after a verdict. Evidence that answers another question, or comes too late, is as good as none; any other
 * refusal is a failure, which only verified evidence ends. A generation begins when a device becomes verified after it was
 * not, or with another key.
 *
 * @param at RFC 3339
 */
export function standingAfter(
  before: DeviceAttestation | null,
  verdict: Verdict,
  { provider, at }: { readonly provider: AttestationProvider; readonly at: string },
): DeviceAttestation {
  const standing = before ?? unasked(provider);
  const { outcome, code, reason, detail, key_id, binding_id, manufacturer, clock, fresh_until } = verdict;
  if (outcome === 'verified' && key_id !== null && fresh_until !== null) {
    const goesOn =
      isFresh(standing, at) &&
      standing.provider === provider &&
      standing.key_id === key_id &&
      standing.binding_id === binding_id;
    return {
      state: 'verified',
      generation: goesOn ? standing.generation : standing.generation + 1,
      verdict: standing.verdict,
      provider,
      key_id,
      binding_id,
      manufacturer,
      verified_at: at,
      fresh_until,
      code: null,
      reason: null,
      detail: null,
      clock,
    };
  }
  const asIfNone = code === 'attestation.nonce_unknown' || code === 'attestation.stale' || outcome === 'unproven';
  if (asIfNone && standing.state === 'failed') return standing;
  return {
    ...standing,
    provider,
    state: asIfNone ? 'challenged' : 'failed',
    code,
    reason: outcome === 'unproven' ? 'key_unproven' : (reason ?? 'malformed'),
    detail: outcome === 'unproven' ? 'The key has not shown yet that it lives in its TPM' : detail,
  };
}

/** The standing of a device whose heartbeat brought no evidence; null when it loses nothing by that. */
export function standingWithoutEvidence(before: DeviceAttestation): DeviceAttestation | null {
  return before.state === 'verified'
    ? {
        ...before,
        state: 'challenged',
        code: null,
        reason: 'evidence_missing',
        detail: 'The last heartbeat brought no evidence',
      }
    : null;
}

/** The standing of a device whose evidence counts no longer; null when nothing changes by that. */
export function standingOnceStale(before: DeviceAttestation, at: string): DeviceAttestation | null {
  return before.state === 'verified' && !isFresh(before, at)
    ? {
        ...before,
        state: 'challenged',
        code: 'attestation.stale',
        reason: 'too_old',
        detail: 'No evidence came in time',
      }
    : null;
}

function isFresh({ state, fresh_until }: DeviceAttestation, at: string): boolean {
  return state === 'verified' && fresh_until !== null && fresh_until > at;
}

/** What a reader needs of the grant. */
export interface AttestedBy {
  readonly binding: AttestationBinding | null;
  /** The generation that the device's actor has confirmed. */
  readonly attested_generation: number | null;
}

/**
 * The state of attestation now. Verified takes all of it: verified evidence that is fresh, of the provider that is asked,
 * of the key and hardware that people have bound, in a generation that the actor has confirmed.
 *
 * Where evidence is not required, a device without any is as one that nobody asks.
 *
 * @param now RFC 3339
 */
export function attestationStateOf(
  policy: Pick<AttestationPolicy, 'provider' | 'required'>,
  standing: DeviceAttestation | null,
  grant: AttestedBy | null,
  now: string,
): AttestationState {
  const { provider, required } = policy;
  if (provider === null) return 'not_required';
  const missing = required ? 'challenged' : 'not_required';
  if (standing === null || standing.provider !== provider) return missing;
  if (standing.state === 'failed') return 'failed';
  if (standing.state !== 'verified') return standing.code === 'attestation.stale' && required ? 'stale' : missing;
  if (!isFresh(standing, now)) return required ? 'stale' : missing;
  return isConfirmed(standing, grant) ? 'verified' : missing;
}

/** Whether the actor has confirmed this very evidence, for the key and hardware that the device is bound to. */
export function isConfirmed(standing: DeviceAttestation, grant: AttestedBy | null): boolean {
  const binding = grant?.binding ?? null;
  return (
    binding !== null &&
    grant?.attested_generation === standing.generation &&
    binding.provider === standing.provider &&
    binding.key_id === standing.key_id &&
    (binding.binding_id === null || binding.binding_id === standing.binding_id)
  );
}
