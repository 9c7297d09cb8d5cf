import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { TrustError } from '#contracts/problems.ts';
import { holdHome } from '#start/home.ts';
import { identify, isRunning } from '#host/identity.mjs';
import { keepFile, replaceFile } from '#start/private-file.ts';

async function folder(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'sentinel-home-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return join(directory, 'home');
}

/** Another process that lives until it is told otherwise. */
async function somebody(t: TestContext): Promise<{ pid: number; started: string; exited: Promise<unknown> }> {
  const child = spawn('sleep', ['60'], { stdio: 'ignore', detached: true });
  const exited = once(child, 'exit');
  t.after(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  const identity = identify(child.pid ?? 0);
  assert.ok(identity);
  return { ...identity, exited };
}

const mode = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;
const noWaiting = { stoppingMs: 0, runningMs: 0 };

describe('home', () => {
  it('is a folder that only its owner can enter, also when it was there with another mode', async (t) => {
    const directory = await folder(t);
    await mkdir(directory, { mode: 0o755 });
    const home = await holdHome(directory);
    t.after(() => home.release());
    for (const path of [home.directory, home.secrets, home.logs]) assert.equal(await mode(path), 0o700, path);
  });

  it('refuses a second start, naming the process and the time of the first', async (t) => {
    const directory = await folder(t);
    const home = await holdHome(directory);
    t.after(() => home.release());
    await assert.rejects(holdHome(directory, noWaiting), (error: unknown) => {
      assert.ok(error instanceof TrustError);
      assert.match(error.message, new RegExp(`already runs in .*: process ${process.pid}, since \\d{4}-`));
      assert.match(error.message, /SENTINEL_HOME/);
      return true;
    });
    assert.ok((await readdir(directory)).includes('start.lock'));
  });

  it('waits for a start that is stopping', async (t) => {
    const directory = await folder(t);
    const first = await holdHome(directory);
    first.announceStop();
    const second = holdHome(directory, { stoppingMs: 10_000, runningMs: 0 });
    await first.release();
    const home = await second;
    assert.equal(home.takenOver, false);
    await home.release();
    assert.deepEqual((await readdir(directory)).toSorted(), ['logs', 'secrets']);
  });

  it('takes over the lock of a process that was killed, and of one whose pid is somebody else now', async (t) => {
    const directory = await folder(t);
    const other = await somebody(t);
    await mkdir(directory);
    for (const holder of [
      { pid: 999_999_999, started: 'x', since: '2026-01-01T00:00:00.000Z' },
      { pid: other.pid, started: 'before the boot', since: '2026-01-01T00:00:00.000Z' },
    ]) {
      await writeFile(join(directory, 'start.lock'), JSON.stringify(holder));
      const home = await holdHome(directory, noWaiting);
      assert.equal(home.takenOver, true);
      await home.release();
    }
    assert.equal(isRunning(other), true);
  });

  it('lets only one of many starts take over', async (t) => {
    const directory = await folder(t);
    await mkdir(directory);
    await writeFile(join(directory, 'start.lock'), '{"pid":999999999,"started":"x","since":"x"}');
    // Links and renames are what decides, so one process is as good as several.
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => holdHome(directory, noWaiting)));
    const winners = results.filter((result) => result.status === 'fulfilled');
    assert.equal(winners.length, 1);
    await winners[0]?.value.release();
  });

  it('ends the processes that a killed start left, and only those', async (t) => {
    const directory = await folder(t);
    const [leftover, stranger] = [await somebody(t), await somebody(t)];
    const first = await holdHome(directory);
    const reused = { pid: stranger.pid, started: 'another time' };
    await first.recordProcesses([{ pid: leftover.pid, started: leftover.started }, reused]);
    // As a killed start leaves it: the lock names a process that is gone.
    await writeFile(join(directory, 'start.lock'), '{"pid":999999999,"started":"x","since":"x"}');
    await writeFile(join(directory, 'instance.json'), '{}');
    const second = await holdHome(directory);
    t.after(() => second.release());
    await leftover.exited;
    assert.equal(isRunning(stranger), true);
    assert.ok(!(await readdir(directory)).includes('instance.json'));
    assert.ok(!(await readdir(directory)).includes('processes.json'));
  });
});

describe('private files', () => {
  it('are 0600, and replaced whole', async (t) => {
    const directory = await folder(t);
    await mkdir(directory);
    const path = join(directory, 'x');
    await replaceFile(path, 'one');
    await replaceFile(path, 'two');
    assert.equal(await readFile(path, 'utf8'), 'two');
    assert.equal(await mode(path), 0o600);
    assert.deepEqual(await readdir(directory), ['x']);
  });

  it('are made once, also by many at the same time', async (t) => {
    const directory = await folder(t);
    await mkdir(directory);
    const path = join(directory, 'x');
    const made = await Promise.all(Array.from({ length: 8 }, (_, n) => keepFile(path, () => `secret ${n}`)));
    assert.equal(new Set(made).size, 1);
    assert.equal(await keepFile(path, () => 'another'), made[0]);
    assert.equal(await mode(path), 0o600);
    assert.deepEqual(await readdir(directory), ['x']);
  });
});
