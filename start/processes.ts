// Processes of this machine by identity: a pid together with its start time, so that a reused pid is never mistaken for ours.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ProcessIdentity {
  readonly pid: number;
  /** As the system tells it; compared, never parsed. */
  readonly started: string;
}

/** The identity of a running process; `null` when there is none, or only a zombie. */
export function identify(pid: number): ProcessIdentity | null {
  const started = process.platform === 'linux' ? startedByProc(pid) : startedByPs(pid);
  return started === null ? null : { pid, started };
}

export function isRunning(identity: ProcessIdentity): boolean {
  return identify(identity.pid)?.started === identity.started;
}

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

function startedByProc(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command, second and in brackets, may hold anything; what follows its last bracket is regular.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state, ticks] = [fields[0], fields[19]];
    if (state === 'Z' || state === 'X' || ticks === undefined) return null;
    // Ticks count from the boot, so a number can come again after one.
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}/${ticks}`;
  } catch {
    return null;
  }
}

function startedByPs(pid: number): string | null {
  try {
    const line = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], {
      encoding: 'utf8',
      timeout: 5_000,
    }).trim();
    return line === '' || line.startsWith('Z') ? null : line.replace(/^\S+\s+/, '');
  } catch {
    return null;
  }
}

function workingDirectory(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return null;
  }
}
