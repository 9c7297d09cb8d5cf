// Lanes for work on one thing each: a few run at once, some more wait, and what comes on top of these is refused at once.

export interface Lanes {
  /** Runs the task in its lane, or rejects with the lane's refusal. */
  run<T>(name: string, task: () => Promise<T>): Promise<T>;
}

interface Lane {
  running: number;
  readonly waiting: (() => void)[];
}

/** @param refuse Makes the error for a task that finds its lane full. */
export function createLanes({
  width,
  waiting,
  refuse,
}: {
  width: number;
  waiting: number;
  refuse: () => Error;
}): Lanes {
  const lanes = new Map<string, Lane>();

  async function enter(lane: Lane): Promise<void> {
    if (lane.running < width) {
      lane.running += 1;
      return;
    }
    if (lane.waiting.length >= waiting) throw refuse();
    // Whoever leaves hands its place over, so that `running` stays as it is.
    await new Promise<void>((resolve) => lane.waiting.push(resolve));
  }

  function leave(name: string, lane: Lane): void {
    const next = lane.waiting.shift();
    if (next !== undefined) return next();
    lane.running -= 1;
    if (lane.running === 0) lanes.delete(name);
  }

  return {
    async run(name, task) {
      const lane = lanes.get(name) ?? { running: 0, waiting: [] };
      lanes.set(name, lane);
      await enter(lane);
      try {
        return await task();
      } finally {
        leave(name, lane);
      }
    },
  };
}
