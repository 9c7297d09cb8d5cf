// An outage: how long people wait while ten thousand devices come back at once, and how long that takes.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { withCleanup } from './cleanup.ts';
import { copyDevices, enrol, settle, usedCounter } from './heartbeat/enrol.ts';
import { deviceId, type Fleet } from './heartbeat/fleet-names.ts';
import { mainDatabase, startInstallation } from './heartbeat/installation.ts';
import type { Bench } from './main.ts';
import type { FleetCommand, Heard } from './outage/fleet.ts';
import { peopleSettings, startPeople, waits } from './people.ts';
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

export const outageBench: Bench = (say) =>
  withCleanup(async (cleanup) => {
    say('starts Postgres, Temporal, worker, sealer and API');
    const installation = await startInstallation();
    cleanup.after(() => installation.stop());
    await installation.startWorker(mainDatabase);
    await installation.startSealer(mainDatabase);
    const api = await installation.startApi({
      database: mainDatabase,
      settings: {
        ...(await peopleSettings()),
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
    await settle(database);

    const people = await startPeople(
      { url: api.url, ca: installation.ca.caCertificatePem },
      { device: deviceId(outage.fleet, 0, 0), spare: (index) => deviceId(spare, 0, index) },
    );
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

    return {
      measurements: [
        waits('people, calm', calm),
        waits(`people, while ${count} devices come back`, recovery),
        one('until 99 % of them were heard', 's', seconds),
        ...Object.entries(outcomes)
          .toSorted(([a], [b]) => a.localeCompare(b))
          .map(([outcome, times]) => one(`  answered ${outcome}`, 'heartbeats', times)),
      ],
      ratios: { recovery_p99_seconds: spread(recovery.map(({ milliseconds }) => milliseconds)).p99 / 1000 },
    };
  });

const one = (label: string, unit: string, value: number): Measurement => ({ label, unit, value, p50: null, p99: null });

interface Devices {
  tell(command: FleetCommand): void;
  ask(command: Extract<FleetCommand, { kind: 'heard' }>): Promise<Heard>;
  stop(): Promise<void>;
}

function startFleet(): Devices {
  const child = fork(join(import.meta.dirname, 'outage', 'fleet.ts'), { serialization: 'advanced' });
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
