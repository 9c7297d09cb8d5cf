// One device of a run: an honest agent, and around it the network, the thieves and the accidents of its plan.
import { join } from 'node:path';
import type { Log } from '#contracts/deps.ts';
import type { HeartbeatAnswer, HeartbeatBody } from '#contracts/http/heartbeat.ts';
import { createAttestation } from '../attestation.ts';
import { openCounter, type NextCounter } from '../counter.ts';
import { runDevice, type Observation } from '../device.ts';
import type { HeartbeatOutcome, ScheduleLimits } from '../heartbeat-schedule.ts';
import type { ApprovalQueue } from './approval-queue.ts';
import type { EvidenceFor } from './attestation.ts';
import { openConnection } from './connection.ts';
import { createExchange, sentOf, type ExchangeDeps } from './exchange.ts';
import { hostileRequest, type HostileDeps } from './hostile.ts';
import { issueIdentity, renewIdentity, type FleetIdentity } from './identity.ts';
import type { PausedDevices } from './paused.ts';
import { mishapsAt, type DevicePlan, type MishapKind, type Moment } from './plan.ts';
import { fractionFor, seededRandom } from './seeded.ts';
import type { Tally } from './tally.ts';

export interface MemberDeps extends Omit<ExchangeDeps, 'serverCa'>, HostileDeps {
  /** Where identities and counters are kept. */
  readonly directory: string;
  readonly log: Log;
  readonly limits: ScheduleLimits;
  /** Instead of what the API asks for. */
  readonly intervalSeconds: number | null;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly paused: PausedDevices;
  readonly approvals: ApprovalQueue;
  readonly tally: Tally;
  /** What a device proves what it booted with; `null` for one that proves nothing. */
  readonly evidenceFor: EvidenceFor;
}

/** A device that failed to upgrade is away this long. */
const rollbackMs = 5_000;

