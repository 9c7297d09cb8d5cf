// Runs the real workflows on the real Temporal with a fake store, and a cache so small that every task replays.
import { createHash, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Client, Connection, WorkflowUpdateFailedError, WorkflowUpdateStage } from '@temporalio/client';
import { ApplicationFailure, type DataConverter } from '@temporalio/common';
import proto from '@temporalio/proto';
import { NativeConnection, Runtime } from '@temporalio/worker';
import { createActorActivities } from '#activities/actor.ts';
import { createApprovalActivities } from '#activities/approval.ts';
import { createAttestationActivities, type StoredEvidence } from '#activities/attestation.ts';
import { createDeviceActivities } from '#activities/device.ts';
import type { StoredDeviceNews } from '#store/device.ts';
import type { ApprovalRecord, Commit, DeviceGrant } from '#contracts/actor.ts';
import type { AttestationPolicy, DeviceAttestation } from '#contracts/attestation.ts';
import type { CertificateFacts } from '#contracts/certificate.ts';
import { actorId, type ActorRef } from '#contracts/ids.ts';
import type { IdentityPolicy } from '#contracts/policy.ts';
import type { ApprovalInput } from '#machines/approval.ts';
import type { ApprovalRead } from '#machines/device-events.ts';
import { judgeEvidence } from '#protocols/attestation-verdict.ts';
import { FakeActorStore } from '#tests/fakes/fake-actor-store.ts';
import type { Cleanup } from '#tests/harness/cleanup.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { testTemporal } from '#tests/harness/temporal.ts';
import { bundleWorkflows, temporalLogger } from '#worker/bundle.ts';
import { keptBundle, keptInPackages } from '#worker/kept-bundle.ts';
import { createWorker } from '#worker/worker.ts';
import {
  actorStartOptions,
  catchUpUpdate,
  newsSignal,
  resetUpdate,
  retireUpdate,
  subjectChangedSignal,
  subjectWithdrawnSignal,
  verifySignal,
  voteUpdate,
  workflowTypes,
  type ActorAnswer,
} from '#workflows/messages.ts';
import { basis, type GivenEvidence } from './evidence.ts';

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
type Bundle = { readonly code: string };
let bundling: Promise<Bundle> | undefined;

/** The bundle of this process; also tells Temporal where its messages go. */
export function testBundle(): Promise<Bundle> {
  if (bundling === undefined) {
    Runtime.install({ logger: temporalLogger(quiet), telemetryOptions: { logging: { forward: {}, filter: 'ERROR' } } });
    bundling = keptBundle({ ...keptInPackages, make: () => bundleWorkflows(quiet) });
  }
  return bundling;
}

/** The bundle of actors whose runs end early. */
export const shortRunsBundle = (): Promise<Bundle> =>
  bundleWorkflows(quiet, join(import.meta.dirname, 'short-runs.ts'));

/** The bundle of a later release, whose approvals have changed. */
export const nextBundle = (): Promise<Bundle> => bundleWorkflows(quiet, join(import.meta.dirname, 'next-release.ts'));

export const digestOf = (value: unknown): string => createHash('sha256').update(JSON.stringify(value)).digest('hex');

export function certificate(name: string): CertificateFacts {
  return {
    fingerprint_sha256: createHash('sha256').update(name).digest('hex'),
    serial_number: 'a1',
    issuer: 'CN=Test CA',
    subject: `CN=${name}`,
    not_before: '2026-01-01T00:00:00.000Z',
    not_after: '2036-01-01T00:00:00.000Z',
  };
}

export const device = (id: string): ActorRef => ({ kind: 'device', project: 'default', id });
export const approval = (id: string): ActorRef => ({ kind: 'approval', project: 'default', id });

/** The code that an update was refused with, or a description of what else happened. */
export async function codeOf(asked: Promise<ActorAnswer>): Promise<string> {
  try {
    return `${(await asked).state}: not refused`;
  } catch (error) {
    const { cause } = error as Error;
    if (error instanceof WorkflowUpdateFailedError && cause instanceof ApplicationFailure) return String(cause.type);
    return String(error);
  }
}

