// Runs a program to its end and returns what it printed.
import { spawn } from 'node:child_process';
import { TrustError } from '#contracts/problems.ts';
import { keepTail } from './part.ts';
import { signalGroup } from './processes.ts';

export interface RunOptions {
  readonly environment: Readonly<Record<string, string>>;
  readonly withinMs: number;
  readonly directory?: string;
  /** Ends the program, with everything that it started. */
  readonly signal?: AbortSignal | undefined;
}

const outputLimitBytes = 64 * 1024;

/** @throws TrustError `service.unavailable` with the end of its output when it fails, takes too long or is ended */
export function runProgram(command: string, args: readonly string[], options: RunOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown): void =>
      reject(new TrustError('service.unavailable', { detail: `${command} ${why}`, cause }));
    if (options.signal?.aborted) return fail('was not started');
    // A group of its own, so that it can be ended as a whole.
    const child = spawn(command, [...args], {
      cwd: options.directory,
      env: { ...options.environment },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const tail = keepTail(outputLimitBytes);
    for (const stream of [child.stdout, child.stderr]) stream.on('data', tail.add);
    let ended = '';
    const end = (why: string): void => {
      ended = why;
      if (child.pid !== undefined) signalGroup(child.pid, 'SIGKILL');
    };
    const timer = setTimeout(() => end(`took longer than ${options.withinMs / 1_000} s`), options.withinMs);
    const abort = (): void => end('was ended');
    options.signal?.addEventListener('abort', abort, { once: true });
    const over = (): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', abort);
    };
    child.once('error', (cause) => {
      over();
      fail(`cannot be started: ${cause.message}`, cause);
    });
    child.once('close', (code, signal) => {
      over();
      if (code === 0) return resolve(tail.all());
      fail(`${ended || `ended ${signal === null ? `with exit code ${code}` : `by ${signal}`}`}: ${tail.lastLines(40)}`);
    });
  });
}
