// What a device's machine remembers.
import type { AttestationProvider } from '#contracts/attestation.ts';
import type { CertificateFacts } from '#contracts/certificate.ts';
import type { JsonObject } from '#contracts/deps.ts';
import type { ApprovalKind, TrustTier } from '#contracts/states.ts';
import type { Deadlines } from './actor.ts';
import type { HardwareClaim } from './identity-review.ts';

/** Lists in the context that grow with use keep this many entries. */
export const listLimit = 100;

export interface DeviceInput {
  readonly project: string;
  readonly id: string;
}

/** The one review that this device waits for. Another approval's outcome does not count. */
export interface PendingReview {
  readonly id: string;
  readonly kind: ApprovalKind;
  readonly digest: string;
  readonly content: JsonObject;
  readonly certificate: CertificateFacts;
  /** What the device is bound to if this is approved; absent where no evidence was there. */
  readonly hardware?: HardwareClaim | null;
  readonly required: number;
  readonly opened_at: string;
  readonly expires_at: string;
}

export interface DeviceContext {
  readonly project: string;
  readonly device_id: string;
  readonly tier: TrustTier;
  readonly epoch: number;
  readonly counter_epoch: number;
  readonly review_generation: number;
  readonly pinned: CertificateFacts | null;
  readonly review: PendingReview | null;
  readonly rejected_fingerprints: readonly string[];
  /** Revocations that this actor has taken note of; the denylist is what enforces them. */
  readonly revoked_fingerprints: readonly string[];
  readonly reported_tags: readonly string[];
  readonly assigned_tags: readonly string[];
  readonly approvers: readonly string[];
  /** Operators who asked for this device to be decided about again: they count as requester. */
  readonly requesters: readonly string[];
  readonly applied_digest: string | null;
  readonly inbox_consumed: number;
  readonly reason: string | null;
  readonly approved_at: string | null;
  /** Requests of people that were taken, so that the same one is taken once. */
  readonly requests: readonly string[];
  /** What people bound the device to, all of it or nothing; the hardware may be unknown. */
  readonly attestation_provider: AttestationProvider | null;
  readonly attestation_key: string | null;
  readonly hardware_binding: string | null;
  /** Generation of `device_attestation` whose evidence this actor has had verified; null when there is none. */
  readonly attested_generation: number | null;
  /** The last one whose evidence did not bear out what the store says of it. */
  readonly disputed_generation: number | null;
  /** Attestation keys that people turned down. */
  readonly rejected_keys: readonly string[];
  /** Whether devices are asked for evidence, as far as this actor has heard. */
  readonly asks_for_evidence: boolean;
  /** Where the evidence stood when this actor looked last, for people. */
  readonly evidence_shown: string | null;
  readonly deadlines: Deadlines;
}

/** The part of the context that came with attestation. */
export type AttestationContext = Pick<
  DeviceContext,
  | 'attestation_provider'
  | 'attestation_key'
  | 'hardware_binding'
  | 'attested_generation'
  | 'disputed_generation'
  | 'rejected_keys'
  | 'asks_for_evidence'
  | 'evidence_shown'
>;

/** Bound to nothing, and nothing confirmed. */
export const unbound = {
  attestation_provider: null,
  attestation_key: null,
  hardware_binding: null,
  attested_generation: null,
  disputed_generation: null,
} as const satisfies Partial<AttestationContext>;

export const neverAttested: AttestationContext = {
  ...unbound,
  rejected_keys: [],
  asks_for_evidence: false,
  evidence_shown: null,
};

export function initialContext(input: DeviceInput): DeviceContext {
  return {
    project: input.project,
    device_id: input.id,
    tier: 'observed',
    epoch: 0,
    counter_epoch: 0,
    review_generation: 0,
    pinned: null,
    review: null,
    rejected_fingerprints: [],
    revoked_fingerprints: [],
    reported_tags: [],
    assigned_tags: [],
    approvers: [],
    requesters: [],
    applied_digest: null,
    inbox_consumed: 0,
    reason: null,
    approved_at: null,
    requests: [],
    ...neverAttested,
    deadlines: {},
  };
}
