// /api/devices: the device object, its history, and what people ask of it.
import { Type, type Static } from 'typebox';
import { deviceIdPattern } from '../ids.ts';
import {
  approvalKinds,
  attestationStates,
  deviceApprovalStates,
  deviceOrders,
  livenessStates,
  principalKinds,
  rotationAdvice,
  trustTiers,
} from '../states.ts';
import { AuditEvent } from './audit.ts';
import {
  Digest,
  Exactly,
  Fingerprint,
  Instant,
  List,
  ListQuery,
  Names,
  Nullable,
  Reason,
  WorkflowLink,
} from './common.ts';

export const DeviceParams = Type.Object({ device_id: Type.String({ pattern: deviceIdPattern }) });

export const Certificate = Type.Object({
  fingerprint_sha256: Fingerprint,
  serial_number: Type.String(),
  issuer: Type.String(),
  subject: Type.String(),
  not_before: Instant,
  not_after: Instant,
  expiring_soon: Type.Boolean(),
  rotation: Names(rotationAdvice),
});
export type Certificate = Static<typeof Certificate>;

export const PendingReview = Type.Object({
  id: Type.String(),
  kind: Names(approvalKinds),
  digest: Digest,
  expires_at: Instant,
  approvals: Type.Integer(),
  required: Type.Integer(),
});

export const Device = Type.Object({
  device_id: Type.String(),
  project: Type.String(),
  approval_state: Names(deviceApprovalStates),
  retired: Type.Boolean(),
  trust_tier: Names(trustTiers),
  liveness: Names(livenessStates),
  last_seen_at: Nullable(Instant),
  first_seen_at: Nullable(Instant),
  heartbeat_counter: Nullable(Type.Integer()),
  token_version: Type.Integer(),
  reported_tags: Type.Array(Type.String()),
  assigned_tags: Type.Array(Type.String()),
  agent_version: Nullable(Type.String()),
  hostname: Nullable(Type.String()),
  platform: Nullable(Type.String()),
  posture: Type.Record(Type.String(), Type.Unknown()),
  certificate: Nullable(Certificate),
  candidate_certificate: Nullable(Certificate),
  attestation: Type.Object({
    state: Names(attestationStates),
    provider: Nullable(Type.String()),
    verified_at: Nullable(Instant),
    reason: Nullable(Type.String()),
  }),
  hardware_identity: Nullable(Type.String()),
  pending_review: Nullable(PendingReview),
  reason: Nullable(Type.String()),
  workflow: WorkflowLink,
});
export type Device = Static<typeof Device>;

export const DeviceExplanation = Type.Object({
  device_id: Type.String(),
  trust_tier: Names(trustTiers),
  answers: Type.Array(
    Type.Object({
      question: Names(['expected', 'trusted', 'certificate', 'waiting']),
      standing: Names(['good', 'watch', 'bad', 'none']),
      text: Type.String(),
    }),
    {
      description:
        'Is it expected? Still trusted? Its certificate valid? Waiting on whom? Always these four, in this order',
    },
  ),
  facts: Type.Array(
    Type.Object({
      reason: Type.String({ description: 'Stable name of the reason' }),
      about: Names(['identity', 'certificate', 'attestation']),
      text: Type.String(),
      at_most: Names(trustTiers),
      decides: Type.Boolean({ description: 'Whether it holds the tier where it is' }),
      change: Nullable(Type.String({ description: 'What would change it' })),
      at: Nullable(Instant),
      by: Type.Array(Type.String(), { description: 'People behind it' }),
      settings: Type.Array(Type.String()),
    }),
    { description: 'Those that decide come first' },
  ),
  liveness: Type.Object({ state: Names(livenessStates), text: Type.String(), last_seen_at: Nullable(Instant) }),
  waits_for: Nullable(
    Type.Object({
      review: Type.String(),
      kind: Names(approvalKinds),
      required: Type.Integer(),
      missing: Type.Integer(),
      voters: Type.Array(Type.String(), { description: 'Those who have approved' }),
      permission: Type.String({ description: 'What a vote takes' }),
      roles: Type.Array(Type.String(), { description: 'Roles that have it' }),
      expires_at: Instant,
      text: Type.String(),
    }),
  ),
  pending_review: Nullable(PendingReview),
  reason: Nullable(Type.String()),
  settings: Type.Array(Type.Object({ name: Type.String(), value: Type.String() })),
  explained_at: Instant,
});
export type DeviceExplanation = Static<typeof DeviceExplanation>;

