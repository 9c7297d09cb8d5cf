// What the driver of a durable actor does, without Temporal: takes at once, commits one after the other, then makes the
// calls. Each of these is a step of its own, and whoever runs the model says when a step comes, and whether.
import { initialTransition, transition } from 'xstate';
import type { CommitRequirement, MachineSnapshot } from '#contracts/actor.ts';
import type { ActorDefinition, AnyCall, Deadlines, RecordEffect, Stamp } from '#machines/actor.ts';

/** What one transition came to. */
export interface Taken<Context> {
  readonly snapshot: MachineSnapshot<Context>;
  readonly records: readonly RecordEffect[];
  readonly requirements: readonly CommitRequirement[];
  readonly calls: readonly AnyCall[];
  /** Names of everything that the machine asked for, also of what the driver would not know. */
  readonly actions: readonly string[];
}

export function begin<Context extends { readonly deadlines: Deadlines }, Event extends { type: string }>(
  definition: ActorDefinition<Context, Event>,
  input: object,
): MachineSnapshot<Context> {
  const [first] = initialTransition(definition.machine, input as never);
  return { value: first.value as string, context: first.context as Context };
}

export function take<Context extends { readonly deadlines: Deadlines }, Event extends { type: string }>(
  definition: ActorDefinition<Context, Event>,
  before: MachineSnapshot<Context>,
  event: Event,
): Taken<Context> {
  const state = definition.machine.resolveState({ value: before.value, context: before.context });
  const [next, actions] = transition(definition.machine, state, event);
  const params = <T>(type: string): T[] =>
    actions.flatMap((action) => (action.type === type && action.params !== null ? [action.params as T] : []));
  const snapshot = { value: next.value as string, context: next.context as Context };
  return {
    snapshot,
    records: [...params<RecordEffect>('record'), ...definition.changes(before, snapshot)],
    requirements: params('require'),
    calls: params('call'),
    actions: actions.map((action) => action.type),
  };
}

/** Whether the event changed nothing and asked for nothing to be written. */
function isNote<Context>(before: MachineSnapshot<Context>, taken: Taken<Context>): boolean {
  const effects = taken.records.length + taken.requirements.length;
  return effects === 0 && JSON.stringify(before) === JSON.stringify(taken.snapshot);
}

export type Said = { readonly type: string } & Readonly<Record<string, unknown>>;

/** Where a model actor lives. */
export interface Host {
  /** Adds time, person and request. */
  stamped(event: Said, by?: string, request?: string): Said;
  /** What comes when it comes: a commit, a call, or the answer to one. */
  later(step: { readonly kind: 'commit' | 'call' | 'answer'; readonly name: string }, run: () => void): void;
  /** Whether everything that a commit requires is so now; uses up what can be used once. */
  holds(requirements: readonly CommitRequirement[]): boolean;
}

export class ModelActor<Context extends { readonly deadlines: Deadlines }, Event extends { type: string } & Stamp> {
  readonly initial: MachineSnapshot<Context>;
  /** As the store has it; every one that was ever durable, the newest last. */
  readonly rows: MachineSnapshot<Context>[] = [];
  snapshot: MachineSnapshot<Context>;
  private waiting: { readonly event: Event | null; readonly taken: Taken<Context> }[] = [];
  private running = new Map<string, { next: AnyCall | null }>();
  /** Steps of a run that has ended come to nothing. */
  private life = 0;
  private readonly host: Host;
  private readonly definition: ActorDefinition<Context, Event>;
  private readonly perform: (call: AnyCall) => Said | null;

  /** @param perform carries out a call; null when there is nothing to tell the machine */
  constructor(
    host: Host,
    definition: ActorDefinition<Context, Event>,
    input: object,
    perform: (call: AnyCall) => Said | null,
  ) {
    this.host = host;
    this.definition = definition;
    this.perform = perform;
    this.initial = begin(definition, input);
    this.snapshot = this.initial;
    this.become(this.initial);
  }

  get row(): MachineSnapshot<Context> | null {
    return this.rows.at(-1) ?? null;
  }

  /** Takes an event unless it is refused. @returns whether it was taken */
  tell(event: Said, by?: string, request?: string): boolean {
    const given = this.host.stamped(event, by, request) as unknown as Event;
    if (this.definition.refuse(this.snapshot, given) !== null) return false;
    this.takeIn(given);
    return true;
  }

  /**
   * The run ends, and another begins that knows the row.
   *
   * @param back how many durable states before the row the new run was reset to; 0 for a run without a past
   */
  crash(back: number): void {
    this.life += 1;
    this.waiting = [];
    this.running = new Map();
    if (this.row === null) return this.become(this.initial);
    const self = back === 0 ? null : (this.rows.at(-1 - back) ?? null);
    this.become(this.definition.adopt(this.row, self, this.initial));
    this.tell({ type: 'actor.adopted' });
  }

  /** Wakes the machine at what is due. */
  wake(now: string): void {
    for (const [name, at] of Object.entries(this.snapshot.context.deadlines))
      if (at <= now) this.tell({ type: 'deadline.passed', name });
  }

  /** The first state, or one that was adopted, is written like any other. */
  private become(snapshot: MachineSnapshot<Context>): void {
    this.snapshot = snapshot;
    this.enqueue(null, { snapshot, records: [], requirements: [], calls: [], actions: [] });
  }

  private takeIn(event: Event): void {
    const before = this.snapshot;
    const taken = take(this.definition, before, event);
    this.snapshot = taken.snapshot;
    if (isNote(before, taken) && this.waiting.length === 0) for (const call of taken.calls) this.call(call);
    else this.enqueue(event, taken);
  }

  private enqueue(event: Event | null, taken: Taken<Context>): void {
    this.waiting.push({ event, taken });
    this.later({ kind: 'commit', name: event?.type ?? 'actor.started' }, () => this.commit());
  }

  private commit(): void {
    const [first, ...rest] = this.waiting;
    if (first === undefined) return;
    this.waiting = rest;
    if (!this.host.holds(first.taken.requirements)) return this.rollBack(first.taken.requirements, rest);
    this.rows.push(first.taken.snapshot);
    for (const call of first.taken.calls) this.call(call);
  }

  private rollBack(
    [requirement]: readonly CommitRequirement[],
    uncommitted: readonly { readonly event: Event | null }[],
  ): void {
    this.waiting = [];
    this.snapshot = this.row ?? this.initial;
    this.tell({ type: 'commit.refused', requirement: requirement?.kind });
    for (const { event } of uncommitted) {
      if (event !== null && this.definition.refuse(this.snapshot, event) === null) this.takeIn(event);
    }
  }

  private call(call: AnyCall): void {
    const same = this.running.get(call.key);
    if (same !== undefined) {
      same.next = call;
      return;
    }
    const entry: { next: AnyCall | null } = { next: null };
    this.running.set(call.key, entry);
    this.later({ kind: 'call', name: call.name }, () => {
      const answer = this.perform(call);
      this.later({ kind: 'answer', name: call.name }, () => {
        this.running.delete(call.key);
        if (answer !== null) this.tell(answer);
        if (entry.next !== null) this.call(entry.next);
      });
    });
  }

  private later(step: Parameters<Host['later']>[0], run: () => void): void {
    const { life } = this;
    this.host.later(step, () => (life === this.life ? run() : undefined));
  }
}
