// Time that passes only when the test lets it, for whatever sleeps.
import { setImmediate } from 'node:timers/promises';
import type { Timers } from '#start/timers.ts';

export interface FakeTimers extends Timers {
  /** Lets the time pass, waking sleepers in their order, and waits for what they do. */
  advance(ms: number): Promise<void>;
  /** Waits for everything that needs no time. */
  settle(): Promise<void>;
}

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

export function fakeTimers(): FakeTimers {
  let time = 0;
  let sleepers: Sleeper[] = [];

  async function settle(): Promise<void> {
    for (let turn = 0; turn < 5; turn += 1) await setImmediate();
  }

  return {
    now: () => time,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        const sleeper = { at: time + ms, wake: resolve };
        const abort = (): void => {
          sleepers = sleepers.filter((other) => other !== sleeper);
          reject(signal?.reason as Error);
        };
        if (signal?.aborted) return abort();
        signal?.addEventListener('abort', abort, { once: true });
        sleepers.push(sleeper);
      }),
    async advance(ms) {
      const end = time + ms;
      await settle();
      for (;;) {
        const [next] = sleepers.filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at);
        if (next === undefined) break;
        sleepers = sleepers.filter((other) => other !== next);
        time = next.at;
        next.wake();
        await settle();
      }
      time = end;
    },
    settle,
  };
}
