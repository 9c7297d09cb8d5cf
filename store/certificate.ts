// Certificates by the time at which they end: pinned ones, and those that wait for people to decide.
import type { AttestationBinding, DeviceAttestation } from '#contracts/attestation.ts';
import type { CertificateFacts } from '#contracts/certificate.ts';
import { TrustError } from '#contracts/problems.ts';
import type { DeviceState, TrustTier } from '#contracts/states.ts';
import { toAttestation } from './attestation.ts';
import { deniedSql } from './denylist.ts';
import { bindingColumn } from './device.ts';
import { byKey } from './device-page.ts';
import { isCancelled } from './errors.ts';
import type { Page } from './page.ts';
import { toInstant } from './plain.ts';
import type { Store } from './store.ts';
import { withProject } from './with-project.ts';

export interface CertificateRow {
  readonly device_id: string;
  readonly role: 'pinned' | 'candidate';
  readonly certificate: CertificateFacts;
  readonly not_after: string;
  readonly revoked: boolean;
  /** What the tier of its device depends on. */
  readonly grant: {
    readonly state: DeviceState;
    readonly tier: TrustTier;
    readonly binding: AttestationBinding | null;
    readonly attested_generation: number | null;
  } | null;
  readonly pinned_not_after: string | null;
  readonly pinned_revoked: boolean;
  readonly attestation: DeviceAttestation | null;
}

export interface CertificateFilter {
  /** Ends at or after this. */
  readonly from?: string;
  /** Ends before this. */
  readonly before?: string;
  readonly role?: CertificateRow['role'];
  /** Part of device id, subject, serial number or fingerprint, in any case. */
  readonly search?: string;
}

export type CertificatePosition = {
  readonly not_after: string;
  readonly device_id: string;
  readonly role: CertificateRow['role'];
};

const denied = (certificate: string, fingerprint: string): string =>
  deniedSql({
    project: '$1',
    fingerprint,
    issuer: `${certificate}->>'issuer'`,
    serial_number: `${certificate}->>'serial_number'`,
  });

/** Lists certificates, the one that ends first at the top; of one moment by device, the pinned one first. */
export async function listCertificates(
  store: Store,
  project: string,
  filter: CertificateFilter,
  page: Page<CertificatePosition>,
): Promise<readonly CertificateRow[]> {
  const values: unknown[] = [project];
  const bind = (value: unknown): string => `$${values.push(value)}`;
  const limit = bind(page.limit);
  const parts = [
    ...(filter.role === 'candidate' ? [] : [pinnedPart(filter, page.after, limit, bind)]),
    ...(filter.role === 'pinned' ? [] : [candidatePart(filter, page.after, limit, bind)]),
  ];
  const rows = await withProject(store, project, async (tx) => {
    await tx.query(byKey);
    return tx.query<CertificateRow>(
      `WITH page AS MATERIALIZED (
         SELECT * FROM (${parts.join(' UNION ALL ')}) p ORDER BY p.not_after, p.device_id, p.role DESC LIMIT ${limit})
       SELECT p.device_id, p.role, p.certificate, p.not_after, ${denied('p.certificate', 'p.fingerprint')} AS revoked,
         CASE WHEN d.device_id IS NOT NULL THEN jsonb_build_object('state', d.state, 'tier', d.tier,
           'attested_generation', d.attested_generation, 'binding', ${bindingColumn}) END AS grant,
         d.pinned_not_after, ${denied('d.pinned_certificate', 'd.pinned_fingerprint')} AS pinned_revoked,
         to_jsonb(t) AS attestation
       FROM page p LEFT JOIN device d ON d.project_id = $1 AND d.device_id = p.device_id
         LEFT JOIN device_attestation t ON t.project_id = $1 AND t.device_id = p.device_id
       ORDER BY p.not_after, p.device_id, p.role DESC`,
      values,
    );
  });
  return rows.map(({ not_after, pinned_not_after, attestation, ...row }) => ({
    ...row,
    not_after: toInstant(not_after),
    pinned_not_after: pinned_not_after && toInstant(pinned_not_after),
    attestation: attestation && toAttestation(attestation),
  }));
}

/**
 * Counts pinned certificates by when they end, in stretches of time: before the first bound, from each bound to the next,
 * and from the last one on.
 *
 * @param bounds in order
 * @returns one number more than there are bounds
 * @throws TrustError `device.count_too_slow` when the server does not get through in time
 */
