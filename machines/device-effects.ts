// What a device's transitions write down, require of the store and ask of other actors.
import type { CommitRequirement } from '#contracts/actor.ts';
import type { EventType } from '#contracts/audit.ts';
import type { JsonObject } from '#contracts/deps.ts';
import { callWith, recordWith, requireWith, type RecordEffect } from './actor.ts';
import { attestationIn, bindingOf, unconfirmed } from './device-attestation.ts';
import type { DeviceContext } from './device-context.ts';
import type { Args, DeviceCall } from './device-events.ts';

/** Audited under their own names; what goes out for a change of trust is `device.trust.updated`. */
type AttestationAction =
  | 'device.attestation.confirmed'
  | 'device.attestation.disputed'
  | 'device.attestation.key_replaced'
  | 'device.hardware.bound'
  | 'device.hardware.rejected';

export const identity = (
  action: EventType | AttestationAction,
  context: DeviceContext,
  details: JsonObject = {},
): RecordEffect => ({
  category: 'identity',
  action,
  outcome: 'success',
  details: { device_id: context.device_id, epoch: context.epoch, trust_tier: context.tier, ...details },
});

export const recordIdentity = (
  action: EventType | AttestationAction,
  details: (args: Args) => JsonObject = () => ({}),
) => recordWith((args: Args) => identity(action, args.context, details(args)));
export const recordPending = recordIdentity('device.identity.pending', ({ context }) => ({
  approval_id: context.review?.id ?? null,
  kind: context.review?.kind ?? null,
  digest: context.review?.digest ?? null,
  fingerprint_sha256: context.review?.certificate.fingerprint_sha256 ?? null,
  attestation_key: context.review?.hardware?.key_id ?? null,
  required_approvals: context.review?.required ?? null,
  expires_at: context.review?.expires_at ?? null,
}));

const boundTo = (context: DeviceContext): JsonObject => {
  const { attestation_provider, attestation_key, hardware_binding } = attestationIn(context);
  return { attestation_provider, attestation_key, hardware_binding };
};

export const recordBound = recordIdentity('device.hardware.bound', ({ context, event }) => ({
  ...boundTo(context),
  approvers: event.type === 'approval.read' ? [...(event.approval?.approvers ?? [])] : [],
  reason: event.type === 'approval.read' ? (event.approval?.reason ?? null) : null,
}));
export const recordHardwareRejected = recordIdentity('device.hardware.rejected', ({ context, event }) => ({
  attestation_key: context.rejected_keys.at(-1) ?? null,
  rejected_by: event.type === 'approval.read' ? (event.approval?.rejected_by ?? null) : null,
  reason: event.type === 'approval.read' ? (event.approval?.reason ?? null) : null,
}));
const verdictOf = ({ event }: Args): JsonObject => {
  if (event.type !== 'evidence.verified') return {};
  const { generation, verdict, code, reason, key_id, binding_id, evidence_digest } = event;
  return { generation, verdict, code, reason, key_id, binding_id, evidence_digest };
};
export const recordConfirmed = recordIdentity('device.attestation.confirmed', verdictOf);
/** Before the key is taken. */
export const recordKeyReplaced = recordIdentity('device.attestation.key_replaced', (args) => ({
  ...verdictOf(args),
  replaced_key_id: attestationIn(args.context).attestation_key,
}));
export const recordDisputed = recordWith((args: Args): RecordEffect => ({
  ...identity('device.attestation.disputed', args.context, { ...verdictOf(args), ...boundTo(args.context) }),
  outcome: 'failed',
}));

export const recordApproved = recordIdentity('device.identity.approved', ({ context }) => ({
  fingerprint_sha256: context.pinned?.fingerprint_sha256 ?? null,
  approvers: [...context.approvers],
  ...boundTo(context),
  reason: context.reason,
}));
export const recordRejected = recordIdentity('device.identity.rejected', ({ context, event }) => ({
  fingerprint_sha256: context.rejected_fingerprints.at(-1) ?? null,
  rejected_by: event.type === 'approval.read' ? (event.approval?.rejected_by ?? null) : null,
  reason: context.reason,
}));
export const recordRotated = recordIdentity('device.certificate.rotated', ({ context }) => ({
  fingerprint_sha256: context.pinned?.fingerprint_sha256 ?? null,
  replaced_fingerprint_sha256: context.rejected_fingerprints.at(-1) ?? null,
}));
export const recordRevoked = recordIdentity('device.identity.expired', () => ({
  reason: 'the certificate was revoked',
}));
export const recordUnusable = recordIdentity('device.identity.expired', () => ({
  reason: 'the approval was used before',
}));

const newsCall = ({ context }: Args): DeviceCall => ({
  name: 'news.fetch',
  key: 'news.fetch',
  input: {
    project: context.project,
    device_id: context.device_id,
    epoch: context.epoch,
    review_generation: context.review_generation,
    assigned_tags: [...context.assigned_tags],
    pinned: context.pinned,
    inbox_consumed: context.inbox_consumed,
  },
});
export const fetchNews = callWith(newsCall);
/** After an approval: evidence may have come before it. */
export const lookForEvidence = callWith((args: Args) =>
  attestationIn(args.context).asks_for_evidence ? newsCall(args) : null,
);
export const verifyEvidence = callWith((args: Args): DeviceCall | null => {
  const { context } = args;
  const standing = unconfirmed(args);
  const bound = bindingOf(context);
  if (standing === null || bound === null) return null;
  const { generation, verdict } = standing;
  return {
    name: 'evidence.verify',
    key: 'evidence.verify',
    input: {
      project: context.project,
      device_id: context.device_id,
      epoch: context.epoch,
      generation,
      verdict,
      bound,
      assigned_tags: [...context.assigned_tags],
    },
  };
});
export const readApproval = callWith(({ context, event }: Args): DeviceCall | null => {
  const approval_id = event.type === 'approval.closed' ? event.approval_id : (context.review?.id ?? '');
  return {
    name: 'approval.read',
    key: `approval.read:${approval_id}`,
    input: { project: context.project, approval_id },
  };
});
/** One key for all that is said to an approval: a withdrawal must not overtake the opening. */
const approvalKey = (approvalId: string): string => `approval:${approvalId}`;
/** Opens the approval, or tells the one that is open what is to be approved now. */
export const openApproval = callWith(({ context }: Args): DeviceCall | null => {
  const review = context.review;
  if (review === null) return null;
  return {
    name: 'approval.open',
    key: approvalKey(review.id),
    input: {
      project: context.project,
      id: review.id,
      kind: review.kind,
      subject: { kind: 'device', id: context.device_id },
      content: review.content,
      digest: review.digest,
      required: review.required,
      permission: 'identity.review',
      requested_by: { kind: 'device', id: context.device_id },
      requesters: [...context.requesters],
      ttl_seconds: (Date.parse(review.expires_at) - Date.parse(review.opened_at)) / 1000,
      at: review.opened_at,
    },
  };
});
/** Before the review is cleared: tells the approval that its subject no longer waits. */
export const withdrawApproval = (reason: string) =>
  callWith(({ context }: Args): DeviceCall | null =>
    context.review === null
      ? null
      : {
          name: 'approval.withdraw',
          key: approvalKey(context.review.id),
          input: { project: context.project, approval_id: context.review.id, reason },
        },
  );
export const consumeApproval = requireWith(({ context, event }: Args): CommitRequirement => ({
  kind: 'approval.consumed',
  approval_id: context.review?.id ?? '',
  outcome: event.type === 'approval.read' ? (event.approval?.state ?? '') : '',
  digest: context.review?.digest ?? '',
}));
