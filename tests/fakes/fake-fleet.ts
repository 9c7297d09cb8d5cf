// A fleet made up for the console's tests: one device for every state that a page has to show.
import { createHash } from 'node:crypto';
import { attestationProviders } from '#contracts/attestation.ts';
import type { AttestationStatus, AttestationVerdict } from '#contracts/http/attestation.ts';
import type { Approval } from '#contracts/http/approvals.ts';
import type { AuditEvent } from '#contracts/http/audit.ts';
import type { Device, HistoryEntry } from '#contracts/http/devices.ts';

const second = 1000;
const hour = 3600 * second;
const day = 24 * hour;

export interface FakeFleet {
  readonly devices: Map<string, Device>;
  readonly approvals: Map<string, Approval>;
  readonly history: Map<string, HistoryEntry[]>;
  readonly audit: AuditEvent[];
}

const hex = (text: string): string => createHash('sha256').update(text).digest('hex');
const uuid = (text: string): string => hex(text).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-$3-$4-$5');

type Certificate = NonNullable<Device['certificate']>;

/** When a certificate of this fleet is called urgent. */
export const rotationPolicy = {
  SENTINEL_CERT_EXPIRING_SOON_DAYS: 14,
  SENTINEL_ROTATION_RECOMMENDED_DAYS: 14,
  SENTINEL_ROTATION_REQUIRED_DAYS: 3,
};

function certificateOf(name: string, nowMs: number, daysLeft = 74): Certificate {
  return {
    fingerprint_sha256: hex(`certificate ${name}`),
    serial_number: hex(`serial ${name}`).slice(0, 32),
    issuer: 'CN=Sentinel Development Device CA,O=Sentinel',
    subject: `CN=${name.replace(/ .*/, '')},O=Sentinel`,
    not_before: at(nowMs - (90 - daysLeft) * day),
    not_after: at(nowMs + daysLeft * day),
    expiring_soon: daysLeft < rotationPolicy.SENTINEL_CERT_EXPIRING_SOON_DAYS,
    rotation: rotationFor(daysLeft),
  };
}

function rotationFor(daysLeft: number): Certificate['rotation'] {
  if (daysLeft < rotationPolicy.SENTINEL_ROTATION_REQUIRED_DAYS) return 'required';
  return daysLeft < rotationPolicy.SENTINEL_ROTATION_RECOMMENDED_DAYS ? 'recommended' : 'none';
}

const at = (ms: number): string => new Date(ms).toISOString();

export function fakeDevice(deviceId: string, nowMs: number, change: Partial<Device> = {}): Device {
  return {
    device_id: deviceId,
    project: 'default',
    approval_state: 'approved',
    retired: false,
    trust_tier: 'monitored',
    liveness: 'online',
    last_seen_at: at(nowMs - 4 * second),
    first_seen_at: at(nowMs - 31 * day),
    heartbeat_counter: 17_204,
    token_version: 1,
    reported_tags: ['site:berlin', 'role:kiosk'],
    assigned_tags: [],
    agent_version: '0.1.0',
    hostname: `ip-10-20-${deviceId.length}-${deviceId.charCodeAt(deviceId.length - 1)}`,
    platform: 'linux-x64',
    posture: { disk_encrypted: true, firewall: 'on', os_version: 'Debian 12.8', uptime_hours: 412 },
    directory: {},
    certificate: certificateOf(deviceId, nowMs),
    candidate_certificate: null,
    attestation: { state: 'not_required', provider: null, verified_at: null, reason: null },
    hardware_identity: null,
    pending_review: null,
    reason: null,
    workflow: {
      id: `device/default/${deviceId}`,
      url: `/temporal/namespaces/default/workflows/device%2Fdefault%2F${deviceId}`,
    },
    ...change,
  };
}

const contentOf = (device: Device, certificate: Certificate) => {
  const { expiring_soon: _, rotation: __, ...facts } = certificate;
  return {
    project: device.project,
    device_id: device.device_id,
    epoch: device.token_version,
    certificate: facts,
    tags: device.reported_tags,
    hostname: device.hostname,
    platform: device.platform,
  };
};

/** Where a made-up device stands with its evidence: bound to its hardware, where it has any. */
export function attestationOf({ device_id, attestation, hardware_identity }: Device, nowMs: number): AttestationStatus {
  const { state, verified_at, reason: detail } = attestation;
  const provider = attestationProviders.find((name) => name === attestation.provider) ?? null;
  const key = { provider: provider ?? 'tpm_quote_v1', key_id: hex(`${device_id} key`), binding_id: hardware_identity };
  const standing = {
    ...{ ...key, generation: 3, confirmed_generation: 3, verdict: 2, unrecorded: 0, verified_at, detail },
    manufacturer: hardware_identity === null ? null : 'IFX',
    fresh_until: verified_at === null ? null : at(Date.parse(verified_at) + 300 * second),
    code: state === 'failed' ? 'attestation.failed' : null,
    reason: state === 'failed' ? 'pcr_mismatch' : null,
  };
  return {
    ...{ device_id, provider, required: provider !== null, state },
    standing:
      provider === null
        ? null
        : { ...standing, state: state === 'verified' || state === 'failed' ? state : 'challenged' },
    binding: provider === null ? null : key,
    registers: provider === null ? null : { sha256: [0, 2, 4, 7] },
    baselines: [],
    challenge: provider === null ? null : { provider, expires_at: at(nowMs + 200 * second) },
  };
}

