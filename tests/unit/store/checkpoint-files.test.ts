// The folder of checkpoints: newest first, no more than wanted, and nothing that is not a file of a sensible size.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { readSettings } from '#contracts/settings.ts';
import { checkpointFileName, checkpointFolder, readCheckpointFiles } from '#store/checkpoint-files.ts';

async function folder(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'sentinel-checkpoint-files-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

const nameOf = (n: number) =>
  checkpointFileName({
    id: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
    at: new Date(Date.UTC(2026, 2, 1, 12, 0, n)).toISOString(),
  });

async function envelopes(directory: string, limit: number): Promise<unknown[]> {
  const found = [];
  for await (const { envelope } of readCheckpointFiles(directory, limit)) found.push(envelope);
  return found;
}

describe('checkpoint files', () => {
  it('lie in the folder that the settings name, or else in the home of the installation', () => {
    const named = (path?: string) =>
      checkpointFolder(readSettings({ SENTINEL_HOME: '/srv/sentinel', SENTINEL_AUDIT_CHECKPOINT_DIR: path }));
    assert.deepEqual([named('/mnt/checkpoints'), named()], ['/mnt/checkpoints', '/srv/sentinel/checkpoints']);
  });

  it('come newest first, as many as wanted, and drafts and other files are left alone', async (t) => {
    const directory = await folder(t);
    for (const n of [2, 10, 1, 3]) await writeFile(join(directory, nameOf(n)), `{"n":${n}}`);
    await writeFile(join(directory, `${nameOf(11)}.0a1b2c3d4e5f.draft`), '{"n":11}');
    await writeFile(join(directory, 'public-keys.json'), '{"keys":{}}');
    await writeFile(join(directory, 'readme.json'), '{}');
    assert.deepEqual(await envelopes(directory, 3), [{ n: 10 }, { n: 3 }, { n: 2 }]);
    assert.deepEqual(await envelopes(directory, 0), []);
  });

  it('that are none come as null: cut off, too large, a folder, a link, a pipe that nobody writes into', async (t) => {
    const directory = await folder(t);
    const at = (n: number) => join(directory, nameOf(n));
    await writeFile(at(1), '{"payload":');
    await writeFile(at(2), '{}');
    await truncate(at(2), 1e10);
    await mkdir(at(3));
    await symlink('/dev/zero', at(4));
    execFileSync('mkfifo', [at(5)]);
    await writeFile(at(6), '{"n":6}');
    assert.deepEqual(await envelopes(directory, 9), [{ n: 6 }, null, null, null, null, null]);
  });

  it('cannot be had from a folder that is not there', async (t) => {
    await assert.rejects(envelopes(join(await folder(t), 'nowhere'), 1), { code: 'ENOENT' });
  });
});
