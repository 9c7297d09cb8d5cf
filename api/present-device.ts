// The device object of the API: what was decided, what was reported, and what both come to now.
import type { CertificateFacts } from '#contracts/certificate.ts';
import type { Certificate, Device, HistoryEntry } from '#contracts/http/devices.ts';
import type { DeviceExplanation } from '#contracts/http/explanation.ts';
import { attestationProviders } from '#contracts/attestation.ts';
import type { Settings } from '#contracts/settings.ts';
import type { AttestationState, DeviceApprovalState, TrustTier } from '#contracts/states.ts';
import { attestationStateOf } from '#machines/attestation-standing.ts';
import { certificateLife } from '#machines/certificate-life.ts';
import { effectiveTier, type TierInputs } from '#machines/effective-tier.ts';
import { explainedEvidence } from '#machines/evidence-words.ts';
import { explainDevice, type ExplanationPolicy, type OpenReview } from '#machines/explanation.ts';
import { livenessOf } from '#machines/liveness.ts';
import type { CertificateRow } from '#store/certificate.ts';
import type { DeviceRow, HistoryRow } from '#store/device.ts';
import { permissionOf } from './votes.ts';
import type { WorkflowLinks } from './workflow-links.ts';

/** The settings that a device is presented by. */
export type DevicePolicy = ExplanationPolicy &
  Pick<Settings, 'SENTINEL_ATTESTATION_PROVIDER' | 'SENTINEL_ATTESTATION_REQUIRED'>;

export function presentDevice(row: DeviceRow, now: Date, policy: DevicePolicy, links: WorkflowLinks): Device {
  const { grant, liveness, observation } = row;
  const tier = effectiveTierOf(tierRowOf(row), now, policy);
  return {
    device_id: row.device_id,
    project: row.project_id,
    approval_state: approvalStateOf(grant),
    retired: grant?.state === 'retired',
    trust_tier: tier,
    liveness: livenessOf(liveness?.last_seen_at ?? null, now.toISOString(), policy),
    last_seen_at: liveness?.last_seen_at ?? null,
    first_seen_at: liveness?.first_seen_at ?? null,
    heartbeat_counter: countedBy(row),
    token_version: grant?.epoch ?? 0,
    reported_tags: [...(observation?.reported_tags ?? [])],
    assigned_tags: [...(grant?.assigned_tags ?? [])],
    agent_version: observation?.agent_version ?? null,
    hostname: observation?.hostname ?? null,
    platform: observation?.platform ?? null,
    posture: { ...observation?.posture },
    directory: { ...observation?.directory },
    certificate: grant?.pinned_certificate ? presentCertificate(grant.pinned_certificate, now, policy) : null,
    candidate_certificate: row.candidate && presentCertificate(row.candidate, now, policy),
    attestation: presentAttestation(row, now, policy),
    hardware_identity: hardwareOf(row),
    pending_review: presentReview(row),
    reason: grant?.reason ?? null,
    workflow: links.to({ kind: 'device', project: row.project_id, id: row.device_id }, null),
  };
}

/** The last counter that was accepted; those before a reset do not count. */
export function countedBy({ grant, liveness }: DeviceRow): number | null {
  const counts = liveness !== null && liveness.heartbeat_counter > 0 && liveness.counter_epoch === grant?.counter_epoch;
  return counts ? liveness.heartbeat_counter : null;
}

/** What the rows of a device say of its tier. */
type TierRow = Pick<CertificateRow, 'grant' | 'pinned_not_after' | 'pinned_revoked' | 'attestation'>;

/** The tier now, wherever the device is shown. */
export function effectiveTierOf(row: TierRow, now: Date, policy: DevicePolicy): TrustTier {
  return effectiveTier(tierInputsOf(row, now, policy), now.toISOString()).tier;
}

const tierRowOf = (row: DeviceRow): TierRow => ({
  ...row,
  pinned_not_after: row.grant?.pinned_certificate?.not_after ?? null,
});

/** What the tier depends on, for the decision and for its explanation alike. */
function tierInputsOf(row: TierRow, now: Date, policy: DevicePolicy): TierInputs {
  const { grant, pinned_not_after, pinned_revoked } = row;
  return {
    grant,
    pinned_not_after,
    pinned_revoked,
    attestation: attestationOf(row, now, policy),
    identity_verified: policy.SENTINEL_REQUIRE_DEVICE_MTLS,
  };
}

