// The activities as workflows call them: time limits and retries of each kind, in one place.
import type { ActorActivities } from '#activities/actor.ts';
import type { ApprovalActivities } from '#activities/approval.ts';
import type { DeviceActivities } from '#activities/device.ts';
import type { Commit, CommitResult } from '#contracts/actor.ts';
import { log, patched, proxyActivities, proxyLocalActivities } from '@temporalio/workflow';
import type { DeviceNews, NewsQuery } from '#machines/device-events.ts';
import type { Stamp } from '#machines/actor.ts';

/**
 * A commit is tried until the store has answered. It is a regular activity, because an effect must not precede its
 * history, and short, so that a killed worker costs seconds.
 */
const commits = {
  startToCloseTimeout: '5 seconds',
  retry: { initialInterval: '100 milliseconds', backoffCoefficient: 2, maximumInterval: '10 seconds' },
} as const;

/**
 * Reading from the store and talking to other actors: milliseconds, and noticed within seconds when the worker is gone.
 * Given up after a minute, when the driver lets go of who waits, and calls again.
 */
const calls = {
  startToCloseTimeout: '5 seconds',
  scheduleToCloseTimeout: '1 minute',
  retry: { initialInterval: '200 milliseconds', backoffCoefficient: 2, maximumInterval: '10 seconds' },
} as const;

/** Waiting for another actor's answer: noticed within seconds when the worker that waited is gone. */
const deliveries = { ...calls, startToCloseTimeout: '20 seconds', heartbeatTimeout: '3 seconds' } as const;

/** Reading that is done within the workflow task: given up well before the task would have to be prolonged. */
const looks = { startToCloseTimeout: '2 seconds', retry: { maximumAttempts: 1 } } as const;

const devices = proxyActivities<DeviceActivities>(calls);
const nearbyDevices = proxyLocalActivities<DeviceActivities>(looks);
export const approvals = proxyActivities<Omit<ApprovalActivities, 'deliverOutcome'>>(calls);
export const { deliverOutcome } = proxyActivities<Pick<ApprovalActivities, 'deliverOutcome'>>(deliveries);

/** Commits with a summary that says what is written. */
export function commit(change: Commit, summary: string): Promise<CommitResult> {
  return proxyActivities<ActorActivities>({ ...commits, summary }).commitActor(change);
}

/**
 * Reads what is new about a device. Within the workflow task at first, which halves what a steady device costs Temporal:
 * a look has no effect that could come before its history. When the store does not answer at once, as a call like others.
 */
export async function fetchDeviceNews(query: NewsQuery): Promise<Omit<DeviceNews, keyof Stamp | 'type'>> {
  if (patched('news is read within the task')) {
    try {
      return await nearbyDevices.fetchDeviceNews(query);
    } catch (error) {
      log.warn('the store did not answer within the workflow task', { error: String(error) });
    }
  }
  return devices.fetchDeviceNews(query);
}
