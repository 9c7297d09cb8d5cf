// Simulated devices: `main.ts --scenario NAME` runs them, `main.ts pause|resume DEVICE…` stops and starts some by hand.
import { readdir, readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { destination, pino } from 'pino';
import { ApiProblem } from '#client/api-problem.ts';
import { createClient, type Client } from '#client/client.ts';
import { createTransport } from '#client/node-transport.ts';
import { systemClock as clock, systemRandom as random, type Log } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import { readSettings } from '#contracts/settings.ts';
import { createDevelopmentCa } from '#protocols/development-ca.ts';
import { createSystem } from '../system.ts';
import { readArguments, usage, type RunArguments } from './arguments.ts';
import { evidenceProviders } from './attestation.ts';
import { changePaused, readPaused } from './paused.ts';
import { drawLine, presentProgress, type ProgressNumbers } from './progress.ts';
import { presentReport } from './report.ts';
import { runScenario } from './run.ts';
import { parseScenario, type Scenario } from './scenario.ts';

const scenarioDirectory = fileURLToPath(new URL('./scenarios/', import.meta.url));

const settings = readSettings(process.env);
const home = resolve(settings.SENTINEL_HOME);
const pausedFile = join(home, 'fleet', 'paused.json');
const { stdout, stderr } = process;

process.exitCode = await main(process.argv.slice(2));

/** 0: every answer was right; 1: not; 2: not understood. */
async function main(args: string[]): Promise<number> {
  const wanted = readArguments(args);
  try {
    switch (wanted.verb) {
      case 'wrong':
        stderr.write(`${wanted.reason}\n${usage}\n`);
        return 2;
      case 'list':
        return await list();
      case 'run':
        return await run(wanted);
      default: {
        const paused = await changePaused(pausedFile, wanted, random);
        stdout.write(`${paused.size === 0 ? 'No device is paused.' : `Paused: ${[...paused].join(', ')}`}\n`);
        return 0;
      }
    }
  } catch (error) {
    if (error instanceof ApiProblem) {
      stderr.write(`${error.title}: ${error.detail} ${error.advice}\n`);
      return 1;
    }
    if (!(error instanceof TrustError)) throw error;
    stderr.write(`${error.message}\n`);
    return 2;
  }
}

async function list(): Promise<number> {
  for (const file of (await readdir(scenarioDirectory)).toSorted()) {
    const { name, about, devices } = await readScenario(basename(file, '.json'));
    stdout.write(`${name.padEnd(12)}${about} (${devices} devices)\n`);
  }
  return 0;
}

/** A name is one of those that come with it, anything else is a file. */
async function readScenario(named: string): Promise<Scenario> {
  const isFile = named.endsWith('.json');
  const file = isFile ? resolve(named) : join(scenarioDirectory, `${basename(named)}.json`);
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    const detail = isFile ? `${file} cannot be read` : `There is no scenario ${named}; --list names those there are`;
    throw new TrustError('request.invalid', { detail, cause });
  });
  return parseScenario(basename(file, '.json'), text);
}

function adjusted(scenario: Scenario, wanted: RunArguments): Scenario {
  const { devices, durationSeconds, rate, intervalSeconds, approver } = wanted;
  return {
    ...scenario,
    ...(devices === null ? {} : { devices }),
    ...(durationSeconds === null ? {} : { duration_seconds: durationSeconds }),
    ...(rate === null ? {} : { arrivals_per_second: rate }),
    ...(intervalSeconds === null ? {} : { interval_seconds: intervalSeconds }),
    ...(approver === null || scenario.approve === undefined ? {} : { approve: { ...scenario.approve, by: approver } }),
  };
}

async function run(wanted: RunArguments): Promise<number> {
  const scenario = adjusted(await readScenario(wanted.scenario), wanted);
  const deviceUrl = settings.SENTINEL_URL ?? (await apiUrl());
  if (!wanted.allowRemote) for (const url of [deviceUrl, await apiUrl()]) requireLoopback(url);
  // Without people who see to it, a missing password would show only when nobody is approved in the end.
  if (scenario.approve !== undefined && scenario.with_people !== true) await passwordOf(scenario.approve.by);

  const log: Log = wanted.log
    ? pino({ level: settings.SENTINEL_LOG_LEVEL, base: { part: 'fleet' } })
    : pino({ level: 'error', base: { part: 'fleet' } }, destination(2));
  const evidenceFor = await evidenceProviders(wanted.attestation, {
    system: createSystem(),
    clock,
    environment: process.env,
  });
  const { caCertificatePem } = await createDevelopmentCa(join(home, 'ca'), { clock, random });
  const transport = createTransport({ ca: caCertificatePem });
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => stop.abort());
  const findApi = async (): Promise<(token?: string) => Client> => {
    const baseUrl = await apiUrl();
    return (token) => createClient({ baseUrl, fetch: transport.fetch, random, token });
  };
  try {
    if (scenario.with_people !== true) await (await findApi())().health.live();
    const report = await runScenario(
      {
        home,
        deviceUrl,
        clock,
        monotonicMs: () => performance.now(),
        random,
        log,
        sleep,
        readPaused: () => readPaused(pausedFile),
        findApi,
        passwordOf,
        evidenceFor,
        pendingLimit: settings.SENTINEL_PENDING_DEVICES_LIMIT,
        usage: usageOfProcess,
        progress: stderr.isTTY && !wanted.log ? drawProgress : () => ({ end() {} }),
      },
      scenario,
      wanted.seed,
      stop,
    );
    if (wanted.log) log.info({ answers: report.answers.total, right: report.right }, 'The simulated devices stopped');
    else stdout.write(`${wanted.json ? JSON.stringify(report, null, 2) : presentReport(report)}\n`);
    return report.right ? 0 : 1;
  } finally {
    await transport.close();
  }
}

function drawProgress(look: () => ProgressNumbers): { end(): void } {
  let before = look();
  const timer = setInterval(() => {
    const now = look();
    drawLine(stderr, presentProgress(now, before));
    before = now;
  }, 1_000);
  return {
    end() {
      clearInterval(timer);
      drawLine(stderr, '');
    },
  };
}

function usageOfProcess(): { cpu_seconds: number; memory_mb: number } {
  const { user, system } = process.cpuUsage();
  return {
    cpu_seconds: Math.round((user + system) / 100_000) / 10,
    memory_mb: Math.round(process.resourceUsage().maxRSS / 1_024),
  };
}

/** Thousands of hostile clients are for a server of one's own. */
function requireLoopback(url: string): void {
  if (['localhost', '127.0.0.1', '[::1]'].includes(new URL(url).hostname)) return;
  throw new TrustError('request.invalid', {
    detail: `${url} is another machine: say --allow-remote if it is yours to load and to attack`,
  });
}

async function passwordOf(username: string): Promise<string> {
  const file = join(home, 'secrets', `${username}.password`);
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    const detail = `${file} cannot be read, so nobody can vote as ${username}: npm start with a demo makes approver1, or name another by --approver`;
    throw new TrustError('request.invalid', { detail, cause });
  });
  return text.trim();
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