/** Its last evidence, and the first that made it verified. */
export function verdictsOf(device: Device, nowMs: number): AttestationVerdict[] {
  const { standing } = attestationOf(device, nowMs);
  if (standing === null) return [];
  const { key_id, binding_id, manufacturer, code, reason, detail } = standing;
  const verdict = {
    ...{ key_id, binding_id, manufacturer, code: null, reason: null, detail: null, fresh_until: null, generation: 3 },
    ...{ evidence_digest: hex('evidence'), basis_digest: hex('basis'), unrecorded: 0 },
  };
  return [
    {
      ...{ ...verdict, verdict: 2, at: at(nowMs - 40 * second), changed: standing.state === 'failed' },
      ...(standing.state === 'failed' ? { outcome: 'refused', code, reason, detail } : { outcome: 'verified' }),
    },
    { ...verdict, verdict: 1, at: at(nowMs - 3 * day), changed: true, outcome: 'verified' },
  ];
}

interface Review {
  readonly kind: Approval['kind'];
  readonly required: number;
  readonly votes?: Approval['votes'];
  readonly requestedBy?: Approval['requested_by'];
  /** The attestation key and hardware that the device would be bound to. */
  readonly hardware?: Readonly<Record<string, string | null>>;
}

/** Puts a device under review. */
export function putUnderReview(fleet: FakeFleet, device: Device, nowMs: number, review: Review): Approval {
  const certificate =
    device.candidate_certificate ?? device.certificate ?? certificateOf(`${device.device_id} new`, nowMs);
  const id = uuid(`${device.device_id} ${review.kind}`);
  const approval: Approval = {
    id,
    project: device.project,
    kind: review.kind,
    subject: { kind: 'device', id: device.device_id },
    content: {
      ...contentOf(device, certificate),
      ...(review.hardware === undefined ? {} : { attestation: review.hardware }),
    },
    digest: hex(`${id} ${certificate.fingerprint_sha256}`),
    state: 'open',
    requested_by: review.requestedBy ?? { kind: 'device', id: device.device_id },
    required_approvals: review.required,
    permission: 'identity.review',
    votes: review.votes ?? [],
    opened_at: at(nowMs - 2 * hour),
    expires_at: at(nowMs + 3 * day),
    closed_at: null,
    workflow: { id: `approval/${id}`, url: `/temporal/namespaces/default/workflows/approval%2F${id}` },
  };
  fleet.approvals.set(id, approval);
  fleet.devices.set(device.device_id, {
    ...device,
    pending_review: {
      id,
      kind: review.kind,
      digest: approval.digest,
      expires_at: approval.expires_at,
      approvals: approval.votes.length,
      required: review.required,
    },
  });
  return approval;
}

export function appendAudit(
  fleet: FakeFleet,
  event: Omit<AuditEvent, 'sequence' | 'previous_hash' | 'hash'>,
): AuditEvent {
  const sequence = fleet.audit.length + 1;
  const previous_hash = fleet.audit.at(-1)?.hash ?? '0'.repeat(64);
  const whole = { sequence, ...event, previous_hash, hash: hex(`${previous_hash}${JSON.stringify(event)}`) };
  fleet.audit.push(whole);
  return whole;
}

