import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { openLogFile } from '#start/log-file.ts';

async function logPath(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'sentinel-log-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return join(directory, 'api.log');
}

describe('log file', () => {
  it('keeps at most two files of its limit, the older of which ends where the newer begins', async (t) => {
    const path = await logPath(t);
    const log = openLogFile(path, 100);
    for (let line = 0; line < 100; line += 1) log.write(Buffer.from(`line ${String(line).padStart(4, '0')}\n`));
    log.close();
    assert.deepEqual((await readdir(join(path, '..'))).toSorted(), ['api.log', 'api.log.1']);
    const [older, newer] = [await readFile(`${path}.1`, 'utf8'), await readFile(path, 'utf8')];
    assert.ok(older.length <= 100 && newer.length <= 100);
    const lines = `${older}${newer}`.trim().split('\n');
    assert.equal(lines.at(-1), 'line 0099');
    assert.equal(lines[0], `line ${String(100 - lines.length).padStart(4, '0')}`);
  });

  it('goes on with a file that is there, and counts what it holds', async (t) => {
    const path = await logPath(t);
    for (const text of ['one\n', 'two\n']) {
      const log = openLogFile(path, 6);
      log.write(Buffer.from(text));
      log.close();
    }
    assert.deepEqual([await readFile(`${path}.1`, 'utf8'), await readFile(path, 'utf8')], ['one\n', 'two\n']);
  });

  it('is 0600, and takes nothing more after its end', async (t) => {
    const path = await logPath(t);
    const log = openLogFile(path);
    log.close();
    log.close();
    log.write(Buffer.from('late'));
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.equal(await readFile(path, 'utf8'), '');
  });
});
