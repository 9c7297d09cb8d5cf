// One process that belongs to a running Sentinel: how it is started, when it serves, how it is stopped.
import { spawn } from 'node:child_process';
import { TrustError } from '#contracts/problems.ts';
import { signalGroup } from './processes.ts';

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
 * @throws TrustError `service.unavailable`
 */
export async function startPart(part: Part, spawnOne: SpawnPart, output: Output): Promise<Child> {
  await part.prepare?.();
  const tail = keepTail();
  const child = await spawnOne(part, (chunk) => {
    tail.add(chunk);
    output(chunk);
  });
  const ending = new AbortController();
  const limit = AbortSignal.timeout(part.readyWithinMs);
  const giveUp = AbortSignal.any([ending.signal, limit]);
  let exit: Exit | undefined;
  let reason = '';
  void child.exited.then((value) => {
    exit = value;
    ending.abort();
  });
  try {
    await Promise.race([part.ready(giveUp, (why) => (reason = why)), aborted(giveUp)]);
    return child;
  } catch (cause) {
    const what = exit
      ? `ended ${describeExit(exit)}`
      : limit.aborted
        ? `was not ready within ${part.readyWithinMs / 1_000} s (${reason})`
        : `is not usable: ${(cause as Error).message}`;
    child.signal('SIGKILL');
    await child.exited;
    throw new TrustError('service.unavailable', { detail: `${part.name} ${what}.\n${tail.text()}`.trimEnd(), cause });
  } finally {
    ending.abort();
  }
}

/** Ends a part in its own way, and by SIGKILL when that takes too long. */
export async function stopChild(child: Child, signal: NodeJS.Signals, withinMs: number): Promise<Exit> {
  child.signal(signal);
  const timer = setTimeout(() => child.signal('SIGKILL'), withinMs);
  try {
    return await child.exited;
  } finally {
    clearTimeout(timer);
  }
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
export function keepTail(limitBytes = 4_096): { add(chunk: Buffer): void; text(): string } {
  let kept = Buffer.alloc(0);
  return {
    add(chunk) {
      kept = Buffer.concat([kept, chunk]).subarray(-limitBytes);
    },
    text: () => kept.toString('utf8').split('\n').slice(-12).join('\n').trim(),
  };
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = () => reject(signal.reason as Error);
    if (signal.aborted) fail();
    else signal.addEventListener('abort', fail, { once: true });
  });
}
