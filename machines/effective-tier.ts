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

export const tierReasons = {
  'identity.unverified': 'The identity of the device is not verified.',
  'identity.pending': 'Nobody has approved this device yet.',
  'identity.expired': 'The enrollment lapsed without a decision.',
  'identity.rejected': 'The identity of this device was rejected.',
  'identity.retired': 'This device was taken out of service.',
  'identity.approved': 'The device is approved.',
  'identity.under_review': 'The device needs more approvals for its present tags.',
  'certificate.revoked': 'The certificate of this device was revoked.',
  'certificate.expired': 'The certificate of this device has expired.',
  'attestation.failed': 'The last evidence did not fit the reference values.',
  'attestation.missing': 'Evidence was asked for and has not been given.',
  'attestation.stale': 'The last evidence is too old.',
} as const;
export type TierReason = keyof typeof tierReasons;

export interface TierDecision {
  readonly tier: TrustTier;
  /** What bounds the tier: every reason that holds it where it is, none that leaves room above. */
  readonly reasons: readonly TierReason[];
}

const stateBounds: Record<DeviceState, readonly [TrustTier, TierReason]> = {
  pending: ['observed', 'identity.pending'],
  expired: ['observed', 'identity.expired'],
  rejected: ['restricted', 'identity.rejected'],
  retired: ['restricted', 'identity.retired'],
  approved: ['trusted', 'identity.approved'],
};

const attestationBounds: Record<AttestationState, readonly [TrustTier, TierReason] | null> = {
  not_required: ['monitored', 'identity.approved'],
  verified: null,
  challenged: ['observed', 'attestation.missing'],
  stale: ['observed', 'attestation.stale'],
  failed: ['restricted', 'attestation.failed'],
};

/**
 * Decides the effective tier. Each fact sets an upper bound and the lowest wins, so that no fact can make up for another.
 *
 * @param now RFC 3339; a certificate is expired from its last second on.
 */
export function effectiveTier(inputs: TierInputs, now: string): TierDecision {
  const { grant } = inputs;
  const bounds: (readonly [TrustTier, TierReason])[] = [
    grant === null ? stateBounds.pending : stateBounds[grant.state],
  ];
  const attestation = attestationBounds[inputs.attestation];
  if (attestation) bounds.push(attestation);
  if (grant?.state === 'approved' && grant.tier !== 'trusted' && grant.tier !== 'monitored')
    bounds.push([grant.tier, 'identity.under_review']);
  else if (grant) bounds.push([grant.tier, stateBounds[grant.state][1]]);
  if (!inputs.identity_verified) bounds.push(['observed', 'identity.unverified']);
  if (inputs.pinned_not_after !== null && inputs.pinned_not_after <= now)
    bounds.push(['restricted', 'certificate.expired']);
  if (inputs.pinned_revoked) bounds.push(['revoked', 'certificate.revoked']);

  const tier = lowestTier(bounds.map(([bound]) => bound));
  const reasons = new Set(bounds.filter(([bound]) => bound === tier).map(([, reason]) => reason));
  return { tier, reasons: [...reasons] };
}
