// Parts without processes: the test decides when one is ready, when it dies and which signals it minds.
import type { Child, Exit, Part, SpawnPart } from '#start/part.ts';

export interface FakeChild {
  readonly name: string;
  readonly pid: number;
  readonly signals: NodeJS.Signals[];
  say(text: string): void;
  die(exit?: Partial<Exit>): void;
}

export interface FakeProcesses {
  readonly spawn: SpawnPart;
  /** Everything that was ever spawned, in order. */
  readonly spawned: FakeChild[];
  /** The present process of a part. */
  child(name: string): FakeChild;
  /** Names and signals in the order in which they were sent. */
  readonly log: string[];
}

/** @param ignoring Parts that take no notice of a signal except SIGKILL. */
export function fakeProcesses(ignoring: readonly string[] = []): FakeProcesses {
  const spawned: FakeChild[] = [];
  const log: string[] = [];
  const spawn: SpawnPart = async (part, output) => {
    const exit = Promise.withResolvers<Exit>();
    let gone = false;
    const child: FakeChild & Child = {
      name: part.name,
      pid: 1000 + spawned.length,
      signals: [],
      exited: exit.promise,
      say: (text) => output(Buffer.from(text)),
      die({ code = null, signal = null } = {}) {
        gone = true;
        exit.resolve({ code: signal === null ? (code ?? 1) : null, signal });
      },
      signal(signal) {
        if (gone) return;
        child.signals.push(signal);
        log.push(`${part.name} ${signal}`);
        if (signal === 'SIGKILL' || !ignoring.includes(part.name)) child.die({ signal });
      },
    };
    spawned.push(child);
    return child;
  };
  return {
    spawn,
    spawned,
    log,
    child(name) {
      const found = spawned.findLast((child) => child.name === name);
      if (found === undefined) throw new RangeError(`${name} was not spawned`);
      return found;
    },
  };
}

export function fakePart(name: string, changes: Partial<Part> = {}): Part {
  return {
    name,
    command: name,
    args: [],
    environment: {},
    ready: async () => {},
    readyWithinMs: 30_000,
    stopSignal: 'SIGTERM',
    stopWithinMs: 3_000,
    ...changes,
  };
}
