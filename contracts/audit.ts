// What is written down for ever: the shape of an audit event and of an event that leaves the product.
import type { JsonObject } from './deps.ts';
import type { AuditCategory, AuditStream, Outcome, PrincipalKind, SubjectKind } from './states.ts';

/** Who did it. `ip` is known for people and devices only. */
export interface Principal {
  readonly kind: PrincipalKind;
  readonly id: string;
  readonly ip?: string | null;
}

export interface Subject {
  readonly kind: SubjectKind;
  readonly id: string;
}

/** An audit event before it has its place in the chain. `details` holds no secret: ids, names, reasons, limits. */
export interface AuditEntry {
  readonly occurred_at: string;
  readonly category: AuditCategory;
  readonly action: string;
  readonly actor: Principal;
  readonly subject: Subject;
  readonly outcome: Outcome;
  readonly details: JsonObject;
  readonly request_id: string | null;
}

/** Dotted names of events that go out as they are, and are audited too. Other audit actions go out as `audit.<category>.<action>`. */
export const eventTypes = [
  'device.identity.pending',
  'device.identity.approved',
  'device.identity.rejected',
  'device.identity.expired',
  'device.identity.reset',
  'device.identity.retired',
  'device.trust.updated',
  'device.certificate.revoked',
  'device.certificate.rotated',
  'approval.opened',
  'approval.voted',
  'approval.changed',
  'approval.closed',
] as const;
export type EventType = (typeof eventTypes)[number] | `audit.${AuditCategory}.${string}`;

/** An event for the outbox, before it has its place in the chain. */
export interface OutboxEntry {
  readonly occurred_at: string;
  readonly type: EventType;
  readonly subject: Subject;
  readonly data: JsonObject;
}

/** The last event of a chain. */
export interface CheckpointHead {
  readonly project_id: string;
  readonly stream: AuditStream;
  readonly sequence: number;
  readonly hash: string;
}

/** What the sealer signs now and then: whoever changes what lies before it would have to forge it. */
export interface Checkpoint {
  readonly id: string;
  readonly at: string;
  readonly heads: readonly CheckpointHead[];
  /** The checkpoint before, by id and digest of its envelope. */
  readonly previous: { readonly id: string; readonly digest: string } | null;
  readonly key_id: string;
}

/** Where integrity stands; the body of `GET /api/audit/integrity`. */
export interface IntegrityReport {
  readonly valid: boolean;
  readonly checked: number;
  readonly verified_from: number;
  readonly head_sequence: number;
  readonly unsealed: number;
  readonly checkpoint: { readonly sequence: number; readonly at: string; readonly key_id: string } | null;
  readonly first_broken_sequence: number | null;
  readonly reason: string | null;
}
