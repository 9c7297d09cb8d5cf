// What a device's machine makes of attestation: what it is bound to, which evidence it has its activity verify, and what it
// believes of the answer. Compared is always with what the machine holds itself, never with what the store says it is.
import type { AttestationBinding, AttestationPolicy, DeviceAttestation } from '#contracts/attestation.ts';
import { lowestTier } from '#contracts/states.ts';
import { bounded } from './actor.ts';
import { listLimit, neverAttested, unbound, type AttestationContext, type DeviceContext } from './device-context.ts';
import type { Args, EvidenceVerified } from './device-events.ts';
import type { HardwareClaim } from './identity-review.ts';

/** What is asked of devices, and where this one stands by its row. */
export interface AttestationFacts {
  readonly policy: AttestationPolicy;
  /** Null before its first challenge. */
  readonly standing: DeviceAttestation | null;
}

/** Contexts of the first version have none of this. */
export function attestationIn(context: DeviceContext): AttestationContext {
  return { ...neverAttested, ...context };
}

/** What people bound the device to; null while that is nothing. */
export function bindingOf(context: DeviceContext): AttestationBinding | null {
  const { attestation_provider: provider, attestation_key: key_id, hardware_binding } = attestationIn(context);
  return provider === null || key_id === null ? null : { provider, key_id, binding_id: hardware_binding };
}

/**
 * What a device could be bound to: key and hardware of the evidence that was verified last. Another challenge does not
 * take that back, so that a lost nonce does not change what people are deciding about; evidence that failed does.
 */
export function claimOf({ policy, standing }: AttestationFacts): HardwareClaim | null {
  if (standing === null || standing.key_id === null || standing.verified_at === null) return null;
  if (standing.state === 'failed' || standing.provider !== policy.provider) return null;
  const { provider, key_id, binding_id, manufacturer } = standing;
  return { provider, key_id, binding_id, manufacturer };
}

/**
 * The key that an approved device shows and that nobody has decided about; it is asked about once. Of a device that is
 * bound: another key of the very same hardware, where policy does not let that take over by itself.
 */
export function unboundClaim({ context, event }: Args): HardwareClaim | null {
  if (event.type !== 'news.fetched' || event.attestation === undefined) return null;
  const { certificate, hardware: claim = null } = event.pinned ?? {};
  if (certificate === undefined || event.revoked.includes(certificate.fingerprint_sha256)) return null;
  if (claim === null || attestationIn(context).rejected_keys.includes(claim.key_id)) return null;
  const bound = bindingOf(context);
  return bound === null || rotates(bound, claim, event.attestation.policy) ? claim : null;
}

function rotates(bound: AttestationBinding, claim: HardwareClaim, policy: AttestationPolicy): boolean {
  const sameHardware = bound.binding_id !== null && bound.binding_id === claim.binding_id;
  const otherKey = bound.key_id !== claim.key_id;
  return (
    bound.provider === claim.provider && sameHardware && otherKey && !policy.allow_key_rotation_with_stable_binding
  );
}

/** Whether the grant may rest on evidence: approved by enough people, with a certificate that nobody has revoked. */
function mayBeTrusted({ tier, pinned, revoked_fingerprints }: DeviceContext): boolean {
  return (
    (tier === 'monitored' || tier === 'trusted') &&
    pinned !== null &&
    !revoked_fingerprints.includes(pinned.fingerprint_sha256)
  );
}

const isConfirmed = ({ tier, attested_generation }: DeviceContext, generation: number): boolean =>
  tier === 'trusted' && attested_generation === generation;

/** How a key and its hardware relate to what the device is bound to. */
function comparedTo(
  bound: AttestationBinding,
  proven: { readonly key_id: string | null; readonly binding_id: string | null },
  policy: AttestationPolicy,
): 'same' | 'another key' | 'other' {
  const unstable = bound.binding_id === null;
  if (policy.provider !== bound.provider || proven.key_id === null) return 'other';
  // Where people bound no hardware, the key is all that there is to compare.
  if (!unstable && proven.binding_id !== bound.binding_id) return 'other';
  if (bound.provider === 'tpm_quote_v1' && policy.require_hardware_binding && unstable) return 'other';
  if (proven.key_id === bound.key_id) return 'same';
  return policy.allow_key_rotation_with_stable_binding && !unstable ? 'another key' : 'other';
}

/** The verdict that has to be confirmed before the device is trusted; null when there is none. */
export function unconfirmed({ context, event }: Args): DeviceAttestation | null {
  if (event.type !== 'news.fetched' || !event.attestation?.standing || !mayBeTrusted(context)) return null;
  if (event.revoked.includes(context.pinned?.fingerprint_sha256 ?? '')) return null;
  const { standing, policy } = event.attestation;
  const bound = bindingOf(context);
  if (bound === null || standing.state !== 'verified' || standing.provider !== bound.provider) return null;
  return isConfirmed(context, standing.generation) || comparedTo(bound, standing, policy) === 'other' ? null : standing;
}

