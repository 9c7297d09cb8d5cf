// A fleet of any size in a real database within seconds, without its actors.
import { digest, facts, noon } from './builders.ts';
import type { StoreTest } from './database.ts';

/** When each certificate of the fleet ends: at one moment, which leaves the order to the names. */
export const endOfAll = '2027-03-01T12:00:00.000Z';

export const idOf = (n: number): string => `d${String(n).padStart(6, '0')}`;

/** Approved devices that were heard a moment ago. Each had a certificate revoked before, and one in a thousand the present one. */
export async function fillFleet({ rows }: Pick<StoreTest, 'rows'>, fleet: number): Promise<void> {
  const { issuer } = facts('any');
  const common = `FROM (SELECT n, 'd' || lpad(n::text, 6, '0') AS id, encode(sha256(('d' || lpad(n::text, 6, '0') || '-1')::bytea), 'hex')
    AS fingerprint FROM generate_series(1, ${fleet}) n) f`;
  await rows(
    `INSERT INTO device_liveness (project_id, device_id, first_seen_at, last_seen_at, signalled_at, heartbeat_counter,
       counter_epoch, candidate_generation, candidate_fingerprint, observed_digest)
     SELECT 'default', id, $1, $1, $1, 1, 1, 0, fingerprint, $2 ${common}`,
    [noon, digest('observed')],
  );
  await rows(
    `INSERT INTO device (project_id, device_id, state, tier, epoch, counter_epoch, review_generation, pinned_fingerprint,
       pinned_certificate, pinned_not_after, rejected_fingerprints, assigned_tags, approvers, applied_digest,
       inbox_consumed, approved_at, created_at, updated_at, revision)
     SELECT 'default', id, 'approved', 'monitored', 1, 1, 1, fingerprint,
       jsonb_build_object('fingerprint_sha256', fingerprint, 'issuer', $3::text, 'serial_number', n::text,
         'subject', 'CN=' || id, 'not_before', $4::text, 'not_after', $5::text),
       $5::timestamptz, '{}', '{}', '{}', $2, 0, $1, $1, $1, 1 ${common}`,
    [noon, digest('observed'), issuer, noon, endOfAll],
  );
  await rows(
    `INSERT INTO device_observation (project_id, device_id, observed_digest, reported_tags, posture, directory, observed_at)
     SELECT 'default', id, $2, '{blue}', '{}', '{}', $1 ${common}`,
    [noon, digest('observed')],
  );
  await rows(
    `INSERT INTO device_candidate (project_id, device_id, fingerprint, generation, certificate, pem, seen_at)
     SELECT 'default', id, fingerprint, 0, jsonb_build_object('fingerprint_sha256', fingerprint), '', $1 ${common}`,
    [noon],
  );
  await rows(
    `INSERT INTO approval (project_id, id, kind, subject_kind, subject_id, subject, digest, state, requested_by,
       required_approvals, permission, votes, opened_at, expires_at, closed_at, revision)
     SELECT 'default', gen_random_uuid(), 'enrollment', 'device', id, '{}', $2, 'approved', '{}', 1, 'identity.review', '[]',
       $1, $1, $1, 2 ${common}`,
    [noon, digest('subject')],
  );
  await rows(
    `INSERT INTO certificate_denylist (project_id, fingerprint_sha256, device_id, issuer, serial_number, revoked_at, revoked_by)
     SELECT 'default', CASE WHEN n % 1000 = 0 THEN fingerprint ELSE encode(sha256(('old ' || id)::bytea), 'hex') END, id, $2,
       'f' || n, $1::timestamptz - interval '1 year', 'sam' ${common}`,
    [noon, issuer],
  );
}
