// The approval of a later release, for workers to bundle: its context has one thing more, and it asks more of Temporal.
import type { MachineSnapshot } from '#contracts/actor.ts';
import type { ActorDefinition } from '#machines/actor.ts';
import {
  approvalActor as earlier,
  type ApprovalContext,
  type ApprovalEvent,
  type ApprovalInput,
} from '#machines/approval.ts';
import type { Resumed } from '#workflows/actor.ts';
import { runApproval } from '#workflows/approval.ts';

interface NextContext extends ApprovalContext {
  readonly release: number;
}

const next: ActorDefinition<NextContext, ApprovalEvent> = {
  ...(earlier as unknown as ActorDefinition<NextContext, ApprovalEvent>),
  version: 2,
  earlier: {
    definition: earlier,
    upgrade: ({ value, context }: MachineSnapshot<ApprovalContext>) => ({ value, context: { ...context, release: 2 } }),
  },
  // A command of Temporal's at the first vote, which the release before did not ask for.
  tier: ({ context }) => (context.votes.length > 0 ? 'monitored' : 'observed'),
};

export function approvalActor(input: ApprovalInput, resumed?: Resumed): Promise<void> {
  return runApproval(next, input, resumed);
}

export { deviceActor } from '#workflows/device.ts';
