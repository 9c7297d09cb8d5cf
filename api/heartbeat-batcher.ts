// Gathers concurrent heartbeats into batches: one statement for many devices, at most one heartbeat of each device in it.
import type { Clock } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import type { Metrics } from './metrics.ts';

export interface BatcherOptions {
  readonly maximumBatch: number;
  readonly maximumInFlight: number;
  /** A batch is not sent beside another one unless it is full, or the others have been under way for so long. */
  readonly patienceMs: number;
  /** Heartbeats that wait, of all devices together and of one. */
  readonly maximumWaiting: number;
  readonly maximumWaitingOfOne: number;
  readonly deadlineMs: number;
}

export const batcherDefaults: BatcherOptions = {
  maximumBatch: 200,
  maximumInFlight: 4,
  patienceMs: 10,
  maximumWaiting: 4000,
  maximumWaitingOfOne: 4,
  deadlineMs: 5000,
};

export interface BatcherDeps<Item, Verdict> {
  /** Judges a batch; answers in the order of the items, one verdict each. */
  readonly judge: (items: readonly Item[]) => Promise<readonly Verdict[]>;
  /** Items with the same name are never judged at the same time. */
  readonly nameOf: (item: Item) => string;
  readonly clock: Clock;
  /** Null where another batch is measured already. */
  readonly metrics: Pick<Metrics, 'batchSize' | 'batchWait' | 'batchDuration'> | null;
}

export interface Batcher<Item, Verdict> {
  /**
   * @throws TrustError `service.overloaded` when too much waits, `rate.limited` when too much of this device waits,
   *   `service.unavailable` when there is no verdict in time; it may have been judged all the same
   */
  submit(item: Item): Promise<Verdict>;
  /** Takes no more, and resolves when everything that was taken has been judged. */
  close(): Promise<void>;
}

interface Waiting<Item, Verdict> {
  readonly item: Item;
  readonly name: string;
  readonly since: number;
  /** By the clock that never goes back. */
  readonly endsAt: number;
  settled: boolean;
  resolve(verdict: Verdict): void;
  reject(error: unknown): void;
}

