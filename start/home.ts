// SENTINEL_HOME: the one folder of all state, which one start at a time may use.
import { chmod, mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { TrustError } from '#contracts/problems.ts';
import type { ProcessIdentity } from '#host/identity.mjs';
import { acquireLock, type Lock, type LockHolder } from '#host/lock.mjs';
import { readIfThere, replaceFile } from './private-file.ts';
import { endProcesses } from './processes.ts';

/** Where everything lies; `SENTINEL_HOME` is safe to delete while nothing runs. */
export interface Home {
  readonly directory: string;
  readonly secrets: string;
  readonly ca: string;
  readonly postgres: string;
  readonly temporal: string;
  readonly tpm: string;
  readonly logs: string;
  readonly tools: string;
  readonly instanceFile: string;
}

export interface HeldHome extends Home {
  /** Whether the start before this one was killed and left this to us. */
  readonly takenOver: boolean;
  /** Keeps on disk what a later start has to end if this one is killed. */
  recordProcesses(processes: readonly ProcessIdentity[]): Promise<void>;
  /** From now on a second start waits for our end instead of refusing. */
  announceStop(): void;
  release(): Promise<void>;
}

interface Waiting {
  /** For a stop that goes on, and for one that is about to begin. */
  readonly stoppingMs: number;
  readonly runningMs: number;
}

export function homeOf(directory: string): Home {
  const root = resolve(directory);
  return {
    directory: root,
    secrets: join(root, 'secrets'),
    ca: join(root, 'ca'),
    postgres: join(root, 'postgres'),
    temporal: join(root, 'temporal'),
    tpm: join(root, 'tpm'),
    logs: join(root, 'logs'),
    tools: join(root, 'tools'),
    instanceFile: join(root, 'instance.json'),
  };
}

/**
 * Makes the folder, takes its lock, and ends the processes that a killed start left behind.
 *
 * @throws TrustError `service.unavailable` when another start runs in it
 */
export async function holdHome(
  directory: string,
  waiting: Waiting = { stoppingMs: 15_000, runningMs: 2_000 },
): Promise<HeldHome> {
  const home = homeOf(directory);
  for (const folder of [home.directory, home.secrets, home.logs]) {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    // It may be older than its mode.
    await chmod(folder, 0o700);
  }
  const lock = await acquireLock(join(home.directory, 'start.lock'), refuseAfter(home, waiting));
  try {
    const processesFile = join(home.directory, 'processes.json');
    await endLeftovers(processesFile);
    await rm(home.instanceFile, { force: true });
    return hold(home, lock, processesFile);
  } catch (error) {
    lock.release();
    throw error;
  }
}

function hold(home: Home, lock: Lock, processesFile: string): HeldHome {
  let writing = Promise.resolve();
  return {
    ...home,
    takenOver: lock.predecessor !== null,
    recordProcesses(processes) {
      writing = writing.then(() => replaceFile(processesFile, JSON.stringify(processes)));
      return writing;
    },
    announceStop: () => lock.note({ stopping: true }),
    async release() {
      await writing.catch(() => {});
      await rm(processesFile, { force: true });
      lock.release();
    },
  };
}

/** A start that is killed together with its npm, or that is stopping, is gone within seconds: worth the wait. */
function refuseAfter(home: Home, waiting: Waiting): (holder: LockHolder) => void {
  const since = performance.now();
  return (holder) => {
    const waited = performance.now() - since;
    if (waited < (holder['stopping'] === true ? waiting.stoppingMs : waiting.runningMs)) return;
    throw new TrustError('service.unavailable', {
      detail:
        `Sentinel already runs in ${home.directory}: process ${holder.pid}, since ${holder.since}. ` +
        `Stop it with "kill ${holder.pid}", or set SENTINEL_HOME and other ports for a second one.`,
    });
  };
}

async function endLeftovers(processesFile: string): Promise<void> {
  const text = await readIfThere(processesFile);
  if (text === null) return;
  const recorded = parseProcesses(text);
  await endProcesses(recorded, 'SIGTERM', 3_000);
  await rm(processesFile, { force: true });
}

function parseProcesses(text: string): ProcessIdentity[] {
  const list = JSON.parse(text) as { pid?: unknown; started?: unknown }[];
  return list.flatMap(({ pid, started }) =>
    typeof pid === 'number' && pid > 1 && typeof started === 'string' ? [{ pid, started }] : [],
  );
}
