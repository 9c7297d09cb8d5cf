// Every entity. A test holds this list against the tables that the migrations make.
import { Actor, ActorTransition, Approval, ApprovalConsumption } from './actor.ts';
import {
  AttestationBasisRow,
  AttestationChallenge,
  AttestationCommon,
  AttestationVerdict,
  DeviceAttestationRow,
  KeyActivation,
} from './attestation.ts';
import { AuditCheckpoint, AuditEvent, AuditHead, OutboxEvent, SealerStatus } from './audit.ts';
import {
  CertificateDenylist,
  Device,
  DeviceCandidate,
  DeviceFirstContact,
  DeviceInbox,
  DeviceLiveness,
  DeviceObservation,
  DeviceSilence,
} from './device.ts';
import { AdminPasswordRehash, AdminSession, IdempotencyKey, Operator, SavedFilter, TotpUse } from './people.ts';
import { Organisation, Project, TrustAnchor } from './tenancy.ts';

export const entities = [
  Organisation,
  Project,
  TrustAnchor,
  Device,
  DeviceFirstContact,
  DeviceLiveness,
  DeviceObservation,
  DeviceCandidate,
  DeviceInbox,
  DeviceSilence,
  CertificateDenylist,
  AttestationChallenge,
  AttestationBasisRow,
  AttestationCommon,
  AttestationVerdict,
  KeyActivation,
  DeviceAttestationRow,
  Actor,
  ActorTransition,
  Approval,
  ApprovalConsumption,
  Operator,
  AdminSession,
  AdminPasswordRehash,
  TotpUse,
  IdempotencyKey,
  SavedFilter,
  AuditEvent,
  OutboxEvent,
  AuditHead,
  AuditCheckpoint,
  SealerStatus,
] as const;
