// The durable actor: the only code that joins an XState machine to Temporal. Replayed: no I/O, no clock but the workflow's own.
import type {
  ActorRow,
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
  isCancellation,
  log,
  setCurrentDetails,
  sleep,
  upsertSearchAttributes,
  uuid4,
  workflowInfo,
} from '@temporalio/workflow';
import { initialTransition, transition } from 'xstate';
import { searchAttribute, type ActorAnswer, type RequestOrigin } from './messages.ts';

/** Transitions that may wait for their commit before requests are refused. */
const backlogLimit = 100;
/** Updates of one run before it continues as new; the server takes 2 000. */
const updatesPerRun = 1000;
const updatesHardLimit = 1900;

const driver: Principal = { kind: 'system', id: 'actor' };

/** What a run hands to the one that continues it. */
export interface Resumed {
  readonly snapshot: MachineSnapshot;
  readonly revision: number;
  readonly epoch: number;
  readonly run_id: string;
  readonly machine_version: number;
}

export type Unstamped<E> = E extends unknown ? Omit<E, keyof Stamp> : never;

interface Options<Context extends { deadlines: Deadlines }, Event extends { type: string } & Stamp> {
  readonly definition: ActorDefinition<Context, Event>;
  readonly ref: ActorRef;
  readonly input: object;
  readonly resumed: Resumed | undefined;
  commit(commit: Commit, summary: string): Promise<CommitResult>;
  /** Carries out a call of the machine; its result comes back as an event. */
  perform(call: AnyCall): Promise<Unstamped<Event> | null>;
}

/** One request and everything that follows from it: settled when all of that is durable. */
interface Step {
  revision: number;
  calls: number;
  refused: ProblemCode | null;
  readonly followUps: Step[];
}

/** A transition that was taken in memory and waits for its commit. */
interface Taken<Context, Event> {
  readonly event: Event | null;
  readonly step: Step;
  readonly record: TransitionRecord;
  readonly after: MachineSnapshot<Context>;
  readonly audit: readonly AuditEntry[];
  readonly outbox: readonly OutboxEntry[];
  readonly requirements: readonly CommitRequirement[];
  readonly calls: readonly AnyCall[];
}

