// Every state that has a name in the API, each list once; schemas, SQL checks, machines and the console derive from these.

/** Lowest trust first: the order is the comparison. */
export const trustTiers = ['revoked', 'restricted', 'observed', 'monitored', 'trusted'] as const;
export type TrustTier = (typeof trustTiers)[number];

export function lowestTier(tiers: readonly TrustTier[]): TrustTier {
  return trustTiers[Math.min(...tiers.map((tier) => trustTiers.indexOf(tier)), trustTiers.length - 1)] ?? 'revoked';
}

/** What people have decided about a device's identity. */
export const deviceApprovalStates = ['pending', 'approved', 'rejected', 'expired'] as const;
export type DeviceApprovalState = (typeof deviceApprovalStates)[number];

/** States of the device machine; `retired` and `revoked` are ends that a reset leaves. */
export const deviceStates = ['pending', 'approved', 'rejected', 'expired', 'retired'] as const;
export type DeviceState = (typeof deviceStates)[number];

export const livenessStates = ['online', 'stale', 'offline'] as const;
export type Liveness = (typeof livenessStates)[number];

export const approvalStates = ['open', 'deciding', 'approved', 'rejected', 'expired', 'cancelled'] as const;
export type ApprovalState = (typeof approvalStates)[number];
/** States that an approval never leaves. */
export const closedApprovalStates = [
  'approved',
  'rejected',
  'expired',
  'cancelled',
] as const satisfies readonly ApprovalState[];

export const approvalKinds = ['enrollment', 'rotation', 'hardware'] as const;
export type ApprovalKind = (typeof approvalKinds)[number];

export const attestationStates = ['not_required', 'challenged', 'verified', 'stale', 'failed'] as const;
export type AttestationState = (typeof attestationStates)[number];

export const rotationAdvice = ['none', 'recommended', 'required'] as const;
export type RotationAdvice = (typeof rotationAdvice)[number];

/** Of the certificates of a device: what it is known by, or under review to replace that. */
export const certificateRoles = ['pinned', 'candidate'] as const;

/** What the plan of rotations is divided by. */
export const planPeriods = ['week', 'month'] as const;
export type PlanPeriod = (typeof planPeriods)[number];

/**
 * What an index can put in order: ids, the newest devices first, and the certificates that end soonest first. Not when a
 * device was last seen: an index on that would make every heartbeat dearer.
 */
export const deviceOrders = ['device_id', 'first_seen', 'certificate_end'] as const;
export type DeviceOrder = (typeof deviceOrders)[number];

export const outcomes = ['success', 'refused', 'failed'] as const;
export type Outcome = (typeof outcomes)[number];

export const principalKinds = ['user', 'device', 'workload', 'system'] as const;
export type PrincipalKind = (typeof principalKinds)[number];

export const subjectKinds = [
  'device',
  'approval',
  'session',
  'user',
  'certificate',
  'project',
  'actor',
  'audit',
] as const;
export type SubjectKind = (typeof subjectKinds)[number];

export const auditCategories = [
  'auth',
  'identity',
  'command',
  'policy',
  'integration',
  'operations',
  'recovery',
  'update',
  'audit',
] as const;
export type AuditCategory = (typeof auditCategories)[number];

/** What has a chain of its own in each project. */
export const auditStreams = ['audit', 'outbox'] as const;
export type AuditStream = (typeof auditStreams)[number];

/** What the timeline of a device is made of. */
export const timelineKinds = ['audit', 'transition', 'heartbeat'] as const;
export type TimelineKind = (typeof timelineKinds)[number];
