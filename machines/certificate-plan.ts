// The plan of rotations: which stretches of time certificates are counted in, and what the counts come to.
import type { PlanPeriod, RotationAdvice } from '#contracts/states.ts';
import { certificateLife, dayMs, type CertificatePolicy } from './certificate-life.ts';

/** A stretch of time, from its first moment to before its last; null without an end. */
export interface Stretch {
  readonly from: string | null;
  readonly before: string | null;
}

export interface PlanFrame {
  readonly now: string;
  /** Where anything changes, in order: certificates are counted between these. */
  readonly bounds: readonly string[];
  /** Of the calendar in UTC, besides the first, which is what has ended, and the last, which is all that comes later. */
  readonly periods: readonly Stretch[];
}

export interface PlanCount {
  readonly certificates: number;
  readonly rotation: Readonly<Record<RotationAdvice, number>>;
}

export interface PlanOfCertificates extends PlanCount {
  readonly expired: number;
  readonly expiring_soon: number;
  readonly periods: readonly (Stretch & PlanCount)[];
}

/** A quarter, and a year. */
const periodsShown: Record<PlanPeriod, number> = { week: 13, month: 12 };

/**
 * Lays out what is to be counted.
 *
 * @param now RFC 3339
 */
export function frameOfPlan(now: string, by: PlanPeriod, policy: CertificatePolicy): PlanFrame {
  const at = Date.parse(now);
  // What ends now has ended.
  const past = at + 1;
  const days = [
    policy.SENTINEL_ROTATION_REQUIRED_DAYS,
    policy.SENTINEL_ROTATION_RECOMMENDED_DAYS,
    policy.SENTINEL_CERT_EXPIRING_SOON_DAYS,
  ];
  const edges = [past, ...startsAfter(at, by)].map(instantOf);
  const periods = [null, ...edges].map((from, index) => ({ from, before: edges[index] ?? null }));
  const bounds = new Set([...edges, ...days.map((count) => instantOf(at + count * dayMs))]);
  return { now, bounds: [...bounds].toSorted(), periods };
}

/**
 * Sums up what was counted.
 *
 * @param counts one for each stretch between the bounds of the frame, as many as there are bounds and one more
 */
export function sumPlan(
  { now, bounds, periods }: PlanFrame,
  counts: readonly number[],
  policy: CertificatePolicy,
): PlanOfCertificates {
  // All that ends within a stretch has the same standing, or it would have a bound inside.
  const stretches = counts.map((certificates, index) => {
    const from = bounds[index - 1] ?? null;
    return { from, certificates, life: certificateLife(from ?? now, now, policy) };
  });
  type Counted = (typeof stretches)[number];
  const sum = (some: readonly Counted[]) => some.reduce((total, { certificates }) => total + certificates, 0);
  const countOf = (some: readonly Counted[]): PlanCount => ({
    certificates: sum(some),
    rotation: {
      none: sum(some.filter(({ life }) => life.rotation === 'none')),
      recommended: sum(some.filter(({ life }) => life.rotation === 'recommended')),
      required: sum(some.filter(({ life }) => life.rotation === 'required')),
    },
  });
  return {
    ...countOf(stretches),
    expired: sum(stretches.filter(({ life }) => life.expired)),
    expiring_soon: sum(stretches.filter(({ life }) => life.expiring_soon)),
    periods: periods.map((period) => ({
      ...period,
      ...countOf(stretches.filter(({ from }) => isWithin(from, period))),
    })),
  };
}

/** Null is before everything. */
function isWithin(at: string | null, { from, before }: Stretch): boolean {
  if (at === null) return from === null;
  return (from === null || at >= from) && (before === null || at < before);
}

/** Mondays, or first days of months, at midnight in UTC. */
function startsAfter(at: number, by: PlanPeriod): number[] {
  const day = new Date(at);
  const [year, month, date] = [day.getUTCFullYear(), day.getUTCMonth(), day.getUTCDate()];
  const toMonday = 7 - ((day.getUTCDay() + 6) % 7);
  return Array.from({ length: periodsShown[by] }, (_, index) =>
    by === 'week' ? Date.UTC(year, month, date + toMonday + 7 * index) : Date.UTC(year, month + 1 + index, 1),
  );
}

const instantOf = (ms: number): string => new Date(ms).toISOString();
