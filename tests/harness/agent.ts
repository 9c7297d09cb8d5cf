// The agent as a process of its own: what it prints, how it ends, and folders for its files.
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readConfig } from '#agent/config.ts';
import { systemClock, systemRandom } from '#contracts/deps.ts';
import { createDevelopmentCa, type DevelopmentCa } from '#protocols/development-ca.ts';
import type { IssuedCertificate } from '#protocols/issue-certificate.ts';
import type { Cleanup } from './cleanup.ts';

export interface AgentLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface AgentEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly errors: string;
}

export interface RunningAgent {
  readonly child: ChildProcess;
  readonly ended: Promise<AgentEnd>;
  /** Lines of the log so far. */
  readonly lines: readonly AgentLine[];
  /** The next line, among those that nobody has waited past, whose message fits; fails when the agent ends first. */
  line(message: RegExp): Promise<AgentLine>;
}

export interface AgentOptions {
  readonly environment?: Readonly<Record<string, string>>;
  readonly directory?: string;
  /** A built one instead of the checkout's. */
  readonly executable?: string;
}

const checkout = fileURLToPath(new URL('../../agent/bin.mjs', import.meta.url));
const lineLimitMs = 40_000;

/** Starts it; a test that ends leaves none behind. */
export function startAgent(t: Cleanup, args: readonly string[], options: AgentOptions = {}): RunningAgent {
  const given = Object.entries(process.env).filter(([name]) => !/^(SENTINEL_|NOTIFY_SOCKET|WATCHDOG_)/.test(name));
  const [program, ...words] = options.executable === undefined ? [process.execPath, checkout] : [options.executable];
  const child = spawn(program, [...words, ...args], {
    cwd: options.directory,
    env: { ...Object.fromEntries(given), ...options.environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let errors = '';
  let seen = 0;
  const lines: AgentLine[] = [];
  let news = Promise.withResolvers<void>();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
    const complete = out.split('\n').slice(0, -1);
    for (const line of complete.slice(lines.length)) lines.push(parseLine(line));
    news.resolve();
    news = Promise.withResolvers();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const ended = new Promise<AgentEnd>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal, out, errors }));
  });
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });

  return {
    child,
    ended,
    lines,
    async line(message) {
      const limit = AbortSignal.timeout(lineLimitMs);
      const tooLate = new Promise<never>((_resolve, reject) => {
        limit.addEventListener('abort', () => reject(new Error(`no line ${message}:\n${out}${errors}`)));
      });
      const over = ended.then((end) => {
        throw new Error(`the agent ended before ${message}: ${JSON.stringify(end)}`);
      });
      // Either may come after the line, when nobody waits for it any more.
      for (const promise of [tooLate, over]) promise.catch(() => {});
      for (;;) {
        while (seen < lines.length) {
          const line = lines[seen];
          seen += 1;
          if (line !== undefined && message.test(line.msg)) return line;
        }
        await Promise.race([news.promise, tooLate, over]);
      }
    },
  };
}

/** Runs it to its end. */
export function runAgent(t: Cleanup, args: readonly string[], options: AgentOptions = {}): Promise<AgentEnd> {
  return startAgent(t, args, options).ended;
}

function parseLine(text: string): AgentLine {
  try {
    return JSON.parse(text) as AgentLine;
  } catch {
    return { level: 'none', msg: text };
  }
}

/** A folder of files of one agent, as `sentinel ca issue` makes it; gone after the test. */
export async function agentFolder(t: Cleanup): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sentinel-agent-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export async function writeIdentity(folder: string, issued: IssuedCertificate, caPem: string): Promise<void> {
  await writeFile(join(folder, 'device.key'), issued.keyPem, { mode: 0o600 });
  await writeFile(join(folder, 'device.crt'), issued.certificatePem, { mode: 0o644 });
  await writeFile(join(folder, 'ca.crt'), caPem, { mode: 0o644 });
}

/** A device with files of its own, the authority that issued them, and configurations that name them. */
export async function issuedDevice(
  t: Cleanup,
  { deviceId = 'lab-1', ...validity }: { deviceId?: string; notBefore?: Date; notAfter?: Date } = {},
) {
  const folder = await agentFolder(t);
  const ca = await createDevelopmentCa(join(folder, 'ca'), { clock: systemClock, random: systemRandom });
  await writeIdentity(folder, await ca.issueDevice({ deviceId, ...validity }), ca.caCertificatePem);
  const source = {
    device_id: deviceId,
    server_url: 'https://localhost:1',
    server_ca_path: 'ca.crt',
    certificate_path: 'device.crt',
    private_key_path: 'device.key',
    state_path: 'state.json',
  };
  return { folder, ca, configFor: (changes: object = {}) => readConfig({ ...source, ...changes }, folder) };
}

/** Options of a server that this authority vouches for, and that lets nobody in whom it does not know. */
export function mutualTls(ca: DevelopmentCa) {
  return {
    cert: ca.serverCertificatePem,
    key: ca.serverKeyPem,
    ca: ca.caCertificatePem,
    requestCert: true,
    rejectUnauthorized: true,
  };
}
