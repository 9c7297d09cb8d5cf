// The periodic duties, started by Temporal Schedules: catching up after an outage, and clearing away.
import type { ReconcileActivities } from '#activities/reconcile.ts';
import { continueAsNew, proxyActivities, sleep, workflowInfo } from '@temporalio/workflow';

const pageSize = 200;
/** Pages of one run; the next run of the schedule goes on from the start, where nothing is left by then. */
const pagesPerRun = 50;

const reconciling = proxyActivities<ReconcileActivities>({
  startToCloseTimeout: '1 minute',
  heartbeatTimeout: '5 seconds',
  scheduleToCloseTimeout: '5 minutes',
  retry: { initialInterval: '1 second', maximumInterval: '15 seconds' },
});

export interface ReconcileReport {
  readonly announced: number;
  readonly verified: number;
  readonly restarted: number;
  /** Where the check of runs goes on next time; the schedule's next run gets it as its last result. */
  readonly verify_after: string | null;
}

/**
 * Announces news that no signal has carried, and checks a part of all actors against Temporal's present runs.
 * A schedule hands each run the result of the one before, so that the check goes round.
 */
export async function reconcile(): Promise<ReconcileReport> {
  const before = workflowInfo().lastResult as ReconcileReport | undefined;
  let announced = 0;
  let after: Awaited<ReturnType<typeof reconciling.announceNews>>['next'] = null;
  for (let page = 0; page < pagesPerRun; page++) {
    const result: Awaited<ReturnType<typeof reconciling.announceNews>> = await reconciling.announceNews({
      after,
      limit: pageSize,
    });
    announced += result.announced;
    after = result.next;
    if (after === null) break;
    await pauseBetweenPages();
  }
  const { verified, restarted, next } = await reconciling.verifyActors({
    after: before?.verify_after ?? null,
    limit: pageSize,
  });
  return { announced, verified, restarted, verify_after: next };
}

/**
 * Compares every actor with its row, page by page: after a start the database, or Temporal, may be another one than before.
 *
 * @returns how many were asked to make sure of their row, and started again
 */
export async function verifyAll(
  from: string | null = null,
  before: { readonly verified: number; readonly restarted: number } = { verified: 0, restarted: 0 },
): Promise<{ readonly verified: number; readonly restarted: number }> {
  let after = from;
  let { verified, restarted } = before;
  for (let page = 0; page < pagesPerRun; page++) {
    const done = await reconciling.verifyActors({ after, limit: pageSize });
    verified += done.verified;
    restarted += done.restarted;
    after = done.next;
    if (after === null) return { verified, restarted };
    await pauseBetweenPages();
  }
  return continueAsNew<typeof verifyAll>(after, { verified, restarted });
}

/** A fleet that comes back all at once is taken in over time. */
async function pauseBetweenPages(): Promise<void> {
  await sleep(500 + Math.floor(Math.random() * 1000), { summary: 'pause between pages' });
}

/** Removes what nobody will ask for again. */
export async function prune(): Promise<Readonly<Record<string, number>>> {
  return reconciling.prune();
}
