// Keeps parts running: starts them in order, starts one again that died, gives up when that does not help, stops them in order.
import { TrustError } from '#contracts/problems.ts';
import {
  type Child,
  describeExit,
  keepTail,
  type Part,
  type SpawnPart,
  startPart,
  stopChild,
  type Tail,
} from './part.ts';
import type { LogFile } from './log-file.ts';
import type { Timers } from './timers.ts';

export interface SupervisorDeps {
  readonly spawn: SpawnPart;
  readonly timers: Timers;
  readonly openLog: (part: Part) => LogFile;
  readonly report: SupervisorReport;
  /** Told after every start and end of a process, by name, once at a time; a start counts once this has resolved. */
  readonly onChange: (pids: Readonly<Record<string, number>>) => Promise<void>;
}

export interface SupervisorReport {
  starting(name: string): void;
  ready(name: string, afterMs: number): void;
  died(name: string, how: string, againInMs: number): void;
}

export interface Supervisor {
  /** Starts the parts of one stage side by side; resolves when all of them serve. */
  start(stage: readonly Part[]): Promise<void>;
  /** Rejects when a part is given up. */
  readonly failed: Promise<never>;
  /** Ends the stages in reverse order, within `stopLimitMs`. Starts that are under way are given up. */
  stop(): Promise<void>;
}

const deathsToGiveUp = 5;
const deathWindowMs = 60_000;
const firstBackOffMs = 250;
const longestBackOffMs = 10_000;
/** What is left after this is killed; the promise to the outside is 10 s. */
export const stopLimitMs = 9_000;

interface Kept {
  readonly part: Part;
  readonly log: LogFile;
  readonly tail: Tail;
  /** When it died lately. */
  deaths: number[];
  /** From the moment that it is spawned, ready or not. */
  child: Child | null;
  /** Everything that goes on about it, for the end. */
  work: Promise<void>;
}

export function createSupervisor(deps: SupervisorDeps): Supervisor {
  const { timers, report } = deps;
  const stages: Kept[][] = [];
  const stopping = new AbortController();
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => {});
  let announced: Promise<void> = Promise.resolve();

  async function start(parts: readonly Part[]): Promise<void> {
    stopping.signal.throwIfAborted();
    const stage = parts.map((part): Kept => {
      return { part, log: deps.openLog(part), tail: keepTail(), deaths: [], child: null, work: Promise.resolve() };
    });
    stages.push(stage);
    await Promise.all(
      stage.map((kept) => {
        const up = bringUp(kept);
        kept.work = up.then(() => keepUp(kept).catch(failure.reject));
        kept.work.catch(() => {});
        return up;
      }),
    );
  }

  /** Until it serves, or is given up. */
  async function bringUp(kept: Kept): Promise<void> {
    const began = timers.now();
    report.starting(kept.part.name);
    while (!(await tryStart(kept))) stopping.signal.throwIfAborted();
    report.ready(kept.part.name, timers.now() - began);
  }

  async function keepUp(kept: Kept): Promise<void> {
    while (!stopping.signal.aborted) {
      const exit = await kept.child?.exited;
      kept.child = null;
      await announce();
      if (stopping.signal.aborted) return;
      await backOff(kept, `${kept.part.name} ended${exit === undefined ? '' : ` ${describeExit(exit)}`}.`);
      await bringUp(kept);
    }
  }

  async function tryStart(kept: Kept): Promise<boolean> {
    // A part that cannot even be prepared the first time, say for a taken port, does not get better by itself.
    const isFirst = kept.deaths.length === 0;
    let spawned = false;
    try {
      kept.child = await startPart(
        kept.part,
        async (part, output) => {
          stopping.signal.throwIfAborted();
          kept.child = await deps.spawn(part, output);
          spawned = true;
          await announce();
          // A stop that came meanwhile has seen no child to end.
          if (stopping.signal.aborted) kept.child.signal('SIGKILL');
          return kept.child;
        },
        (chunk) => {
          kept.log.write(chunk);
          kept.tail.add(chunk);
        },
        timers,
      );
      return true;
    } catch (error) {
      kept.child = null;
      stopping.signal.throwIfAborted();
      if (isFirst && !spawned) throw error;
      await announce();
      await backOff(kept, (error as Error).message.split('\n')[0] ?? '');
      return false;
    }
  }

  /** Counts a death and waits the longer, the more there were. */
  async function backOff(kept: Kept, how: string): Promise<void> {
    const now = timers.now();
    kept.deaths = [...kept.deaths.filter((at) => at > now - deathWindowMs), now];
    if (kept.deaths.length >= deathsToGiveUp) {
      throw new TrustError('service.unavailable', {
        detail: `${kept.part.name} died ${deathsToGiveUp} times within a minute. ${how}\nThe end of ${kept.log.path}:\n${kept.tail.lastLines()}`,
      });
    }
    const delayMs = Math.min(firstBackOffMs * 2 ** (kept.deaths.length - 1), longestBackOffMs);
    report.died(kept.part.name, how, delayMs);
    await timers.sleep(delayMs, stopping.signal);
  }

  /** One after the other: of two that end up in a file, the one that came first must not be what stays there. */
  function announce(): Promise<void> {
    const told = announced
      .catch(() => {})
      .then(() => {
        const running = stages
          .flat()
          .flatMap(({ part, child }) => (child === null ? [] : [[part.name, child.pid] as const]));
        return deps.onChange(Object.fromEntries(running));
      });
    announced = told;
    return told;
  }

  async function stop(): Promise<void> {
    stopping.abort();
    const over = new AbortController();
    timers.sleep(stopLimitMs, over.signal).then(
      () => stages.flat().forEach(({ child }) => child?.signal('SIGKILL')),
      () => {},
    );
    for (const stage of stages.toReversed()) await Promise.all(stage.map(stopOne));
    // A preparation that is under way cannot be given up; what it starts afterwards is ended at once.
    const work = Promise.allSettled(stages.flat().map((kept) => kept.work));
    await Promise.race([work, timers.sleep(1_000, over.signal)]);
    over.abort();
    for (const { log } of stages.flat()) log.close();
  }

  async function stopOne(kept: Kept): Promise<void> {
    if (kept.child !== null) await stopChild(kept.part, kept.child, timers);
    kept.child = null;
  }

  return { start, failed: failure.promise, stop };
}