export function createBatcher<Item, Verdict>(
  { judge, nameOf, clock, metrics }: BatcherDeps<Item, Verdict>,
  options: BatcherOptions = batcherDefaults,
): Batcher<Item, Verdict> {
  type Entry = Waiting<Item, Verdict>;
  /** What waits, by name, in the order in which names came; a name that is being judged is not among them. */
  const ready = new Map<string, Entry[]>();
  /** What came for a name that is being judged. */
  const held = new Map<string, Entry[]>();
  const judging = new Set<readonly Entry[]>();
  let waiting = 0;
  let inFlight = 0;
  let dispatchedAt = 0;
  let scheduled = false;
  let patience: NodeJS.Timeout | null = null;
  let watching: NodeJS.Timeout | null = null;
  let closed = false;
  let whenIdle: (() => void) | null = null;

  function submit(item: Item): Promise<Verdict> {
    const name = nameOf(item);
    const line = held.get(name) ?? ready.get(name) ?? [];
    if (closed || waiting >= options.maximumWaiting) throw new TrustError('service.overloaded');
    if (line.length >= options.maximumWaitingOfOne) {
      throw new TrustError('rate.limited', { detail: 'Heartbeats of this device are waiting already' });
    }
    return new Promise<Verdict>((resolve, reject) => {
      const entry: Entry = {
        item,
        name,
        since: clock.now().getTime(),
        endsAt: performance.now() + options.deadlineMs,
        settled: false,
        resolve,
        reject,
      };
      line.push(entry);
      if (!held.has(name)) ready.set(name, line);
      waiting += 1;
      watching ??= setTimeout(answerLate, options.deadlineMs);
      schedule();
    });
  }

  /** One timer for all that wait: it goes off when the time of the first is over, and looks at the others. */
  function answerLate(): void {
    watching = null;
    const now = performance.now();
    let next = Number.POSITIVE_INFINITY;
    for (const entries of [...judging, ...ready.values(), ...held.values()]) {
      for (const entry of entries) {
        if (entry.settled) continue;
        // Timers count whole milliseconds, and this one may go off within the last.
        if (entry.endsAt - now > 1) next = Math.min(next, entry.endsAt);
        else settle(entry, () => entry.reject(late()));
      }
    }
    if (next < Number.POSITIVE_INFINITY) watching = setTimeout(answerLate, next - now);
  }

  function settle(entry: Entry, answer: () => void): void {
    if (entry.settled) return;
    entry.settled = true;
    answer();
  }

  /** Everything that was read from the network in this turn of the event loop goes together. */
  function schedule(): void {
    if (scheduled || ready.size === 0 || !mayDispatch()) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      dispatchReady();
    });
  }

  function dispatchReady(): void {
    while (ready.size > 0 && mayDispatch()) dispatch(gather());
  }

  /**
   * A statement costs far more than a heartbeat in it, so whatever comes while one is under way waits for its end and goes
   * together. One that takes long, such as behind a row that somebody has locked, does not hold up the others.
   */
  function mayDispatch(): boolean {
    if (inFlight === 0) return true;
    if (inFlight >= options.maximumInFlight) return false;
    if (ready.size >= options.maximumBatch) return true;
    const left = dispatchedAt + options.patienceMs - performance.now();
    if (left <= 0) return true;
    patience ??= setTimeout(() => {
      patience = null;
      dispatchReady();
    }, left);
    return false;
  }

  /** Takes the first of each line, oldest line first. Whoever was answered meanwhile is not judged any more. */
  function gather(): Entry[] {
    const batch: Entry[] = [];
    for (const [name, line] of ready) {
      if (batch.length === options.maximumBatch) break;
      ready.delete(name);
      const entry = nextOf(line);
      if (entry === undefined) continue;
      held.set(name, line);
      batch.push(entry);
    }
    return batch;
  }

  function nextOf(line: Entry[]): Entry | undefined {
    for (let entry = line.shift(); entry !== undefined; entry = line.shift()) {
      waiting -= 1;
      if (!entry.settled) return entry;
    }
    return undefined;
  }

  function dispatch(batch: readonly Entry[]): void {
    if (batch.length === 0) return;
    inFlight += 1;
    judging.add(batch);
    dispatchedAt = performance.now();
    if (patience !== null) clearTimeout(patience);
    patience = null;
    void judgeBatch(batch).finally(() => {
      inFlight -= 1;
      judging.delete(batch);
      for (const { name } of batch) release(name);
      dispatchReady();
      if (inFlight > 0 || ready.size > 0) return;
      if (watching !== null) clearTimeout(watching);
      watching = null;
      whenIdle?.();
    });
  }

  async function judgeBatch(batch: readonly Entry[]): Promise<void> {
    const began = clock.now().getTime();
    metrics?.batchSize.observe(batch.length);
    if (metrics !== null) for (const { since } of batch) metrics.batchWait.observe((began - since) / 1000);
    try {
      const verdicts = await judge(batch.map(({ item }) => item));
      for (const [index, entry] of batch.entries()) {
        const verdict = verdicts[index];
        settle(entry, () => {
          if (verdict === undefined) entry.reject(new TrustError('internal.error', { detail: 'a verdict is missing' }));
          else entry.resolve(verdict);
        });
      }
    } catch (error) {
      for (const entry of batch) settle(entry, () => entry.reject(error));
    }
    metrics?.batchDuration.observe((clock.now().getTime() - began) / 1000);
  }

  function release(name: string): void {
    const line = held.get(name) ?? [];
    held.delete(name);
    if (line.length > 0) ready.set(name, line);
  }

  return {
    submit: async (item) => submit(item),
    async close() {
      closed = true;
      if (inFlight > 0 || ready.size > 0) await new Promise<void>((resolve) => (whenIdle = resolve));
    },
  };
}

function late(): TrustError {
  return new TrustError('service.unavailable', { detail: 'The heartbeat could not be judged in time' });
}