/** What the answer is, if it is one to a question that is still asked. */
function judged({ context, event }: Args): 'same' | 'another key' | 'disputed' | 'outdated' {
  const bound = bindingOf(context);
  if (event.type !== 'evidence.verified' || bound === null) return 'outdated';
  if (event.epoch !== context.epoch || !mayBeTrusted(context)) return 'outdated';
  const proven = event.valid ? comparedTo(bound, event, event.policy) : 'other';
  if (proven === 'other') return 'disputed';
  return proven === 'same' && isConfirmed(context, event.generation) ? 'outdated' : proven;
}

export const attestationGuards = {
  unboundHardware: (args: Args) => args.context.review === null && unboundClaim(args) !== null,
  evidenceProven: (args: Args) => judged(args) === 'same',
  evidenceOfAnotherKey: (args: Args) => judged(args) === 'another key',
  /** Said once for each generation: the question may be asked again and again. */
  evidenceDisputed: (args: Args) =>
    judged(args) === 'disputed' &&
    args.event.type === 'evidence.verified' &&
    args.event.generation !== attestationIn(args.context).disputed_generation,
};

type Change = Partial<DeviceContext>;

const verified = (event: Args['event'], change: (event: EvidenceVerified) => Change): Change =>
  event.type === 'evidence.verified' ? change(event) : {};

/** Trusted, on the evidence of this generation and no other. */
export const confirm = ({ event }: Args): Change =>
  verified(event, ({ generation }) => ({
    tier: 'trusted',
    attested_generation: generation,
    disputed_generation: null,
  }));

export const takeKey = ({ event }: Args): Change => verified(event, ({ key_id }) => ({ attestation_key: key_id }));

/** The store says verified, and its evidence does not bear it out: nothing of this generation is believed. */
export const dispute = ({ context, event }: Args): Change =>
  verified(event, ({ generation }) => ({
    disputed_generation: generation,
    attested_generation: null,
    tier: lowestTier([context.tier, 'monitored']),
  }));

/** Binds what people have approved. What they leave as it is stays confirmed. */
export function bind(context: DeviceContext, claim: HardwareClaim | null): Change {
  const bound = bindingOf(context);
  const same = claim === null || (bound !== null && isSame(bound, claim));
  if (same) return { tier: context.tier === 'trusted' ? 'trusted' : 'monitored' };
  return {
    ...unbound,
    attestation_provider: claim.provider,
    attestation_key: claim.key_id,
    hardware_binding: claim.binding_id,
    tier: 'monitored',
  };
}

const isSame = (one: AttestationBinding, other: AttestationBinding): boolean =>
  one.provider === other.provider && one.key_id === other.key_id && one.binding_id === other.binding_id;

/** A key that people turned down is not asked about again. */
export function rejectedKeys(context: DeviceContext): readonly string[] {
  const { rejected_keys } = attestationIn(context);
  const key = context.review?.hardware?.key_id;
  return key === undefined ? rejected_keys : bounded([...rejected_keys, key], listLimit);
}

/** What holds by the present policy: where nobody is asked any more, or for something else, nothing is confirmed. */
export function underPolicy({ context, event }: Args): Change {
  if (event.type !== 'news.fetched') return {};
  const provider = event.attestation?.policy.provider ?? null;
  const { asks_for_evidence, attested_generation, attestation_provider, evidence_shown } = attestationIn(context);
  const asks = provider !== null;
  const shown = asks ? shownOf(event.attestation?.standing ?? null) : null;
  const lapsed = attested_generation !== null && provider !== attestation_provider;
  return {
    ...(asks === asks_for_evidence ? {} : { asks_for_evidence: asks }),
    ...(shown === evidence_shown ? {} : { evidence_shown: shown }),
    ...(lapsed ? { attested_generation: null, tier: lowestTier([context.tier, 'monitored']) } : {}),
  };
}

function shownOf(standing: DeviceAttestation | null): string | null {
  if (standing === null) return null;
  return standing.detail === null ? standing.state : `${standing.state}: ${standing.detail}`;
}

/** What two states of one device agree on. Bound to different things, or to nothing on one side, people decide again. */
export function agreedAttestation(one: DeviceContext, other: DeviceContext): Change {
  const [a, b] = [bindingOf(one), bindingOf(other)];
  if (a === null || b === null || !isSame(a, b)) return { ...unbound };
  const generation = one.attested_generation === other.attested_generation ? one.attested_generation : null;
  return { attested_generation: generation, disputed_generation: null };
}
