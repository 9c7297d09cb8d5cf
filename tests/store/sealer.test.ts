// Sealing on a real database: every committed event gets its place once, in an order without gaps, whoever writes meanwhile.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, it, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { systemClock } from '#contracts/deps.ts';
import { readPublicKeys, verifyCheckpoint } from '#protocols/checkpoint.ts';
import { readSigningKey } from '#protocols/signed-envelope.ts';
import { headSequence, listAudit, listOutbox, recordAlone, sealLagSeconds } from '#store/audit.ts';
import { chainHash, firstHash } from '#store/chain.ts';
import { publicKeysFile } from '#store/checkpoint-files.ts';
import { sealChain, unsealedChains } from '#store/sealer.ts';
import type { Store } from '#store/store.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import { createCheckpoints, type Checkpoints } from '#worker/checkpoints.ts';
import { createSealer } from '#worker/seal.ts';
import { auditEntry } from './builders.ts';
import { addProject, type StoreTest, storeTest } from './database.ts';

let database: StoreTest;
beforeEach(async (t) => {
  database = await storeTest(t as TestContext);
  await addProject(database, 'other');
});

const write = (n: number, store: Store = database.api, project = 'default') =>
  recordAlone(store, project, auditEntry({ details: { n } }));
const sealAll = async (store: Store = database.sealer): Promise<void> => {
  for (const chain of await unsealedChains(store)) while ((await sealChain(store, chain, 7)) === 7);
};

interface Sealed {
  readonly sequence: number;
  readonly previous_hash: string;
  readonly hash: string;
  readonly canonical: Buffer;
}
const chainOf = (table: 'audit_event' | 'outbox_event', project = 'default') =>
  database.rows<Sealed>(
    `SELECT sequence::integer, previous_hash, hash, canonical FROM ${table} WHERE project_id = $1 ORDER BY sequence`,
    [project],
  );

function assertChain(rows: readonly Sealed[], stream: 'audit' | 'outbox', project = 'default'): void {
  let previous_hash = firstHash;
  for (const [index, row] of rows.entries()) {
    assert.equal(row.sequence, index + 1);
    assert.equal(row.previous_hash, previous_hash);
    const link = { stream, project, sequence: index + 1, previous_hash };
    assert.equal(row.hash, chainHash(link, row.canonical));
    previous_hash = row.hash;
  }
}

async function eventually(look: () => Promise<boolean>, what: string): Promise<void> {
  const until = performance.now() + 15_000;
  while (!(await look())) {
    if (performance.now() > until) throw new Error(`not within 15 s: ${what}`);
    await pause(10);
  }
}

async function checkpointing(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), 'sentinel-checkpoints-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const pem = () => generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const withKey = (key: string): Checkpoints =>
    createCheckpoints({
      store: database.sealer,
      key: readSigningKey(key),
      directory,
      clock: systemClock,
      random: { uuid: () => crypto.randomUUID() },
    });
  const checkpoints = withKey(pem());
  await checkpoints.publishKey();
  const files = async () =>
    (await readdir(directory)).filter((name) => name !== publicKeysFile).toSorted((a, b) => (a < b ? -1 : 1));
  const keys = async () => readPublicKeys(await readFile(join(directory, publicKeysFile), 'utf8'));
  const rows = () => database.rows<{ envelope: unknown }>('SELECT envelope FROM audit_checkpoint ORDER BY at');
  return { directory, checkpoints, withKey, pem, files, keys, rows };
}

