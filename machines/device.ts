// The identity of one device as people decided it: pending, approved with one pinned certificate, rejected, lapsed or retired.
import type { CommitRequirement, MachineSnapshot } from '#contracts/actor.ts';
import type { EventType } from '#contracts/audit.ts';
import type { CertificateFacts } from '#contracts/certificate.ts';
import type { JsonObject } from '#contracts/deps.ts';
import type { IdentityPolicy } from '#contracts/policy.ts';
import type { ProblemCode } from '#contracts/problems.ts';
import {
  lowestTier,
  type ApprovalKind,
  type ApprovalState,
  type DeviceState,
  type TrustTier,
} from '#contracts/states.ts';
import { assign, setup } from 'xstate';
import {
  asJson,
  bounded,
  callWith,
  later,
  recordWith,
  requireWith,
  type ActorAdopted,
  type ActorDefinition,
  type Call,
  type CommitRefused,
  type DeadlinePassed,
  type RecordEffect,
  type Stamp,
} from './actor.ts';
import type { ApprovalInput } from './approval.ts';
import { isSensitive, requiredApprovals, type Proposal } from './identity-review.ts';

/** Lists in the context that grow with use keep this many entries. */
const listLimit = 100;
/** How long after a review should have closed the device looks for itself. */
const reviewGraceSeconds = 60;

export interface DeviceInput {
  readonly project: string;
  readonly id: string;
}

/** The one review that this device waits for. Another approval's outcome does not count. */
export interface PendingReview {
  readonly id: string;
  readonly kind: ApprovalKind;
  readonly digest: string;
  readonly content: JsonObject;
  readonly certificate: CertificateFacts;
  readonly required: number;
  readonly opened_at: string;
  readonly expires_at: string;
}

export interface DeviceContext {
  readonly project: string;
  readonly device_id: string;
  readonly tier: TrustTier;
  readonly epoch: number;
  readonly counter_epoch: number;
  readonly review_generation: number;
  readonly pinned: CertificateFacts | null;
  readonly review: PendingReview | null;
  readonly rejected_fingerprints: readonly string[];
  /** Revocations that this actor has taken note of; the denylist is what enforces them. */
  readonly revoked_fingerprints: readonly string[];
  readonly reported_tags: readonly string[];
  readonly assigned_tags: readonly string[];
  readonly approvers: readonly string[];
  /** Operators who asked for this device to be decided about again: they count as requester. */
  readonly requesters: readonly string[];
  readonly applied_digest: string | null;
  readonly inbox_consumed: number;
  readonly reason: string | null;
  readonly approved_at: string | null;
  /** Requests of people that were taken, so that the same one is taken once. */
  readonly requests: readonly string[];
  readonly deadlines: Readonly<Record<string, string>>;
}

/** Facts about the device, read from the store by the actor's own activity. */
export interface DeviceNews extends Stamp {
  readonly type: 'news.fetched';
  readonly policy: IdentityPolicy;
  /** Generation that was asked about: with another one by now, the candidate may be decided already. */
  readonly review_generation: number;
  readonly observed_digest: string | null;
  readonly reported_tags: readonly string[];
  readonly inbox_through: number;
  /** Those of the pinned and the candidate certificate that are on the denylist. */
  readonly revoked: readonly string[];
  /** The certificate that was presented and is not pinned, as something to approve; null when there is none of this generation. */
  readonly candidate: Proposal | null;
  /** The pinned certificate with the present tags, as something to approve again. */
  readonly pinned: Proposal | null;
}

/** The approval as the store has it; null when there is none. */
export interface ApprovalRead extends Stamp {
  readonly type: 'approval.read';
  readonly approval_id: string;
  readonly approval: {
    readonly state: ApprovalState;
    readonly digest: string;
    readonly approvers: readonly string[];
    readonly rejected_by: string | null;
    readonly reason: string | null;
  } | null;
}

export interface OperatorRequest extends Stamp {
  readonly type: 'device.reset' | 'device.retire';
  readonly reason: string | null;
}

export type DeviceEvent =
  | (Stamp & { readonly type: 'news.announced' })
  | DeviceNews
  | (Stamp & { readonly type: 'approval.closed'; readonly approval_id: string })
  | ApprovalRead
  | OperatorRequest
  | DeadlinePassed
  | ActorAdopted
  | CommitRefused;

