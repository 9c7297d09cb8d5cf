// The external verifier of TPM quotes: a program of the operator, which gets the evidence and nothing else of this process.
import { spawn } from 'node:child_process';
import type { Json, Log } from '#contracts/deps.ts';
import { parseStrictJson } from '#protocols/strict-json.ts';
import type { VerifierRequest } from '#protocols/verifier-answer.ts';

export interface VerifierCommandDeps {
  /** The path of the program, and its arguments. */
  readonly command: readonly [string, ...string[]];
  /** Its whole environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** For one run, and again for the wait until there is room for it. */
  readonly timeoutMs: number;
  /** Processes that run at the same time. */
  readonly maximumAtOnce: number;
  /** Requests that wait for one of them to end. */
  readonly maximumWaiting: number;
  readonly log: Pick<Log, 'warn'>;
}

export interface VerifierCommand {
  /**
   * Runs the command: the request as one line of JSON on its standard input, its verdict as JSON on standard output.
   *
   * @returns null for whatever goes wrong, which is said in the log: it is no verdict, and what has none is refused
   */
  ask(request: VerifierRequest): Promise<Json>;
  /** Ends what runs, which answers null, as all does that comes afterwards. */
  close(): void;
}

/** A program each: more at once than this only take each other's time. */
export const verifierCommandDefaults = { maximumAtOnce: 4, maximumWaiting: 64 } as const;

const maximumOutputBytes = 64 * 1024;
const maximumErrorCharacters = 500;
/** Keys, digests, signatures and certificates: a log is no place for evidence. */
const looksEncoded = /[A-Za-z0-9+/_=-]{32,}/g;

/** What a program needs to be found and to run, and none of our secrets. @param from The environment of this process. */
export function verifierEnvironment(from: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const named = ['PATH', 'LANG', 'TZ', 'SystemRoot'].map((name) => [name, from[name]] as const);
  return Object.fromEntries(named.filter((entry): entry is [string, string] => entry[1] !== undefined));
}

/**
 * The verifier that the settings name, as every process runs it.
 *
 * @param from The environment of this process.
 * @returns null when there is none
 */
export function configuredVerifier(
  { command, timeoutMs }: { readonly command: VerifierCommandDeps['command'] | null; readonly timeoutMs: number },
  from: Readonly<Record<string, string | undefined>>,
  log: VerifierCommandDeps['log'],
): VerifierCommand | null {
  return command === null
    ? null
    : createVerifierCommand({
        command,
        timeoutMs,
        environment: verifierEnvironment(from),
        log,
        ...verifierCommandDefaults,
      });
}

export function createVerifierCommand(deps: VerifierCommandDeps): VerifierCommand {
  const { timeoutMs, maximumAtOnce, maximumWaiting, log } = deps;
  const running = new Set<(why: string) => void>();
  const waiting = new Set<(admitted: boolean) => void>();
  let closed = false;
  let places = maximumAtOnce;

  async function takePlace(): Promise<boolean> {
    if (closed) return false;
    if (places > 0) {
      places -= 1;
      return true;
    }
    if (waiting.size >= maximumWaiting) return false;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), timeoutMs);
    waiting.add(resolve);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      waiting.delete(resolve);
    }
  }

  /** Handed on, so that nobody who comes later is first. */
  function givePlace(): void {
    const [next] = waiting;
    if (next === undefined) {
      places += 1;
      return;
    }
    waiting.delete(next);
    next(true);
  }

  return {
    async ask(request) {
      const say = (why: string, said = ''): null => {
        log.warn({ device_id: request.device_id, why, said: shown(said) }, 'the verifier command gave no verdict');
        return null;
      };
      if (!(await takePlace())) return say(closed ? 'it is closed' : 'too many requests wait for it');
      try {
        const { why, output, said } = await run(deps, running, JSON.stringify(request));
        if (why !== null) return say(why, said);
        return readOutput(output) ?? say('its output is not one JSON value that can be used', said);
      } catch {
        // A message of the system may quote what was passed.
        return say('it cannot be run');
      } finally {
        givePlace();
      }
    },
    close() {
      closed = true;
      for (const admit of waiting) admit(false);
      for (const end of running) end('it was ended');
    },
  };
}

interface Ended {
  /** Null when it came to its end by itself, and well. */
  readonly why: string | null;
  readonly output: Buffer;
  /** The beginning of its standard error. */
  readonly said: string;
}

function run(
  { command: [program, ...args], environment, timeoutMs }: VerifierCommandDeps,
  running: Set<(why: string) => void>,
  input: string,
): Promise<Ended> {
  const { promise, resolve } = Promise.withResolvers<Ended>();
  // A group of its own, so that it ends with all that it started.
  const child = spawn(program, args, {
    cwd: '/',
    env: { ...environment },
    detached: true,
    shell: false,
    windowsHide: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const output: Buffer[] = [];
  let bytes = 0;
  let said = '';
  let isOver = false;
  const killGroup = (): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // Nobody is left of it, or there are no groups here.
      child.kill('SIGKILL');
    }
  };
  const end = (why: string | null): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    running.delete(end);
    if (child.exitCode === null && child.signalCode === null) killGroup();
    // Somebody may have left the group and hold the other ends.
    for (const stream of child.stdio) stream?.destroy();
    resolve({ why, output: Buffer.concat(output), said });
  };
  const timer = setTimeout(() => end(`it took longer than ${timeoutMs} ms`), timeoutMs);
  running.add(end);
  child.stdout.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > maximumOutputBytes) return end(`it printed more than ${maximumOutputBytes} bytes`);
    output.push(chunk);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    // What comes later is read and forgotten: a full pipe would hold it up.
    if (said.length < maximumErrorCharacters) said += text.slice(0, maximumErrorCharacters);
  });
  for (const stream of child.stdio) stream?.on('error', () => undefined);
  child.once('error', () => end('it cannot be started'));
  // What it leaves behind would keep its output open.
  child.once('exit', killGroup);
  child.once('close', (code, signal) =>
    end(code === 0 ? null : signal === null ? `it ended with exit code ${code}` : `it was ended by ${signal}`),
  );
  child.stdin.end(`${input}\n`);
  return promise;
}

function readOutput(output: Buffer): Json {
  try {
    return parseStrictJson(output) as Json;
  } catch {
    return null;
  }
}

function shown(text: string): string {
  return text
    .replaceAll(looksEncoded, '…')
    .replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ')
    .trim()
    .slice(0, maximumErrorCharacters);
}
