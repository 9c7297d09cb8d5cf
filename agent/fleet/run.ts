// One run of a scenario: identities, devices, votes and census, and in the end the report.
import { join } from 'node:path';
import type { Client } from '#client/client.ts';
import type { Clock, Log, Random } from '#contracts/deps.ts';
import { createDevelopmentCa } from '#protocols/development-ca.ts';
import { createApprovalQueue } from './approval-queue.ts';
import { approveDemoDevices, asApprover } from './approve.ts';
import type { EvidenceFor } from './attestation.ts';
import { takeCensus, type Census } from './census.ts';
import { prepareDevices, runFleet } from './fleet.ts';
import { createJudge, type Judge } from './judge.ts';
import { watchPaused } from './paused.ts';
import { planFleet } from './plan.ts';
import type { ProgressNumbers } from './progress.ts';
import { makeReport, type Report } from './report.ts';
import type { Scenario } from './scenario.ts';
import { createTally, type Tally } from './tally.ts';

export interface RunDeps {
  /** SENTINEL_HOME. */
  readonly home: string;
  readonly deviceUrl: string;
  readonly clock: Clock;
  /** Milliseconds that only ever grow. */
  readonly monotonicMs: () => number;
  readonly random: Random;
  readonly log: Log;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly readPaused: () => Promise<ReadonlySet<string>>;
  readonly evidenceFor: EvidenceFor;
  /** Finds out where people sign in now, and makes clients of it. */
  readonly findApi: () => Promise<(token?: string) => Client>;
  readonly passwordOf: (username: string) => Promise<string>;
  /** SENTINEL_PENDING_DEVICES_LIMIT of the server. */
  readonly pendingLimit: number;
  /** What this process has used so far. */
  readonly usage: () => Report['process'];
  readonly progress: (look: () => ProgressNumbers) => { end(): void };
}

const pausedLookMs = 500;
const censusLimitMs = 60_000;
/** A device that has shown no key by then is approved without one. */
const keyWithinSeconds = 120;
const limits = { firstIntervalSeconds: 15, pendingSeconds: 5, longestSeconds: 60 };

