// Grants, commits, heartbeats and revocations for store tests: complete, and different only in what a test names.
import { createHash, randomUUID } from 'node:crypto';
import type { ApprovalRecord, Commit, DeviceGrant, TransitionRecord } from '#contracts/actor.ts';
import type { AttestationBasis, StoredChallenge } from '#contracts/attestation.ts';
import type { AuditEntry } from '#contracts/audit.ts';
import type { CertificateFacts } from '#contracts/certificate.ts';
import type { JsonObject } from '#contracts/deps.ts';
import type { ActorRef } from '#contracts/ids.ts';
import { standingAfter } from '#machines/attestation-standing.ts';
import { unjudged } from '#protocols/attestation-verdict.ts';
import { digestOf } from '#protocols/canonical-json.ts';
import { askForEvidence, recordVerdict } from '#store/attestation.ts';
import { commitActor } from '#store/actor.ts';
import { revokeCertificate } from '#store/denylist.ts';
import { heartbeatBatch, type HeartbeatItem, type HeartbeatVerdict } from '#store/heartbeat.ts';
import type { DeviceView } from '#store/device-filter.ts';
import type { Store } from '#store/store.ts';

export const noon = '2026-03-01T12:00:00.000Z';

/** How tests look at devices: at noon, with the usual limits. */
export const view: DeviceView = {
  now: noon,
  stale_seconds: 60,
  offline_seconds: 600,
  rotation_required_seconds: 7 * 86_400,
  rotation_recommended_seconds: 30 * 86_400,
  identity_verified: true,
  attestation_provider: null,
  attestation_required: false,
};

/** A time some seconds after noon. */
export function after(seconds: number): string {
  return new Date(Date.parse(noon) + seconds * 1000).toISOString();
}

export function digest(name: string): string {
  return createHash('sha256').update(name).digest('hex');
}

export function facts(name: string, more: Partial<CertificateFacts> = {}): CertificateFacts {
  return {
    fingerprint_sha256: digest(name),
    serial_number: `1${digest(name).slice(0, 15)}`,
    issuer: 'CN=Test CA',
    subject: `CN=${name}`,
    not_before: '2026-01-01T00:00:00.000Z',
    not_after: '2027-01-01T00:00:00.000Z',
    ...more,
  };
}

/** @param more.certificate name of the certificate; its fingerprint is `digest(name)`; null presents none */
export function heartbeat(
  deviceId: string,
  more: Partial<Omit<HeartbeatItem, 'certificate' | 'device_id'>> & { certificate?: string | null } = {},
): HeartbeatItem {
  const { certificate = `${deviceId}-1`, ...rest } = more;
  return {
    project: 'default',
    device_id: deviceId,
    certificate: certificate === null ? null : { facts: facts(certificate), pem: `PEM of ${certificate}` },
    counter: 1,
    observation: { hostname: 'host', platform: 'linux', agent_version: '1.0', tags: [], posture: {}, directory: {} },
    observed_digest: digest('observed'),
    acknowledgements: [],
    ...rest,
  };
}

/** What an API with settings that nobody changed allows. */
export const heartbeatLimits = { pendingLimit: 1000, signalIntervalSeconds: 43_200, silenceSeconds: 60 };

/** Sends a heartbeat, alone in its batch. */
export async function report(store: Store, item: HeartbeatItem, now = noon): Promise<HeartbeatVerdict> {
  const [verdict] = await heartbeatBatch(store, [item], heartbeatLimits, now);
  if (verdict === undefined) throw new TypeError('every heartbeat has a verdict');
  return verdict;
}

/** @param fingerprint of the certificate; null for the one that the device has */
export function revoke(
  store: Store,
  deviceId: string,
  fingerprint: string | null = null,
  { now = noon, project = 'default' }: { readonly now?: string; readonly project?: string } = {},
): ReturnType<typeof revokeCertificate> {
  const by = { kind: 'user', id: 'sam' } as const;
  const revocation = { device_id: deviceId, fingerprint_sha256: fingerprint, reason: 'lost', by, request_id: 'r' };
  return revokeCertificate(store, project, revocation, now);
}

/** A review that a grant names. */
export function review(id: string): JsonObject {
  return { id, kind: 'enrollment', digest: digest('subject'), expires_at: after(3600), required: 2 };
}

export function grant(more: Partial<DeviceGrant> = {}): DeviceGrant {
  return {
    state: 'pending',
    tier: 'observed',
    epoch: 1,
    counter_epoch: 1,
    review_generation: 0,
    pinned_fingerprint: null,
    pinned_certificate: null,
    candidate_fingerprint: null,
    rejected_fingerprints: [],
    assigned_tags: [],
    approvers: [],
    review: null,
    applied_digest: null,
    inbox_consumed: 0,
    reason: null,
    approved_at: null,
    attestation_provider: null,
    attestation_key: null,
    hardware_binding: null,
    attested_generation: null,
    ...more,
  };
}

/** An approved grant that pins this certificate and has taken in what `heartbeat` observes. */
export function approved(certificate: string, more: Partial<DeviceGrant> = {}): DeviceGrant {
  return grant({
    state: 'approved',
    tier: 'monitored',
    review_generation: 1,
    pinned_fingerprint: digest(certificate),
    pinned_certificate: { ...facts(certificate) },
    applied_digest: digest('observed'),
    approved_at: noon,
    ...more,
  });
}

