// The durable actor: the only code that joins an XState machine to Temporal. Replayed: no I/O, no clock but the workflow's own.
import type {
  ActorRow,
  ActorStanding,
  Commit,
  CommitRequirement,
  CommitResult,
  MachineSnapshot,
  TransitionRecord,
} from '#contracts/actor.ts';
import { eventTypes, type AuditEntry, type OutboxEntry, type Principal } from '#contracts/audit.ts';
import type { JsonObject } from '#contracts/deps.ts';
import { actorId, type ActorRef } from '#contracts/ids.ts';
import { problems, type ProblemCode } from '#contracts/problems.ts';
import type { ActorDefinition, AnyCall, Deadlines, Effect, RecordEffect, Stamp } from '#machines/actor.ts';
import {
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  condition,
  log,
  setCurrentDetails,
  sleep,
  upsertSearchAttributes,
  uuid4,
  workflowInfo,
} from '@temporalio/workflow';
import { initialTransition, transition } from 'xstate';
import { createCalls } from './calls.ts';
import { createDeadlineTimer } from './deadline-timer.ts';
import { searchAttribute, type ActorAnswer, type RequestOrigin } from './messages.ts';
import { restMs } from './rest.ts';
import { hold, newStep, release, settled, type Step } from './steps.ts';
import { createVersions } from './versions.ts';

/** Events that may wait to become durable before requests are refused. */
const backlogLimit = 100;
/** Transitions of one commit: a payload of Temporal is 2 MiB at most. */
const commitLimit = 50;
/** The server takes 2 000 updates of one run, and ends a run with 51 200 events. */
const serverLimits: RunLimits = { updatesPerRun: 1000, mostUpdates: 1900, mostEvents: 20_000 };
/** Rest before a commit is tried again that failed in a way which Temporal does not retry. */
const firstRestMs = 1_000;
/** Another run may be first once or twice. */
const fencesAtOnce = 3;

const driver: Principal = { kind: 'system', id: 'actor' };

/** How long one run of an actor may become. */
export interface RunLimits {
  /** After so many the run continues as new, as soon as nothing is under way. */
  readonly updatesPerRun: number;
  /** From so many on requests are refused, until the run has continued as new. */
  readonly mostUpdates: number;
  readonly mostEvents: number;
}

/** What a run hands to the one that continues it. */
export interface Resumed {
  readonly snapshot: MachineSnapshot;
  readonly revision: number;
  readonly epoch: number;
  /** The run that wrote the row last. */
  readonly run_id: string;
  readonly machine_version: number;
  /** Under way when the run ended. */
  readonly calls: readonly AnyCall[];
}

export type Unstamped<E> = E extends unknown ? Omit<E, keyof Stamp> : never;

interface Options<Context extends { deadlines: Deadlines }, Event extends { type: string } & Stamp> {
  readonly definition: ActorDefinition<Context, Event>;
  readonly ref: ActorRef;
  readonly input: object;
  readonly resumed: Resumed | undefined;
  /** Those of a server with its own settings when absent. */
  readonly limits?: Partial<RunLimits>;
  commit(commit: Commit, summary: string): Promise<CommitResult>;
  /** Carries out a call of the machine; its result comes back as an event. */
  perform(call: AnyCall): Promise<Unstamped<Event> | null>;
  /** Whether what was said before the first task is looked into before the first commit: for calls that only read. */
  looksFirst?(): boolean;
}

/** What a transition wants written. */
interface Write<Context> {
  readonly record: TransitionRecord;
  readonly after: MachineSnapshot<Context>;
  readonly audit: readonly AuditEntry[];
  readonly outbox: readonly OutboxEntry[];
  readonly requirements: readonly CommitRequirement[];
}

/** An event that was taken in memory, and is not durable yet. */
interface Taken<Context, Event> {
  /** Null for the first state of an actor. */
  readonly event: Event | null;
  readonly steps: Step[];
  /** Null when the event changed nothing, in a state that is not durable: it waits for that, and may be taken again. */
  readonly write: Write<Context> | null;
  /** Made when the state that they follow from is durable. */
  readonly calls: readonly AnyCall[];
}

