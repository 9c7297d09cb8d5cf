// The real servers that tests use: shared by a whole run, or one's own when a single file is run by `node --test`.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Cleanup } from './cleanup.ts';

const variables = { postgres: 'SENTINEL_TEST_DATABASE_URL', temporal: 'SENTINEL_TEST_TEMPORAL_ADDRESS' } as const;
export type ServerName = keyof typeof variables;

interface Server {
  /** What the tests find in the environment variable of the server. */
  readonly address: string;
  stop(): Promise<void>;
}

/** Starts a server for a whole run; its environment variable tells the tests where it is. */
export async function startShared(
  name: ServerName,
  directory: string,
): Promise<{ environment: Record<string, string>; stop(): Promise<void> }> {
  const given = process.env[variables[name]];
  const { address, stop } =
    given === undefined ? await start(name, directory) : { address: given, stop: async () => {} };
  return { environment: { [variables[name]]: address }, stop };
}

/** Address of the shared server, or of one that this process starts and ends itself. */
export async function serverAddress(name: ServerName, t: Cleanup): Promise<string> {
  const given = process.env[variables[name]];
  if (given !== undefined) return given;
  const directory = await mkdtemp(join(tmpdir(), `sentinel-${name}-`));
  const { address, stop } = await start(name, directory);
  t.after(async () => {
    await stop();
    await rm(directory, { recursive: true, force: true });
  });
  return address;
}

async function start(name: ServerName, directory: string): Promise<Server> {
  if (name === 'postgres') {
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
  const { startTemporal } = await import('#start/temporal.ts');
  const { findTemporalProgram } = await import('#start/temporal-program.ts');
  // The copy that `npm start` uses, so that a machine without Temporal installs it once.
  const toolsDir = fileURLToPath(new URL('../../.sentinel/tools', import.meta.url));
  const { path } = await findTemporalProgram({ toolsDirs: [toolsDir], environment: process.env });
  const { address, stop } = await startTemporal({ program: path, port: 0 });
  return { address, stop };
}
