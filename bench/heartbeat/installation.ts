// What is measured: the parts that `npm start` starts, each one by itself, so that there can be several of one kind.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { systemClock, systemRandom } from '#contracts/deps.ts';
import { createDevelopmentCa, type DevelopmentCa } from '#protocols/development-ca.ts';
import { environmentOf, systemEnvironment, type SettingTexts } from '#start/child-settings.ts';
import { spawnPart, startPart, stopChild, type Part } from '#start/part.ts';
import { findFreePort } from '#start/ports.ts';
import { startPostgres, type RunningPostgres } from '#start/postgres.ts';
import { databaseLogins, type ProcessKind } from '#start/secrets.ts';
import { apiPart, sealerPart, workerPart } from '#start/servers.ts';
import { findTemporalProgram } from '#start/temporal-program.ts';
import { startTemporal, type RunningTemporal } from '#start/temporal.ts';
import { migrate, prepareLogins } from '#store/migrate.ts';

export const root = fileURLToPath(new URL('../../', import.meta.url));

export interface Process {
  readonly pid: number;
  stop(): Promise<void>;
}

export interface Api extends Process {
  readonly url: string;
}

export interface Installation {
  readonly folder: string;
  readonly ca: DevelopmentCa;
  readonly tls: { readonly cert: string; readonly key: string; readonly ca: string };
  readonly postgres: RunningPostgres;
  readonly temporal: RunningTemporal;
  /** The superuser's, one for each name. */
  database(name: string): pg.Pool;
  /** A database that somebody is connected to cannot be copied. */
  disconnect(name: string): Promise<void>;
  /** An API on a database with our schema, with settings other than the usual ones; `preload` is a module of this folder. */
  startApi(options: { database: string; settings?: SettingTexts; preload?: string }): Promise<Api>;
  startWorker(database: string): Promise<Process>;
  startSealer(database: string): Promise<Process>;
  /** A program of the bench, which serves on the port that it is told. */
  startServer(server: {
    name: string;
    port: number;
    command: string;
    args: readonly string[];
    environment?: Readonly<Record<string, string>>;
  }): Promise<Process>;
  stop(): Promise<void>;
}

const interruptions = ['SIGINT', 'SIGTERM'] as const;

/** The database that `npm start` would make. */
export const mainDatabase = 'sentinel';

