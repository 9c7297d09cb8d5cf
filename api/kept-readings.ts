// Readings of the whole fleet: one serves everybody who asks for the same in that moment, and is kept for a while.
import type { Clock } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import { createLanes } from './lanes.ts';

export interface KeptReadingsOptions<Query, Value> {
  readonly read: (query: Query) => Promise<Value>;
  /** The same for what is read alike. */
  readonly keyOf: (query: Query) => string;
  /** Readings that run at once; some more wait, and what comes on top is refused. */
  readonly atOnce: number;
  readonly clock: Clock;
}

interface Reading<Value> {
  readonly value: Promise<Value>;
  /** Null until it has ended. */
  ended: { readonly at: Date; readonly until: number } | null;
}

/** Reading may take this part of the database's time at most, whoever asks however often. */
const keptTimesDuration = 5;
const keptAtLeastMs = 1_000;
const keptAtMostMs = 20_000;
const keptReadings = 200;

export function createKeptReadings<Query, Value>({
  read,
  keyOf,
  atOnce,
  clock,
}: KeptReadingsOptions<Query, Value>): (query: Query) => Promise<{ readonly value: Value; readonly at: Date }> {
  const readings = new Map<string, Reading<Value>>();
  const lanes = createLanes({
    width: atOnce,
    waiting: 20,
    refuse: () => new TrustError('service.overloaded', { facts: { retry_after_seconds: 5 } }),
  });

  function readingOf(query: Query): Reading<Value> {
    const key = keyOf(query);
    const known = readings.get(key);
    if (known && (known.ended === null || clock.now().getTime() < known.ended.until)) return known;
    const reading: Reading<Value> = {
      ended: null,
      value: lanes.run('', async () => {
        const from = clock.now().getTime();
        const value = await read(query);
        const at = clock.now();
        const keptMs = Math.min(keptAtMostMs, Math.max(keptAtLeastMs, (at.getTime() - from) * keptTimesDuration));
        reading.ended = { at, until: at.getTime() + keptMs };
        return value;
      }),
    };
    readings.delete(key);
    readings.set(key, reading);
    for (const oldest of readings.keys()) {
      if (readings.size <= keptReadings) break;
      readings.delete(oldest);
    }
    // What failed is tried again by whoever asks next.
    reading.value.catch(() => {
      if (readings.get(key) === reading) readings.delete(key);
    });
    return reading;
  }

  return async (query) => {
    const reading = readingOf(query);
    const value = await reading.value;
    return { value, at: reading.ended?.at ?? clock.now() };
  };
}
