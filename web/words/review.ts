// Whether this person may vote on this approval, and if not, why; the API decides, this only says it in advance.
import type { Me } from '#contracts/http/admin.ts';
import type { Approval } from '#contracts/http/approvals.ts';
import { permissions } from '#contracts/permissions.ts';
import { closedApprovalStates } from '#contracts/states.ts';
import { missingPermission } from './permission.ts';
import { approvalWords } from './states.ts';

type Reviewed = Pick<Approval, 'state' | 'votes' | 'requested_by' | 'required_approvals' | 'permission' | 'expires_at'>;

/** The reason why the buttons are not offered, or null. */
export function reviewBarrier(approval: Reviewed, me: Me, nowMs: number): string | null {
  if ((closedApprovalStates as readonly string[]).includes(approval.state)) {
    return `This review is closed: ${approvalWords[approval.state].label.toLowerCase()}.`;
  }
  if (approval.state === 'deciding') return 'Enough people have voted; the decision is being recorded.';
  if (Date.parse(approval.expires_at) <= nowMs) return 'The time for this review is up.';
  const { requested_by } = approval;
  if (requested_by.kind === 'user' && requested_by.id === me.username) {
    return 'You asked for this, and nobody decides what they asked for. Another approver has to.';
  }
  const mine = approval.votes.find((vote) => vote.by === me.username);
  if (mine !== undefined) {
    return `You have voted to ${mine.decision}. ${missingVotes(approval)}`;
  }
  return missingPermission(me, approval.permission);
}

/** `1 more person has to approve.` */
export function missingVotes(approval: Pick<Reviewed, 'votes' | 'required_approvals'>): string {
  const missing = approval.required_approvals - approvals(approval);
  if (missing <= 0) return 'Enough people have approved.';
  return missing === 1 ? 'One more person has to approve.' : `${missing} more people have to approve.`;
}

/** Who can still decide it. */
export function whoMayVote({
  permission,
  requested_by,
  votes,
}: Pick<Reviewed, 'permission' | 'requested_by' | 'votes'>): string {
  const roles = [...permissions[permission].roles, 'admin'];
  const except = [
    ...new Set([...(requested_by.kind === 'user' ? [requested_by.id] : []), ...votes.map(({ by }) => by)]),
  ];
  const who = `Anyone with ${permission} (${roles.slice(0, -1).join(', ')} or ${roles.at(-1)})`;
  return except.length === 0 ? `${who}, once each.` : `${who}, but ${except.join(', ')}; once each.`;
}

export function approvals(approval: Pick<Reviewed, 'votes'>): number {
  return new Set(approval.votes.filter((vote) => vote.decision === 'approve').map((vote) => vote.by)).size;
}