/** What the machine asks of the world; `workflows/device.ts` carries each of them out. */
export type DeviceCall =
  | Call<'news.fetch', NewsQuery>
  | Call<'approval.read', ApprovalQuery>
  | Call<'approval.open', ApprovalInput>
  | Call<'approval.change', ApprovalChange>
  | Call<'approval.withdraw', ApprovalQuery & { readonly reason: string }>;

/** What the device's own activity must know to say what is new. */
export interface NewsQuery {
  readonly project: string;
  readonly device_id: string;
  readonly epoch: number;
  readonly review_generation: number;
  readonly assigned_tags: readonly string[];
  readonly pinned: CertificateFacts | null;
  readonly inbox_consumed: number;
}

export interface ApprovalQuery {
  readonly project: string;
  readonly approval_id: string;
}

export interface ApprovalChange extends ApprovalQuery {
  readonly content: JsonObject;
  readonly digest: string;
  readonly required: number;
}

type Snapshot = MachineSnapshot<DeviceContext>;
type Args = { context: DeviceContext; event: DeviceEvent };

const identity = (action: EventType, context: DeviceContext, details: JsonObject = {}): RecordEffect => ({
  category: 'identity',
  action,
  outcome: 'success',
  details: { device_id: context.device_id, epoch: context.epoch, trust_tier: context.tier, ...details },
});

const recordIdentity = (action: EventType, details: (args: Args) => JsonObject = () => ({})) =>
  recordWith((args: Args) => identity(action, args.context, details(args)));
const recordPending = recordIdentity('device.identity.pending', ({ context }) => ({
  approval_id: context.review?.id ?? null,
  kind: context.review?.kind ?? null,
  digest: context.review?.digest ?? null,
  fingerprint_sha256: context.review?.certificate.fingerprint_sha256 ?? null,
  required_approvals: context.review?.required ?? null,
  expires_at: context.review?.expires_at ?? null,
}));

const recordUnusable = recordIdentity('device.identity.expired', () => ({ reason: 'the approval was used before' }));

const fetchNews = callWith(({ context }: Args): DeviceCall | null => ({
  name: 'news.fetch',
  key: 'news.fetch',
  input: {
    project: context.project,
    device_id: context.device_id,
    epoch: context.epoch,
    review_generation: context.review_generation,
    assigned_tags: [...context.assigned_tags],
    pinned: context.pinned,
    inbox_consumed: context.inbox_consumed,
  },
}));
const readApproval = callWith(({ context, event }: Args): DeviceCall | null => {
  const approval_id = event.type === 'approval.closed' ? event.approval_id : (context.review?.id ?? '');
  return {
    name: 'approval.read',
    key: `approval.read:${approval_id}`,
    input: { project: context.project, approval_id },
  };
});
const openApproval = callWith(({ context }: Args): DeviceCall | null => {
  const review = context.review;
  if (review === null) return null;
  return {
    name: 'approval.open',
    key: `approval.open:${review.id}`,
    input: {
      project: context.project,
      id: review.id,
      kind: review.kind,
      subject: { kind: 'device', id: context.device_id },
      content: review.content,
      digest: review.digest,
      required: review.required,
      permission: 'identity.review',
      requested_by: { kind: 'device', id: context.device_id },
      requesters: [...context.requesters],
      ttl_seconds: (Date.parse(review.expires_at) - Date.parse(review.opened_at)) / 1000,
      at: review.opened_at,
    },
  };
});
const changeApproval = callWith(({ context }: Args): DeviceCall | null => {
  const review = context.review;
  if (review === null) return null;
  return {
    name: 'approval.change',
    key: `approval.change:${review.id}:${review.digest}:${review.required}`,
    input: {
      project: context.project,
      approval_id: review.id,
      content: review.content,
      digest: review.digest,
      required: review.required,
    },
  };
});
/** Before the review is cleared: tells the approval that its subject no longer waits. */
const withdrawApproval = (reason: string) =>
  callWith(({ context }: Args): DeviceCall | null =>
    context.review === null
      ? null
      : {
          name: 'approval.withdraw',
          key: `approval.withdraw:${context.review.id}`,
          input: { project: context.project, approval_id: context.review.id, reason },
        },
  );