export function createDurableActor<Context extends { deadlines: Deadlines }, Event extends { type: string } & Stamp>(
  options: Options<Context, Event>,
) {
  type Snapshot = MachineSnapshot<Context>;
  const { ref, resumed } = options;
  const limits = { ...serverLimits, ...options.limits };
  const versions = createVersions(options.definition);
  let definition = versions.own;
  const [first, firstActions] = initialTransition(definition.machine, options.input);
  let initial: Snapshot = toSnapshot(first);

  let snapshot = resumed ? versions.takeIn(resumed.snapshot, resumed.machine_version, definition.version) : initial;
  /** Revision of `snapshot`, and of what the store is known to hold. */
  let revision = resumed?.revision ?? 0;
  let durable = revision;
  /** What this run or the one that it continues has made durable. */
  let past: Snapshot | null = resumed ? snapshot : null;
  let epoch = resumed?.epoch ?? 1;
  let succeeds: Commit['succeeds'] = resumed ? { run_id: resumed.run_id, revision: resumed.revision } : null;
  let runId = resumed?.run_id ?? '';
  /** False until the store has said whether another run holds the row. */
  let started = resumed !== undefined;
  let verifyWanted = false;
  let updates = 0;
  /** In a row. */
  let fences = 0;
  /** In the order of taking; those of the commit in flight are still among them. */
  let waiting: Taken<Context, Event>[] = [];
  let shown = '';

  // An actor ends when it is finished, not because somebody pressed cancel in Temporal's UI.
  const scope = new CancellationScope({ cancellable: false });
  const calls = createCalls<Unstamped<Event>>({
    perform: (call) => scope.run(() => options.perform(call)),
    answered: (answer, steps) => take(stamp(answer), steps),
    scope,
  });
  const timer = createDeadlineTimer({
    deadlines: () => snapshot.context.deadlines,
    passed: (name) => take(stamp({ type: 'deadline.passed', name } as unknown as Unstamped<Event>), []),
    scope,
  });

  const now = (): string => new Date(Date.now()).toISOString();
  const stamp = (event: Unstamped<Event>, origin?: RequestOrigin, uuid = uuid4()): Event =>
    ({
      ...event,
      at: now(),
      by: origin?.by ?? driver,
      request_id: origin?.request_id ?? null,
      uuid,
    }) as unknown as Event;
  const own = (
    event: { type: 'actor.adopted' | 'machine.changed' } | { type: 'commit.refused'; requirement: string },
  ): Event => stamp(event as unknown as Unstamped<Event>);

  /** Takes an event at once: nothing is awaited between the check, the transition and the timer. */
  function take(event: Event, steps: readonly Step[]): void {
    const before = snapshot;
    const state = definition.machine.resolveState({ value: before.value, context: before.context });
    const [next, actions] = transition(definition.machine, state, event);
    enqueue({ event, steps, before, after: toSnapshot(next), actions });
  }

  function enqueue(taken: {
    readonly event: Event | null;
    readonly steps: readonly Step[];
    readonly before: Snapshot | null;
    readonly after: Snapshot;
    readonly actions: readonly { type: string; params?: unknown }[];
    /** What has details is written, changed or not. */
    readonly details?: JsonObject;
  }): void {
    const { event, steps, before, after } = taken;
    const effects = effectsOf(taken.actions);
    const records = [...effects.records, ...definition.changes(before, after)];
    const changed = taken.details !== undefined || before === null || JSON.stringify(before) !== JSON.stringify(after);
    if (!changed && records.length === 0 && effects.requirements.length === 0)
      return takeNote(event, steps, effects.calls);

    revision += 1;
    snapshot = after;
    const at = event?.at ?? now();
    const by = event?.by ?? driver;
    const record = {
      revision,
      at,
      event: event?.type ?? 'actor.started',
      by,
      from_state: before?.value ?? null,
      to_state: after.value,
      details: taken.details ?? {},
    };
    const write = {
      record,
      after,
      requirements: effects.requirements,
      ...entries(ref, records, at, by, event?.request_id ?? null),
    };
    hold(steps);
    waiting.push({ event, steps: [...steps], write, calls: effects.calls });
    timer.arm();
    show();
  }

  /** Nothing changed. But while the state is not durable it may turn out to be another one, in which the event means something. */
  function takeNote(event: Event | null, steps: readonly Step[], asked: readonly AnyCall[]): void {
    const last = waiting.at(-1);
    if (last === undefined) return follow(asked, steps);
    hold(steps);
    if (last.write === null && saysTheSame(last.event, event)) last.steps.push(...steps);
    else waiting.push({ event, steps: [...steps], write: null, calls: asked });
  }

  /** What comes of an event that changed nothing. */
  function follow(asked: readonly AnyCall[], steps: readonly Step[]): void {
    for (const call of asked) calls.start(call, steps);
    if (asked.length === 0) calls.join(steps);
  }

  function show(): void {
    setCurrentDetails(definition.describe(snapshot));
    const tier = definition.tier(snapshot) ?? '';
    if (shown === `${snapshot.value} ${tier}`) return;
    shown = `${snapshot.value} ${tier}`;
    upsertSearchAttributes([
      searchAttribute('SentinelState', snapshot.value),
      ...(tier === '' ? [] : [searchAttribute('SentinelTier', tier)]),
    ]);
  }

  /**
   * The first state and what came of a look are one commit. Nothing but looks is asked for by events that change nothing,
   * and these have no effect that could come before its history; if another run has the row, their answers are judged
   * again like every event.
   */
  async function lookFirst(): Promise<void> {
    const notes = waiting.filter(({ write }) => write === null);
    if (notes.length === 0 || started || options.looksFirst?.() !== true) return;
    waiting = waiting.filter(({ write }) => write !== null);
    for (const { calls: asked, steps } of notes) {
      follow(asked, steps);
      release(steps);
    }
    await condition(() => calls.none());
  }

  /** One commit at a time, first in first out; what waits is merged, but a commit with a requirement stands alone. */
  async function commitWaiting(): Promise<void> {
    const alone = waiting.findIndex(({ write }) => write !== null && write.requirements.length > 0);
    const batch = waiting.slice(0, Math.min(commitLimit, alone === -1 ? waiting.length : Math.max(1, alone)));
    const writes = batch.flatMap(({ write }) => write ?? []);
    const after = writes.at(-1)?.after ?? past ?? snapshot;
    const to = durable + writes.length;
    verifyWanted = false;
    const result = await commitSurely({
      actor: ref,
      epoch,
      from: durable,
      to,
      succeeds,
      machine_version: definition.version,
      snapshot: after as MachineSnapshot<never>,
      transitions: writes.map(({ record }) => record),
      projection: definition.project(after),
      audit: writes.flatMap(({ audit }) => audit),
      outbox: writes.flatMap(({ outbox }) => outbox),
      requirements: writes.flatMap(({ requirements }) => requirements),
    });
    runId = result.run_id;
    if (result.status === 'fenced') {
      adopt(result.row);
      fences += 1;
      // Who is fenced again and again must not fill its history with that.
      if (fences > fencesAtOnce)
        await sleep(restMs(firstRestMs, fences - fencesAtOnce), { summary: 'before the next commit after a fence' });
      return;
    }
    fences = 0;
    started = true;
    if (result.status === 'refused') return rollBack(batch.length, result.requirement);
    durable = to;
    past = after;
    // An empty commit of a run that has not written yet leaves the row with the run before.
    if (writes.length > 0) succeeds = null;
    waiting = waiting.slice(batch.length);
    while (waiting[0]?.write === null) batch.push(...waiting.splice(0, 1));
    for (const { write, calls: asked, steps } of batch) {
      if (write === null) follow(asked, steps);
      else for (const call of asked) calls.start(call, steps);
      release(steps);
    }
  }

  /** A commit is never given up: without it the actor would know more than the store. */
  async function commitSurely(commit: Commit): Promise<CommitResult> {
    const summary = commit.transitions.map(({ event }) => event).join(', ') || 'verify';
    for (let failures = 1; ; failures++) {
      try {
        return await options.commit(commit, summary);
      } catch (error) {
        log.error('a commit failed and is tried again', { from: commit.from, to: commit.to, error: String(error) });
        await sleep(restMs(firstRestMs, failures), { summary: 'before the commit is tried again' });
      }
    }
  }

  /** A fact no longer held when it was to be written: back to what is durable, and the machine hears why. */
  function rollBack(refused: number, requirement: CommitRequirement['kind']): void {
    const taken = waiting;
    waiting = [];
    revision = durable;
    snapshot = past ?? initial;
    for (const { steps } of taken.slice(0, refused)) {
      take(own({ type: 'commit.refused', requirement }), steps);
      release(steps);
    }
    takeAgain(taken.slice(refused));
    timer.arm();
    show();
  }

  /** Another run wrote the row, or it is gone. Goes on from what both sides support, and says so in the audit. */
  function adopt(row: ActorRow | null): void {
    log.warn('adopting the state of the store', { revision: durable, row_revision: row?.revision ?? null });
    const uncommitted = waiting;
    if (row !== null) become(Math.max(definition.version, row.machine_version));
    const before = row && versions.takeIn(row.snapshot, row.machine_version, definition.version);
    const after = definition.adopt(before, past, initial);
    const details = {
      row_run_id: row?.run_id ?? null,
      row_revision: row?.revision ?? null,
      row_state: before?.value ?? null,
      own_revision: past ? durable : null,
      own_state: past?.value ?? null,
    };
    epoch = Math.max(epoch, row?.epoch ?? 0) + 1;
    revision = durable = row?.revision ?? 0;
    succeeds = row === null ? null : { run_id: row.run_id, revision: row.revision };
    waiting = [];
    started = true;
    timer.forget();
    const event = own({ type: 'actor.adopted' });
    const adopted: RecordEffect = {
      category: 'operations',
      action: 'actor.adopted',
      outcome: 'success',
      details: { ...details, state: after.value },
    };
    enqueue({ event, steps: [], before, after, actions: [{ type: 'record', params: adopted }], details });
    take(event, []);
    takeAgain(uncommitted);
  }

  /** A later version has written the row: from here on the run is one of that. */
  function become(version: number): void {
    const takeIn = (held: Snapshot): Snapshot => versions.takeIn(held, definition.version, version);
    past = past && takeIn(past);
    initial = takeIn(initial);
    definition = versions.of(version);
  }

  /** Events whose transitions were not written are taken again, in order, from where the actor stands now. */
  function takeAgain(uncommitted: readonly Taken<Context, Event>[]): void {
    for (const { event, steps } of uncommitted) {
      if (event !== null && !isOwn(event)) {
        const refused = definition.refuse(snapshot, event);
        if (refused === null) take(event, steps);
        else for (const step of steps) step.refused = refused;
      }
      release(steps);
    }
  }

  /** For validators of updates: refuses without a trace in the history. */
  function refuse(event: Unstamped<Event>, origin: RequestOrigin): void {
    const exhausted = updates >= limits.mostUpdates || workflowInfo().historyLength >= limits.mostEvents;
    if (exhausted || waiting.length >= backlogLimit) throw refusal('control.backlogged');
    if (!started) return;
    const code = definition.refuse(snapshot, stamp(event, origin, ''));
    if (code !== null) throw refusal(code);
  }

  /** For updates: answers when everything that follows from the request is durable. */
  async function ask(event: Unstamped<Event>, origin: RequestOrigin): Promise<ActorAnswer> {
    updates += 1;
    await condition(() => started);
    const asked = stamp(event, origin);
    const refused = definition.refuse(snapshot, asked);
    if (refused !== null) throw refusal(refused);
    const step = newStep();
    take(asked, [step]);
    await condition(() => settled(step));
    const held = past ?? snapshot;
    const failed = step.refused ?? definition.outcome(held, asked);
    if (failed !== null) throw refusal(failed);
    return { state: held.value, revision: durable };
  }

  /** Runs until the actor is finished, or hands over to the next run. */
  async function run(continueWith: (handover: Resumed) => Promise<never>): Promise<void> {
    const finished = (): boolean => definition.finished(snapshot) && calls.none();
    const full = (): boolean =>
      workflowInfo().continueAsNewSuggested || updates >= limits.updatesPerRun || versions.outdated();
    await lookFirst();
    for (;;) {
      await condition(() => waiting.length > 0 || verifyWanted || (allHandlersFinished() && (finished() || full())));
      if (waiting.length > 0 || verifyWanted) await commitWaiting();
      else if (finished()) return;
      else
        return continueWith({
          snapshot: snapshot as MachineSnapshot<never>,
          revision,
          epoch,
          run_id: succeeds?.run_id ?? runId,
          machine_version: definition.version,
          calls: calls.unfinished(),
        });
    }
  }

  function takeOver({ machine_version, calls: unfinished }: Resumed): void {
    if (machine_version !== definition.version) {
      const details = { from_version: machine_version, to_version: definition.version };
      const event = own({ type: 'machine.changed' });
      enqueue({ event, steps: [], before: snapshot, after: snapshot, actions: [], details });
    }
    for (const call of unfinished) calls.start(call, []);
  }

  // Before any handler is set: what was said before the first task meets an actor that has begun.
  if (resumed === undefined) enqueue({ event: null, steps: [], before: null, after: initial, actions: firstActions });
  else takeOver(resumed);
  timer.arm();
  show();

  return {
    /** For signals: takes what was reported; what does not fit changes nothing. */
    tell: (event: Unstamped<Event>): void => take(stamp(event), []),
    verify(): void {
      verifyWanted = true;
    },
    /** For a query: what the row should say. */
    standing(): ActorStanding {
      const held = past ?? snapshot;
      const { revoked_fingerprints = [] } = held.context as { readonly revoked_fingerprints?: readonly string[] };
      return {
        ref,
        run_id: succeeds?.run_id ?? runId,
        revision: durable,
        epoch,
        state: held.value,
        settled: started && waiting.length === 0,
        revoked_fingerprints,
      };
    },
    refuse,
    ask: (event: Unstamped<Event>, origin: RequestOrigin) => scope.run(() => ask(event, origin)),
    run: (continueWith: (handover: Resumed) => Promise<never>) => scope.run(() => run(continueWith)),
  };
}

