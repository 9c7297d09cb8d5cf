// `npm test`: runs the suites in order, shares one Postgres and one Temporal between them, and ends with what failed and the sums.
//
// npm test                      everything but what takes as long as one asks (npm run test:long)
// npm test -- unit api          some suites
// npm test -- tests/unit/x.test.ts --test-name-pattern=replay
import { spawn, type StdioOptions } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { globSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Server, type ServerName, serverVariables, startServer } from './harness/start-server.ts';
import type { Counts, Duration, Failure, Totals } from './harness/totals.ts';

interface Suite {
  readonly name: string;
  readonly needs: readonly ServerName[];
  readonly phase: PhaseName;
  /** Of its files, those that run after the others and one at a time. */
  readonly alone?: readonly string[];
  /** Of its files, those that take longest: when they begin first, none is still under way when all others have ended. */
  readonly first?: readonly string[];
}

type PhaseName = 'alone in memory' | 'on servers' | 'installations' | 'one at a time' | 'as long as one asks';

interface Phase {
  /** Files that run at once, each in a process of its own; 0 is a process for each half of them. */
  readonly atOnce: number;
  readonly testLimitSeconds: number;
  readonly limitMinutes: number;
  /** Takes too long for every day: runs when one of its suites is named. */
  readonly onlyWhenNamed?: true;
}

/** In this order. Three at once keep two cores busy, since each waits for a server now and then. */
const phases: Readonly<Record<PhaseName, Phase>> = {
  'alone in memory': { atOnce: 0, testLimitSeconds: 60, limitMinutes: 5 },
  'on servers': { atOnce: 3, testLimitSeconds: 60, limitMinutes: 20 },
  installations: { atOnce: 3, testLimitSeconds: 180, limitMinutes: 30 },
  'one at a time': { atOnce: 1, testLimitSeconds: 180, limitMinutes: 30 },
  'as long as one asks': { atOnce: 1, testLimitSeconds: 86_400, limitMinutes: 1_500, onlyWhenNamed: true },
};

const suites: readonly Suite[] = [
  { name: 'unit', needs: [], phase: 'alone in memory' },
  { name: 'store', needs: ['postgres'], phase: 'on servers' },
  {
    name: 'workflows',
    needs: ['postgres', 'temporal'],
    phase: 'on servers',
    first: ['restore', 'fence', 'activity-faults', 'continue-as-new', 'actor', 'stuck-actors', 'release'],
  },
  { name: 'api', needs: ['postgres', 'temporal'], phase: 'on servers', first: ['forced-verifications'] },
  // Starts servers of its own; the shared one sees to it that Temporal is installed once.
  {
    name: 'e2e',
    needs: ['temporal', 'cluster'],
    phase: 'installations',
    first: ['console', 'docs', 'faults', 'attacks', 'attestation', 'start', 'faults-of-data', 'docs-site', 'fleet'],
    // About how soon something is answered.
    alone: ['operations'],
  },
  { name: 'long', needs: ['temporal'], phase: 'as long as one asks' },
];

/** A log is often read by its last hundred lines. */
const summaryLines = 80;
/** Files that are named as the slowest, when a run took long. */
const slowestFiles = 10;
const longRunMs = 60_000;

const root = fileURLToPath(new URL('../', import.meta.url));
const harness = join(root, 'tests', 'harness');
const run = randomBytes(6).toString('hex');

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  const flags = args.filter((arg) => arg.startsWith('--'));
  const plan = planOf(args.filter((arg) => !arg.startsWith('--')));
  if (typeof plan === 'string')
    return say(`${plan}\nUsage: npm test -- [${suites.map(({ name }) => name).join(' | ')} | FILE]…\n`, 2);

  const work = await mkdtemp(join(tmpdir(), 'sentinel-test-'));
  const interrupt = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => interrupt.abort());
  const shared = new Map<ServerName, Server>();
  const failures: Failure[] = [];
  const durations: Duration[] = [];
  const sums: Counts = { tests: 0, suites: 0, passed: 0, failed: 0, cancelled: 0, skipped: 0, todo: 0 };
  const began = performance.now();
  let clean = true;
  try {
    for (const part of plan) {
      if (interrupt.signal.aborted) break;
      say(`\n── ${part.name} ──\n`);
      const environment = await environmentOf(part.needs, shared, work);
      const halves = part.atOnce === 0 ? halvesOf(part.files) : [part.files];
      const runs = halves.map(async (files, index) => {
        const totalsFile = join(work, `${plan.indexOf(part)}-${index}.json`);
        const isShown = index === 0;
        const given = { part, files, flags, environment, totalsFile, isShown, interrupt: interrupt.signal };
        return { ...(await runPart(given)), totals: await readTotals(totalsFile) };
      });
      for (const { passed, output, totals } of await Promise.all(runs)) {
        say(output);
        for (const key of Object.keys(sums) as (keyof Counts)[]) sums[key] += totals?.counts[key] ?? 0;
        failures.push(...(totals?.failures ?? []));
        durations.push(...(totals?.durations ?? []));
        if (!passed) clean = false;
      }
    }
  } finally {
    await Promise.allSettled([...shared.values()].map((server) => server.stop()));
    await rm(work, { recursive: true, force: true });
  }
  if (durations.length > 1 && performance.now() - began > longRunMs) say(`\n${slowestOf(durations)}`);
  return conclude(sums, failures, clean && !interrupt.signal.aborted, performance.now() - began);
}

