// Carries news to device actors, off the path of the answer: coalesced, bounded, starts at a limited rate and a few at once; the reconciler makes up for what is lost.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock, Log } from '#contracts/deps.ts';
import type { DeviceRef } from './actors.ts';
import type { Metrics } from './metrics.ts';

export interface NotifierOptions {
  /** Actors that one project may start a second. */
  readonly startsPerSecond: number;
  readonly maximumWaiting: number;
  readonly maximumInFlight: number;
  /** Actors that may be beginning at once: a crowd waits here, so that what people ask does not queue behind it in Temporal. */
  readonly maximumBeginning: number;
  /** How long an actor may take to begin before it counts no more. */
  readonly beginWithinMs: number;
}

/** Each pause before looking whether an actor has begun is twice the one before. */
const firstLookMs = 100;

export interface NotifierDeps {
  /** Signals the actor, and starts it if it is not there. */
  readonly news: (device: DeviceRef) => Promise<void>;
  /** Whether the store has the first state of the device. */
  readonly hasBegun: (device: DeviceRef) => Promise<boolean>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'signals'>;
  readonly options: NotifierOptions;
}

export interface ActorNotifier {
  /** @param starts whether the actor is probably not there yet, which counts against the rate of starts */
  notify(device: DeviceRef, starts: boolean): void;
  /** Whether the caller may start an actor of this project itself now; it counts as a start. */
  mayStart(project: string): boolean;
  /** Drops what waits, and resolves when what was sent has been answered. */
  close(): Promise<void>;
}

/** Tokens of one project; at most one second's worth is saved up. */
interface Bucket {
  tokens: number;
  filledAt: number;
}

export function createActorNotifier(deps: NotifierDeps): ActorNotifier {
  const { news, clock, log, metrics, options } = deps;
  const signals = new Map<string, DeviceRef>();
  /** Starts wait by project, so that one that enrols many devices does not hold up another. */
  const starts = new Map<string, Map<string, DeviceRef>>();
  const buckets = new Map<string, Bucket>();
  let waiting = 0;
  let inFlight = 0;
  let beginning = 0;
  let closed = false;
  let timer: NodeJS.Timeout | null = null;
  let whenIdle: (() => void) | null = null;

  function notify(device: DeviceRef, isStart: boolean): void {
    const name = JSON.stringify([device.project, device.id]);
    if (signals.has(name) || starts.get(device.project)?.has(name)) {
      metrics.signals.inc({ result: 'coalesced' });
      return;
    }
    if (closed || waiting >= options.maximumWaiting) {
      metrics.signals.inc({ result: 'dropped' });
      return;
    }
    const line = isStart ? (starts.get(device.project) ?? new Map<string, DeviceRef>()) : signals;
    if (isStart) starts.set(device.project, line);
    line.set(name, device);
    waiting += 1;
    pump();
  }

  function pump(): void {
    while (inFlight < options.maximumInFlight) {
      const signalled = take(signals);
      const device = signalled ?? (mayBegin() ? takeStart() : null);
      if (device === null) break;
      if (signalled === null) void begin(device);
      else void send(device);
    }
    // What is left waits for a place, which comes with an answer, or for a token, which comes with time.
    if (timer === null && starts.size > 0 && inFlight < options.maximumInFlight && mayBegin()) {
      timer = setTimeout(
        () => {
          timer = null;
          pump();
        },
        Math.ceil(1000 / options.startsPerSecond),
      );
    }
  }

  function mayBegin(): boolean {
    return beginning < options.maximumBeginning;
  }

  /** Holds its place among those that begin until its first state is in the store, or it takes too long. */
  async function begin(device: DeviceRef): Promise<void> {
    beginning += 1;
    if (await send(device)) await untilBegun(device);
    beginning -= 1;
    pump();
  }

  async function untilBegun(device: DeviceRef): Promise<void> {
    const deadline = clock.now().getTime() + options.beginWithinMs;
    for (let pauseMs = firstLookMs; !closed && clock.now().getTime() < deadline; pauseMs *= 2) {
      await sleep(pauseMs, undefined, { ref: false });
      // While the store is away nobody can begin: its place is for those that may when it is back.
      if (await deps.hasBegun(device).catch(() => false)) return;
    }
  }

  function take(line: Map<string, DeviceRef>): DeviceRef | null {
    const [first] = line;
    if (first === undefined) return null;
    line.delete(first[0]);
    waiting -= 1;
    return first[1];
  }

  function takeStart(): DeviceRef | null {
    for (const [project, line] of starts) {
      if (!takeToken(project)) continue;
      // To the end of the line: projects take turns.
      starts.delete(project);
      const device = take(line);
      if (line.size > 0) starts.set(project, line);
      return device;
    }
    return null;
  }

  function takeToken(project: string): boolean {
    const now = clock.now().getTime();
    const bucket = buckets.get(project) ?? { tokens: options.startsPerSecond, filledAt: now };
    const gained = (Math.max(0, now - bucket.filledAt) / 1000) * options.startsPerSecond;
    const tokens = Math.min(options.startsPerSecond, bucket.tokens + gained);
    buckets.set(project, { tokens: tokens >= 1 ? tokens - 1 : tokens, filledAt: now });
    return tokens >= 1;
  }

  /** @returns whether it reached the actor */
  async function send(device: DeviceRef): Promise<boolean> {
    inFlight += 1;
    try {
      await news(device);
      metrics.signals.inc({ result: 'sent' });
      return true;
    } catch (error) {
      metrics.signals.inc({ result: 'failed' });
      log.debug({ err: error, project: device.project, device_id: device.id }, 'news did not reach an actor');
      return false;
    } finally {
      inFlight -= 1;
      pump();
      if (inFlight === 0) whenIdle?.();
    }
  }

  return {
    notify,
    mayStart: (project) => !closed && takeToken(project),
    async close() {
      closed = true;
      if (waiting > 0) metrics.signals.inc({ result: 'dropped' }, waiting);
      signals.clear();
      starts.clear();
      waiting = 0;
      if (timer !== null) clearTimeout(timer);
      if (inFlight > 0) await new Promise<void>((resolve) => (whenIdle = resolve));
    },
  };
}
