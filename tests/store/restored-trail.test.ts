// A database that is older than what was signed: nothing goes on from it by itself, and no number is given twice.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, it, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { isOlderThanCheckpoint } from '#api/checkpoints.ts';
import { systemClock } from '#contracts/deps.ts';
import { headSequence } from '#store/audit.ts';
import { acceptRestore, readAcceptedRestores } from '#store/checkpoint-files.ts';
import { sealerStatus } from '#store/sealer.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { createMeters } from '#telemetry/metrics.ts';
import { createSealerMetrics, createSealer, type Sealer } from '#worker/seal.ts';
import { repository } from '#tests/harness/npm-start.ts';
import { blocksTypedBy } from '#tests/harness/page-commands.ts';
import { addProject } from './database.ts';
import { trailTest, type Trail } from './trail.ts';

let trail: Trail;
beforeEach(async (t) => {
  trail = await trailTest(t as TestContext);
  await addProject(trail.database, 'other');
  await trail.write(6);
  await trail.write(2, 'other');
  await trail.checkpoints.sign();
});

/** As a restore of the database leaves the trail of `default`: shorter, and whole in itself. */
async function restoreTo(sequence: number): Promise<void> {
  const streams = ['audit', 'outbox'] as const;
  await trail.tamper(
    ...streams.flatMap((stream) => [
      `DELETE FROM ${stream}_event WHERE project_id = 'default' AND sequence > ${sequence}`,
      `UPDATE audit_head SET sequence = ${sequence}, hash = (SELECT hash FROM ${stream}_event
         WHERE project_id = 'default' AND sequence = ${sequence}) WHERE project_id = 'default' AND stream = '${stream}'`,
    ]),
    'TRUNCATE audit_checkpoint',
    'UPDATE sealer_status SET last_error = NULL, last_success_at = NULL, last_checkpoint_at = NULL',
  );
}

async function sealing(work: (sealer: Sealer) => Promise<unknown>): Promise<void> {
  const { database, checkpoints } = trail;
  const sealer = createSealer({
    store: database.sealer,
    checkpoints,
    checkpointSeconds: 3600,
    clock: systemClock,
    log: fakeLog(),
    metrics: createSealerMetrics(createMeters('sealer', '0.0.0')),
  });
  try {
    await work(sealer);
  } finally {
    await sealer.stop();
  }
}

const refused = () => eventually(async () => (await sealerStatus(trail.database.api)).is_rewritten, 'the refusal');
const head = (project = 'default', stream: 'audit' | 'outbox' = 'audit') =>
  headSequence(trail.database.api, project, stream);
const isOlder = () => isOlderThanCheckpoint(trail.database.api, trail.directory, fakeLog());

async function newestCheckpoint(): Promise<string> {
  const name = (await trail.checkpointNames()).at(-1) ?? '';
  const { payload } = JSON.parse(await readFile(join(trail.directory, name), 'utf8')) as { payload: { id: string } };
  return payload.id;
}

describe('a trail that is shorter than what was signed', () => {
  it('is not sealed any further, whether something waits or not, while other projects go on (FT-17)', async () => {
    assert.equal(await isOlder(), false);
    await restoreTo(4);
    assert.equal(await isOlder(), true, 'who starts on it sees it');
    await sealing(async () => {
      await refused();
      await trail.record(2);
      await trail.record(1, 'other');
      await eventually(async () => (await head('other')) === 3, 'the other project');
      await refused();
      assert.deepEqual([await head(), await head('default', 'outbox')], [4, 4], 'no number is given twice');
    });
    assert.deepEqual([(await trail.checkpointNames()).length, await head()], [1, 4], 'nor is it signed at the end');
  });

  it('is refused under a sealer that runs, after whatever broke its connections (FT-17)', async () => {
    await sealing(async () => {
      await trail.record(1);
      await eventually(async () => (await head()) === 7, 'the seventh event');
      await restoreTo(4);
      // A restore ends every connection; the sealer looks again after any failure.
      await trail.database.rows(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'sentinel_sealer_login'
           AND datname = current_database()`,
      );
      await trail.database.rows('ALTER TABLE audit_head RENAME TO away');
      await trail.record(1);
      await eventually(async () => {
        const { has_error } = await sealerStatus(trail.database.api);
        return has_error;
      }, 'a failure');
      await trail.database.rows('ALTER TABLE away RENAME TO audit_head');
      await refused();
      assert.equal(await head(), 4);
    });
  });

  it('goes on behind what was signed once somebody has accepted the loss, and never hides it (FT-17, FT-18)', async () => {
    await restoreTo(4);
    await sealing(async () => {
      await refused();
      await trail.record(3);
      // As somebody types it where the checkpoints are.
      for (const { text } of blocksTypedBy(import.meta.filename))
        await promisify(execFile)('bash', ['--norc', '-euc', `sentinel() { node cli/bin.mjs "$@"; }\n${text}`], {
          cwd: repository,
          env: { PATH: process.env['PATH'], SENTINEL_AUDIT_CHECKPOINT_DIR: trail.directory },
        });
      await eventually(async () => (await head()) === 9, 'the three events');
      await eventually(async () => !(await sealerStatus(trail.database.api)).has_error, 'the refusal to be over');
    });
    const numbers = await trail.database.rows<{ sequence: number }>(
      `SELECT sequence::integer FROM audit_event WHERE project_id = 'default' ORDER BY sequence`,
    );
    assert.deepEqual(
      numbers.map(({ sequence }) => sequence),
      [1, 2, 3, 4, 7, 8, 9],
      'five and six stay those of the events that are lost, for everybody who has seen them',
    );
    assert.equal(await isOlder(), false);
    const report = await trail.verify();
    assert.deepEqual([report.valid, report.first_broken_sequence], [false, 5]);
    const signed = (await trail.checkpointNames()).length;
    await sealing(async () => {
      await trail.record(1);
      await eventually(async () => (await head()) === 10, 'the next event');
    });
    assert.ok((await trail.checkpointNames()).length > signed, 'and it is signed again');
  });

  it('is not accepted when another event has the number, nor for another checkpoint (FT-17)', async () => {
    const checkpoint = await newestCheckpoint();
    const at = '2026-03-01T12:00:00.000Z';
    await acceptRestore(trail.directory, { checkpoint: '00000000-0000-4000-8000-000000000000', at });
    await restoreTo(4);
    assert.equal(await isOlder(), true);
    await acceptRestore(trail.directory, { checkpoint, at });
    assert.equal(await isOlder(), false);
    assert.equal((await readAcceptedRestores(trail.directory)).length, 2);
    await trail.write(3);
    assert.equal(await isOlder(), true, 'the sixth is another one now');
    await sealing(refused);
    const files = await readdir(trail.directory);
    assert.ok(files.includes('accepted-restores.json'));
  });

  it('is refused when the restored database is empty (FT-17)', async () => {
    await trail.tamper('DELETE FROM audit_event', 'DELETE FROM outbox_event', 'DELETE FROM audit_head');
    await sealing(refused);
    assert.equal(await head(), 0);
  });
});
