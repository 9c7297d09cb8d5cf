// What a run found, as data and as text for a person.
import type { Census } from './census.ts';
import type { Judge } from './judge.ts';
import type { AnswerCount, Mismatch, Tally } from './tally.ts';

export interface Report {
  /** Every answer was right, and every device could run. */
  readonly right: boolean;
  readonly scenario: string;
  readonly seed: number;
  readonly started_at: string;
  readonly duration_seconds: number;
  /** Stopped by hand before its time. */
  readonly stopped_early: boolean;
  readonly devices: {
    readonly planned: number;
    readonly reported: number;
    readonly by_identity: Readonly<Record<string, number>>;
    /** Those that could not run, with the reason. */
    readonly broken: Readonly<Record<string, string>>;
  };
  readonly certificates: { readonly made: number; readonly kept: number; readonly seconds: number };
  readonly answers: {
    readonly total: number;
    readonly per_second: number;
    readonly busy: number;
    /** Answers that did not come: cut off by the plan, by the end of the run, or by nobody here (`outage`). */
    readonly missing: Readonly<Record<string, number>>;
    readonly latency_ms: ReturnType<Tally['latencyMs']>;
    readonly table: readonly AnswerCount[];
  };
  /** What was done to the server, by kind. */
  readonly acts: Readonly<Record<string, number>>;
  /** What the API has on record; null when it was not asked. */
  readonly census: Census | null;
  readonly problems: readonly string[];
  /** The first of the requests that nobody cut off, and that got no answer. */
  readonly unanswered: readonly Mismatch[];
  readonly mismatches: { readonly total: number; readonly first: readonly Mismatch[] };
  readonly process: { readonly cpu_seconds: number; readonly memory_mb: number };
}

export interface RunFacts {
  readonly scenario: string;
  readonly seed: number;
  readonly planned: number;
  readonly startedAt: Date;
  readonly seconds: number;
  readonly stoppedEarly: boolean;
  readonly certificates: Report['certificates'];
  readonly census: Census | null;
  readonly busyShare: number;
  /** What kept the run from being judged whole. */
  readonly problems: readonly string[];
  readonly process: Report['process'];
}

export function makeReport(facts: RunFacts, tally: Tally, judge: Judge): Report {
  const counts = tally.counts();
  const { answers, busy, mismatches, unanswered, broken } = tally.totals;
  const problems = [...facts.problems];
  if (answers === 0) problems.push('the API answered nothing');
  if (busy > facts.busyShare * answers)
    problems.push(`${busy} of ${answers} answers were 503, more than a share of ${facts.busyShare}`);
  const [first] = counts.unanswered;
  if (first !== undefined)
    problems.push(
      `requests without an answer: ${unanswered}, the first of ${first.device_id} at ${first.at}: ${first.detail}`,
    );
  const identities = new Map<string, number>();
  let reported = 0;
  for (const { seen, identity } of judge.all().values()) {
    const name = seen === 'no' ? 'unseen' : identity;
    identities.set(name, (identities.get(name) ?? 0) + 1);
    if (seen === 'yes') reported += 1;
  }
  return {
    right: mismatches === 0 && broken === 0 && problems.length === 0,
    scenario: facts.scenario,
    seed: facts.seed,
    started_at: facts.startedAt.toISOString(),
    duration_seconds: rounded(facts.seconds),
    stopped_early: facts.stoppedEarly,
    devices: {
      planned: facts.planned,
      reported,
      by_identity: Object.fromEntries(identities),
      broken: counts.broken,
    },
    certificates: facts.certificates,
    answers: {
      total: answers,
      per_second: rounded(answers / Math.max(facts.seconds, 0.001)),
      busy,
      missing: counts.silences,
      latency_ms: tally.latencyMs(),
      table: counts.answers,
    },
    acts: counts.acts,
    census: facts.census,
    problems,
    unanswered: counts.unanswered,
    mismatches: { total: mismatches, first: counts.mismatches },
    process: facts.process,
  };
}

/** Mismatches that are told one by one; `--json` has more. */
const shownMismatches = 20;

export function presentReport(report: Report): string {
  const { devices, answers, certificates, process, census } = report;
  const { p50, p95, p99, max } = answers.latency_ms;
  const facts: [string, string][] = [
    ['scenario', `${report.scenario}, seed ${report.seed}`],
    ['time', `${report.duration_seconds} s${report.stopped_early ? ', stopped by hand' : ''}`],
    ['devices', `${devices.planned} planned, ${devices.reported} reported (${listed(devices.by_identity)})`],
    ['certificates', `${certificates.made} made, ${certificates.kept} kept, in ${certificates.seconds} s`],
    ['answers', `${answers.total}, ${answers.per_second} a second, ${answers.busy} of them 503`],
    ['no answer', listed(answers.missing) || 'none'],
    [
      'latency',
      answers.total === 0 ? 'none' : `half within ${ms(p50)}, 95 % ${ms(p95)}, 99 % ${ms(p99)}, all ${ms(max)}`,
    ],
    ['done', listed(report.acts)],
    ['on record', census === null ? 'not asked' : `${census.found} devices, versions: ${listed(census.versions)}`],
    ['this process', `${process.cpu_seconds} s of CPU, ${process.memory_mb} MB at most`],
  ];
  return [
    ...columns(facts),
    '',
    ...answerLines(answers.table),
    ...mismatchLines(report),
    ...Object.entries(devices.broken)
      .slice(0, shownMismatches)
      .map(([deviceId, reason]) => `${deviceId} could not run: ${reason}`),
    ...report.problems.map((problem) => `Problem: ${problem}`),
    verdictOf(report),
  ].join('\n');
}

function answerLines(table: Report['answers']['table']): string[] {
  if (table.length === 0) return [];
  const rows = table.map(({ expected, answered, count, right }) => [
    right ? 'right' : 'WRONG',
    expected,
    answered,
    String(count),
  ]);
  return [...columns([['', 'expected', 'answered', 'times'], ...rows]), ''];
}

function verdictOf({ right, mismatches: { total } }: Report): string {
  if (right) return 'Every answer was right.';
  return total === 0 ? 'Every answer that came was right, but not all is well.' : `NOT RIGHT: ${total} mismatches.`;
}

function mismatchLines({ mismatches: { first, total } }: Report): string[] {
  const shown = first
    .slice(0, shownMismatches)
    .map(
      (found) =>
        `${found.at} ${found.device_id} ${found.act}, counter ${JSON.stringify(found.counter) ?? 'missing'}: expected ${found.expected}, ` +
        `answered ${found.answered} (${found.status}), request ${found.request_id ?? 'none'}: ${found.detail}`,
    );
  return total > shown.length ? [...shown, `… and ${total - shown.length} more; --json has up to 1000`] : shown;
}

function listed(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ');
}

const ms = (value: number): string => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

function rounded(value: number): number {
  return Math.round(value * 10) / 10;
}

function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
