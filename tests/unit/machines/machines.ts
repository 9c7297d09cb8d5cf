// Takes machines through transitions without Temporal: what the driver sees of each, and a bounded search over all of them.
import { take, type Taken } from '#bench/simulate/model-actor.ts';
import type { MachineSnapshot } from '#contracts/actor.ts';
import { later, type ActorDefinition, type Deadlines } from '#machines/actor.ts';

export const start = '2026-12-01T12:00:00.000Z';
export const after = (seconds: number): string => later(start, seconds);

/** The state, and the effects in words: `approved: consumed, +device.identity.approved, news.fetch`. */
export function inWords({ snapshot, records, requirements, calls }: Taken<unknown>): string {
  const effects = [
    ...requirements.map(({ kind }) => `?${kind}`),
    ...records.map(({ action }) => `+${action}`),
    ...calls.map(({ name }) => name),
  ];
  return `${snapshot.value}${effects.length === 0 ? '' : `: ${effects.join(' ')}`}`;
}

/** Whether the event changed nothing and asked for nothing. */
export function isIgnored<Context>(before: MachineSnapshot<Context>, taken: Taken<Context>): boolean {
  const effects = taken.records.length + taken.requirements.length + taken.calls.length;
  return effects === 0 && JSON.stringify(before) === JSON.stringify(taken.snapshot);
}

/** One transition of a search: where it came from, what was taken, where it led. */
export interface Edge<Context, Event> {
  readonly before: MachineSnapshot<Context>;
  readonly event: Event;
  readonly taken: Taken<Context>;
}

/**
 * Visits every state that some order of events leads to, breadth first, each once, up to a depth.
 *
 * @param eventsOf what may happen in a state
 * @param visit    called for every transition from every state
 */
export function search<Context extends { readonly deadlines: Deadlines }, Event extends { type: string }>(
  definition: ActorDefinition<Context, Event>,
  initial: MachineSnapshot<Context>,
  options: {
    readonly depth: number;
    eventsOf(snapshot: MachineSnapshot<Context>, step: number): readonly Event[];
    visit(edge: Edge<Context, Event>): void;
  },
): { states: number; edges: number } {
  const seen = new Set([JSON.stringify(initial)]);
  let edges = 0;
  let border = [initial];
  for (let step = 0; step < options.depth; step++) {
    const reached: MachineSnapshot<Context>[] = [];
    for (const before of border) {
      for (const event of options.eventsOf(before, step)) {
        const taken = take(definition, before, event);
        edges += 1;
        options.visit({ before, event, taken });
        const key = JSON.stringify(taken.snapshot);
        if (seen.has(key)) continue;
        seen.add(key);
        reached.push(taken.snapshot);
      }
    }
    border = reached;
  }
  return { states: seen.size, edges };
}
