// Devices in every situation, and everything that can happen to them.
import { createHash } from 'node:crypto';
import { begin, take } from '#bench/simulate/model-actor.ts';
import type { MachineSnapshot } from '#contracts/actor.ts';
import type { AttestationPolicy, DeviceAttestation } from '#contracts/attestation.ts';
import type { CertificateFacts } from '#contracts/certificate.ts';
import type { IdentityPolicy } from '#contracts/policy.ts';
import type { Stamp } from '#machines/actor.ts';
import { deviceActor } from '#machines/device-actor.ts';
import { claimOf } from '#machines/device-attestation.ts';
import type { DeviceContext } from '#machines/device-context.ts';
import type { ApprovalRead, DeviceEvent, DeviceNews, EvidenceVerified } from '#machines/device-events.ts';
import type { HardwareClaim, Proposal } from '#machines/identity-review.ts';
import { after } from './machines.ts';

export type Device = MachineSnapshot<DeviceContext>;

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

export function certificate(name: string): CertificateFacts {
  return {
    fingerprint_sha256: sha256(name),
    serial_number: 'a1',
    issuer: 'CN=Test CA',
    subject: 'CN=d1',
    not_before: '2026-01-01T00:00:00.000Z',
    not_after: '2036-01-01T00:00:00.000Z',
  };
}

export const policy: IdentityPolicy = {
  require_new_device_approval: true,
  review_ttl_seconds: 3600,
  sensitive_tags: ['payments'],
  sensitive_approvals: 2,
};
export const openWindow: IdentityPolicy = { ...policy, require_new_device_approval: false };

/** What is asked of devices where evidence is wanted. */
export const asks: AttestationPolicy = {
  provider: 'tpm_quote_v1',
  required: true,
  require_hardware_binding: false,
  allow_key_rotation_with_stable_binding: false,
};
export const asksNobody: AttestationPolicy = { ...asks, provider: null };

/** A device that has answered its challenge, with this key in this hardware. */
export function standing(more: Partial<DeviceAttestation> = {}): DeviceAttestation {
  return {
    state: 'verified',
    generation: 1,
    verdict: 10,
    provider: 'tpm_quote_v1',
    key_id: 'key-1',
    binding_id: 'tpm-1',
    manufacturer: 'IFX',
    verified_at: after(1),
    fresh_until: after(301),
    code: null,
    reason: null,
    detail: null,
    clock: null,
    ...more,
  };
}

export function proposal(
  name: string,
  tags: readonly string[] = [],
  epoch = 0,
  hardware: HardwareClaim | null = null,
): Proposal {
  return {
    certificate: certificate(name),
    tags,
    content: {
      certificate: name,
      tags: [...tags],
      epoch,
      ...(hardware === null ? {} : { attestation: { ...hardware } }),
    },
    digest: sha256(`${name} ${tags.join(',')} ${epoch}${hardware === null ? '' : JSON.stringify(hardware)}`),
    hardware,
  };
}

let count = 0;
export function stamp(at: string, by: Stamp['by'] = { kind: 'system', id: 'actor' }): Stamp {
  count += 1;
  return { at, by, uuid: `00000000-0000-4000-8000-${String(count).padStart(12, '0')}`, request_id: null };
}

/** News as the device's activity fetches it for this snapshot. */
export function news(
  { context }: Device,
  found: {
    readonly presents?: string | null;
    readonly tags?: readonly string[];
    readonly revoked?: readonly string[];
    readonly policy?: IdentityPolicy;
    readonly generation?: number;
    readonly at?: string;
    readonly asks?: AttestationPolicy;
    readonly standing?: DeviceAttestation | null;
  } = {},
): DeviceNews {
  const { presents = null, tags = [], revoked = [], generation = context.review_generation } = found;
  const pinned = context.pinned;
  const attestation = { policy: found.asks ?? (found.standing ? asks : asksNobody), standing: found.standing ?? null };
  const hardware = claimOf(attestation);
  return {
    ...stamp(found.at ?? after(10)),
    type: 'news.fetched',
    policy: found.policy ?? policy,
    review_generation: generation,
    observed_digest: sha256(JSON.stringify([presents, tags])),
    reported_tags: tags,
    inbox_through: context.inbox_consumed,
    revoked: revoked.map((name) => certificate(name).fingerprint_sha256),
    candidate: presents === null ? null : proposal(presents, tags, context.epoch, hardware),
    pinned: pinned && {
      ...proposal(pinned.fingerprint_sha256, tags, context.epoch, hardware),
      certificate: pinned,
    },
    attestation,
  };
}

