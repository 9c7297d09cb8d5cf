// The embedded PostgreSQL: a real server from an npm package, on loopback only, with its data in one folder.
import { randomBytes } from 'node:crypto';
import { chown, lchown, lstat, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { TrustError } from '#contracts/problems.ts';
import { identify } from '#host/identity.mjs';
import { dyingWithParent, type Exit, type Output, type Part, spawnPart, startPart, stopChild } from './part.ts';
import { findFreePort, requireFreePort } from './ports.ts';
import { findPostgresPrograms } from './postgres-programs.ts';
import { findUnprivilegedUser, type RunAs } from './postgres-user.ts';
import { endProcesses, processesIn } from './processes.ts';
import { runProgram } from './run-program.ts';

export interface PostgresOptions {
  /** Holds the cluster; made when it is missing. Only one server may use it: whatever else runs there is ended. */
  readonly dataDir: string;
  readonly port: number;
  /** Password of the role `sentinel`, which owns the database `sentinel`. */
  readonly password: string;
  /** Password of the superuser `postgres`. */
  readonly superuserPassword: string;
  /** Off for tests: nothing is flushed to disk, and the server dies with the process that started it. */
  readonly durable?: boolean;
  /** Looked for when absent. */
  readonly user?: RunAs;
}

export interface RunningPostgres {
  readonly port: number;
  readonly pid: number;
  /** Connects the owner `sentinel` to the database `sentinel`. */
  readonly url: string;
  /** Connects the superuser to the database `postgres`. */
  readonly superuserUrl: string;
  readonly exited: Promise<Exit>;
  stop(): Promise<void>;
}

/** What the server is told: nothing of our own environment, in particular none of our secrets. */
const environment = { LC_ALL: 'C', TZ: 'UTC', PATH: '/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin' };

/**
 * Starts a server of its own, for tests and tools; port 0 takes a free one.
 *
 * @throws TrustError `service.unavailable` with the end of the server's log
 */
export async function startPostgres(
  options: Omit<PostgresOptions, 'superuserPassword'> & {
    readonly superuserPassword?: string;
    readonly output?: Output;
  },
): Promise<RunningPostgres> {
  const { output = () => {}, superuserPassword = options.password } = options;
  // A free port may be taken by somebody else before the server has it.
  for (let attempt = 1; ; attempt++) {
    const port = options.port === 0 ? await findFreePort() : options.port;
    const complete = { ...options, port, superuserPassword };
    const part = await postgresPart(complete);
    try {
      const child = await startPart(part, spawnPart, output);
      return {
        port,
        pid: child.pid,
        exited: child.exited,
        url: ownerUrl(complete),
        superuserUrl: superuserUrl(complete),
        stop: async () => void (await stopChild(part, child)),
      };
    } catch (error) {
      if (options.port !== 0 || attempt === 3 || !/is taken|in use/.test((error as Error).message)) throw error;
    }
  }
}

export function ownerUrl({ port, password }: Pick<PostgresOptions, 'port' | 'password'>): string {
  return databaseUrl('sentinel', password, port, 'sentinel');
}

export function superuserUrl({ port, superuserPassword }: Pick<PostgresOptions, 'port' | 'superuserPassword'>): string {
  return databaseUrl('postgres', superuserPassword, port, 'postgres');
}

/** Describes the server as a part; the cluster is created when the part is prepared. */
export async function postgresPart(options: PostgresOptions): Promise<Part> {
  const { port, durable = true } = options;
  const dataDir = resolve(options.dataDir);
  const programs = await findPostgresPrograms();
  const user = options.user ?? (await findUnprivilegedUser(programs.postgres));
  const serverArgs = ['-D', dataDir, ...Object.entries(serverSettings(port, durable)).flatMap(setting)];
  const [command, args] = asUser(
    user,
    ...(durable ? ([programs.postgres, serverArgs] as const) : dyingWithParent(programs.postgres, serverArgs)),
  );
  return {
    name: 'Postgres',
    async prepare() {
      await endLeftovers(dataDir, 5_000);
      await createCluster({ ...options, dataDir, initdb: programs.initdb, user });
      await giveTo(dataDir, user);
      await requireFreePort('SENTINEL_DATABASE_PORT', '127.0.0.1', port);
    },
    command,
    args,
    environment,
    async ready(signal) {
      await untilConnected(superuserUrl(options), signal, (client) => ensureRoleAndDatabase(client, options.password));
    },
    // Recovery after a crash reads the log since the last checkpoint; at most 1 GB by default.
    readyWithinMs: 120_000,
    // A fast shutdown: it ends sessions and writes a checkpoint. SIGQUIT only leaves recovery to the next start.
    stopSignal: durable ? 'SIGINT' : 'SIGQUIT',
    stopWithinMs: 3_000,
    cleanUp: () => endLeftovers(dataDir, 500),
  };
}

/**
 * What the server keeps of the tables in memory: an eighth of what the machine has, within limits. It takes the memory when it
 * reads as much, and not before.
 */
export function sharedMegabytes(memoryBytes: number): number {
  return Math.round(Math.min(2048, Math.max(128, memoryBytes / 8 / 2 ** 20)));
}

function serverSettings(port: number, durable: boolean): Record<string, string> {
  return {
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: '200',
    password_encryption: 'scram-sha-256',
    log_timezone: 'UTC',
    TimeZone: 'UTC',
    ...(durable
      ? {
          shared_buffers: `${sharedMegabytes(Math.min(totalmem(), process.constrainedMemory() || Infinity))}MB`,
        }
      : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
  };
}

function setting([name, value]: [string, string]): string[] {
  return ['-c', `${name}=${value}`];
}

/** Ends servers that a killed supervisor left behind, and forgets a lock whose process is gone. */
async function endLeftovers(dataDir: string, graceMs: number): Promise<void> {
  const leftovers = processesIn(dataDir).flatMap((pid) => identify(pid) ?? []);
  // The server closes its shared memory and its children on SIGINT; after a kill they end by themselves.
  await endProcesses(leftovers, 'SIGINT', graceMs);
  // Without /proc the server itself decides whether the process of the lock is still there.
  if (process.platform !== 'linux') return;
  // Its pid may be another process by now, which the server would take for a running one.
  await rm(join(dataDir, 'postmaster.pid'), { force: true });
}

/** Creates the cluster beside its place and renames it, so that an interrupted attempt leaves nothing behind that counts. */
async function createCluster(
  options: PostgresOptions & { readonly initdb: string; readonly user: RunAs },
): Promise<void> {
  const { dataDir, initdb, user, superuserPassword, durable = true } = options;
  if (await exists(join(dataDir, 'PG_VERSION'))) return requireVersion(dataDir);
  const parent = dirname(dataDir);
  const unfinished = `${dataDir}.unfinished`;
  const passwordFile = join(parent, `.initdb-${randomBytes(6).toString('hex')}`);
  await mkdir(parent, { recursive: true, mode: 0o700 });
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { mode: 0o700 });
  await giveTo(unfinished, user);
  try {
    await writeFile(passwordFile, superuserPassword, { mode: 0o600, flag: 'wx' });
    await giveTo(passwordFile, user);
    const [command, args] = asUser(user, initdb, [
      `--pgdata=${unfinished}`,
      '--username=postgres',
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      ...(durable ? [] : ['--no-sync']),
    ]);
    await runProgram(command, args, { environment, withinMs: 120_000 });
  } finally {
    await rm(passwordFile, { force: true });
  }
  // An empty folder may be there already; anything in it is not ours to remove.
  await rename(unfinished, dataDir).catch((cause: unknown) => {
    throw new TrustError('service.unavailable', {
      detail: `${dataDir} is neither empty nor a PostgreSQL cluster. Move it away, or set SENTINEL_HOME.`,
      cause,
    });
  });
}

const majorVersion = '18';

async function requireVersion(dataDir: string): Promise<void> {
  const version = (await readFile(join(dataDir, 'PG_VERSION'), 'utf8')).trim();
  if (version === majorVersion) return;
  throw new TrustError('service.unavailable', {
    detail: `${dataDir} was written by PostgreSQL ${version}; this release runs ${majorVersion}. Restore a backup into a new SENTINEL_HOME.`,
  });
}

async function ensureRoleAndDatabase(client: pg.Client, password: string): Promise<void> {
  // A statement that fails is logged; this one holds a password.
  await client.query('SET log_min_error_statement = panic');
  const { rowCount } = await client.query(`SELECT 1 FROM pg_roles WHERE rolname = 'sentinel'`);
  await client.query(
    `${rowCount === 0 ? 'CREATE' : 'ALTER'} ROLE sentinel LOGIN NOSUPERUSER NOCREATEDB CREATEROLE PASSWORD ${client.escapeLiteral(password)}`,
  );
  const found = await client.query(`SELECT 1 FROM pg_database WHERE datname = 'sentinel'`);
  if (found.rowCount === 0) await client.query('CREATE DATABASE sentinel OWNER sentinel');
}

/** Connects again and again until the server lets us in; a wrong password ends it at once. */
async function untilConnected(
  connectionString: string,
  signal: AbortSignal,
  then: (client: pg.Client) => Promise<void>,
): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    const client = new pg.Client({ connectionString, connectionTimeoutMillis: 5_000, query_timeout: 30_000 });
    // A server that stops while we are connected is seen by the query.
    client.on('error', () => {});
    try {
      await client.connect();
      return await then(client);
    } catch (error) {
      if (!isNotYetUp(error)) throw error;
    } finally {
      await client.end().catch(() => {});
    }
    await sleep(50, undefined, { signal });
  }
}

function isNotYetUp(error: unknown): boolean {
  const { code, message } = error as { code?: string; message?: string };
  // 57P03: the server is starting up or recovering.
  return (
    code === 'ECONNREFUSED' || code === 'ECONNRESET' || code === '57P03' || /terminated|timeout/i.test(message ?? '')
  );
}

function databaseUrl(user: string, password: string, port: number, database: string): string {
  return `postgresql://${user}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`;
}

function asUser(user: RunAs, command: string, args: readonly string[]): readonly [string, readonly string[]] {
  const [first, ...prefix] = user.prefix;
  return first === undefined ? [command, args] : [first, [...prefix, command, ...args]];
}

/** The server refuses data that another user owns, which is so after a change between the two ways of not being root. */
async function giveTo(path: string, user: RunAs): Promise<void> {
  const { owner } = user;
  if (owner === null || (await stat(path)).uid === owner.uid) return;
  for (const entry of (await lstat(path)).isDirectory() ? await readdir(path, { recursive: true }) : [])
    await lchown(join(path, entry), owner.uid, owner.gid);
  // Last, so that an interrupted change is made again.
  await chown(path, owner.uid, owner.gid);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
