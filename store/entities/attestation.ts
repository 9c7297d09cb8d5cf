// Attestation in the database: what a device was asked, every verdict with what it rests on, and where the device stands.
import { defineEntity, p } from '@mikro-orm/core';
import type {
  AttestationBasis,
  AttestationCode,
  AttestationProvider,
  AttestationStanding,
  CredentialActivation,
  QuotedClock,
  RegisterSelection,
  VerdictOutcome,
} from '#contracts/attestation.ts';
import type { Json } from '#contracts/deps.ts';
import { count, instant } from './types.ts';

/** One at a time; gone once it is answered. */
export const AttestationChallenge = defineEntity({
  name: 'AttestationChallenge',
  tableName: 'attestation_challenge',
  properties: {
    project_id: p.text().primary(),
    device_id: p.text().primary(),
    provider: p.text().$type<AttestationProvider>(),
    nonce: p.text(),
    selection: p.json<RegisterSelection>(),
    issued_at: instant(),
    expires_at: instant(),
    activation: p.json<CredentialActivation>().nullable(),
  },
});

/** Reference values and limits, once for all verdicts that used them. */
export const AttestationBasisRow = defineEntity({
  name: 'AttestationBasisRow',
  tableName: 'attestation_basis',
  properties: {
    project_id: p.text().primary(),
    digest: p.text().primary(),
    content: p.json<AttestationBasis>(),
    first_used_at: instant(),
  },
});

/** What the verdicts of a device that goes on have in common, once for all of them. */
export const AttestationCommon = defineEntity({
  name: 'AttestationCommon',
  tableName: 'attestation_common',
  properties: {
    project_id: p.text().primary(),
    digest: p.text().primary(),
    basis_digest: p.text(),
    content: p.json<Json>(),
    first_used_at: instant(),
  },
});

/** Its evidence, circumstances and result are whole only together with what it has in common with others. */
export const AttestationVerdict = defineEntity({
  name: 'AttestationVerdict',
  tableName: 'attestation_verdict',
  properties: {
    project_id: p.text().primary(),
    device_id: p.text().primary(),
    verdict: count().primary(),
    at: instant(),
    provider: p.text().$type<AttestationProvider>(),
    outcome: p.text().$type<VerdictOutcome>(),
    code: p.text().$type<AttestationCode>().nullable(),
    reason: p.text().nullable(),
    changed: p.boolean(),
    generation: p.integer(),
    unrecorded: count(),
    evidence_digest: p.text(),
    evidence: p.json<Json>(),
    circumstances: p.json<Json>(),
    basis_digest: p.text().nullable(),
    result: p.json<Json>(),
    common_digest: p.text().nullable(),
  },
});

/** A key that has shown that it lives in the TPM of this endorsement key, with the evidence of this verdict. */
export const KeyActivation = defineEntity({
  name: 'KeyActivation',
  tableName: 'key_activation',
  properties: {
    project_id: p.text().primary(),
    device_id: p.text().primary(),
    key_id: p.text().primary(),
    endorsement_key_id: p.text(),
    verdict: count(),
  },
});

/** Written with each verdict, and when a heartbeat brings no evidence. */
export const DeviceAttestationRow = defineEntity({
  name: 'DeviceAttestationRow',
  tableName: 'device_attestation',
  properties: {
    project_id: p.text().primary(),
    device_id: p.text().primary(),
    state: p.text().$type<AttestationStanding>(),
    generation: p.integer(),
    verdict: count(),
    provider: p.text().$type<AttestationProvider>(),
    key_id: p.text().nullable(),
    binding_id: p.text().nullable(),
    manufacturer: p.text().nullable(),
    verified_at: instant().nullable(),
    fresh_until: instant().nullable(),
    code: p.text().$type<AttestationCode>().nullable(),
    reason: p.text().nullable(),
    detail: p.text().nullable(),
    clock: p.json<QuotedClock>().nullable(),
    unrecorded: count(),
    common_digest: p.text().nullable(),
    updated_at: instant(),
  },
});
