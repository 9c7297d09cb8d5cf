// One process that belongs to a running Sentinel: how it is started, when it serves, how it is stopped.
import { spawn } from 'node:child_process';
import { TrustError } from '#contracts/problems.ts';
import { signalGroup } from './processes.ts';
import { systemTimers, type Timers } from './timers.ts';

export interface Part {
  readonly name: string;
  /** Runs before every start of the process, also after it died. */
  readonly prepare?: () => Promise<void>;
  readonly command: string;
  readonly args: readonly string[];
  /** The whole environment: a part sees nothing that is not named here. */
  readonly environment: Readonly<Record<string, string>>;
  readonly directory?: string;
  /** Resolves once the part serves; gives up when the signal aborts. */
  readonly ready: (signal: AbortSignal, note: Note) => Promise<void>;
  readonly readyWithinMs: number;
  readonly stopSignal: 'SIGTERM' | 'SIGINT' | 'SIGQUIT';
  /** How long it may take over an orderly end before it is killed. */
  readonly stopWithinMs: number;
  /** Ends what the process leaves behind when it is killed, beyond its process group. */
  readonly cleanUp?: () => Promise<void>;
}

/** Told why a part is not ready yet; the last reason is shown if it never is. */
export type Note = (reason: string) => void;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Child {
  readonly pid: number;
  /** Never rejects. */
  readonly exited: Promise<Exit>;
  /** Reaches the whole process group; a child that is gone is no error. */
  signal(signal: NodeJS.Signals): void;
}

/** Receives a part's output, line breaks included, in the order it came. */
export type Output = (chunk: Buffer) => void;
/** @throws TrustError `service.unavailable` when there is no such program */
export type SpawnPart = (part: Part, output: Output) => Promise<Child>;

/** Starts the process in a process group of its own, so that a Ctrl-C in the terminal reaches only the supervisor. */
export const spawnPart: SpawnPart = (part, output) =>
  new Promise((resolve, reject) => {
    const child = spawn(part.command, [...part.args], {
      cwd: part.directory,
      env: { ...part.environment },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', output).on('error', () => {});
    child.once('error', (cause) =>
      reject(
        new TrustError('service.unavailable', { detail: `${part.name} cannot be started: ${cause.message}`, cause }),
      ),
    );
    let gone = false;
    const exited = new Promise<Exit>((settle) => {
      child.once('exit', (code, signal) => {
        gone = true;
        // What it started goes with it. The group's number cannot be another's while a member is left.
        if (child.pid !== undefined) signalGroup(child.pid, 'SIGKILL');
        settle({ code, signal });
      });
    });
    child.once('spawn', () => {
      const { pid } = child;
      if (pid !== undefined)
        resolve({ pid, exited, signal: (signal) => (gone ? undefined : signalGroup(pid, signal)) });
    });
  });

/**
 * Prepares and spawns a part and waits until it serves. A part that dies or is not ready in time is gone when this rejects.
 *
 * @throws TrustError `service.unavailable` with the end of its output
 */
export async function startPart(
  part: Part,
  spawnOne: SpawnPart,
  output: Output,
  timers: Timers = systemTimers,
): Promise<Child> {
  await part.prepare?.();
  const tail = keepTail();
  const child = await spawnOne(part, (chunk) => {
    tail.add(chunk);
    output(chunk);
  });
  try {
    await untilReady(part, child, timers);
    return child;
  } catch (cause) {
    child.signal('SIGKILL');
    await child.exited;
    await part.cleanUp?.();
    throw new TrustError('service.unavailable', {
      detail: `${part.name} ${(cause as Error).message}\n${tail.lastLines()}`.trimEnd(),
      cause,
    });
  }
}

async function untilReady(part: Part, child: Child, timers: Timers): Promise<void> {
  const over = new AbortController();
  let reason = '';
  const ended = child.exited.then((exit): never => {
    throw new TrustError('service.unavailable', { detail: `ended ${describeExit(exit)}.` });
  });
  const late = timers.sleep(part.readyWithinMs, over.signal).then((): never => {
    throw new TrustError('service.unavailable', {
      detail: `was not ready within ${part.readyWithinMs / 1_000} s. ${reason}`.trim(),
    });
  });
  const ready = part.ready(over.signal, (why) => (reason = why));
  try {
    await Promise.race([ready, ended, late]);
  } finally {
    over.abort();
    // Those that lost the race are rejected by now, or will be.
    for (const promise of [ready, ended, late]) promise.catch(() => {});
  }
}

/** Ends a part in its own way, and by SIGKILL when that takes too long. */
export async function stopChild(part: Part, child: Child, timers: Timers = systemTimers): Promise<Exit> {
  const over = new AbortController();
  child.signal(part.stopSignal);
  timers.sleep(part.stopWithinMs, over.signal).then(
    () => child.signal('SIGKILL'),
    () => {},
  );
  const exit = await child.exited;
  over.abort();
  await part.cleanUp?.();
  return exit;
}

export function describeExit({ code, signal }: Exit): string {
  return signal === null ? `with exit code ${code}` : `by ${signal}`;
}

/**
 * Command and arguments that run a program so that the kernel ends it when the process that started it ends, however that
 * happens. For tests. Has to come after a change of user, which takes it back.
 */
export function dyingWithParent(command: string, args: readonly string[]): readonly [string, readonly string[]] {
  return process.platform === 'linux' ? ['setpriv', ['--pdeathsig', 'KILL', command, ...args]] : [command, args];
}

/** Keeps the end of an output for error messages, in bounded memory. */
export function keepTail(limitBytes = 8_192): Tail {
  let kept = Buffer.alloc(0);
  const all = (): string => kept.toString('utf8');
  return {
    add: (chunk) => (kept = Buffer.concat([kept, chunk]).subarray(-limitBytes)),
    all,
    lastLines: (count = 24) => all().trim().split('\n').slice(-count).join('\n'),
  };
}

export interface Tail {
  readonly add: (chunk: Buffer) => void;
  readonly all: () => string;
  /** As many as a person wants to see in an error. */
  readonly lastLines: (count?: number) => string;
}
