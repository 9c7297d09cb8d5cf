// The durable actor of one approval: takes votes until it is closed, then tells its subject.
import type { ActorDefinition } from '#machines/actor.ts';
import {
  approvalActor as present,
  type ApprovalCall,
  type ApprovalContext,
  type ApprovalEvent,
  type ApprovalInput,
} from '#machines/approval.ts';
import { continueAsNew, setHandler } from '@temporalio/workflow';
import { commit, confirmVotes, deliverOutcome } from './activities.ts';
import { createDurableActor, type Resumed, type RunLimits, type Unstamped } from './actor.ts';
import {
  standingQuery,
  subjectChangedSignal,
  subjectWithdrawnSignal,
  verifySignal,
  voteUpdate,
  type VoteRequest,
} from './messages.ts';

type Said = Unstamped<ApprovalEvent>;

const vote = ({ by, decision, reason, digest }: VoteRequest): Said => ({
  type: 'vote.cast',
  voter: by.id,
  decision,
  reason,
  digest,
});

/** One approval, until it is closed and its subject knows. */
export function approvalActor(input: ApprovalInput, resumed?: Resumed): Promise<void> {
  return runApproval(present, input, resumed);
}

/**
 * @param definition the newest version of the machine that is known
 * @param limits     other than those of a server with its own settings
 */
export async function runApproval<Context extends ApprovalContext>(
  definition: ActorDefinition<Context, ApprovalEvent>,
  input: ApprovalInput,
  resumed?: Resumed,
  limits: Partial<RunLimits> = {},
): Promise<void> {
  const actor = createDurableActor({
    definition,
    limits,
    ref: { kind: 'approval', project: input.project, id: input.id },
    input,
    resumed,
    commit,
    perform: (call) => perform(call as ApprovalCall),
  });

  setHandler(voteUpdate, (request) => actor.ask(vote(request), request), {
    validator: (request) => actor.refuse(vote(request), request),
  });
  setHandler(subjectChangedSignal, (change) => actor.tell({ type: 'subject.changed', ...change }));
  setHandler(subjectWithdrawnSignal, ({ reason }) => actor.tell({ type: 'subject.withdrawn', reason }));
  setHandler(verifySignal, () => actor.verify());
  setHandler(standingQuery, () => actor.standing());

  await actor.run((handover) => continueAsNew<typeof approvalActor>(input, handover));
}

async function perform(call: ApprovalCall): Promise<Said | null> {
  switch (call.name) {
    case 'votes.confirm':
      return { type: 'votes.confirmed', ...(await confirmVotes(call.input)) };
    case 'outcome.deliver':
      await deliverOutcome(call.input);
      return { type: 'outcome.delivered' };
  }
}