/** What runs together. */
interface Part extends Phase {
  /** Its suites. */
  readonly name: string;
  readonly needs: readonly ServerName[];
  /** In the order in which they begin. */
  readonly files: readonly string[];
}

/** The files that were asked for, phase by phase; a text says what was not understood. */
function planOf(wanted: readonly string[]): Part[] | string {
  const known = new Set<string>();
  const asked = suites.map((suite) => {
    const isNamed = wanted.includes(suite.name);
    if (isNamed) known.add(suite.name);
    const files = globSync(`tests/${suite.name}/**/*.test.ts`, { cwd: root }).filter((file) => {
      const paths = wanted.filter((path) => isIn(file, path));
      for (const path of paths) known.add(path);
      return isNamed || paths.length > 0 || (wanted.length === 0 && phases[suite.phase].onlyWhenNamed !== true);
    });
    return { suite, files };
  });
  const unknown = wanted.filter((name) => !known.has(name));
  if (unknown.length > 0) return `There are no tests at ${unknown.join(', ')}.`;
  return (Object.keys(phases) as PhaseName[]).flatMap((name) => partOf(name, asked));
}

function partOf(
  name: PhaseName,
  asked: readonly { readonly suite: Suite; readonly files: readonly string[] }[],
): Part[] {
  const parts = asked
    .map(({ suite, files }) => ({ suite, files: files.filter((file) => phaseOf(suite, file) === name) }))
    .filter(({ files }) => files.length > 0);
  if (parts.length === 0) return [];
  const placeOf = ({ first = [] }: Suite, file: string): number => {
    const place = first.indexOf(titleOf(file));
    return place === -1 ? Number.MAX_SAFE_INTEGER : place;
  };
  const files = parts
    .flatMap(({ suite, files: own }) => own.map((file) => ({ file, place: placeOf(suite, file) })))
    .toSorted((a, b) => a.place - b.place || (a.file < b.file ? -1 : 1));
  const title = parts.map(({ suite }) => suite.name).join(', ');
  return [
    {
      ...phases[name],
      name: name === 'one at a time' ? `${title}, ${name}` : title,
      needs: [...new Set(parts.flatMap(({ suite }) => suite.needs))],
      files: files.map(({ file }) => file),
    },
  ];
}

function titleOf(file: string): string {
  return basename(file, '.test.ts');
}

function phaseOf({ alone = [], phase }: Suite, file: string): PhaseName {
  return alone.includes(titleOf(file)) ? 'one at a time' : phase;
}

/** One core each: most of these tests wait for nothing. */
function halvesOf(files: readonly string[]): readonly (readonly string[])[] {
  const halves = [0, 1].map((half) => files.filter((_, index) => index % 2 === half));
  return halves.filter((half) => half.length > 0);
}

function isIn(file: string, path: string): boolean {
  const asked = relative(root, join(process.cwd(), path));
  return file === asked || file.startsWith(asked.endsWith(sep) ? asked : `${asked}${sep}`);
}

/** What tests see: no setting of whoever runs them, and the servers they share. */
async function environmentOf(
  needs: readonly ServerName[],
  shared: Map<ServerName, Server>,
  work: string,
): Promise<NodeJS.ProcessEnv> {
  const environment: NodeJS.ProcessEnv = { SENTINEL_TEST_RUN: run };
  for (const [name, value] of Object.entries(process.env))
    if (!/^(SENTINEL_|TEMPORAL_|PG[A-Z]+$|NODE_TEST_CONTEXT$)/.test(name)) environment[name] = value;
  for (const need of needs) {
    const variable = serverVariables[need];
    const given = process.env[variable];
    if (given === undefined && !shared.has(need)) shared.set(need, await startServer(need, join(work, need)));
    environment[variable] = given ?? shared.get(need)?.address;
  }
  return environment;
}

interface Run {
  readonly part: Part;
  readonly files: readonly string[];
  readonly flags: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  readonly totalsFile: string;
  /** As it comes; else it is kept to the end. */
  readonly isShown: boolean;
  readonly interrupt: AbortSignal;
}