describe('the sealer', () => {
  it('numbers what is committed in sequence, each linked to the one before, both streams apart (AU-01)', async () => {
    for (let n = 0; n < 20; n++) await write(n);
    await write(0, database.api, 'other');
    assert.deepEqual(
      await listAudit(database.api, 'default', {}, { limit: 9, after: null }),
      [],
      'unsealed has no place',
    );
    await sealAll();
    const audit = await chainOf('audit_event');
    assert.equal(audit.length, 20);
    assertChain(audit, 'audit');
    assertChain(await chainOf('outbox_event'), 'outbox');
    assertChain(await chainOf('audit_event', 'other'), 'audit', 'other');
    assert.equal(await headSequence(database.api, 'default', 'audit'), 20);
    assert.equal(await headSequence(database.api, 'other', 'audit'), 1);
    const listed = await listAudit(database.api, 'default', { order: 'oldest' }, { limit: 3, after: 4 });
    assert.deepEqual(
      listed.map(({ sequence, details }) => [sequence, details['n']]),
      [
        [5, 4],
        [6, 5],
        [7, 6],
      ],
    );
  });

  it('names what goes out by category and action, and an event of a name of its own by that (AU-10)', async () => {
    await recordAlone(database.api, 'default', auditEntry({ category: 'integration', action: 'connector.failed' }));
    await recordAlone(database.api, 'default', auditEntry({ category: 'operations', action: 'actor.adopted' }));
    await recordAlone(database.api, 'default', auditEntry({ action: 'device.trust.updated' }));
    await sealAll();
    const out = await listOutbox(database.api, 'default', { after: 0, limit: 9 });
    assert.deepEqual(
      out.map(({ type }) => type),
      ['audit.integration.connector.failed', 'audit.operations.actor.adopted', 'device.trust.updated'],
    );
  });

  it('gives what commits late a later number, and loses nothing of it', async () => {
    const { pool } = database.api;
    const slow = await pool.connect();
    try {
      await slow.query('BEGIN');
      await slow.query(`SELECT set_config('sentinel.project', 'default', true)`);
      await slow.query(`INSERT INTO audit_event (project_id, id, occurred_at, category, action, actor_kind, actor_id,
        subject_kind, subject_id, outcome, details, canonical, created_at)
        VALUES ('default', gen_random_uuid(), now(), 'auth', 'late', 'user', 'ann', 'user', 'ann', 'success', '{}', '', now())`);
      await write(1);
      await sealAll();
      assert.equal(await headSequence(database.api, 'default', 'audit'), 1);
      await slow.query('COMMIT');
    } finally {
      slow.release();
    }
    await sealAll();
    const rows = await database.rows('SELECT sequence::integer, action FROM audit_event ORDER BY sequence');
    assert.deepEqual(rows, [
      { sequence: 1, action: 'heartbeat.refused' },
      { sequence: 2, action: 'late' },
    ]);
  });

  it('leaves no gap and numbers nothing twice while many write and two seal', async () => {
    const second = await database.open('sentinel_sealer');
    const writers = Promise.all(
      Array.from({ length: 16 }, async (_, writer) => {
        for (let n = 0; n < 15; n++) await write(writer * 100 + n);
      }),
    );
    let writing = true;
    void writers.finally(() => (writing = false));
    const seal = async (store: Store) => {
      while (writing) await sealAll(store);
      await sealAll(store);
    };
    await Promise.all([writers, seal(database.sealer), seal(second)]);
    const rows = await chainOf('audit_event');
    assert.equal(rows.length, 240);
    assertChain(rows, 'audit');
    assertChain(await chainOf('outbox_event'), 'outbox');
  });

  it('is the only one that may: nobody else numbers, and nobody changes or removes an event', async () => {
    await write(1);
    for (const store of [database.api, database.worker]) {
      await assert.rejects(store.query(`UPDATE audit_event SET sequence = 1, previous_hash = '', hash = ''`), {
        code: '42501',
      });
      await assert.rejects(store.query('DELETE FROM audit_event'), { code: '42501' });
      await assert.rejects(store.query('TRUNCATE audit_event'), { code: '42501' });
    }
    await sealAll();
    await assert.rejects(database.sealer.query(`UPDATE audit_event SET hash = repeat('0', 64)`), /never change/);
    await assert.rejects(database.sealer.query(`UPDATE audit_event SET action = 'other'`), { code: '42501' });
    // Not even the superuser, while the triggers are there.
    await assert.rejects(database.rows(`UPDATE audit_event SET action = 'other'`), /never change/);
    await assert.rejects(database.rows('DELETE FROM audit_event'), /are kept/);
    await assert.rejects(database.rows('TRUNCATE audit_event'), /are kept/);
    const begun = `INSERT INTO audit_event (project_id, id, sequence, previous_hash, hash, occurred_at, category, action,
      actor_kind, actor_id, subject_kind, subject_id, outcome, details, canonical, created_at)
      VALUES ('default', gen_random_uuid(), 9, repeat('0', 64), repeat('0', 64), now(), 'auth', 'x', 'user', 'x', 'user',
        'x', 'success', '{}', '', now())`;
    await assert.rejects(database.rows(begun), /begin without a place/);
  });

  it('seals as soon as something is written, tells who waits, and says when it cannot', async (t) => {
    const { checkpoints } = await checkpointing(t);
    const log = fakeLog();
    const sealer = createSealer({
      store: database.sealer,
      checkpoints,
      checkpointSeconds: 3600,
      clock: systemClock,
      log,
    });
    try {
      await write(1);
      await eventually(async () => (await headSequence(database.api, 'default', 'audit')) === 1, 'the first event');
      await database.rows(`ALTER TABLE audit_head RENAME TO audit_head_away`);
      await write(2);
      const status = () => database.rows<{ last_error: string | null }>('SELECT last_error FROM sealer_status');
      await eventually(async () => (await status())[0]?.last_error === '42P01', 'the error');
      const later = new Date(Date.now() + 60_000).toISOString();
      assert.ok((await sealLagSeconds(database.api, later)) >= 59);
      await database.rows(`ALTER TABLE audit_head_away RENAME TO audit_head`);
      await eventually(async () => (await headSequence(database.api, 'default', 'audit')) === 2, 'the second event');
      await eventually(async () => (await status())[0]?.last_error === null, 'the error to be over');
      assert.equal(await sealLagSeconds(database.api, later), 0);
    } finally {
      await sealer.stop();
    }
  });
});

