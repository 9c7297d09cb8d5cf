// One durable timer for the earliest of an actor's deadlines. It only wakes: what a deadline means, the machine decides by the time.
import type { Deadlines } from '#machines/actor.ts';
import { CancellationScope, isCancellation, sleep } from '@temporalio/workflow';

interface Options {
  deadlines(): Deadlines;
  /** Hears of each deadline once; of the same name again when it has moved. */
  passed(name: string): void;
  /** What the timer belongs to; it ends with it. */
  readonly scope: CancellationScope;
}

export function createDeadlineTimer({ deadlines, passed, scope: parent }: Options) {
  /** Deadlines that have been passed on, by name. */
  const told = new Map<string, string>();
  let armed: { readonly at: string; readonly scope: CancellationScope } | null = null;

  /** Compares the timer with the earliest deadline, and arms it anew if they differ. */
  function arm(): void {
    const due = Object.entries(deadlines())
      .filter(([name, at]) => told.get(name) !== at)
      .map(([, at]) => at)
      .toSorted()[0];
    if (due === armed?.at) return;
    armed?.scope.cancel();
    armed = null;
    if (due === undefined) return;
    const scope = new CancellationScope({ cancellable: true, parent });
    armed = { at: due, scope };
    scope
      .run(() => sleep(Math.max(1, Date.parse(due) - Date.now()), { summary: `deadline ${due}` }))
      .then(
        () => {
          // The deadline may have moved between the end of the timer and this.
          if (armed?.scope === scope) wake();
        },
        (error: unknown) => {
          if (!isCancellation(error)) throw error;
        },
      );
  }

  function wake(): void {
    armed = null;
    const now = new Date(Date.now()).toISOString();
    for (const name of Object.keys(deadlines())) {
      // Looked up each time: passing one deadline may have moved another.
      const due = deadlines()[name];
      if (due === undefined || due > now || told.get(name) === due) continue;
      told.set(name, due);
      passed(name);
    }
    arm();
  }

  return {
    arm,
    /** The state is another one: what was passed on to the old one is not known to it. */
    forget(): void {
      told.clear();
    },
  };
}