/** Holds up commits that fit until it is opened. */
export function holdUp(store: FakeActorStore, fits: (commit: Commit) => boolean) {
  const reached = Promise.withResolvers<Commit>();
  const opened = Promise.withResolvers<void>();
  store.onCommit = async (moment, commit) => {
    if (moment === 'after' || !fits(commit)) return;
    reached.resolve(commit);
    await opened.promise;
  };
  return {
    /** The first commit that waits. */
    reached: reached.promise,
    open(): void {
      store.onCommit = () => {};
      opened.resolve();
    },
  };
}

export interface TestActorsOptions {
  readonly policy?: Partial<IdentityPolicy>;
  /** Nobody is asked for evidence when absent. */
  readonly attestation?: Partial<AttestationPolicy>;
  /** Another Temporal than the one that the run shares. */
  readonly address?: string;
  /** Payloads in clear when absent. */
  readonly dataConverter?: DataConverter;
}

export interface PresentOptions {
  readonly tags?: readonly string[];
  /** Review generation that the certificate was seen in; the present one unless told. */
  readonly generation?: number;
  /** Names of certificates that are on the denylist. */
  readonly revoked?: readonly string[];
  readonly standing?: DeviceAttestation | null;
}

export interface VoteOptions {
  readonly decision?: 'approve' | 'reject';
  readonly digest?: string;
  readonly request?: string;
  /** Id that Temporal recognises a repetition by, when it is another than the request's. */
  readonly updateId?: string;
}

export type TestActors = Awaited<ReturnType<typeof testActors>>;

