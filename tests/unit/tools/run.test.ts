// `npm test` itself: what it runs, how it ends, and what it makes of tests that were skipped.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { copyFile, cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { blocksTypedBy } from '#tests/harness/page-commands.ts';
import { requires } from '#tests/harness/requires.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));

const passing = "import { test } from 'node:test';\ntest('passes', () => {});\n";
const skipping = "import { test } from 'node:test';\ntest('is skipped', { skip: 'needs a moon' }, () => {});\n";
const failing = "import { test } from 'node:test';\ntest('fails', () => { throw new Error('because'); });\n";
const nested = `import { describe, it } from 'node:test';
describe('outer', () => describe('inner', () => {
  it('fails', () => { throw new Error('because'); });
  it('is slow', { timeout: 50 }, () => new Promise((done) => setTimeout(done, 300)));
}));
`;
const telling =
  "import { test } from 'node:test';\ntest('tells', () => { throw new Error(`home=${process.env.SENTINEL_HOME} run=${typeof process.env.SENTINEL_TEST_RUN}`); });\n";

interface Ended {
  readonly code: number | null;
  readonly output: string;
  readonly lastLine: string;
}

/** Runs the runner in a tree of its own. */
async function runTests(
  t: TestContext,
  files: Readonly<Record<string, string>>,
  args: readonly string[] = [],
  environment: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  return endOf(await treeWith(t, files), [process.execPath, 'tests/run.ts', ...args], environment);
}

/** The runner, and the tests that it is to find. */
async function treeWith(t: TestContext, files: Readonly<Record<string, string>>): Promise<string> {
  const tree = await mkdtemp(join(tmpdir(), 'sentinel-run-'));
  t.after(() => rm(tree, { recursive: true, force: true }));
  await mkdir(join(tree, 'tests'));
  await copyFile(join(root, 'package.json'), join(tree, 'package.json'));
  await copyFile(join(root, 'tests/run.ts'), join(tree, 'tests/run.ts'));
  await cp(join(root, 'tests/harness'), join(tree, 'tests/harness'), { recursive: true });
  await symlink(join(root, 'node_modules'), join(tree, 'node_modules'));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(tree, path)), { recursive: true });
    await writeFile(join(tree, path), text);
  }
  return tree;
}