describe('a checkpoint', () => {
  it('is signed over the heads of all chains, as a file and as a row, and names the one before', async (t) => {
    const { checkpoints, files, keys, rows, directory } = await checkpointing(t);
    assert.equal(await checkpoints.sign(), false, 'there is nothing to sign');
    await write(1);
    await write(1, database.api, 'other');
    await sealAll();
    assert.equal(await checkpoints.sign(), true);
    assert.equal(await checkpoints.sign(), false, 'nothing was sealed since');
    await write(2);
    await sealAll();
    assert.equal(await checkpoints.sign(), true);
    const trusted = await keys();
    const read = await Promise.all(
      (await files()).map(async (name) => JSON.parse(await readFile(join(directory, name), 'utf8')) as unknown),
    );
    const [first, second] = read.map((envelope) => verifyCheckpoint(envelope, trusted));
    assert.deepEqual(
      first?.heads.map(({ project_id, stream, sequence }) => [project_id, stream, sequence]),
      [
        ['default', 'audit', 1],
        ['default', 'outbox', 1],
        ['other', 'audit', 1],
        ['other', 'outbox', 1],
      ],
    );
    assert.equal(second?.previous?.id, first?.id);
    assert.deepEqual(
      (await rows()).map(({ envelope }) => envelope),
      read,
    );
  });

  it('does not exist without its file', async (t) => {
    const { checkpoints, directory, rows } = await checkpointing(t);
    await write(1);
    await sealAll();
    await rm(directory, { recursive: true });
    await writeFile(directory, 'in the way');
    await assert.rejects(checkpoints.sign());
    assert.deepEqual(await rows(), []);
    await chmod(directory, 0o600);
  });

  it('goes on from its file when the row was never written', async (t) => {
    const { checkpoints, rows, files } = await checkpointing(t);
    await write(1);
    await sealAll();
    await checkpoints.sign();
    await database.rows('TRUNCATE audit_checkpoint');
    await write(2);
    await sealAll();
    assert.equal(await checkpoints.sign(), true);
    assert.equal((await rows()).length, 1);
    assert.equal((await files()).length, 2);
  });

  it('is not put over a chain that no longer holds what the last one names', async (t) => {
    const { checkpoints } = await checkpointing(t);
    for (let n = 0; n < 3; n++) await write(n);
    await sealAll();
    await checkpoints.sign();
    await database.rows('ALTER TABLE audit_event DISABLE TRIGGER ALL');
    await database.rows(`UPDATE audit_event SET hash = repeat('0', 64) WHERE sequence = 3`);
    await database.rows('ALTER TABLE audit_event ENABLE TRIGGER ALL');
    await database.rows(`UPDATE audit_head SET hash = repeat('0', 64) WHERE stream = 'audit'`);
    await assert.rejects(checkpoints.sign(), { code: 'audit.rewritten' });
  });

  it('is verified with older keys too after the key was renewed', async (t) => {
    const { checkpoints, withKey, pem, keys, rows } = await checkpointing(t);
    await write(1);
    await sealAll();
    await checkpoints.sign();
    const renewed = withKey(pem());
    await renewed.publishKey();
    await write(2);
    await sealAll();
    await renewed.sign();
    const trusted = await keys();
    assert.equal(trusted.size, 2);
    for (const { envelope } of await rows()) verifyCheckpoint(envelope, trusted);
  });
});