/** A Temporal client, a store and a worker that can be stopped and started again. */
export async function testActors(t: Cleanup, options: TestActorsOptions = {}) {
  const shared = options.address === undefined ? await testTemporal() : undefined;
  const address = options.address ?? shared?.address ?? '';
  const namespace = 'default';
  const taskQueue = `test-${randomUUID()}`;
  const bundle = await testBundle();
  const connection = await Connection.connect({ address });
  const native = await NativeConnection.connect({ address });
  const converter = options.dataConverter === undefined ? {} : { dataConverter: options.dataConverter };
  const client = new Client({ connection, namespace, ...converter });
  const store = new FakeActorStore();
  const news = new Map<string, StoredDeviceNews>();
  const workflowId = (ref: ActorRef): string => `${taskQueue}/${actorId(ref)}`;
  const policy = {
    require_new_device_approval: true,
    review_ttl_seconds: 3600,
    sensitive_tags: ['payments'],
    sensitive_approvals: 2,
    ...options.policy,
  };
  const attestation: AttestationPolicy = {
    provider: null,
    required: false,
    require_hardware_binding: false,
    allow_key_rotation_with_stable_binding: false,
    ...options.attestation,
  };
  /** Stored evidence by device and verdict, and what comes of judging it. */
  const evidence = new Map<string, StoredEvidence>();
  const judging = { judge: judgeEvidence };
  /** Called before each activity but the commit; what it throws the activity throws. */
  const world = { onCall: async (_name: string): Promise<void> => {} };

  const activities = announced(
    {
      ...createDeviceActivities({
        deviceNews: async ({ device_id }) =>
          news.get(device_id) ?? { observed: null, candidate: null, inbox_through: 0, revoked: [], standing: null },
        policy,
        attestation,
        digestOf,
      }),
      ...createAttestationActivities({
        storedEvidence: async ({ device_id, verdict }) => evidence.get(`${device_id} ${verdict}`) ?? null,
        storedActivation: async () => null,
        judgeEvidence: async (judgement) => judging.judge(judgement),
        askVerifier: async () => null,
        digestOf,
        attestation,
        basis: () => (attestation.provider === null ? null : basis),
      }),
      ...createApprovalActivities({
        readApproval: async ({ approval_id }) => outcomeOf(store.approvals.get(approval_id)),
        standingVoters: async (usernames) => usernames.filter((name) => store.standing.has(name)),
        workflows: client.workflow,
        taskQueue,
        workflowId,
      }),
    },
    (name) => world.onCall(name),
  );

  const startWorker = async (release = bundle) => {
    const worker = await createWorker({
      connection: native,
      namespace,
      taskQueue,
      activities: {
        ...activities,
        ...createActorActivities({
          commitActor: (run, commit, digest) => store.commitActor(run, commit, digest),
          digestOf,
        }),
      },
      bundle: release,
      ...converter,
      cachedWorkflows: 2,
    });
    const done = worker.run();
    return async () => {
      worker.shutdown();
      await done;
    };
  };
  let stopWorker = await startWorker();

  const openWorkflows = () =>
    client.workflow.list({ query: `TaskQueue = '${taskQueue}' AND ExecutionStatus = 'Running'` });
  t.after(async () => {
    await stopWorker();
    for await (const { workflowId: id } of openWorkflows())
      await client.workflow
        .getHandle(id)
        .terminate('the test is over')
        .catch(() => {});
    await connection.close();
    await native.close();
  });

  const handle = (ref: ActorRef) => client.workflow.getHandle(workflowId(ref));
  const startOptions = (id: string) => ({
    ...actorStartOptions(device(id)),
    workflowId: workflowId(device(id)),
    taskQueue,
    args: [{ project: 'default', id }] as const,
    workflowIdConflictPolicy: 'USE_EXISTING' as const,
  });
  const announce = (id: string) =>
    client.workflow.signalWithStart(workflowTypes.device, {
      ...startOptions(id),
      args: [{ project: 'default', id }],
      signal: newsSignal,
    });

  async function history(ref: ActorRef, runId?: string): Promise<proto.temporal.api.history.v1.IHistoryEvent[]> {
    const { events } = await client.workflow.getHandle(workflowId(ref), runId).fetchHistory();
    return [...(events ?? [])];
  }

  return {
    address,
    client,
    store,
    news,
    evidence,
    judging,
    world,
    taskQueue,
    workflowId,
    handle,
    history,
    eventually,
    /** How many updates the present run of an actor has taken. */
    async acceptedBy(ref: ActorRef): Promise<number> {
      return (await history(ref)).filter((event) => event.workflowExecutionUpdateAcceptedEventAttributes).length;
    },
    announce,
    /** What the store has of a device; it must be there. */
    grant(id: string): DeviceGrant {
      const grant = store.devices.get(id);
      if (grant === undefined) throw new Error(`the store has no device ${id}`);
      return grant;
    },
    async stopWorker(): Promise<void> {
      await stopWorker();
      stopWorker = async () => {};
    },
    async startWorker(release?: Bundle): Promise<void> {
      stopWorker = await startWorker(release);
    },
    async restartWorker(): Promise<void> {
      await stopWorker();
      stopWorker = await startWorker();
    },
    /** The store learns that a device presents this certificate, and the actor hears that there is news. */
    async present(id: string, name: string, seen: PresentOptions = {}): Promise<void> {
      const generation = seen.generation ?? store.devices.get(id)?.review_generation ?? 0;
      const tags = seen.tags ?? [];
      news.set(id, {
        observed: { digest: digestOf([name, tags]), reported_tags: tags, hostname: `${id}.example`, platform: 'linux' },
        candidate: { certificate: certificate(name), generation, seen_at: '2026-01-01T00:00:00.000Z' },
        inbox_through: 0,
        revoked: (seen.revoked ?? []).map((revoked) => certificate(revoked).fingerprint_sha256),
        standing: seen.standing ?? news.get(id)?.standing ?? null,
      });
      await announce(id);
    },
    /** The API has found evidence of a device good, stored it, and the actor hears of it. */
    async attest(id: string, given: GivenEvidence): Promise<void> {
      const { at, evidence: content, circumstances, standing } = given;
      const { generation } = standing;
      const evidence_digest = digestOf(content);
      evidence.set(`${id} ${standing.verdict}`, { at, generation, evidence: content, evidence_digest, circumstances });
      const known = news.get(id) ?? { observed: null, candidate: null, inbox_through: 0, revoked: [] };
      news.set(id, { ...known, standing });
      await announce(id);
    },
    /** An approval that no device has asked for, about a device that waits for nothing. */
    async openApproval(asked: Partial<ApprovalInput> = {}): Promise<ApprovalInput> {
      const id = asked.id ?? randomUUID();
      const input: ApprovalInput = {
        project: 'default',
        id,
        kind: 'enrollment',
        subject: { kind: 'device', id: `of ${id}` },
        content: {},
        digest: 'digest 1',
        required: 2,
        permission: 'identity.review',
        requested_by: { kind: 'device', id: `of ${id}` },
        requesters: ['olga'],
        ttl_seconds: 3600,
        at: new Date().toISOString(),
        ...asked,
      };
      await client.workflow.start(workflowTypes.approval, {
        ...actorStartOptions(approval(id)),
        workflowId: workflowId(approval(id)),
        taskQueue,
        args: [input],
      });
      return input;
    },
    change: (approvalId: string, digest: string, required = 1) =>
      handle(approval(approvalId)).signal(subjectChangedSignal, { content: { digest }, digest, required }),
    withdraw: (approvalId: string) => handle(approval(approvalId)).signal(subjectWithdrawnSignal, { reason: 'test' }),
    /** The state of an approval once the store has it. */
    stateOf: (approvalId: string) => store.approvals.get(approvalId)?.state,
    /** The review that a device waits for, once its approval can be voted on. */
    async review(
      id: string,
      other?: { readonly id: string },
    ): Promise<{ id: string; digest: string; required: number }> {
      const found = await eventually(() => {
        const review = store.devices.get(id)?.review as
          | { id: string; digest: string; required: number }
          | null
          | undefined;
        return review && review.id !== other?.id && store.approvals.has(review.id) && review;
      }, `a review of ${id}`);
      return found;
    },
    vote(approvalId: string, by: string, { decision = 'approve', digest, request, updateId }: VoteOptions = {}) {
      const request_id = request ?? randomUUID();
      return handle(approval(approvalId)).executeUpdate(voteUpdate, {
        updateId: updateId ?? request_id,
        args: [{ by: { kind: 'user', id: by }, decision, reason: null, digest: digest ?? null, request_id }],
      });
    },
    operate(id: string, what: 'reset' | 'retire', by = 'olga', request_id: string = randomUUID()) {
      return handle(device(id)).executeUpdate(what === 'reset' ? resetUpdate : retireUpdate, {
        updateId: request_id,
        args: [{ by: { kind: 'user', id: by }, reason: null, request_id }],
      });
    },
    /** Answers when the device has taken everything into account that the store knows now. */
    async catchUp(id: string, request_id: string = randomUUID()): Promise<ActorAnswer> {
      const taken = await handle(device(id)).startUpdate(catchUpUpdate, {
        updateId: request_id,
        args: [{ by: { kind: 'system', id: 'test' }, request_id }],
        waitForStage: WorkflowUpdateStage.ACCEPTED,
      });
      // Asks the run that took it, also when another one has come after that; `executeUpdate` asks the latest.
      return taken.result();
    },
    verify: (ref: ActorRef) => handle(ref).signal(verifySignal),
    async runId(ref: ActorRef): Promise<string> {
      return (await handle(ref).describe()).runId;
    },
    /** Puts the actor back to where it was before an event, as an operator can; nothing after it is applied again. */
    async resetTo(ref: ActorRef, eventId: number, of: { readonly runId?: string } = {}): Promise<string> {
      const { runId } = await client.workflowService.resetWorkflowExecution({
        namespace,
        workflowExecution: { workflowId: workflowId(ref), ...of },
        reason: 'test',
        requestId: randomUUID(),
        workflowTaskFinishEventId: eventId as never,
        resetReapplyExcludeTypes: [
          proto.temporal.api.enums.v1.ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL,
          proto.temporal.api.enums.v1.ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE,
        ],
      });
      return runId;
    },
  };
}

type AnyActivity = (...args: never[]) => Promise<unknown>;

function announced<Activities extends Record<string, AnyActivity>>(
  activities: Activities,
  onCall: (name: string) => Promise<void>,
): Activities {
  const wrap =
    (name: string, activity: AnyActivity) =>
    async (...args: never[]): Promise<unknown> => {
      await onCall(name);
      return activity(...args);
    };
  return Object.fromEntries(
    Object.entries(activities).map(([name, activity]) => [name, wrap(name, activity)]),
  ) as Activities;
}

/** As the real store answers for its subject. */
function outcomeOf(row: ApprovalRecord | undefined): ApprovalRead['approval'] {
  if (row === undefined) return null;
  const votes = row.votes as unknown as { by: string; decision: string; reason: string | null }[];
  const rejection = votes.find((vote) => vote.decision === 'reject');
  return {
    state: row.state as NonNullable<ApprovalRead['approval']>['state'],
    digest: row.digest,
    approvers: votes.filter((vote) => vote.decision === 'approve').map((vote) => vote.by),
    rejected_by: rejection?.by ?? null,
    reason: rejection?.reason ?? null,
  };
}
