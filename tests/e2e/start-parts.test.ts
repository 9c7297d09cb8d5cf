// The embedded PostgreSQL and Temporal as `npm start` runs them: real servers, which are also killed.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { before, describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Client, Connection } from '@temporalio/client';
import { searchAttributes } from '#contracts/search-attributes.ts';
import { TrustError } from '#contracts/problems.ts';
import { identify, isRunning } from '#host/identity.mjs';
import { findFreePort } from '#start/ports.ts';
import { findPostgresPrograms } from '#start/postgres-programs.ts';
import { findUnprivilegedUser } from '#start/postgres-user.ts';
import { type RunningPostgres, startPostgres } from '#start/postgres.ts';
import { findTemporalProgram } from '#start/temporal-program.ts';
import { type RunningTemporal, startTemporal } from '#start/temporal.ts';
import { cleanupAfterAll, type Cleanup } from '#tests/harness/cleanup.ts';
import { listeners } from '#tests/harness/listeners.ts';
import { rowsOf } from '#tests/harness/postgres.ts';

const isRoot = process.getuid?.() === 0;

const endings = new WeakMap<Cleanup, (() => Promise<void> | void)[]>();

/** Last in, first out: a server ends before its folder is removed. */
function atEnd(t: Cleanup, work: () => Promise<void> | void): void {
  const known = endings.get(t);
  if (known !== undefined) return void known.push(work);
  const works = [work];
  endings.set(t, works);
  t.after(async () => {
    for (const each of works.toReversed()) await each();
  });
}

/** As a clone that only its owner can enter. */
async function closedFolder(t: Cleanup): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'sentinel-parts-'));
  await chmod(directory, 0o700);
  atEnd(t, () => rm(directory, { recursive: true, force: true }));
  return directory;
}

const passwords = { password: 'p@ss/word:1', superuserPassword: 'super' };

async function postgres(
  t: TestContext,
  options: Partial<Parameters<typeof startPostgres>[0]> = {},
): Promise<RunningPostgres> {
  const dataDir = options.dataDir ?? join(await closedFolder(t), 'postgres');
  const server = await startPostgres({
    port: 0,
    ...passwords,
    ...options,
    dataDir,
  });
  atEnd(t, () => server.stop());
  return server;
}

async function kill(server: { readonly pid: number; readonly exited: Promise<unknown> }): Promise<void> {
  process.kill(server.pid, 'SIGKILL');
  await server.exited;
}

async function takenPort(t: TestContext): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  atEnd(t, () => void server.close());
  await once(server, 'listening');
  return (server.address() as { port: number }).port;
}

const refused = (pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof TrustError);
  assert.match(error.message, pattern);
  return true;
};

