// What a device's machine hears, and what it asks of the world.
import type { MachineSnapshot } from '#contracts/actor.ts';
import type { AttestationBinding, AttestationPolicy } from '#contracts/attestation.ts';
import type { CertificateFacts } from '#contracts/certificate.ts';
import type { IdentityPolicy } from '#contracts/policy.ts';
import type { ApprovalState } from '#contracts/states.ts';
import type { ActorAdopted, Call, CommitRefused, DeadlinePassed, Stamp } from './actor.ts';
import type { ApprovalInput } from './approval.ts';
import type { AttestationFacts } from './device-attestation.ts';
import type { DeviceContext } from './device-context.ts';
import type { Proposal } from './identity-review.ts';

/** Facts about the device, read from the store by the actor's own activity. */
export interface DeviceNews extends Stamp {
  readonly type: 'news.fetched';
  readonly policy: IdentityPolicy;
  /** Generation that was asked about: with another one by now, the candidate may be decided already. */
  readonly review_generation: number;
  readonly observed_digest: string | null;
  readonly reported_tags: readonly string[];
  readonly inbox_through: number;
  /** Those of the pinned and the candidate certificate that are on the denylist. */
  readonly revoked: readonly string[];
  /** The certificate that was presented and is not pinned, as something to approve; null when there is none of this generation. */
  readonly candidate: Proposal | null;
  /** The pinned certificate with the present tags, as something to approve again. */
  readonly pinned: Proposal | null;
  /** Absent from what releases before attestation have fetched: then nobody is asked. */
  readonly attestation?: AttestationFacts;
}

/** What the actor's own activity made of stored evidence. Nothing of it is believed because the store says so. */
export interface EvidenceVerified extends Stamp {
  readonly type: 'evidence.verified';
  /** Epoch, generation and verdict that were asked about. */
  readonly epoch: number;
  readonly generation: number;
  readonly verdict: number;
  readonly policy: AttestationPolicy;
  readonly valid: boolean;
  /** Why not, as `Verdict` has it. */
  readonly code: string | null;
  readonly reason: string | null;
  /** What was proven. */
  readonly key_id: string | null;
  readonly binding_id: string | null;
  /** Of the evidence as it was read; null when there was none. */
  readonly evidence_digest: string | null;
}

/** The approval as the store has it; null when there is none. */
export interface ApprovalRead extends Stamp {
  readonly type: 'approval.read';
  readonly approval_id: string;
  readonly approval: {
    readonly state: ApprovalState;
    readonly digest: string;
    readonly approvers: readonly string[];
    readonly rejected_by: string | null;
    readonly reason: string | null;
  } | null;
}

export interface OperatorRequest extends Stamp {
  readonly type: 'device.reset' | 'device.retire';
  readonly reason: string | null;
}

export type DeviceEvent =
  | (Stamp & { readonly type: 'news.announced' })
  | DeviceNews
  | EvidenceVerified
  | (Stamp & { readonly type: 'approval.closed'; readonly approval_id: string })
  | ApprovalRead
  | OperatorRequest
  | DeadlinePassed
  | ActorAdopted
  | CommitRefused;

/** What the machine asks of the world; `workflows/device.ts` carries each of them out. */
export type DeviceCall =
  | Call<'news.fetch', NewsQuery>
  | Call<'evidence.verify', EvidenceQuery>
  | Call<'approval.read', ApprovalQuery>
  | Call<'approval.open', ApprovalInput>
  | Call<'approval.withdraw', ApprovalQuery & { readonly reason: string }>;

/** What the device's own activity must know to say what is new. */
export interface NewsQuery {
  readonly project: string;
  readonly device_id: string;
  readonly epoch: number;
  readonly review_generation: number;
  readonly assigned_tags: readonly string[];
  readonly pinned: CertificateFacts | null;
  readonly inbox_consumed: number;
}

/** Which evidence is to be verified again, against what the actor holds itself. */
export interface EvidenceQuery {
  readonly project: string;
  readonly device_id: string;
  readonly epoch: number;
  readonly generation: number;
  readonly verdict: number;
  readonly bound: AttestationBinding;
  readonly assigned_tags: readonly string[];
}

export interface ApprovalQuery {
  readonly project: string;
  readonly approval_id: string;
}

export type DeviceSnapshot = MachineSnapshot<DeviceContext>;

/** What guards, changes and effects are made from. */
export interface Args {
  readonly context: DeviceContext;
  readonly event: DeviceEvent;
}