function toSnapshot<Context>(state: { value: unknown; context: unknown }): MachineSnapshot<Context> {
  return { value: state.value as string, context: state.context as Context };
}

/** Events that the driver makes are about the state in which it made them. */
function isOwn({ type }: { readonly type: string }): boolean {
  return type === 'actor.adopted' || type === 'machine.changed' || type === 'commit.refused';
}

/** Whether two events are the same hint: nobody asked for them, and nothing but their time differs. */
function saysTheSame<Event extends Stamp>(one: Event | null, other: Event | null): boolean {
  const said = (event: Event | null): string => JSON.stringify({ ...event, at: '', uuid: '' });
  return one?.request_id === null && said(one) === said(other);
}

/** Sorts the actions of a transition. What is not an effect is an assignment, which XState has made. */
function effectsOf(actions: readonly { readonly type: string; readonly params?: unknown }[]) {
  const of = <Type extends Effect['type']>(type: Type) =>
    (actions as readonly Effect[]).flatMap((effect) =>
      effect.type === type && effect.params !== null
        ? [effect.params as NonNullable<Extract<Effect, { type: Type }>['params']>]
        : [],
    );
  return { records: of('record'), requirements: of('require'), calls: of('call') };
}

function refusal(code: ProblemCode): ApplicationFailure {
  return ApplicationFailure.nonRetryable(problems[code].title, code);
}

/** Audit and outbox rows of one transition. Bare audit actions reach the outbox in the store, under their derived name. */
function entries(
  ref: ActorRef,
  records: readonly RecordEffect[],
  occurred_at: string,
  actor: Principal,
  request_id: string | null,
): { audit: AuditEntry[]; outbox: OutboxEntry[] } {
  const subject = { kind: ref.kind, id: ref.id };
  const dotted = records.filter((effect) => (eventTypes as readonly string[]).includes(effect.action));
  return {
    audit: records.map((effect) => ({
      ...effect,
      occurred_at,
      actor,
      subject,
      request_id,
      details: { ...effect.details, actor_id: actorId(ref) },
    })),
    outbox: dotted.map((effect) => ({
      occurred_at,
      type: effect.action as OutboxEntry['type'],
      subject,
      data: effect.details,
    })),
  };
}
