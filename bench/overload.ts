// An outage and an overload: how long people wait while ten thousand devices come back at once, and what is still served
// when more is asked than two cores can do.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient, type Client } from '#client/client.ts';
import { createTransport } from '#client/node-transport.ts';
import { systemRandom } from '#contracts/deps.ts';
import { hashPassword } from '#protocols/password.ts';
import { withCleanup } from './cleanup.ts';
import { copyDevices, enrol, settle, usedCounter } from './heartbeat/enrol.ts';
import { deviceId, type Fleet } from './heartbeat/fleet-names.ts';
import { mainDatabase, startInstallation, type Api } from './heartbeat/installation.ts';
import { createOpenLoop, type Answer } from './heartbeat/open-loop.ts';
import type { Bench } from './main.ts';
import type { FleetCommand, Heard } from './overload/fleet.ts';
import { installPeer } from './peers/install.ts';
import { spread } from './percentile.ts';
import type { Measurement } from './result.ts';

const outage = {
  fleet: { name: 'herd', identities: 100, copies: 99 } satisfies Fleet,
  intervalSeconds: 30,
  frozenMs: 120_000,
  calmMs: 20_000,
  recoveryWithinMs: 900_000,
};
/** Of which one is revoked in each turn of what people ask. */
const spare: Fleet = { name: 'spare', identities: 1, copies: 9_999 };
const crowd: Fleet = { name: 'crowd', identities: 1, copies: 16_383 };
/** Heartbeats a second, until one is too many. */
const ramp = [1_000, 2_000, 3_000, 4_000, 5_000, 6_000, 8_000, 10_000, 12_000];
const rampSeconds = 4;
const overloadSeconds = 12;
/** What is left of a run once the admission has found its share. */
const settledAfterMs = 4_000;
const user = { username: 'bench', password: 'a password of this bench' };

export const overloadBench: Bench = (say) =>
  withCleanup(async (cleanup) => {
    say('starts Postgres, Temporal, worker, sealer and API');
    const vegeta = installPeer('vegeta');
    const installation = await startInstallation();
    cleanup.after(() => installation.stop());
    await installation.startWorker(mainDatabase);
    await installation.startSealer(mainDatabase);
    const { username, password } = user;
    const api = await installation.startApi({
      database: mainDatabase,
      settings: {
        SENTINEL_ADMIN_USERS_JSON: JSON.stringify([
          { username, roles: ['admin'], password_hash: await hashPassword(password) },
        ]),
        // One certificate speaks for many devices.
        SENTINEL_REQUIRE_CERT_COMMON_NAME_MATCH: 'false',
        SENTINEL_HEARTBEAT_INTERVAL_SECONDS: String(outage.intervalSeconds),
      },
    });
    const database = installation.database(mainDatabase);
    say('enrols devices');
    const identities = await enrol(installation, api, database, outage.fleet);
    await copyDevices(database, outage.fleet);
    await enrol(installation, api, database, spare);
    await copyDevices(database, spare);
    const [speaker] = await enrol(installation, api, database, crowd);
    await copyDevices(database, crowd);
    await settle(database);
    if (speaker === undefined) throw new TypeError('nobody is enrolled');

    const people = await startPeople(api, installation.ca.caCertificatePem);
    cleanup.after(() => people.stop());
    const devices = startFleet();
    cleanup.after(() => devices.stop());

    const count = outage.fleet.identities * (outage.fleet.copies + 1);
    say(`connects ${count} devices`);
    let since = Date.now();
    devices.tell({
      kind: 'start',
      url: api.url,
      ca: installation.ca.caCertificatePem,
      fleet: outage.fleet,
      identities,
      usedCounter,
      overMs: 120_000,
    });
    await untilHeard(devices, since, count);
    await sleep(outage.calmMs);
    people.take();
    await sleep(outage.calmMs);
    const calm = people.take();

    say(`freezes the API for ${outage.frozenMs / 1000} s`);
    // Nobody is left with a request that the outage itself holds up: what is measured is what comes after it.
    await people.pause();
    process.kill(api.pid, 'SIGSTOP');
    await sleep(outage.frozenMs);
    await devices.ask({ kind: 'heard', since: 0 });
    people.take();
    process.kill(api.pid, 'SIGCONT');
    since = Date.now();
    people.resume();
    const { seconds, outcomes } = await untilHeard(devices, since, count);
    const recovery = people.take();
    await devices.stop();

    say('looks for what it takes');
    const loop = await createOpenLoop(installation, vegeta, crowd, speaker, usedCounter);
    let taken = 0;
    for (const rate of ramp) {
      const answers = await loop.answers(api.url, { rate, seconds: rampSeconds });
      const share = answers.filter(({ status }) => status === 200).length / (rate * rampSeconds);
      if (share < 0.99) break;
      taken = rate;
    }
    if (taken === 0) throw new Error('not even the lowest rate was taken');
    await sleep(5_000);
    people.take();
    const atLimit = settled(await loop.answers(api.url, { rate: taken, seconds: overloadSeconds }));
    const peopleAtLimit = people.take();
    say(`sends twice as many as ${taken} a second`);
    const over = settled(await loop.answers(api.url, { rate: taken * 2, seconds: overloadSeconds }));
    const peopleOver = people.take();

    return {
      measurements: [
        waits('people, calm', calm),
        waits(`people, while ${count} devices come back`, recovery),
        one('until 99 % of them were heard', 's', seconds),
        ...Object.entries(outcomes)
          .toSorted(([a], [b]) => a.localeCompare(b))
          .map(([outcome, times]) => one(`  answered ${outcome}`, 'heartbeats', times)),
        one(`accepted when ${taken} a second are sent`, 'heartbeats/s', atLimit.accepted),
        waits('  people meanwhile', peopleAtLimit),
        one(`accepted when ${taken * 2} a second are sent`, 'heartbeats/s', over.accepted),
        one('  refused with a time to come back', 'heartbeats/s', over.shed),
        // The generator gives up on what it cannot send in time, too.
        one('  without an answer', 'heartbeats/s', over.lost),
        waits('  people meanwhile', peopleOver),
      ],
      ratios: { recovery_p99_seconds: spread(recovery.times).p99 / 1000 },
    };
  });

