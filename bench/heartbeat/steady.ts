// Steady heartbeats: the bare framework, ours, ours without batches and Flask in turn, in a closed loop and at a fixed rate.
import { join } from 'node:path';
import { findFreePort } from '#start/ports.ts';
import { installPeer } from '../peers/install.ts';
import { usageOf } from '../process-groups.ts';
import type { Measured, Measurement } from '../result.ts';
import { median, planRounds, ratio } from '../rounds.ts';
import { measurementsOf, perSecond, ratioInTurns, runRounds, type Contestant, type Rounds } from './closed-loop.ts';
import { copyDevices, enrol, settle, usedCounter } from './enrol.ts';
import type { Fleet } from './fleet-names.ts';
import { startFlask, type FlaskPeer } from './flask-peer.ts';
import type { Identity } from './generator.ts';
import { mainDatabase, type Api, type Installation, type Process } from './installation.ts';
import type { Load } from './load.ts';
import { createOpenLoop, type Latency, type OpenLoop } from './open-loop.ts';
import { measureSignals } from './signal-cost.ts';
import { readCalls } from './temporal-calls.ts';
import { answersOf, requireCounters, storedCounters } from './verify.ts';

/** Connections of each contestant, one a device. */
const connections = 64;
/** And once more with so many connections for each of these certificates, as a fleet has them; that takes longer to connect. */
const connectionsEach = 4;
const manyPlan = { turns: 4, leadMs: 3_000, measuredMs: 3_000 };
/** Rounds of each contestant. */
const usualPlan = { turns: 6, leadMs: 1_000, measuredMs: 3_000, openTurns: 5, openSeconds: 4 };
/** Of what the limit takes at most: the generator of the open loop needs more of the two cores than that of the closed one. */
const openLoad = 0.1;
/** So many that one comes round after seconds only: connections are opened the latest first, and would let its next heartbeat overtake. */
const openDevices = 32_768;
const probes = 8;

export interface Enrolled {
  readonly fleet: Fleet;
  readonly identities: readonly Identity[];
}

export interface Steady extends Measured {
  /** Devices that no heartbeat was sent of yet, for what is measured next. */
  readonly enrolled: Enrolled;
}

