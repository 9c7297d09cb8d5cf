// Events sealed a second, beside plain inserts of the same events, and beside a chain that its writers keep under a row lock.
import pg from 'pg';
import type { AuditEntry } from '#contracts/audit.ts';
import { defaultProject } from '#contracts/ids.ts';
import { record } from '#store/audit.ts';
import { chainHash, firstHash } from '#store/chain.ts';
import { sealChain } from '#store/sealer.ts';
import type { Store } from '#store/store.ts';
import { withProject } from '#store/with-project.ts';
import { withCleanup } from './cleanup.ts';
import type { Bench } from './main.ts';
import { percentile } from './percentile.ts';
import { benchPostgres } from './servers.ts';

const rounds = 5;
const writers = 16;
/** Of one statement and one transaction, for whoever may write many at once. */
const batch = 100;
const events = 5_000;
/** One transaction each. */
const singles = 400;
/** As the sealer takes them. */
const sealedAtOnce = 1_000;

const kinds = ['insert', 'insert one by one', 'seal', 'locked chain'] as const;
type Kind = (typeof kinds)[number];

export const sealerBench: Bench = (say) =>
  withCleanup(async (cleanup) => {
    say('starts a database');
    const postgres = await benchPostgres(cleanup);
    const api = await postgres.open('sentinel_api', writers);
    const sealer = await postgres.open('sentinel_sealer', 2);
    const owner = new pg.Pool({ connectionString: postgres.ownerUrl, max: writers });
    // Connections that are being closed hear of the server's end.
    owner.on('error', () => {});
    cleanup.after(() => owner.end());
    await createLockedChain(owner);
    const run: Record<Kind, () => Promise<number>> = {
      insert: () => perSecond(events, events / batch, () => insert(api, batch)),
      'insert one by one': () => perSecond(singles, singles, () => insert(api, 1)),
      seal: () => sealAll(sealer),
      'locked chain': () => perSecond(singles, singles, () => appendUnderLock(owner)),
    };
    for (const kind of kinds) await run[kind]();
    const done: Record<Kind, number[]> = { insert: [], 'insert one by one': [], seal: [], 'locked chain': [] };
    for (let round = 1; round <= rounds; round += 1) {
      say(`round ${round} of ${rounds}`);
      // What is sealed is what was inserted before it in the same round.
      for (const kind of kinds) done[kind].push(await run[kind]());
    }

    const ratio = (one: Kind, other: Kind): number =>
      percentile(
        done[one].map((rate, round) => rate / (done[other][round] ?? Number.NaN)),
        0.5,
      );
    const measurement = (label: string, kind: Kind) => ({
      label,
      unit: 'events/s',
      value: percentile(done[kind], 0.5),
      p50: null,
      p99: null,
    });
    return {
      measurements: [
        measurement(`sealed, ${sealedAtOnce} at once`, 'seal'),
        measurement(`inserted, ${batch} in a transaction, ${writers} writers`, 'insert'),
        measurement(`inserted, one in a transaction, ${writers} writers`, 'insert one by one'),
        measurement(`linked under a row lock, one in a transaction, ${writers} writers`, 'locked chain'),
      ],
      ratios: {
        ours_to_plain_insert: ratio('seal', 'insert'),
        ours_to_locked_chain: ratio('seal', 'locked chain'),
        single_inserts_to_locked_chain: ratio('insert one by one', 'locked chain'),
      },
    };
  });

/** Has the writers take turns at `calls` pieces of work. @returns events a second */
async function perSecond(count: number, calls: number, work: () => Promise<void>): Promise<number> {
  let left = calls;
  const began = performance.now();
  await Promise.all(
    Array.from({ length: writers }, async () => {
      while (left-- > 0) await work();
    }),
  );
  return count / ((performance.now() - began) / 1000);
}

/** Audit events without a place, and an outbox event for each: as every change writes them. */
function insert(store: Store, count: number): Promise<void> {
  const audit = Array.from({ length: count }, () => auditEntry());
  return withProject(store, defaultProject, (tx) => record(tx, { audit }));
}

/** Both chains; counted are audit events, as everywhere here. */
async function sealAll(store: Store): Promise<number> {
  let sealed = 0;
  const began = performance.now();
  for (const stream of ['audit', 'outbox'] as const) {
    for (let count = sealedAtOnce; count === sealedAtOnce;) {
      count = await sealChain(store, { project: defaultProject, stream }, sealedAtOnce);
      if (stream === 'audit') sealed += count;
    }
  }
  return sealed / ((performance.now() - began) / 1000);
}

/** The simpler design: whoever writes an event holds the chain's head until it is committed. */
async function appendUnderLock(pool: pg.Pool): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const { rows } = await client.query<{ sequence: number; hash: string }>(
      'SELECT sequence, hash FROM bench_head FOR UPDATE',
    );
    const [head] = rows;
    if (head === undefined) throw new TypeError('the chain has a head');
    const canonical = Buffer.from(JSON.stringify(auditEntry()));
    const link = {
      stream: 'audit',
      project: defaultProject,
      sequence: head.sequence + 1,
      previous_hash: head.hash,
    } as const;
    const hash = chainHash(link, canonical);
    await client.query('INSERT INTO bench_event (sequence, previous_hash, hash, canonical) VALUES ($1, $2, $3, $4)', [
      link.sequence,
      link.previous_hash,
      hash,
      canonical,
    ]);
    await client.query('UPDATE bench_head SET sequence = $1, hash = $2', [link.sequence, hash]);
    await client.query('COMMIT');
  } finally {
    client.release();
  }
}

async function createLockedChain(owner: pg.Pool): Promise<void> {
  await owner.query('CREATE TABLE bench_head (sequence integer NOT NULL, hash text NOT NULL)');
  await owner.query('INSERT INTO bench_head VALUES (0, $1)', [firstHash]);
  await owner.query(
    'CREATE TABLE bench_event (sequence integer PRIMARY KEY, previous_hash text NOT NULL, hash text NOT NULL, canonical bytea NOT NULL)',
  );
}

function auditEntry(): AuditEntry {
  return {
    occurred_at: new Date().toISOString(),
    category: 'identity',
    action: 'device.identity.approved',
    outcome: 'success',
    actor: { kind: 'user', id: 'ann', ip: '192.0.2.1' },
    subject: { kind: 'device', id: 'bench-device' },
    request_id: 'bench',
    details: { device_id: 'bench-device', epoch: 1, trust_tier: 'monitored', approvers: ['ann'], reason: null },
  };
}