const consumeApproval = requireWith(({ context, event }: Args): CommitRequirement => ({
  kind: 'approval.consumed',
  approval_id: context.review?.id ?? '',
  outcome: event.type === 'approval.read' ? (event.approval?.state ?? '') : '',
  digest: context.review?.digest ?? '',
}));

/** Approval that the machine waits for, read as closed in this way for exactly this digest. */
const closedAs = (state: ApprovalState, { context, event }: Args): boolean =>
  event.type === 'approval.read' &&
  context.review?.id === event.approval_id &&
  event.approval?.state === state &&
  (state !== 'approved' || event.approval.digest === context.review.digest);

const needs = (event: DeviceNews, proposal: Proposal): number => requiredApprovals(proposal.tags, event.policy);

const presents = ({ context, event }: Args): Proposal | null => {
  if (event.type !== 'news.fetched' || event.candidate === null) return null;
  const { fingerprint_sha256 } = event.candidate.certificate;
  const known =
    fingerprint_sha256 === context.pinned?.fingerprint_sha256 ||
    context.rejected_fingerprints.includes(fingerprint_sha256) ||
    event.revoked.includes(fingerprint_sha256);
  return known ? null : event.candidate;
};

const startReview = ({ context, event }: Args, kind: ApprovalKind, proposal: Proposal): Partial<DeviceContext> => {
  if (event.type !== 'news.fetched') return {};
  const expires_at = later(event.at, event.policy.review_ttl_seconds);
  const review: PendingReview = {
    id: event.uuid,
    kind,
    digest: proposal.digest,
    content: proposal.content,
    certificate: proposal.certificate,
    required: needs(event, proposal),
    opened_at: event.at,
    expires_at,
  };
  return { review, deadlines: { ...context.deadlines, review: later(expires_at, reviewGraceSeconds) } };
};

const withoutReview = (context: DeviceContext): Partial<DeviceContext> => {
  const { review: _, ...deadlines } = context.deadlines;
  return { review: null, deadlines, review_generation: context.review_generation + 1 };
};

const remember = (context: DeviceContext, event: DeviceEvent): readonly string[] =>
  event.request_id === null ? context.requests : bounded([...context.requests, event.request_id], listLimit);

/** What the present review would be about now, or null when no review is open. */
const proposalNow = ({ context, event }: Args): Proposal | null => {
  if (event.type !== 'news.fetched' || context.review === null) return null;
  const under = context.review.certificate.fingerprint_sha256;
  return [event.candidate, event.pinned].find((proposal) => proposal?.certificate.fingerprint_sha256 === under) ?? null;
};

