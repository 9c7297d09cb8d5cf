// The Temporal worker: workflows and activities of every actor, on one task queue.
import { Worker, type NativeConnection, type WorkerOptions } from '@temporalio/worker';

export interface WorkerParts {
  readonly connection: NativeConnection;
  readonly namespace: string;
  readonly taskQueue: string;
  readonly activities: object;
  /** From `bundleWorkflows`. */
  readonly bundle: { readonly code: string };
  /** Encrypts payloads, failures and summaries. */
  readonly dataConverter?: WorkerOptions['dataConverter'];
  /** Whether it takes activities from the queue too; true when absent. What is read within a task is always read here. */
  readonly takesActivities?: boolean;
  /** Around each activity. */
  readonly interceptors?: WorkerOptions['interceptors'];
  /** Workflows kept in memory; the others are replayed when something happens to them. */
  readonly cachedWorkflows: number;
}

export function createWorker(parts: WorkerParts): Promise<Worker> {
  return Worker.create({
    connection: parts.connection,
    namespace: parts.namespace,
    taskQueue: parts.taskQueue,
    activities: parts.activities,
    enableNonLocalActivities: parts.takesActivities ?? true,
    workflowBundle: { code: parts.bundle.code },
    ...(parts.dataConverter ? { dataConverter: parts.dataConverter } : {}),
    ...(parts.interceptors ? { interceptors: parts.interceptors } : {}),
    maxCachedWorkflows: parts.cachedWorkflows,
    // Tasks of a killed worker wait this long before another one takes them: the default of 10 s is most of a recovery.
    stickyQueueScheduleToStartTimeout: '1 second',
    // What an activity does in the store takes milliseconds; one that waits for another actor is tried again elsewhere.
    shutdownGraceTime: '1 second',
    shutdownForceTime: '2500 milliseconds',
  });
}
