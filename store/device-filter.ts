// What devices are listed and counted by, each said once in SQL: as people see it in the device object, at this moment.
import type { AttestationProvider } from '#contracts/attestation.ts';
import type { DeviceApprovalState, Liveness, RotationAdvice, TrustTier } from '#contracts/states.ts';
import { deniedSql } from './denylist.ts';

export interface DeviceFilter {
  readonly approval_state?: DeviceApprovalState;
  /** The effective one, now. */
  readonly trust_tier?: TrustTier;
  readonly liveness?: Liveness;
  /** What the certificate's end asks for; a device without a certificate asks for nothing. */
  readonly rotation?: RotationAdvice;
  /** Reported or assigned. */
  readonly tag?: string;
  /** Part of the device id or hostname, in any case. */
  readonly search?: string;
  readonly pending_review?: boolean;
  /** Taken out of service. */
  readonly retired?: boolean;
}

/** What filters by time and trust need to know. */
export interface DeviceView {
  readonly now: string;
  readonly stale_seconds: number;
  readonly offline_seconds: number;
  readonly rotation_required_seconds: number;
  readonly rotation_recommended_seconds: number;
  /** Whether heartbeats prove who they come from. */
  readonly identity_verified: boolean;
  /** What devices are asked to prove; null when nobody is asked. */
  readonly attestation_provider: AttestationProvider | null;
  readonly attestation_required: boolean;
}

/** Makes a value a parameter of the statement. */
export type Bind = (value: unknown) => string;

export const pinnedDenied = deniedSql({
  project: '$1',
  fingerprint: 'd.pinned_fingerprint',
  issuer: `d.pinned_certificate->>'issuer'`,
  serial_number: `d.pinned_certificate->>'serial_number'`,
});

/** Devices whose pinned certificate is on the denylist, for a plan that reads both as a whole. */
export const deniedNamesSql = `SELECT d.device_id FROM device d
    JOIN certificate_denylist r ON r.project_id = $1 AND r.fingerprint_sha256 = d.pinned_fingerprint
    WHERE d.project_id = $1
    UNION
    SELECT d.device_id FROM device d
    JOIN certificate_denylist r ON r.project_id = $1 AND r.issuer = d.pinned_certificate->>'issuer'
      AND r.serial_number = d.pinned_certificate->>'serial_number'
    WHERE d.project_id = $1`;

/**
 * The certificate that waits, as `c`, beside the device `d` and its liveness `l`: it belongs to the present review
 * generation and was neither turned down nor denied.
 */
export const waitingCandidate = `device_candidate c ON c.project_id = $1 AND c.device_id = k.device_id
    AND c.fingerprint = l.candidate_fingerprint AND c.generation = coalesce(d.review_generation, 0)
    AND NOT coalesce(c.fingerprint = ANY (d.rejected_fingerprints), false)
    AND NOT ${deniedSql({
      project: '$1',
      fingerprint: 'c.fingerprint',
      issuer: `c.certificate->>'issuer'`,
      serial_number: `c.certificate->>'serial_number'`,
    })}`;

/** The approval of the pending review. `OFFSET 0` has it looked up by its key, which row security would prevent. */
export const reviewApproval = `SELECT a.id, a.votes, a.permission FROM approval a
  WHERE a.project_id = $1 AND a.id = (d.review->>'id')::uuid OFFSET 0`;

/** A retired device keeps what people decided about it before. */
export const approvalStateSql = `CASE WHEN d.state = 'retired'
  THEN CASE WHEN d.approved_at IS NULL THEN 'pending' ELSE 'approved' END ELSE coalesce(d.state, 'pending') END`;

export const retiredSql = `coalesce(d.state = 'retired', false)`;

/** @param denied whether the pinned certificate is on the denylist */
export function trustTierSql(view: DeviceView, denied: string, bind: Bind): string {
  return `effective_tier(d.state, d.tier, d.pinned_not_after, ${denied}, ${attestationSql(view, bind)},
    ${bind(view.identity_verified)}::boolean, ${bind(view.now)}::timestamptz)`;
}

/** As `attestationStateOf` in machines/attestation-standing.ts has it. */
export function attestationSql(
  { attestation_provider: provider, attestation_required: required, now }: DeviceView,
  bind: Bind,
): string {
  if (provider === null) return `'not_required'`;
  const missing = required ? `'challenged'` : `'not_required'`;
  const stale = required ? `'stale'` : missing;
  return `coalesce((SELECT CASE
      WHEN t.provider <> ${bind(provider)} THEN ${missing}
      WHEN t.state = 'failed' THEN 'failed'
      WHEN t.state <> 'verified' THEN CASE WHEN t.code = 'attestation.stale' THEN ${stale} ELSE ${missing} END
      WHEN t.fresh_until <= ${bind(now)}::timestamptz THEN ${stale}
      WHEN t.generation = d.attested_generation AND t.provider = d.attestation_provider AND t.key_id = d.attestation_key
        AND (d.hardware_binding IS NULL OR d.hardware_binding = t.binding_id) THEN 'verified'
      ELSE ${missing} END
    FROM device_attestation t WHERE t.project_id = $1 AND t.device_id = k.device_id OFFSET 0), ${missing})`;
}

