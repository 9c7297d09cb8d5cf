// `npm start` as somebody at a terminal uses it: a home and ports of its own, what it printed, and its processes.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Instance } from '#contracts/instance.ts';
import { findFreePort } from '#start/ports.ts';
import type { Cleanup } from './cleanup.ts';
import { eventually } from './eventually.ts';

export const repository = fileURLToPath(new URL('../..', import.meta.url));

/** A folder that is this checkout for commands that are typed there; what they write stays out of this one. */
export async function linkedCheckout(t: Cleanup): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'sentinel-checkout-'));
  t.after(() => rm(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));
  for (const name of readdirSync(repository))
    if (!['.git', '.sentinel', '.env'].includes(name)) await symlink(join(repository, name), join(directory, name));
  return directory;
}

export interface Place {
  readonly home: string;
  /** Settings of what is started here, its ports among them. */
  readonly settings: Readonly<Record<string, string>>;
}

export interface Start {
  readonly npm: ChildProcess;
  readonly output: () => string;
  /** Fails when it ends before. */
  ready(): Promise<Instance>;
  /** Exit code and signal. */
  ended(): Promise<[number | null, NodeJS.Signals | null]>;
}

/** A home and ports of its own, under a folder that only its owner can enter. */
export async function placeForStart(t: Cleanup): Promise<Place> {
  const directory = await mkdtemp(join(tmpdir(), 'sentinel-start-'));
  await chmod(directory, 0o700);
  const home = join(directory, 'home');
  t.after(async () => {
    signalProcessesOf(home, 'SIGKILL');
    await rm(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  });
  const names = ['SENTINEL_PORT', 'SENTINEL_DATABASE_PORT', 'SENTINEL_TEMPORAL_PORT', 'SENTINEL_TEMPORAL_UI_PORT'];
  const ports = await Promise.all(names.map(async (name) => [name, String(await findFreePort())] as const));
  return { home, settings: Object.fromEntries(ports) };
}

export function npmStart({ home, settings }: Place, ...args: string[]): Start {
  const surroundings = Object.entries(process.env).filter(([name]) => !/^(SENTINEL|NODE_TEST)_/.test(name));
  const npm = spawn('npm', ['start', '--', ...args], {
    cwd: repository,
    env: { ...Object.fromEntries(surroundings), ...settings, SENTINEL_HOME: home },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [npm.stdout, npm.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const exit = once(npm, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  const stale = textOf(join(home, 'instance.json'));
  return {
    npm,
    output: () => output,
    ended: () => exit,
    ready: () =>
      eventually(
        () => {
          assert.ok(npm.exitCode === null && npm.signalCode === null, `npm start ended:\n${output}`);
          const text = textOf(join(home, 'instance.json'));
          return text === null || text === stale ? null : (JSON.parse(text) as Instance);
        },
        'npm start is ready',
        120_000,
      ),
  };
}

/** Every process that was given this home, or works in it. */
export function processesOf(home: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => ['environ', 'cmdline'].some((file) => contains(`/proc/${pid}/${file}`, home)))
    .map(Number);
}

/** To all of them, of which some may end by themselves meanwhile. */
export function signalProcessesOf(home: string, signal: NodeJS.Signals): void {
  for (const pid of processesOf(home)) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

function contains(path: string, text: string): boolean {
  return textOf(path)?.includes(text) ?? false;
}

export function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

/** The process of a part, when there is one that is not `other`. */
export function pidOf({ home }: Place, part: string, other?: number): Promise<number> {
  return eventually(
    () => {
      const { pids } = JSON.parse(textOf(join(home, 'instance.json')) ?? '{}') as Partial<Instance>;
      const pid = pids?.[part];
      return pid === undefined || pid === other ? null : pid;
    },
    `a process of ${part}`,
    30_000,
  );
}

export const nothingLeft = (home: string): Promise<boolean> =>
  eventually(() => processesOf(home).length === 0, 'every process has ended', 10_000);
