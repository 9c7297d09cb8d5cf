// Starts the real servers that tests use.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The servers, and the environment variables that tell tests where a shared one is. */
export const serverVariables = {
  postgres: 'SENTINEL_TEST_DATABASE_URL',
  temporal: 'SENTINEL_TEST_TEMPORAL_ADDRESS',
} as const;
export type ServerName = keyof typeof serverVariables;

export interface Server {
  /** URL of Postgres' superuser, or host:port of Temporal's frontend. */
  readonly address: string;
  stop(): Promise<void>;
}

/** @param directory Holds the server's data; removed by the caller. */
export async function startServer(name: ServerName, directory: string): Promise<Server> {
  return name === 'postgres' ? startOwnPostgres(directory) : startOwnTemporal();
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
