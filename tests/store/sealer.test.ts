// Sealing on a real database: every committed event gets its place once, in an order without gaps, whoever writes meanwhile.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, it, type TestContext } from 'node:test';
import { systemClock, systemRandom } from '#contracts/deps.ts';
import { digestOf } from '#protocols/canonical-json.ts';
import { readPublicKeys, verifyCheckpoint } from '#protocols/checkpoint.ts';
import { readSigningKey } from '#protocols/signed-envelope.ts';
import { headSequence, listAudit, listOutbox, recordAlone, sealLagSeconds } from '#store/audit.ts';
import { chainHash, firstHash } from '#store/chain.ts';
import { publicKeysFile } from '#store/checkpoint-files.ts';
import { databaseRoles } from '#store/roles.ts';
import { sealChain, unsealedChains } from '#store/sealer.ts';
import type { Store } from '#store/store.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import { createCheckpoints, type Checkpoints } from '#worker/checkpoints.ts';
import { createMeters } from '#telemetry/metrics.ts';
import { createSealerMetrics, createSealer, type Sealer } from '#worker/seal.ts';
import { auditEntry } from './builders.ts';
import { eventually } from '#tests/harness/eventually.ts';
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

const soon = (look: () => Promise<boolean>, what: string): Promise<boolean> => eventually(look, what, 15_000);

const sealerWith = (checkpoints: Checkpoints): Sealer =>
  createSealer({
    store: database.sealer,
    checkpoints,
    checkpointSeconds: 3600,
    clock: systemClock,
    log: fakeLog(),
    metrics: createSealerMetrics(createMeters('sealer', '0.0.0')),
  });

