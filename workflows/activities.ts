// The activities as workflows call them: time limits and retries of each kind, in one place.
import type { ActorActivities } from '#activities/actor.ts';
import type { ApprovalActivities } from '#activities/approval.ts';
import type { AttestationActivities } from '#activities/attestation.ts';
import type { DeviceActivities } from '#activities/device.ts';
import type { Commit, CommitResult } from '#contracts/actor.ts';
import { log, patched, proxyActivities, proxyLocalActivities } from '@temporalio/workflow';
import type { ApprovalInput } from '#machines/approval.ts';
import type { ApprovalQuery, ApprovalRead, DeviceNews, NewsQuery } from '#machines/device-events.ts';
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

/** As long as a verifier of the operator may take, waiting included. */
const verifications = {
  ...calls,
  startToCloseTimeout: '130 seconds',
  scheduleToCloseTimeout: '5 minutes',
  heartbeatTimeout: '3 seconds',
} as const;

/** What is done within the workflow task: given up well before the task would have to be prolonged. */
const nearby = { startToCloseTimeout: '2 seconds', retry: { maximumAttempts: 1 } } as const;

type Asked = Omit<ApprovalActivities, 'deliverOutcome'>;
const devices = proxyActivities<DeviceActivities>(calls);
const nearbyDevices = proxyLocalActivities<DeviceActivities>(nearby);
const approvals = proxyActivities<Asked>(calls);
const nearbyApprovals = proxyLocalActivities<Asked>(nearby);
export const { deliverOutcome } = proxyActivities<Pick<ApprovalActivities, 'deliverOutcome'>>(deliveries);

/** Commits with a summary that says what is written. */
export function commit(change: Commit, summary: string): Promise<CommitResult> {
  return proxyActivities<ActorActivities>({ ...commits, summary }).commitActor(change);
}

/** Whether a run makes short calls within the task; those that began before go on from where they are. */
export const callsNearby = (): boolean => patched('short calls are made within the task');

/** Reads what is new about a device. */
export async function fetchDeviceNews(query: NewsQuery): Promise<Omit<DeviceNews, keyof Stamp | 'type'>> {
  const near = callsNearby() || patched('news is read within the task');
  return withinTask(
    near,
    () => nearbyDevices.fetchDeviceNews(query),
    () => devices.fetchDeviceNews(query),
  );
}

/** Reads how an approval stands. */
export function readApproval(query: ApprovalQuery): Promise<ApprovalRead['approval']> {
  return withinTask(
    callsNearby(),
    () => nearbyApprovals.readApproval(query),
    () => approvals.readApproval(query),
  );
}

/** Asks the live directory which votes still stand. */
export function confirmVotes(votes: Parameters<Asked['confirmVotes']>[0]): ReturnType<Asked['confirmVotes']> {
  return withinTask(
    callsNearby(),
    () => nearbyApprovals.confirmVotes(votes),
    () => approvals.confirmVotes(votes),
  );
}

/**
 * Opens an approval. Its cause is in the history when this is called: the commit that it follows has been answered. What
 * a lost task opened is opened again by its repetition, which changes nothing.
 */
export function openApproval(input: ApprovalInput): Promise<void> {
  return withinTask(
    callsNearby(),
    () => nearbyApprovals.openApproval(input),
    () => approvals.openApproval(input),
  );
}

/** Has stored evidence verified again. */
export const { verifyEvidence } = proxyActivities<AttestationActivities>(verifications);

/** Tells an approval that nobody waits for it any more. */
export const { withdrawApproval } = approvals;

/**
 * Makes a call within the workflow task at first, which saves Temporal an activity and a second task: for calls that
 * read, or whose cause is in the history and whose repetition does nothing. What is not answered at once is made as a
 * call like others, with its retries.
 */
async function withinTask<T>(near: boolean, nearbyCall: () => Promise<T>, call: () => Promise<T>): Promise<T> {
  if (near) {
    try {
      return await nearbyCall();
    } catch (error) {
      log.warn('a call was not answered within the workflow task', { error: String(error) });
    }
  }
  return call();
}