export function createDurableActor<Context extends { deadlines: Deadlines }, Event extends { type: string } & Stamp>(
  options: Options<Context, Event>,
) {
  type Snapshot = MachineSnapshot<Context>;
  const { definition, ref, resumed } = options;
  const [first, firstActions] = initialTransition(definition.machine, options.input);
  const initial: Snapshot = toSnapshot(first);

  let snapshot = (resumed?.snapshot as Snapshot | undefined) ?? initial;
  /** Revision of `snapshot`, and of what the store is known to hold. */
  let revision = resumed?.revision ?? 0;
  let durable = revision;
  let epoch = resumed?.epoch ?? 1;
  let past: Snapshot | null = resumed ? snapshot : null;
  let succeeds: Commit['succeeds'] = resumed ? { run_id: resumed.run_id, revision: resumed.revision } : null;
  let runId = resumed?.run_id ?? '';
  /** False until the store has said whether another run holds the row. */
  let started = resumed !== undefined;
  let verifyWanted = false;
  let updates = 0;
  let waiting: Taken<Context, Event>[] = [];
  const running = new Map<string, { next: { call: AnyCall; steps: Step[] } | null }>();
  const fired = new Set<string>();
  let timer: { readonly at: string; readonly scope: CancellationScope } | null = null;
  let shown = '';

  const now = (): string => new Date(Date.now()).toISOString();
  const stamp = (event: Unstamped<Event>, by: Principal, request_id: string | null, uuid: string): Event =>
    ({ ...event, at: now(), by, request_id, uuid }) as unknown as Event;
  const newStep = (): Step => ({ revision, calls: 0, refused: null, followUps: [] });
  const settled = (step: Step): boolean =>
    step.refused !== null || (durable >= step.revision && step.calls === 0 && step.followUps.every(settled));

  /** Takes a transition at once: nothing is awaited between the check, the transition and the timer. */
  function take(event: Event, step: Step): void {
    const before = snapshot;
    const state = definition.machine.resolveState({ value: before.value, context: before.context });
    const [next, actions] = transition(definition.machine, state, event);
    push(event, step, before, toSnapshot<Context>(next), actions, {});
  }

  function push(
    event: Event | null,
    step: Step,
    before: Snapshot | null,
    after: Snapshot,
    actions: readonly { type: string; params?: unknown }[],
    details: JsonObject,
  ): void {
    const effects = actions.filter(
      (action): action is Effect => action.type === 'record' || action.type === 'require' || action.type === 'call',
    );
    const calls = effects.flatMap((effect) =>
      effect.type === 'call' && effect.params !== null ? [effect.params] : [],
    );
    const requirements = effects.flatMap((effect) => (effect.type === 'require' ? [effect.params] : []));
    const records = [
      ...effects.flatMap((effect) => (effect.type === 'record' && effect.params !== null ? [effect.params] : [])),
      ...definition.changes(before, after),
    ];
    const changed = before === null || JSON.stringify(before) !== JSON.stringify(after);
    if (!changed && records.length === 0 && requirements.length === 0) {
      step.revision = Math.max(step.revision, revision);
      for (const call of calls) startCall(call, [step]);
      return;
    }
    revision += 1;
    snapshot = after;
    step.revision = revision;
    const at = event?.at ?? now();
    const by = event?.by ?? driver;
    const record = {
      revision,
      at,
      event: event?.type ?? 'actor.started',
      by,
      from_state: before?.value ?? null,
      to_state: after.value,
      details,
    };
    waiting.push({
      event,
      step,
      record,
      after,
      requirements,
      calls,
      ...entries(ref, records, at, by, event?.request_id ?? null),
    });
    armTimer();
    show();
  }

  function startCall(call: AnyCall, steps: Step[]): void {
    for (const step of steps) step.calls += 1;
    const same = running.get(call.key);
    if (same) same.next = { call, steps: [...(same.next?.steps ?? []), ...steps] };
    else void runCall(call, steps);
  }

  async function runCall(call: AnyCall, steps: readonly Step[]): Promise<void> {
    const entry: { next: { call: AnyCall; steps: Step[] } | null } = { next: null };
    running.set(call.key, entry);
    let answer: Unstamped<Event> | null = null;
    try {
      answer = await options.perform(call);
    } catch (error) {
      if (isCancellation(error)) throw error;
      log.error('a call of the machine was given up', { call: call.name, error: String(error) });
    }
    running.delete(call.key);
    for (const step of steps) step.calls -= 1;
    if (answer !== null) {
      const followUp = newStep();
      for (const step of steps) step.followUps.push(followUp);
      take(stamp(answer, driver, null, uuid4()), followUp);
    }
    if (entry.next) {
      for (const step of entry.next.steps) step.calls -= 1;
      startCall(entry.next.call, entry.next.steps);
    }
  }

  /** Arms one durable timer for the earliest deadline; a moved deadline moves the timer. */
  function armTimer(): void {
    const due = Object.entries(snapshot.context.deadlines)
      .filter(([name, at]) => !fired.has(`${name} ${at}`))
      .map(([, at]) => at)
      .toSorted()[0];
    if (due === timer?.at) return;
    timer?.scope.cancel();
    timer = null;
    if (due === undefined) return;
    const scope = new CancellationScope();
    timer = { at: due, scope };
    scope
      .run(() => sleep(Math.max(1, Date.parse(due) - Date.now()), { summary: `deadline ${due}` }))
      .then(passDeadlines)
      .catch((error: unknown) => {
        if (!isCancellation(error)) throw error;
      });
  }

  function passDeadlines(): void {
    timer = null;
    const at = now();
    for (const [name, due] of Object.entries(snapshot.context.deadlines)) {
      if (due > at || fired.has(`${name} ${due}`)) continue;
      fired.add(`${name} ${due}`);
      take(stamp({ type: 'deadline.passed', name } as unknown as Unstamped<Event>, driver, null, uuid4()), newStep());
    }
    armTimer();
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

  /** One commit at a time, first in first out; what waits is merged, but a commit with a requirement stands alone. */
  async function commitWaiting(): Promise<void> {
    const alone = waiting.findIndex((taken) => taken.requirements.length > 0);
    const batch = waiting.splice(0, alone === -1 ? waiting.length : Math.max(1, alone));
    verifyWanted = false;
    const after = batch.at(-1)?.after ?? past ?? snapshot;
    const to = batch.at(-1)?.record.revision ?? durable;
    const result = await options.commit(
      {
        actor: ref,
        epoch,
        from: durable,
        to,
        succeeds,
        machine_version: definition.version,
        snapshot: after as MachineSnapshot<never>,
        transitions: batch.map((taken) => taken.record),
        projection: definition.project(after),
        audit: batch.flatMap((taken) => taken.audit),
        outbox: batch.flatMap((taken) => taken.outbox),
        requirements: batch.flatMap((taken) => taken.requirements),
      },
      batch.map((taken) => taken.record.event).join(', ') || 'verify',
    );
    runId = result.run_id;
    switch (result.status) {
      case 'committed':
        durable = to;
        past = after;
        // An empty commit of a run that has not written yet leaves the row with the run before.
        if (batch.length > 0) succeeds = null;
        started = true;
        for (const taken of batch) for (const call of taken.calls) startCall(call, [taken.step]);
        return;
      case 'refused':
        return rollBack(batch, result.requirement);
      case 'fenced':
        return adopt(result.row, [...batch, ...waiting]);
    }
  }

  /** A fact no longer held when it was to be written: back to what is durable, and the machine hears why. */
  function rollBack(batch: readonly Taken<Context, Event>[], requirement: CommitRequirement['kind']): void {
    const later = waiting;
    waiting = [];
    revision = durable;
    snapshot = past ?? initial;
    for (const taken of batch) {
      const followUp = newStep();
      taken.step.followUps.push(followUp);
      taken.step.revision = durable;
      take(
        stamp({ type: 'commit.refused', requirement } as unknown as Unstamped<Event>, driver, null, uuid4()),
        followUp,
      );
    }
    takeAgain(later);
  }

  /** Another run wrote the row, or it is gone. Goes on from what both sides support, and says so in the audit. */
  function adopt(row: ActorRow | null, uncommitted: readonly Taken<Context, Event>[]): void {
    log.warn('adopting the state of the store', { revision: durable, row_revision: row?.revision ?? null });
    const held = row === null ? null : { run_id: row.run_id, revision: row.revision };
    const details = {
      row_run_id: row?.run_id ?? null,
      row_revision: row?.revision ?? null,
      row_state: row?.snapshot.value ?? null,
      own_revision: past ? durable : null,
      own_state: past?.value ?? null,
    };
    const before = (row?.snapshot as Snapshot | undefined) ?? null;
    const after = definition.adopt(before, past, initial);
    epoch = Math.max(epoch, row?.epoch ?? 0) + 1;
    revision = durable = row?.revision ?? 0;
    succeeds = held;
    waiting = [];
    fired.clear();
    started = true;
    const event = stamp({ type: 'actor.adopted' } as unknown as Unstamped<Event>, driver, null, uuid4());
    const audit: RecordEffect = {
      category: 'operations',
      action: 'actor.adopted',
      outcome: 'success',
      details: { ...details, state: after.value },
    };
    push(event, newStep(), before, after, [{ type: 'record', params: audit }], details);
    take(event, newStep());
    takeAgain(uncommitted);
  }

  /** Events whose transitions were not written are taken again, in order, from where the actor stands now. */
  function takeAgain(uncommitted: readonly Taken<Context, Event>[]): void {
    for (const { event, step } of uncommitted) {
      if (event === null || event.type === 'actor.adopted') step.revision = revision;
      else {
        step.refused = definition.refuse(snapshot, event);
        if (step.refused === null) take(event, step);
      }
    }
  }

  function refuse(event: Unstamped<Event>, origin: RequestOrigin): void {
    if (waiting.length >= backlogLimit || updates >= updatesHardLimit) throw refusal('control.backlogged');
    if (!started) return;
    const code = definition.refuse(snapshot, stamp(event, origin.by, origin.request_id, ''));
    if (code !== null) throw refusal(code);
  }

  return {
    /** For signals: takes what was reported; what does not fit changes nothing. */
    tell(event: Unstamped<Event>): void {
      take(stamp(event, driver, null, uuid4()), newStep());
    },
    verify(): void {
      verifyWanted = true;
    },
    /** For validators of updates: refuses without a trace in the history. */
    refuse,
    /** For updates: answers when everything that follows from the request is durable. */
    async ask(event: Unstamped<Event>, origin: RequestOrigin): Promise<ActorAnswer> {
      updates += 1;
      await condition(() => started);
      const taken = stamp(event, origin.by, origin.request_id, uuid4());
      const code = definition.refuse(snapshot, taken);
      if (code !== null) throw refusal(code);
      const step = newStep();
      take(taken, step);
      await condition(() => settled(step));
      const failed = step.refused ?? definition.outcome(snapshot, taken);
      if (failed !== null) throw refusal(failed);
      return { state: snapshot.value, revision: durable };
    },
    /** Runs until the actor is finished, or hands over to the next run. */
    async run(continueWith: (resumed: Resumed) => Promise<never>): Promise<void> {
      if (!resumed) push(null, newStep(), null, initial, firstActions, {});
      armTimer();
      show();
      const idle = (): boolean => waiting.length === 0 && !verifyWanted && running.size === 0 && allHandlersFinished();
      const full = (): boolean =>
        workflowInfo().continueAsNewSuggested ||
        updates >= updatesPerRun ||
        (resumed !== undefined && resumed.machine_version < definition.version && durable > resumed.revision);
      const finished = (): boolean => definition.finished(snapshot);
      for (;;) {
        await condition(() => waiting.length > 0 || verifyWanted || (idle() && (finished() || full())));
        if (waiting.length > 0 || verifyWanted) await commitWaiting();
        else if (finished()) return;
        else
          return continueWith({
            snapshot: snapshot as MachineSnapshot<never>,
            revision,
            epoch,
            run_id: succeeds?.run_id ?? runId,
            machine_version: definition.version,
          });
      }
    },
  };
}

function toSnapshot<Context>(state: { value: unknown; context: unknown }): MachineSnapshot<Context> {
  return { value: state.value as string, context: state.context as Context };
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