describe('embedded PostgreSQL', () => {
  const cleanup = cleanupAfterAll();
  let made = '';

  before(async () => {
    made = join(await closedFolder(cleanup), 'postgres');
    const server = await startPostgres({ ...passwords, port: 0, dataDir: made });
    await server.stop();
  });

  /** A cluster as one that was made and stopped here: for tests of what comes later, since making one takes longest. */
  async function madeCluster(t: TestContext): Promise<string> {
    const dataDir = join(await closedFolder(t), 'postgres');
    // With its owner, who is another when we are root.
    await promisify(execFile)('cp', ['-a', made, dataDir]);
    return dataDir;
  }

  it('runs under a folder that only its owner can enter, also as root, with an owner who is no superuser', async (t) => {
    const server = await postgres(t);
    const [role] = await rowsOf(
      server.url,
      `SELECT current_user AS name, current_database() AS database, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls
       FROM pg_roles WHERE rolname = current_user`,
    );
    assert.deepEqual(role, {
      name: 'sentinel',
      database: 'sentinel',
      rolsuper: false,
      rolcreaterole: true,
      rolcreatedb: false,
      rolbypassrls: false,
    });
    const [settings] = await rowsOf(
      server.superuserUrl,
      `SELECT current_setting('fsync') AS fsync, current_setting('data_checksums') AS checksums,
              current_setting('unix_socket_directories') AS sockets`,
    );
    assert.deepEqual(settings, { fsync: 'on', checksums: 'on', sockets: '' });
  });

  it('listens on loopback only, and asks everybody for a password', async (t) => {
    const server = await postgres(t, { durable: false });
    assert.deepEqual(listeners(server.pid), [`127.0.0.1:${server.port}`]);
    const rules = await rowsOf(server.superuserUrl, `SELECT DISTINCT auth_method FROM pg_hba_file_rules`);
    assert.deepEqual(rules, [{ auth_method: 'scram-sha-256' }]);
    await assert.rejects(rowsOf(server.url.replace(/:[^:@]+@/, ':wrong@'), 'SELECT 1'), { code: '28P01' });
  });

  it('keeps every commit when it is killed with its children, and starts again by itself', async (t) => {
    const dataDir = await madeCluster(t);
    let server = await postgres(t, { dataDir });
    await rowsOf(server.url, 'CREATE TABLE kept (n int)');
    for (let round = 1; round <= 2; round += 1) {
      await rowsOf(server.url, `INSERT INTO kept VALUES (${round})`);
      await kill(server);
      server = await postgres(t, { dataDir });
      assert.deepEqual(await rowsOf(server.url, 'SELECT count(*)::int AS n FROM kept'), [{ n: round }]);
    }
  });

  it('ends the server that a killed start has left running in its folder', async (t) => {
    const dataDir = await madeCluster(t);
    const left = await postgres(t, { dataDir });
    const identity = identify(left.pid);
    assert.ok(identity);
    const server = await postgres(t, { dataDir });
    assert.equal(isRunning(identity), false);
    assert.notEqual(server.pid, left.pid);
  });

  it('is not held up by a lock file whose pid is another process by now', async (t) => {
    const dataDir = await madeCluster(t);
    const first = await postgres(t, { dataDir });
    const lines = (await readFile(join(dataDir, 'postmaster.pid'), 'utf8')).split('\n');
    await kill(first);
    await writeFile(join(dataDir, 'postmaster.pid'), [String(process.pid), ...lines.slice(1)].join('\n'));
    const server = await postgres(t, { dataDir });
    assert.equal((await rowsOf(server.url, 'SELECT 1 AS one'))[0]?.['one'], 1);
  });

  it('begins anew where creating the cluster was interrupted', async (t) => {
    const dataDir = join(await closedFolder(t), 'postgres');
    await mkdir(`${dataDir}.unfinished`);
    await writeFile(join(`${dataDir}.unfinished`, 'PG_VERSION'), '18\n');
    await postgres(t, { dataDir, durable: false });
    await assert.rejects(stat(`${dataDir}.unfinished`), { code: 'ENOENT' });
  });

  it('touches neither a folder with other things in it nor one of another version', async (t) => {
    const dataDir = join(await closedFolder(t), 'postgres');
    await mkdir(dataDir);
    await writeFile(join(dataDir, 'thesis.txt'), 'x');
    await assert.rejects(postgres(t, { dataDir, durable: false }), refused(/neither empty nor a PostgreSQL cluster/));
    assert.equal(await readFile(join(dataDir, 'thesis.txt'), 'utf8'), 'x');
    await writeFile(join(dataDir, 'PG_VERSION'), '17\n');
    await assert.rejects(postgres(t, { dataDir }), refused(/written by PostgreSQL 17; this release runs 18/));
  });

  it('says which setting to change when its port is taken', async (t) => {
    const port = await takenPort(t);
    await assert.rejects(
      postgres(t, { port, durable: false }),
      refused(/^SENTINEL_DATABASE_PORT: port \d+ .* is taken/),
    );
  });

  it('says so when the password that it was made with is lost', async (t) => {
    const dataDir = await madeCluster(t);
    const lost = postgres(t, { dataDir, durable: false, superuserPassword: 'another' });
    await assert.rejects(lost, refused(/Postgres is not usable|password authentication failed/));
  });

  it('leaves no process when it is stopped', async (t) => {
    const dataDir = await madeCluster(t);
    const server = await postgres(t, { dataDir });
    await server.stop();
    assert.deepEqual(await server.exited, { code: 0, signal: null });
    await assert.rejects(stat(join(dataDir, 'postmaster.pid')), { code: 'ENOENT' });
  });

  it(
    'runs as root without user namespaces too, and goes on with data of either way',
    { skip: !isRoot && 'needs root' },
    async (t) => {
      const directory = await closedFolder(t);
      const dataDir = join(directory, 'postgres');
      const { postgres: program } = await findPostgresPrograms();
      await mkdir(join(directory, 'bin'));
      for (const name of ['setpriv', 'cat']) await symlink(`/usr/bin/${name}`, join(directory, 'bin', name));
      // A system where unshare does not work: here it is not there at all.
      const user = await findUnprivilegedUser(program, join(directory, 'bin'));
      assert.equal(user.prefix[0], 'setpriv');
      const usual = await findUnprivilegedUser(program);
      for (const [round, way] of [user, usual, user].entries()) {
        const server = await postgres(t, { dataDir, user: way });
        if (round === 0) await rowsOf(server.url, 'CREATE TABLE kept (n int)');
        await rowsOf(server.url, `INSERT INTO kept VALUES (${round})`);
        assert.deepEqual(await rowsOf(server.url, 'SELECT count(*)::int AS n FROM kept'), [{ n: round + 1 }]);
        await server.stop();
      }
    },
  );
});

