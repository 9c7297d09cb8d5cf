// When the machine booted. Coarse, and steady while it runs: a device that is only up longer has no news.
import type { Fact } from './fact.ts';

/** Clocks are set and drift: only a boot that moved by more than this is another one. */
const coarseMs = 10 * 60_000;

/** @param now The time of day, in milliseconds since 1970. */
export function createUptime(now: () => number): Fact {
  let said: number | null = null;
  return async (system) => {
    const uptimeSeconds = system.uptimeSeconds();
    if (!Number.isFinite(uptimeSeconds) || uptimeSeconds <= 0) return { posture: { booted_at: null } };
    const bootedMs = now() - uptimeSeconds * 1000;
    if (said === null || Math.abs(bootedMs - said) > coarseMs) said = Math.round(bootedMs / coarseMs) * coarseMs;
    return { posture: { booted_at: new Date(said).toISOString() } };
  };
}
