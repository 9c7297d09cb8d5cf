// Twice as many heartbeats as the server can judge, sent by devices that take no notice of being refused: what is still
// accepted, and how long people wait meanwhile. The server has one core, and everybody else the other.
import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { withCleanup } from './cleanup.ts';
import { copyDevices, enrol, settle, usedCounter } from './heartbeat/enrol.ts';
import { deviceId, type Fleet } from './heartbeat/fleet-names.ts';
import type { Identity } from './heartbeat/generator.ts';
import { mainDatabase, startInstallation } from './heartbeat/installation.ts';
import { requireCounters, storedCounters } from './heartbeat/verify.ts';
import type { Bench } from './main.ts';
import type { Flood } from './overload/flood.ts';
import { startFlood } from './overload/start-flood.ts';
import { peopleSettings, startPeople, waits, type Asked } from './people.ts';
import { percentile } from './percentile.ts';
import type { Measurement } from './result.ts';

/**
 * One certificate speaks for all, each with a connection of its own: more than may be open at once. Whoever was sent away
 * rests for minutes, so each part has a crowd that has not been.
 */
const crowds = (['ramp', 'within', 'twice'] as const).map((name): Fleet => ({ name, identities: 1, copies: 4_095 }));
/** Of which one is revoked in each turn of what people ask. */
const spare: Fleet = { name: 'spare', identities: 1, copies: 9_999 };
/** Heartbeats a second, until no more are accepted than of fewer. */
const ramp = [4_000, 6_000, 8_000, 10_000, 12_000, 15_000, 18_000, 22_000, 26_000];
const rampTime = { leadMs: 1_500, measuredMs: 3_000 };
/** After so long the admission has found its share. */
const longTime = { leadMs: 6_000, measuredMs: 24_000 };
/** The share that is taken grows again to all of it. */
const restMs = 6_000;
const calmMs = 15_000;
const cores = { server: 0, others: 1 };

export const overloadBench: Bench = (say) =>
  withCleanup(async (cleanup) => {
    if (availableParallelism() < 2) throw new Error('one core for the server and one for everybody else are needed');
    // What is started is where its parent is.
    runOn(cores.server);
    cleanup.after(() => runOn(`0-${availableParallelism() - 1}`));
    say('starts Postgres, Temporal, worker, sealer and API');
    const installation = await startInstallation();
    cleanup.after(() => installation.stop());
    await installation.startWorker(mainDatabase);
    await installation.startSealer(mainDatabase);
    const api = await installation.startApi({
      database: mainDatabase,
      settings: { ...(await peopleSettings()), SENTINEL_REQUIRE_CERT_COMMON_NAME_MATCH: 'false' },
    });
    const database = installation.database(mainDatabase);
    say('enrols devices');
    await enrol(installation, api, database, spare);
    await copyDevices(database, spare);
    const speakers = new Map<Fleet, Identity>();
    for (const crowd of crowds) {
      const [identity] = await enrol(installation, api, database, crowd);
      if (identity === undefined) throw new TypeError('nobody is enrolled');
      speakers.set(crowd, identity);
      await copyDevices(database, crowd);
    }
    await settle(database);

    runOn(cores.others);
    const ca = installation.ca.caCertificatePem;
    const people = await startPeople(
      { url: api.url, ca },
      { device: deviceId(spare, 0, 0), spare: (index) => deviceId(spare, 0, index) },
    );
    cleanup.after(() => people.stop());

    /** Connects a crowd, lets it send, and looks whether the database has what it was answered. */
    async function withCrowd<T>(crowd: Fleet, work: (send: Send) => Promise<T>): Promise<T> {
      const identity = speakers.get(crowd);
      if (identity === undefined) throw new RangeError(`${crowd.name} is not enrolled`);
      const flood = startFlood();
      try {
        say(`connects ${crowd.copies + 1} devices`);
        await flood.open({ url: api.url, ca, identity, fleet: crowd, usedCounter });
        await sleep(restMs);
        const result = await work(async (rate, time) => {
          const flooding = flood.send({ rate, ...time });
          await sleep(time.leadMs);
          people.take();
          return { flood: await flooding, people: people.take() };
        });
        const { answered, sent } = await flood.counters();
        const stored = await storedCounters(database, 'device_liveness', crowd);
        requireCounters(crowd, [{ answered, sent, answers: 0 }], stored);
        return result;
      } finally {
        await flood.stop();
      }
    }

    people.take();
    await sleep(calmMs);
    const calm = people.take();

    const [ofRamp, ofWithin, ofTwice] = crowds as [Fleet, Fleet, Fleet];
    const ceiling = await withCrowd(ofRamp, async (send) => {
      let most = 0;
      for (const rate of ramp) {
        const { flood } = await send(rate, rampTime);
        const accepted = perSecond(flood.accepted, flood);
        say(`accepts ${Math.round(accepted)} of ${rate} a second`);
        most = Math.max(most, accepted);
        if (accepted < rate * 0.9) break;
        await sleep(restMs);
      }
      return most;
    });
    const within = Math.round(ceiling * 0.8);
    say(`sends ${within} a second`);
    const atMost = await withCrowd(ofWithin, (send) => send(within, longTime));
    const twice = Math.round(ceiling * 2);
    say(`sends ${twice} a second`);
    const over = await withCrowd(ofTwice, (send) => send(twice, longTime));

    return {
      measurements: [
        one('most that was accepted', 'heartbeats/s', ceiling),
        waits('people, calm', calm),
        ...ofFlood(`when ${within} a second are to be sent`, atMost.flood),
        ...ofPeople(atMost.people),
        ...ofFlood(`when ${twice} a second are to be sent`, over.flood),
        ...ofPeople(over.people),
      ],
      ratios: { goodput_to_ceiling: perSecond(over.flood.accepted, over.flood) / ceiling },
    };
  });

