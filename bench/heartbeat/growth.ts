// What a heartbeat costs when more devices are enrolled: the same installation with fleets of four sizes, side by side, and
// heartbeats of random devices out of the whole fleet.
import type { Measured } from '../result.ts';
import { copyDevices, fillDenylist, settle, usedCounter } from './enrol.ts';
import type { Fleet } from './fleet-names.ts';
import type { Identity } from './generator.ts';
import { mainDatabase, type Installation } from './installation.ts';
import { costOf, measurementsOf, ratioInTurns, runRounds, type Contestant } from './closed-loop.ts';
import type { Load } from './load.ts';
import { requireCounters, storedCounters } from './verify.ts';

const sizes = [1_000, 10_000, 100_000, 1_000_000];
const turns = 4;
const lengths = { leadMs: 1_000, measuredMs: 3_000 };
/** Of one who speaks for many, and of devices that are heard less often than they would be: see docs/performance.md. */
const settings = { SENTINEL_REQUIRE_CERT_COMMON_NAME_MATCH: 'false', SENTINEL_DEVICE_STALE_SECONDS: '86400' };

/** @param enrolled one connection and certificate each; no process may be connected to the main database any more */
export async function measureGrowth(
  installation: Installation,
  load: Load,
  enrolled: { readonly fleet: Fleet; readonly identities: readonly Identity[] },
  say: (progress: string) => void,
): Promise<Measured> {
  const contestants: Contestant[] = [];
  const fleets: Fleet[] = [];
  await installation.disconnect(mainDatabase);
  for (const size of sizes) {
    const fleet = { ...enrolled.fleet, copies: Math.round(size / enrolled.fleet.identities) - 1 };
    const name = `fleet_${size}`;
    say(`enrols ${(fleet.copies + 1) * fleet.identities} devices`);
    await installation.database('postgres').query(`CREATE DATABASE ${name} TEMPLATE ${mainDatabase}`);
    await fill(installation, name, fleet);
    const api = await installation.startApi({ database: name, settings });
    await load.open({
      name,
      fleet,
      url: `${api.url}/api/heartbeat`,
      identities: enrolled.identities,
      usedCounter,
    });
    fleets.push(fleet);
    contestants.push({
      name,
      label: `${size.toLocaleString('en')} devices`,
      groups: { API: api.pid, Postgres: installation.postgres.pid },
    });
  }
  say('sends heartbeats of devices all over these fleets');
  await runRounds(load, contestants, 1, lengths);
  const rounds = await runRounds(load, contestants, turns, lengths);
  for (const [index, { name }] of contestants.entries()) {
    const fleet = fleets[index] as Fleet;
    const stored = await storedCounters(installation.database(name), 'device_liveness', fleet);
    requireCounters(fleet, await load.counters(name), stored);
  }
  const cost = (round: Parameters<typeof costOf>[0]): number => costOf(round, ['API', 'Postgres']);
  const of = (size: number) => rounds.get(`fleet_${size}`) ?? [];
  return {
    measurements: contestants.flatMap((contestant) => measurementsOf(contestant, rounds.get(contestant.name) ?? [])),
    ratios: { growth_1k_to_1m: ratioInTurns(of(1_000_000), of(1_000), cost) },
  };
}

async function fill(installation: Installation, name: string, fleet: Fleet): Promise<void> {
  const database = installation.database(name);
  for (const table of ['device_observation', 'device_liveness', 'device']) {
    await database.query(`DELETE FROM ${table} WHERE device_id NOT LIKE $1`, [`${fleet.name}-%`]);
  }
  await copyDevices(database, fleet);
  await fillDenylist(database, fleet);
  await settle(database);
}
