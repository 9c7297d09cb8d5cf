// Starts the real servers that tests use.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** The servers, and what is made once for many, by the environment variables that tell tests where it is. */
export const serverVariables = {
  postgres: 'SENTINEL_TEST_DATABASE_URL',
  temporal: 'SENTINEL_TEST_TEMPORAL_ADDRESS',
  cluster: 'SENTINEL_TEST_CLUSTER',
} as const;
export type ServerName = keyof typeof serverVariables;

export interface Server {
  /** URL of Postgres' superuser, host:port of Temporal's frontend, or the folder of the cluster. */
  readonly address: string;
  stop(): Promise<void>;
}

/** @param directory Holds the server's data; removed by the caller. */
export async function startServer(name: ServerName, directory: string): Promise<Server> {
  if (name === 'cluster') return makeCluster(directory);
  return name === 'postgres' ? startOwnPostgres(directory) : startOwnTemporal();
}

const passwordFile = 'database-superuser.password';

/** A cluster as a first start makes it, which takes longer than all else of the start. */
async function makeCluster(directory: string): Promise<Server> {
  const { startPostgres } = await import('#start/postgres.ts');
  const superuserPassword = randomBytes(32).toString('base64url');
  const password = randomBytes(32).toString('base64url');
  const dataDir = join(directory, 'postgres');
  const server = await startPostgres({ dataDir, port: 0, password, superuserPassword, durable: false });
  await server.stop();
  await writeFile(join(directory, passwordFile), superuserPassword, { mode: 0o600 });
  return { address: directory, stop: async () => {} };
}

/** Gives a home that nothing was started in yet a copy of the cluster that was made for all, where there is one. */
export async function giveCluster(home: string): Promise<void> {
  const made = process.env[serverVariables.cluster];
  if (made === undefined) return;
  const secrets = join(home, 'secrets');
  await mkdir(secrets, { mode: 0o700 });
  // With its owner, who is another when we are root.
  await promisify(execFile)('cp', ['-a', join(made, 'postgres'), join(home, 'postgres')]);
  await promisify(execFile)('cp', ['-a', join(made, passwordFile), join(secrets, passwordFile)]);
}

async function startOwnPostgres(directory: string): Promise<Server> {
  const { startPostgres } = await import('#start/postgres.ts');
  const password = randomBytes(16).toString('base64url');
  const { superuserUrl, stop } = await startPostgres({
    dataDir: join(directory, 'data'),
    port: 0,
    password,
    durable: false,
  });
  return { address: superuserUrl, stop };
}

/**
 * @param dynamicConfig limits of the server other than its own
 * @param kept          where it keeps its state and on which port it is found again; else both are only for now
 */
export async function startOwnTemporal(
  dynamicConfig: Readonly<Record<string, number>> = {},
  kept: { readonly port: number; readonly databaseFile?: string } = { port: 0 },
): Promise<Server> {
  const { startTemporal } = await import('#start/temporal.ts');
  const { path } = await findOwnTemporalProgram();
  const { address, stop } = await startTemporal({ program: path, ...kept, dynamicConfig });
  return { address, stop };
}

/** Temporal's command line, which is also the server: the copy that `npm start` uses, so that it is installed once. */
export async function findOwnTemporalProgram(): Promise<{ readonly path: string }> {
  const { findTemporalProgram } = await import('#start/temporal-program.ts');
  const toolsDir = fileURLToPath(new URL('../../.sentinel/tools', import.meta.url));
  return findTemporalProgram({ toolsDirs: [toolsDir], environment: process.env });
}
