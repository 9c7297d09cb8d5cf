// How a device's context changes, one function for each thing that happens. A change whose event does not fit changes nothing.
import { lowestTier, type ApprovalKind } from '#contracts/states.ts';
import { bounded, later, type Deadlines } from './actor.ts';
import { bind, rejectedKeys, unboundClaim, underPolicy } from './device-attestation.ts';
import { listLimit, unbound, type DeviceContext, type PendingReview } from './device-context.ts';
import type { Args } from './device-events.ts';
import { needs, presents, proposalNow } from './device-guards.ts';
import type { Proposal } from './identity-review.ts';

/** How long after a review should have closed the device looks for itself. */
const reviewGraceSeconds = 60;

type Change = Partial<DeviceContext>;

export function takeNews(args: Args): Change {
  const { context, event } = args;
  if (event.type !== 'news.fetched') return {};
  return {
    applied_digest: event.observed_digest ?? context.applied_digest,
    inbox_consumed: Math.max(context.inbox_consumed, event.inbox_through),
    reported_tags: event.reported_tags,
    ...underPolicy(args),
  };
}

export function noteRevocation({ context, event }: Args): Change {
  if (event.type !== 'news.fetched' || context.pinned === null) return {};
  return {
    epoch: context.epoch + 1,
    revoked_fingerprints: bounded([...context.revoked_fingerprints, context.pinned.fingerprint_sha256], listLimit),
    reason: 'certificate revoked',
    tier: lowestTier([context.tier, 'monitored']),
    attested_generation: null,
  };
}

export const startEnrollment = (args: Args): Change => startReview(args, 'enrollment', presents(args));
export const startRotation = (args: Args): Change => startReview(args, 'rotation', presents(args));

/** The device stays as it is; people decide whether the key and the hardware that it shows are its own. */
export function startHardwareReview(args: Args): Change {
  const { event } = args;
  if (unboundClaim(args) === null) return {};
  return startReview(args, 'hardware', event.type === 'news.fetched' ? event.pinned : null);
}

/** The device keeps its certificate and loses trust until enough people have looked at what it is now. */
export function startReappraisal(args: Args): Change {
  const { context, event } = args;
  return {
    ...startReview(args, 'enrollment', event.type === 'news.fetched' ? event.pinned : null),
    tier: lowestTier([context.tier, 'observed']),
    reason: 'more approvals needed for the present tags',
  };
}

function startReview(args: Args, kind: ApprovalKind, proposal: Proposal | null): Change {
  const { event } = args;
  if (event.type !== 'news.fetched' || proposal === null) return {};
  const expires_at = later(event.at, event.policy.review_ttl_seconds);
  const review: PendingReview = {
    id: event.uuid,
    kind,
    digest: proposal.digest,
    content: proposal.content,
    certificate: proposal.certificate,
    ...hardwareOf(proposal),
    required: needs(event, proposal),
    opened_at: event.at,
    expires_at,
  };
  return { review, deadlines: reviewDeadline(expires_at) };
}

const hardwareOf = ({ hardware }: Proposal): Pick<PendingReview, 'hardware'> =>
  hardware === undefined ? {} : { hardware };

const reviewDeadline = (expires_at: string): Deadlines => ({ review: later(expires_at, reviewGraceSeconds) });

export function changeReview(args: Args): Change {
  const { context, event } = args;
  const proposal = proposalNow(args);
  if (event.type !== 'news.fetched' || context.review === null || proposal === null) return {};
  const expires_at = later(event.at, event.policy.review_ttl_seconds);
  return {
    review: {
      ...context.review,
      digest: proposal.digest,
      content: proposal.content,
      ...hardwareOf(proposal),
      required: Math.max(context.review.required, needs(event, proposal)),
      opened_at: event.at,
      expires_at,
    },
    deadlines: reviewDeadline(expires_at),
  };
}

/** The same question in a new approval. */
export function renewReview({ context, event }: Args): Change {
  const { review } = context;
  if (review === null) return {};
  const ttlSeconds = (Date.parse(review.expires_at) - Date.parse(review.opened_at)) / 1000;
  const expires_at = later(event.at, ttlSeconds);
  return {
    review: { ...review, id: event.uuid, opened_at: event.at, expires_at },
    deadlines: reviewDeadline(expires_at),
  };
}

export const closeReview = ({ context }: Args): Change => withoutReview(context);

export function withoutReview(context: DeviceContext): Change {
  return { review: null, deadlines: {}, review_generation: context.review_generation + 1 };
}

export function pinPresented(args: Args): Change {
  const proposal = presents(args);
  if (proposal === null) return {};
  return {
    ...withoutReview(args.context),
    pinned: proposal.certificate,
    tier: 'monitored',
    approved_at: args.event.at,
    reason: 'open enrollment window',
  };
}

export function pinReviewed({ context, event }: Args): Change {
  if (event.type !== 'approval.read' || context.review === null) return {};
  const { certificate } = context.review;
  const replaced =
    context.pinned && context.pinned.fingerprint_sha256 !== certificate.fingerprint_sha256
      ? [context.pinned.fingerprint_sha256]
      : [];
  return {
    ...withoutReview(context),
    pinned: certificate,
    ...bind(context, context.review.hardware ?? null),
    approvers: event.approval?.approvers ?? [],
    approved_at: event.at,
    requesters: [],
    reason: event.approval?.reason ?? null,
    rejected_fingerprints: bounded([...context.rejected_fingerprints, ...replaced], listLimit),
  };
}

/** Approved on its own: identity and certificate stay as they were decided. */
export function bindReviewed({ context, event }: Args): Change {
  if (event.type !== 'approval.read' || context.review === null) return {};
  const bound = bind(context, context.review.hardware ?? null);
  return { ...withoutReview(context), ...bound, tier: lowestTier([context.tier, bound.tier ?? 'monitored']) };
}

export const rejectHardware = ({ context }: Args): Change => ({
  ...withoutReview(context),
  rejected_keys: rejectedKeys(context),
});

export function rejectReviewed({ context, event }: Args): Change {
  if (context.review === null) return {};
  return {
    ...withoutReview(context),
    rejected_fingerprints: bounded(
      [...context.rejected_fingerprints, context.review.certificate.fingerprint_sha256],
      listLimit,
    ),
    reason: event.type === 'approval.read' ? (event.approval?.reason ?? null) : null,
  };
}

/** Everything that was decided is to be decided again; what is revoked stays revoked. */
export function startAgain({ context, event }: Args): Change {
  return {
    ...withoutReview(context),
    tier: 'observed',
    epoch: context.epoch + 1,
    counter_epoch: context.counter_epoch + 1,
    pinned: null,
    rejected_fingerprints: [],
    approvers: [],
    requesters:
      event.by.kind === 'user'
        ? bounded([...new Set([...context.requesters, event.by.id])], listLimit)
        : context.requesters,
    applied_digest: null,
    approved_at: null,
    ...unbound,
    rejected_keys: [],
    reason: event.type === 'device.reset' ? event.reason : null,
    requests: remember({ context, event }),
  };
}

export function retire({ context, event }: Args): Change {
  return {
    ...withoutReview(context),
    tier: 'restricted',
    attested_generation: null,
    reason: event.type === 'device.retire' ? event.reason : null,
    requests: remember({ context, event }),
  };
}

function remember({ context, event }: Args): readonly string[] {
  return event.request_id === null ? context.requests : bounded([...context.requests, event.request_id], listLimit);
}
