// A clock that stands still until the test moves it.
import type { Clock } from '#contracts/deps.ts';

export interface FakeClock extends Clock {
  advance(ms: number): void;
  set(instant: string): void;
}

export function fakeClock(start = '2026-11-22T12:00:00.000Z'): FakeClock {
  let time = Date.parse(start);
  return {
    now: () => new Date(time),
    advance: (ms) => void (time += ms),
    set: (instant) => void (time = Date.parse(instant)),
  };
}