export async function measureSteady(
  installation: Installation,
  load: Load,
  say: (progress: string) => void,
  plan: typeof usualPlan = usualPlan,
): Promise<Steady> {
  const missing: string[] = [];
  const orMissing = async <T>(work: () => Promise<T> | T): Promise<T | null> => {
    try {
      return await work();
    } catch (error) {
      missing.push((error as Error).message);
      say((error as Error).message);
      return null;
    }
  };
  const processes: Process[] = [];
  const keep = <P extends Process>(process: P): P => {
    processes.push(process);
    return process;
  };

  const worker = keep(await installation.startWorker(mainDatabase));
  const sealer = keep(await installation.startSealer(mainDatabase));
  const database = mainDatabase;
  const ours = keep(await installation.startApi({ database }));
  const single = keep(await installation.startApi({ database, preload: 'batch-of-one.ts' }));
  // One certificate speaks for many devices, which come round more slowly than they would.
  const settings = { SENTINEL_REQUIRE_CERT_COMMON_NAME_MATCH: 'false', SENTINEL_DEVICE_STALE_SECONDS: '86400' };
  const atRate = keep(await installation.startApi({ database, settings }));
  const limit = keep(await startLimit(installation));

  say('enrols devices');
  const main = installation.database(database);
  const enrolled = async (name: string, identities: number, copies = 0): Promise<Enrolled> => {
    const fleet = { name, identities, copies };
    const found = { fleet, identities: await enrol(installation, ours, main, fleet) };
    if (copies > 0) await copyDevices(main, fleet);
    return found;
  };
  const fleets = {
    ours: await enrolled('ours', connections),
    single: await enrolled('single', connections),
    many: await enrolled('many', connections, connectionsEach - 1),
    rate: await enrolled('rate', 1, openDevices - 1),
    probe: await enrolled('probe', probes),
    growth: await enrolled('growth', connections),
  };
  const flaskFleet = { name: 'flask', identities: connections, copies: 0 };
  say('installs and starts Flask');
  const flask = await orMissing(async () => keep(await startFlask(installation, flaskFleet, usedCounter)));
  const vegeta = await orMissing(() => installPeer('vegeta'));
  await settle(main);

  say('counts what a signal costs Temporal');
  const signals = await measureSignals(installation, ours, main, { ...fleets.probe, usedCounter });
  const apis = [ours, single, atRate];
  const callsBefore = await readCalls(installation, apis);

  const Postgres = installation.postgres.pid;
  const contestants: Contestant[] = [
    { name: 'limit', label: 'bare Fastify', groups: { server: limit.pid } },
    {
      name: 'ours',
      label: 'Sentinel',
      groups: {
        API: ours.pid,
        Postgres,
        worker: worker.pid,
        sealer: sealer.pid,
        Temporal: installation.temporal.pid,
      },
    },
    { name: 'single', label: 'Sentinel, one statement each', groups: { API: single.pid, Postgres } },
    ...(flask === null ? [] : [{ name: 'flask', label: 'Flask', groups: { server: flask.pid, Postgres } }]),
  ];
  const open = (name: string, { url }: Pick<Api, 'url'>, { fleet, identities }: Enrolled): Promise<void> =>
    load.open({ name, fleet, url: `${url}/api/heartbeat`, identities, usedCounter });
  await open('limit', limit, fleets.ours);
  await open('ours', ours, fleets.ours);
  await open('single', single, fleets.single);
  if (flask !== null) await open('flask', flask, { fleet: flaskFleet, identities: flask.identities });
  say('warms up');
  await runRounds(load, contestants, 1, plan);
  say(`sends in a closed loop, ${plan.turns} rounds of each`);
  const rounds = await runRounds(load, contestants, plan.turns, plan);

  const many = contestantsWithMany({ limit, ours: atRate, Postgres });
  say(`sends over ${connections * connectionsEach} connections, ${manyPlan.turns} rounds of each`);
  for (const { name, url } of many) {
    const { fleet, identities } = fleets.many;
    await load.open({ name, fleet, url: `${url}/api/heartbeat`, identities, connectionsEach, usedCounter });
  }
  const manyRounds = await runRounds(load, many, manyPlan.turns, manyPlan);

  const limitRate = median((rounds.get('limit') ?? []).map(perSecond));
  const rate = Math.floor(limitRate * openLoad);
  const loops =
    vegeta === null
      ? null
      : await atFixedRate(installation, vegeta, { rate, limit, ours: atRate, fleet: fleets.rate, plan, say });
  if (loops !== null && loops.ratios === null) missing.push(`the machine was too busy to send ${rate} a second`);

  say('compares the database with what was answered');
  const answered = await verify(installation, load, { flask, fleets, flaskFleet, loop: loops?.oursLoop ?? null });
  const calls = (await readCalls(installation, apis)) - callsBefore;

  const memory = Object.entries<number>({
    'bare Fastify': limit.pid,
    'Sentinel’s API': ours.pid,
    'Sentinel’s worker': worker.pid,
    'Sentinel’s sealer': sealer.pid,
    Postgres,
    Temporal: installation.temporal.pid,
    ...(flask === null ? {} : { 'Flask, all workers': flask.pid }),
  }).map(([name, pid]) => row(`memory of ${name}`, 'MB', usageOf(pid).proportionalMegabytes));
  for (const process of processes.toReversed()) await process.stop();
  return {
    measurements: [
      ...contestants.flatMap((contestant) => measurementsOf(contestant, rounds.get(contestant.name) ?? [])),
      ...many.flatMap((contestant) => measurementsOf(contestant, manyRounds.get(contestant.name) ?? [])),
      ...(loops?.measurements ?? []),
      ...memory,
      ...signals,
    ],
    ratios: {
      ...ratiosOf(rounds, flask !== null),
      [`ours_to_limit_${connections * connectionsEach}`]: ratioInTurns(
        manyRounds.get('ours, many') ?? [],
        manyRounds.get('limit, many') ?? [],
        perSecond,
      ),
      ...loops?.ratios,
      temporal_calls_per_steady_heartbeat: calls / answered,
    },
    missing,
    enrolled: fleets.growth,
  };
}

/** The bare framework and Sentinel, as a fleet connects to them. */
function contestantsWithMany({
  limit,
  ours,
  Postgres,
}: {
  readonly limit: Api;
  readonly ours: Api;
  readonly Postgres: number;
}): (Contestant & { readonly url: string })[] {
  const label = (name: string): string => `${name}, ${connections * connectionsEach} connections`;
  return [
    { name: 'limit, many', label: label('bare Fastify'), url: limit.url, groups: { server: limit.pid } },
    { name: 'ours, many', label: label('Sentinel'), url: ours.url, groups: { API: ours.pid, Postgres } },
  ];
}

async function startLimit(installation: Installation): Promise<Api> {
  const port = await findFreePort();
  const { cert, key, ca } = installation.tls;
  const process_ = await installation.startServer({
    name: 'Bare Fastify',
    port,
    command: process.execPath,
    args: [join(import.meta.dirname, 'limit-server.ts'), String(port), cert, key, ca],
  });
  return { ...process_, url: `https://127.0.0.1:${port}` };
}

