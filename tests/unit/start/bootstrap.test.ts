import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { identify } from '#host/identity.mjs';

const lockFile = { packages: { '': {}, 'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' } } };
const prints = `console.log(JSON.stringify({ args: process.argv.slice(2), path: process.env.PATH, version: process.version }));`;

interface Clone {
  readonly directory: string;
  /** Runs the bootstrap with a script of this name. */
  run(script: string, ...args: string[]): Promise<{ code: number | null; output: string }>;
  begin(script: string, ...args: string[]): ChildProcess;
  /** How often packages were installed. */
  installs(): Promise<number>;
  write(name: string, content: string): Promise<void>;
}

/** A clone with the bootstrap, and an npm that writes what a real one leaves behind. */
async function clone(t: TestContext, npm = ''): Promise<Clone> {
  const directory = await mkdtemp(join(tmpdir(), 'sentinel-clone-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  for (const folder of ['start', 'host', 'bin']) await mkdir(join(directory, folder));
  for (const file of ['package.json', 'start/bootstrap.mjs', 'host/lock.mjs', 'host/identity.mjs']) {
    await copyFile(new URL(`../../../${file}`, import.meta.url), join(directory, file));
  }
  const write = (name: string, content: string): Promise<void> =>
    writeFile(join(directory, name), content, { mode: 0o755 });
  await write('package-lock.json', JSON.stringify(lockFile));
  await write('script.ts', prints);
  // $PWD is the clone; the log is outside of what is replaced.
  const install = 'mkdir -p node_modules && cp package-lock.json node_modules/.package-lock.json';
  await write('bin/npm', `#!/bin/sh\necho "$@" >> installs.log\nrm -rf node_modules\n${npm || install}\n`);
  const begin: Clone['begin'] = (script, ...args) =>
    spawn(process.execPath, [join(directory, 'start', 'bootstrap.mjs'), script, ...args], {
      cwd: directory,
      env: { PATH: `${join(directory, 'bin')}:${process.env['PATH']}` },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  return {
    directory,
    write,
    begin,
    async run(script, ...args) {
      const child = begin(script, ...args);
      let output = '';
      for (const stream of [child.stdout, child.stderr])
        stream?.on('data', (chunk: Buffer) => (output += chunk.toString()));
      const [code] = (await once(child, 'close')) as [number | null];
      return { code, output };
    },
    async installs() {
      const log = await readFile(join(directory, 'installs.log'), 'utf8').catch(() => '');
      return log.split('\n').length - 1;
    },
  };
}

describe('bootstrap', () => {
  it('installs the locked packages first, and then no more', async (t) => {
    const { run, installs, directory } = await clone(t);
    const { code, output } = await run('script.ts', 'a', '--b');
    assert.equal(code, 0, output);
    assert.match(output, /^Packages … installing.*\nPackages … ready in /);
    assert.deepEqual((JSON.parse(output.trim().split('\n').at(-1) ?? '') as { args: string[] }).args, ['a', '--b']);
    await run('script.ts');
    assert.equal(await installs(), 1);
    assert.match(await readFile(join(directory, 'installs.log'), 'utf8'), /^ci --include=dev --include=optional/);
  });

  it('puts Node 24 and the installed programs first on the path of the script', async (t) => {
    const { run, directory } = await clone(t);
    const { output } = await run('script.ts');
    const { path, version } = JSON.parse(output.trim().split('\n').at(-1) ?? '') as { path: string; version: string };
    assert.equal(path.split(':')[1], join(directory, 'node_modules', '.bin'));
    assert.match(version, /^v2[4-6]\./);
  });

  it('installs again when the lock file has changed', async (t) => {
    const { run, installs, write } = await clone(t);
    await run('script.ts');
    await write('package-lock.json', JSON.stringify({ packages: { 'node_modules/b': { version: '1.0.0' } } }));
    await run('script.ts');
    assert.equal(await installs(), 2);
  });

  it('is content with what a developer’s npm install has left, which has no stamp', async (t) => {
    const { run, installs, write, directory } = await clone(t);
    await mkdir(join(directory, 'node_modules'));
    const missing = { 'node_modules/other': { version: '1.0.0', optional: true } };
    await write('package-lock.json', JSON.stringify({ packages: { ...lockFile.packages, ...missing } }));
    await write('node_modules/.package-lock.json', JSON.stringify(lockFile));
    assert.equal((await run('script.ts')).code, 0);
    assert.equal(await installs(), 0);
  });

  it('installs again after an installation that was interrupted', async (t) => {
    const { run, installs, directory } = await clone(t);
    await mkdir(join(directory, 'node_modules', 'a'), { recursive: true });
    assert.equal((await run('script.ts')).code, 0);
    assert.equal(await installs(), 1);
  });

  it('installs once when several start at the same time', async (t) => {
    const { run, installs } = await clone(t);
    const results = await Promise.all(Array.from({ length: 4 }, () => run('script.ts')));
    assert.deepEqual(
      results.map(({ code }) => code),
      [0, 0, 0, 0],
    );
    assert.equal(await installs(), 1);
  });

  it('takes over from one that was killed, whose npm it ends first', async (t) => {
    const { begin, directory, write, run } = await clone(t, 'echo $$ > npm.pid; exec sleep 60');
    const killed = begin('script.ts');
    killed.stderr?.resume();
    const npm = await pollFor(async () => Number(await readFile(join(directory, 'npm.pid'), 'utf8')));
    await pollFor(async () =>
      (await readFile(join(directory, '.sentinel', 'install.lock'), 'utf8')).includes(`"pid":${npm}`),
    );
    killed.kill('SIGKILL');
    await once(killed, 'exit');
    await write(
      'bin/npm',
      '#!/bin/sh\nmkdir -p node_modules && cp package-lock.json node_modules/.package-lock.json\n',
    );
    assert.equal((await run('script.ts')).code, 0);
    assert.equal(identify(npm), null);
  });

  it('shows what npm said when it fails, and starts nothing', async (t) => {
    const { run } = await clone(t, 'echo "registry is down" >&2; exit 7');
    const { code, output } = await run('script.ts');
    assert.equal(code, 1);
    assert.match(output, /npm ci ended with 7:\nregistry is down\n$/);
  });

  it('passes signals on, and ends with the exit code of the script', async (t) => {
    const { run, begin, write } = await clone(t);
    await write(
      'waits.ts',
      `process.on('SIGTERM', () => process.exit(42)); setInterval(() => {}, 1000); console.log('up');`,
    );
    await run('script.ts');
    const child = begin('waits.ts');
    await once(child.stdout ?? child, 'data');
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [42, null]);
    await write('dies.ts', `process.kill(process.pid, 'SIGKILL'); setInterval(() => {}, 1000);`);
    assert.equal((await run('dies.ts')).code, 128 + 9);
  });

  it('lets the script see its end when it is killed', async (t) => {
    const { run, begin, write, directory } = await clone(t);
    await write(
      'watches.ts',
      `import { writeFileSync } from 'node:fs';
       process.on('disconnect', () => { writeFileSync('seen', 'x'); process.exit(); });
       console.log('up');`,
    );
    await run('script.ts');
    const child = begin('watches.ts');
    await once(child.stdout ?? child, 'data');
    child.kill('SIGKILL');
    await pollFor(() => readFile(join(directory, 'seen'), 'utf8'));
  });
});

async function pollFor<T>(look: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const found = await look().catch(() => null);
    if (found) return found;
    assert.ok(performance.now() < deadline, 'not within 10 s');
    await sleep(20);
  }
}
