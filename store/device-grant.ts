// The grant: written by the commits of a device's actor, and nowhere else.
import type { DeviceGrant } from '#contracts/actor.ts';
import type { ProjectTransaction } from './with-project.ts';

export async function writeDevice(
  tx: ProjectTransaction,
  deviceId: string,
  grant: DeviceGrant,
  at: { readonly revision: number; readonly now: string },
): Promise<void> {
  const notAfter = grant.pinned_certificate?.['not_after'];
  await tx.query(
    `INSERT INTO device AS d (project_id, device_id, state, tier, epoch, counter_epoch, review_generation,
       pinned_fingerprint, pinned_certificate, pinned_not_after, candidate_fingerprint, rejected_fingerprints,
       assigned_tags, approvers, review, applied_digest, inbox_consumed, reason, approved_at, created_at, updated_at,
       revision, attestation_provider, attestation_key, hardware_binding, attested_generation)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $20, $21,
       $22, $23, $24, $25)
     ON CONFLICT (project_id, device_id) DO UPDATE SET
       state = excluded.state, tier = excluded.tier, epoch = excluded.epoch, counter_epoch = excluded.counter_epoch,
       review_generation = excluded.review_generation, pinned_fingerprint = excluded.pinned_fingerprint,
       pinned_certificate = excluded.pinned_certificate, pinned_not_after = excluded.pinned_not_after,
       candidate_fingerprint = excluded.candidate_fingerprint, rejected_fingerprints = excluded.rejected_fingerprints,
       assigned_tags = excluded.assigned_tags, approvers = excluded.approvers, review = excluded.review,
       applied_digest = excluded.applied_digest, inbox_consumed = excluded.inbox_consumed, reason = excluded.reason,
       approved_at = excluded.approved_at, updated_at = excluded.updated_at, revision = excluded.revision,
       attestation_provider = excluded.attestation_provider, attestation_key = excluded.attestation_key,
       hardware_binding = excluded.hardware_binding, attested_generation = excluded.attested_generation`,
    [
      tx.project,
      deviceId,
      grant.state,
      grant.tier,
      grant.epoch,
      grant.counter_epoch,
      grant.review_generation,
      grant.pinned_fingerprint,
      grant.pinned_certificate && JSON.stringify(grant.pinned_certificate),
      typeof notAfter === 'string' ? notAfter : null,
      grant.candidate_fingerprint,
      grant.rejected_fingerprints,
      grant.assigned_tags,
      grant.approvers,
      grant.review && JSON.stringify(grant.review),
      grant.applied_digest,
      grant.inbox_consumed,
      grant.reason,
      grant.approved_at,
      at.now,
      at.revision,
      grant.attestation_provider,
      grant.attestation_key,
      grant.hardware_binding,
      grant.attested_generation,
    ],
  );
  await tx.query('DELETE FROM device_first_contact WHERE project_id = $1 AND device_id = $2', [tx.project, deviceId]);
}