function ratiosOf(rounds: Rounds, withFlask: boolean): Record<string, number> {
  const of = (name: string) => rounds.get(name) ?? [];
  return {
    ours_to_limit: ratioInTurns(of('ours'), of('limit'), perSecond),
    ...(withFlask ? { ours_to_flask: ratioInTurns(of('ours'), of('flask'), perSecond) } : {}),
    batched_to_single: ratioInTurns(of('ours'), of('single'), perSecond),
  };
}

interface FixedRate {
  readonly rate: number;
  readonly limit: Api;
  readonly ours: Api;
  readonly fleet: Enrolled;
  readonly plan: typeof usualPlan;
  readonly say: (progress: string) => void;
}

async function atFixedRate(
  installation: Installation,
  vegeta: string,
  { rate, limit, ours, fleet: { fleet, identities }, plan, say }: FixedRate,
) {
  const [identity] = identities;
  if (identity === undefined) throw new TypeError('nobody is enrolled');
  const loops = {
    limit: await createOpenLoop(installation, vegeta, fleet, identity, usedCounter),
    ours: await createOpenLoop(installation, vegeta, fleet, identity, usedCounter),
  };
  const urls = { limit: limit.url, ours: ours.url };
  say(`sends ${rate} a second, ${plan.openTurns} rounds of each`);
  for (const name of ['limit', 'ours'] as const) await loops[name].run(urls[name], { rate, seconds: 1 });
  const found: Record<keyof typeof urls, Latency[]> = { limit: [], ours: [] };
  for (const name of planRounds(['limit', 'ours'] as const, plan.openTurns)) {
    const latency = await loops[name].run(urls[name], { rate, seconds: plan.openSeconds });
    if (latency !== null) found[name].push(latency);
  }
  if (found.limit.length === 0 || found.ours.length === 0)
    return { oursLoop: loops.ours, measurements: [], ratios: null };
  const measured = (label: string, latencies: readonly Latency[]): Measurement => {
    const p50 = median(latencies.map((latency) => latency.p50));
    return {
      label: `${label}, latency at ${rate}/s`,
      unit: 'ms',
      value: p50,
      p50,
      p99: median(latencies.map(({ p99 }) => p99)),
    };
  };
  return {
    oursLoop: loops.ours,
    measurements: [measured('bare Fastify', found.limit), measured('Sentinel', found.ours)],
    ratios: {
      p99_to_limit_p99: ratio(median(found.ours.map(({ p99 }) => p99)), median(found.limit.map(({ p99 }) => p99))),
    },
  };
}

/** @returns how many heartbeats Sentinel has answered */
async function verify(
  installation: Installation,
  load: Load,
  {
    flask,
    fleets,
    flaskFleet,
    loop,
  }: {
    flask: FlaskPeer | null;
    fleets: Record<'ours' | 'single' | 'many' | 'rate', Enrolled>;
    flaskFleet: Fleet;
    loop: OpenLoop | null;
  },
): Promise<number> {
  const main = installation.database(mainDatabase);
  let answered = 0;
  const closedLoops = [
    ['ours', fleets.ours],
    ['single', fleets.single],
    ['ours, many', fleets.many],
  ] as const;
  for (const [name, { fleet }] of closedLoops) {
    const counters = await load.counters(name);
    requireCounters(fleet, counters, await storedCounters(main, 'device_liveness', fleet));
    answered += answersOf(counters);
  }
  if (loop !== null) {
    const { sent } = loop;
    const counters = [{ answered: sent, sent, answers: sent.reduce((sum, counter) => sum + counter - usedCounter, 0) }];
    requireCounters(fleets.rate.fleet, counters, await storedCounters(main, 'device_liveness', fleets.rate.fleet));
    answered += answersOf(counters);
  }
  if (flask !== null) {
    const counters = await load.counters('flask');
    requireCounters(flaskFleet, counters, await storedCounters(flask.database, 'device', flaskFleet));
    const { rows } = await flask.database.query<{ rows: number }>('SELECT count(*)::integer AS rows FROM heartbeat');
    const sent = counters.reduce((sum, one) => sum + (one.sent[0] ?? 0) - usedCounter, 0);
    const written = rows[0]?.rows ?? 0;
    if (written < answersOf(counters) || written > sent) {
      throw new Error(`Flask answered ${answersOf(counters)} of ${sent} heartbeats, and has ${written} rows`);
    }
  }
  return answered;
}

function row(label: string, unit: string, value: number): Measurement {
  return { label, unit, value, p50: null, p99: null };
}