export const deviceMachine = setup({
  types: { context: {} as DeviceContext, events: {} as DeviceEvent, input: {} as DeviceInput },
  actions: {
    record: (_, _params: RecordEffect) => {},
    require: (_, _params: CommitRequirement) => {},
    call: (_, _params: DeviceCall | null) => {},
    takeNews: assign(({ context, event }) =>
      event.type === 'news.fetched'
        ? {
            applied_digest: event.observed_digest ?? context.applied_digest,
            inbox_consumed: Math.max(context.inbox_consumed, event.inbox_through),
            reported_tags: event.reported_tags,
          }
        : {},
    ),
    noteRevocation: assign(({ context, event }) =>
      event.type === 'news.fetched' && context.pinned
        ? {
            epoch: context.epoch + 1,
            revoked_fingerprints: bounded(
              [...context.revoked_fingerprints, context.pinned.fingerprint_sha256],
              listLimit,
            ),
            reason: 'certificate revoked',
          }
        : {},
    ),
    startEnrollment: assign((args) => startReviewOf(args, 'enrollment', presents(args))),
    startRotation: assign((args) => startReviewOf(args, 'rotation', presents(args))),
    startReappraisal: assign((args) => ({
      ...startReviewOf(args, 'enrollment', args.event.type === 'news.fetched' ? args.event.pinned : null),
      tier: lowestTier([args.context.tier, 'observed']),
      reason: 'more approvals needed for the present tags',
    })),
    changeReview: assign((args) => {
      const { context, event } = args;
      const proposal = proposalNow(args);
      if (event.type !== 'news.fetched' || context.review === null || proposal === null) return {};
      const expires_at = later(event.at, event.policy.review_ttl_seconds);
      const required = Math.max(context.review.required, needs(event, proposal));
      return {
        review: {
          ...context.review,
          digest: proposal.digest,
          content: proposal.content,
          required,
          opened_at: event.at,
          expires_at,
        },
        deadlines: { ...context.deadlines, review: later(expires_at, reviewGraceSeconds) },
      };
    }),
    renewReview: assign(({ context, event }) =>
      context.review === null
        ? {}
        : {
            review: {
              ...context.review,
              id: event.uuid,
              opened_at: event.at,
              expires_at: later(
                event.at,
                (Date.parse(context.review.expires_at) - Date.parse(context.review.opened_at)) / 1000,
              ),
            },
          },
    ),
    closeReview: assign(({ context }) => withoutReview(context)),
    clearDeadline: assign({ deadlines: {} }),
    pinPresented: assign((args) => {
      const proposal = presents(args);
      return proposal === null
        ? {}
        : {
            ...withoutReview(args.context),
            pinned: proposal.certificate,
            tier: 'monitored' as const,
            approved_at: args.event.at,
            reason: 'open enrollment window',
          };
    }),
    pinReviewed: assign(({ context, event }) => {
      if (event.type !== 'approval.read' || context.review === null) return {};
      const { certificate } = context.review;
      const replaced =
        context.pinned && context.pinned.fingerprint_sha256 !== certificate.fingerprint_sha256
          ? [context.pinned.fingerprint_sha256]
          : [];
      return {
        ...withoutReview(context),
        pinned: certificate,
        tier: 'monitored' as const,
        approvers: event.approval?.approvers ?? [],
        approved_at: event.at,
        requesters: [],
        reason: event.approval?.reason ?? null,
        rejected_fingerprints: bounded([...context.rejected_fingerprints, ...replaced], listLimit),
      };
    }),
    rejectReviewed: assign(({ context, event }) =>
      context.review === null
        ? {}
        : {
            ...withoutReview(context),
            rejected_fingerprints: bounded(
              [...context.rejected_fingerprints, context.review.certificate.fingerprint_sha256],
              listLimit,
            ),
            reason: event.type === 'approval.read' ? (event.approval?.reason ?? null) : null,
          },
    ),
    restrict: assign({ tier: 'restricted' as const }),
    startAgain: assign(({ context, event }) => ({
      ...withoutReview(context),
      tier: 'observed' as const,
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
      reason: event.type === 'device.reset' ? event.reason : null,
      requests: remember(context, event),
    })),
    retire: assign(({ context, event }) => ({
      ...withoutReview(context),
      tier: 'restricted' as const,
      reason: event.type === 'device.retire' ? event.reason : null,
      requests: remember(context, event),
    })),
  },
  guards: {
    /** The facts were asked for before a review closed; they are fetched again. */
    newsOutdated: ({ context, event }) =>
      event.type === 'news.fetched' && event.review_generation !== context.review_generation,
    newRequest: ({ context, event }) => event.request_id === null || !context.requests.includes(event.request_id),
    awaited: ({ context, event }) => event.type === 'approval.closed' && context.review?.id === event.approval_id,
    approvedRead: (args) => closedAs('approved', args),
    rejectedRead: (args) => closedAs('rejected', args),
    lapsedRead: (args) => closedAs('expired', args) || closedAs('cancelled', args),
    /** It closed on a digest that is no longer ours: the decision was about something else. */
    outdatedRead: ({ context, event }) =>
      event.type === 'approval.read' &&
      context.review?.id === event.approval_id &&
      event.approval?.state === 'approved' &&
      event.approval.digest !== context.review.digest,
    lostRead: ({ context, event }) =>
      event.type === 'approval.read' &&
      context.review?.id === event.approval_id &&
      event.at >= context.review.expires_at,
    underReview: ({ context }) => context.review !== null,
    reviewedRevoked: ({ context, event }) =>
      event.type === 'news.fetched' &&
      context.review !== null &&
      event.revoked.includes(context.review.certificate.fingerprint_sha256),
    pinnedRevoked: ({ context, event }) =>
      event.type === 'news.fetched' &&
      context.pinned !== null &&
      event.revoked.includes(context.pinned.fingerprint_sha256) &&
      !context.revoked_fingerprints.includes(context.pinned.fingerprint_sha256),
    windowOpen: (args) => {
      const { context, event } = args;
      const proposal = presents(args);
      // A sensitive device always waits for people, and so does one that an operator has reset.
      return (
        event.type === 'news.fetched' &&
        context.review === null &&
        proposal !== null &&
        !event.policy.require_new_device_approval &&
        !isSensitive(proposal.tags, event.policy) &&
        context.requesters.length === 0
      );
    },
    candidate: (args) => args.context.review === null && presents(args) !== null,
    reviewOutdated: (args) => {
      const proposal = proposalNow(args);
      return (
        args.event.type === 'news.fetched' &&
        args.context.review !== null &&
        proposal !== null &&
        (proposal.digest !== args.context.review.digest || needs(args.event, proposal) > args.context.review.required)
      );
    },
    needsMoreApprovers: ({ context, event }) =>
      event.type === 'news.fetched' &&
      context.review === null &&
      event.pinned !== null &&
      // Once lowered, only people raise the tier again, also when the tag that lowered it is gone.
      ((isSensitive(event.pinned.tags, event.policy) && context.approvers.length < needs(event, event.pinned)) ||
        context.tier === 'observed') &&
      !event.revoked.includes(event.pinned.certificate.fingerprint_sha256),
  },
}).createMachine({
  id: 'device',
  initial: 'pending',
  context: ({ input }) => initialContext((input as DeviceInput | undefined) ?? { project: '', id: '' }),
  on: {
    'news.announced': { actions: fetchNews },
    'approval.closed': { guard: 'awaited', actions: readApproval },
    'device.reset': {
      guard: 'newRequest',
      target: '.pending',
      actions: [
        withdrawApproval('the device was reset'),
        'startAgain',
        recordIdentity('device.identity.reset', ({ context }) => ({ reason: context.reason })),
      ],
    },
    'device.retire': {
      guard: 'newRequest',
      target: '.retired',
      actions: [
        withdrawApproval('the device was retired'),
        'retire',
        recordIdentity('device.identity.retired', ({ context }) => ({ reason: context.reason })),
      ],
    },
    'deadline.passed': { guard: 'underReview', actions: ['clearDeadline', readApproval] },
    // The run before this one may have died between a commit and the calls that follow from it.
    'actor.adopted': [
      { guard: 'underReview', actions: [openApproval, readApproval, fetchNews] },
      { actions: fetchNews },
    ],
  },
  states: {
    pending: {
      on: {
        // The approval was used before: this run knows less than the store. What the device presents next is decided anew.
        'commit.refused': { guard: 'underReview', target: 'expired', actions: ['closeReview', recordUnusable] },
        'news.fetched': [
          { guard: 'newsOutdated', actions: fetchNews },
          {
            guard: 'reviewedRevoked',
            target: 'expired',
            actions: [
              withdrawApproval('the certificate was revoked'),
              'closeReview',
              'takeNews',
              recordIdentity('device.identity.expired', () => ({ reason: 'the certificate was revoked' })),
            ],
          },
          {
            guard: 'windowOpen',
            target: 'approved',
            actions: ['pinPresented', 'takeNews', recordApproved()],
          },
          { guard: 'candidate', actions: ['startEnrollment', 'takeNews', recordPending, openApproval] },
          { guard: 'reviewOutdated', actions: ['changeReview', 'takeNews', recordPending, changeApproval] },
          { actions: 'takeNews' },
        ],
        'approval.read': [
          {
            guard: 'approvedRead',
            target: 'approved',
            actions: [consumeApproval, 'pinReviewed', recordApproved()],
          },
          {
            guard: 'rejectedRead',
            target: 'rejected',
            actions: ['rejectReviewed', 'restrict', recordRejected()],
          },
          {
            guard: 'lapsedRead',
            target: 'expired',
            actions: ['closeReview', recordIdentity('device.identity.expired')],
          },
          { guard: 'outdatedRead', actions: ['renewReview', recordPending, openApproval] },
          {
            guard: 'lostRead',
            target: 'expired',
            actions: [withdrawApproval('the time is up'), 'closeReview', recordIdentity('device.identity.expired')],
          },
        ],
      },
    },
    approved: {
      on: {
        'commit.refused': { guard: 'underReview', actions: ['closeReview', recordUnusable] },
        'news.fetched': [
          { guard: 'newsOutdated', actions: fetchNews },
          { guard: 'pinnedRevoked', actions: ['noteRevocation', fetchNews] },
          {
            guard: 'reviewedRevoked',
            actions: [withdrawApproval('the certificate was revoked'), 'closeReview', 'takeNews', fetchNews],
          },
          { guard: 'candidate', actions: ['startRotation', 'takeNews', recordPending, openApproval] },
          { guard: 'reviewOutdated', actions: ['changeReview', 'takeNews', recordPending, changeApproval] },
          {
            guard: 'needsMoreApprovers',
            actions: ['startReappraisal', 'takeNews', recordPending, openApproval],
          },
          { actions: 'takeNews' },
        ],
        'approval.read': [
          {
            guard: 'approvedRead',
            actions: [consumeApproval, 'pinReviewed', recordApproved(), fetchNews],
          },
          {
            guard: ({ context, event }) =>
              closedAs('rejected', { context, event }) && context.review?.kind === 'enrollment',
            target: 'rejected',
            actions: ['rejectReviewed', 'restrict', recordRejected()],
          },
          { guard: 'rejectedRead', actions: ['rejectReviewed', recordRejected()] },
          { guard: 'lapsedRead', actions: ['closeReview', recordIdentity('device.identity.expired')] },
          { guard: 'outdatedRead', actions: ['renewReview', recordPending, openApproval] },
          {
            guard: 'lostRead',
            actions: [withdrawApproval('the time is up'), 'closeReview', recordIdentity('device.identity.expired')],
          },
        ],
      },
    },
    rejected: { on: { 'news.fetched': { actions: 'takeNews' } } },
    // Nobody decided in time. What the device presents next opens a new review.
    expired: {
      on: {
        'news.fetched': [
          { guard: 'newsOutdated', actions: fetchNews },
          {
            guard: 'windowOpen',
            target: 'approved',
            actions: ['pinPresented', 'takeNews', recordApproved()],
          },
          {
            guard: 'candidate',
            target: 'pending',
            actions: ['startEnrollment', 'takeNews', recordPending, openApproval],
          },
          { actions: 'takeNews' },
        ],
      },
    },
    retired: { on: { 'news.fetched': { actions: 'takeNews' } } },
  },
});