interface Ended {
  /** Every test passed, and the processes ended by themselves. */
  readonly passed: boolean;
  /** What was kept of it. */
  readonly output: string;
}

function runPart({ part, files, flags, environment, totalsFile, isShown, interrupt }: Run): Promise<Ended> {
  const timeout = `--test-timeout=${part.testLimitSeconds * 1_000}`;
  const args = [
    `--import=${join(harness, 'exit.ts')}`,
    ...(part.atOnce === 0
      ? [
          '--test',
          '--test-isolation=none',
          timeout,
          `--test-reporter=${join(harness, 'reporter.ts')}`,
          '--test-reporter-destination=stdout',
          `--test-reporter=${join(harness, 'totals.ts')}`,
          `--test-reporter-destination=${totalsFile}`,
        ]
      : [join(harness, 'run-files.ts'), timeout, `--files-at-once=${part.atOnce}`, `--totals=${totalsFile}`]),
    ...flags,
    ...files,
  ];
  return new Promise((resolve, reject) => {
    // A group of its own, so that what a test has started ends with it.
    const stdio: StdioOptions = isShown ? 'inherit' : ['ignore', 'pipe', 'pipe'];
    const child = spawn(process.execPath, args, { cwd: root, env: environment, stdio, detached: true });
    const kept: Buffer[] = [];
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => kept.push(chunk));
    const end = (signal: NodeJS.Signals): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, signal);
      } catch {
        // The group is gone.
      }
    };
    const stop = (): void => {
      end('SIGTERM');
      setTimeout(() => end('SIGKILL'), 5_000).unref();
    };
    const limit = setTimeout(() => {
      say(`\n${part.name} took longer than ${part.limitMinutes} minutes.\n`);
      stop();
    }, part.limitMinutes * 60_000);
    interrupt.addEventListener('abort', stop, { once: true });
    child.once('error', reject);
    child.once('exit', () => end('SIGKILL'));
    child.once('close', (code) => {
      clearTimeout(limit);
      interrupt.removeEventListener('abort', stop);
      resolve({ passed: code === 0, output: Buffer.concat(kept).toString() });
    });
  });
}

/** What it came to; nothing when its process died. */
async function readTotals(file: string): Promise<Totals | null> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text === '' ? null : (JSON.parse(text) as Totals);
}

function conclude(sums: Counts, failures: readonly Failure[], clean: boolean, tookMs: number): number {
  const failed = sums.failed + sums.cancelled;
  // On a prepared machine nothing may be missing, so nothing may be skipped.
  const mayNotSkip = process.env.CI !== undefined && process.getuid?.() === 0 && sums.skipped > 0;
  say(`\n${summaryOf(failures)}`);
  if (sums.tests === 0) say('No test ran.\n');
  if (!clean && failed === 0) say('A suite did not end as it should.\n');
  if (mayNotSkip) say('Tests were skipped, which is a failure where CI is set and the tests run as root.\n');
  const counts = {
    tests: sums.tests,
    suites: sums.suites,
    pass: sums.passed,
    fail: sums.failed,
    cancelled: sums.cancelled,
  };
  for (const [name, count] of Object.entries({ ...counts, skipped: sums.skipped, todo: sums.todo }))
    say(`# ${name} ${count}\n`);
  say(`# duration_ms ${Math.round(tookMs)}\n`);
  say(`${sums.passed} passed, ${failed} failed, ${sums.skipped} skipped\n`);
  return clean && failed === 0 && sums.tests > 0 && !mayNotSkip ? 0 : 1;
}

function slowestOf(durations: readonly Duration[]): string {
  const slowest = durations.toSorted((a, b) => b.seconds - a.seconds).slice(0, slowestFiles);
  return ['Slowest files:', ...slowest.map(({ file, seconds }) => `  ${Math.round(seconds)} s  ${file}`), ''].join(
    '\n',
  );
}

/** What failed, so short that the end of a long log names all of it. */
function summaryOf(failures: readonly Failure[]): string {
  if (failures.length === 0) return '';
  const shown = failures.slice(0, summaryLines);
  const reasonLines = Math.floor(summaryLines / shown.length) - 1;
  const lines = shown.flatMap(({ place, title, reason }) => [
    `  ${place} ${title}`,
    ...reason
      .split('\n')
      .slice(0, reasonLines)
      .map((line) => `      ${line}`),
  ]);
  const more = failures.length - shown.length;
  return `Failed:\n${lines.join('\n')}\n${more > 0 ? `  and ${more} more\n` : ''}\n`;
}

function say(text: string, exitCode = 0): number {
  process.stdout.write(text);
  return exitCode;
}
