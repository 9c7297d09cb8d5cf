// What verdicts on evidence take: bytes of the database for each, time to write one, and time to clear a million of them away.
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import type { StoredChallenge } from '#contracts/attestation.ts';
import type { Json } from '#contracts/deps.ts';
import { defaultProject } from '#contracts/ids.ts';
import { standingAfter } from '#machines/attestation-standing.ts';
import { basisDigest } from '#protocols/attestation-basis.ts';
import { judgeEvidence } from '#protocols/attestation-verdict.ts';
import { digestOf } from '#protocols/canonical-json.ts';
import { recordVerdict } from '#store/attestation.ts';
import { prune } from '#store/reconcile.ts';
import type { Store } from '#store/store.ts';
import {
  challengeOf,
  circumstancesFor,
  judgedAt,
  provenEvidence,
  quoteBasis,
} from '#tests/unit/protocols/judgements.ts';
import { endorsementVector, quoteVector, vectors } from '#tests/unit/protocols/tpm-vectors.ts';
import { withCleanup } from './cleanup.ts';
import type { Bench } from './main.ts';
import { percentile, spread } from './percentile.ts';
import { cpuSecondsOfGroups } from './process-groups.ts';
import type { Measurement } from './result.ts';
import { benchPostgres } from './servers.ts';

const devices = 64;
const verdictsEach = 100;
const writers = 16;
const prunedDevices = 1_000;
const pruned = 1_000_000;
const retentionDays = 7;
const heartbeatsADay = 86_400 / 15;

const vector = quoteVector('rsassa', 'sha256');
const basis = quoteBasis(vector);
const judged = judgeEvidence({
  evidence: provenEvidence(vector),
  circumstances: circumstancesFor(vector),
  basis,
  now: judgedAt,
});
const shapes = {
  'bare endorsement key': {},
  'certificate and chain': {
    ek_certificate: endorsementVector('rsa').certificate ?? '',
    endorsement_chain: [vectors.authorities[1]],
  },
} as const;

export const verdictsBench: Bench = (say) =>
  withCleanup(async (cleanup) => {
    say('starts a database');
    const postgres = await benchPostgres(cleanup);
    const api = await postgres.open('sentinel_api', writers);
    const worker = await postgres.open('sentinel_worker', 2);
    const owner = new pg.Client({ connectionString: postgres.ownerUrl });
    owner.on('error', () => {});
    await owner.connect();
    cleanup.after(() => owner.end());
    await owner.query(`SELECT set_config('sentinel.project', $1, false)`, [defaultProject]);
    const measurements: Measurement[] = [];
    for (const [shape, endorsement] of Object.entries(shapes)) {
      say(`writes verdicts: ${shape}`);
      const fleet = Array.from({ length: devices }, (_, device) => steadyDevice(`${shape} ${device}`, endorsement));
      await writeAll(api, fleet, 3);
      const [bytes, logged] = [await bytesOf(owner), await loggedBy(owner)];
      const [began, busy, busyHere] = [performance.now(), busyOf(postgres.pid), process.cpuUsage()];
      const took = await writeAll(api, fleet, verdictsEach);
      const seconds = (performance.now() - began) / 1000;
      const { user, system } = process.cpuUsage(busyHere);
      const each = ((await bytesOf(owner)) - bytes) / took.length;
      measurements.push(
        single(`a verdict, ${shape}`, 'bytes', each),
        single(`what Postgres logs for it, ${shape}`, 'bytes', ((await loggedBy(owner)) - logged) / took.length),
        single(`a device with a heartbeat every 15 s, ${shape}`, 'MB/day', (each * heartbeatsADay) / 1e6),
        single(`processor time of Postgres, ${shape}`, 'ms', ((busyOf(postgres.pid) - busy) * 1000) / took.length),
        single(`processor time of the API, ${shape}`, 'ms', (user + system) / 1000 / took.length),
        single(`written by ${writers} at once, ${shape}`, 'verdicts/s', took.length / seconds),
        { label: `time of each, ${shape}`, unit: 'ms', value: percentile(took, 0.5), ...spread(took) },
      );
    }
    say(`fills ${pruned} old verdicts`);
    await fill(owner);
    say('clears them away');
    measurements.push(...(await measurePruning(worker, owner)));
    return { measurements, ratios: {} };
  });

async function measurePruning(worker: Store, owner: pg.Client): Promise<Measurement[]> {
  const batches: number[] = [];
  const timed: Store = {
    ...worker,
    async query(text, values) {
      const began = performance.now();
      const rows = await worker.query<never>(text, values);
      if (text.includes('prune_verdicts')) batches.push(performance.now() - began);
      return rows;
    },
  };
  const began = performance.now();
  const removed = await prune(timed, new Date(), { verdictDays: retentionDays });
  const seconds = (performance.now() - began) / 1000;
  if (removed['attestation_verdicts'] !== pruned) throw new Error(`${JSON.stringify(removed)} were removed`);
  const { rows } = await owner.query<{ left: number }>(
    `SELECT count(*)::integer AS left FROM attestation_verdict WHERE device_id LIKE 'old-%'`,
  );
  if (rows[0]?.left !== prunedDevices) throw new Error('the last verdict of each device stays');
  return [
    single(`${pruned.toLocaleString('en')} verdicts cleared away`, 's', seconds),
    { label: 'each batch of these', unit: 'ms', value: percentile(batches, 0.5), ...spread(batches) },
  ];
}

