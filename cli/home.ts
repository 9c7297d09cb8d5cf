// What the command line reads and keeps under SENTINEL_HOME.
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Instance } from '#contracts/instance.ts';
import { CliError } from './failure.ts';

/** A sign-in that is kept between commands. The token goes to this address only. */
export interface KeptSession {
  readonly url: string;
  readonly ca_file: string | null;
  readonly username: string;
  readonly token: string;
  readonly session_id: string;
  readonly expires_at: string;
}

export interface Home {
  readonly directory: string;
  /** `null` when nothing runs here. */
  instance(): Promise<Instance | null>;
  session(): Promise<KeptSession | null>;
  keepSession(session: KeptSession): Promise<void>;
  forgetSession(): Promise<void>;
}

export function openHome(directory: string): Home {
  const sessionFile = join(directory, 'cli-session.json');
  return {
    directory,
    instance: async () => (await readJson(join(directory, 'instance.json'))) as Instance | null,
    session: async () => (await readJson(sessionFile)) as KeptSession | null,
    keepSession: async (session) => {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      // Made 0600 from the start, and put in place whole.
      const temporary = `${sessionFile}.${randomUUID()}`;
      await writeFile(temporary, JSON.stringify(session), { mode: 0o600, flag: 'wx' });
      await rename(temporary, sessionFile);
    },
    forgetSession: () => rm(sessionFile, { force: true }),
  };
}

async function readJson(path: string): Promise<unknown> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') return null;
    throw new CliError(`${path} cannot be read: ${cause.code}`, { cause });
  });
  if (text === null) return null;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // Without the parser's message, which quotes the file.
    throw new CliError(`${path} is damaged.`, { advice: 'Remove it.' });
  }
}
