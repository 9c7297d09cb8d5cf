// Durable actors in the database: the fence, the permanent history, and approvals.
import { defineEntity, p } from '@mikro-orm/core';
import type { CommitResult, MachineSnapshot } from '#contracts/actor.ts';
import type { Principal } from '#contracts/audit.ts';
import type { JsonObject } from '#contracts/deps.ts';
import type { ActorKind } from '#contracts/ids.ts';
import type { ApprovalKind, ApprovalState } from '#contracts/states.ts';
import { count, instant } from './types.ts';

/** One row an actor: who may write, and from which revision. */
export const Actor = defineEntity({
  name: 'Actor',
  tableName: 'actor',
  properties: {
    project_id: p.text().primary(),
    id: p.text().primary(),
    kind: p.text().$type<ActorKind>(),
    subject_id: p.text(),
    run_id: p.text(),
    revision: count(),
    epoch: p.integer(),
    commit_digest: p.text(),
    commit_result: p.json<CommitResult>(),
    machine_version: p.integer(),
    state: p.text(),
    snapshot: p.json<MachineSnapshot>(),
    created_at: instant(),
    updated_at: instant(),
  },
});

/** Every transition that was ever committed. Never updated or removed. */
export const ActorTransition = defineEntity({
  name: 'ActorTransition',
  tableName: 'actor_transition',
  properties: {
    project_id: p.text().primary(),
    actor_id: p.text().primary(),
    epoch: p.integer().primary(),
    revision: count().primary(),
    run_id: p.text(),
    at: instant(),
    event: p.text(),
    by: p.json<Principal>(),
    from_state: p.text().nullable(),
    to_state: p.text(),
    details: p.json<JsonObject>(),
  },
});

/** Written by the commits of its actor only. Closed is closed: a trigger refuses anything else. */
export const Approval = defineEntity({
  name: 'Approval',
  tableName: 'approval',
  properties: {
    project_id: p.text().primary(),
    id: p.uuid().primary(),
    kind: p.text().$type<ApprovalKind>(),
    subject_kind: p.text(),
    subject_id: p.text(),
    subject: p.json<JsonObject>(),
    digest: p.text(),
    state: p.text().$type<ApprovalState>(),
    requested_by: p.json<JsonObject>(),
    required_approvals: p.integer(),
    permission: p.text(),
    votes: p.json<readonly JsonObject[]>(),
    opened_at: instant(),
    expires_at: instant(),
    closed_at: instant().nullable(),
    revision: count(),
  },
});

export const ApprovalConsumption = defineEntity({
  name: 'ApprovalConsumption',
  tableName: 'approval_consumption',
  properties: {
    project_id: p.text().primary(),
    approval_id: p.uuid().primary(),
    actor_id: p.text(),
    consumed_at: instant(),
  },
});
