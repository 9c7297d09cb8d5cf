// Everything that can be said to an actor from outside: updates for what people ask, signals for what others report. Safe to import anywhere.
import type { ActorStanding } from '#contracts/actor.ts';
import type { Principal } from '#contracts/audit.ts';
import type { JsonObject } from '#contracts/deps.ts';
import { actorId, type ActorRef } from '#contracts/ids.ts';
import type { SearchAttributeName } from '#contracts/search-attributes.ts';
import { defineSearchAttributeKey, SearchAttributeType, type SearchAttributePair } from '@temporalio/common';
import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';

/** Who asks, and under which request id: the update id, too, so that a repetition is recognised. */
export interface RequestOrigin {
  readonly by: Principal;
  readonly request_id: string;
}

export interface VoteRequest extends RequestOrigin {
  readonly decision: 'approve' | 'reject';
  readonly reason: string | null;
  /** The digest that the voter saw; null when the voter did not say. */
  readonly digest: string | null;
}

export interface DeviceRequest extends RequestOrigin {
  readonly reason: string | null;
}

/** Answer of every update: what is durable now. Details are read from the store. */
export interface ActorAnswer {
  readonly state: string;
  readonly revision: number;
}

/** Votes on an approval. Refused with the code that `refuseVote` names. */
export const voteUpdate = defineUpdate<ActorAnswer, [VoteRequest]>('vote');
export const resetUpdate = defineUpdate<ActorAnswer, [DeviceRequest]>('reset');
export const retireUpdate = defineUpdate<ActorAnswer, [DeviceRequest]>('retire');
/** Asks a device to look at what the store knows about it now, and answers when it has. */
export const catchUpUpdate = defineUpdate<ActorAnswer, [RequestOrigin]>('catchUp');
/** Tells a device that an approval has closed; the device reads the approval itself. */
export const approvalClosedUpdate = defineUpdate<ActorAnswer, [RequestOrigin & { readonly approval_id: string }]>(
  'approvalClosed',
);

/** Which row the actor stands on; writes nothing into its history. */
export const standingQuery = defineQuery<ActorStanding>('standing');

/** There is news about the device in the store. A hint: the facts are read. */
export const newsSignal = defineSignal('news');
/** Asks the actor whether it still holds its row. */
export const verifySignal = defineSignal('verify');
export const subjectChangedSignal =
  defineSignal<[{ readonly content: JsonObject; readonly digest: string; readonly required: number }]>(
    'subjectChanged',
  );
export const subjectWithdrawnSignal = defineSignal<[{ readonly reason: string }]>('subjectWithdrawn');

/** The one round at a time over all actors; it begins with the first. */
export const verifyAllWorkflow = { type: 'verifyAll', id: 'sentinel/verify' } as const;

/** Names of the workflow types, as `workflows/index.ts` exports them. */
export const workflowTypes = { device: 'deviceActor', approval: 'approvalActor' } as const;

export interface DeviceStart {
  readonly project: string;
  readonly id: string;
}

/** Typed search attribute of the closed list. */
export function searchAttribute(name: SearchAttributeName, value: string): SearchAttributePair {
  return { key: defineSearchAttributeKey(name, SearchAttributeType.KEYWORD), value };
}

/** What every start of an actor has in common; the caller adds workflow id, task queue and arguments. */
export function actorStartOptions(ref: ActorRef): {
  staticSummary: string;
  typedSearchAttributes: SearchAttributePair[];
  workflowTaskTimeout: '10 seconds';
} {
  return {
    staticSummary: actorId(ref),
    typedSearchAttributes: [searchAttribute('SentinelProject', ref.project), searchAttribute('SentinelKind', ref.kind)],
    workflowTaskTimeout: '10 seconds',
  };
}
