// How much evidence of one device is looked at: each is stored with its verdict, so whoever sends it without a pause fills the disk.
import type { Clock } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';

export interface EvidencePace {
  /**
   * Counts evidence that comes with one certificate of a device, whatever it is worth.
   *
   * @throws TrustError `rate.limited` with the time to wait
   */
  count(name: string): void;
}

const windowSeconds = 600;
/** Of the heartbeats that a device is asked for: an agent that is started again comes sooner, and some answers are lost. */
const timesWhatIsAsked = 3;
/** Whoever sets up or tries out a device sends more for a while, and the disk has room for so much of one. */
const alwaysLookedAt = 1_000;

/** @param intervalSeconds What devices are asked for: each heartbeat may bring evidence. */
export function createEvidencePace(clock: Clock, intervalSeconds: number, least = alwaysLookedAt): EvidencePace {
  const most = Math.max(least, Math.ceil((windowSeconds / intervalSeconds) * timesWhatIsAsked));
  let counts = new Map<string, number>();
  let began = Number.NEGATIVE_INFINITY;
  return {
    count(name) {
      const seconds = clock.now().getTime() / 1000;
      // One window for all: it ends early where the clock went back.
      if (!(seconds >= began && seconds < began + windowSeconds)) {
        began = seconds;
        counts = new Map();
      }
      const count = (counts.get(name) ?? 0) + 1;
      if (count > most) {
        throw new TrustError('rate.limited', {
          detail: 'This device sends more evidence than it is asked for',
          facts: { retry_after_seconds: Math.ceil(began + windowSeconds - seconds) },
        });
      }
      counts.set(name, count);
    },
  };
}