async function lastError(): Promise<string | null> {
  const [status] = await database.rows<{ last_error: string | null }>('SELECT last_error FROM sealer_status');
  assert.ok(status);
  return status.last_error;
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
      random: systemRandom,
    });
  const checkpoints = withKey(pem());
  await checkpoints.publishKey();
  const files = async () =>
    (await readdir(directory)).filter((name) => name !== publicKeysFile).toSorted((a, b) => (a < b ? -1 : 1));
  const keys = async () => readPublicKeys(await readFile(join(directory, publicKeysFile), 'utf8'));
  const envelopes = async () =>
    Promise.all(
      (await files()).map(async (name) => JSON.parse(await readFile(join(directory, name), 'utf8')) as unknown),
    );
  const rows = () => database.rows<{ envelope: unknown }>('SELECT envelope FROM audit_checkpoint ORDER BY at');
  return { directory, checkpoints, withKey, pem, files, envelopes, keys, rows };
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
    const attempt = async (role: string, statement: string) => {
      await database.rows(`SET ROLE ${role}`);
      await database.rows(`SET sentinel.project = 'default'`);
      try {
        await assert.rejects(database.rows(statement), { code: '42501' }, `${role}: ${statement}`);
      } finally {
        await database.rows('RESET ROLE');
      }
    };
    const place = `sequence = 1, previous_hash = repeat('0', 64), hash = repeat('0', 64)`;
    const born = (table: string, columns: string, values: string) =>
      `INSERT INTO ${table} (project_id, id, sequence, previous_hash, hash, occurred_at, subject_kind, subject_id, canonical,
         created_at, ${columns})
       VALUES ('default', gen_random_uuid(), 9, repeat('0', 64), repeat('0', 64), now(), 'user', 'x', '', now(), ${values})`;
    const forbidden = [
      born(
        'audit_event',
        'category, action, actor_kind, actor_id, outcome, details',
        `'auth', 'x', 'user', 'x', 'success', '{}'`,
      ),
      born('outbox_event', 'type, data', `'x', '{}'`),
      ...['audit_event', 'outbox_event'].flatMap((table) => [
        `UPDATE ${table} SET subject_id = 'nobody'`,
        `UPDATE ${table} SET canonical = ''`,
        `DELETE FROM ${table}`,
        `TRUNCATE ${table}`,
      ]),
    ];
    // The owner made the tables, and the superuser may do everything, while the triggers are there.
    const [superuser] = await database.rows<{ name: string }>('SELECT quote_ident(current_user) AS name');
    const roles = [...Object.keys(databaseRoles), 'sentinel', superuser?.name ?? ''];
    await write(1);
    for (const role of roles) {
      for (const statement of forbidden) await attempt(role, statement);
      if (role === 'sentinel_sealer') continue;
      for (const table of ['audit_event', 'outbox_event']) await attempt(role, `UPDATE ${table} SET ${place}`);
    }
    await sealAll();
    assertChain(await chainOf('audit_event'), 'audit');
    // A place is given once.
    for (const role of roles) {
      for (const table of ['audit_event', 'outbox_event']) {
        await attempt(role, `UPDATE ${table} SET ${place}`);
        await attempt(role, `UPDATE ${table} SET sequence = NULL, previous_hash = NULL, hash = NULL`);
      }
    }
  });

  it('seals the other chains when one cannot be sealed, signs them, and says so', async (t) => {
    const { checkpoints, rows } = await checkpointing(t);
    // Comes first in the order of names.
    await addProject(database, 'ailing');
    await database.rows(`ALTER TABLE audit_head ADD CHECK (project_id <> 'ailing')`);
    await write(1, database.api, 'ailing');
    await write(1);
    const sealer = sealerWith(checkpoints);
    try {
      await soon(async () => (await headSequence(database.api, 'default', 'outbox')) === 1, 'the other chains');
      await soon(async () => (await lastError()) === '23514', 'the error');
      assert.equal(await headSequence(database.api, 'default', 'audit'), 1);
      assert.equal((await rows()).length, 1);
      await write(2);
      await soon(async () => (await headSequence(database.api, 'default', 'audit')) === 2, 'the next event');
    } finally {
      await sealer.stop();
    }
  });

  it('tells a failure that lasts a few times a second at most, however much is announced meanwhile', async (t) => {
    const { checkpoints } = await checkpointing(t);
    const log = fakeLog();
    const refusing = { ...checkpoints, sign: () => Promise.reject(new Error('no space')) };
    const sealer = createSealer({
      store: database.sealer,
      checkpoints: refusing,
      checkpointSeconds: 3600,
      clock: systemClock,
      log,
      metrics: createSealerMetrics(createMeters('sealer', '0.0.0')),
    });
    const told = () => log.lines.filter(({ message }) => message === 'sealing failed and is tried again').length;
    try {
      await soon(async () => told() > 0, 'the first failure');
      const before = { told: told(), at: performance.now() };
      for (let n = 0; n < 200; n++) await write(n);
      await soon(async () => (await headSequence(database.api, 'default', 'audit')) === 200, 'all events');
      const pauses = 1 + (performance.now() - before.at) / 250;
      assert.ok(told() - before.told <= pauses, `${told() - before.told} in the time of ${pauses} pauses`);
    } finally {
      await sealer.stop();
    }
  });

  it('goes on without a folder for checkpoints, says that there is none, and signs when there is one', async (t) => {
    const { checkpoints, directory, rows } = await checkpointing(t);
    const aside = `${directory}-aside`;
    t.after(() => rm(aside, { recursive: true, force: true }));
    await rename(directory, aside);
    await writeFile(directory, 'in the way');
    await write(1);
    const sealer = sealerWith(checkpoints);
    try {
      await soon(async () => (await lastError())?.startsWith('ENOTDIR ') === true, 'the error');
      await write(2);
      await soon(async () => (await headSequence(database.api, 'default', 'audit')) === 2, 'the second event');
      assert.deepEqual(await rows(), []);
      await rm(directory);
      await rename(aside, directory);
      await soon(async () => (await lastError()) === null, 'the error to be over');
      assert.equal((await rows()).length, 1);
    } finally {
      await sealer.stop();
    }
  });

  it('seals as soon as something is written, tells who waits, and says when it cannot', async (t) => {
    const { checkpoints } = await checkpointing(t);
    const sealer = sealerWith(checkpoints);
    try {
      await write(1);
      await soon(async () => (await headSequence(database.api, 'default', 'audit')) === 1, 'the first event');
      await database.rows(`ALTER TABLE audit_head RENAME TO audit_head_away`);
      await write(2);
      await soon(async () => (await lastError()) === '42P01', 'the error');
      const later = new Date(Date.now() + 60_000).toISOString();
      assert.ok((await sealLagSeconds(database.api, later)) >= 59);
      await database.rows(`ALTER TABLE audit_head_away RENAME TO audit_head`);
      await soon(async () => (await headSequence(database.api, 'default', 'audit')) === 2, 'the second event');
      await soon(async () => (await lastError()) === null, 'the error to be over');
      assert.equal(await sealLagSeconds(database.api, later), 0);
    } finally {
      await sealer.stop();
    }
  });
});