export function approval(more: Partial<ApprovalRecord> = {}): ApprovalRecord {
  return {
    kind: 'enrollment',
    subject_kind: 'device',
    subject_id: 'd1',
    subject: { device_id: 'd1' },
    digest: digest('subject'),
    state: 'open',
    requested_by: { kind: 'device', id: 'd1' },
    required_approvals: 1,
    permission: 'identity.review',
    votes: [],
    opened_at: noon,
    expires_at: after(3600),
    closed_at: null,
    ...more,
  };
}

export function transition(revision: number, more: Partial<TransitionRecord> = {}): TransitionRecord {
  return {
    revision,
    at: noon,
    event: 'news.fetched',
    by: { kind: 'system', id: 'actor' },
    from_state: revision === 1 ? null : 'pending',
    to_state: 'pending',
    details: {},
    ...more,
  };
}

export function auditEntry(more: Partial<AuditEntry> = {}): AuditEntry {
  return {
    occurred_at: noon,
    category: 'identity',
    action: 'heartbeat.refused',
    actor: { kind: 'device', id: 'd1', ip: '192.0.2.1' },
    subject: { kind: 'device', id: 'd1' },
    outcome: 'refused',
    details: { code: 'heartbeat.replayed' },
    request_id: 'request-1',
    ...more,
  };
}

/** A commit of a device actor for the revisions `from + 1 … to`. */
export function deviceCommit(more: Partial<Commit> & { row?: DeviceGrant } = {}): Commit {
  const { row = grant(), from = 0, to = from + 1, ...rest } = more;
  return {
    actor: { kind: 'device', project: 'default', id: 'd1' },
    epoch: 1,
    from,
    to,
    succeeds: null,
    machine_version: 1,
    snapshot: { value: row.state, context: {} },
    transitions: Array.from({ length: to - from }, (_, i) => transition(from + 1 + i, { to_state: row.state })),
    projection: { kind: 'device', row },
    audit: [],
    outbox: [],
    requirements: [],
    ...rest,
  };
}

export function approvalCommit(id: string, more: Partial<Commit> & { row?: ApprovalRecord } = {}): Commit {
  const { row = approval(), ...rest } = more;
  return deviceCommit({
    actor: { kind: 'approval', project: 'default', id },
    snapshot: { value: row.state, context: {} },
    projection: { kind: 'approval', row },
    ...rest,
  });
}

/** Commits and must succeed. */
export async function commit(store: Store, runId: string, change: Commit, now = noon): Promise<void> {
  const result = await commitActor(store, runId, change, digestOf(change), now);
  if (result.status !== 'committed') throw new TypeError(`not committed: ${JSON.stringify(result)}`);
}

/**
 * Writes a grant as the next commit of the device's actor, whatever was committed before.
 *
 * @param noted fingerprints of revoked certificates that the actor has taken note of
 */
export async function decide(
  store: Store,
  ref: Omit<ActorRef, 'kind'> | string,
  row: DeviceGrant,
  now = noon,
  noted: readonly string[] = [],
): Promise<void> {
  const { project, id } = typeof ref === 'string' ? { project: 'default', id: ref } : ref;
  const actor = { kind: 'device' as const, project, id };
  const snapshot = { value: row.state, context: { revoked_fingerprints: noted } as never };
  const empty = deviceCommit({ actor, row, snapshot, from: 0, to: 1 });
  const result = await commitActor(store, 'run-1', empty, randomUUID(), now);
  if (result.status === 'committed') return;
  const from = result.status === 'fenced' && result.row ? result.row.revision : 0;
  await commit(store, 'run-1', deviceCommit({ actor, row, snapshot, from }), now);
}

/** A verdict on evidence that the device was asked for, with which its key was activated, and what it is asked next. */
export async function attest(store: Store, ref: { readonly project: string; readonly id: string }): Promise<void> {
  const { project, id: device_id } = ref;
  const challenge = (nonce: string): StoredChallenge => ({
    provider: 'signed_measurement_v1',
    nonce: nonce.repeat(43),
    selection: { sha256: [0] },
    issued_at: noon,
    expires_at: after(300),
    activation: null,
  });
  const announce = (): [] => [];
  const [standing] = await askForEvidence(store, project, [{ project, device_id, own: false }], {
    now: noon,
    questionFor: () => challenge('A'),
    challengeFor: () => challenge('A'),
    withoutEvidence: () => null,
    announce,
  });
  const basis = { provider: 'signed_measurement_v1' } as AttestationBasis;
  const circumstances = {
    device_id,
    challenge: standing?.challenge ?? null,
    bound: null,
    proven: null,
    last_clock: null,
    assigned_tags: [],
    external: null,
  };
  await recordVerdict(
    store,
    project,
    {
      device_id,
      evidence: {},
      evidence_digest: digest('evidence'),
      circumstances,
      basis,
      basis_digest: digest('basis'),
      result: { ...unjudged, key_id: 'key', binding_id: 'hardware' },
      activates: true,
    },
    {
      now: noon,
      next: challenge('B'),
      mostUnmoving: 1,
      announce,
      standingAfter: (before) => standingAfter(before, unjudged, { provider: 'signed_measurement_v1', at: noon }),
    },
  );
}
