// What is built from sources: when, by whom, and what is there meanwhile.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { acquireLock } from '#host/lock.mjs';
import { renewFolder } from '#start/built-folder.ts';

async function aClone(t: TestContext) {
  const root = await mkdtemp(join(tmpdir(), 'sentinel-built-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  await mkdir(join(root, 'pages'));
  await writeFile(join(root, 'pages', 'one.md'), 'one');
  const stop = new AbortController();
  const folder = {
    root,
    name: 'site',
    target: join(root, 'pages', 'dist'),
    sources: ['pages/**/*'],
    made: ['pages/dist/**'],
    work: join(root, 'pages-building'),
    signal: stop.signal,
  };
  let builds = 0;
  const build = async (into: string): Promise<boolean> => {
    builds += 1;
    await mkdir(into);
    await writeFile(join(into, 'index.html'), await readFile(join(root, 'pages', 'one.md'), 'utf8'));
    return true;
  };
  return {
    root,
    stop,
    folder,
    builds: () => builds,
    renew: (how = build) => renewFolder(folder, how),
    write: (text: string) => writeFile(join(root, 'pages', 'one.md'), text),
    index: () => readFile(join(folder.target, 'index.html'), 'utf8'),
    leftovers: async () => (await readdir(root)).filter((name) => name.endsWith('-building')),
  };
}

describe('a folder that is built', () => {
  it('is built when its sources have changed, or when it is gone', async (t) => {
    const { folder, renew, write, index, leftovers } = await aClone(t);
    assert.equal(await renew(), 'built');
    assert.equal(await renew(), 'current');
    await write('two');
    assert.equal(await renew(), 'built');
    assert.equal(await index(), 'two');
    await rm(folder.target, { recursive: true });
    assert.equal(await renew(), 'built');
    assert.deepEqual(await leftovers(), []);
  });

  it('stays as it was when the build fails or cannot be made, and is built the next time', async (t) => {
    const { renew, write, index, leftovers } = await aClone(t);
    await renew();
    await write('two');
    const broken = async (into: string) => {
      await mkdir(into);
      throw new Error('does not compile');
    };
    await assert.rejects(renew(broken), /does not compile/);
    assert.equal(await renew(async () => false), 'left');
    assert.equal(await index(), 'one');
    assert.deepEqual(await leftovers(), []);
    assert.equal(await renew(), 'built');
    assert.equal(await index(), 'two');
  });

  it('is built once when two ask for it together', async (t) => {
    const { renew, builds } = await aClone(t);
    assert.deepEqual((await Promise.all([renew(), renew()])).toSorted(), ['built', 'current']);
    assert.equal(builds(), 1);
  });

  it('is not waited for any longer when the start is stopped', async (t) => {
    const { root, stop, renew } = await aClone(t);
    const lock = await acquireLock(join(root, '.sentinel', 'site.lock'), () => {});
    t.after(() => lock.release());
    stop.abort(new Error('stopped'));
    await assert.rejects(renew(), /stopped/);
  });
});
