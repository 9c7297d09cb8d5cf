// Time for the supervisor as an argument, so that its tests do not wait.
import { setTimeout as sleep } from 'node:timers/promises';

export interface Timers {
  /** Milliseconds since some moment; never goes back. */
  now(): number;
  /** Rejects when the signal aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemTimers: Timers = {
  now: () => performance.now(),
  sleep: (ms, signal) => sleep(ms, undefined, signal === undefined ? {} : { signal }),
};
