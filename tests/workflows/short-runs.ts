// Actors whose runs are as short as the test says, for workers to bundle: the server's own limits are too far away.
import { approvalActor as definition, type ApprovalInput } from '#machines/approval.ts';
import type { Resumed, RunLimits } from '#workflows/actor.ts';
import { runApproval } from '#workflows/approval.ts';

export function approvalActor(input: ApprovalInput, resumed?: Resumed): Promise<void> {
  return runApproval(definition, input, resumed, input.content['limits'] as unknown as Partial<RunLimits>);
}

export { deviceActor } from '#workflows/device.ts';