/** What the activity proved about the evidence of this standing. */
export function evidence(
  { context }: Device,
  proven: Partial<EvidenceVerified> = {},
  { generation, verdict, key_id, binding_id }: DeviceAttestation = standing(),
): EvidenceVerified {
  return {
    ...stamp(after(20)),
    type: 'evidence.verified',
    epoch: context.epoch,
    generation,
    verdict,
    policy: asks,
    valid: true,
    code: null,
    reason: null,
    key_id,
    binding_id,
    evidence_digest: sha256(`evidence ${verdict}`),
    ...proven,
  };
}

/** The awaited approval as the store has it. */
export function read(
  { context }: Device,
  approval: Partial<NonNullable<ApprovalRead['approval']>> | null,
  options: { readonly id?: string; readonly at?: string } = {},
): ApprovalRead {
  return {
    ...stamp(options.at ?? after(60)),
    type: 'approval.read',
    approval_id: options.id ?? context.review?.id ?? 'none',
    approval: approval && {
      state: 'open',
      digest: context.review?.digest ?? '',
      approvers: [],
      rejected_by: null,
      reason: null,
      ...approval,
    },
  };
}

export const approvedBy = (device: Device, ...approvers: string[]): ApprovalRead =>
  read(device, { state: 'approved', approvers });

export const operator = (
  type: 'device.reset' | 'device.retire',
  who = 'olga',
  request = `r${count++}`,
): DeviceEvent => ({
  ...stamp(after(120), { kind: 'user', id: who }),
  type,
  reason: 'because',
  request_id: request,
});

export const adopted = (): DeviceEvent => ({ ...stamp(after(30)), type: 'actor.adopted' });
export const refused = (): DeviceEvent => ({
  ...stamp(after(30)),
  type: 'commit.refused',
  requirement: 'approval.consumed',
});
export const deadline = (at: string): DeviceEvent => ({ ...stamp(at), type: 'deadline.passed', name: 'review' });

export const given = (device: Device, event: DeviceEvent): Device => take(deviceActor, device, event).snapshot;

export const unknown: Device = begin(deviceActor, { project: 'default', id: 'd1' });
export const pending = given(unknown, news(unknown, { presents: 'first' }));
export const pendingSensitive = given(unknown, news(unknown, { presents: 'first', tags: ['payments'] }));
export const approved = given(pending, approvedBy(pending, 'ann'));
export const rotating = given(approved, news(approved, { presents: 'second' }));
export const reappraised = given(approved, news(approved, { tags: ['payments'] }));
export const rejected = given(pending, read(pending, { state: 'rejected', rejected_by: 'ann', reason: 'stolen' }));
export const expired = given(pending, read(pending, { state: 'expired' }));
/** Bound to key-1 in tpm-1 with its enrollment, whose evidence came first. */
export const bound = ((): Device => {
  const shown = given(unknown, news(unknown, { presents: 'first', standing: standing() }));
  return given(shown, approvedBy(shown, 'ann'));
})();
export const trusted = given(bound, evidence(bound));
/** Approved before it gave evidence: its key waits for people. */
export const showing = given(approved, news(approved, { standing: standing() }));
export const retired = given(approved, operator('device.retire'));
export const reset = given(approved, operator('device.reset'));
