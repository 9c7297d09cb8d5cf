// Catching up: actors that have not heard of what the store knows, and rows whose run Temporal has since replaced.
import type { ActorMark } from '#contracts/actor.ts';
import type { ActorRef } from '#contracts/ids.ts';
import type { ApprovalInput } from '#machines/approval.ts';
import { compareActor } from '#machines/divergence.ts';
import type { ActorRun, DeviceKey, Sweep } from '#store/reconcile.ts';
import { actorStartOptions, newsSignal, standingQuery, verifySignal, workflowTypes } from '#workflows/messages.ts';
import { WorkflowNotFoundError, type WorkflowClient } from '@temporalio/client';
import { setTimeout as pause } from 'node:timers/promises';
import { beating } from './beating.ts';

/** An actor that has not answered by then stands still, or its worker is away. */
const answerMs = 5_000;
/** How many actors are spoken to at once. */
const concurrency = 20;

export interface ReconcileActivityDeps {
  /** Devices whose news has waited for longer than the path that announces it takes. */
  devicesWithNews(after: DeviceKey | null, limit: number): Promise<Sweep<DeviceKey, DeviceKey>>;
  actorRuns(after: string | null, limit: number): Promise<Sweep<ActorRun, string>>;
  /** What an approval was opened with, as its row remembers it; null when there is none. */
  approvalInput(ref: ActorRef): Promise<ApprovalInput | null>;
  /** Removes what nobody will ask for again: consumed inbox rows, old idempotency keys, ended sessions. */
  prune(): Promise<Readonly<Record<string, number>>>;
  readonly workflows: WorkflowClient;
  readonly taskQueue: string;
  workflowId(ref: ActorRef): string;
}

export function createReconcileActivities(deps: ReconcileActivityDeps) {
  const { workflows, taskQueue, workflowId } = deps;

  /** The run of an actor that runs; null when none does. */
  async function presentRun(ref: ActorRef): Promise<string | null> {
    try {
      const { runId, status } = await workflows.getHandle(workflowId(ref)).describe();
      return status.name === 'RUNNING' ? runId : null;
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
      return null;
    }
  }

  /**
   * Whether the actor has to make sure of its row: it is of another run, or stands on another row. A run that was put back
   * says itself that it is the run before, since that is what its history tells it.
   */
  async function differs(ref: ActorRef, present: string, mark: ActorMark): Promise<boolean> {
    if (present !== mark.run_id) return true;
    try {
      const standing = await Promise.race([
        workflows.getHandle(workflowId(ref), present).query(standingQuery),
        pause(answerMs, null, { ref: false }),
      ]);
      return standing?.settled === true && compareActor(mark, standing) !== null;
    } catch {
      // Its worker is away, or of an earlier version.
      return false;
    }
  }

  /** Signals an actor, started with its input if it does not run. */
  async function wake(ref: ActorRef, input: object, signal: typeof newsSignal | typeof verifySignal): Promise<void> {
    await workflows.signalWithStart(workflowTypes[ref.kind], {
      ...actorStartOptions(ref),
      workflowId: workflowId(ref),
      taskQueue,
      args: [input],
      signal,
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      workflowIdConflictPolicy: 'USE_EXISTING',
    });
  }

  /** @returns false when its row is gone */
  async function startAgain(ref: ActorRef): Promise<boolean> {
    const input = ref.kind === 'device' ? deviceInput(ref) : await deps.approvalInput(ref);
    if (input === null) return false;
    await wake(ref, input, verifySignal);
    return true;
  }

  return {
    /** Signals a page of devices that there is news, starting actors that do not run. @idempotent yes: a signal is a hint. */
    announceNews: ({
      after,
      limit,
    }: {
      readonly after: DeviceKey | null;
      readonly limit: number;
    }): Promise<{ announced: number; next: DeviceKey | null }> =>
      beating(async () => {
        const page = await deps.devicesWithNews(after, limit);
        await forEach(page.items, async ({ project, device_id }) => {
          const ref: ActorRef = { kind: 'device', project, id: device_id };
          await wake(ref, deviceInput(ref), newsSignal);
        });
        return { announced: page.items.length, next: page.next };
      }),

    /**
     * Asks actors that stand on another row than theirs to make sure of it, and starts those again that should run and do
     * not: somebody ended them, or one of both servers was restored. They go on from what both sides support.
     *
     * @idempotent yes
     */
    verifyActors: ({
      after,
      limit,
    }: {
      readonly after: string | null;
      readonly limit: number;
    }): Promise<{ verified: number; restarted: number; next: string | null }> =>
      beating(async () => {
        const page = await deps.actorRuns(after, limit);
        const done = { verified: 0, restarted: 0 };
        await forEach(page.items, async ({ ref, mark }) => {
          const present = await presentRun(ref);
          if (present === null) {
            if (await startAgain(ref)) done.restarted += 1;
          } else if (await differs(ref, present, mark)) {
            await workflows.getHandle(workflowId(ref), present).signal(verifySignal);
            done.verified += 1;
          }
        });
        return { ...done, next: page.next };
      }),

    /** @idempotent yes */
    prune: (): Promise<Readonly<Record<string, number>>> => beating(() => deps.prune()),
  };
}
export type ReconcileActivities = ReturnType<typeof createReconcileActivities>;

function deviceInput({ project, id }: ActorRef): { project: string; id: string } {
  return { project, id };
}

async function forEach<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  const left = items.values();
  const lane = async (): Promise<void> => {
    for (const item of left) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, items.length) }, lane));
}