/** Runs until the time of the scenario is over or the signal aborts. */
export async function runScenario(
  deps: RunDeps,
  scenario: Scenario,
  seed: number,
  stop: AbortController,
): Promise<Report> {
  const { clock, log, random, sleep } = deps;
  const directory = join(deps.home, 'fleet');
  const ca = await createDevelopmentCa(join(deps.home, 'ca'), { clock, random });
  const withPeople = scenario.with_people ?? false;
  const tally = createTally((mismatch) => log.warn({ ...mismatch }, 'An answer is not what it should be'));
  const judge = createJudge({ tally, clock, pendingLimit: deps.pendingLimit, withPeople });
  const plans = planFleet(scenario, { devices: scenario.devices, seed });

  const before = deps.monotonicMs();
  const devices = await prepareDevices({ directory, ca, clock, random, log, tally }, plans, stop.signal);
  const kept = devices.filter(({ identity }) => identity.kept).length;
  const certificates = { made: devices.length - kept, kept, seconds: secondsSince(deps, before) };

  const decisions = new Map(plans.map(({ deviceId, vote }) => [deviceId, vote?.decision]));
  const approvals = await createApprovalQueue({
    file: join(directory, 'votes.json'),
    random,
    log,
    sleep,
    approve: async (fingerprints, settled, signal) =>
      approveDemoDevices(
        {
          ...(await approverOf(deps, scenario)),
          decisionOn: (deviceId) => decisions.get(deviceId) ?? 'approve',
          awaitsKey: (deviceId) =>
            deps.evidenceFor(deviceId) !== null && secondsSince(deps, startMs) < keyWithinSeconds,
          watch: judge,
        },
        fingerprints,
        settled,
        signal,
      ),
  });
  const paused = watchPaused(
    deps.readPaused,
    (signal) => sleep(pausedLookMs, signal),
    (ids) => log.info({ paused: [...ids] }, 'The list of paused devices has changed'),
  );
  let foreign: ReturnType<typeof createDevelopmentCa> | null = null;
  const startedAt = clock.now();
  const startMs = deps.monotonicMs();
  const member = {
    directory,
    deviceUrl: deps.deviceUrl,
    ca,
    foreignCa: () => (foreign ??= createDevelopmentCa(join(directory, 'foreign-ca'), { clock, random })),
    clock,
    elapsedMs: () => deps.monotonicMs() - startMs,
    random,
    log,
    limits: limitsFor(scenario),
    intervalSeconds: scenario.interval_seconds ?? null,
    sleep,
    paused,
    approvals,
    judge,
    tally,
    evidenceFor: deps.evidenceFor,
  };
  const line = deps.progress(() => numbers(tally, judge, scenario.devices, secondsSince(deps, startMs)));
  const timer =
    scenario.duration_seconds === undefined
      ? null
      : setTimeout(() => stop.abort(new Error('the time is over')), scenario.duration_seconds * 1_000);
  const work = [paused.run(stop.signal), approvals.run(stop.signal), runFleet(member, devices, stop.signal)];
  try {
    await Promise.all(work);
  } finally {
    if (timer !== null) clearTimeout(timer);
    // One that failed ends the others too.
    stop.abort();
    await Promise.allSettled(work);
    line.end();
  }
  const seconds = secondsSince(deps, startMs);
  const stoppedEarly = seconds < (scenario.duration_seconds ?? 0) - 0.5;
  const { census, problems } = await censusOf(deps, scenario, judge);
  return makeReport(
    {
      scenario: scenario.name,
      seed,
      planned: plans.length,
      startedAt,
      seconds,
      stoppedEarly,
      certificates,
      census,
      busyShare: scenario.busy_share ?? 0.05,
      problems,
      process: deps.usage(),
    },
    tally,
    judge,
  );
}

/** Who votes, and looks at the records in the end. */
async function approverOf(deps: RunDeps, { approve }: Scenario) {
  const username = approve?.by ?? '';
  const [clientOf, password] = await Promise.all([deps.findApi(), deps.passwordOf(username)]);
  return { clientOf, username, password, log: deps.log };
}

/** Where people interfere, the records are theirs too; without somebody who may look there is nothing to see. */
async function censusOf(
  deps: RunDeps,
  scenario: Scenario,
  judge: Judge,
): Promise<{ census: Census | null; problems: string[] }> {
  if (scenario.approve === undefined || scenario.with_people === true) return { census: null, problems: [] };
  const signal = AbortSignal.timeout(censusLimitMs);
  try {
    const approver = await approverOf(deps, scenario);
    const census = await asApprover(approver, signal, (client) => takeCensus(client, scenario.name, judge, signal));
    return { census, problems: [] };
  } catch (error) {
    return { census: null, problems: [`the records could not be compared: ${(error as Error).message}`] };
  }
}

function numbers(tally: Tally, judge: Judge, planned: number, seconds: number): ProgressNumbers {
  let up = 0;
  let waiting = 0;
  for (const { seen, identity } of judge.all().values()) {
    if (seen === 'yes') up += 1;
    if (seen === 'yes' && identity !== 'approved' && identity !== 'rejected') waiting += 1;
  }
  const { answers, mismatches, unanswered, broken } = tally.totals;
  return { seconds, up, planned, answers, waiting, wrong: mismatches + unanswered + broken };
}

function secondsSince({ monotonicMs }: Pick<RunDeps, 'monotonicMs'>, startMs: number): number {
  return Math.round(monotonicMs() - startMs) / 1_000;
}

function limitsFor({ interval_seconds: seconds }: Scenario): typeof limits {
  if (seconds === undefined) return limits;
  return { ...limits, firstIntervalSeconds: seconds, pendingSeconds: Math.min(limits.pendingSeconds, seconds) };
}
