// Parts of an agent bundle: archives that do not depend on who makes them, and bases that are the chosen ones.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { archiveOf, sumsOf } from '#deploy/agent/archive.ts';
import { loadBase } from '#deploy/agent/base.ts';
import { nodeVersion, targetNames, targetOf, targets } from '#deploy/agent/targets.ts';
import { agentFolder } from '#tests/harness/agent.ts';

const content = (text: string): Buffer => Buffer.from(text);

describe('the archive of a bundle', () => {
  const files = [
    { name: 'b', content: content('two') },
    { name: 'a', content: content('one'), isExecutable: true },
  ];

  it('is the same whatever the order, time and user it is made in (DP-22)', async (t) => {
    const first = await archiveOf('bundle', files);
    t.mock.timers.enable({ apis: ['Date'], now: Date.UTC(2040, 1) });
    const before = process.umask(0o077);
    t.after(() => void process.umask(before));
    assert.ok((await archiveOf('bundle', files.toReversed())).equals(first));
  });

  it('is another when anything in it is', async () => {
    const first = await archiveOf('bundle', files);
    for (const others of [
      [{ name: 'a', content: content('one') }],
      [{ ...files[0], name: 'c' }, files[1]],
      [{ ...files[0], content: content('three') }, files[1]],
      [{ ...files[0], isExecutable: true }, files[1]],
    ])
      assert.ok(!(await archiveOf('bundle', others as typeof files)).equals(first));
    assert.ok(!(await archiveOf('other', files)).equals(first));
  });

  it('has sums in the form and order of sha256sum', () => {
    const digest = (text: string): string => createHash('sha256').update(text).digest('hex');
    assert.equal(sumsOf(files).toString(), `${digest('one')}  a\n${digest('two')}  b\n`);
  });
});

describe('the Node that an executable is built on', () => {
  const target = { base: 'node-some-os', program: 'bin/node' };
  const integrityOf = (bytes: Buffer): string => `sha512-${createHash('sha512').update(bytes).digest('base64')}`;
  const packed = (program: string): Promise<Buffer> =>
    archiveOf('package', [
      { name: 'bin/node', content: content(program) },
      { name: 'LICENSE', content: content('free') },
    ]);

  it('is fetched once, and looked at every time (DP-22)', async (t) => {
    const cache = await agentFolder(t);
    const good = await packed('node');
    const integrity = integrityOf(good);
    const asked: string[] = [];
    const fetch = async (base: string, path: string) => {
      asked.push(base);
      await writeFile(path, good);
    };
    for (let time = 0; time < 2; time += 1) {
      const { program, licence } = await loadBase({ ...target, integrity }, cache, fetch);
      assert.deepEqual([program.toString(), licence?.toString()], ['node', 'free']);
    }
    assert.deepEqual(asked, ['node-some-os']);
    const path = join(cache, `node-some-os-${nodeVersion}.tgz`);
    await writeFile(path, await packed('evil'));
    assert.equal((await loadBase({ ...target, integrity }, cache, fetch)).program.toString(), 'node');
    assert.equal(asked.length, 2);
    assert.ok((await readFile(path)).equals(good));
  });

  it('is refused when it is not the one that was chosen, wherever it comes from (DP-22)', async (t) => {
    const cache = await agentFolder(t);
    const integrity = integrityOf(await packed('node'));
    const fetch = async (_base: string, path: string) => writeFile(path, await packed('evil'));
    for (let time = 0; time < 2; time += 1)
      await assert.rejects(loadBase({ ...target, integrity }, cache, fetch), /is not the package that .*targets\.ts/);
  });

  it('is chosen by digest for each target, and known to the machines that build', () => {
    assert.deepEqual(targetNames, ['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64', 'win-x64']);
    for (const name of targetNames) assert.match(targets[name].integrity, /^sha512-[A-Za-z0-9+/]{86}==$/);
    assert.equal(new Set(targetNames.map((name) => targets[name].integrity)).size, targetNames.length);
    assert.deepEqual(
      [targetOf('linux', 'x64'), targetOf('win32', 'x64'), targetOf('darwin', 'arm64'), targetOf('aix', 'ppc64')],
      ['linux-x64', 'win-x64', 'darwin-arm64', null],
    );
  });
});
