// Shows what is up for approval and votes on exactly that: the digest that was shown goes with the vote.
import type { Client } from '#client/client.ts';
import type { Approval } from '#contracts/http/approvals.ts';
import type { ReviewBody } from '#contracts/http/common.ts';
import type { ApprovalKind } from '#contracts/states.ts';
import type { Target } from './connection.ts';
import type { CliContext } from './context.ts';
import { confirmByName, confirmIfAsked } from './confirm.ts';
import { CliError } from './failure.ts';
import { withProgress } from './progress.ts';
import { facts, table, type Cell } from './table.ts';
import { longTime, shortTime } from './when.ts';
import { stateCell } from './words.ts';
import { workflowLink } from './workflow-link.ts';

export interface ReviewOptions {
  readonly reason?: string;
  readonly digest?: string;
  readonly yes?: boolean;
}

/** What an approval of each kind does. */
const questions: Record<ApprovalKind, string> = {
  enrollment: 'Let this device in with this certificate?',
  rotation: 'Accept this certificate from now on, and the one before no more?',
  hardware: 'Bind the device to this attestation key and hardware, so that evidence of no other counts?',
};

/** Everything known of an approval. */
export function showApproval(context: CliContext, approval: Approval, target: Target): void {
  const { terminal } = context;
  const approvals = approval.votes.filter(({ decision }) => decision === 'approve').length;
  facts(terminal, [
    ['Approval', approval.id],
    ['Kind', `${approval.kind} of ${approval.subject.kind} ${approval.subject.id}`],
    ['Asks', questions[approval.kind]],
    ['State', stateCell(approval.state)],
    ['Approvals', `${approvals} of ${approval.required_approvals}`],
    ['Requested by', `${approval.requested_by.kind} ${approval.requested_by.id}`],
    ['Opened', longTime(context, approval.opened_at)],
    ['Expires', approval.closed_at === null ? longTime(context, approval.expires_at) : null],
    ['Closed', approval.closed_at === null ? null : longTime(context, approval.closed_at)],
    ...contentFacts(approval.content),
    ['Digest', approval.digest],
    ['Workflow', workflowLink(approval.workflow, target)],
  ]);
  if (approval.votes.length === 0) return;
  terminal.data('');
  table(
    terminal,
    ['voter', 'decision', 'when', 'reason'],
    approval.votes.map((vote) => [vote.by, stateCell(vote.decision), shortTime(context, vote.at), vote.reason ?? '']),
    { wrap: true },
  );
}

/** The actor of a device that was heard for the first time opens its review, a moment later or, when many come, some seconds. */
const review = { lookMs: 250, looks: 40 } as const;

/**
 * What is up for approval of a device. Whoever is quicker than the actor of a new device waits for it.
 *
 * @throws CliError when nothing is, and nothing is about to be
 */
export async function untilReviewed(context: CliContext, client: Client, id: string): Promise<Approval> {
  return withProgress(context, `Waiting for the review of ${id} to open`, async () => {
    for (let look = 1; ; look += 1) {
      const { pending_review, approval_state } = await client.devices.get(id);
      if (pending_review !== null) return client.approvals.get(pending_review.id);
      if (approval_state !== 'pending' || look === review.looks) {
        throw new CliError(`Nothing about ${id} waits for review.`, {
          advice: `See what it is: sentinel device show ${id}`,
        });
      }
      await context.pause(review.lookMs, new AbortController().signal);
    }
  });
}

/**
 * Asks where that is due, and makes the body of the vote.
 *
 * @param decision A rejection asks for the name of its subject, an approval for a yes; `--yes` answers both.
 */
export async function reviewBody(
  context: CliContext,
  approval: Approval,
  decision: ReviewBody['decision'],
  options: ReviewOptions,
): Promise<ReviewBody> {
  const { terminal } = context;
  const { subject } = approval;
  if (decision === 'reject') await confirmByName(terminal, { act: 'reject', name: subject.id, yes: options.yes });
  else
    await confirmIfAsked(terminal, { question: `Approve this ${approval.kind} of ${subject.id}?`, yes: options.yes });
  return {
    decision,
    digest: options.digest ?? approval.digest,
    ...(options.reason === undefined ? {} : { reason: options.reason }),
  };
}

/** The content as facts, one for each value: nothing that is approved may stay hidden. */
function contentFacts(content: object, prefix = '  '): [string, Cell][] {
  return Object.entries(content).flatMap(([name, value]: [string, unknown]): [string, Cell][] => {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return contentFacts(value, `${prefix}${name}.`);
    }
    return [[`${prefix}${name}`, typeof value === 'string' ? value : JSON.stringify(value)]];
  });
}
