// `npm start` as a person and as a machine use it: ready, refused, killed in every way, and stopped.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import type { Instance } from '#contracts/instance.ts';
import { findFreePort } from '#start/ports.ts';
import { type Cleanup, cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { listeners } from '#tests/harness/listeners.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const parts = ['supervisor', 'postgres', 'temporal', 'worker', 'sealer', 'api'];

interface Place {
  readonly home: string;
  readonly ports: Readonly<Record<string, string>>;
}

interface Start {
  readonly npm: ChildProcess;
  readonly output: () => string;
  /** Fails when it ends before. */
  ready(): Promise<Instance>;
  /** Exit code and signal. */
  ended(): Promise<[number | null, NodeJS.Signals | null]>;
}

/** A home and ports of its own, under a folder that only its owner can enter. */
async function place(t: Cleanup): Promise<Place> {
  const directory = await mkdtemp(join(tmpdir(), 'sentinel-start-'));
  await chmod(directory, 0o700);
  const home = join(directory, 'home');
  t.after(async () => {
    for (const pid of processesOf(home)) process.kill(pid, 'SIGKILL');
    await rm(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  });
  const names = ['SENTINEL_PORT', 'SENTINEL_DATABASE_PORT', 'SENTINEL_TEMPORAL_PORT', 'SENTINEL_TEMPORAL_UI_PORT'];
  const ports = await Promise.all(names.map(async (name) => [name, String(await findFreePort())] as const));
  return { home, ports: Object.fromEntries(ports) };
}

function start({ home, ports }: Place, ...args: string[]): Start {
  const surroundings = Object.entries(process.env).filter(([name]) => !/^(SENTINEL|NODE_TEST)_/.test(name));
  const npm = spawn('npm', ['start', '--', '--demo', '0', ...args], {
    cwd: root,
    env: { ...Object.fromEntries(surroundings), ...ports, SENTINEL_HOME: home },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [npm.stdout, npm.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const exit = once(npm, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  const stale = textOf(join(home, 'instance.json'));
  return {
    npm,
    output: () => output,
    ended: () => exit,
    ready: () =>
      eventually(() => {
        assert.ok(npm.exitCode === null && npm.signalCode === null, `npm start ended:\n${output}`);
        const text = textOf(join(home, 'instance.json'));
        return text === null || text === stale ? null : (JSON.parse(text) as Instance);
      }, 120_000),
  };
}

/** Every process that was given this home, or works in it. */
function processesOf(home: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => ['environ', 'cmdline'].some((file) => contains(`/proc/${pid}/${file}`, home)))
    .map(Number);
}

function contains(path: string, text: string): boolean {
  return textOf(path)?.includes(text) ?? false;
}

function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

/** The process of a part, when there is one that is not `other`. */
function pidOf({ home }: Place, part: string, other?: number): Promise<number> {
  return eventually(() => {
    const { pids } = JSON.parse(textOf(join(home, 'instance.json')) ?? '{}') as Partial<Instance>;
    const pid = pids?.[part];
    return pid === undefined || pid === other ? null : pid;
  }, 30_000);
}

async function eventually<T>(look: () => Promise<T | null | false> | T | null | false, withinMs: number): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const found = await look();
    if (found !== null && found !== false) return found;
    assert.ok(performance.now() < deadline, `not within ${withinMs / 1_000} s`);
    await sleep(50);
  }
}

const nothingLeft = (home: string): Promise<boolean> => eventually(() => processesOf(home).length === 0, 10_000);

async function rows(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end();
  }
}

describe('npm start', () => {
  const end = cleanupAfterAll();

  it('says where everything is when all is ready, in a file and on the screen, and shows no password', async () => {
    const here = await place(end);
    const first = start(here);
    const instance = await first.ready();
    const address = `https://localhost:${here.ports['SENTINEL_PORT']}`;
    const secrets = join(here.home, 'secrets');
    const { database_url, pids, ...plain } = instance;
    assert.deepEqual(plain, {
      api_url: address,
      console_url: `${address}/`,
      temporal_address: `127.0.0.1:${here.ports['SENTINEL_TEMPORAL_PORT']}`,
      temporal_namespace: 'default',
      temporal_ui_url: `${address}/temporal/`,
      ca_file: join(here.home, 'ca', 'ca.crt'),
      admin_username: 'admin',
      admin_password_file: join(secrets, 'admin.password'),
    });
    assert.deepEqual(Object.keys(pids).toSorted(), parts.toSorted());
    assert.equal((await stat(join(here.home, 'instance.json'))).mode & 0o777, 0o600);
    assert.equal((await stat(here.home)).mode & 0o777, 0o700);
    assert.deepEqual(await rows(database_url, 'SELECT current_user AS name'), [{ name: 'sentinel' }]);

    await eventually(() => first.output().includes('Ctrl-C'), 5_000);
    assert.ok(first.output().includes(plain.admin_password_file ?? ''));
    for (const name of await readdir(secrets)) {
      const path = join(secrets, name);
      assert.equal((await stat(path)).mode & 0o777, 0o600, name);
      assert.ok(!first.output().includes((await readFile(path, 'utf8')).trim()), name);
    }

    for (const [name, pid] of Object.entries(pids))
      for (const listener of listeners(pid))
        assert.match(listener, /^127\.0\.0\.1:|^0{24}01000000:|^0{8}0{8}0{8}01000000:/, name);

    const again = start(here);
    assert.deepEqual(await again.ended(), [1, null]);
    assert.match(
      again.output(),
      new RegExp(`already runs in ${here.home}: process ${pids['supervisor']}, since \\d{4}-`),
    );
    assert.equal(await readFile(join(here.home, 'instance.json'), 'utf8').then((text) => text.includes(address)), true);

    const elsewhere = await place(end);
    const onSamePorts = start({ ...here, home: elsewhere.home });
    assert.deepEqual(await onSamePorts.ended(), [1, null]);
    assert.match(onSamePorts.output(), /SENTINEL_PORT: port \d+ on 127\.0\.0\.1 is taken/);

    const beside = start(elsewhere);
    assert.notEqual((await beside.ready()).pids['postgres'], pids['postgres']);

    for (const [running, { home }] of [
      [first, here],
      [beside, elsewhere],
    ] as const) {
      const began = performance.now();
      running.npm.kill('SIGTERM');
      await running.ended();
      await nothingLeft(home);
      assert.ok(performance.now() - began < 10_000);
      await assert.rejects(stat(join(home, 'instance.json')), { code: 'ENOENT' });
    }
  });

  it('starts a part again that was killed, and ends with a clear error when that does not help', async () => {
    const here = await place(end);
    const running = start(here);
    await running.ready();
    for (const part of ['postgres', 'temporal', 'sealer', 'api']) {
      const killed = await pidOf(here, part);
      process.kill(killed, 'SIGKILL');
      await pidOf(here, part, killed);
    }
    let worker = 0;
    for (let death = 1; death <= 5; death += 1) {
      worker = await pidOf(here, 'worker', worker);
      process.kill(worker, 'SIGKILL');
    }
    assert.deepEqual(await running.ended(), [1, null]);
    assert.match(
      running.output(),
      /Worker died 5 times within a minute\. Worker ended by SIGKILL\.\nThe end of .*worker\.log:/,
    );
    await nothingLeft(here.home);
    await assert.rejects(stat(join(here.home, 'instance.json')), { code: 'ENOENT' });
  });

  it('goes on where it was after every process, or only the supervisor, or npm was killed', async () => {
    const here = await place(end);
    let running = start(here);
    let instance = await running.ready();
    await rows(instance.database_url, 'CREATE TABLE kept (n int)');
    const password = await readFile(instance.admin_password_file ?? '', 'utf8');
    const kills: readonly ((now: Instance, npm: ChildProcess) => unknown)[] = [
      ({ pids }) => Object.values(pids).forEach((pid) => process.kill(pid, 'SIGKILL')),
      ({ pids: { supervisor } }) => supervisor !== undefined && process.kill(supervisor, 'SIGKILL'),
      (_, npm) => npm.kill('SIGKILL'),
    ];
    for (const [round, kill] of kills.entries()) {
      await rows(instance.database_url, `INSERT INTO kept VALUES (${round})`);
      kill(instance, running.npm);
      await running.ended();
      running = start(here);
      instance = await running.ready();
      assert.deepEqual(await rows(instance.database_url, 'SELECT count(*)::int AS n FROM kept'), [{ n: round + 1 }]);
      assert.equal(await readFile(instance.admin_password_file ?? '', 'utf8'), password);
    }
    const own = new Set(processesOf(here.home));
    for (const pid of Object.values(instance.pids)) assert.ok(own.has(pid));
    running.npm.kill('SIGINT');
    await running.ended();
    await nothingLeft(here.home);
  });

  it('leaves nothing when it is stopped while it starts', async () => {
    const here = await place(end);
    const running = start(here);
    await eventually(() => running.output().includes('Postgres … ready'), 60_000);
    running.npm.kill('SIGTERM');
    await running.ended();
    await nothingLeft(here.home);
    await assert.rejects(stat(join(here.home, 'instance.json')), { code: 'ENOENT' });
  });

  it('names every setting and option that is wrong, before anything is started', async () => {
    const here = await place(end);
    const wrong = start({ ...here, ports: { ...here.ports, SENTINEL_PORT: 'x', SENTINEL_DATABASE_POOL: '1' } });
    assert.deepEqual(await wrong.ended(), [1, null]);
    assert.match(wrong.output(), /SENTINEL_PORT: say a whole number\nSENTINEL_DATABASE_POOL: must be at least 2/);
    const half = start({ ...here, ports: { ...here.ports, SENTINEL_TLS_CERT: '/x.crt' } });
    assert.deepEqual(await half.ended(), [1, null]);
    assert.match(half.output(), /SENTINEL_TLS_CERT, SENTINEL_TLS_KEY, SENTINEL_TLS_CA: set all three or none/);
    const option = start(here, '--demo', 'many');
    assert.deepEqual(await option.ended(), [1, null]);
    assert.match(option.output(), /--demo: say a number from 0 to 10000/);
  });
});