export function fakeFleet(nowMs: number): FakeFleet {
  const fleet: FakeFleet = { devices: new Map(), approvals: new Map(), history: new Map(), audit: [] };
  const verified = {
    state: 'verified',
    provider: 'tpm_quote_v1',
    verified_at: at(nowMs - 40 * second),
    reason: null,
  } as const;
  const hardware = `tpm:${hex('endorsement key').slice(0, 40)}`;
  const add = (id: string, change: Partial<Device> = {}) => {
    const device = fakeDevice(id, nowMs, change);
    fleet.devices.set(id, device);
    return device;
  };

  add('gate-north-01', {
    trust_tier: 'trusted',
    attestation: verified,
    hardware_identity: hardware,
    assigned_tags: ['tier:critical'],
  });
  add('gate-north-02', { trust_tier: 'trusted', attestation: verified, hardware_identity: `${hardware}2` });
  add('kiosk-berlin-01');
  add('kiosk-berlin-02', { last_seen_at: at(nowMs - 9 * second) });
  add('kiosk-berlin-03', { liveness: 'stale', last_seen_at: at(nowMs - 142 * second) });
  add('kiosk-hamburg-01', { certificate: certificateOf('kiosk-hamburg-01', nowMs, 9) });
  add('kiosk-hamburg-02', { certificate: certificateOf('kiosk-hamburg-02', nowMs, 2) });
  add('kiosk-lapsed-01', { trust_tier: 'restricted', certificate: certificateOf('kiosk-lapsed-01', nowMs, -3) });
  add('laptop-7f3a', {
    platform: 'darwin-arm64',
    reported_tags: ['role:laptop', 'team:field', 'site:remote', 'os:macos'],
    last_seen_at: at(nowMs - 6 * hour),
    liveness: 'offline',
  });
  add('meter-0042', {
    trust_tier: 'restricted',
    attestation: {
      state: 'failed',
      provider: 'signed_measurement_v1',
      verified_at: at(nowMs - 3 * day),
      reason: 'PCR 7 does not fit the baseline',
    },
  });
  add('meter-0043', {
    trust_tier: 'observed',
    attestation: { ...verified, state: 'stale', verified_at: at(nowMs - 2 * day) },
  });
  add('printer-lobby', { trust_tier: 'revoked', reason: 'Private key was found on a shared drive' });
  add('old-scanner', {
    retired: true,
    trust_tier: 'restricted',
    liveness: 'offline',
    last_seen_at: at(nowMs - 40 * day),
  });
  add('unknown-box', {
    approval_state: 'rejected',
    trust_tier: 'restricted',
    certificate: null,
    reason: 'Nobody ordered it',
    hostname: null,
    platform: null,
    agent_version: null,
    posture: {},
    directory: {},
    reported_tags: [],
  });

  const fresh = {
    approval_state: 'pending',
    trust_tier: 'observed',
    certificate: null,
    first_seen_at: at(nowMs - 2 * hour),
    heartbeat_counter: null,
  } as const;
  putUnderReview(
    fleet,
    add('kiosk-munich-01', { ...fresh, candidate_certificate: certificateOf('kiosk-munich-01 new', nowMs, 90) }),
    nowMs,
    { kind: 'enrollment', required: 1 },
  );
  putUnderReview(
    fleet,
    add('vault-door-01', {
      ...fresh,
      reported_tags: ['tier:critical', 'site:berlin'],
      candidate_certificate: certificateOf('vault-door-01 new', nowMs, 90),
    }),
    nowMs,
    {
      kind: 'enrollment',
      required: 2,
      votes: [
        { by: 'approver2', decision: 'approve', reason: 'Checked the serial number on site', at: at(nowMs - hour) },
      ],
    },
  );
  putUnderReview(
    fleet,
    add('gate-south-01', { candidate_certificate: certificateOf('gate-south-01 new', nowMs, 90) }),
    nowMs,
    { kind: 'rotation', required: 1 },
  );

  const person = (id: string) => ({ kind: 'user', id, ip: '192.0.2.17' }) as const;
  for (const [index, device] of [...fleet.devices.values()].entries()) {
    const on = { kind: 'device', id: device.device_id };
    const opened = nowMs - 31 * day + index * hour;
    const entry = (revision: number, change: Partial<HistoryEntry>): HistoryEntry => ({
      revision,
      epoch: 1,
      at: at(opened + revision * 90 * second),
      event: 'news.fetched',
      by: { kind: 'system', id: 'worker' },
      from_state: 'pending',
      to_state: 'pending',
      details: {},
      ...change,
    });
    fleet.history.set(device.device_id, [
      entry(3, {
        event: 'approval.read',
        to_state: 'approved',
        by: { kind: 'user', id: 'approver1' },
        details: { approvers: ['approver1'], digest: hex(device.device_id) },
      }),
      entry(2, { event: 'approval.opened', details: { kind: 'enrollment', required_approvals: 1 } }),
      entry(1, { event: 'device.first_contact', from_state: null, by: { kind: 'device', id: device.device_id } }),
    ]);
    appendAudit(fleet, {
      occurred_at: at(opened),
      category: 'identity',
      action: 'device.identity.pending',
      actor: { kind: 'device', id: device.device_id, ip: '198.51.100.7' },
      subject: on,
      outcome: 'success',
      details: { kind: 'enrollment', required_approvals: 1 },
      request_id: null,
    });
    appendAudit(fleet, {
      occurred_at: at(opened + 270 * second),
      category: 'identity',
      action: 'device.identity.approved',
      actor: person('approver1'),
      subject: on,
      outcome: 'success',
      details: { approvers: ['approver1'], digest: hex(device.device_id) },
      request_id: uuid(`${index}`),
    });
  }
  appendAudit(fleet, {
    occurred_at: at(nowMs - 3 * hour),
    category: 'identity',
    action: 'device.certificate.revoked',
    actor: person('security1'),
    subject: { kind: 'device', id: 'printer-lobby' },
    outcome: 'success',
    details: {
      reason: 'Private key was found on a shared drive',
      fingerprint_sha256: hex('certificate printer-lobby'),
    },
    request_id: uuid('revoke'),
  });
  appendAudit(fleet, {
    occurred_at: at(nowMs - hour),
    category: 'auth',
    action: 'login',
    actor: { kind: 'user', id: 'mallory', ip: '203.0.113.9' },
    subject: { kind: 'user', id: 'mallory' },
    outcome: 'refused',
    details: { code: 'auth.invalid_credentials' },
    request_id: uuid('mallory'),
  });
  return fleet;
}
