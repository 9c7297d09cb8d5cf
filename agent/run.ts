// Runs an agent from its configuration: for as long as it may, or for one heartbeat.
import type { SendHeartbeat } from '#client/heartbeat.ts';
import type { Clock, Log, Random } from '#contracts/deps.ts';
import { createAttestation } from './attestation.ts';
import { configuredProvider } from './attestation/configured.ts';
import type { AgentConfig } from './config.ts';
import { notYetSupported } from './config.ts';
import { createDateWatch } from './certificate-dates.ts';
import { openConnection, type Connection } from './connection.ts';
import { heartbeat, runDevice, type DeviceDeps, type Observation } from './device.ts';
import { createObserver } from './facts.ts';
import type { HeartbeatOutcome, ScheduleLimits } from './heartbeat-schedule.ts';
import { lockState } from './lock.ts';
import { createReport } from './report.ts';
import type { ServiceManager } from './service-manager.ts';
import { openState } from './state.ts';
import type { System } from './system.ts';

export interface RunDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  readonly system: System;
  readonly agentVersion: string;
  readonly serviceManager: ServiceManager;
  /** What the program that quotes is given as its environment. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Milliseconds of a clock that never goes back. */
  readonly elapsedMs: () => number;
  /** Waits, or rejects when the signal aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** A server that is away is asked at least this often; one that is busy says when. */
const limits: ScheduleLimits = { firstIntervalSeconds: 15, pendingSeconds: 15, longestSeconds: 300 };

/**
 * Runs until the signal aborts.
 *
 * @throws FileProblem when it cannot begin
 */
export async function runAgent(config: AgentConfig, deps: RunDeps, signal: AbortSignal): Promise<void> {
  const { log, serviceManager, elapsedMs } = deps;
  await withDevice(config, deps, async (device, connection) => {
    const { fingerprint, notAfter } = connection.identity();
    log.info(
      {
        device_id: config.device_id,
        server_url: config.server_url,
        agent_version: deps.agentVersion,
        fingerprint_sha256: fingerprint,
        not_after: notAfter.toISOString(),
      },
      'The agent has started',
    );
    const report = createReport({ deviceId: config.device_id, log, elapsedMs, onStatus: serviceManager.status });
    serviceManager.ready('Sends its first heartbeat');
    await runDevice(
      {
        ...device,
        send: async (body, stopped) => {
          const answer = await device.send(body, stopped);
          report.tier(answer.trust_tier);
          return answer;
        },
        limits,
        random: deps.random,
        sleep: (ms, stopped) => sleepWithSigns(ms, deps, stopped),
        mayProceed: async () => {},
        onOutcome: report.outcome,
      },
      signal,
    );
    serviceManager.stopping();
    log.info({}, 'The agent has stopped');
  });
}

/**
 * Sends one heartbeat.
 *
 * @throws FileProblem when it cannot begin
 */
export async function runOnce(config: AgentConfig, deps: RunDeps, signal: AbortSignal): Promise<HeartbeatOutcome> {
  let outcome!: HeartbeatOutcome;
  await withDevice(config, deps, async (device) => {
    outcome = await heartbeat(device, signal);
  });
  return outcome;
}

async function withDevice(
  config: AgentConfig,
  deps: RunDeps,
  work: (
    device: Pick<DeviceDeps, 'deviceId' | 'send' | 'nextCounter' | 'observe'>,
    connection: Connection,
  ) => Promise<void>,
): Promise<void> {
  const { clock, log, random, system } = deps;
  for (const { key, feature } of notYetSupported(config))
    log.warn({ key }, `${key} has no effect: this version does not support ${feature} yet`);
  const lock = await lockState(config.state_path);
  try {
    const state = await openState(config.state_path, config.device_id, random);
    const connection = await openConnection(config, {
      log,
      random,
      nextCounter: state.nextCounter,
      replaced: state.replaced,
    });
    const watchDates = createDateWatch({ clock, log });
    const attestation = createAttestation({
      store: state.challenge,
      provider: configuredProvider(config, { system, clock, environment: deps.environment }),
      clock,
      log,
      elapsedMs: deps.elapsedMs,
    });
    const send: SendHeartbeat = attestation.listening(async (body, signal) => {
      try {
        return await connection.send(body, signal);
      } finally {
        watchDates(connection.identity(), connection.waiting());
      }
    });
    watchDates(connection.identity(), connection.waiting());
    const lookAround = createObserver({
      system,
      agentVersion: deps.agentVersion,
      tags: config.tags,
      directory: directoryOf(config),
      elapsedMs: deps.elapsedMs,
      now: () => clock.now().getTime(),
    });
    const observe = async (signal: AbortSignal): Promise<Observation> => {
      const observed = await lookAround();
      const evidence = await attestation.evidence(signal);
      return evidence === null ? observed : { ...observed, attestation: evidence };
    };
    try {
      await work({ deviceId: config.device_id, send, nextCounter: state.nextCounter, observe }, connection);
    } finally {
      await connection.close();
    }
  } finally {
    lock.release();
  }
}

/** What the device is called in a directory; `null` when it is in none. */
function directoryOf({ entra_device_id, azure_ad_device_id }: AgentConfig): Readonly<Record<string, string>> | null {
  const ids = {
    ...(entra_device_id === null ? {} : { entra_device_id }),
    ...(azure_ad_device_id === null ? {} : { azure_ad_device_id }),
  };
  return Object.keys(ids).length === 0 ? null : ids;
}

/** A long wait goes on in steps, so that a service manager that watches hears of the agent. */
async function sleepWithSigns(ms: number, { serviceManager, sleep }: RunDeps, signal: AbortSignal): Promise<void> {
  const step = serviceManager.signEveryMs ?? ms;
  for (let leftMs = ms; leftMs > 0; leftMs -= step) {
    if (serviceManager.signEveryMs !== null) serviceManager.alive();
    await sleep(Math.min(step, leftMs), signal);
  }
}