/** What the fleet is listed and counted by. */
const DeviceFilters = {
  approval_state: Type.Optional(Names(deviceApprovalStates)),
  trust_tier: Type.Optional(Names(trustTiers)),
  liveness: Type.Optional(Names(livenessStates)),
  tag: Type.Optional(Type.String({ maxLength: 64 })),
  search: Type.Optional(Type.String({ maxLength: 64, description: 'Part of the device id or hostname' })),
  pending_review: Type.Optional(Type.Boolean()),
  rotation: Type.Optional(Names(rotationAdvice)),
  retired: Type.Optional(Type.Boolean()),
};

const order = Type.Optional(Names(deviceOrders));
/** A list without its pages. */
export const DeviceFilterQuery = Exactly({ ...DeviceFilters, order });
export type DeviceFilterQuery = Static<typeof DeviceFilterQuery>;

export const DeviceListQuery = Exactly({ ...ListQuery, ...DeviceFilters, order });
export type DeviceListQuery = Static<typeof DeviceListQuery>;
export const DeviceList = List(Device);
export type DeviceList = Static<typeof DeviceList>;

export const DeviceCountsQuery = Exactly(DeviceFilters);
export type DeviceCountsQuery = Static<typeof DeviceCountsQuery>;

const countsOf = <const Name extends string>(names: readonly Name[]) =>
  Type.Object(
    Object.fromEntries(names.map((name) => [name, Type.Integer()])) as Record<Name, ReturnType<typeof Type.Integer>>,
  );

/** How many devices a list would have. Each facet counts as if its own filter were not set, so that it can offer the others. */
export const DeviceCounts = Type.Object({
  matching: Type.Integer({ description: 'Devices that all filters let through' }),
  trust_tier: countsOf(trustTiers),
  liveness: countsOf(livenessStates),
  approval_state: countsOf(deviceApprovalStates),
  rotation: countsOf(rotationAdvice),
  pending_review: countsOf(['true', 'false']),
  retired: countsOf(['true', 'false']),
  counted_at: Instant,
});
export type DeviceCounts = Static<typeof DeviceCounts>;

export const RevokeBody = Exactly({ reason: Type.Optional(Reason), fingerprint_sha256: Type.Optional(Fingerprint) });
export const ReasonBody = Exactly({ reason: Type.Optional(Reason) });

export const HistoryEntry = Type.Object({
  revision: Type.Integer(),
  epoch: Type.Integer(),
  at: Instant,
  event: Type.String(),
  by: Type.Object({ kind: Names(principalKinds), id: Type.String() }),
  from_state: Nullable(Type.String()),
  to_state: Type.String(),
  details: Type.Record(Type.String(), Type.Unknown()),
});
export type HistoryEntry = Static<typeof HistoryEntry>;
export const HistoryList = List(HistoryEntry);
export type HistoryList = Static<typeof HistoryList>;

export const timelineKinds = ['audit', 'transition', 'heartbeat'] as const;
export type TimelineKind = (typeof timelineKinds)[number];

const Silence = Type.Object({ from: Instant, until: Instant });

export const TimelineEntry = Type.Object(
  {
    kind: Names(timelineKinds),
    at: Instant,
    transition: Nullable(HistoryEntry),
    audit: Nullable(AuditEvent),
    /** What ended when it was heard again; null when it was heard for the first time. */
    silence: Nullable(Silence),
  },
  { description: 'Of transition and audit the one that its kind names is there' },
);
export type TimelineEntry = Static<typeof TimelineEntry>;

export const TimelineQuery = Exactly({ ...ListQuery, kind: Type.Optional(Names(timelineKinds)) });
export type TimelineQuery = Static<typeof TimelineQuery>;

export const DeviceTimeline = Type.Object({
  items: Type.Array(TimelineEntry),
  next_cursor: Nullable(Type.String()),
  kinds: Type.Array(Names(timelineKinds), { description: 'What the asking person may read, and asked for' }),
  presence: Type.Object(
    {
      liveness: Names(livenessStates),
      last_seen_at: Nullable(Instant),
      online_since: Nullable(Instant),
      heartbeat_counter: Nullable(Type.Integer()),
      since: Instant,
      until: Instant,
      silences: Type.Array(Silence),
    },
    { description: 'When it was heard between `since` and `until`: always, but for the silences' },
  ),
});
export type DeviceTimeline = Static<typeof DeviceTimeline>;
