// One thing that people decide: who voted on what exactly, until enough did, one refused, or the time was up.
import type { CommitRequirement, MachineSnapshot } from '#contracts/actor.ts';
import type { Principal, Subject } from '#contracts/audit.ts';
import type { JsonObject } from '#contracts/deps.ts';
import type { Permission } from '#contracts/permissions.ts';
import type { ProblemCode } from '#contracts/problems.ts';
import { closedApprovalStates, type ApprovalKind, type ApprovalState } from '#contracts/states.ts';
import { assign, setup } from 'xstate';
import {
  asJson,
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

export interface Vote {
  /** A person, whatever key or session they used. */
  readonly by: string;
  readonly decision: 'approve' | 'reject';
  readonly reason: string | null;
  readonly at: string;
  readonly request_id: string | null;
}

/** What an approval is opened with. */
export interface ApprovalInput {
  readonly project: string;
  readonly id: string;
  readonly kind: ApprovalKind;
  readonly subject: Subject;
  /** Exactly what is approved, for people to read. */
  readonly content: JsonObject;
  /** SHA-256 over the RFC 8785 form of `content`. */
  readonly digest: string;
  readonly required: number;
  /** What a voter needs. */
  readonly permission: Permission;
  readonly requested_by: Principal;
  /** People who count as requester and may not vote. */
  readonly requesters: readonly string[];
  readonly ttl_seconds: number;
  readonly at: string;
}

export interface ApprovalContext extends ApprovalInput {
  readonly expires_at: string;
  readonly votes: readonly Vote[];
  readonly closed_at: string | null;
  /** Whether the subject has been told how it ended. */
  readonly delivered: boolean;
  readonly deadlines: Readonly<Record<string, string>>;
}

export interface VoteCast extends Stamp {
  readonly type: 'vote.cast';
  readonly voter: string;
  readonly decision: 'approve' | 'reject';
  readonly reason: string | null;
  /** The digest that the voter saw; null when the voter did not say. */
  readonly digest: string | null;
}

/** Answer of the live directory to `votes.confirm`. */
export interface VotesConfirmed extends Stamp {
  readonly type: 'votes.confirmed';
  readonly standing: readonly string[];
  readonly dropped: readonly string[];
}

export interface SubjectChanged extends Stamp {
  readonly type: 'subject.changed';
  readonly content: JsonObject;
  readonly digest: string;
  readonly required: number;
}

export type ApprovalEvent =
  | VoteCast
  | VotesConfirmed
  | SubjectChanged
  | (Stamp & { readonly type: 'subject.withdrawn'; readonly reason: string })
  | (Stamp & { readonly type: 'outcome.delivered' })
  | DeadlinePassed
  | ActorAdopted
  | CommitRefused;

/** What the machine asks of the world; `workflows/approval.ts` carries each of them out. */
export type ApprovalCall =
  | Call<'votes.confirm', { readonly voters: readonly string[]; readonly permission: Permission }>
  | Call<'outcome.deliver', { readonly project: string; readonly approval_id: string; readonly subject: Subject }>;

type Snapshot = MachineSnapshot<ApprovalContext>;

const isClosed = (state: string): boolean => (closedApprovalStates as readonly string[]).includes(state);
const approvals = (votes: readonly Vote[]): readonly Vote[] => votes.filter((vote) => vote.decision === 'approve');
const repeats = (context: ApprovalContext, event: VoteCast): boolean =>
  context.votes.some(
    (vote) =>
      vote.by === event.voter &&
      vote.request_id !== null &&
      vote.request_id === event.request_id &&
      vote.decision === event.decision,
  );

/** The one answer to "may this vote be taken now?": guard of the machine, validator of the update, code of the refusal. */
export function refuseVote(snapshot: Snapshot, event: VoteCast): ProblemCode | null {
  const { context, value } = snapshot;
  if (repeats(context, event)) return null;
  if (isClosed(value) || event.at >= context.expires_at) return 'review.closed';
  if (context.requesters.includes(event.voter)) return 'review.own_request';
  if (event.digest !== null && event.digest !== context.digest) return 'review.changed';
  if (context.votes.some((vote) => vote.by === event.voter)) return 'review.already_voted';
  return null;
}

type Args = { context: ApprovalContext; event: ApprovalEvent };

const withVote = (context: ApprovalContext, event: VoteCast): readonly Vote[] => [
  ...context.votes,
  { by: event.voter, decision: event.decision, reason: event.reason, at: event.at, request_id: event.request_id },
];

const facts = (context: ApprovalContext): JsonObject => ({
  approval_id: context.id,
  kind: context.kind,
  subject: asJson(context.subject),
  digest: context.digest,
  required_approvals: context.required,
});

const identity = (action: string, details: JsonObject): RecordEffect => ({
  category: 'identity',
  action,
  outcome: 'success',
  details,
});

const recordVote = recordWith(({ context, event }: Args) =>
  identity(
    'approval.voted',
    event.type === 'vote.cast'
      ? { ...facts(context), voter: event.voter, decision: event.decision, reason: event.reason }
      : facts(context),
  ),
);
/** Before the votes are dropped: whose they were. */
const recordDropped = recordWith(({ context, event }: Args): RecordEffect | null => {
  const dropped = context.votes.filter(({ by }) => event.type === 'votes.confirmed' && event.dropped.includes(by));
  return dropped.length === 0
    ? null
    : {
        ...identity('approval.votes_dropped', { ...facts(context), dropped: dropped.map(({ by }) => by) }),
        outcome: 'refused',
      };
});
const recordChange = recordWith(({ context }: Args) =>
  identity('approval.changed', { ...facts(context), content: context.content, expires_at: context.expires_at }),
);

const confirmVotes = callWith(({ context }: Args): ApprovalCall | null => {
  const voters = approvals(context.votes).map((vote) => vote.by);
  return {
    name: 'votes.confirm',
    key: `votes.confirm:${voters.join(',')}`,
    input: { voters, permission: context.permission },
  };
});
const deliverOutcome = callWith(({ context }: Args): ApprovalCall | null => ({
  name: 'outcome.deliver',
  key: 'outcome.deliver',
  input: { project: context.project, approval_id: context.id, subject: context.subject },
}));
const requireVoters = requireWith(({ context }: Args) => ({
  kind: 'voters.stand' as const,
  usernames: approvals(context.votes).map((vote) => vote.by),
  permission: context.permission,
}));

/** The effects of closing, the same for every way to close. */
const closeAs = (state: ApprovalState) =>
  [
    'close',
    recordWith(({ context }: Args) =>
      identity('approval.closed', { ...facts(context), state, voters: context.votes.map((vote) => vote.by) }),
    ),
    deliverOutcome,
  ] as const;

const closedState = {
  on: {
    'outcome.delivered': { actions: 'markDelivered' },
    // The run before this one may have closed the approval and died before it told the subject.
    'actor.adopted': {
      guard: 'undelivered',
      actions: deliverOutcome,
    },
  },
} as const;

export const approvalMachine = setup({
  types: { context: {} as ApprovalContext, events: {} as ApprovalEvent, input: {} as ApprovalInput },
  actions: {
    record: (_args, _params: RecordEffect | null) => {},
    require: (_args, _params: CommitRequirement) => {},
    call: (_args, _params: ApprovalCall | null) => {},
    markDelivered: assign({ delivered: true }),
    close: assign(({ event }) => ({ closed_at: event.at, deadlines: {} })),
    takeVote: assign(({ context, event }) => (event.type === 'vote.cast' ? { votes: withVote(context, event) } : {})),
    dropVotes: assign(({ context, event }) =>
      event.type === 'votes.confirmed'
        ? { votes: context.votes.filter((vote) => !event.dropped.includes(vote.by)) }
        : {},
    ),
    takeSubject: assign(({ context, event }) => {
      if (event.type !== 'subject.changed') return {};
      const expires_at = later(event.at, context.ttl_seconds);
      // The quorum only rises while it waits: what a device says about itself never makes approval easier.
      const required = Math.max(context.required, event.required);
      return {
        content: event.content,
        digest: event.digest,
        required,
        votes: [],
        expires_at,
        deadlines: { expires: expires_at },
      };
    }),
  },
  guards: {
    approves: ({ context, event }) => taken(context, event) && event.decision === 'approve',
    rejects: ({ context, event }) => taken(context, event) && event.decision === 'reject',
    reachesQuorum: ({ context, event }) =>
      taken(context, event) &&
      event.decision === 'approve' &&
      approvals(withVote(context, event)).length >= context.required,
    quorumStands: ({ context, event }) =>
      event.type === 'votes.confirmed' &&
      approvals(context.votes).filter((vote) => event.standing.includes(vote.by)).length >= context.required,
    quorumLeft: ({ context, event }) =>
      event.type === 'votes.confirmed' &&
      approvals(context.votes).filter((vote) => !event.dropped.includes(vote.by)).length >= context.required,
    undelivered: ({ context }) => !context.delivered,
    timeIsUp: ({ context, event }) => event.at >= context.expires_at,
    subjectDiffers: ({ context, event }) =>
      event.type === 'subject.changed' && (event.digest !== context.digest || event.required > context.required),
  },
}).createMachine({
  id: 'approval',
  initial: 'open',
  context: ({ input }) => {
    // XState runs this factory again on every transition, without input, and does not use the result.
    const given =
      (input as ApprovalInput | undefined) ?? ({ at: new Date(0).toISOString(), ttl_seconds: 0 } as ApprovalInput);
    const expires_at = later(given.at, given.ttl_seconds);
    return { ...given, expires_at, votes: [], closed_at: null, delivered: false, deadlines: { expires: expires_at } };
  },
  entry: recordWith(({ context }: Args) =>
    identity('approval.opened', { ...facts(context), content: context.content, expires_at: context.expires_at }),
  ),
  states: {
    open: {
      on: {
        'vote.cast': [
          { guard: 'rejects', target: 'rejected', actions: ['takeVote', recordVote, ...closeAs('rejected')] },
          { guard: 'reachesQuorum', target: 'deciding', actions: ['takeVote', recordVote] },
          { guard: 'approves', actions: ['takeVote', recordVote] },
        ],
        'subject.changed': { guard: 'subjectDiffers', actions: ['takeSubject', recordChange] },
        'subject.withdrawn': { target: 'cancelled', actions: closeAs('cancelled') },
        'deadline.passed': { guard: 'timeIsUp', target: 'expired', actions: closeAs('expired') },
      },
    },
    // Enough people voted; the live directory is asked whether each of them still may.
    deciding: {
      entry: confirmVotes,
      on: {
        'votes.confirmed': [
          {
            guard: 'quorumStands',
            target: 'approved',
            actions: [recordDropped, 'dropVotes', requireVoters, ...closeAs('approved')],
          },
          { guard: 'quorumLeft', target: 'deciding', reenter: true, actions: [recordDropped, 'dropVotes'] },
          { guard: 'timeIsUp', target: 'expired', actions: [recordDropped, 'dropVotes', ...closeAs('expired')] },
          { target: 'open', actions: [recordDropped, 'dropVotes'] },
        ],
        'vote.cast': [
          { guard: 'rejects', target: 'rejected', actions: ['takeVote', recordVote, ...closeAs('rejected')] },
          { guard: 'approves', actions: ['takeVote', recordVote] },
        ],
        'subject.changed': { guard: 'subjectDiffers', target: 'open', actions: ['takeSubject', recordChange] },
        'subject.withdrawn': { target: 'cancelled', actions: closeAs('cancelled') },
        'actor.adopted': { target: 'deciding', reenter: true },
        'commit.refused': { target: 'deciding', reenter: true },
      },
    },
    approved: closedState,
    rejected: closedState,
    expired: closedState,
    cancelled: closedState,
  },
});

function taken(context: ApprovalContext, event: ApprovalEvent): event is VoteCast {
  return (
    event.type === 'vote.cast' && !repeats(context, event) && refuseVote({ value: 'open', context }, event) === null
  );
}

export const approvalActor: ActorDefinition<ApprovalContext, ApprovalEvent> = {
  kind: 'approval',
  version: 1,
  machine: approvalMachine,
  refuse: (snapshot, event) => (event.type === 'vote.cast' ? refuseVote(snapshot, event) : null),
  outcome: ({ context }, event) => {
    if (event.type !== 'vote.cast') return null;
    if (context.votes.some((vote) => vote.by === event.voter && vote.decision === event.decision)) return null;
    // The time to live starts again when the subject changes, which clears the votes.
    const unchangedSince = later(context.expires_at, -context.ttl_seconds);
    return event.at <= unchangedSince ? 'review.changed' : 'review.not_permitted';
  },
  adopt: adoptApproval,
  project: ({ value, context }) => ({
    kind: 'approval',
    row: {
      kind: context.kind,
      subject_kind: context.subject.kind,
      subject_id: context.subject.id,
      subject: context.content,
      digest: context.digest,
      state: value,
      requested_by: asJson({ kind: context.requested_by.kind, id: context.requested_by.id }),
      required_approvals: context.required,
      permission: context.permission,
      votes: context.votes.map(({ by, decision, reason, at }) => ({ by, decision, reason, at })),
      opened_at: context.at,
      expires_at: context.expires_at,
      closed_at: context.closed_at,
    },
  }),
  changes: () => [],
  tier: () => null,
  describe: ({ value, context }) =>
    [
      `**${context.kind}** of ${context.subject.kind} \`${context.subject.id}\` is **${value}**`,
      '',
      `- approvals: ${approvals(context.votes).length} of ${context.required}`,
      `- expires at ${context.expires_at}`,
      `- digest \`${context.digest}\``,
    ].join('\n'),
  finished: ({ value, context }) => isClosed(value) && context.delivered,
};

/** A closed approval stays closed, a rejection on either side wins with its vote, and an open one keeps the votes of the row. */
function adoptApproval(row: Snapshot | null, self: Snapshot | null, initial: Snapshot): Snapshot {
  const undelivered = (snapshot: Snapshot, value: ApprovalState): Snapshot => ({
    value,
    context: {
      ...snapshot.context,
      delivered: false,
      deadlines: {},
      closed_at: snapshot.context.closed_at ?? self?.context.closed_at ?? initial.context.at,
    },
  });
  if (row === null) {
    if (self === null) return initial;
    if (self.value === 'approved') return undelivered(self, 'expired');
    if (isClosed(self.value)) return undelivered(self, self.value as ApprovalState);
    return { value: 'open', context: { ...self.context, votes: [] } };
  }
  if (self?.value === 'rejected') {
    const rejections = self.context.votes.filter((vote) => vote.decision === 'reject');
    const others = row.context.votes.filter((vote) => !rejections.some(({ by }) => by === vote.by));
    return undelivered({ ...row, context: { ...row.context, votes: [...others, ...rejections] } }, 'rejected');
  }
  if (isClosed(row.value)) return undelivered(row, row.value as ApprovalState);
  if (self !== null && isClosed(self.value) && self.value !== 'approved')
    return undelivered(row, self.value as ApprovalState);
  return row;
}
