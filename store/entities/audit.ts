// The audit trail and the outbox: two chains a project, their heads, and the signed checkpoints over all heads.
import { defineEntity, p } from '@mikro-orm/core';
import type { JsonObject } from '#contracts/deps.ts';
import type { AuditCategory, AuditStream, Outcome, PrincipalKind } from '#contracts/states.ts';
import { count, instant } from './types.ts';

/** Unsealed while `sequence`, `previous_hash` and `hash` are null; after that it never changes. */
export const AuditEvent = defineEntity({
  name: 'AuditEvent',
  tableName: 'audit_event',
  properties: {
    project_id: p.text().primary(),
    id: p.uuid().primary(),
    position: count().autoincrement(),
    sequence: count().nullable(),
    occurred_at: instant(),
    category: p.text().$type<AuditCategory>(),
    action: p.text(),
    actor_kind: p.text().$type<PrincipalKind>(),
    actor_id: p.text(),
    actor_ip: p.text().nullable(),
    subject_kind: p.text(),
    subject_id: p.text(),
    outcome: p.text().$type<Outcome>(),
    details: p.json<JsonObject>(),
    request_id: p.text().nullable(),
    canonical: p.blob().lazy(),
    previous_hash: p.text().nullable(),
    hash: p.text().nullable(),
    created_at: instant(),
  },
});

export const OutboxEvent = defineEntity({
  name: 'OutboxEvent',
  tableName: 'outbox_event',
  properties: {
    project_id: p.text().primary(),
    id: p.uuid().primary(),
    position: count().autoincrement(),
    sequence: count().nullable(),
    occurred_at: instant(),
    type: p.text(),
    subject_kind: p.text(),
    subject_id: p.text(),
    data: p.json<JsonObject>(),
    canonical: p.blob().lazy(),
    previous_hash: p.text().nullable(),
    hash: p.text().nullable(),
    created_at: instant(),
  },
});

/** Last number and hash of a chain. Whoever holds its lock may go on numbering. */
export const AuditHead = defineEntity({
  name: 'AuditHead',
  tableName: 'audit_head',
  properties: {
    project_id: p.text().primary(),
    stream: p.text().$type<AuditStream>().primary(),
    sequence: count(),
    hash: p.text(),
  },
});

export const AuditCheckpoint = defineEntity({
  name: 'AuditCheckpoint',
  tableName: 'audit_checkpoint',
  properties: {
    id: p.uuid().primary(),
    at: instant(),
    heads: p.json<JsonObject[]>(),
    key_id: p.text(),
    envelope: p.json<JsonObject>(),
  },
});

/** One row: how the sealer is doing. */
export const SealerStatus = defineEntity({
  name: 'SealerStatus',
  tableName: 'sealer_status',
  properties: {
    only_one: p.boolean().primary(),
    last_success_at: instant().nullable(),
    last_checkpoint_at: instant().nullable(),
    last_error: p.text().nullable(),
  },
});
