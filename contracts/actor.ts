// How a durable actor speaks with the store: commits, the fence that guards them, and what an actor finds when it is fenced.
import type { AttestationProvider } from './attestation.ts';
import type { AuditEntry, OutboxEntry, Principal } from './audit.ts';
import type { JsonObject } from './deps.ts';
import type { ActorRef } from './ids.ts';
import type { TrustTier } from './states.ts';

/** A machine's state as JSON: enough to go on from. */
export interface MachineSnapshot<Context = JsonObject> {
  readonly value: string;
  readonly context: Context;
}

/** Which row an actor stands on, as its row says it. */
export interface ActorMark {
  /** The run that wrote the row last. */
  readonly run_id: string;
  readonly revision: number;
  readonly epoch: number;
  readonly state: string;
}

/** The same as the running actor says it. */
export interface ActorStanding extends ActorMark {
  readonly ref: ActorRef;
  /** Whether everything that it knows is in the store. */
  readonly settled: boolean;
  /** Certificates that it knows to be revoked; empty for what has none. */
  readonly revoked_fingerprints: readonly string[];
}

/** One transition, kept for ever in `actor_transition`. */
export interface TransitionRecord {
  readonly revision: number;
  readonly at: string;
  readonly event: string;
  readonly by: Principal;
  readonly from_state: string | null;
  readonly to_state: string;
  /** Facts for readers; no secrets. */
  readonly details: JsonObject;
}

/**
 * A condition on facts that only the store knows, checked in the transaction of the commit.
 * When one does not hold the commit is refused as a whole and the actor adopts the row.
 */
export type CommitRequirement =
  /** The approval is closed with this outcome for this digest, and nobody consumed it; it is consumed now. */
  | {
      readonly kind: 'approval.consumed';
      readonly approval_id: string;
      readonly outcome: string;
      readonly digest: string;
    }
  /** Each of these people is active in the live directory and has the permission. */
  | { readonly kind: 'voters.stand'; readonly usernames: readonly string[]; readonly permission: string };

/** Row of `device` that a device actor's commit writes: the grant, all that was decided. */
export interface DeviceGrant {
  readonly state: string;
  /** What the decisions support; the effective tier is never higher. */
  readonly tier: TrustTier;
  /** `token_version`: raised by revoke and reset. */
  readonly epoch: number;
  /** Raised by reset: counters of an older one do not count. */
  readonly counter_epoch: number;
  /** Raised when a review closes: a candidate certificate of an older one is no longer under review. */
  readonly review_generation: number;
  readonly pinned_fingerprint: string | null;
  readonly pinned_certificate: JsonObject | null;
  readonly candidate_fingerprint: string | null;
  readonly rejected_fingerprints: readonly string[];
  readonly assigned_tags: readonly string[];
  readonly approvers: readonly string[];
  readonly review: JsonObject | null;
  /** Digest of the observation that this grant has taken into account. */
  readonly applied_digest: string | null;
  readonly inbox_consumed: number;
  readonly reason: string | null;
  readonly approved_at: string | null;
  /** What people bound it to; null where that is nothing, or the hardware is not known. */
  readonly attestation_provider: AttestationProvider | null;
  readonly attestation_key: string | null;
  readonly hardware_binding: string | null;
  /** The generation of `device_attestation` that its actor has confirmed. */
  readonly attested_generation: number | null;
}

/** Row of `approval` that an approval actor's commit writes. */
export interface ApprovalRecord {
  readonly kind: string;
  readonly subject_kind: string;
  readonly subject_id: string;
  readonly subject: JsonObject;
  readonly digest: string;
  readonly state: string;
  readonly requested_by: JsonObject;
  readonly required_approvals: number;
  readonly permission: string;
  readonly votes: readonly JsonObject[];
  readonly opened_at: string;
  readonly expires_at: string;
  readonly closed_at: string | null;
}

export type ActorProjection =
  | { readonly kind: 'device'; readonly row: DeviceGrant }
  | { readonly kind: 'approval'; readonly row: ApprovalRecord };

/** One transaction of an actor: everything that the revisions `from + 1 … to` want written. Frozen once sent. */
export interface Commit {
  readonly actor: ActorRef;
  readonly epoch: number;
  /** Revision the row must have. `from === to` is an empty commit, which only asks whether this run still holds the row. */
  readonly from: number;
  readonly to: number;
  /** Run and revision that this run takes over from: its predecessor, or the row that it adopted. */
  readonly succeeds: { readonly run_id: string; readonly revision: number } | null;
  readonly machine_version: number;
  readonly snapshot: MachineSnapshot;
  readonly transitions: readonly TransitionRecord[];
  readonly projection: ActorProjection;
  readonly audit: readonly AuditEntry[];
  readonly outbox: readonly OutboxEntry[];
  readonly requirements: readonly CommitRequirement[];
}

/** The actor's row as the store has it. */
export interface ActorRow {
  readonly run_id: string;
  readonly revision: number;
  readonly epoch: number;
  readonly machine_version: number;
  readonly snapshot: MachineSnapshot;
}

export type CommitResult =
  /** Written now, or written before by the same commit. */
  | { readonly status: 'committed'; readonly run_id: string }
  /** Another run holds the row, or it is gone. Nothing was written. */
  | { readonly status: 'fenced'; readonly run_id: string; readonly row: ActorRow | null }
  /** A requirement does not hold. Nothing was written. */
  | {
      readonly status: 'refused';
      readonly run_id: string;
      readonly row: ActorRow | null;
      readonly requirement: CommitRequirement['kind'];
    };