export async function countCertificates(
  store: Store,
  project: string,
  bounds: readonly string[],
  limitMs: number,
): Promise<readonly number[]> {
  const rows = await withProject(store, project, async (tx) => {
    await tx.query(`SELECT set_config('statement_timeout', $1, true)`, [`${limitMs}ms`]);
    try {
      return await tx.query<{ stretch: number; certificates: number }>(
        `SELECT width_bucket(pinned_not_after, $2::timestamptz[]) AS stretch, count(*)::float8 AS certificates
         FROM device WHERE project_id = $1 AND pinned_not_after IS NOT NULL GROUP BY 1`,
        [project, bounds],
      );
    } catch (error) {
      if (!isCancelled(error)) throw error;
      throw new TrustError('device.count_too_slow', { facts: { limit_ms: limitMs }, cause: error });
    }
  });
  const found = new Map(rows.map(({ stretch, certificates }) => [stretch, certificates]));
  return Array.from({ length: bounds.length + 1 }, (_, stretch) => found.get(stretch) ?? 0);
}

type Bind = (value: unknown) => string;

function pinnedPart(filter: CertificateFilter, after: CertificatePosition | null, limit: string, bind: Bind): string {
  const conditions = [
    'd.project_id = $1',
    'd.pinned_not_after IS NOT NULL',
    ...within('d.pinned_not_after', filter, bind, 'timestamptz'),
    ...searched(filter, { id: 'd.device_id', certificate: 'd.pinned_certificate' }, bind),
  ];
  if (after !== null) {
    conditions.push(`(d.pinned_not_after, d.device_id) > (${bind(after.not_after)}, ${bind(after.device_id)})`);
  }
  return `(SELECT d.device_id, 'pinned' AS role, d.pinned_certificate AS certificate,
      d.pinned_fingerprint AS fingerprint, d.pinned_not_after AS not_after
    FROM device d WHERE ${conditions.join(' AND ')} ORDER BY d.pinned_not_after, d.device_id LIMIT ${limit})`;
}

/** Those under review that are not pinned anyway. */
function candidatePart(
  filter: CertificateFilter,
  after: CertificatePosition | null,
  limit: string,
  bind: Bind,
): string {
  const end = `(a.subject->'certificate'->>'not_after')`;
  const conditions = [
    'a.project_id = $1',
    `a.state IN ('open', 'deciding')`,
    `a.subject_kind = 'device'`,
    `${end} IS NOT NULL`,
    `NOT EXISTS (SELECT FROM device d WHERE d.project_id = $1 AND d.device_id = a.subject_id
      AND d.pinned_fingerprint = a.subject->'certificate'->>'fingerprint_sha256' OFFSET 0)`,
    ...within(end, filter, bind, 'text'),
    ...searched(filter, { id: 'a.subject_id', certificate: `(a.subject->'certificate')` }, bind),
  ];
  if (after !== null) {
    const order = after.role === 'pinned' ? '>=' : '>';
    conditions.push(`(${end}, a.subject_id) ${order} (${bind(after.not_after)}::text, ${bind(after.device_id)})`);
  }
  return `(SELECT a.subject_id AS device_id, 'candidate' AS role, a.subject->'certificate' AS certificate,
      a.subject->'certificate'->>'fingerprint_sha256' AS fingerprint, ${end}::timestamptz AS not_after
    FROM approval a WHERE ${conditions.join(' AND ')} ORDER BY ${end}, a.subject_id LIMIT ${limit})`;
}

function within(column: string, { from, before }: CertificateFilter, bind: Bind, type: string): string[] {
  return [
    ...(from === undefined ? [] : [`${column} >= ${bind(from)}::${type}`]),
    ...(before === undefined ? [] : [`${column} < ${bind(before)}::${type}`]),
  ];
}

function searched(
  { search }: CertificateFilter,
  { id, certificate }: { readonly id: string; readonly certificate: string },
  bind: Bind,
): string[] {
  if (search === undefined) return [];
  const pattern = bind(`%${search.replaceAll(/[\\%_]/g, '\\$&')}%`);
  const fields = [
    id,
    ...['subject', 'serial_number', 'fingerprint_sha256'].map((name) => `${certificate}->>'${name}'`),
  ];
  return [`(${fields.map((field) => `${field} ILIKE ${pattern}`).join(' OR ')})`];
}
