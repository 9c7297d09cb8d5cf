// What a device's machine asks before it takes a transition. Each reads one event against the context, and nothing else.
import type { ApprovalState } from '#contracts/states.ts';
import { attestationGuards } from './device-attestation.ts';
import type { Args, DeviceNews } from './device-events.ts';
import { isSensitive, requiredApprovals, type Proposal } from './identity-review.ts';

export const needs = (event: DeviceNews, proposal: Proposal): number => requiredApprovals(proposal.tags, event.policy);

/** The certificate that asks to be approved: neither pinned nor rejected nor revoked. */
export function presents({ context, event }: Args): Proposal | null {
  if (event.type !== 'news.fetched' || event.candidate === null) return null;
  const { fingerprint_sha256 } = event.candidate.certificate;
  const known =
    fingerprint_sha256 === context.pinned?.fingerprint_sha256 ||
    context.rejected_fingerprints.includes(fingerprint_sha256) ||
    event.revoked.includes(fingerprint_sha256);
  return known ? null : event.candidate;
}

/** What the present review would be about now; null when none is open, or it is about hardware that is not shown now. */
export function proposalNow({ context, event }: Args): Proposal | null {
  if (event.type !== 'news.fetched' || context.review === null) return null;
  const under = context.review.certificate.fingerprint_sha256;
  const found = [event.candidate, event.pinned].find((proposal) => proposal?.certificate.fingerprint_sha256 === under);
  const shown = context.review.kind !== 'hardware' || (found?.hardware ?? null) !== null;
  return (shown && found) || null;
}

/** The approval that the machine waits for, read as closed in this way. */
function closedAs(state: ApprovalState, { context, event }: Args): boolean {
  return event.type === 'approval.read' && context.review?.id === event.approval_id && event.approval?.state === state;
}

/** Approved is exactly what is under review now, by as many people as it takes now. */
function decidesReview({ context: { review }, event }: Args): boolean {
  return (
    event.type === 'approval.read' &&
    event.approval?.digest === review?.digest &&
    new Set(event.approval?.approvers).size >= (review?.required ?? Infinity)
  );
}

export const deviceGuards = {
  ...attestationGuards,
  /** The facts were asked for before a review closed; they are fetched again. */
  newsOutdated: ({ context, event }: Args) =>
    event.type === 'news.fetched' && event.review_generation !== context.review_generation,
  newRequest: ({ context, event }: Args) => event.request_id === null || !context.requests.includes(event.request_id),
  awaited: ({ context, event }: Args) => event.type === 'approval.closed' && context.review?.id === event.approval_id,
  approvedRead: (args: Args) => closedAs('approved', args) && decidesReview(args),
  approvedRotationRead: (args: Args) =>
    closedAs('approved', args) && decidesReview(args) && args.context.review?.kind === 'rotation',
  approvedHardwareRead: (args: Args) =>
    closedAs('approved', args) && decidesReview(args) && args.context.review?.kind === 'hardware',
  rejectedRead: (args: Args) => closedAs('rejected', args),
  rejectedHardwareRead: (args: Args) => closedAs('rejected', args) && args.context.review?.kind === 'hardware',
  rejectedEnrollmentRead: (args: Args) => closedAs('rejected', args) && args.context.review?.kind === 'enrollment',
  lapsedRead: (args: Args) => closedAs('expired', args) || closedAs('cancelled', args),
  /** It closed before it heard what has changed: the decision was about something else, or took too few people. */
  outdatedRead: (args: Args) => closedAs('approved', args) && !decidesReview(args),
  lostRead: ({ context, event }: Args) =>
    event.type === 'approval.read' && context.review?.id === event.approval_id && event.at >= context.review.expires_at,
  underReview: ({ context }: Args) => context.review !== null,
  reviewedRevoked: ({ context, event }: Args) =>
    event.type === 'news.fetched' &&
    context.review !== null &&
    event.revoked.includes(context.review.certificate.fingerprint_sha256),
  pinnedRevoked: ({ context, event }: Args) =>
    event.type === 'news.fetched' &&
    context.pinned !== null &&
    event.revoked.includes(context.pinned.fingerprint_sha256) &&
    !context.revoked_fingerprints.includes(context.pinned.fingerprint_sha256),
  /** A sensitive device always waits for people, and so does one that an operator has reset. */
  windowOpen: (args: Args) => {
    const { context, event } = args;
    const proposal = presents(args);
    return (
      event.type === 'news.fetched' &&
      context.review === null &&
      proposal !== null &&
      !event.policy.require_new_device_approval &&
      !isSensitive(proposal.tags, event.policy) &&
      context.requesters.length === 0
    );
  },
  candidate: (args: Args) => args.context.review === null && presents(args) !== null,
  reviewOutdated: (args: Args) => {
    const { context, event } = args;
    const proposal = proposalNow(args);
    return (
      event.type === 'news.fetched' &&
      context.review !== null &&
      proposal !== null &&
      (proposal.digest !== context.review.digest || needs(event, proposal) > context.review.required)
    );
  },
  /** Once lowered, only people raise the tier again, also when the tag that lowered it is gone. */
  needsMoreApprovers: ({ context, event }: Args) =>
    event.type === 'news.fetched' &&
    context.review === null &&
    event.pinned !== null &&
    ((isSensitive(event.pinned.tags, event.policy) && context.approvers.length < needs(event, event.pinned)) ||
      context.tier === 'observed') &&
    !event.revoked.includes(event.pinned.certificate.fingerprint_sha256),
};
