// What a device's machine hears, and what it asks of the world.
import type { MachineSnapshot } from '#contracts/actor.ts';
import type { CertificateFacts } from '#contracts/certificate.ts';
import type { IdentityPolicy } from '#contracts/policy.ts';
import type { ApprovalState } from '#contracts/states.ts';
import type { ActorAdopted, Call, CommitRefused, DeadlinePassed, Stamp } from './actor.ts';
import type { ApprovalInput } from './approval.ts';
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
  | (Stamp & { readonly type: 'approval.closed'; readonly approval_id: string })
  | ApprovalRead
  | OperatorRequest
  | DeadlinePassed
  | ActorAdopted
  | CommitRefused;

/** What the machine asks of the world; `workflows/device.ts` carries each of them out. */
export type DeviceCall =
  | Call<'news.fetch', NewsQuery>
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