export function livenessSql({ now, stale_seconds, offline_seconds }: DeviceView, bind: Bind): string {
  const heardBy = (seconds: number): string => `l.last_seen_at > ${bind(shifted(now, -seconds))}::timestamptz`;
  return `CASE WHEN NOT coalesce(${heardBy(offline_seconds)}, false) THEN 'offline'
    WHEN ${heardBy(stale_seconds)} THEN 'online' ELSE 'stale' END`;
}

export function rotationSql(view: DeviceView, bind: Bind): string {
  const endsWithin = (seconds: number): string =>
    `d.pinned_not_after < ${bind(shifted(view.now, seconds))}::timestamptz`;
  return `CASE WHEN ${endsWithin(view.rotation_required_seconds)} THEN 'required'
    WHEN ${endsWithin(view.rotation_recommended_seconds)} THEN 'recommended' ELSE 'none' END`;
}

/** Conditions on what was reported and assigned, which no facet counts. */
export function textConditions({ tag, search }: DeviceFilter, bind: Bind): string[] {
  const conditions: string[] = [];
  if (tag !== undefined) {
    const bound = bind([tag]);
    conditions.push(`(o.reported_tags @> ${bound} OR d.assigned_tags @> ${bound})`);
  }
  if (search !== undefined) {
    const pattern = bind(`%${search.replaceAll(/[\\%_]/g, '\\$&')}%`);
    conditions.push(`(k.device_id ILIKE ${pattern} OR o.hostname ILIKE ${pattern})`);
  }
  return conditions;
}

/** Every condition of a list that looks up each device by its key. */
export function conditionsOf(filter: DeviceFilter, view: DeviceView, bind: Bind): string[] {
  const { approval_state, trust_tier, liveness, rotation, pending_review, retired } = filter;
  const conditions: string[] = [];
  if (approval_state !== undefined) conditions.push(`${approvalStateSql} = ${bind(approval_state)}`);
  if (trust_tier !== undefined) conditions.push(`${trustTierSql(view, pinnedDenied, bind)} = ${bind(trust_tier)}`);
  if (liveness !== undefined) conditions.push(`${livenessSql(view, bind)} = ${bind(liveness)}`);
  if (rotation !== undefined) conditions.push(`${rotationSql(view, bind)} = ${bind(rotation)}`);
  if (pending_review !== undefined) conditions.push(`${pending_review ? '' : 'NOT '}EXISTS (${reviewApproval})`);
  if (retired !== undefined) conditions.push(`${retired ? '' : 'NOT '}${retiredSql}`);
  return [...conditions, ...textConditions(filter, bind)];
}

/** Names among which all are that fit, far fewer than the fleet, and whether the server should plan for reading all of them. */
export interface Few {
  readonly names: string;
  readonly plan: 'by-key' | 'whole';
}

/**
 * What partial indexes know of a filter that few devices fit: without it a page of them is looked for through the whole
 * fleet. Null when the filter fits most devices, or says nothing that an index knows.
 */
export function fewSql(filter: DeviceFilter, view: DeviceView, bind: Bind): Few | null {
  const of = (condition: string): string => `SELECT device_id FROM device WHERE project_id = $1 AND ${condition}`;
  const all = (...parts: readonly string[]): Few => ({ names: parts.join(' UNION '), plan: 'by-key' });
  const untouched = 'SELECT device_id FROM device_first_contact WHERE project_id = $1';
  // `OFFSET 0` has them found by their end: the order of the page would have them looked for by id.
  const endsBefore = (at: string): string =>
    `SELECT device_id FROM (${of(`pinned_not_after < ${bind(at)}::timestamptz`)} OFFSET 0) ending`;
  const unusual = `(state <> 'approved' OR tier <> 'monitored')`;
  const asked = view.attestation_provider !== null;
  const failed = `SELECT device_id FROM device_attestation WHERE project_id = $1 AND state = 'failed'`;

  if (filter.pending_review === true) return all(of('review IS NOT NULL'));
  if (filter.retired === true) return all(of(`state = 'retired'`));
  switch (filter.approval_state) {
    case 'rejected':
    case 'expired':
      return all(of(`state = '${filter.approval_state}'`));
    case 'pending':
      return all(of(`state IN ('pending', 'retired')`), untouched);
    case 'approved':
    case undefined:
  }
  if (filter.rotation === 'required') return all(endsBefore(shifted(view.now, view.rotation_required_seconds)));
  if (filter.rotation === 'recommended') return all(endsBefore(shifted(view.now, view.rotation_recommended_seconds)));
  switch (filter.trust_tier) {
    case 'trusted':
      return all(of(`state = 'approved' AND tier = 'trusted'`));
    case 'observed':
      // Where evidence has to be there, whoever has none is observed too.
      return view.identity_verified && !(asked && view.attestation_required) ? all(of(unusual), untouched) : null;
    case 'restricted':
      return all(of(unusual), endsBefore(shifted(view.now, 1)), ...(asked ? [failed] : []));
    case 'revoked':
      return { names: `${deniedNamesSql} UNION ${of(`tier = 'revoked'`)}`, plan: 'whole' };
    case 'monitored':
    case undefined:
  }
  return null;
}

function shifted(now: string, seconds: number): string {
  return new Date(Date.parse(now) + seconds * 1000).toISOString();
}
