// What a device's machine remembers.
import type { CertificateFacts } from '#contracts/certificate.ts';
import type { JsonObject } from '#contracts/deps.ts';
import type { ApprovalKind, TrustTier } from '#contracts/states.ts';
import type { Deadlines } from './actor.ts';

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
  readonly deadlines: Deadlines;
}

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
    deadlines: {},
  };
}