describe('a checkpoint', () => {
  it('is signed over the heads of all chains, as a file and as a row, and names the one before', async (t) => {
    const { checkpoints, envelopes, keys, rows, directory } = await checkpointing(t);
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
    const written = await envelopes();
    const [first, second] = written.map((envelope) => verifyCheckpoint(envelope, trusted));
    assert.deepEqual(
      first?.heads.map(({ project_id, stream, sequence }) => [project_id, stream, sequence]),
      [
        ['default', 'audit', 1],
        ['default', 'outbox', 1],
        ['other', 'audit', 1],
        ['other', 'outbox', 1],
      ],
    );
    assert.deepEqual(second?.previous, { id: first?.id, digest: digestOf(written[0]) });
    assert.deepEqual(
      (await rows()).map(({ envelope }) => envelope),
      written,
    );
    for (const name of await readdir(directory)) {
      assert.match(name, /^(public-keys|[\dTZ-]+-[\da-f-]{36})\.json$/);
      assert.equal((await stat(join(directory, name))).mode & 0o777, 0o600, name);
    }
  });

  it('does not exist without its file', async (t) => {
    const { checkpoints, directory, rows } = await checkpointing(t);
    await write(1);
    await sealAll();
    await rm(directory, { recursive: true });
    await writeFile(directory, 'in the way');
    await assert.rejects(checkpoints.sign());
    assert.deepEqual(await rows(), []);
  });

  it('goes on from its file when its sealer came no further than that', async (t) => {
    const { checkpoints, rows, envelopes, keys } = await checkpointing(t);
    await write(1);
    await sealAll();
    await database.rows('REVOKE INSERT ON audit_checkpoint FROM sentinel_sealer');
    await assert.rejects(checkpoints.sign(), { code: '42501' });
    assert.deepEqual([(await envelopes()).length, (await rows()).length], [1, 0]);
    await database.rows('GRANT INSERT ON audit_checkpoint TO sentinel_sealer');
    assert.equal(await checkpoints.sign(), false, 'the file is the checkpoint');
    await write(2);
    await sealAll();
    assert.equal(await checkpoints.sign(), true);
    const [first, second] = await envelopes();
    const { id } = verifyCheckpoint(first, await keys());
    assert.deepEqual(verifyCheckpoint(second, await keys()).previous, { id, digest: digestOf(first) });
    assert.equal((await rows()).length, 1);
  });

  it('does not follow on one that no known key signed', async (t) => {
    const { checkpoints, directory, files, rows } = await checkpointing(t);
    await write(1);
    await sealAll();
    await checkpoints.sign();
    const [name = ''] = await files();
    const text = await readFile(join(directory, name), 'utf8');
    await writeFile(join(directory, name), text.replace('"sequence":1', '"sequence":0'));
    await write(2);
    await sealAll();
    await assert.rejects(checkpoints.sign(), { code: 'signature.invalid' });
    assert.deepEqual([(await files()).length, (await rows()).length], [1, 1]);
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