export async function startInstallation(): Promise<Installation> {
  const folder = await mkdtemp(join(tmpdir(), 'sentinel-bench-'));
  const works: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
  const stop = async (): Promise<void> => {
    for (const signal of interruptions) process.off(signal, interrupted);
    for (const work of works.splice(0).toReversed()) await work();
  };
  // Its processes do not end with the one that started them.
  const interrupted = (): void => void stop().finally(() => process.exit(1));
  for (const signal of interruptions) process.once(signal, interrupted);
  try {
    return { ...(await start(folder, works)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function start(folder: string, works: (() => Promise<unknown>)[]): Promise<Omit<Installation, 'stop'>> {
  const home = join(folder, 'home');
  await mkdir(home, { mode: 0o700 });
  const ca = await createDevelopmentCa(join(folder, 'ca'), { clock: systemClock, random: systemRandom });
  const tls = {
    cert: join(folder, 'ca', 'server.crt'),
    key: join(folder, 'ca', 'server.key'),
    ca: join(folder, 'ca', 'ca.crt'),
  };
  const signingKey = join(home, 'audit-signing.key');
  const secret = (): string => randomBytes(32).toString('base64url');

  // As durable as an installation: a heartbeat that was answered has reached the disk.
  const postgres = await startPostgres({ dataDir: join(folder, 'postgres'), port: 0, password: secret() });
  works.push(() => postgres.stop());
  const program = await findTemporalProgram({
    toolsDirs: [join(root, '.sentinel', 'tools')],
    environment: process.env,
  });
  const temporal = await startTemporal({
    program: program.path,
    port: 0,
    databaseFile: join(folder, 'temporal', 'temporal.sqlite'),
  });
  works.push(() => temporal.stop());

  const passwords = Object.fromEntries(Object.values(databaseLogins).map((login) => [login, secret()]));
  await migrate(postgres.url);
  await prepareLogins(postgres.url, passwords);

  const common: SettingTexts = {
    SENTINEL_HOME: home,
    SENTINEL_TEMPORAL_ADDRESS: temporal.address,
    SENTINEL_TLS_CERT: tls.cert,
    SENTINEL_TLS_KEY: tls.key,
    SENTINEL_TLS_CA: tls.ca,
    SENTINEL_SECRET_KEY: secret(),
    SENTINEL_JWT_SECRET: secret(),
    SENTINEL_DATA_ENCRYPTION_KEYS_JSON: JSON.stringify({ bench: secret() }),
    SENTINEL_DATA_ACTIVE_KEY_ID: 'bench',
    SENTINEL_AUDIT_SIGNING_KEY_PATH: signingKey,
    SENTINEL_LOG_LEVEL: 'warn',
    // Whoever may serve is enrolled at its first heartbeat, by its actor, without people.
    SENTINEL_REQUIRE_NEW_DEVICE_APPROVAL: 'false',
    SENTINEL_FIRST_CONTACT_RATE: '1000',
  };

  function environment(kind: ProcessKind, database: string, settings: SettingTexts = {}): Record<string, string> {
    const login = databaseLogins[kind];
    const SENTINEL_DATABASE_URL = addressOf(postgres.url, { database, login, password: passwords[login] ?? '' });
    return environmentOf(kind, { ...common, ...settings, SENTINEL_DATABASE_URL }, process.env);
  }

  const pools = new Map<string, pg.Pool>();
  async function disconnect(name: string): Promise<void> {
    const pool = pools.get(name);
    pools.delete(name);
    await pool?.end();
  }
  works.push(() => Promise.all([...pools.keys()].map(disconnect)));

  async function run(part: Part): Promise<Process> {
    const child = await startPart(part, spawnPart, () => {});
    let stopping: Promise<unknown> | null = null;
    const stop = async (): Promise<void> => void (await (stopping ??= stopChild(part, child)));
    works.push(stop);
    return { pid: child.pid, stop };
  }

  return {
    folder,
    ca,
    tls,
    postgres,
    temporal,
    database(name) {
      const open = pools.get(name);
      if (open !== undefined) return open;
      const pool = new pg.Pool({
        connectionString: addressOf(postgres.superuserUrl, { database: name }),
        max: 2,
        options: '-c statement_timeout=300s',
      });
      pool.on('error', () => {});
      pools.set(name, pool);
      return pool;
    },
    disconnect,
    async startApi({ database, settings = {}, preload }) {
      const port = await findFreePort();
      const url = `https://127.0.0.1:${port}`;
      const part = apiPart(environment('api', database, { ...settings, SENTINEL_PORT: String(port) }), {
        url: `${url}/api/health/ready`,
        ca: ca.caCertificatePem,
      });
      const preloaded = preload === undefined ? [] : ['--import', join(import.meta.dirname, preload)];
      return { url, ...(await run({ ...part, args: [...preloaded, ...part.args] })) };
    },
    startWorker: (database) =>
      run(
        workerPart(environment('worker', database), {
          connection: { address: temporal.address },
          namespace: temporal.namespace,
          taskQueue: 'sentinel',
        }),
      ),
    async startSealer(database) {
      await writeFile(signingKey, generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }), {
        mode: 0o600,
      });
      return run(
        sealerPart(environment('sealer', database), {
          ownerUrl: addressOf(postgres.url, { database }),
          login: databaseLogins.sealer,
        }),
      );
    },
    startServer: ({ name, port, command, args, environment: own }) =>
      run({
        name,
        command,
        args,
        environment: { ...systemEnvironment(process.env), ...own },
        directory: folder,
        ready: (signal) => untilOpen(port, signal),
        readyWithinMs: 30_000,
        stopSignal: 'SIGTERM',
        stopWithinMs: 5_000,
      }),
  };
}

/** The same server for another database or login. */
export function addressOf(
  base: string,
  { database, login, password }: { database: string; login?: string; password?: string },
): string {
  const url = new URL(base);
  url.pathname = database;
  if (login !== undefined) url.username = login;
  if (password !== undefined) url.password = password;
  return url.href;
}

async function untilOpen(port: number, signal: AbortSignal): Promise<void> {
  while (!(await isOpen(port))) await sleep(50, undefined, { signal });
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
