// The way from a request to an actor: updates for what people ask, each with a place in its actor's lane, a time limit and a retry budget.
import { setTimeout as sleep } from 'node:timers/promises';
import {
  isGrpcServiceError,
  WithStartWorkflowOperation,
  WorkflowUpdateFailedError,
  type Client,
  type WorkflowClient,
} from '@temporalio/client';
import {
  WorkflowIdConflictPolicy,
  WorkflowNotFoundError,
  type UpdateDefinition,
  type Workflow,
} from '@temporalio/common';
import type { Clock, Random } from '#contracts/deps.ts';
import type { ActorRef } from '#contracts/ids.ts';
import { isProblemCode, TrustError } from '#contracts/problems.ts';
import {
  actorStartOptions,
  catchUpUpdate,
  newsSignal,
  resetUpdate,
  retireUpdate,
  voteUpdate,
  workflowTypes,
  type ActorAnswer,
  type DeviceRequest,
  type RequestOrigin,
  type VoteRequest,
} from '#workflows/messages.ts';
import { createLanes } from './lanes.ts';
import { withinLimit } from './within-limit.ts';

export interface DeviceRef {
  readonly project: string;
  readonly id: string;
}

/** What requests can ask of actors. An update that resolves is durable in Postgres. */
export interface Actors {
  /** @throws TrustError also `review.closed` when Temporal has let go of the approval */
  vote(approval: DeviceRef, request: VoteRequest): Promise<ActorAnswer>;
  reset(device: DeviceRef, request: DeviceRequest): Promise<ActorAnswer>;
  retire(device: DeviceRef, request: DeviceRequest): Promise<ActorAnswer>;
  /** Has the actor look at the store now; waits two seconds at most, and not at all where many wait already. */
  catchUp(device: DeviceRef, origin: RequestOrigin): Promise<ActorAnswer>;
  /** Tells the actor that there is news in the store, and starts it if it is not there. */
  news(device: DeviceRef): Promise<void>;
}

export interface ActorsOptions {
  readonly taskQueue: string;
  /** Limit of one action as a whole, waiting and retries included. */
  readonly timeoutMs?: number;
  readonly catchUpTimeoutMs?: number;
  readonly signalTimeoutMs?: number;
}

export interface ActorsDeps {
  readonly client: Pick<Client, 'withDeadline'> & { readonly workflow: WorkflowClient };
  readonly workflowIdOf: (ref: ActorRef) => string;
  readonly clock: Clock;
  /** Of jitter. */
  readonly random: Random;
  readonly options: ActorsOptions;
}

/** Temporal takes ten updates in flight for each workflow; the rest is for the actors' own conversation. */
const updatesInFlight = 8;
const updatesWaiting = 32;
/**
 * Heartbeats that wait for their actor, of all devices: after an outage a whole fleet has something that only its actors may
 * decide, and an update that nobody waits for any more is work for Temporal all the same.
 */
const catchUpsAtOnce = 32;
const catchUpsWaiting = 64;
const firstPauseMs = 50;
const longestPauseMs = 1000;
/** Attempts while Temporal cannot be reached at all: enough for a frontend that restarts, short enough to answer soon. */
const attemptsUnreachable = 3;

/** gRPC status codes (grpc/status.h) that an attempt with the same update id may follow. */
const grpc = {
  unknown: 2,
  deadlineExceeded: 4,
  notFound: 5,
  resourceExhausted: 8,
  aborted: 10,
  unavailable: 14,
} as const;

