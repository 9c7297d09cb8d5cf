// When the next heartbeat is due, decided from how the last one ended: pure, with chance as an argument.
import type { Random } from '#contracts/deps.ts';

/** How a heartbeat ended. */
export type HeartbeatOutcome =
  | { readonly kind: 'answered'; readonly status: 'accepted' | 'pending'; readonly nextSeconds: number }
  /** The API answered with a problem. */
  | {
      readonly kind: 'refused';
      readonly status: number;
      readonly code: string;
      readonly retryAfterSeconds: number | null;
    }
  /** No answer, or the device could not send. */
  | { readonly kind: 'failed'; readonly reason: string };

export interface HeartbeatSchedule {
  /** Interval that the API asked for last. */
  readonly intervalSeconds: number;
  /** Heartbeats since the last answer. */
  readonly failures: number;
}

export interface ScheduleLimits {
  /** Interval until the API has said one. */
  readonly firstIntervalSeconds: number;
  /** A device that waits for approval reports at least this often, to begin soon after it. */
  readonly pendingSeconds: number;
  /** Back-off grows no further. */
  readonly longestSeconds: number;
}

const shortestSeconds = 1;
const dayInSeconds = 86_400;
/** Every wait is shortened or lengthened by up to this part, so that devices that began together drift apart. */
const spread = 0.2;

export function initialSchedule(limits: ScheduleLimits): HeartbeatSchedule {
  return { intervalSeconds: limits.firstIntervalSeconds, failures: 0 };
}

/**
 * Decides what comes after a heartbeat.
 *
 * - Answered: the interval that the API asked for, shortened a little, so that no device is late.
 * - Busy (Retry-After): not before that, and spread behind it.
 * - No answer, or a server error: back-off that doubles from a second, half of it by chance.
 * - Evidence refused: its interval, since the answer to the next challenge may be better.
 * - Refused for good: people have to act, so it goes on asking, at its interval or slower, and more slowly each time.
 */
export function scheduleAfter(
  schedule: HeartbeatSchedule,
  outcome: HeartbeatOutcome,
  limits: ScheduleLimits,
  random: Random,
): { readonly schedule: HeartbeatSchedule; readonly waitMs: number } {
  const chance = fractionOf(random);
  if (outcome.kind === 'answered') {
    const intervalSeconds = clamp(outcome.nextSeconds, shortestSeconds, dayInSeconds);
    const seconds = outcome.status === 'pending' ? Math.min(intervalSeconds, limits.pendingSeconds) : intervalSeconds;
    return { schedule: { intervalSeconds, failures: 0 }, waitMs: Math.round(seconds * 1000 * (1 - spread * chance)) };
  }
  const failures = schedule.failures + 1;
  const backOff = Math.min(limits.longestSeconds, 2 ** Math.min(failures - 1, 30));
  return {
    schedule: { ...schedule, failures },
    waitMs: Math.round(1000 * secondsAfterFailure(schedule, outcome, { backOff, limits, chance })),
  };
}

function secondsAfterFailure(
  { intervalSeconds }: HeartbeatSchedule,
  outcome: Exclude<HeartbeatOutcome, { kind: 'answered' }>,
  { backOff, limits, chance }: { backOff: number; limits: ScheduleLimits; chance: number },
): number {
  if (outcome.kind === 'refused' && outcome.retryAfterSeconds !== null) {
    return Math.max(clamp(outcome.retryAfterSeconds, 0, dayInSeconds), backOff) * (1 + spread * chance);
  }
  // A refusal of evidence brings a new challenge, which waits to be answered.
  if (outcome.kind === 'refused' && outcome.code.startsWith('attestation.'))
    return intervalSeconds * (1 - spread * chance);
  const isServerFault = outcome.kind === 'failed' || outcome.status >= 500 || outcome.status === 429;
  if (isServerFault) return backOff * (0.5 + 0.5 * chance);
  return Math.max(intervalSeconds, Math.min(intervalSeconds * backOff, limits.longestSeconds)) * (1 - spread * chance);
}

/** A number from 0 up to 1. */
export function fractionOf(random: Random): number {
  const [a = 0, b = 0, c = 0] = random.bytes(3);
  return (a * 65_536 + b * 256 + c) / 16_777_216;
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}
