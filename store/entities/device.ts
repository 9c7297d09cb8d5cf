// A device in the database: what was decided about it, when it was last heard, what it reported, and what waits.
import { defineEntity, p } from '@mikro-orm/core';
import type { CertificateFacts } from '#contracts/certificate.ts';
import type { JsonObject } from '#contracts/deps.ts';
import type { DeviceState, TrustTier } from '#contracts/states.ts';
import { count, instant, textList } from './types.ts';

/** The grant. Written by the commits of the device's actor only. */
export const Device = defineEntity({
  name: 'Device',
  tableName: 'device',
  properties: {
    project_id: p.text().primary(),
    device_id: p.text().primary(),
    state: p.text().$type<DeviceState>(),
    tier: p.text().$type<TrustTier>(),
    epoch: p.integer(),
    counter_epoch: p.integer(),
    review_generation: p.integer(),
    pinned_fingerprint: p.text().nullable(),
    pinned_certificate: p.json<CertificateFacts>().nullable(),
    pinned_not_after: instant().nullable(),
    candidate_fingerprint: p.text().nullable(),
    rejected_fingerprints: textList(),
    assigned_tags: textList(),
    approvers: textList(),
    review: p.json<JsonObject>().nullable(),
    applied_digest: p.text().nullable(),
    inbox_consumed: count(),
    reason: p.text().nullable(),
    approved_at: instant().nullable(),
    created_at: instant(),
    updated_at: instant(),
    revision: count(),
    // What the device is bound to, and the generation of its evidence that the actor has confirmed.
    attestation_provider: p.text().nullable(),
    attestation_key: p.text().nullable(),
    hardware_binding: p.text().nullable(),
    attested_generation: p.integer().nullable(),
  },
});

/** There from the first heartbeat of a device to the first commit of its actor. */
export const DeviceFirstContact = defineEntity({
  name: 'DeviceFirstContact',
  tableName: 'device_first_contact',
  properties: { project_id: p.text().primary(), device_id: p.text().primary(), seen_at: instant() },
});

/** Written by the heartbeat function only. A counter of another `counter_epoch` than the grant's does not count. */
export const DeviceLiveness = defineEntity({
  name: 'DeviceLiveness',
  tableName: 'device_liveness',
  properties: {
    project_id: p.text().primary(),
    device_id: p.text().primary(),
    first_seen_at: instant(),
    last_seen_at: instant(),
    signalled_at: instant().nullable(),
    news_since: instant().nullable(),
    heartbeat_counter: count(),
    inbox_seq: count(),
    counter_epoch: p.integer().nullable(),
    candidate_generation: p.integer().nullable(),
    candidate_fingerprint: p.text().nullable(),
    observed_digest: p.text().nullable(),
  },
});

/** What the device last said about itself; rewritten only when its digest changes. */
export const DeviceObservation = defineEntity({
  name: 'DeviceObservation',
  tableName: 'device_observation',
  properties: {
    project_id: p.text().primary(),
    device_id: p.text().primary(),
    observed_digest: p.text(),
    hostname: p.text().nullable(),
    platform: p.text().nullable(),
    agent_version: p.text().nullable(),
    reported_tags: textList(),
    posture: p.json<JsonObject>(),
    directory: p.json<JsonObject>(),
    certificate: p.json<CertificateFacts>().nullable(),
    observed_at: instant(),
  },
});

/** The certificate that waits for a decision. Of an older generation than the grant's: no longer. */
export const DeviceCandidate = defineEntity({
  name: 'DeviceCandidate',
  tableName: 'device_candidate',
  properties: {
    project_id: p.text().primary(),
    device_id: p.text().primary(),
    fingerprint: p.text(),
    generation: p.integer(),
    certificate: p.json<CertificateFacts>(),
    pem: p.text(),
    seen_at: instant(),
  },
});

/** What a device handed in, in its order. The grant's `inbox_consumed` says how far the actor is. */
export const DeviceInbox = defineEntity({
  name: 'DeviceInbox',
  tableName: 'device_inbox',
  properties: {
    project_id: p.text().primary(),
    device_id: p.text().primary(),
    seq: count().primary(),
    kind: p.text(),
    payload: p.json<JsonObject>(),
    received_at: instant(),
  },
});

/** A stretch without heartbeats, written when it is over; the newest of each device are kept. */
export const DeviceSilence = defineEntity({
  name: 'DeviceSilence',
  tableName: 'device_silence',
  properties: {
    project_id: p.text().primary(),
    device_id: p.text().primary(),
    from_at: instant(),
    until_at: instant().primary(),
  },
});

/** Certificates that are refused for ever, also after a reset. */
export const CertificateDenylist = defineEntity({
  name: 'CertificateDenylist',
  tableName: 'certificate_denylist',
  properties: {
    project_id: p.text().primary(),
    fingerprint_sha256: p.text().primary(),
    device_id: p.text(),
    issuer: p.text().nullable(),
    serial_number: p.text().nullable(),
    reason: p.text().nullable(),
    revoked_at: instant(),
    revoked_by: p.text(),
  },
});
