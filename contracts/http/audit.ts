// /api/audit: the trail and its integrity.
import { Type, type Static } from 'typebox';
import { auditCategories, outcomes, principalKinds } from '../states.ts';
import { Exactly, Instant, List, ListQuery, Names, Nullable } from './common.ts';

export const AuditEvent = Type.Object({
  sequence: Type.Integer(),
  occurred_at: Instant,
  category: Names(auditCategories),
  action: Type.String(),
  actor: Type.Object({ kind: Names(principalKinds), id: Type.String(), ip: Nullable(Type.String()) }),
  subject: Type.Object({ kind: Type.String(), id: Type.String() }),
  outcome: Names(outcomes),
  details: Type.Record(Type.String(), Type.Unknown()),
  previous_hash: Type.String(),
  hash: Type.String(),
  request_id: Nullable(Type.String()),
});
export type AuditEvent = Static<typeof AuditEvent>;

const auditFilter = {
  category: Type.Optional(Names(auditCategories)),
  action: Type.Optional(Type.String({ maxLength: 128 })),
  actor_id: Type.Optional(Type.String({ maxLength: 128 })),
  subject_kind: Type.Optional(Type.String({ maxLength: 32 })),
  subject_id: Type.Optional(Type.String({ maxLength: 128 })),
  outcome: Type.Optional(Names(outcomes)),
  since: Type.Optional(Instant),
  until: Type.Optional(Instant),
  order: Type.Optional(Names(['newest', 'oldest'])),
};

export const AuditListQuery = Exactly({ ...ListQuery, ...auditFilter });
export type AuditListQuery = Static<typeof AuditListQuery>;
export const auditExportFormats = ['jsonl', 'csv'] as const;
export const AuditExportQuery = Exactly({ ...auditFilter, format: Type.Optional(Names(auditExportFormats)) });
export const AuditList = List(AuditEvent);
export type AuditList = Static<typeof AuditList>;

export const IntegrityQuery = Exactly({ full: Type.Optional(Type.Boolean()) });
export const Integrity = Type.Object({
  valid: Type.Boolean(),
  checked: Type.Integer(),
  verified_from: Type.Integer(),
  head_sequence: Type.Integer(),
  unsealed: Type.Integer(),
  checkpoint: Nullable(Type.Object({ sequence: Type.Integer(), at: Instant, key_id: Type.String() })),
  first_broken_sequence: Nullable(Type.Integer()),
  reason: Nullable(Type.String()),
});
export type Integrity = Static<typeof Integrity>;
