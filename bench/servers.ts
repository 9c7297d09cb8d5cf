// Servers of a bench's own, as durable as those of `npm start`: every commit reaches the disk.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock, systemRandom } from '#contracts/deps.ts';
import { canonicalBytes } from '#protocols/canonical-json.ts';
import { findTemporalProgram } from '#start/temporal-program.ts';
import { startPostgres } from '#start/postgres.ts';
import { startTemporal } from '#start/temporal.ts';
import { migrate, prepareLogins } from '#store/migrate.ts';
import { loginNames, type LoginName, type ProcessRole } from '#store/roles.ts';
import { createStore, type Store } from '#store/store.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import type { Cleanup } from '#tests/harness/cleanup.ts';

export interface BenchPostgres {
  readonly pid: number;
  /** Connects the owner of the database, who is under row security like everybody. */
  readonly ownerUrl: string;
  /** Connects as a process of that kind does. */
  readonly url: Readonly<Record<LoginName, string>>;
  open(role: ProcessRole, pool: number): Promise<Store>;
}

/** With the schema of this release, and nothing in it. */
export async function benchPostgres(cleanup: Cleanup): Promise<BenchPostgres> {
  const directory = await benchFolder(cleanup);
  const password = randomBytes(16).toString('hex');
  const server = await startPostgres({ dataDir: join(directory, 'data'), port: 0, password });
  cleanup.after(() => server.stop());
  await migrate(server.url);
  const logins = Object.keys(loginNames) as LoginName[];
  await prepareLogins(server.url, Object.fromEntries(logins.map((login) => [login, password])));
  const url = Object.fromEntries(
    logins.map((login) => [login, Object.assign(new URL(server.url), { username: login }).href]),
  ) as BenchPostgres['url'];
  return {
    pid: server.pid,
    ownerUrl: server.url,
    url,
    async open(role, pool) {
      const store = await createStore({
        databaseUrl: url[`${role}_login` as LoginName],
        role,
        pool,
        clock: systemClock,
        random: systemRandom,
        canonicalBytes,
        log: fakeLog(),
      });
      cleanup.after(() => store.close());
      return store;
    },
  };
}

export async function benchTemporal(cleanup: Cleanup): Promise<{ readonly pid: number; readonly address: string }> {
  const directory = await benchFolder(cleanup);
  const toolsDir = fileURLToPath(new URL('../.sentinel/tools', import.meta.url));
  const { path: program } = await findTemporalProgram({ toolsDirs: [toolsDir], environment: process.env });
  const server = await startTemporal({ program, port: 0, databaseFile: join(directory, 'temporal.sqlite') });
  cleanup.after(() => server.stop());
  return server;
}

export async function benchFolder(cleanup: Cleanup): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'sentinel-bench-'));
  cleanup.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}