function startReviewOf(args: Args, kind: ApprovalKind, proposal: Proposal | null): Partial<DeviceContext> {
  return proposal === null ? {} : startReview(args, kind, proposal);
}

function recordApproved() {
  return recordIdentity('device.identity.approved', ({ context }) => ({
    fingerprint_sha256: context.pinned?.fingerprint_sha256 ?? null,
    approvers: [...context.approvers],
    reason: context.reason,
  }));
}

function recordRejected() {
  return recordIdentity('device.identity.rejected', ({ context, event }) => ({
    fingerprint_sha256: context.rejected_fingerprints.at(-1) ?? null,
    rejected_by: event.type === 'approval.read' ? (event.approval?.rejected_by ?? null) : null,
    reason: context.reason,
  }));
}

function initialContext(input: DeviceInput): DeviceContext {
  return {
    project: input.project,
    device_id: input.id,
    tier: 'observed',
    epoch: 0,
    counter_epoch: 0,
    review_generation: 0,
    pinned: null,
    review: null,
    rejected_fingerprints: [],
    revoked_fingerprints: [],
    reported_tags: [],
    assigned_tags: [],
    approvers: [],
    requesters: [],
    applied_digest: null,
    inbox_consumed: 0,
    reason: null,
    approved_at: null,
    requests: [],
    deadlines: {},
  };
}

