// Which heartbeats are taken when there are more than the server can judge: the others are refused before anything is read of them.
import type { Random } from '#contracts/deps.ts';
import type { Metrics } from './metrics.ts';

export interface AdmissionOptions {
  /** Heartbeats that were taken and are not answered yet, at most. */
  readonly maximumOpen: number;
  /** When even the quickest answer of a window took longer, a queue stands; below half of it there is none. */
  readonly targetMs: number;
  /** As many must have been open at once: a few that are slow wait for something else, such as an OCSP responder. */
  readonly queueFrom: number;
  readonly windowMs: number;
  /** What devices are asked for: a rest is a multiple of it. */
  readonly intervalSeconds: number;
}

export type Admitted =
  /** `done` is to be called once, when the answer has gone. */
  { readonly taken: true; readonly done: () => void } | { readonly taken: false; readonly retryAfterSeconds: number };

export interface Admission {
  admit(): Admitted;
}

/** However bad it is, some are let through: they show when it is over. */
const leastShare = 0.05;
/** The share falls by a factor and grows by steps, which is what lets many senders find the rate that is possible. */
const fallBy = 0.7;
const growBy = 0.05;
/** So many windows without a heartbeat are a pause. */
const pauseWindows = 4;
const longestRestSeconds = 300;
/**
 * Refusing costs most of what judging costs, nearly all of it TLS and HTTP. So whoever is refused in a lasting overload
 * rests for many intervals, or the refusals would eat what they are to save.
 */
const restIntervals = 14;

/**
 * Makes the admission. There are two reasons to refuse: too many are open at this moment, as after a freeze, and those
 * soon come again, each at a time of its own; or answers have been slow for a while, and then only a share is taken.
 */
export function createAdmission(
  { random, metrics, nowMs }: AdmissionDeps,
  { maximumOpen, targetMs, queueFrom, windowMs, intervalSeconds }: AdmissionOptions,
): Admission {
  let open = 0;
  let mostOpen = 0;
  let share = 1;
  let windowBegan = nowMs();
  /** Of the answers in this window; infinite when there were none. */
  let quickestMs = Number.POSITIVE_INFINITY;
  metrics.meters.gauge('sentinel_heartbeats_open', (gauge) => gauge.set(open));
  metrics.meters.gauge('sentinel_heartbeat_admission_share', (gauge) => {
    closeWindows(nowMs());
    gauge.set(share);
  });

  function closeWindows(now: number): void {
    const windows = Math.floor((now - windowBegan) / windowMs);
    if (windows === 0) return;
    const isIdle = open === 0 && quickestMs === Number.POSITIVE_INFINITY;
    if (isIdle || quickestMs < targetMs / 2) share += growBy;
    // Nobody asked for so long: the process was idle or frozen, and answers that were held up say nothing of now.
    // Otherwise a window without any answer, while some are waited for, is the worst one.
    else if (quickestMs > targetMs && windows < pauseWindows && mostOpen >= queueFrom) share *= fallBy;
    if (open === 0) share += growBy * (windows - 1);
    share = Math.max(leastShare, Math.min(1, share));
    windowBegan = now;
    mostOpen = open;
    quickestMs = Number.POSITIVE_INFINITY;
  }

  function refuse(reason: 'full' | 'share'): Admitted {
    metrics.shed.inc({ reason });
    const [first, spread] =
      reason === 'full' ? [1, intervalSeconds] : [intervalSeconds, intervalSeconds * restIntervals];
    const seconds = first + spread * fractionOf(random);
    return { taken: false, retryAfterSeconds: Math.ceil(Math.min(longestRestSeconds, seconds)) };
  }

  return {
    admit() {
      const beganMs = nowMs();
      closeWindows(beganMs);
      if (open >= maximumOpen) return refuse('full');
      if (share < 1 && fractionOf(random) >= share) return refuse('share');
      open += 1;
      mostOpen = Math.max(mostOpen, open);
      return {
        taken: true,
        done() {
          open -= 1;
          quickestMs = Math.min(quickestMs, nowMs() - beganMs);
        },
      };
    },
  };
}

export interface AdmissionDeps {
  readonly random: Pick<Random, 'bytes'>;
  readonly metrics: Pick<Metrics, 'meters' | 'shed'>;
  /** Of a clock that never goes back. */
  readonly nowMs: () => number;
}

function fractionOf(random: Pick<Random, 'bytes'>): number {
  const [high = 0, low = 0] = random.bytes(2);
  return (high * 256 + low) / 65_536;
}

/** Batches that may be at the database at once: at least half of the connections are for people, whatever devices do. */
export function batchesAtOnce(connections: number): number {
  return Math.max(1, Math.min(4, Math.floor(connections / 2)));
}