function attestationOf(
  { attestation, grant }: Pick<TierRow, 'attestation' | 'grant'>,
  now: Date,
  policy: DevicePolicy,
): AttestationState {
  const provider = attestationProviders.find((name) => name === policy.SENTINEL_ATTESTATION_PROVIDER) ?? null;
  const required = policy.SENTINEL_ATTESTATION_REQUIRED;
  return attestationStateOf({ provider, required }, attestation, grant, now.toISOString());
}

function presentAttestation(row: DeviceRow, now: Date, policy: DevicePolicy): Device['attestation'] {
  const state = attestationOf(row, now, policy);
  const { provider = null, verified_at = null, detail = null } = row.attestation ?? {};
  return { state, provider: state === 'not_required' ? null : provider, verified_at, reason: detail };
}

/** What people have bound the device to, else what its evidence has shown. */
function hardwareOf({ grant, attestation }: DeviceRow): string | null {
  return grant?.binding?.binding_id ?? attestation?.binding_id ?? null;
}

/** Why the device stands where it stands, what it waits for, and which settings have led there. */
export function presentExplanation(row: DeviceRow, now: Date, policy: DevicePolicy): DeviceExplanation {
  const { grant, liveness } = row;
  const { settings, answers, facts, ...explanation } = explainDevice(
    {
      tier: tierInputsOf(tierRowOf(row), now, policy),
      revocation: row.revocation ?? null,
      approved_at: grant?.approved_at ?? null,
      approvers: grant?.approvers ?? [],
      reason: grant?.reason ?? null,
      last_seen_at: liveness?.last_seen_at ?? null,
      evidence: row.attestation && explainedEvidence(row.attestation, grant, now.toISOString()),
      review: openReviewOf(row),
    },
    now.toISOString(),
    policy,
  );
  return {
    device_id: row.device_id,
    ...explanation,
    answers: [...answers],
    facts: facts.map((fact) => ({ ...fact, by: [...fact.by], settings: [...fact.settings] })),
    waits_for: explanation.waits_for && {
      ...explanation.waits_for,
      voters: [...explanation.waits_for.voters],
      roles: [...explanation.waits_for.roles],
    },
    pending_review: presentReview(row),
    reason: grant?.reason ?? null,
    settings: settings.map((name) => ({ name, value: String(policy[name]) })),
    explained_at: now.toISOString(),
  };
}

function openReviewOf({ grant, review_voters, review_permission }: DeviceRow): OpenReview | null {
  if (!grant?.review) return null;
  const permission = permissionOf({ permission: review_permission ?? 'identity.review' });
  return { ...grant.review, voters: review_voters, permission };
}

/** A retired device keeps what people decided about it before. */
function approvalStateOf(grant: DeviceRow['grant']): DeviceApprovalState {
  if (grant === null) return 'pending';
  if (grant.state !== 'retired') return grant.state;
  return grant.approved_at === null ? 'pending' : 'approved';
}

export function presentCertificate(facts: CertificateFacts, now: Date, policy: DevicePolicy): Certificate {
  const { expiring_soon, rotation } = certificateLife(facts.not_after, now.toISOString(), policy);
  return {
    fingerprint_sha256: facts.fingerprint_sha256,
    serial_number: facts.serial_number,
    issuer: facts.issuer,
    subject: facts.subject,
    not_before: facts.not_before,
    not_after: facts.not_after,
    expiring_soon,
    rotation,
  };
}

function presentReview({ grant, review_voters }: DeviceRow): Device['pending_review'] {
  if (!grant?.review) return null;
  const { id, kind, digest, expires_at, required } = grant.review;
  return { id, kind, digest, expires_at, approvals: review_voters.length, required };
}

export function presentHistory(row: HistoryRow): HistoryEntry {
  const { revision, epoch, at, event, by, from_state, to_state, details } = row;
  return {
    revision,
    epoch,
    at,
    event,
    by: { kind: by.kind, id: by.id },
    from_state,
    to_state,
    details: { ...details },
  };
}
