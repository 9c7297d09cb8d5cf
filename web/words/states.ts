// How each state of the API is called and coloured, once; `parts/badges.tsx` adds the icons.
import type { VerdictOutcome } from '#contracts/attestation.ts';
import type {
  ApprovalKind,
  ApprovalState,
  AttestationState,
  AuditCategory,
  DeviceApprovalState,
  Liveness,
  Outcome,
  RotationAdvice,
  TrustTier,
} from '#contracts/states.ts';

export type Tone = 'good' | 'info' | 'watch' | 'bad' | 'quiet';

export interface StateWords {
  readonly label: string;
  readonly tone: Tone;
  /** One sentence for somebody who sees the word for the first time. */
  readonly meaning: string;
}

export const tierWords: Record<TrustTier, StateWords> = {
  trusted: { label: 'Trusted', tone: 'good', meaning: 'Approved, and its attestation is verified and fresh.' },
  monitored: { label: 'Monitored', tone: 'info', meaning: 'Approved, without evidence that would make it trusted.' },
  observed: { label: 'Observed', tone: 'quiet', meaning: 'Known but not trusted: a decision or evidence is missing.' },
  restricted: { label: 'Restricted', tone: 'watch', meaning: 'Something is wrong with it; it gets no commands.' },
  revoked: { label: 'Revoked', tone: 'bad', meaning: 'Its certificate was revoked and is refused for ever.' },
};

export const deviceApprovalWords: Record<DeviceApprovalState, StateWords> = {
  approved: { label: 'Approved', tone: 'good', meaning: 'People have approved its identity.' },
  pending: { label: 'Pending', tone: 'watch', meaning: 'Its identity waits for a decision.' },
  rejected: { label: 'Rejected', tone: 'bad', meaning: 'Its identity was rejected; it is refused until it is reset.' },
  expired: {
    label: 'Lapsed',
    tone: 'quiet',
    meaning: 'Nobody decided in time; its next heartbeat opens a new review.',
  },
};

export const livenessWords: Record<Liveness, StateWords> = {
  online: { label: 'Online', tone: 'good', meaning: 'A heartbeat was accepted just now.' },
  stale: { label: 'Stale', tone: 'watch', meaning: 'Heartbeats are overdue, or refused.' },
  offline: { label: 'Offline', tone: 'quiet', meaning: 'No heartbeat was accepted for a long time.' },
};

export const attestationWords: Record<AttestationState, StateWords> = {
  verified: {
    label: 'Verified',
    tone: 'good',
    meaning: 'Its evidence fits, is fresh, and is of the key and hardware that people approved.',
  },
  not_required: {
    label: 'Not required',
    tone: 'quiet',
    meaning: 'Policy demands no evidence of it, and none counts now.',
  },
  challenged: { label: 'Challenged', tone: 'info', meaning: 'Evidence was asked for, and none counts yet.' },
  stale: { label: 'Stale', tone: 'watch', meaning: 'Its last evidence is older than policy allows.' },
  failed: { label: 'Failed', tone: 'bad', meaning: 'Its last evidence was refused.' },
};

export const verdictWords: Record<VerdictOutcome, StateWords> = {
  verified: { label: 'Verified', tone: 'good', meaning: 'Everything that policy asks for was proven.' },
  unproven: {
    label: 'Unproven',
    tone: 'info',
    meaning: 'Nothing is wrong with it; its key has not shown yet that it lives in its TPM.',
  },
  refused: { label: 'Refused', tone: 'bad', meaning: 'It did not prove what policy asks for.' },
};

export const approvalWords: Record<ApprovalState, StateWords> = {
  open: { label: 'Waiting', tone: 'watch', meaning: 'More votes are needed.' },
  deciding: {
    label: 'Deciding',
    tone: 'info',
    meaning: 'Enough votes are in; the voters are being checked once more.',
  },
  approved: { label: 'Approved', tone: 'good', meaning: 'Enough people approved.' },
  rejected: { label: 'Rejected', tone: 'bad', meaning: 'Somebody rejected it.' },
  expired: { label: 'Expired', tone: 'quiet', meaning: 'The time was up before enough people had voted.' },
  cancelled: { label: 'Cancelled', tone: 'quiet', meaning: 'What was up for approval has gone.' },
};

export const kindWords: Record<ApprovalKind, { label: string; short: string; asks: string }> = {
  enrollment: { label: 'Enrollment', short: 'Enrollment', asks: 'Let this device in with this certificate?' },
  rotation: {
    label: 'Certificate rotation',
    short: 'Rotation',
    asks: 'Replace the certificate of this device with this one?',
  },
  hardware: {
    label: 'Hardware binding',
    short: 'Hardware',
    asks: 'Bind this device to this attestation key and the hardware behind it?',
  },
};

export const rotationWords: Record<Exclude<RotationAdvice, 'none'>, StateWords> = {
  recommended: { label: 'Rotation recommended', tone: 'watch', meaning: 'The certificate ends soon.' },
  required: { label: 'Rotation required', tone: 'bad', meaning: 'The certificate has ended or is about to.' },
};

export const outcomeWords: Record<Outcome, StateWords> = {
  success: { label: 'Success', tone: 'good', meaning: 'It was done.' },
  refused: { label: 'Refused', tone: 'watch', meaning: 'It was refused, and had no effect.' },
  failed: { label: 'Failed', tone: 'bad', meaning: 'It was tried and failed.' },
};

export const healthWords: Record<'ok' | 'degraded' | 'failed', StateWords> = {
  ok: { label: 'OK', tone: 'good', meaning: 'It works.' },
  degraded: { label: 'Degraded', tone: 'watch', meaning: 'It works in part; heartbeats go on.' },
  failed: { label: 'Failed', tone: 'bad', meaning: 'It does not work.' },
};

export const categoryWords: Record<AuditCategory, string> = {
  auth: 'Sign-in',
  identity: 'Identity',
  command: 'Commands',
  policy: 'Policy',
  integration: 'Integrations',
  operations: 'Operations',
  recovery: 'Recovery',
  update: 'Updates',
  audit: 'Audit',
};
