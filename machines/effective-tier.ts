// The effective trust tier: what holds now, computed at every read from what was decided and what lowers it.
import { lowestTier, type AttestationState, type DeviceState, type TrustTier } from '#contracts/states.ts';

/** Everything that the tier depends on. A missing grant is a device that nobody has decided about. */
export interface TierInputs {
  readonly grant: { readonly state: DeviceState; readonly tier: TrustTier } | null;
  /** End of validity of the pinned certificate, RFC 3339; null when nothing is pinned. */
  readonly pinned_not_after: string | null;
  /** Whether the pinned fingerprint is on the denylist. */
  readonly pinned_revoked: boolean;
  readonly attestation: AttestationState;
  /** False when the identity was not verified at all (device mTLS is off). */
  readonly identity_verified: boolean;
}

/** Every reason that bounds the tier; `explanation.ts` has the words. */
export const tierReasons = [
  'identity.unverified',
  'identity.pending',
  'identity.expired',
  'identity.rejected',
  'identity.retired',
  'identity.approved',
  'identity.under_review',
  'certificate.revoked',
  'certificate.expired',
  'attestation.not_required',
  'attestation.verified',
  'attestation.failed',
  'attestation.missing',
  'attestation.stale',
] as const;
export type TierReason = (typeof tierReasons)[number];

export interface TierDecision {
  readonly tier: TrustTier;
  /** What bounds the tier: every reason that holds it where it is, none that leaves room above. */
  readonly reasons: readonly TierReason[];
}

/** An upper bound that one fact sets, and why. */
export interface TierBound {
  readonly bound: TrustTier;
  readonly reason: TierReason;
}

const stateBounds: Record<DeviceState, TierBound> = {
  pending: { bound: 'observed', reason: 'identity.pending' },
  expired: { bound: 'observed', reason: 'identity.expired' },
  rejected: { bound: 'restricted', reason: 'identity.rejected' },
  retired: { bound: 'restricted', reason: 'identity.retired' },
  approved: { bound: 'trusted', reason: 'identity.approved' },
};

const attestationBounds: Record<AttestationState, TierBound> = {
  not_required: { bound: 'monitored', reason: 'attestation.not_required' },
  verified: { bound: 'trusted', reason: 'attestation.verified' },
  challenged: { bound: 'observed', reason: 'attestation.missing' },
  stale: { bound: 'observed', reason: 'attestation.stale' },
  failed: { bound: 'restricted', reason: 'attestation.failed' },
};

/**
 * Every bound that holds now. The lowest is the effective tier; all of them together are its explanation.
 *
 * @param now RFC 3339; a certificate is expired from its last second on.
 */
export function tierBounds(inputs: TierInputs, now: string): readonly TierBound[] {
  const { grant } = inputs;
  const bounds = [stateBounds[grant?.state ?? 'pending'], attestationBounds[inputs.attestation]];
  if (grant !== null) bounds.push({ bound: grant.tier, reason: grantReason(grant) });
  if (!inputs.identity_verified) bounds.push({ bound: 'observed', reason: 'identity.unverified' });
  if (inputs.pinned_not_after !== null && inputs.pinned_not_after <= now)
    bounds.push({ bound: 'restricted', reason: 'certificate.expired' });
  if (inputs.pinned_revoked) bounds.push({ bound: 'revoked', reason: 'certificate.revoked' });
  return bounds;
}

/** Why the decisions support no more than this. */
function grantReason({ state, tier }: NonNullable<TierInputs['grant']>): TierReason {
  const short = state === 'approved' && tier !== 'trusted' && tier !== 'monitored';
  return short ? 'identity.under_review' : stateBounds[state].reason;
}

/** Decides the effective tier. Each fact sets an upper bound and the lowest wins, so that no fact can make up for another. */
export function effectiveTier(inputs: TierInputs, now: string): TierDecision {
  const bounds = tierBounds(inputs, now);
  const tier = lowestTier(bounds.map(({ bound }) => bound));
  const reasons = new Set(bounds.filter(({ bound }) => bound === tier).map(({ reason }) => reason));
  return { tier, reasons: [...reasons] };
}
