// One device of a run: an honest agent, and around it the network, the thieves and the accidents of its plan.
import { join } from 'node:path';
import { ApiProblem } from '#client/api-problem.ts';
import { createHeartbeatClient } from '#client/heartbeat.ts';
import type { Fetch } from '#client/request.ts';
import type { Clock, Log, Random } from '#contracts/deps.ts';
import type { HeartbeatAnswer, HeartbeatBody } from '#contracts/http/heartbeat.ts';
import type { DevelopmentCa } from '#protocols/development-ca.ts';
import { openCounter, type NextCounter } from '../counter.ts';
import { runDevice, type Observation } from '../device.ts';
import type { HeartbeatOutcome, ScheduleLimits } from '../heartbeat-schedule.ts';
import type { ApprovalQueue } from './approval-queue.ts';
import { openConnection } from './connection.ts';
import { issueIdentity, renewIdentity, type FleetIdentity } from './identity.ts';
import type { Answer, Judge } from './judge.ts';
import type { Answered, PresentedCertificate, Sent } from './oracle.ts';
import type { PausedDevices } from './paused.ts';
import { mishapsAt, type ActKind, type DevicePlan, type MishapKind, type Moment } from './plan.ts';
import { fractionFor, seededRandom } from './seeded.ts';
import type { Tally } from './tally.ts';

export interface MemberDeps {
  /** Where identities and counters are kept. */
  readonly directory: string;
  readonly deviceUrl: string;
  readonly ca: DevelopmentCa;
  /** An authority that the server knows nothing of. */
  readonly foreignCa: () => Promise<DevelopmentCa>;
  readonly clock: Clock;
  /** Since the start of the run. */
  readonly elapsedMs: () => number;
  readonly random: Random;
  readonly log: Log;
  readonly limits: ScheduleLimits;
  /** Instead of what the API asks for. */
  readonly intervalSeconds: number | null;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly paused: PausedDevices;
  readonly approvals: ApprovalQueue;
  readonly judge: Judge;
  readonly tally: Tally;
}