/** Runs until the signal aborts; rejects only for faults of the program or of the device's own files. */
export async function runMember(
  deps: MemberDeps,
  plan: DevicePlan,
  first: FleetIdentity,
  signal: AbortSignal,
): Promise<void> {
  const { judge, tally, log } = deps;
  const { deviceId } = plan;
  const counterFile = join(deps.directory, deviceId, 'counter');

  let identity = first;
  /** The identity before this one, until the API was seen to refuse it. */
  let replaced: FleetIdentity | null = null;
  let triedBeside = false;
  let connection = openConnection({ ca: deps.ca.caCertificatePem, identity });
  let openedCounter: NextCounter = await openCounter(counterFile, deps.random);
  let version: string | null = null;
  let moments = plan.moments;
  let heartbeats = 0;
  let waitsSinceMs: number | null = null;
  /** The last counter that was accepted. */
  let usedCounter: number | null = null;
  const exchange = createExchange({ ...deps, serverCa: deps.ca.caCertificatePem }, deviceId, signal);
  const report = changesOf((outcome, words) => log.info({ device_id: deviceId, ...outcome }, words));

  const provider = deps.evidenceFor(deviceId);
  const attestation =
    provider === null
      ? null
      : createAttestation({
          // A challenge that is lost with the process is asked again.
          store: { kept: null, keep: async () => {} },
          provider,
          clock: deps.clock,
          log: ofDevice(log, deviceId),
          elapsedMs: deps.elapsedMs,
        });

  judge.enter(deviceId, first.kept);

  async function nextCounter(): Promise<number> {
    const counter = await openedCounter();
    // What an earlier run sent may have counted.
    if (first.kept && judge.known(deviceId).counter.perhaps === 0)
      judge.mayHaveCounted(deviceId, sentOf({ device_id: deviceId, heartbeat_counter: counter - 1 }, identity));
    return counter;
  }

  async function observe(untilStopped: AbortSignal): Promise<Observation> {
    const said = plan.profile.observe(heartbeats);
    const evidence = (await attestation?.evidence(untilStopped)) ?? null;
    return {
      ...said,
      ...(version === null ? {} : { agent_version: version }),
      ...(evidence === null ? {} : { attestation: evidence }),
    };
  }

  function reconnect(): void {
    connection.close();
    connection = openConnection({ ca: deps.ca.caCertificatePem, identity });
  }

  async function send(body: HeartbeatBody): Promise<HeartbeatAnswer> {
    heartbeats += 1;
    const mishaps = mishapsAt(plan, heartbeats, deps.elapsedMs());
    for (const kind of mishaps) {
      const imitated = { plan, heartbeat: heartbeats, body, identity, fetch: connection.fetch };
      const request = await hostileRequest(kind, imitated, deps);
      if (request !== null) await exchange.provoke(request);
    }
    const answer = await sendThrough(body, mishaps);
    if (answer.status === 'accepted') {
      usedCounter = Number(body.heartbeat_counter);
      // The new certificate is approved, and the old one is good no more.
      if (replaced !== null) await sendAsReplaced(body, replaced);
      replaced = null;
    } else if (replaced !== null && !triedBeside && judge.known(deviceId).rotation?.decision === null) {
      triedBeside = true;
      await reportBesideRotation(body, replaced);
    }
    if (mishaps.has('replay') && usedCounter !== null) {
      const older = Math.max(1, usedCounter - (heartbeats % 3));
      await exchange.provoke({ act: 'replay', body: { ...body, heartbeat_counter: older }, identity });
    }
    const next_heartbeat_seconds = deps.intervalSeconds ?? answer.next_heartbeat_seconds;
    return { ...answer, next_heartbeat_seconds };
  }

  /** The heartbeat itself, over the network of the plan. */
  async function sendThrough(body: HeartbeatBody, mishaps: ReadonlySet<MishapKind>): Promise<HeartbeatAnswer> {
    const planned = mishaps.has('lost_request') ? 'lost_request' : mishaps.has('lost_answer') ? 'lost_answer' : null;
    if (planned !== null) {
      try {
        return await exchange.send({ act: planned, body, identity, fetch: connection.breaking(planned), planned });
      } finally {
        if (planned === 'lost_answer' && fractionFor(plan.seed, 'second', plan.index, heartbeats) < 0.5)
          await exchange.provoke({ act: 'second_arrival', body, identity });
      }
    }
    return mishaps.has('duplicate') ? sendTwice(body) : sendOwn(body);
  }

  function sendOwn(body: HeartbeatBody): Promise<HeartbeatAnswer> {
    return exchange.send({ act: 'heartbeat', body, identity, fetch: connection.fetch });
  }

  async function sendTwice(body: HeartbeatBody): Promise<HeartbeatAnswer> {
    judge.mayHaveCounted(deviceId, sentOf(body, identity));
    const [own, copy] = await Promise.allSettled([
      sendOwn(body),
      exchange.provoke({ act: 'duplicate', body, identity }),
    ]);
    const copied = copy.status === 'fulfilled' ? copy.value : null;
    if (own.status === 'fulfilled') {
      if (own.value.status === 'accepted' && copied === 'accepted')
        judge.object(deviceId, 'duplicate', {
          expected: 'one of two accepted',
          answered: 'both accepted',
          detail: `counter ${String(body.heartbeat_counter)} was used twice`,
        });
      return own.value;
    }
    throw own.reason;
  }

  /** The new certificate waits: the old one is still good, and no third one may come between. */
  async function reportBesideRotation(body: HeartbeatBody, old: FleetIdentity): Promise<void> {
    await sendAsReplaced(body, old);
    await exchange.provoke({ act: 'third_certificate', body, identity: await issueIdentity(deps.ca, deviceId, {}) });
  }

  async function sendAsReplaced(body: HeartbeatBody, old: FleetIdentity): Promise<void> {
    const heartbeat_counter = await nextCounter();
    await exchange.provoke({ act: 'old_certificate', body: { ...body, heartbeat_counter }, identity: old });
  }

  async function proceed(untilStopped: AbortSignal): Promise<void> {
    await deps.paused.untilResumed(deviceId, untilStopped);
    for (const moment of moments) {
      if (moment.atMs > deps.elapsedMs()) break;
      if (moment.kind === 'rotate' && !isSettled()) continue;
      moments = moments.filter((other) => other !== moment);
      await live(moment, untilStopped);
    }
  }

  /** A device whose identity is still to be decided cannot ask for another one. */
  function isSettled(): boolean {
    const known = judge.known(deviceId);
    return known.identity === 'approved' && known.rotation === null && known.pinned === identity.fingerprint;
  }

  async function live(moment: Moment, untilStopped: AbortSignal): Promise<void> {
    if (moment.kind !== 'upgrade' || !moment.fails) tally.acted(moment.kind);
    switch (moment.kind) {
      case 'rotate':
        replaced = identity;
        triedBeside = false;
        identity = await renewIdentity(join(deps.directory, deviceId, 'identity.pem'), deviceId, deps);
        waitsSinceMs = null;
        return reconnect();
      case 'forget_counter': {
        let counter = 0;
        openedCounter = async () => (counter += 1);
        return reconnect();
      }
      case 'silent':
        connection.close();
        return deps.sleep(Math.max(0, moment.untilMs - deps.elapsedMs()), untilStopped);
      case 'upgrade':
        if (moment.fails) {
          tally.acted('upgrade_failed');
          connection.close();
          await deps.sleep(rollbackMs, untilStopped);
        } else version = moment.to;
        return restart();
      case 'restart':
        return restart();
    }
  }

  async function restart(): Promise<void> {
    openedCounter = await openCounter(counterFile, deps.random);
    reconnect();
  }

  function onOutcome(outcome: HeartbeatOutcome): void {
    report(outcome);
    if (plan.vote === null || outcome.kind !== 'answered' || outcome.status !== 'pending') return;
    waitsSinceMs ??= deps.elapsedMs();
    if (deps.elapsedMs() - waitsSinceMs >= plan.vote.afterMs) deps.approvals.add(deviceId, identity.fingerprint);
  }

  try {
    await runDevice(
      {
        deviceId,
        send: attestation === null ? send : attestation.listening(send),
        nextCounter,
        observe,
        limits: deps.limits,
        random: seededRandom(plan.seed, 'schedule', plan.index),
        sleep: (ms, untilStopped) => deps.sleep(ms / plan.clock.drift, untilStopped),
        mayProceed: proceed,
        onOutcome,
      },
      signal,
    );
  } finally {
    connection.close();
  }
}

function ofDevice(log: Log, device_id: string): Log {
  return {
    debug: (fields, message) => log.debug({ device_id, ...fields }, message),
    info: (fields, message) => log.info({ device_id, ...fields }, message),
    warn: (fields, message) => log.warn({ device_id, ...fields }, message),
    error: (fields, message) => log.error({ device_id, ...fields }, message),
  };
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
