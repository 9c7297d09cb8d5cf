// The denylist: certificates that are refused for ever. Written at once, before any actor hears of it.
import type { AuditEntry, Principal } from '#contracts/audit.ts';
import type { JsonObject } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import { record } from './audit.ts';
import type { Store } from './store.ts';
import { type ProjectTransaction, withProject } from './with-project.ts';

export interface Revocation {
  readonly device_id: string;
  /** The pinned certificate when null, else the one under review. */
  readonly fingerprint_sha256: string | null;
  readonly reason: string | null;
  readonly by: Principal;
  readonly request_id: string;
}

/**
 * Revokes a certificate of a device: denylist, audit and outbox in one transaction. It holds from the next heartbeat and
 * the next read on, whatever Temporal does.
 *
 * @returns the fingerprint, and whether it was revoked before; then nothing was written
 * @idempotent by fingerprint
 * @throws TrustError `resource.not_found` | `device.no_certificate`
 */
export async function revokeCertificate(
  store: Store,
  project: string,
  revocation: Revocation,
  now: string,
): Promise<{ readonly fingerprint_sha256: string; readonly already_revoked: boolean }> {
  return withProject(store, project, async (tx) => {
    const { device_id, reason, by } = revocation;
    const { fingerprint, issuer, serial_number } = await chooseCertificate(tx, revocation);
    const written = await tx.query(
      `INSERT INTO certificate_denylist (project_id, fingerprint_sha256, device_id, issuer, serial_number, reason,
         revoked_at, revoked_by)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING fingerprint_sha256`,
      [project, fingerprint, device_id, issuer, serial_number, reason, now, by.id],
    );
    if (written.length === 0) return { fingerprint_sha256: fingerprint, already_revoked: true };
    const entry = (action: string, details: JsonObject): AuditEntry => ({
      occurred_at: now,
      category: 'identity',
      action,
      actor: by,
      subject: { kind: 'device', id: device_id },
      outcome: 'success',
      details: { fingerprint_sha256: fingerprint, issuer, serial_number, reason, ...details },
      request_id: revocation.request_id,
    });
    const audit = [entry('device.certificate.revoked', {})];
    if (await isPinned(tx, device_id, { fingerprint, issuer, serial_number }))
      audit.push(entry('device.trust.updated', { trust_tier: 'revoked' }));
    await record(tx, { audit });
    return { fingerprint_sha256: fingerprint, already_revoked: false };
  });
}

/**
 * Puts back on the denylist what an actor knows to be revoked and a restored database has lost.
 *
 * @returns the fingerprints that were missing
 * @idempotent yes
 */
export async function denyAgain(
  tx: ProjectTransaction,
  {
    device_id,
    fingerprints,
    by,
    now,
  }: { device_id: string; fingerprints: readonly string[]; by: Principal; now: string },
): Promise<readonly string[]> {
  const rows = await tx.query<{ fingerprint_sha256: string }>(
    `INSERT INTO certificate_denylist (project_id, fingerprint_sha256, device_id, issuer, serial_number, reason,
       revoked_at, revoked_by)
     SELECT $1, f.fingerprint, $2, d.pinned_certificate->>'issuer', d.pinned_certificate->>'serial_number',
       'revoked before a restore', $4, $5
     FROM unnest($3::text[]) AS f (fingerprint)
     LEFT JOIN device d ON d.project_id = $1 AND d.device_id = $2 AND d.pinned_fingerprint = f.fingerprint
     WHERE f.fingerprint ~ '^[0-9a-f]{64}$'
     ON CONFLICT DO NOTHING RETURNING fingerprint_sha256`,
    [tx.project, device_id, [...new Set(fingerprints)], now, by.id],
  );
  const restored = rows.map(({ fingerprint_sha256 }) => fingerprint_sha256);
  await record(tx, {
    audit: restored.map((fingerprint_sha256) => ({
      occurred_at: now,
      category: 'identity',
      action: 'device.certificate.revoked',
      actor: by,
      subject: { kind: 'device', id: device_id },
      outcome: 'success',
      details: { fingerprint_sha256, reason: 'revoked before a restore' },
      request_id: null,
    })),
  });
  return restored;
}

interface KnownCertificate {
  readonly fingerprint: string;
  readonly issuer: string | null;
  readonly serial_number: string | null;
}

/** One that the device has or had; or any other that belongs to no other device, since it may not have been seen here yet. */
async function chooseCertificate(
  tx: ProjectTransaction,
  { device_id, fingerprint_sha256 }: Revocation,
): Promise<KnownCertificate> {
  const present = await presentCertificates(tx, device_id);
  if (present === null) throw new TrustError('resource.not_found', { detail: 'There is no such device' });
  if (fingerprint_sha256 === null) {
    const [first] = present;
    if (first === undefined) throw new TrustError('device.no_certificate');
    return first;
  }
  const known =
    present.find(({ fingerprint }) => fingerprint === fingerprint_sha256) ??
    (await earlierCertificate(tx, device_id, fingerprint_sha256));
  if (known) return known;
  if (await isOfAnotherDevice(tx, device_id, fingerprint_sha256)) throw new TrustError('device.no_certificate');
  return { fingerprint: fingerprint_sha256, issuer: null, serial_number: null };
}

