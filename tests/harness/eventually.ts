// Waiting for what comes by itself: looked for again and again, with a bound, where there is no event to wait on.
import { setTimeout as pause } from 'node:timers/promises';

const everyMs = 20;

/** Waits until `look` finds something. */
export async function eventually<T>(
  look: () => Promise<T | null | undefined | false> | T | null | undefined | false,
  what: string,
  withinMs = 30_000,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (performance.now() > deadline) throw new Error(`not within ${withinMs / 1000} s: ${what}`);
    await pause(everyMs);
  }
}