export function createActors(deps: ActorsDeps): Actors {
  const { client, workflowIdOf, clock, options } = deps;
  const { taskQueue, timeoutMs = 8000, catchUpTimeoutMs = 2000, signalTimeoutMs = 3000 } = options;
  const lanes = createLanes({
    width: updatesInFlight,
    waiting: updatesWaiting,
    refuse: backlogged,
  });
  const catchUps = createLanes({ width: catchUpsAtOnce, waiting: catchUpsWaiting, refuse: backlogged });

  async function act(
    ref: ActorRef,
    limitMs: number,
    attempt: () => Promise<ActorAnswer>,
    inTurn: <T>(task: () => Promise<T>) => Promise<T> = (task) => task(),
  ): Promise<ActorAnswer> {
    const deadline = clock.now().getTime() + limitMs;
    const task = () => inTurn(() => lanes.run(workflowIdOf(ref), () => retried(attempt, deps, deadline)));
    return await withinLimit(limitMs, task, () => unavailable(new Error('the time limit of the action has passed')));
  }

  /** The actor of a device is there for ever; if Temporal has lost it, a new one adopts the row before it answers. */
  const onDevice = <Args extends unknown[]>(
    device: DeviceRef,
    limitMs: number,
    definition: UpdateDefinition<ActorAnswer, Args>,
    updateId: string,
    args: Args,
    inTurn?: <T>(task: () => Promise<T>) => Promise<T>,
  ) =>
    act(
      { kind: 'device', ...device },
      limitMs,
      () =>
        client.workflow.executeUpdateWithStart(definition, {
          updateId,
          args,
          startWorkflowOperation: new WithStartWorkflowOperation(workflowTypes.device, startOptions(device)),
        }),
      inTurn,
    );

  const startOptions = (device: DeviceRef) => {
    const ref = { kind: 'device', ...device } as const;
    const { typedSearchAttributes, ...common } = actorStartOptions(ref);
    return {
      ...common,
      typedSearchAttributes: [...typedSearchAttributes],
      taskQueue,
      workflowId: workflowIdOf(ref),
      workflowIdConflictPolicy: WorkflowIdConflictPolicy.USE_EXISTING,
      args: [{ project: device.project, id: device.id }],
    };
  };

  return {
    vote: (approval, request) =>
      act({ kind: 'approval', ...approval }, timeoutMs, () =>
        client.workflow
          .getHandle<Workflow>(workflowIdOf({ kind: 'approval', ...approval }))
          .executeUpdate(voteUpdate, { updateId: request.request_id, args: [request] }),
      ),
    reset: (device, request) => onDevice(device, timeoutMs, resetUpdate, request.request_id, [request]),
    retire: (device, request) => onDevice(device, timeoutMs, retireUpdate, request.request_id, [request]),
    catchUp: (device, origin) =>
      onDevice(device, catchUpTimeoutMs, catchUpUpdate, origin.request_id, [origin], (task) =>
        catchUps.run('all', task),
      ),
    async news(device) {
      await client.withDeadline(clock.now().getTime() + signalTimeoutMs, () =>
        client.workflow.signalWithStart(workflowTypes.device, {
          ...startOptions(device),
          signal: newsSignal,
          signalArgs: [],
        }),
      );
    },
  };
}

function backlogged(): TrustError {
  return new TrustError('control.backlogged', { facts: { retry_after_seconds: 1 } });
}

async function retried(
  attempt: () => Promise<ActorAnswer>,
  { client, clock, random }: ActorsDeps,
  deadline: number,
): Promise<ActorAnswer> {
  for (let count = 1, unreachable = 0; ; count += 1) {
    // Its turn may have come after its time: nobody waits for the answer any more, so nothing is asked for.
    if (clock.now().getTime() >= deadline) throw unavailable(new Error('the turn came too late'));
    try {
      return await client.withDeadline(deadline, attempt);
    } catch (error) {
      const outcome = outcomeOf(error);
      if (outcome.kind === 'refused') throw outcome.problem;
      unreachable += outcome.kind === 'unreachable' ? 1 : 0;
      const pauseMs = Math.min(longestPauseMs, firstPauseMs * 2 ** count) * (0.5 + (random.bytes(1)[0] ?? 0) / 256);
      if (unreachable >= attemptsUnreachable || clock.now().getTime() + pauseMs >= deadline) throw unavailable(error);
      await sleep(pauseMs);
    }
  }
}

type Outcome =
  | { readonly kind: 'refused'; readonly problem: TrustError }
  /** Not taken this time: the same update id may be sent again. */
  | { readonly kind: 'busy' }
  | { readonly kind: 'unreachable' };

/** What a failed update means. Anything unknown counts as unavailable: it may or may not have had an effect. */
function outcomeOf(error: unknown): Outcome {
  if (error instanceof WorkflowUpdateFailedError) return ofUpdateFailure(error);
  if (error instanceof WorkflowNotFoundError) {
    // The library asks the latest run how an update went that the one before has taken: only the update is unknown there.
    if (error.message.startsWith('update ')) return { kind: 'busy' };
    return { kind: 'refused', problem: new TrustError('review.closed', { cause: error }) };
  }
  switch (grpcCodeOf(error)) {
    case grpc.resourceExhausted:
    case grpc.aborted:
      return { kind: 'busy' };
    case grpc.unavailable:
    case grpc.unknown:
      return { kind: 'unreachable' };
    default:
      return { kind: 'refused', problem: unavailable(error) };
  }
}

function ofUpdateFailure(error: WorkflowUpdateFailedError): Outcome {
  const { type, message } = (error.cause ?? {}) as { type?: unknown; message?: string };
  // The run ended or continued as new before it took the update: the next run answers.
  if (type === 'AcceptedUpdateCompletedWorkflow') return { kind: 'busy' };
  if (!isProblemCode(type)) return { kind: 'refused', problem: unavailable(error) };
  return {
    kind: 'refused',
    problem: new TrustError(type, { ...(message === undefined ? {} : { detail: message }), cause: error }),
  };
}

function grpcCodeOf(error: unknown): number | null {
  for (let inner = error, depth = 0; inner instanceof Error && depth < 5; inner = inner.cause, depth += 1) {
    if (isGrpcServiceError(inner)) return inner.code;
  }
  return null;
}

function unavailable(cause: unknown): TrustError {
  return new TrustError('service.unavailable', {
    detail: 'The workflow of this object could not be reached in time',
    facts: { retry_after_seconds: 2 },
    cause,
  });
}
