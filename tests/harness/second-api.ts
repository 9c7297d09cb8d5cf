// A second API process beside the one of a stack: same database, same Temporal, same secrets, another port.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { createTransport } from '#client/node-transport.ts';
import { findFreePort } from '#start/ports.ts';
import type { Cleanup } from './cleanup.ts';
import { eventually } from './eventually.ts';
import type { Stack } from './stack.ts';

const main = fileURLToPath(new URL('../../api/main.ts', import.meta.url));

export interface SecondApi {
  readonly url: string;
  /** Everything it has logged so far. */
  log(): string;
  /** As the supervisor stops one: it writes down what it had only counted. */
  stop(): Promise<void>;
}

/** @param environment beside that of the first one */
export async function startSecondApi(
  t: Cleanup,
  { instance }: Stack,
  environment: Readonly<Record<string, string>> = {},
): Promise<SecondApi> {
  const port = await findFreePort();
  const child = spawn(process.execPath, [main], {
    env: { ...(await environmentOfProcess(instance.pids['api'])), SENTINEL_PORT: String(port), ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    await once(child, 'exit');
  };
  t.after(stop);
  const url = `https://localhost:${port}`;
  const transport = createTransport({ ca: await readFile(instance.ca_file, 'utf8') });
  try {
    await eventually(async () => {
      if (child.exitCode !== null) throw new Error(`the second API ended:\n${output}`);
      return transport
        .fetch(`${url}/api/health/live`, {
          method: 'GET',
          headers: {},
          redirect: 'error',
          signal: AbortSignal.timeout(2_000),
        })
        .catch(() => null);
    }, 'a second API');
  } finally {
    await transport.close();
  }
  return { url, log: () => output, stop };
}

/** What a process of ours was started with, secrets included. */
export async function environmentOfProcess(pid: number | undefined): Promise<Record<string, string>> {
  const text = await readFile(`/proc/${pid}/environ`, 'utf8');
  return Object.fromEntries(
    text
      .split('\0')
      .filter((entry) => entry.includes('='))
      .map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]),
  );
}
