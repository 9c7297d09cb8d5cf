// What every machine of a durable actor has in common: the stamp on its events, and the four kinds of effect it may ask for.
import type { ActorProjection, CommitRequirement, MachineSnapshot } from '#contracts/actor.ts';
import type { Principal } from '#contracts/audit.ts';
import type { JsonObject } from '#contracts/deps.ts';
import type { ActorKind } from '#contracts/ids.ts';
import type { ProblemCode } from '#contracts/problems.ts';
import type { AuditCategory, Outcome, TrustTier } from '#contracts/states.ts';
import type { AnyStateMachine } from 'xstate';

/** What the driver adds to every event, so that machines need no clock, no randomness and no knowledge of the caller. */
export interface Stamp {
  /** When the event was taken, RFC 3339. */
  readonly at: string;
  readonly by: Principal;
  /** A fresh UUID, for whatever the transition creates. */
  readonly uuid: string;
  /** Names the request that asked for it; the same request asks once, however often it arrives. */
  readonly request_id: string | null;
}

/** Deadlines are absolute times by name. The driver wakes the machine at the earliest with `deadline.passed`. */
export type Deadlines = Readonly<Record<string, string>>;

export interface DeadlinePassed extends Stamp {
  readonly type: 'deadline.passed';
  readonly name: string;
}

/** The run found another state in the store and took over from it; effects that may have been lost are asked for again. */
export interface ActorAdopted extends Stamp {
  readonly type: 'actor.adopted';
}

/** A commit was refused because a fact no longer held; the machine is back where it was before the transition. */
export interface CommitRefused extends Stamp {
  readonly type: 'commit.refused';
  readonly requirement: CommitRequirement['kind'];
}

/** Written in the commit: an audit event and, through the outbox, an event for the outside. */
export interface RecordEffect {
  readonly category: AuditCategory;
  /** A dotted event type goes out under its own name; a bare one as `audit.<category>.<action>`. */
  readonly action: string;
  readonly outcome: Outcome;
  readonly details: JsonObject;
}

/** Done after the commit is durable. `key` makes equal calls in flight one. */
export interface Call<Name extends string, Input extends object> {
  readonly name: Name;
  readonly key: string;
  readonly input: Input;
}
export type AnyCall = Call<string, object>;

export type Effect =
  /** Null when there turns out to be nothing to record, or to call. */
  | { readonly type: 'record'; readonly params: RecordEffect | null }
  | { readonly type: 'require'; readonly params: CommitRequirement }
  | { readonly type: 'call'; readonly params: AnyCall | null };

/** Everything that the driver needs to know of a machine. */
export interface ActorDefinition<Context extends { readonly deadlines: Deadlines }, Event extends { type: string }> {
  readonly kind: ActorKind;
  /** Raised when the machine answers differently or its context has another shape. Every row and every handover says which one it is of. */
  readonly version: number;
  /** The version before: runs that it began go on with it until they make way, and what it wrote is taken in. */
  readonly earlier?: EarlierVersion<Context, Event>;
  readonly machine: AnyStateMachine;
  /**
   * Why an event that a person or another actor asks for is refused, or null when it is taken.
   * A repetition of a request that was taken is taken, and changes nothing.
   */
  refuse(snapshot: MachineSnapshot<Context>, event: Event): ProblemCode | null;
  /** After everything settled: why a taken event has nevertheless come to nothing, or null. */
  outcome(snapshot: MachineSnapshot<Context>, event: Event): ProblemCode | null;
  /**
   * State to go on with when the store holds another one. Never more trusted than the row; a row that is gone counts as least trust.
   *
   * @param row  what the store holds, or null when it holds nothing
   * @param self what this run had made durable, or null for a run without a past
   */
  adopt(
    row: MachineSnapshot<Context> | null,
    self: MachineSnapshot<Context> | null,
    initial: MachineSnapshot<Context>,
  ): MachineSnapshot<Context>;
  project(snapshot: MachineSnapshot<Context>): ActorProjection;
  /** Records that follow from the difference of two states, whatever event led there. */
  changes(before: MachineSnapshot<Context> | null, after: MachineSnapshot<Context>): readonly RecordEffect[];
  /** The tier for the search attribute, or null where there is none. */
  tier(snapshot: MachineSnapshot<Context>): TrustTier | null;
  /** What a person sees in Temporal’s UI, as Markdown. */
  describe(snapshot: MachineSnapshot<Context>): string;
  /** Whether the actor has nothing left to do. Device actors never do. */
  finished(snapshot: MachineSnapshot<Context>): boolean;
}

export interface EarlierVersion<Context extends { readonly deadlines: Deadlines }, Event extends { type: string }> {
  readonly definition: ActorDefinition<{ readonly deadlines: Deadlines }, Event>;
  /** What the earlier version wrote, as this one has it; never more trusted. */
  upgrade(snapshot: MachineSnapshot<{ readonly deadlines: Deadlines }>): MachineSnapshot<Context>;
}

/** Action objects for a machine's `record`, `require` and `call`, whose parameters are read when the transition is taken. */
export function recordWith<Context, Event, Recorded extends RecordEffect | null>(
  params: (args: { context: Context; event: Event }) => Recorded,
) {
  return { type: 'record' as const, params };
}
export function requireWith<Context, Event>(params: (args: { context: Context; event: Event }) => CommitRequirement) {
  return { type: 'require' as const, params };
}
export function callWith<Context, Event, Asked extends AnyCall>(
  params: (args: { context: Context; event: Event }) => Asked | null,
) {
  return { type: 'call' as const, params };
}

/** Types as JSON what is JSON by construction: contexts, certificates, policies. */
export function asJson<T extends object>(value: T): JsonObject {
  return value as unknown as JsonObject;
}

/** Keeps the newest entries of a list that grows with use. */
export function bounded<T>(items: readonly T[], limit: number): readonly T[] {
  return items.slice(Math.max(0, items.length - limit));
}

/** `at` moved by some seconds, RFC 3339. */
export function later(at: string, seconds: number): string {
  return new Date(Date.parse(at) + seconds * 1000).toISOString();
}
