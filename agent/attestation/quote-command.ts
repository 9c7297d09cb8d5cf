// The provider tpm_quote_v1: a program of the administrator's choice makes the quote. A request goes to its standard
// input, and it prints a bundle.
import { spawn } from 'node:child_process';
import { TrustError } from '#contracts/problems.ts';
import { Malformed } from '#protocols/malformed.ts';
import { readPcrValues } from '#protocols/pcr.ts';
import { readTpmEvidence, tpmQuote } from '#protocols/tpm-evidence.ts';
import type { AttestationChallenge } from './challenge.ts';
import { EvidenceProblem, type Evidence, type EvidenceProvider } from './provider.ts';

export interface QuoteCommand {
  readonly deviceId: string;
  /** Program and arguments; no shell reads them. */
  readonly command: readonly string[];
  readonly timeoutMs: number;
  /** The whole environment of the program. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

const largestBundleBytes = 128 * 1024;
const keptErrorBytes = 2 * 1024;

export function createQuoteCommand(options: QuoteCommand): EvidenceProvider {
  return {
    name: tpmQuote,
    async measure(challenge, signal) {
      const { nonce, pcr_selection, credential_activation } = challenge;
      const request = { device_id: options.deviceId, nonce, pcr_selection, credential_activation };
      const { output, said } = await run(options, `${JSON.stringify(request)}\n`, signal);
      return parseBundle(output, challenge, said);
    },
  };
}

/**
 * Reads what the program printed. Whether it proves anything is for the server to say; what the server could not even
 * read is found here, where somebody can see it.
 *
 * @throws EvidenceProblem
 */
export function parseBundle(text: string, challenge: AttestationChallenge, said: string | null = null): Evidence {
  const bundle = objectIn(text);
  if (bundle === null) throw new EvidenceProblem('tpm_quote_command printed no JSON object', said);
  try {
    const evidence = readTpmEvidence(bundle);
    if (evidence.nonce !== challenge.nonce)
      throw new EvidenceProblem('tpm_quote_command answered another nonce than it was asked for', said);
    readPcrValues(evidence.pcrs, challenge.pcr_selection);
    return bundle as Evidence;
  } catch (error) {
    if (error instanceof EvidenceProblem) throw error;
    // Of ours are words that hold nothing of the bundle.
    const why = error instanceof TrustError || error instanceof Malformed ? `: ${error.message}` : '';
    throw new EvidenceProblem(`tpm_quote_command printed a bundle that cannot be used${why}`, said);
  }
}

function objectIn(text: string): object | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

/** Runs the program in a process group of its own, which ends with it, whatever it has left behind. */
function run(
  { command: [program = '', ...args], timeoutMs, environment }: QuoteCommand,
  request: string,
  signal: AbortSignal,
): Promise<{ readonly output: string; readonly said: string | null }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      detached: process.platform !== 'win32',
      env: environment,
      stdio: ['pipe', 'pipe', 'pipe'],
      windowsHide: true,
    });
    const output: Buffer[] = [];
    let bytes = 0;
    let errors = Buffer.alloc(0);
    let stopped: string | null = null;
    const stop = (why: string): void => {
      stopped ??= why;
      endGroup(child.pid, environment);
    };
    const timer = setTimeout(() => stop(`took longer than ${timeoutMs / 1000} s`), timeoutMs);
    const abort = (): void => stop('was stopped with the agent');
    signal.addEventListener('abort', abort, { once: true });
    const finish = (why: string | null): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      for (const stream of [child.stdout, child.stderr]) stream.destroy();
      const text = errors.toString().trim();
      const said = text === '' ? null : text;
      if (why !== null) reject(new EvidenceProblem(`tpm_quote_command ${why}`, said));
      else resolve({ output: Buffer.concat(output).toString(), said });
    };
    child.stdout.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > largestBundleBytes) stop(`printed more than ${largestBundleBytes} bytes`);
      else output.push(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => (errors = Buffer.concat([errors, chunk]).subarray(-keptErrorBytes)));
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream.on('error', () => {});
    child.once('error', (error: NodeJS.ErrnoException) =>
      finish(`cannot be started (${error.code ?? 'unknown error'})`),
    );
    // What it left behind would keep its pipes open.
    child.once('exit', () => endGroup(child.pid, environment));
    child.once('close', (code, ended) => {
      const how = ended === null ? `exit code ${code}` : ended;
      finish(stopped ?? (code === 0 ? null : `ended with ${how}`));
    });
    if (signal.aborted) abort();
    child.stdin.end(request);
  });
}

function endGroup(pid: number | undefined, environment: QuoteCommand['environment']): void {
  if (pid === undefined) return;
  if (process.platform === 'win32') {
    const taskkill = `${environment['SystemRoot'] ?? 'C:\\Windows'}\\System32\\taskkill.exe`;
    spawn(taskkill, ['/T', '/F', '/PID', String(pid)], { stdio: 'ignore', windowsHide: true }).on('error', () => {});
    return;
  }
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nobody of the group is left.
  }
}
