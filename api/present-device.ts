// The device object of the API: what was decided, what was reported, and what both come to now.
import type { CertificateFacts } from '#contracts/certificate.ts';
import type { Device, DeviceExplanation } from '#contracts/http/devices.ts';
import type { DeviceApprovalState, Liveness, RotationAdvice } from '#contracts/states.ts';
import { effectiveTier, type TierInputs } from '#machines/effective-tier.ts';
import { explainTier } from '#machines/explanation.ts';
import type { DeviceRow } from '#store/device.ts';
import type { WorkflowLinks } from './workflow-links.ts';

export interface DevicePolicy {
  readonly staleSeconds: number;
  readonly offlineSeconds: number;
  readonly expiringSoonDays: number;
  /** Whether heartbeats prove who they come from. */
  readonly identityVerified: boolean;
}

/** Left when a new certificate is no longer a matter of convenience. */
const rotationRequiredDays = 7;
const dayMs = 24 * 60 * 60 * 1000;

export function presentDevice(row: DeviceRow, now: Date, policy: DevicePolicy, links: WorkflowLinks): Device {
  const { grant, liveness, observation } = row;
  const { tier } = effectiveTier(tierInputsOf(row, policy), now.toISOString());
  const counts = liveness !== null && liveness.heartbeat_counter > 0 && liveness.counter_epoch === grant?.counter_epoch;
  return {
    device_id: row.device_id,
    project: row.project_id,
    approval_state: approvalStateOf(grant),
    retired: grant?.state === 'retired',
    trust_tier: tier,
    liveness: livenessOf(liveness?.last_seen_at ?? null, now, policy),
    last_seen_at: liveness?.last_seen_at ?? null,
    first_seen_at: liveness?.first_seen_at ?? null,
    heartbeat_counter: counts ? liveness.heartbeat_counter : null,
    token_version: grant?.epoch ?? 0,
    reported_tags: [...(observation?.reported_tags ?? [])],
    assigned_tags: [...(grant?.assigned_tags ?? [])],
    agent_version: observation?.agent_version ?? null,
    hostname: observation?.hostname ?? null,
    platform: observation?.platform ?? null,
    posture: { ...observation?.posture },
    certificate: presentCertificate(grant?.pinned_certificate ?? null, now, policy),
    candidate_certificate: presentCertificate(row.candidate, now, policy),
    attestation: { state: 'not_required', provider: null, verified_at: null, reason: null },
    hardware_identity: null,
    pending_review: presentReview(row),
    reason: grant?.reason ?? null,
    workflow: links.to({ kind: 'device', project: row.project_id, id: row.device_id }, null),
  };
}

/** What the tier depends on, for the decision and for its explanation alike. */
function tierInputsOf({ grant, pinned_revoked }: DeviceRow, policy: DevicePolicy): TierInputs {
  return {
    grant,
    pinned_not_after: grant?.pinned_certificate?.not_after ?? null,
    pinned_revoked,
    attestation: 'not_required',
    identity_verified: policy.identityVerified,
  };
}

/** Why the device stands where it stands, what it waits for, and which settings have led there. */
export function presentExplanation(row: DeviceRow, now: Date, policy: DevicePolicy): DeviceExplanation {
  const { trust_tier, facts } = explainTier(tierInputsOf(row, policy), now.toISOString());
  const seenAt = row.liveness?.last_seen_at ?? null;
  const liveness = livenessOf(seenAt, now, policy);
  return {
    device_id: row.device_id,
    trust_tier,
    facts: facts.map((fact) => ({ ...fact })),
    liveness: { state: liveness, text: livenessTexts[liveness], last_seen_at: seenAt },
    pending_review: presentReview(row),
    reason: row.grant?.reason ?? null,
    settings: [
      { name: 'SENTINEL_REQUIRE_DEVICE_MTLS', value: String(policy.identityVerified) },
      { name: 'SENTINEL_DEVICE_STALE_SECONDS', value: String(policy.staleSeconds) },
      { name: 'SENTINEL_DEVICE_OFFLINE_SECONDS', value: String(policy.offlineSeconds) },
    ],
    explained_at: now.toISOString(),
  };
}

const livenessTexts: Record<Liveness, string> = {
  online: 'It reports on time. How punctual it is never changes its tier.',
  stale: 'Its heartbeats are overdue. That does not change its tier.',
  offline: 'It has not been heard for long. That does not change its tier.',
};

/** A retired device keeps what people decided about it before. */
function approvalStateOf(grant: DeviceRow['grant']): DeviceApprovalState {
  if (grant === null) return 'pending';
  if (grant.state !== 'retired') return grant.state;
  return grant.approved_at === null ? 'pending' : 'approved';
}

function livenessOf(lastSeenAt: string | null, now: Date, policy: DevicePolicy): Liveness {
  if (lastSeenAt === null) return 'offline';
  const silentSeconds = (now.getTime() - Date.parse(lastSeenAt)) / 1000;
  if (silentSeconds >= policy.offlineSeconds) return 'offline';
  return silentSeconds >= policy.staleSeconds ? 'stale' : 'online';
}

function presentCertificate(facts: CertificateFacts | null, now: Date, policy: DevicePolicy): Device['certificate'] {
  if (facts === null) return null;
  const leftMs = Date.parse(facts.not_after) - now.getTime();
  const expiringSoon = leftMs < policy.expiringSoonDays * dayMs;
  const unless: RotationAdvice = expiringSoon ? 'recommended' : 'none';
  return {
    fingerprint_sha256: facts.fingerprint_sha256,
    serial_number: facts.serial_number,
    issuer: facts.issuer,
    subject: facts.subject,
    not_before: facts.not_before,
    not_after: facts.not_after,
    expiring_soon: expiringSoon,
    rotation: leftMs < rotationRequiredDays * dayMs ? 'required' : unless,
  };
}

function presentReview({ grant, review_approvals }: DeviceRow): Device['pending_review'] {
  if (!grant?.review) return null;
  const { id, kind, digest, expires_at, required } = grant.review;
  return { id, kind, digest, expires_at, approvals: review_approvals, required };
}