/** A device that failed to upgrade is away this long. */
const rollbackMs = 5_000;
const dayMs = 86_400_000;
const badCounters: readonly unknown[] = [undefined, 0, -1, 1.5, '7', 2 ** 53];

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
  const report = changesOf((outcome, words) => log.info({ device_id: deviceId, ...outcome }, words));

  judge.enter(deviceId, first.kept);

  async function nextCounter(): Promise<number> {
    const counter = await openedCounter();
    // What an earlier run sent may have counted.
    if (first.kept && judge.known(deviceId).counter.perhaps === 0)
      judge.mayHaveCounted(deviceId, sentOf({ device_id: deviceId, heartbeat_counter: counter - 1 }, identity));
    return counter;
  }

  function observe(): Observation {
    const said = plan.profile.observe(heartbeats);
    return version === null ? said : { ...said, agent_version: version };
  }

  function reconnect(): void {
    connection.close();
    connection = openConnection({ ca: deps.ca.caCertificatePem, identity });
  }

  /** Sends one request and has its answer judged. */
  async function attempt(
    act: ActKind,
    body: HeartbeatBody,
    how: {
      fetch: Fetch;
      identity: FleetIdentity | null;
      wellFormed?: boolean;
      planned?: 'lost_request' | 'lost_answer';
    },
  ): Promise<HeartbeatAnswer> {
    const sent = sentOf(body, how.identity, how.wellFormed);
    const pending = judge.sends(deviceId, act, sent);
    const heard: { status: number; requestId: string | null } = { status: 0, requestId: null };
    const fetch: Fetch = async (url, init) => {
      const answer = await how.fetch(url, init);
      heard.status = answer.status;
      heard.requestId = answer.headers.get('x-request-id');
      return answer;
    };
    const send = createHeartbeatClient({ baseUrl: deps.deviceUrl, fetch, random: deps.random });
    const startedMs = deps.elapsedMs();
    const conclude = (answered: Answered, retryAfterSeconds: number | null, detail: string): void => {
      const ms = deps.elapsedMs() - startedMs;
      pending.answered({ answered, ...heard, retryAfterSeconds, detail, ms } satisfies Answer);
    };
    try {
      const answer = await send(body, signal);
      conclude(answer.status, null, `${answer.trust_tier}`);
      return answer;
    } catch (error) {
      if (how.planned !== undefined) pending.lost(how.planned);
      else if (signal.aborted) pending.lost('stopped');
      else if (error instanceof ApiProblem && error.status !== 0)
        conclude(error.code, error.retryAfterSeconds, error.detail);
      else pending.unanswered((error as Error).message);
      throw error;
    }
  }

  /** The same, by somebody who does not act on the answer. */
  async function provoke(
    act: ActKind,
    body: HeartbeatBody,
    how: Parameters<typeof attempt>[2],
  ): Promise<Answered | null> {
    try {
      return (await attempt(act, body, how)).status;
    } catch (error) {
      if (error instanceof ApiProblem) return error.status === 0 ? null : error.code;
      if (signal.aborted) return null;
      throw error;
    }
  }

  /** Over a connection of its own. */
  async function provokeAs(act: ActKind, body: HeartbeatBody, as: FleetIdentity | null): Promise<Answered | null> {
    const other = openConnection({ ca: deps.ca.caCertificatePem, identity: as });
    try {
      return await provoke(act, body, { fetch: other.fetch, identity: as });
    } finally {
      other.close();
    }
  }

  /** What thieves and broken software send; none of it may use up the counter that it carries. */
  const hostile: Partial<Record<MishapKind, (body: HeartbeatBody) => Promise<unknown>>> = {
    bad_counter: (body) =>
      provoke(
        'bad_counter',
        { ...body, heartbeat_counter: badCounters[heartbeats % badCounters.length] },
        { fetch: connection.fetch, identity },
      ),
    unknown_field: (body) =>
      provoke(
        'unknown_field',
        { ...body, ...{ surprise: true } },
        { fetch: connection.fetch, identity, wellFormed: false },
      ),
    wrong_name: (body) =>
      provoke('wrong_name', { ...body, device_id: plan.neighbourId }, { fetch: connection.fetch, identity }),
    no_certificate: (body) => provokeAs('no_certificate', body, null),
    foreign_authority: async (body) =>
      provokeAs(
        'foreign_authority',
        body,
        await issueIdentity(await deps.foreignCa(), deviceId, { issuedBy: 'somebody' }),
      ),
    expired_certificate: async (body) => {
      const now = deps.clock.now().getTime();
      const validity = { notBefore: new Date(now - 2 * dayMs), notAfter: new Date(now - dayMs) };
      return provokeAs('expired_certificate', body, await issueIdentity(deps.ca, deviceId, validity));
    },
    wrong_usage: async (body) =>
      provokeAs('wrong_usage', body, await issueIdentity(deps.ca, deviceId, { usage: 'server' })),
  };

  async function send(body: HeartbeatBody): Promise<HeartbeatAnswer> {
    heartbeats += 1;
    const mishaps = mishapsAt(plan, heartbeats, deps.elapsedMs());
    for (const kind of mishaps) await hostile[kind]?.(body);
    const answer = await sendThrough(body, mishaps);
    if (answer.status === 'accepted') {
      usedCounter = Number(body.heartbeat_counter);
      if (replaced !== null) await retryReplaced(body, replaced);
      replaced = null;
    } else if (replaced !== null && !triedBeside && judge.known(deviceId).rotation?.decision === null) {
      triedBeside = true;
      await reportBesideRotation(body, replaced);
    }
    if (mishaps.has('replay') && usedCounter !== null) {
      const older = Math.max(1, usedCounter - (heartbeats % 3));
      await provokeAs('replay', { ...body, heartbeat_counter: older }, identity);
    }
    const next_heartbeat_seconds = deps.intervalSeconds ?? answer.next_heartbeat_seconds;
    return { ...answer, next_heartbeat_seconds };
  }

  /** The heartbeat itself, over the network of the plan. */
  async function sendThrough(body: HeartbeatBody, mishaps: ReadonlySet<MishapKind>): Promise<HeartbeatAnswer> {
    const planned = mishaps.has('lost_request') ? 'lost_request' : mishaps.has('lost_answer') ? 'lost_answer' : null;
    if (planned !== null) {
      try {
        return await attempt(planned, body, { fetch: connection.breaking(planned), identity, planned });
      } finally {
        if (planned === 'lost_answer' && fractionFor(plan.seed, 'second', plan.index, heartbeats) < 0.5)
          await provokeAs('second_arrival', body, identity);
      }
    }
    if (!mishaps.has('duplicate')) return attempt('heartbeat', body, { fetch: connection.fetch, identity });
    return sendTwice(body);
  }

  async function sendTwice(body: HeartbeatBody): Promise<HeartbeatAnswer> {
    judge.mayHaveCounted(deviceId, sentOf(body, identity));
    const [own, copy] = await Promise.allSettled([
      attempt('heartbeat', body, { fetch: connection.fetch, identity }),
      provokeAs('duplicate', body, identity),
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
    await provokeAs('old_certificate', { ...body, heartbeat_counter: await nextCounter() }, old);
    await provokeAs('third_certificate', body, await issueIdentity(deps.ca, deviceId, {}));
  }

  /** The new certificate is approved: the old one is good no more. */
  async function retryReplaced(body: HeartbeatBody, old: FleetIdentity): Promise<void> {
    await provokeAs('old_certificate', { ...body, heartbeat_counter: await nextCounter() }, old);
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
        send,
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

function sentOf(body: HeartbeatBody, identity: FleetIdentity | null, wellFormed = true): Sent {
  return {
    counter: body.heartbeat_counter,
    agentVersion: body.agent_version ?? '',
    certificate: identity satisfies PresentedCertificate | null,
    namesItself: identity === null || identity.deviceId === body.device_id,
    wellFormed,
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
