// Approvals in every situation, and everything that can happen to them.
import { begin, take } from '#bench/simulate/model-actor.ts';
import type { MachineSnapshot } from '#contracts/actor.ts';
import {
  approvalActor,
  type ApprovalContext,
  type ApprovalEvent,
  type ApprovalInput,
  type VoteCast,
} from '#machines/approval.ts';
import { stamp } from './devices.ts';
import { after, start } from './machines.ts';

export type Approval = MachineSnapshot<ApprovalContext>;

export const ttlSeconds = 3600;

export function input(required: number): ApprovalInput {
  return {
    project: 'default',
    id: '00000000-0000-4000-8000-000000000001',
    kind: 'enrollment',
    subject: { kind: 'device', id: 'd1' },
    content: { tags: [] },
    digest: 'digest 1',
    required,
    permission: 'identity.review',
    requested_by: { kind: 'device', id: 'd1' },
    requesters: ['olga'],
    ttl_seconds: ttlSeconds,
    at: start,
  };
}

let requests = 0;
export function vote(
  voter: string,
  options: { decision?: 'approve' | 'reject'; digest?: string | null; request?: string; at?: string } = {},
): VoteCast {
  requests += 1;
  return {
    ...stamp(options.at ?? after(60), { kind: 'user', id: voter }),
    type: 'vote.cast',
    voter,
    decision: options.decision ?? 'approve',
    reason: null,
    digest: options.digest ?? null,
    request_id: options.request ?? `vote ${requests}`,
  };
}

export const confirmed = (
  standing: readonly string[],
  dropped: readonly string[] = [],
  at = after(70),
): ApprovalEvent => ({
  ...stamp(at),
  type: 'votes.confirmed',
  standing,
  dropped,
});

export const changed = (digest = 'digest 2', required = 1, at = after(80)): ApprovalEvent => ({
  ...stamp(at),
  type: 'subject.changed',
  content: { tags: ['other'] },
  digest,
  required,
});

export const said = (type: 'outcome.delivered' | 'actor.adopted', at = after(90)): ApprovalEvent => ({
  ...stamp(at),
  type,
});
export const withdrawn = (at = after(90)): ApprovalEvent => ({
  ...stamp(at),
  type: 'subject.withdrawn',
  reason: 'reset',
});
export const deadline = (at = after(ttlSeconds)): ApprovalEvent => ({
  ...stamp(at),
  type: 'deadline.passed',
  name: 'expires',
});
export const refused = (): ApprovalEvent => ({
  ...stamp(after(75)),
  type: 'commit.refused',
  requirement: 'voters.stand',
});

export const given = (approval: Approval, ...events: ApprovalEvent[]): Approval =>
  events.reduce((before, event) => take(approvalActor, before, event).snapshot, approval);

export const open = begin(approvalActor, input(1));
export const openForTwo = begin(approvalActor, input(2));
export const half = given(openForTwo, vote('ann', { request: 'anns' }));
export const deciding = given(half, vote('bob', { request: 'bobs' }));
export const approved = given(deciding, confirmed(['ann', 'bob']));
export const rejected = given(half, vote('bob', { decision: 'reject' }));
export const expired = given(half, deadline());
export const cancelled = given(half, withdrawn());
export const delivered = given(approved, said('outcome.delivered'));
