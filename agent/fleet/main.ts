// Simulated devices for a demo: `main.ts --devices N` runs them, `main.ts pause|resume DEVICE…` stops and starts some by hand.
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { createClient } from '#client/client.ts';
import { createTransport } from '#client/node-transport.ts';
import { systemClock as clock, systemRandom as random, type Log } from '#contracts/deps.ts';
import { readSettings } from '#contracts/settings.ts';
import { createDevelopmentCa } from '#protocols/development-ca.ts';
import { createApprovalQueue } from './approval-queue.ts';
import { approveDemoDevices } from './approve.ts';
import { runFleet } from './fleet.ts';
import { changePaused, readPaused, watchPaused } from './paused.ts';

const usage = `Usage: node agent/fleet/main.ts --devices N
       npm run fleet:pause -- DEVICE…
       npm run fleet:resume -- [DEVICE…]`;
const approver = 'approver1';
const limits = { firstIntervalSeconds: 15, pendingSeconds: 5, longestSeconds: 60 };
const pausedLookMs = 500;

const settings = readSettings(process.env);
const home = resolve(settings.SENTINEL_HOME);
const directory = join(home, 'fleet');
const pausedFile = join(directory, 'paused.json');

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  const [verb, ...deviceIds] = args;
  if (verb === 'resume' || (verb === 'pause' && deviceIds.length > 0)) {
    const paused = await changePaused(pausedFile, { verb, deviceIds }, random);
    process.stdout.write(`${paused.size === 0 ? 'No device is paused.' : `Paused: ${[...paused].join(', ')}`}\n`);
    return 0;
  }
  const count = readCount(args);
  if (count === null) {
    process.stderr.write(`${usage}\n`);
    return 2;
  }
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => stop.abort());
  await simulate(count, stop);
  return 0;
}

function readCount(args: string[]): number | null {
  try {
    const { values } = parseArgs({ args, options: { devices: { type: 'string' } } });
    const count = Number(values.devices);
    return Number.isInteger(count) && count > 0 && count <= 10_000 ? count : null;
  } catch {
    return null;
  }
}

async function simulate(count: number, stop: AbortController): Promise<void> {
  const log: Log = pino({ level: settings.SENTINEL_LOG_LEVEL, base: { part: 'fleet' } });
  const ca = await createDevelopmentCa(join(home, 'ca'), { clock, random });
  const deviceUrl = settings.SENTINEL_URL ?? (await apiUrl());
  const transport = createTransport({ ca: ca.caCertificatePem });
  const approvals = await createApprovalQueue({
    file: join(directory, 'votes.json'),
    random,
    log,
    sleep,
    async approve(fingerprints, settled, signal) {
      const password = (await readFile(join(home, 'secrets', `${approver}.password`), 'utf8')).trim();
      const baseUrl = await apiUrl();
      const clientOf = (token?: string) => createClient({ baseUrl, fetch: transport.fetch, random, token });
      await approveDemoDevices({ clientOf, username: approver, password, log }, fingerprints, settled, signal);
    },
  });
  const paused = watchPaused(
    () => readPaused(pausedFile),
    (signal) => sleep(pausedLookMs, signal),
    (ids) => log.info({ paused: [...ids] }, 'The list of paused devices has changed'),
  );
  const fleet = { directory, deviceUrl, ca, clock, random, log, limits, sleep, paused, approvals };
  const work = [paused.run(stop.signal), approvals.run(stop.signal), runFleet(fleet, count, stop.signal)];
  try {
    await Promise.all(work);
  } finally {
    // One that failed ends the others too.
    stop.abort();
    await Promise.allSettled(work);
    await transport.close();
  }
}

/** Where people sign in, which need not be where devices report. */
async function apiUrl(): Promise<string> {
  const text = await readFile(join(home, 'instance.json'), 'utf8').catch(() => null);
  const running = text === null ? undefined : (JSON.parse(text) as { api_url: string }).api_url;
  return running ?? settings.SENTINEL_URL ?? `https://localhost:${settings.SENTINEL_PORT}`;
}

async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  await sleepFor(ms, undefined, { signal });
}
