// Heartbeats that carry evidence, beside the same heartbeats without: each is verified, recorded and asked anew.
import { generateKeyPairSync } from 'node:crypto';
import { measurementsOf, perSecond, ratioInTurns, runRounds, type Contestant } from './closed-loop.ts';
import { enrol, settle, usedCounter } from './enrol.ts';
import type { Fleet } from './fleet-names.ts';
import type { Identity, Round } from './generator.ts';
import { mainDatabase, startInstallation, type Installation } from './installation.ts';
import { startLoad } from './load.ts';
import { keyIdOf, measured } from './measurements.ts';
import type { Measured } from '../result.ts';
import { requireCounters, storedCounters } from './verify.ts';

/** So few that what is sent is no overload: each piece of evidence is a transaction. */
const connections = 16;
/** So short that no device sends more of it than is looked at in ten minutes. */
const turns = 4;
const lengths = { leadMs: 500, measuredMs: 2_000 };

const settings = {
  SENTINEL_ATTESTATION_PROVIDER: 'signed_measurement_v1',
  SENTINEL_ATTESTATION_REQUIRED: 'true',
  SENTINEL_ATTESTATION_PCR_BASELINES_JSON: JSON.stringify({ sha256: { 0: [measured.sha256[0]] } }),
};

export async function measureEvidence(say: (progress: string) => void): Promise<Measured> {
  say('starts Postgres and Temporal');
  const installation = await startInstallation();
  const load = startLoad();
  try {
    const main = installation.database(mainDatabase);
    const worker = await installation.startWorker(mainDatabase);
    const without = await installation.startApi({ database: mainDatabase });
    say('enrols devices');
    const fleets = { without: fleetOf('without'), with: fleetOf('with') };
    const plain = await enrol(installation, without, main, fleets.without);
    const attested = (await enrol(installation, without, main, fleets.with)).map((identity): Identity => {
      const { privateKey } = generateKeyPairSync('ed25519');
      return { ...identity, measurementKey: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string };
    });
    await bind(installation, attested);
    // What it does for devices is the same with and without evidence, once they are bound.
    await worker.stop();
    const with_ = await installation.startApi({ database: mainDatabase, settings });
    await settle(main);

    const Postgres = installation.postgres.pid;
    const contestants: Contestant[] = [
      { name: 'without', label: 'heartbeat', groups: { API: without.pid, Postgres } },
      { name: 'with', label: 'heartbeat with evidence', groups: { API: with_.pid, Postgres } },
    ];
    const open = (name: 'with' | 'without', url: string, identities: readonly Identity[]): Promise<void> =>
      load.open({ name, fleet: fleets[name], url: `${url}/api/heartbeat`, identities, usedCounter });
    await open('without', without.url, plain);
    await open('with', with_.url, attested);
    say(`sends heartbeats with and without evidence, ${turns} rounds of each`);
    const rounds = new Map<string, Round[]>(contestants.map(({ name }) => [name, []]));
    for (let turn = 0; turn <= turns; turn += 1) {
      await confirm(installation);
      const order = turn % 2 === 0 ? contestants : contestants.toReversed();
      const found = await runRounds(load, order, 1, lengths);
      // Once to warm up.
      if (turn > 0) for (const [name, some] of found) rounds.get(name)?.push(...some);
    }
    await verify(installation, await load.counters('with'), fleets.with);
    const of = (name: string) => rounds.get(name) ?? [];
    return {
      measurements: contestants.flatMap((contestant) => measurementsOf(contestant, of(contestant.name))),
      ratios: { heartbeat_with_evidence_to_without: ratioInTurns(of('with'), of('without'), perSecond) },
    };
  } finally {
    await load.stop();
    await installation.stop();
  }
}

function fleetOf(name: string): Fleet {
  return { name, identities: connections, copies: 0 };
}

/** As actors do once people have decided about a key. */
async function bind(installation: Installation, identities: readonly Identity[]): Promise<void> {
  await installation.database(mainDatabase).query(
    `UPDATE device SET attestation_provider = 'signed_measurement_v1', attestation_key = k.key_id
     FROM unnest($1::text[]) WITH ORDINALITY AS k (key_id, n) WHERE device_id = 'with-' || (k.n - 1)`,
    [identities.map(({ measurementKey }) => keyIdOf(measurementKey as string))],
  );
}

/**
 * As their actors do when the evidence of devices counts anew: each round begins with a heartbeat that answers nothing.
 * No heartbeat waits for its actor then, as none does while a device goes on.
 */
async function confirm(installation: Installation): Promise<void> {
  await installation.database(mainDatabase).query(
    `UPDATE device d SET attested_generation = 1 + coalesce((SELECT a.generation FROM device_attestation a
       WHERE a.project_id = d.project_id AND a.device_id = d.device_id), 0)
     WHERE device_id LIKE 'with-%'`,
  );
}

/** Each counter is what was answered, and every heartbeat but the first of a round has a verdict, which is that it holds. */
async function verify(
  installation: Installation,
  counters: Parameters<typeof requireCounters>[1],
  fleet: Fleet,
): Promise<void> {
  const main = installation.database(mainDatabase);
  requireCounters(fleet, counters, await storedCounters(main, 'device_liveness', fleet));
  const { rows } = await main.query<{ outcome: string; verdicts: number }>(
    `SELECT outcome, count(*)::integer AS verdicts FROM attestation_verdict GROUP BY outcome`,
  );
  const verified = rows.find(({ outcome }) => outcome === 'verified')?.verdicts ?? 0;
  const answers = counters.reduce((sum, one) => sum + one.answers, 0);
  const withoutEvidence = connections * (turns + 1);
  if (rows.length !== 1 || verified < answers - withoutEvidence)
    throw new Error(`${answers} heartbeats were answered, and the verdicts are ${JSON.stringify(rows)}`);
}
