// Objects as the API answers them, to be changed by a test where it matters.
import type { CertificatePlan } from '#contracts/http/certificates.ts';
import type { AttestationStatus } from '#contracts/http/attestation.ts';
import type { TrustAssertion } from '#contracts/http/trust-assertions.ts';
import type { Approval } from '#contracts/http/approvals.ts';
import type { AuditEvent, Integrity } from '#contracts/http/audit.ts';
import type { Device, HistoryEntry } from '#contracts/http/devices.ts';

const digest = 'd'.repeat(64);
const fingerprint = 'f'.repeat(64);
export const approvalId = '0190b6a0-0000-7000-8000-000000000001';

export function aDevice(changes: Partial<Device> = {}): Device {
  return {
    device_id: 'lab-1',
    project: 'default',
    approval_state: 'approved',
    retired: false,
    trust_tier: 'monitored',
    liveness: 'online',
    last_seen_at: '2026-01-02T03:04:00.000Z',
    first_seen_at: '2026-01-01T00:00:00.000Z',
    heartbeat_counter: 7,
    token_version: 1,
    reported_tags: ['lab'],
    assigned_tags: [],
    agent_version: '1.0.0',
    hostname: 'lab-1.example',
    platform: 'linux',
    posture: { disk_encrypted: true },
    directory: {},
    certificate: {
      fingerprint_sha256: fingerprint,
      serial_number: '4a',
      issuer: 'CN=Sentinel Development CA',
      subject: 'CN=lab-1',
      not_before: '2026-01-01T00:00:00.000Z',
      not_after: '2026-04-01T00:00:00.000Z',
      expiring_soon: false,
      rotation: 'none',
    },
    candidate_certificate: null,
    attestation: { state: 'not_required', provider: null, verified_at: null, reason: null },
    hardware_identity: null,
    pending_review: null,
    reason: null,
    workflow: { id: 'device/default/lab-1', url: null },
    ...changes,
  };
}

export function aPendingDevice(changes: Partial<Device> = {}): Device {
  return aDevice({
    approval_state: 'pending',
    trust_tier: 'observed',
    pending_review: {
      id: approvalId,
      kind: 'enrollment',
      digest,
      expires_at: '2026-01-09T00:00:00.000Z',
      approvals: 0,
      required: 1,
    },
    ...changes,
  });
}

export function anApproval(changes: Partial<Approval> = {}): Approval {
  return {
    id: approvalId,
    project: 'default',
    kind: 'enrollment',
    subject: { kind: 'device', id: 'lab-1' },
    content: { fingerprint_sha256: fingerprint, tags: ['lab'] },
    digest,
    state: 'open',
    requested_by: { kind: 'device', id: 'lab-1' },
    required_approvals: 1,
    permission: 'identity.review',
    votes: [],
    opened_at: '2026-01-02T00:00:00.000Z',
    expires_at: '2026-01-09T00:00:00.000Z',
    closed_at: null,
    workflow: { id: `approval/${approvalId}`, url: null },
    ...changes,
  };
}

export function anAuditEvent(changes: Partial<AuditEvent> = {}): AuditEvent {
  return {
    sequence: 1,
    occurred_at: '2026-01-02T03:00:00.000Z',
    category: 'identity',
    action: 'device.identity.approved',
    actor: { kind: 'user', id: 'approver1', ip: '127.0.0.1' },
    subject: { kind: 'device', id: 'lab-1' },
    outcome: 'success',
    details: {},
    previous_hash: '0'.repeat(64),
    hash: '1'.repeat(64),
    request_id: 'req-1',
    ...changes,
  };
}

export function anIntegrityReport(changes: Partial<Integrity> = {}): Integrity {
  return {
    valid: true,
    checked: 12,
    verified_from: 1,
    head_sequence: 12,
    unsealed: 0,
    checkpoint: null,
    first_broken_sequence: null,
    reason: null,
    ...changes,
  };
}

export function aHistoryEntry(changes: Partial<HistoryEntry> = {}): HistoryEntry {
  return {
    revision: 2,
    epoch: 1,
    at: '2026-01-02T03:00:00.000Z',
    event: 'identity.approved',
    by: { kind: 'user', id: 'approver1' },
    from_state: 'pending',
    to_state: 'approved',
    details: {},
    ...changes,
  };
}

export function aTrustAssertion(changes: Partial<TrustAssertion> = {}): TrustAssertion {
  return {
    assertion: 'eyJhbGciOiJFZERTQSJ9.e30.c2ln',
    assertion_id: '0190b6a0-0000-7000-8000-000000000009',
    key_id: 'key-1',
    issuer: 'https://sentinel.example',
    audience: 'demo',
    issued_at: '2026-01-02T03:04:05.000Z',
    expires_at: '2026-01-02T03:05:05.000Z',
    device_id: 'lab-1',
    project: 'default',
    trust_tier: 'monitored',
    approval_state: 'approved',
    retired: false,
    certificate_fingerprint_sha256: null,
    ...changes,
  };
}

export function aCertificatePlan(changes: Partial<CertificatePlan> = {}): CertificatePlan {
  const period = (from: string | null, before: string | null, none = 0, recommended = 0, required = 0) => {
    return { from, before, certificates: none + recommended + required, rotation: { none, recommended, required } };
  };
  return {
    by: 'week',
    certificates: 55,
    expired: 1,
    expiring_soon: 13,
    rotation: { none: 42, recommended: 8, required: 5 },
    periods: [
      period(null, '2026-01-02T03:04:05.001Z', 0, 0, 1),
      period('2026-01-02T03:04:05.001Z', '2026-01-05T00:00:00.000Z', 0, 0, 4),
      period('2026-01-05T00:00:00.000Z', '2026-01-12T00:00:00.000Z'),
      period('2026-01-12T00:00:00.000Z', null, 42, 8),
    ],
    counted_at: '2026-01-02T03:04:05.000Z',
    ...changes,
  };
}

export function anAttestationStatus(): AttestationStatus {
  return {
    device_id: 'lab-1',
    provider: 'tpm_quote_v1',
    required: true,
    state: 'failed',
    standing: {
      state: 'failed',
      generation: 2,
      confirmed_generation: 1,
      verdict: 9,
      unrecorded: 12,
      provider: 'tpm_quote_v1',
      key_id: 'ab',
      binding_id: 'cd',
      manufacturer: 'IBM',
      verified_at: '2026-01-02T03:00:00.000Z',
      fresh_until: '2026-01-02T03:00:00.000Z',
      code: 'attestation.failed',
      reason: 'pcr_mismatch',
      detail: 'Register 7 differs',
    },
    binding: { provider: 'tpm_quote_v1', key_id: 'ab', binding_id: 'cd' },
    registers: { sha256: [0, 7] },
    baselines: [{ match_tags: ['lab'], pcrs: { sha256: { 7: ['ee', 'ff'] } } }],
    challenge: { provider: 'tpm_quote_v1', expires_at: '2026-01-02T03:00:00.000Z' },
  };
}
