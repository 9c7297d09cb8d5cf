// One device: sends heartbeats until it is stopped, each when the schedule says.
import { ApiProblem } from '#client/api-problem.ts';
import type { SendHeartbeat } from '#client/heartbeat.ts';
import type { Random } from '#contracts/deps.ts';
import type { HeartbeatBody } from '#contracts/http/heartbeat.ts';
import type { NextCounter } from './counter.ts';
import { initialSchedule, scheduleAfter, type HeartbeatOutcome, type ScheduleLimits } from './heartbeat-schedule.ts';

/** What a device says about itself. */
export type Observation = Omit<HeartbeatBody, 'device_id' | 'heartbeat_counter'>;

export interface DeviceDeps {
  readonly deviceId: string;
  readonly send: SendHeartbeat;
  readonly nextCounter: NextCounter;
  /** What the device reports about itself now. */
  readonly observe: (signal: AbortSignal) => Observation | Promise<Observation>;
  readonly limits: ScheduleLimits;
  readonly random: Random;
  /** Waits, or rejects when the signal aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Resolves when the device may send: at once, unless something holds it back. */
  readonly mayProceed: (signal: AbortSignal) => Promise<void>;
  readonly onOutcome: (outcome: HeartbeatOutcome) => void;
}

/** Runs until the signal aborts; rejects only for faults of the program. */
export async function runDevice(deps: DeviceDeps, signal: AbortSignal): Promise<void> {
  let schedule = initialSchedule(deps.limits);
  while (!signal.aborted) {
    try {
      await deps.mayProceed(signal);
      const outcome = await heartbeat(deps, signal);
      if (signal.aborted) return;
      deps.onOutcome(outcome);
      const next = scheduleAfter(schedule, outcome, deps.limits, deps.random);
      schedule = next.schedule;
      await deps.sleep(next.waitMs, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}

/** Sends one heartbeat and tells how it ended. */
export async function heartbeat(
  deps: Pick<DeviceDeps, 'deviceId' | 'send' | 'nextCounter' | 'observe'>,
  signal: AbortSignal,
): Promise<HeartbeatOutcome> {
  try {
    const observed = await deps.observe(signal);
    // A counter that cannot be written down is not used.
    const heartbeat_counter = await deps.nextCounter();
    const body = { device_id: deps.deviceId, heartbeat_counter, ...observed };
    const { status, next_heartbeat_seconds: nextSeconds } = await deps.send(body, signal);
    return { kind: 'answered', status, nextSeconds };
  } catch (error) {
    if (error instanceof ApiProblem && error.status !== 0) {
      const { status, code, retryAfterSeconds } = error;
      return { kind: 'refused', status, code, retryAfterSeconds };
    }
    return { kind: 'failed', reason: (error as Error).message };
  }
}
