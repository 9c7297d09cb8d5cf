// An open loop: heartbeats are sent at a fixed rate whether or not earlier ones were answered, so that what waits is seen.
import { execFile } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { spread } from '../percentile.ts';
import { deviceId, heartbeatBody, type Fleet } from './fleet-names.ts';
import type { Identity } from './generator.ts';
import type { Installation } from './installation.ts';

export interface OpenLoop {
  /**
   * Sends to every device in turn, and again; each time with its next counter.
   *
   * @returns null when the machine was too busy to send so many
   * @throws Error when one was refused
   */
  run(url: string, options: { rate: number; seconds: number }): Promise<Latency | null>;
  /** The last counter of each copy, the enrolled device first. */
  readonly sent: Uint32Array;
}

/** In milliseconds. */
export interface Latency {
  readonly p50: number;
  readonly p99: number;
}

/** Of what should have been sent. */
const leastSent = 0.99;
/** Not counted: connections are opened. */
const leadMs = 1_000;
/** Enough for what is under way at once, and not one more for each that waits for a handshake. */
const connections = 64;

const call = promisify(execFile);

/** @param fleet one identity, whose certificate speaks for all copies, since vegeta takes only one */
export async function createOpenLoop(
  { folder, tls }: Pick<Installation, 'folder' | 'tls'>,
  vegeta: string,
  fleet: Fleet,
  { certificate, key }: Identity,
  usedCounter: number,
): Promise<OpenLoop> {
  const certificateFile = join(folder, 'open-loop.crt');
  const keyFile = join(folder, 'open-loop.key');
  await writeFile(certificateFile, certificate);
  await writeFile(keyFile, key, { mode: 0o600 });
  const sent = new Uint32Array(fleet.copies + 1).fill(usedCounter);
  let next = 0;

  /** All of them are read before the first is sent. */
  async function writeTargets(path: string, url: string, count: number): Promise<void> {
    const counters = sent.slice();
    const lines = Array.from({ length: count }, (_, i) => {
      const copy = (next + i) % counters.length;
      const counter = (counters[copy] ?? 0) + 1;
      counters[copy] = counter;
      const body = Buffer.from(heartbeatBody(deviceId(fleet, 0, copy), counter)).toString('base64');
      const header = { 'Content-Type': ['application/json'] };
      return JSON.stringify({ method: 'POST', url: `${url}/api/heartbeat`, header, body });
    });
    await writeFile(path, `${lines.join('\n')}\n`);
  }

  /** They are sent in their order, and the last of them not at all when the time is over. */
  function count(requests: number): void {
    for (let i = 0; i < requests; i += 1) {
      sent[next] = (sent[next] ?? 0) + 1;
      next = (next + 1) % sent.length;
    }
  }

  async function send(url: string, { rate, seconds }: { rate: number; seconds: number }): Promise<readonly Answer[]> {
    const targets = join(folder, 'targets.json');
    const results = join(folder, 'results.bin');
    await writeTargets(targets, url, rate * seconds);
    await call(
      vegeta,
      [
        ...['attack', '-format=json', `-targets=${targets}`, `-output=${results}`],
        ...[`-rate=${rate}/1s`, `-duration=${seconds}s`, '-timeout=10s', '-max-body=0', '-http2=false'],
        ...[`-connections=${connections}`, `-max-connections=${connections}`, `-workers=${connections}`],
        ...[`-cert=${certificateFile}`, `-key=${keyFile}`, `-root-certs=${tls.ca}`],
      ],
      { timeout: 60_000 },
    );
    const csv = await call(vegeta, ['encode', '-to=csv', results], { timeout: 60_000, maxBuffer: 256 * 2 ** 20 });
    await Promise.all([rm(targets), rm(results)]);
    const answers = readResults(csv.stdout);
    count(answers.length);
    return answers;
  }

  return {
    sent,
    async run(url, { rate, seconds }) {
      const answers = await send(url, { rate, seconds });
      const refused = answers.find(({ status }) => status !== 200);
      if (refused !== undefined) throw new Error(`a heartbeat was answered ${refused.status}`);
      if (answers.length < rate * seconds * leastSent) return null;
      return spread(afterLead(answers));
    },
  };
}

interface Answer {
  /** When it was sent, in milliseconds of Unix time. */
  readonly at: number;
  readonly status: number;
  readonly milliseconds: number;
}

/** Time in nanoseconds, status and latency in nanoseconds, and what else vegeta writes of each request. */
export function readResults(csv: string): Answer[] {
  return csv
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [at, status, latency] = line.split(',', 3);
      return { at: Number(at) / 1e6, status: Number(status), milliseconds: Number(latency) / 1e6 };
    });
}

function afterLead(answers: readonly Answer[]): number[] {
  const began = answers.reduce((first, { at }) => Math.min(first, at), Infinity);
  return answers.filter(({ at }) => at >= began + leadMs).map(({ milliseconds }) => milliseconds);
}
