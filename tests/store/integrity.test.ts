// Verifying the trail on a real database: whatever a superuser changes, somebody notices, and says where.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, it, type TestContext } from 'node:test';
import { systemClock } from '#contracts/deps.ts';
import { recordAlone } from '#store/audit.ts';
import { chainHash, firstHash } from '#store/chain.ts';
import { checkpointFileName, publicKeysFile } from '#store/checkpoint-files.ts';
import { sealPending, verifyAudit } from '#store/integrity.ts';
import { sealChain, unsealedChains } from '#store/sealer.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import { createMeters } from '#telemetry/metrics.ts';
import type { Checkpoints } from '#worker/checkpoints.ts';
import { createSealer, createSealerMetrics } from '#worker/seal.ts';
import { auditEntry } from './builders.ts';
import { addProject, type StoreTest } from './database.ts';
import { trailTest, type Trail } from './trail.ts';

let trail: Trail;
let database: StoreTest;
let checkpoints: Checkpoints;
let directory = '';

beforeEach(async (context) => {
  trail = await trailTest(context as TestContext);
  ({ database, checkpoints, directory } = trail);
});

const checkpointsIn = (folder: string) => trail.checkpointsIn(folder);
const checkpointNames = () => trail.checkpointNames();
const write = (...given: Parameters<Trail['write']>) => trail.write(...given);
const verify = (...given: Parameters<Trail['verify']>) => trail.verify(...given);
const tamper = (...statements: readonly string[]) => trail.tamper(...statements);

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
    [
      'a time that no event can have',
      [`UPDATE audit_event SET occurred_at = 'infinity' WHERE sequence = 3`],
      3,
      /columns of event 3/,
    ],
    [
      'a number that no event can have',
      [`UPDATE audit_event SET details = '{"n": 1e400}' WHERE sequence = 3`],
      3,
      /columns of event 3/,
    ],
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
      'an event that was put in',
      [
        `UPDATE audit_event SET sequence = sequence + 100 WHERE sequence > 3`,
        `UPDATE audit_event SET sequence = sequence - 99 WHERE sequence > 100`,
        `INSERT INTO audit_event (project_id, id, sequence, previous_hash, hash, occurred_at, category, action, actor_kind,
           actor_id, subject_kind, subject_id, outcome, details, canonical, created_at)
         SELECT project_id, gen_random_uuid(), 4, hash, hash, occurred_at, category, action, actor_kind, actor_id,
           subject_kind, subject_id, outcome, details, canonical, created_at FROM audit_event WHERE sequence = 3`,
        `UPDATE audit_head SET sequence = 7 WHERE stream = 'audit'`,
      ],
      4,
      /hash of event 4/,
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

  it('does not take a key from the database, nor a signature from another document', async () => {
    await write(2);
    await checkpoints.sign();
    const [file = ''] = await checkpointNames();
    const copied = JSON.parse(await readFile(join(directory, file), 'utf8')) as { payload: object };
    const forged = { ...copied, payload: { ...copied.payload, at: '2099-01-01T00:00:00.000Z' } };
    await database.rows(
      `INSERT INTO audit_checkpoint (id, at, heads, key_id, envelope)
       SELECT gen_random_uuid(), '2099-01-01', heads, key_id, $1 FROM audit_checkpoint`,
      [JSON.stringify(forged)],
    );
    const report = await verify();
    assert.deepEqual([report.valid, report.checkpoint?.sequence], [false, 2]);
    assert.match(report.reason ?? '', /A checkpoint is not signed by a known key/);
  });

  it('does not take what lies in the folder under the name of a checkpoint', async () => {
    await write(2);
    await checkpoints.sign();
    const name = (id: string) => join(directory, checkpointFileName({ id, at: systemClock.now().toISOString() }));
    await writeFile(name('00000000-0000-4000-8000-000000000001'), '{"payload":');
    await mkdir(name('00000000-0000-4000-8000-000000000002'));
    await symlink('/dev/zero', name('00000000-0000-4000-8000-000000000003'));
    await writeFile(name('00000000-0000-4000-8000-000000000004'), Buffer.alloc(17 * 1024 * 1024, 32));
    const report = await verify();
    assert.deepEqual([report.valid, report.checkpoint?.sequence], [false, 2]);
    assert.match(report.reason ?? '', /4 checkpoints are not signed/);
  });

  it('does not hold without the folder, or without the keys in it, whatever the database says of checkpoints', async () => {
    await write(2);
    await checkpoints.sign();
    await tamper('TRUNCATE audit_checkpoint', 'UPDATE sealer_status SET last_checkpoint_at = NULL');
    for (const folder of [join(directory, 'nowhere'), join(directory, publicKeysFile)]) {
      const report = await verify(true, 'default', folder);
      assert.deepEqual([report.valid, report.checkpoint], [false, null]);
      assert.match(report.reason ?? '', /SENTINEL_AUDIT_CHECKPOINT_DIR/);
    }
    await writeFile(join(directory, publicKeysFile), '{"keys": {"a": "b"}}');
    assert.match((await verify()).reason ?? '', /SENTINEL_AUDIT_CHECKPOINT_DIR/);
  });

  it('takes a checkpoint of which only the file, or only the row is there', async () => {
    await write(2);
    await checkpoints.sign();
    await tamper('TRUNCATE audit_checkpoint');
    assert.deepEqual([(await verify()).valid, (await verify()).checkpoint?.sequence], [true, 2]);
    await write(1);
    await checkpoints.sign();
    const [, newest = ''] = await checkpointNames();
    await rm(join(directory, newest));
    assert.deepEqual([(await verify()).valid, (await verify()).checkpoint?.sequence], [true, 3]);
  });

  it('misses a checkpoint that is in neither place, when a later one names it (AU-02)', async () => {
    for (let n = 0; n < 3; n++) {
      await write(1);
      await checkpoints.sign();
    }
    assert.equal((await verify()).valid, true);
    const [, second = ''] = await checkpointNames();
    await rm(join(directory, second));
    assert.equal((await verify()).valid, true, 'its row is there');
    await tamper(`DELETE FROM audit_checkpoint WHERE id = '${second.slice(-41, -5)}'`);
    for (const full of [true, false]) {
      const report = await verify(full);
      assert.deepEqual([report.valid, report.checkpoint?.sequence], [false, 3]);
      assert.match(report.reason ?? '', /gone, from the folder and from the database/);
    }
  });

  it('does not miss what is older than the checkpoints it looks at', async () => {
    for (let n = 0; n < 53; n++) {
      await write(1);
      await checkpoints.sign();
    }
    const names = await checkpointNames();
    await rm(join(directory, names[0] ?? ''));
    await tamper(`DELETE FROM audit_checkpoint WHERE id = '${names[0]?.slice(-41, -5)}'`);
    assert.equal((await verify(false)).valid, true);
    assert.equal((await verify(true)).valid, false);
  });

  it('from the last checkpoint looks at nothing before it, and says from where it looked', async () => {
    await write(4);
    await checkpoints.sign();
    await tamper(`UPDATE audit_event SET actor_id = 'nobody' WHERE sequence = 2`);
    const recent = await verify(false);
    assert.deepEqual([recent.valid, recent.verified_from], [true, 4]);
    assert.equal((await verify(true)).first_broken_sequence, 2);
  });

  it('of what cannot be asked is an error, and nothing that could be taken for an answer', async () => {
    await write(2);
    await database.rows('ALTER TABLE outbox_event RENAME COLUMN hash TO gone');
    await assert.rejects(verify());
    await database.rows('ALTER TABLE outbox_event RENAME COLUMN gone TO hash');
    const options = { full: true, checkpoints: [], complaint: null };
    const late = AbortSignal.abort(new Error('too late'));
    await assert.rejects(verifyAudit(database.api, 'default', { ...options, signal: late }), /too late/);
    await database.rows('REVOKE SELECT ON audit_head FROM sentinel_api');
    await assert.rejects(verify(), { code: '42501' });
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
      metrics: createSealerMetrics(createMeters('sealer', '0.0.0')),
    });
    try {
      await sealPending(database.api, 'default', 10_000, signal);
      assert.deepEqual([(await verify()).unsealed, (await verify()).head_sequence], [0, 1]);
    } finally {
      await sealer.stop();
    }
  });

  it('does not wait for the place of what came after it was asked', async () => {
    await write(1);
    await recordAlone(database.api, 'default', auditEntry());
    await sealChain(database.sealer, { project: 'default', stream: 'audit' }, 1000);
    // The second transaction is the first look at whether everything has its place.
    const looking = Promise.withResolvers<void>();
    let transactions = 0;
    const api = {
      ...database.api,
      entities() {
        transactions += 1;
        if (transactions === 2) looking.resolve();
        return database.api.entities();
      },
    };
    // At its own limit it would end as if all had its place; the signal makes that a failure.
    const waiting = sealPending(api, 'default', 60_000, AbortSignal.timeout(20_000));
    await looking.promise;
    await recordAlone(database.api, 'default', auditEntry());
    await sealChain(database.sealer, { project: 'default', stream: 'outbox' }, 1000);
    await waiting;
    assert.equal((await verify()).unsealed, 1);
  });
});
