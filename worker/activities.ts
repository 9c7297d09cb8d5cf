// All activities of the worker, and what each of them is given: the store, Temporal's client and the clock, and nothing else.
import type { WorkflowClient } from '@temporalio/client';
import { createActorActivities, type ActorActivityDeps } from '#activities/actor.ts';
import { createApprovalActivities, type ApprovalActivityDeps } from '#activities/approval.ts';
import { createAttestationActivities, type AttestationActivityDeps } from '#activities/attestation.ts';
import { createDeviceActivities, type DeviceActivityDeps } from '#activities/device.ts';
import { createReconcileActivities, type ReconcileActivityDeps } from '#activities/reconcile.ts';
import type { AttestationBasis, Verdict } from '#contracts/attestation.ts';
import type { Clock, Json } from '#contracts/deps.ts';
import type { ActorRef } from '#contracts/ids.ts';
import type { IdentityPolicy } from '#contracts/policy.ts';
import type { ApprovalInput } from '#machines/approval.ts';
import type { Judgement } from '#protocols/attestation-verdict.ts';
import { digestOf } from '#protocols/canonical-json.ts';
import type { VerifierRequest } from '#protocols/verifier-answer.ts';
import { actorContext, commitActor } from '#store/actor.ts';
import { readApprovalOutcome } from '#store/approval.ts';
import { findActivation, findVerdict } from '#store/attestation.ts';
import { deviceNews } from '#store/device.ts';
import { standingVoters } from '#store/operator.ts';
import { actorRuns, devicesWithNews, prune } from '#store/reconcile.ts';
import type { Store } from '#store/store.ts';
import { measuredCommits, measuredReconciling, measuredVerifications, type WorkerMetrics } from './metrics.ts';

export interface ActivityParts {
  readonly store: Store;
  readonly workflows: WorkflowClient;
  readonly taskQueue: string;
  readonly workflowId: (ref: ActorRef) => string;
  readonly clock: Clock;
  readonly metrics: WorkerMetrics;
  readonly policy: IdentityPolicy;
  readonly attestation: AttestationParts;
  /** How long verdicts on evidence are kept that moved no standing. */
  readonly verdictDays: number;
}

/** What evidence is judged by, and whether it has to be there. */
export interface AttestationParts {
  /** What it is at present; null when nobody is asked for evidence. Only the trusted manufacturers ever change. */
  readonly basis: () => AttestationBasis | null;
  readonly required: boolean;
  /** Off the event loop, within a limit. */
  readonly judge: (judgement: Judgement) => Promise<Verdict>;
  /** The external verifier, where there is one; null when it gives no verdict. */
  readonly askVerifier: ((request: VerifierRequest) => Promise<Json>) | null;
}

export const neverAsked: AttestationParts = {
  basis: () => null,
  required: false,
  judge: () => Promise.reject(new TypeError('nobody is asked for evidence')),
  askVerifier: null,
};

export type ActivityDeps = ActorActivityDeps &
  DeviceActivityDeps &
  AttestationActivityDeps &
  ApprovalActivityDeps &
  ReconcileActivityDeps;

export function activityDeps(parts: ActivityParts): ActivityDeps {
  const { store, workflows, taskQueue, workflowId, clock, metrics, policy, verdictDays } = parts;
  const { basis, required, judge, askVerifier } = parts.attestation;
  const now = (): string => clock.now().toISOString();
  const settings = basis();
  return {
    digestOf,
    judgeEvidence: judge,
    async askVerifier(request) {
      const answer = (await askVerifier?.(request)) ?? null;
      if (answer === null) throw new Error('the external verifier gave no verdict');
      return answer;
    },
    policy,
    basis,
    attestation: {
      provider: settings?.provider ?? null,
      required,
      require_hardware_binding: settings?.require_hardware_binding ?? false,
      allow_key_rotation_with_stable_binding: settings?.allow_key_rotation_with_stable_binding ?? false,
    },
    workflows,
    taskQueue,
    workflowId,
    commitActor: measuredCommits(
      (runId, commit, digest, onDuplicate) => commitActor(store, runId, commit, digest, now(), onDuplicate),
      metrics,
    ),
    deviceNews: (query) => deviceNews(store, query),
    storedEvidence: ({ project, device_id, verdict }) => findVerdict(store, project, device_id, verdict),
    storedActivation: ({ project, device_id, verdict }) => findActivation(store, project, device_id, verdict),
    readApproval: ({ project, approval_id }) => readApprovalOutcome(store, project, approval_id),
    standingVoters: (usernames, permission) => standingVoters(store, usernames, permission),
    devicesWithNews: (after, limit) => devicesWithNews(store, after, limit, clock.now()),
    actorRuns: (after, limit) => actorRuns(store, after, limit),
    // A machine's context holds what the approval was opened with.
    approvalInput: async (ref) => (await actorContext(store, ref)) as ApprovalInput | null,
    prune: () => prune(store, clock.now(), { verdictDays }),
  };
}

export type Activities = ReturnType<typeof createActivities>;

export function createActivities(deps: ActivityDeps, metrics: WorkerMetrics) {
  return {
    ...createActorActivities(deps),
    ...createDeviceActivities(deps),
    ...measuredVerifications(createAttestationActivities(deps), metrics),
    ...createApprovalActivities(deps),
    ...measuredReconciling(createReconcileActivities(deps), metrics),
  };
}