async function endOf(
  tree: string,
  [program, ...args]: readonly [string, ...string[]],
  environment: Readonly<Record<string, string>>,
): Promise<Ended> {
  const { CI: _, ...inherited } = process.env;
  const child = spawn(program, args, {
    cwd: tree,
    env: { ...inherited, ...environment },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, output, lastLine: output.trimEnd().split('\n').at(-1) ?? '' };
}

describe('npm test', { concurrency: 3 }, () => {
  it('runs as the README has it (DC-03)', async (t) => {
    const tree = await treeWith(t, { 'tests/unit/a.test.ts': passing });
    await copyFile(join(root, 'package-lock.json'), join(tree, 'package-lock.json'));
    for (const folder of ['start', 'host']) await cp(join(root, folder), join(tree, folder), { recursive: true });
    for (const { text } of blocksTypedBy(import.meta.filename)) {
      const { code, output, lastLine } = await endOf(tree, ['bash', '--norc', '-euc', text], {});
      assert.equal(code, 0, output);
      assert.equal(lastLine, '1 passed, 0 failed, 0 skipped');
    }
  });

  it('leaves what takes hours for when it is named', async (t) => {
    const files = { 'tests/unit/a.test.ts': passing, 'tests/long/b.test.ts': failing };
    const { code, output, lastLine } = await runTests(t, files);
    assert.deepEqual([code, lastLine], [0, '1 passed, 0 failed, 0 skipped'], output);
    const named = await runTests(t, files, ['tests/long/b.test.ts'], {
      SENTINEL_TEST_TEMPORAL_ADDRESS: '127.0.0.1:1',
    });
    assert.equal(named.lastLine, '0 passed, 1 failed, 0 skipped', named.output);
  });

  it('ends with the sums, alone on a line', async (t) => {
    const { code, output, lastLine } = await runTests(t, {
      'tests/unit/a.test.ts': passing,
      'tests/unit/b.test.ts': skipping,
    });
    assert.equal(lastLine, '1 passed, 0 failed, 1 skipped', output);
    assert.match(output, /^# tests 2$/m);
    assert.match(output, /^# pass 1$/m);
    assert.match(output, /– is skipped \(skipped: needs a moon\)/);
    assert.equal(code, 0);
  });

  it('fails when a test fails, and says where and why', async (t) => {
    const { code, output, lastLine } = await runTests(t, {
      'tests/unit/a.test.ts': passing,
      'tests/unit/b.test.ts': failing,
    });
    assert.equal(lastLine, '1 passed, 1 failed, 0 skipped');
    assert.match(output, /because/);
    assert.match(output, /tests\/unit\/b\.test\.ts:2 fails/);
    assert.equal(code, 1);
  });

  it('names at the end what failed in any suite, and why', async (t) => {
    const { output } = await runTests(t, { 'tests/unit/a.test.ts': nested, 'tests/store/b.test.ts': passing }, [], {
      SENTINEL_TEST_DATABASE_URL: 'postgres://127.0.0.1:1/none',
    });
    const end = output.slice(output.lastIndexOf('Failed:'), output.indexOf('# tests'));
    assert.ok(output.indexOf('── store ──') < output.lastIndexOf('Failed:'), output);
    assert.match(end, /^ {2}tests\/unit\/a\.test\.ts:3 outer › inner › fails\n {6}Error: because$/m);
    assert.match(end, /^ {2}tests\/unit\/a\.test\.ts:4 outer › inner › is slow\n {6}test timed out after 50ms$/m);
    assert.equal(end.match(/^ {2}tests/gm)?.length, 2, 'what is around them has not failed itself');
  });

  it('names all that failed in the last hundred lines, as far as they fit there', async (t) => {
    const many = (count: number): string =>
      `import { test } from 'node:test';\nfor (let i = 0; i < ${count}; i += 1) test(\`fails \${i}.\`, () => { throw new Error('one\\ntwo\\nthree'); });\n`;
    const few = await runTests(t, { 'tests/unit/a.test.ts': many(30) });
    const tail = few.output.split('\n').slice(-100).join('\n');
    for (let i = 0; i < 30; i += 1) assert.match(tail, new RegExp(`fails ${i}\\.\\n {6}Error: one$`, 'm'));
    const tooMany = await runTests(t, { 'tests/unit/a.test.ts': many(90) });
    const end = tooMany.output.split('\n').slice(-100).join('\n');
    assert.match(end, /^Failed:\n {2}tests\/unit\/a\.test\.ts:2 fails 0\.$/m);
    assert.match(end, /fails 79\.\n {2}and 10 more$/m);
  });

  it('fails when a file cannot be loaded, and when nothing ran', async (t) => {
    assert.equal((await runTests(t, { 'tests/unit/a.test.ts': "import './nowhere.ts';\n" })).code, 1);
    assert.equal((await runTests(t, {})).code, 1);
  });

  it('runs the files that are asked for, and refuses what is none', async (t) => {
    const files = { 'tests/unit/a.test.ts': passing, 'tests/unit/b.test.ts': failing };
    assert.equal((await runTests(t, files, ['tests/unit/a.test.ts'])).code, 0);
    assert.equal((await runTests(t, files, ['unit'])).code, 1);
    assert.equal((await runTests(t, files, ['tests/unit/c.test.ts'])).code, 2);
  });

  it('keeps the settings of whoever runs it out of the tests', async (t) => {
    const { output } = await runTests(t, { 'tests/unit/a.test.ts': telling }, [], { SENTINEL_HOME: '/somewhere' });
    assert.match(output, /home=undefined run=string/);
  });

  it('takes a skipped test for a failure where everything must be there', async (t) => {
    const { code, output } = await runTests(t, { 'tests/unit/a.test.ts': skipping }, [], { CI: 'true' });
    assert.equal(code, process.getuid?.() === 0 ? 1 : 0, output);
  });
});

describe('requires', () => {
  const machine = { exists: () => false, hasEverything: false };

  it('lets a test run when its program is there', () => {
    assert.equal(requires('nginx', { ...machine, exists: (path) => path === '/usr/sbin/nginx' }), false);
  });

  it('names the Debian package that is missing', () => {
    assert.equal(requires('nginx', machine), 'needs the Debian package nginx');
  });

  it('does not let a test be skipped where everything must be there', () => {
    assert.throws(() => requires('nginx', { ...machine, hasEverything: true }), /needs the Debian package nginx/);
  });

  it('knows only programs that are listed', () => {
    assert.throws(() => requires('docker', machine), /debian-packages/);
  });
});