/** The pinned certificate, then the one that waits; null when there is no such device. */
async function presentCertificates(tx: ProjectTransaction, deviceId: string): Promise<KnownCertificate[] | null> {
  const rows = await tx.query<KnownCertificate | { fingerprint: null }>(
    `SELECT c.fingerprint, c.certificate->>'issuer' AS issuer, c.certificate->>'serial_number' AS serial_number
     FROM (SELECT $1::text AS project_id, $2::text AS device_id) k
     LEFT JOIN device d ON d.project_id = k.project_id AND d.device_id = k.device_id
     LEFT JOIN device_liveness l ON l.project_id = k.project_id AND l.device_id = k.device_id
     LEFT JOIN device_candidate n ON n.project_id = k.project_id AND n.device_id = k.device_id
     CROSS JOIN LATERAL (VALUES
       (1, d.pinned_fingerprint, d.pinned_certificate),
       (2, l.candidate_fingerprint, CASE WHEN n.fingerprint = l.candidate_fingerprint THEN n.certificate END)
     ) AS c (rank, fingerprint, certificate)
     WHERE d.device_id IS NOT NULL OR l.device_id IS NOT NULL
     ORDER BY c.rank`,
    [tx.project, deviceId],
  );
  return rows.length === 0 ? null : rows.filter((row) => row.fingerprint !== null);
}

/** One that people were asked about before, or that nobody asks about any more. */
async function earlierCertificate(
  tx: ProjectTransaction,
  deviceId: string,
  fingerprint: string,
): Promise<KnownCertificate | undefined> {
  const [row] = await tx.query<KnownCertificate>(
    `SELECT $3::text AS fingerprint, c.certificate->>'issuer' AS issuer,
       c.certificate->>'serial_number' AS serial_number
     FROM (
       SELECT n.certificate FROM device_candidate n WHERE n.project_id = $1 AND n.device_id = $2
       UNION ALL
       SELECT a.subject->'certificate' FROM approval a
       WHERE a.project_id = $1 AND a.subject_kind = 'device' AND a.subject_id = $2
     ) c
     WHERE c.certificate->>'fingerprint_sha256' = $3 LIMIT 1`,
    [tx.project, deviceId, fingerprint],
  );
  return row;
}

async function isOfAnotherDevice(tx: ProjectTransaction, deviceId: string, fingerprint: string): Promise<boolean> {
  const rows = await tx.query(
    'SELECT FROM device WHERE project_id = $1 AND pinned_fingerprint = $2 AND device_id <> $3 LIMIT 1',
    [tx.project, fingerprint, deviceId],
  );
  return rows.length > 0;
}

async function isPinned(
  tx: ProjectTransaction,
  deviceId: string,
  { fingerprint, issuer, serial_number }: KnownCertificate,
): Promise<boolean> {
  const rows = await tx.query(
    `SELECT FROM device WHERE project_id = $1 AND device_id = $2 AND (pinned_fingerprint = $3
       OR (pinned_certificate->>'issuer' = $4 AND pinned_certificate->>'serial_number' = $5))`,
    [tx.project, deviceId, fingerprint, issuer, serial_number],
  );
  return rows.length > 0;
}

export interface PinnedCertificate {
  readonly device_id: string;
  readonly fingerprint_sha256: string;
  /** RFC 4514. */
  readonly issuer: string;
  /** Hex. */
  readonly serial_number: string;
}

/** Pinned certificates that are not denied, in the order of their devices, after one. */
export async function listPinnedCertificates(
  store: Store,
  project: string,
  after: string | null,
  limit: number,
): Promise<readonly PinnedCertificate[]> {
  const denied = deniedSql({
    project: 'd.project_id',
    fingerprint: 'd.pinned_fingerprint',
    issuer: `d.pinned_certificate->>'issuer'`,
    serial_number: `d.pinned_certificate->>'serial_number'`,
  });
  return withProject(store, project, (tx) =>
    tx.query<PinnedCertificate>(
      `SELECT d.device_id, d.pinned_fingerprint AS fingerprint_sha256, d.pinned_certificate->>'issuer' AS issuer,
         d.pinned_certificate->>'serial_number' AS serial_number
       FROM device d
       WHERE d.project_id = $1 AND d.device_id > $2 AND d.pinned_fingerprint IS NOT NULL AND NOT ${denied}
       ORDER BY d.device_id LIMIT $3`,
      [project, after ?? '', limit],
    ),
  );
}

/** Devices that have a certificate pinned. */
export async function countPinnedCertificates(store: Store, project: string): Promise<number> {
  const [row] = await withProject(store, project, (tx) =>
    tx.query<{ devices: number }>(
      'SELECT count(*)::integer AS devices FROM device WHERE project_id = $1 AND pinned_fingerprint IS NOT NULL',
      [project],
    ),
  );
  return row?.devices ?? 0;
}

/** A certificate as the denylist knows it, in SQL. */
export interface CertificateColumns {
  readonly project: string;
  readonly fingerprint: string;
  readonly issuer: string;
  readonly serial_number: string;
}

/**
 * SQL that tells whether a certificate is denied: by its fingerprint, or by issuer and serial number. An ECDSA signature
 * can be turned into another valid one without any key, which gives the same certificate another fingerprint.
 *
 * `OFFSET 0` has each look-up made by its key: without it the whole denylist may be read to look up a few.
 */
export function deniedSql({ project, fingerprint, issuer, serial_number }: CertificateColumns): string {
  return `(EXISTS (SELECT FROM certificate_denylist r
      WHERE r.project_id = ${project} AND r.fingerprint_sha256 = ${fingerprint} OFFSET 0)
    OR EXISTS (SELECT FROM certificate_denylist r
      WHERE r.project_id = ${project} AND r.serial_number = ${serial_number} AND r.issuer = ${issuer} OFFSET 0))`;
}
