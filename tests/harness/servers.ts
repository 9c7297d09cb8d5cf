// Where a test finds its servers: those of the run, or its process's own when a file is run by `node --test` alone.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import type { Cleanup } from './cleanup.ts';
import { type Server, type ServerName, serverVariables, startServer } from './start-server.ts';

export type { Cleanup } from './cleanup.ts';

const own = new Map<ServerName, Promise<Server>>();

// Of the whole file: hooks of a single test run in the order of their making, and would end a server too early.
after(async () => {
  for (const starting of own.values()) await (await starting).stop();
});

export async function serverAddress(name: ServerName, _t?: Cleanup): Promise<string> {
  const given = process.env[serverVariables[name]];
  if (given !== undefined) return given;
  let starting = own.get(name);
  if (starting === undefined) own.set(name, (starting = startOwn(name)));
  return (await starting).address;
}

async function startOwn(name: ServerName): Promise<Server> {
  const directory = await mkdtemp(join(tmpdir(), `sentinel-${name}-`));
  const server = await startServer(name, directory);
  return {
    address: server.address,
    stop: async () => {
      await server.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
