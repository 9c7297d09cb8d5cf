// All activities of the worker, and what each of them is given: the store, Temporal's client and the clock, and nothing else.
import type { WorkflowClient } from '@temporalio/client';
import { createActorActivities, type ActorActivityDeps } from '#activities/actor.ts';
import { createApprovalActivities, type ApprovalActivityDeps } from '#activities/approval.ts';
import { createDeviceActivities, type DeviceActivityDeps } from '#activities/device.ts';
import { createReconcileActivities, type ReconcileActivityDeps } from '#activities/reconcile.ts';
import type { Clock } from '#contracts/deps.ts';
import type { ActorRef } from '#contracts/ids.ts';
import type { IdentityPolicy } from '#contracts/policy.ts';
import type { ApprovalInput } from '#machines/approval.ts';
import { digestOf } from '#protocols/canonical-json.ts';
import { actorContext, commitActor } from '#store/actor.ts';
import { readApprovalOutcome } from '#store/approval.ts';
import { deviceNews } from '#store/device.ts';
import { standingVoters } from '#store/operator.ts';
import { actorRuns, devicesWithNews, prune } from '#store/reconcile.ts';
import type { Store } from '#store/store.ts';
import { measuredCommits, measuredReconciling, type WorkerMetrics } from './metrics.ts';

export interface ActivityParts {
  readonly store: Store;
  readonly workflows: WorkflowClient;
  readonly taskQueue: string;
  readonly workflowId: (ref: ActorRef) => string;
  readonly clock: Clock;
  readonly metrics: WorkerMetrics;
  readonly policy: IdentityPolicy;
}

export type ActivityDeps = ActorActivityDeps & DeviceActivityDeps & ApprovalActivityDeps & ReconcileActivityDeps;

export function activityDeps(parts: ActivityParts): ActivityDeps {
  const { store, workflows, taskQueue, workflowId, clock, metrics, policy } = parts;
  const now = (): string => clock.now().toISOString();
  return {
    digestOf,
    policy,
    workflows,
    taskQueue,
    workflowId,
    commitActor: measuredCommits(
      (runId, commit, digest, onDuplicate) => commitActor(store, runId, commit, digest, now(), onDuplicate),
      metrics,
    ),
    deviceNews: (query) => deviceNews(store, query),
    readApproval: ({ project, approval_id }) => readApprovalOutcome(store, project, approval_id),
    standingVoters: (usernames, permission) => standingVoters(store, usernames, permission),
    devicesWithNews: (after, limit) => devicesWithNews(store, after, limit, clock.now()),
    actorRuns: (after, limit) => actorRuns(store, after, limit),
    // A machine's context holds what the approval was opened with.
    approvalInput: async (ref) => (await actorContext(store, ref)) as ApprovalInput | null,
    prune: () => prune(store, clock.now()),
  };
}

export type Activities = ReturnType<typeof createActivities>;

export function createActivities(deps: ActivityDeps, metrics: WorkerMetrics) {
  return {
    ...createActorActivities(deps),
    ...createDeviceActivities(deps),
    ...createApprovalActivities(deps),
    ...measuredReconciling(createReconcileActivities(deps), metrics),
  };
}