const one = (label: string, unit: string, value: number): Measurement => ({ label, unit, value, p50: null, p99: null });

function waits(label: string, { times, failed }: Asked): Measurement {
  const { p50, p99 } = spread(times);
  return {
    label: `${label} (${times.length} requests, ${failed} without an answer)`,
    unit: 'ms',
    value: p50,
    p50,
    p99,
  };
}

/** A second each, after the first seconds. */
function settled(answers: readonly Answer[]): { accepted: number; shed: number; lost: number } {
  const began = answers.reduce((first, { at }) => Math.min(first, at), Infinity);
  const late = answers.filter(({ at }) => at >= began + settledAfterMs);
  const perSecond = (chosen: readonly Answer[]): number =>
    (chosen.length * 1000) / (overloadSeconds * 1000 - settledAfterMs);
  const isShed = (status: number): boolean => status === 429 || status === 503;
  return {
    accepted: perSecond(late.filter(({ status }) => status === 200)),
    shed: perSecond(late.filter(({ status }) => isShed(status))),
    lost: perSecond(late.filter(({ status }) => status !== 200 && !isShed(status))),
  };
}

interface Asked {
  readonly times: readonly number[];
  readonly failed: number;
}

interface People {
  /** How long each request took that ended since the last time, in milliseconds, and how many had no answer. */
  take(): Asked;
  /** Resolves when nobody waits for an answer any more. */
  pause(): Promise<void>;
  resume(): void;
  stop(): Promise<void>;
}

/** Five people, each with one request after the other: lists, a device, the audit trail, and now and then a revocation. */
async function startPeople(api: Api, ca: string): Promise<People> {
  const transport = createTransport({ ca });
  const client = (token: string | null): Client =>
    createClient({
      baseUrl: api.url,
      fetch: transport.fetch,
      random: systemRandom,
      attempts: 1,
      ...(token === null ? {} : { token }),
    });
  const { token } = await client(null).admin.login(user);
  const signedIn = client(token);
  let times: number[] = [];
  let failed = 0;
  let asked = 0;
  let paused = false;
  let stopped = false;
  let revoked = 0;
  const requests: readonly (() => Promise<unknown>)[] = [
    () => signedIn.devices.list({ limit: 50 }),
    () => signedIn.devices.get(deviceId(outage.fleet, 0, 0)),
    () => signedIn.approvals.list({}),
    () => signedIn.audit.list({}),
    () => signedIn.admin.me(),
    () => signedIn.devices.revoke(deviceId(spare, 0, (revoked += 1)), { reason: 'lost' }),
  ];
  const work = async (first: number): Promise<void> => {
    for (let turn = first; !stopped; turn += 1) {
      await sleep(100);
      if (paused) continue;
      const began = performance.now();
      asked += 1;
      try {
        await requests[turn % requests.length]?.();
      } catch {
        // Whoever is not answered has waited all the same.
        failed += 1;
      }
      asked -= 1;
      times.push(performance.now() - began);
    }
  };
  const working = Promise.all([0, 1, 2, 3, 4].map(work));
  return {
    take() {
      const taken = { times, failed };
      times = [];
      failed = 0;
      return taken;
    },
    async pause() {
      paused = true;
      while (asked > 0) await sleep(10);
    },
    resume: () => void (paused = false),
    async stop() {
      stopped = true;
      await working;
      await transport.close();
    },
  };
}

interface Devices {
  tell(command: FleetCommand): void;
  ask(command: Extract<FleetCommand, { kind: 'heard' }>): Promise<Heard>;
  stop(): Promise<void>;
}

function startFleet(): Devices {
  const child = fork(join(import.meta.dirname, 'overload', 'fleet.ts'), { serialization: 'advanced' });
  return {
    tell: (command) => void child.send(command),
    async ask(command) {
      const answer = once(child, 'message', { signal: AbortSignal.timeout(60_000) });
      child.send(command);
      return ((await answer) as [Heard])[0];
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}

/** @returns how long it took, and what devices were answered meanwhile */
async function untilHeard(
  devices: Devices,
  since: number,
  count: number,
): Promise<{ seconds: number; outcomes: Readonly<Record<string, number>> }> {
  const outcomes: Record<string, number> = {};
  for (;;) {
    const heard = await devices.ask({ kind: 'heard', since });
    for (const [word, times] of Object.entries(heard.outcomes)) outcomes[word] = (outcomes[word] ?? 0) + times;
    const took = Date.now() - since;
    if (heard.devices >= count * 0.99) return { seconds: took / 1000, outcomes };
    if (took > outage.recoveryWithinMs)
      throw new Error(`only ${heard.devices} of ${count} devices were heard: ${JSON.stringify(outcomes)}`);
    await sleep(500);
  }
}