export const deviceActor: ActorDefinition<DeviceContext, DeviceEvent> = {
  kind: 'device',
  version: 1,
  machine: deviceMachine,
  refuse: refuseDevice,
  outcome: () => null,
  adopt: adoptDevice,
  project: ({ value, context }) => ({
    kind: 'device',
    row: {
      state: value,
      tier: context.tier,
      epoch: context.epoch,
      counter_epoch: context.counter_epoch,
      review_generation: context.review_generation,
      pinned_fingerprint: context.pinned?.fingerprint_sha256 ?? null,
      pinned_certificate: context.pinned && asJson(context.pinned),
      candidate_fingerprint:
        context.review && context.review.certificate.fingerprint_sha256 !== context.pinned?.fingerprint_sha256
          ? context.review.certificate.fingerprint_sha256
          : null,
      rejected_fingerprints: context.rejected_fingerprints,
      assigned_tags: context.assigned_tags,
      approvers: context.approvers,
      review: context.review && {
        id: context.review.id,
        kind: context.review.kind,
        digest: context.review.digest,
        expires_at: context.review.expires_at,
        required: context.review.required,
      },
      applied_digest: context.applied_digest,
      inbox_consumed: context.inbox_consumed,
      reason: context.reason,
      approved_at: context.approved_at,
    },
  }),
  changes: (before, after) =>
    before === null || before.context.tier === after.context.tier
      ? []
      : [
          identity('device.trust.updated', after.context, {
            from: before.context.tier,
            to: after.context.tier,
            state: after.value,
          }),
        ],
  tier: ({ context }) => context.tier,
  describe: ({ value, context }) =>
    [
      `**${context.device_id}** is **${value}**, tier at most **${context.tier}**`,
      '',
      context.review
        ? `- waits for the ${context.review.kind} review \`${context.review.id}\` until ${context.review.expires_at}`
        : '- waits for nobody',
      `- certificate \`${context.pinned?.fingerprint_sha256 ?? 'none pinned'}\``,
      `- epoch ${context.epoch}`,
    ].join('\n'),
  finished: () => false,
};

