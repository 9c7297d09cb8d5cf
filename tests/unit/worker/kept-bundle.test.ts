// The workflow bundle that is kept between two starts.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, matchesGlob, relative } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { bundleApart } from '#worker/bundle-process.ts';
import { bundleSources, keptBundle, keptInPackages } from '#worker/kept-bundle.ts';

describe('the kept workflow bundle', () => {
  async function folderOf(t: TestContext) {
    const root = await mkdtemp(join(tmpdir(), 'sentinel-bundle-'));
    t.after(() => rm(root, { recursive: true, force: true }));
    await mkdir(join(root, 'workflows'));
    const source = join(root, 'workflows', 'a.ts');
    await writeFile(source, '1');
    const file = join(root, 'cache', 'workflows.js');
    let made = 0;
    const ask = async (place = root): Promise<string> => {
      const make = async () => ({ code: `made ${(made += 1)}\nof ${await readFile(source, 'utf8')}` });
      return (await keptBundle({ root: place, file, make })).code;
    };
    return { root, source, file, ask };
  }

  it('is made once, and again when a source has changed', async (t) => {
    const { source, ask } = await folderOf(t);
    assert.deepEqual([await ask(), await ask()], ['made 1\nof 1', 'made 1\nof 1']);
    await writeFile(source, '2');
    assert.deepEqual([await ask(), await ask()], ['made 2\nof 2', 'made 2\nof 2']);
  });

  it('is made again when what was kept is not whole, or not what was made', async (t) => {
    const { file, ask } = await folderOf(t);
    await ask();
    const kept = await readFile(file, 'utf8');
    for (const broken of ['', kept.slice(0, -1), kept.replace('of 1', 'of 9'), kept.slice(1)]) {
      await writeFile(file, broken);
      assert.match(await ask(), /^made [2-9]\nof 1$/, broken);
      assert.equal(await ask(), (await readFile(file, 'utf8')).replace(/^.*\n/, ''));
    }
  });

  it('is made even where nothing can be kept', async (t) => {
    const { root, ask } = await folderOf(t);
    await writeFile(join(root, 'cache'), 'no folder');
    assert.deepEqual([await ask(), await ask()], ['made 1\nof 1', 'made 2\nof 1']);
  });

  it('is told apart by everything that it is made of', async () => {
    const { code } = await keptBundle({ ...keptInPackages, make: () => bundleApart('error') });
    const map = code.slice(code.lastIndexOf('base64,') + 'base64,'.length);
    const { sources } = JSON.parse(Buffer.from(map, 'base64').toString()) as { sources: string[] };
    const own = sources
      .map((source) => relative(keptInPackages.root, source))
      // The packages are those of the lock file; the rest is what webpack and Temporal put around them.
      .filter((source) => source.endsWith('.ts') && !/^(node_modules|\.\.)\//.test(source));
    assert.ok(own.includes('workflows/device.ts') && own.includes('machines/device.ts'), own.join(' '));
    for (const source of own)
      assert.ok(
        bundleSources.some((glob) => matchesGlob(source, glob)),
        source,
      );
  });
});
