// Verifying the trail on a real database: whatever a superuser changes, somebody notices, and says where.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, it, type TestContext } from 'node:test';
import { readTrustedCheckpoints } from '#api/checkpoints.ts';
import type { IntegrityReport } from '#contracts/audit.ts';
import { systemClock } from '#contracts/deps.ts';
import { readSigningKey } from '#protocols/signed-envelope.ts';
import { recordAlone } from '#store/audit.ts';
import { chainHash, firstHash } from '#store/chain.ts';
import { publicKeysFile } from '#store/checkpoint-files.ts';
import { sealPending, verifyAudit } from '#store/integrity.ts';
import { checkpointEnvelopes, sealChain, unsealedChains } from '#store/sealer.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import { createCheckpoints, type Checkpoints } from '#worker/checkpoints.ts';
import { createSealer } from '#worker/seal.ts';
import { auditEntry } from './builders.ts';
import { addProject, type StoreTest, storeTest } from './database.ts';

let database: StoreTest;
let checkpoints: Checkpoints;
let directory = '';

beforeEach(async (context) => {
  const t = context as TestContext;
  database = await storeTest(t);
  directory = await mkdtemp(join(tmpdir(), 'sentinel-integrity-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  checkpoints = checkpointsIn(directory);
  await checkpoints.publishKey();
});

function checkpointsIn(folder: string): Checkpoints {
  const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return createCheckpoints({
    store: database.sealer,
    key: readSigningKey(pem),
    directory: folder,
    clock: systemClock,
    random: { uuid: () => crypto.randomUUID() },
  });
}

async function write(count: number, project = 'default'): Promise<void> {
  for (let n = 0; n < count; n++) await recordAlone(database.api, project, auditEntry({ details: { n, text: 'é ☃' } }));
  for (const chain of await unsealedChains(database.sealer)) await sealChain(database.sealer, chain, 1000);
}

async function verify(full = true, project = 'default', folder = directory): Promise<IntegrityReport> {
  const stored = (limit: number) => checkpointEnvelopes(database.api, limit);
  const trusted = await readTrustedCheckpoints({ directory: folder, stored, log: fakeLog() }, { full });
  return verifyAudit(database.api, project, { full, ...trusted, signal: AbortSignal.timeout(30_000) });
}

/** As somebody does who owns the machine: nothing in the database holds them back. */
async function tamper(...statements: readonly string[]): Promise<void> {
  for (const table of ['audit_event', 'outbox_event']) await database.rows(`ALTER TABLE ${table} DISABLE TRIGGER ALL`);
  for (const statement of statements) await database.rows(statement);
  for (const table of ['audit_event', 'outbox_event']) await database.rows(`ALTER TABLE ${table} ENABLE TRIGGER ALL`);
}

/** Computes the whole chain anew from what the rows hold, and the head with it. */
async function relink(): Promise<void> {
  const rows = await database.rows<{ id: string; sequence: number; canonical: Buffer }>(
    `SELECT id, sequence::integer, canonical FROM audit_event WHERE project_id = 'default' ORDER BY sequence`,
  );
  let previous_hash = firstHash;
  const statements = rows.map(({ id, sequence, canonical }) => {
    const hash = chainHash({ stream: 'audit', project: 'default', sequence, previous_hash }, canonical);
    const statement = `UPDATE audit_event SET previous_hash = '${previous_hash}', hash = '${hash}' WHERE id = '${id}'`;
    previous_hash = hash;
    return statement;
  });
  const head = `UPDATE audit_head SET sequence = ${rows.length}, hash = '${previous_hash}' WHERE stream = 'audit'`;
  await tamper(...statements, head);
}

const canonicalOf = async (sequence: number): Promise<string> => {
  const [row] = await database.rows<{ canonical: Buffer }>('SELECT canonical FROM audit_event WHERE sequence = $1', [
    sequence,
  ]);
  return row?.canonical.toString() ?? '';
};

describe('integrity', () => {
  it('of a trail that nobody touched is whole, from the start and from the last checkpoint (AU-02)', async () => {
    await write(5);
    await checkpoints.sign();
    await write(3);
    const full = await verify();
    assert.deepEqual(
      { ...full, checkpoint: full.checkpoint?.sequence },
      {
        valid: true,
        checked: 8,
        verified_from: 1,
        head_sequence: 8,
        unsealed: 0,
        checkpoint: 5,
        first_broken_sequence: null,
        reason: null,
      },
    );
    const recent = await verify(false);
    assert.deepEqual([recent.valid, recent.verified_from, recent.checked], [true, 5, 4]);
  });

  it('of a trail that has not begun is whole', async () => {
    const { valid, checked, head_sequence, checkpoint } = await verify();
    assert.deepEqual([valid, checked, head_sequence, checkpoint], [true, 0, 0, null]);
  });

  const breaks: readonly (readonly [string, readonly string[], number, RegExp])[] = [
    ['a changed column', [`UPDATE audit_event SET actor_id = 'nobody' WHERE sequence = 3`], 3, /columns of event 3/],
    ['changed details', [`UPDATE audit_event SET details = '{"n": 9}' WHERE sequence = 3`], 3, /columns of event 3/],
    ['changed bytes', [`UPDATE audit_event SET canonical = '{}' WHERE sequence = 3`], 3, /hash of event 3/],
    ['a changed hash', [`UPDATE audit_event SET hash = repeat('0', 64) WHERE sequence = 3`], 3, /hash of event 3/],
    ['a removed event', [`DELETE FROM audit_event WHERE sequence = 3`], 3, /3 is missing/],
    ['a removed first event', [`DELETE FROM audit_event WHERE sequence = 1`], 1, /1 is missing/],
    ['a removed last event', [`DELETE FROM audit_event WHERE sequence = 6`], 6, /head of the chain says 6/],
    [
      'events that changed places',
      [
        `UPDATE audit_event SET sequence = 99 WHERE sequence = 3`,
        `UPDATE audit_event SET sequence = 3 WHERE sequence = 4`,
        `UPDATE audit_event SET sequence = 4 WHERE sequence = 99`,
      ],
      3,
      /not linked|hash of event 3/,
    ],
    [
      'a head that was put back',
      [`UPDATE audit_head SET sequence = 4 WHERE stream = 'audit'`],
      5,
      /head of the chain says 4/,
    ],
    [
      'a head with another hash',
      [`UPDATE audit_head SET hash = repeat('0', 64) WHERE stream = 'audit'`],
      6,
      /head of the chain/,
    ],
  ];
  for (const [what, statements, sequence, reason] of breaks) {
    it(`finds ${what} (AU-02)`, async () => {
      await write(6);
      await tamper(...statements);
      const report = await verify();
      assert.equal(report.valid, false);
      assert.equal(report.first_broken_sequence, sequence);
      assert.match(report.reason ?? '', reason);
    });
  }

  it('finds a change of what goes out, and says that it is there (AU-02)', async () => {
    await write(3);
    await tamper(`UPDATE outbox_event SET data = '{}' WHERE sequence = 2`);
    const { valid, reason, first_broken_sequence } = await verify();
    assert.deepEqual([valid, first_broken_sequence], [false, null]);
    assert.match(reason ?? '', /going out: The columns of event 2/);
  });

  it('finds a history that was rewritten with all its hashes, by the checkpoint alone (AU-02)', async () => {
    await write(4);
    await checkpoints.sign();
    await write(2);
    const forged = (await canonicalOf(2)).replace('"d1"', '"d9"').replaceAll("'", "''");
    await tamper(
      `UPDATE audit_event SET canonical = convert_to('${forged}', 'UTF8'), actor_id = 'd9' WHERE sequence = 2`,
    );
    await relink();
    for (const full of [true, false]) {
      const report = await verify(full);
      assert.equal(report.valid, false, `full: ${full}`);
      assert.match(report.reason ?? '', /rewritten/);
    }
    await tamper('TRUNCATE audit_checkpoint');
    assert.equal((await verify()).valid, false, 'the file is enough');
  });

  it('finds a tail that was cut off with its head (AU-02)', async () => {
    await write(5);
    await checkpoints.sign();
    const [row] = await database.rows<{ hash: string }>('SELECT hash FROM audit_event WHERE sequence = 3');
    await tamper(
      'DELETE FROM audit_event WHERE sequence > 3',
      `UPDATE audit_head SET sequence = 3, hash = '${row?.hash}' WHERE stream = 'audit'`,
      'TRUNCATE audit_checkpoint',
    );
    const report = await verify();
    assert.deepEqual([report.valid, report.first_broken_sequence], [false, 4]);
    assert.match(report.reason ?? '', /cut off/);
  });

  it('takes no checkpoint that somebody else signed, and says that there is one', async (t) => {
    await write(2);
    const elsewhere = await mkdtemp(join(tmpdir(), 'sentinel-forged-'));
    t.after(() => rm(elsewhere, { recursive: true, force: true }));
    const forger = checkpointsIn(elsewhere);
    await forger.publishKey();
    await forger.sign();
    const report = await verify();
    assert.equal(report.valid, false);
    assert.equal(report.checkpoint, null);
    assert.match(report.reason ?? '', /not signed by a known key/);
  });

  it('does not hold without the folder, once there were checkpoints', async () => {
    await write(2);
    assert.equal((await verify(true, 'default', join(directory, 'nowhere'))).valid, true, 'nothing is missing yet');
    await checkpoints.sign();
    const report = await verify(true, 'default', join(directory, 'nowhere'));
    assert.equal(report.valid, false);
    assert.match(report.reason ?? '', /SENTINEL_AUDIT_CHECKPOINT_DIR/);
  });

  it('takes a checkpoint of which only the file, or only the row is there', async () => {
    await write(2);
    await checkpoints.sign();
    await tamper('TRUNCATE audit_checkpoint');
    assert.deepEqual([(await verify()).valid, (await verify()).checkpoint?.sequence], [true, 2]);
    await write(1);
    await checkpoints.sign();
    for (const name of await readdir(directory)) if (name !== publicKeysFile) await rm(join(directory, name));
    assert.deepEqual([(await verify()).valid, (await verify()).checkpoint?.sequence], [true, 3]);
  });

  it('of one project says nothing of another', async () => {
    await addProject(database, 'other');
    await write(2);
    await write(3, 'other');
    await tamper(`UPDATE audit_event SET action = 'x' WHERE project_id = 'other' AND sequence = 2`);
    assert.equal((await verify()).valid, true);
    assert.equal((await verify(true, 'other')).first_broken_sequence, 2);
  });

  it('looks at long chains page by page', async () => {
    const many = Array.from({ length: 2_100 }, (_, n) => auditEntry({ details: { n } }));
    const { record } = await import('#store/audit.ts');
    const { withProject } = await import('#store/with-project.ts');
    await withProject(database.api, 'default', (tx) => record(tx, { audit: many }));
    await write(0);
    for (const chain of await unsealedChains(database.sealer))
      while ((await sealChain(database.sealer, chain, 1000)) > 0);
    assert.deepEqual([(await verify()).valid, (await verify()).checked], [true, 2_100]);
    await tamper('DELETE FROM audit_event WHERE sequence = 2000');
    assert.equal((await verify()).first_broken_sequence, 2000);
  });

  it('has what is there sealed first, and waits no longer than it is told when nobody seals', async () => {
    await recordAlone(database.api, 'default', auditEntry());
    const signal = AbortSignal.timeout(20_000);
    await sealPending(database.api, 'default', 50, signal);
    assert.equal((await verify()).unsealed, 1);
    const sealer = createSealer({
      store: database.sealer,
      checkpoints,
      checkpointSeconds: 3600,
      clock: systemClock,
      log: fakeLog(),
    });
    try {
      await sealPending(database.api, 'default', 10_000, signal);
      assert.deepEqual([(await verify()).unsealed, (await verify()).head_sequence], [0, 1]);
    } finally {
      await sealer.stop();
    }
  });
});
