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
import {
  countsOf,
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
  directory: Type.Record(Type.String(), Type.Unknown(), {
    description: 'What the device is called in directories of devices, such as entra_device_id, as it says itself',
  }),
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
