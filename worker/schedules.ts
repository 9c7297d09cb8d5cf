// The periodic duties as Temporal Schedules: made or brought up to date at start, so that they follow the code.
import { verifyAllWorkflow } from '#workflows/messages.ts';
import { ScheduleAlreadyRunning, ScheduleOverlapPolicy, type Client, type ScheduleOptions } from '@temporalio/client';

export const schedules = {
  // A backstop: the worker triggers it as soon as there is news that no signal has carried.
  'sentinel/reconcile': { workflowType: 'reconcile', every: '10 minutes' },
  'sentinel/prune': { workflowType: 'prune', every: '1 hour' },
} as const;
export type ScheduleId = keyof typeof schedules;

/** Makes every schedule, or changes what is there to what the table says. */
export async function ensureSchedules(client: Client, taskQueue: string): Promise<void> {
  for (const [scheduleId, { workflowType, every }] of Object.entries(schedules)) {
    const options: ScheduleOptions = {
      scheduleId,
      spec: { intervals: [{ every }], jitter: '10 seconds' },
      policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: '1 minute' },
      action: { type: 'startWorkflow', workflowType, workflowId: scheduleId, taskQueue, args: [] },
    };
    try {
      await client.schedule.create(options);
    } catch (error) {
      if (!(error instanceof ScheduleAlreadyRunning)) throw error;
      await client.schedule.getHandle(scheduleId).update((previous) => ({ ...options, state: previous.state }));
    }
  }
}

export function triggerSchedule(client: Client, id: ScheduleId): Promise<void> {
  return client.schedule.getHandle(id).trigger(ScheduleOverlapPolicy.SKIP);
}

/** Begins a round over all actors, unless one is under way. */
export async function verifyAllActors(client: Client, taskQueue: string): Promise<void> {
  await client.workflow.start(verifyAllWorkflow.type, {
    workflowId: verifyAllWorkflow.id,
    taskQueue,
    workflowIdConflictPolicy: 'USE_EXISTING',
    workflowIdReusePolicy: 'ALLOW_DUPLICATE',
  });
}