type Send = (
  rate: number,
  time: { readonly leadMs: number; readonly measuredMs: number },
) => Promise<{ readonly flood: Flood; readonly people: readonly Asked[] }>;

function runOn(cpus: number | string): void {
  execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', String(cpus), String(process.pid)]);
}

const perSecond = (count: number, { seconds }: Flood): number => count / seconds;

const one = (label: string, unit: string, value: number): Measurement => ({ label, unit, value, p50: null, p99: null });

function ofFlood(label: string, flood: Flood): Measurement[] {
  const { sent, unsent, accepted, acceptedMs, devices, refused, rests, others, busy } = flood;
  const each = (what: string, count: number): Measurement => one(`  ${what}`, 'heartbeats/s', perSecond(count, flood));
  return [
    one(`sent ${label}`, 'heartbeats/s', perSecond(sent, flood)),
    each('not sent: every connection waits for an answer or is not read', unsent),
    { ...each('accepted', accepted), ...{ p50: acceptedMs.p50, p99: acceptedMs.p99 } },
    one('  devices of which some were accepted', '', devices),
    each('refused with 429 and a time to come back', refused),
    ...(refused === 0
      ? []
      : [
          {
            ...one('  time to come back', 's', percentile(rests, 0.5)),
            p50: percentile(rests, 0.5),
            p99: percentile(rests, 0.99),
          },
          one('  different times to come back', '', new Set(rests).size),
        ]),
    ...Object.entries(others).map(([status, count]) =>
      each(
        status === '0' ? 'not answered: not read while the device is to rest, or lost' : `answered ${status}`,
        count,
      ),
    ),
    one('  of its core, the sender was busy for', '', busy),
  ];
}

function ofPeople(asked: readonly Asked[]): Measurement[] {
  return [
    waits('  people', asked),
    ...(['list', 'look', 'revoke', 'sign in'] as const).map((kind) => waits(`  people, ${kind}`, asked, kind)),
  ];
}