/** Each writer has devices of its own, which take turns: a device answers one challenge after the other. */
async function writeAll(api: Store, fleet: readonly SteadyDevice[], each: number): Promise<number[]> {
  const took: number[] = [];
  await Promise.all(
    Array.from({ length: writers }, async (_, writer) => {
      const own = fleet.filter((_device, index) => index % writers === writer);
      for (let turn = 0; turn < each; turn += 1) {
        for (const device of own) {
          const began = performance.now();
          await device.answer(api);
          took.push(performance.now() - began);
        }
      }
    }),
  );
  return took;
}

interface SteadyDevice {
  /** Has a verdict written, and is asked anew. */
  answer(api: Store): Promise<void>;
}

/** What goes on as it was: nonce, quote, signature and clock are new each time, and all else is as before. */
function steadyDevice(device_id: string, endorsement: object): SteadyDevice {
  let asked: StoredChallenge | null = null;
  let beats = 0;
  return {
    async answer(api) {
      beats += 1;
      const now = new Date().toISOString();
      const { activated_secret: _, ...proven } = provenEvidence(vector);
      const { quote, signature } = proven;
      const nonce = asked?.nonce ?? nonceOf();
      const evidence = { ...proven, ...endorsement, nonce, quote: another(quote), signature: another(signature) };
      const clock = judged.clock && { ...judged.clock, clock_ms: judged.clock.clock_ms + beats * 15_000 };
      const key = { provider: basis.provider, key_id: vector.ak_name, binding_id: judged.binding_id };
      const result = { ...judged, clock, fresh_until: now };
      const circumstances = circumstancesFor(vector, {
        ...{ device_id, challenge: asked, bound: key, proven: key, last_clock: judged.clock },
        assigned_tags: ['lab', 'linux'],
      });
      const next = challengeOf(vector, { nonce: nonceOf(), activation: null });
      const recorded = await recordVerdict(
        api,
        defaultProject,
        {
          ...{ device_id, circumstances, basis, result },
          evidence: evidence as unknown as Json,
          evidence_digest: digestOf(evidence),
          basis_digest: basisDigest(basis),
          activates: false,
        },
        {
          ...{ now, next, mostUnmoving: 4, announce: () => [] },
          standingAfter: (before) => standingAfter(before, result, { provider: basis.provider, at: now }),
        },
      );
      if (recorded === null) throw new Error('somebody else answered');
      asked = next;
    },
  };
}

const nonceOf = (): string => randomBytes(32).toString('base64url');

/** As long, and as little alike. */
const another = (text: string): string => randomBytes(Math.floor((text.length * 3) / 4)).toString('base64url');

/** Verdicts that moved nothing, older than they are kept for, in the order in which devices would have sent them. */
async function fill(owner: pg.Client): Promise<void> {
  const each = pruned / prunedDevices;
  await owner.query(
    `INSERT INTO attestation_verdict
     SELECT r.* FROM generate_series(1, $1 + 1) n
     CROSS JOIN generate_series(1, $2) d
     JOIN LATERAL (SELECT v.* FROM attestation_verdict v
       WHERE v.device_id = 'certificate and chain ' || d % $3 AND v.verdict = 2) seed ON true
     CROSS JOIN LATERAL jsonb_populate_record(seed::attestation_verdict, jsonb_build_object('device_id', 'old-' || d,
       'verdict', n, 'changed', false, 'at', now() - $4 * interval '1 day' - ($1 + 2 - n) * interval '15 seconds')) r
     ORDER BY n, d`,
    [each, prunedDevices, devices, retentionDays],
  );
  await owner.query(
    `INSERT INTO device_attestation (project_id, device_id, state, generation, verdict, provider, updated_at)
     SELECT $1, 'old-' || d, 'challenged', 1, $2 + 1, 'tpm_quote_v1', now() FROM generate_series(1, $3) d`,
    [defaultProject, each, prunedDevices],
  );
  await owner.query('VACUUM ANALYZE attestation_verdict');
}

const busyOf = (pid: number): number => cpuSecondsOfGroups([pid])[0] ?? Number.NaN;

/** With indexes, and what is kept beside the rows. */
async function bytesOf(owner: pg.Client): Promise<number> {
  const { rows } = await owner.query<{ bytes: number }>(
    `SELECT sum(pg_total_relation_size(oid))::float8 AS bytes FROM pg_class
     WHERE relname ~ '^attestation_(verdict|basis|common)$'`,
  );
  return rows[0]?.bytes ?? Number.NaN;
}

async function loggedBy(owner: pg.Client): Promise<number> {
  const { rows } = await owner.query<{ bytes: number }>(
    `SELECT (pg_current_wal_insert_lsn() - '0/0')::float8 AS bytes`,
  );
  return rows[0]?.bytes ?? Number.NaN;
}

function single(label: string, unit: string, value: number): Measurement {
  return { label, unit, value, p50: null, p99: null };
}