function refuseDevice({ value, context }: Snapshot, event: DeviceEvent): ProblemCode | null {
  if (event.type !== 'device.retire' || value !== 'retired') return null;
  return event.request_id !== null && context.requests.includes(event.request_id) ? null : 'device.already_retired';
}

/** Least trust first. */
const trustOrder: readonly DeviceState[] = ['retired', 'rejected', 'expired', 'pending', 'approved'];

/**
 * The less trusted of both, with everything that either side knows to be refused.
 * Two sides that are approved with different certificates agree on nothing: people decide again.
 */
function adoptDevice(row: Snapshot | null, self: Snapshot | null, initial: Snapshot): Snapshot {
  if (self === null) return row ?? initial;
  // The row is gone: whatever was decided is no longer on record, so it has to be decided again.
  if (row === null)
    return {
      value: self.value === 'approved' ? 'pending' : self.value,
      context: unpinned(merged(self.context, initial.context)),
    };
  const rank = (snapshot: Snapshot): number => trustOrder.indexOf(snapshot.value as DeviceState);
  const lower = rank(self) < rank(row) ? self : row;
  const other = lower === row ? self : row;
  const context = merged(lower.context, other.context);
  const disagree =
    lower.value === 'approved' && self.context.pinned?.fingerprint_sha256 !== row.context.pinned?.fingerprint_sha256;
  return disagree ? { value: 'pending', context: unpinned(context) } : { value: lower.value, context };
}

function merged(base: DeviceContext, other: DeviceContext): DeviceContext {
  const union = (a: readonly string[], b: readonly string[]): readonly string[] =>
    bounded([...new Set([...b, ...a])], listLimit);
  return {
    ...base,
    tier: lowestTier([base.tier, other.tier]),
    epoch: Math.max(base.epoch, other.epoch),
    counter_epoch: Math.max(base.counter_epoch, other.counter_epoch),
    review_generation: Math.max(base.review_generation, other.review_generation),
    rejected_fingerprints: union(base.rejected_fingerprints, other.rejected_fingerprints),
    revoked_fingerprints: union(base.revoked_fingerprints, other.revoked_fingerprints),
    requesters: union(base.requesters, other.requesters),
    requests: union(base.requests, other.requests),
    applied_digest: null,
  };
}

function unpinned(context: DeviceContext): DeviceContext {
  return {
    ...context,
    ...withoutReview(context),
    pinned: null,
    approvers: [],
    approved_at: null,
    tier: lowestTier([context.tier, 'observed']),
    epoch: context.epoch + 1,
  };
}