describe('embedded Temporal', () => {
  const cleanup = cleanupAfterAll();
  const codecEndpoint = 'https://localhost:1/api/temporal/codec';
  let program: string;
  /** With its UI, for tests that only ask it. */
  let shared: RunningTemporal;

  before(async () => {
    const toolsDir = fileURLToPath(new URL('../../.sentinel/tools', import.meta.url));
    program = (await findTemporalProgram({ toolsDirs: [toolsDir], environment: process.env })).path;
    shared = await temporal(cleanup, { uiPort: 0, codecEndpoint });
  });

  async function temporal(t: Cleanup, options: Partial<Parameters<typeof startTemporal>[0]> = {}) {
    const server = await startTemporal({ program, port: 0, ...options });
    atEnd(t, () => server.stop());
    return server;
  }

  async function connect(t: TestContext, address: string): Promise<Connection> {
    const connection = await Connection.connect({ address });
    atEnd(t, () => connection.close());
    return connection;
  }

  it('is ready when the search attributes are there, and keeps what is closed for 30 days', async (t) => {
    const { address } = shared;
    const { workflowService, operatorService } = await connect(t, address);
    const { customAttributes } = await operatorService.listSearchAttributes({ namespace: 'default' });
    assert.deepEqual(Object.keys(customAttributes).toSorted(), Object.keys(searchAttributes).toSorted());
    const { config } = await workflowService.describeNamespace({ namespace: 'default' });
    assert.equal(Number(config?.workflowExecutionRetentionTtl?.seconds), 30 * 86_400);
  });

  it('listens on loopback only, the frontend, the UI and everything else (SA-27)', () => {
    const addresses = listeners(shared.pid);
    assert.ok(addresses.includes(shared.address));
    assert.ok(addresses.includes(new URL(shared.uiUrl ?? '').host));
    for (const address of addresses) assert.match(address, /^127\.0\.0\.1:/);
  });

  it('serves its UI under /temporal, with the codec endpoint that it was given', async () => {
    const { uiUrl } = shared;
    const page = await fetch(`${uiUrl}/`, { signal: AbortSignal.timeout(10_000) });
    assert.match(await page.text(), /\/temporal\//);
    const settings = await fetch(`${uiUrl}/api/v1/settings`, { signal: AbortSignal.timeout(10_000) });
    assert.equal(((await settings.json()) as { Codec: { Endpoint: string } }).Codec.Endpoint, codecEndpoint);
  });

  it('keeps its workflows when it is killed, and starts again by itself', async (t) => {
    const databaseFile = join(await closedFolder(t), 'temporal', 'temporal.sqlite');
    const first = await temporal(t, { databaseFile });
    const workflowId = randomUUID();
    const client = new Client({ connection: await connect(t, first.address) });
    await client.workflow.start('nobody', { workflowId, taskQueue: 'nobody' });
    await kill(first);
    const second = await temporal(t, { databaseFile });
    const again = new Client({ connection: await connect(t, second.address) });
    const { status } = await again.workflow.getHandle(workflowId).describe();
    assert.equal(status.name, 'RUNNING');
    assert.equal((await stat(dirname(databaseFile))).mode & 0o777, 0o700);
  });

  it('runs beside another one', async (t) => {
    const [a, b] = await Promise.all([temporal(t, { uiPort: 0 }), temporal(t, { uiPort: 0 })]);
    assert.notEqual(a.address, b.address);
  });

  it('says which setting to change when a port is taken', async (t) => {
    const taken = await takenPort(t);
    await assert.rejects(temporal(t, { port: taken }), refused(/^SENTINEL_TEMPORAL_PORT: port \d+ .* is taken/));
    const port = await findFreePort();
    await assert.rejects(
      temporal(t, { port, uiPort: taken }),
      refused(/^SENTINEL_TEMPORAL_UI_PORT: port \d+ .* is taken/),
    );
  });
});
