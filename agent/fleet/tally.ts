// Counts what a run did and heard, in bounded memory however long it runs.
import { createHistogram } from 'node:perf_hooks';
import type { ActKind } from './plan.ts';

/** An answer that is not among those that are right. */
export interface Mismatch {
  readonly device_id: string;
  readonly at: string;
  readonly act: ActKind | 'census';
  readonly counter: unknown;
  readonly expected: string;
  readonly answered: string;
  readonly status: number;
  readonly request_id: string | null;
  readonly detail: string;
}

export interface AnswerCount {
  readonly expected: string;
  readonly answered: string;
  readonly count: number;
  readonly right: boolean;
}

export interface Tally {
  acted(act: ActKind | 'upgrade_failed'): void;
  answered(answer: { expected: string; answered: string; right: boolean; ms: number }): void;
  /** Served with 503 and Retry-After. */
  busy(): void;
  /** No answer, as it was planned, or because the run ended. */
  silence(why: 'lost_request' | 'lost_answer' | 'stopped' | 'outage'): void;
  mismatch(mismatch: Mismatch): void;
  /** A request that nobody cut off, and that got no answer. */
  unanswered(request: Mismatch): void;
  /** A device that cannot run at all. */
  broken(deviceId: string, reason: string): void;
  readonly totals: {
    readonly answers: number;
    readonly busy: number;
    readonly mismatches: number;
    readonly unanswered: number;
    readonly broken: number;
  };
  latencyMs(): { readonly p50: number; readonly p95: number; readonly p99: number; readonly max: number };
  counts(): {
    readonly acts: Readonly<Record<string, number>>;
    readonly answers: readonly AnswerCount[];
    readonly silences: Readonly<Record<string, number>>;
    readonly mismatches: readonly Mismatch[];
    readonly unanswered: readonly Mismatch[];
    readonly broken: Readonly<Record<string, string>>;
  };
}

/** Mismatches and broken devices that are kept in words; all are counted. */
const maximumKept = 1_000;
/** They come in floods, and one is like the other. */
const maximumUnansweredKept = 20;

/** @param onMismatch told of every mismatch, also of those that are not kept */
export function createTally(onMismatch: (mismatch: Mismatch) => void = () => {}): Tally {
  const acts = new Map<string, number>();
  const silences = new Map<string, number>();
  const answers = new Map<string, { expected: string; answered: string; right: boolean; count: number }>();
  const mismatches: Mismatch[] = [];
  const unanswered: Mismatch[] = [];
  const broken = new Map<string, string>();
  const latency = createHistogram({ lowest: 1, highest: 600_000_000, figures: 3 });
  const totals = { answers: 0, busy: 0, mismatches: 0, unanswered: 0, broken: 0 };

  return {
    totals,
    acted: (act) => add(acts, act),
    silence: (why) => add(silences, why),
    answered({ expected, answered, right, ms }) {
      const name = JSON.stringify([expected, answered, right]);
      const row = answers.get(name) ?? { expected, answered, right, count: 0 };
      row.count += 1;
      answers.set(name, row);
      totals.answers += 1;
      latency.record(Math.max(1, Math.round(ms * 1_000)));
    },
    busy() {
      totals.busy += 1;
    },
    mismatch(found) {
      totals.mismatches += 1;
      onMismatch(found);
      if (mismatches.length < maximumKept) mismatches.push(found);
    },
    unanswered(request) {
      totals.unanswered += 1;
      if (unanswered.length < maximumUnansweredKept) unanswered.push(request);
    },
    broken(deviceId, reason) {
      totals.broken += 1;
      if (broken.size < maximumKept) broken.set(deviceId, reason);
    },
    latencyMs() {
      const at = (percentile: number) => (latency.count === 0 ? 0 : latency.percentile(percentile) / 1_000);
      return { p50: at(50), p95: at(95), p99: at(99), max: latency.count === 0 ? 0 : latency.max / 1_000 };
    },
    counts: () => ({
      acts: inOrder(acts),
      answers: [...answers.values()].toSorted((a, b) => Number(a.right) - Number(b.right) || b.count - a.count),
      silences: inOrder(silences),
      mismatches: [...mismatches],
      unanswered: [...unanswered],
      broken: Object.fromEntries(broken),
    }),
  };
}

function add(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function inOrder(counts: ReadonlyMap<string, number>): Record<string, number> {
  return Object.fromEntries([...counts].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
