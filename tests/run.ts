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
  /** Files that run at once, each in a process of its own; 0 is a process for each half of them. */
  readonly atOnce: number;
  readonly testLimitSeconds: number;
  readonly suiteLimitMinutes: number;
  /** Of its files, those that run after the others and one at a time. */
  readonly alone?: readonly string[];
  /** Takes too long for every day: runs when it is named. */
  readonly onlyWhenNamed?: true;
}

/** Two at once suits two cores, and three where a test waits for a server most of the time. */
const suites: readonly Suite[] = [
  { name: 'unit', needs: [], atOnce: 0, testLimitSeconds: 60, suiteLimitMinutes: 5 },
  { name: 'store', needs: ['postgres'], atOnce: 2, testLimitSeconds: 60, suiteLimitMinutes: 10 },
  { name: 'activities', needs: ['postgres'], atOnce: 2, testLimitSeconds: 60, suiteLimitMinutes: 10 },
  { name: 'workflows', needs: ['postgres', 'temporal'], atOnce: 3, testLimitSeconds: 60, suiteLimitMinutes: 15 },
  { name: 'api', needs: ['postgres', 'temporal'], atOnce: 2, testLimitSeconds: 60, suiteLimitMinutes: 10 },
  // Starts servers of its own; the shared one sees to it that Temporal is installed once.
  {
    name: 'e2e',
    needs: ['temporal'],
    atOnce: 2,
    // What keeps every core busy, or is about how soon something is answered.
    alone: ['attacks', 'console', 'console-large-fleet', 'faults', 'operations', 'start'],
    testLimitSeconds: 180,
    suiteLimitMinutes: 30,
  },
  {
    name: 'long',
    needs: ['temporal'],
    atOnce: 1,
    testLimitSeconds: 86_400,
    suiteLimitMinutes: 1_500,
    onlyWhenNamed: true,
  },
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
    for (const { suite, files } of plan) {
      if (interrupt.signal.aborted) break;
      say(`\n── ${suite.name} ──\n`);
      const environment = await environmentOf(suite, shared, work);
      const halves = suite.atOnce === 0 ? halvesOf(files) : [files];
      const runs = halves.map(async (some, index) => {
        const totalsFile = join(work, `${suite.name}-${index}.json`);
        const isShown = index === 0;
        const given = { suite, files: some, flags, environment, totalsFile, isShown, interrupt: interrupt.signal };
        return { ...(await runSuite(given)), totals: await readTotals(totalsFile) };
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

/** The files of each suite that were asked for, in the order of the suites; a text says what was not understood. */
function planOf(wanted: readonly string[]): { suite: Suite; files: string[] }[] | string {
  const plan = [];
  const known = new Set<string>();
  for (const suite of suites) {
    const all = globSync(`tests/${suite.name}/**/*.test.ts`, { cwd: root }).toSorted();
    const files = all.filter((file) => {
      const asked = wanted.filter((name) => name === suite.name || isIn(file, name));
      for (const name of asked) known.add(name);
      return asked.length > 0 || (wanted.length === 0 && suite.onlyWhenNamed !== true);
    });
    if (wanted.includes(suite.name)) known.add(suite.name);
    plan.push(...partsOf(suite, files));
  }
  const unknown = wanted.filter((name) => !known.has(name));
  return unknown.length === 0 ? plan : `There are no tests at ${unknown.join(', ')}.`;
}

/** The files that may run at once, and those that may not. */
function partsOf(suite: Suite, files: readonly string[]): { suite: Suite; files: string[] }[] {
  const isAlone = (file: string): boolean => suite.alone?.includes(basename(file, '.test.ts')) ?? false;
  return [
    { suite, files: files.filter((file) => !isAlone(file)) },
    { suite: { ...suite, name: `${suite.name}, one at a time`, atOnce: 1 }, files: files.filter(isAlone) },
  ].filter((part) => part.files.length > 0);
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

/** What a suite's tests see: no setting of whoever runs them, and the servers they share. */
async function environmentOf(suite: Suite, shared: Map<ServerName, Server>, work: string): Promise<NodeJS.ProcessEnv> {
  const environment: NodeJS.ProcessEnv = { SENTINEL_TEST_RUN: run };
  for (const [name, value] of Object.entries(process.env))
    if (!/^(SENTINEL_|TEMPORAL_|PG[A-Z]+$|NODE_TEST_CONTEXT$)/.test(name)) environment[name] = value;
  for (const need of suite.needs) {
    const variable = serverVariables[need];
    const given = process.env[variable];
    if (given === undefined && !shared.has(need)) shared.set(need, await startServer(need, join(work, need)));
    environment[variable] = given ?? shared.get(need)?.address;
  }
  return environment;
}

interface Run {
  readonly suite: Suite;
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

function runSuite({ suite, files, flags, environment, totalsFile, isShown, interrupt }: Run): Promise<Ended> {
  const args = [
    '--test',
    `--import=${join(harness, 'exit.ts')}`,
    ...(suite.atOnce === 0 ? ['--test-isolation=none'] : [`--test-concurrency=${suite.atOnce}`]),
    `--test-timeout=${suite.testLimitSeconds * 1_000}`,
    `--test-reporter=${join(harness, 'reporter.ts')}`,
    '--test-reporter-destination=stdout',
    `--test-reporter=${join(harness, 'totals.ts')}`,
    `--test-reporter-destination=${totalsFile}`,
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
      say(`\n${suite.name} took longer than ${suite.suiteLimitMinutes} minutes.\n`);
      stop();
    }, suite.suiteLimitMinutes * 60_000);
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

/** What a suite came to; nothing when its process died. */
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
