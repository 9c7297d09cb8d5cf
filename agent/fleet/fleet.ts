// The simulated devices of one process: an identity, a counter and a connection each.
import { join } from 'node:path';
import { createHeartbeatClient } from '#client/heartbeat.ts';
import { createTransport } from '#client/node-transport.ts';
import type { Clock, Log, Random } from '#contracts/deps.ts';
import type { DevelopmentCa } from '#protocols/development-ca.ts';
import { openCounter } from '../counter.ts';
import { runDevice } from '../device.ts';
import { fractionOf, type HeartbeatOutcome, type ScheduleLimits } from '../heartbeat-schedule.ts';
import type { ApprovalQueue } from './approval-queue.ts';
import { keepIdentity } from './identity.ts';
import type { PausedDevices } from './paused.ts';
import { profileOf, type Profile } from './profiles.ts';

export interface FleetDeps {
  /** Where identities and counters are kept. */
  readonly directory: string;
  readonly deviceUrl: string;
  readonly ca: DevelopmentCa;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly limits: ScheduleLimits;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly paused: PausedDevices;
  readonly approvals: ApprovalQueue;
}

/** Connections are begun at this rate at most, so that a large fleet does not arrive as one. */
const startsPerSecond = 50;
/** A device that is idle between two heartbeats keeps its connection. */
const keepAliveMs = 600_000;

/** Runs `count` devices until the signal aborts. The last one is left for people to approve. */
export async function runFleet(deps: FleetDeps, count: number, signal: AbortSignal): Promise<void> {
  const members = Array.from({ length: count }, async (_, index) => {
    const profile = profileOf(index);
    try {
      await deps.sleep(((index + fractionOf(deps.random)) / startsPerSecond) * 1000, signal);
      await runMember(deps, profile, index < count - 1, signal);
    } catch (error) {
      // A damaged file of one device must not end the others.
      if (!signal.aborted) deps.log.error({ device_id: profile.deviceId, err: error }, 'This device cannot run');
    }
  });
  await Promise.all(members);
}

async function runMember(deps: FleetDeps, profile: Profile, approveIt: boolean, signal: AbortSignal): Promise<void> {
  const { ca, random, log } = deps;
  const { deviceId } = profile;
  const file = (name: string): string => join(deps.directory, deviceId, name);
  const identity = await keepIdentity(file('identity.pem'), deviceId, deps);
  const nextCounter = await openCounter(file('counter'), random);
  const transport = createTransport({ ca: ca.caCertificatePem, identity, keepAliveMs });
  const report = changesOf((outcome, words) => log.info({ device_id: deviceId, ...outcome }, words));
  let heartbeats = 0;
  try {
    await runDevice(
      {
        deviceId,
        send: createHeartbeatClient({ baseUrl: deps.deviceUrl, fetch: transport.fetch, random }),
        nextCounter,
        observe: () => profile.observe((heartbeats += 1)),
        limits: deps.limits,
        random,
        sleep: deps.sleep,
        mayProceed: (untilStopped) => deps.paused.untilResumed(deviceId, untilStopped),
        onOutcome: (outcome) => {
          report(outcome);
          const waits = outcome.kind === 'answered' && outcome.status === 'pending';
          if (waits && approveIt) deps.approvals.add(deviceId, identity.fingerprint);
        },
      },
      signal,
    );
  } finally {
    await transport.close();
  }
}

/** Logs an outcome only when it is another than the one before: a steady fleet says nothing. */
function changesOf(log: (outcome: HeartbeatOutcome, words: string) => void): (outcome: HeartbeatOutcome) => void {
  let last = '';
  return (outcome) => {
    const words = wordsFor(outcome);
    if (words !== last) log(outcome, words);
    last = words;
  };
}

function wordsFor(outcome: HeartbeatOutcome): string {
  switch (outcome.kind) {
    case 'answered':
      return outcome.status === 'accepted' ? 'Heartbeats are accepted' : 'Waits for approval';
    case 'refused':
      return `Heartbeats are refused: ${outcome.code}`;
    case 'failed':
      return 'Heartbeats get no answer';
  }
}
