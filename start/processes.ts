// Finds and ends processes that a killed supervisor left behind.
import { readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { identify, isRunning, type ProcessIdentity } from '#host/identity.mjs';

/** Pids of running processes whose working directory is `directory`; empty where the system does not tell. */
export function processesIn(directory: string): readonly number[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => workingDirectory(pid) === directory && identify(pid) !== null);
}

/**
 * Ends processes that we know by identity, with the process groups they lead: first by `signal`, after `graceMs` by SIGKILL.
 *
 * @returns Those that were running.
 */
export async function endProcesses(
  identities: readonly ProcessIdentity[],
  signal: NodeJS.Signals,
  graceMs: number,
): Promise<readonly ProcessIdentity[]> {
  const running = identities.filter(isRunning);
  for (const { pid } of running) signalGroup(pid, signal);
  if (!(await pollUntil(() => !running.some(isRunning), graceMs))) {
    for (const identity of running) if (isRunning(identity)) signalGroup(identity.pid, 'SIGKILL');
    await pollUntil(() => !running.some(isRunning), 2_000);
  }
  return running;
}

/** Signals the process group that `pid` leads, else the process alone; a process that is gone is no error. */
export function signalGroup(pid: number, signal: NodeJS.Signals): void {
  if (!send(-pid, signal)) send(pid, signal);
}

async function pollUntil(condition: () => boolean, withinMs: number): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  while (!condition()) {
    if (performance.now() >= deadline) return false;
    await sleep(20);
  }
  return true;
}

function send(target: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(target, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

function workingDirectory(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return null;
  }
}
