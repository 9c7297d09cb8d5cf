// Devices as the store has them: what was decided, observed and denied, joined for people and for the device's actor.
import type { TransitionRecord } from '#contracts/actor.ts';
import type { CertificateFacts } from '#contracts/certificate.ts';
import type { JsonObject } from '#contracts/deps.ts';
import { actorId, type ActorRef } from '#contracts/ids.ts';
import type { ApprovalKind, DeviceApprovalState, DeviceState, Liveness, TrustTier } from '#contracts/states.ts';
import { deniedSql } from './denylist.ts';
import { ActorTransition } from './entities/actor.ts';
import { newestFirst, type Page } from './page.ts';
import { plain, toInstant } from './plain.ts';
import type { Store } from './store.ts';
import { type ProjectTransaction, withProject } from './with-project.ts';

/** Everything that is known about a device. */
export interface DeviceRow {
  readonly project_id: string;
  readonly device_id: string;
  /** Null until its actor has written something. */
  readonly grant: {
    readonly state: DeviceState;
    readonly tier: TrustTier;
    readonly epoch: number;
    readonly counter_epoch: number;
    readonly pinned_certificate: CertificateFacts | null;
    readonly assigned_tags: readonly string[];
    /** Null until its approval has been opened too, and people can vote. */
    readonly review: PendingReviewRow | null;
    readonly reason: string | null;
    readonly approvers: readonly string[];
    readonly approved_at: string | null;
  } | null;
  readonly pinned_revoked: boolean;
  readonly liveness: {
    readonly first_seen_at: string;
    readonly last_seen_at: string;
    readonly heartbeat_counter: number;
    readonly counter_epoch: number | null;
  } | null;
  readonly observation: {
    readonly hostname: string | null;
    readonly platform: string | null;
    readonly agent_version: string | null;
    readonly reported_tags: readonly string[];
    readonly posture: JsonObject;
  } | null;
  /** The certificate that waits for a decision. */
  readonly candidate: CertificateFacts | null;
  /** Those who have approved in the pending review. */
  readonly review_voters: readonly string[];
  /** What a vote on it takes; null without a review. */
  readonly review_permission: string | null;
}

export interface PendingReviewRow {
  readonly id: string;
  readonly kind: ApprovalKind;
  readonly digest: string;
  readonly expires_at: string;
  readonly required: number;
}

export interface DeviceFilter {
  readonly approval_state?: DeviceApprovalState;
  /** The effective one, now. */
  readonly trust_tier?: TrustTier;
  readonly liveness?: Liveness;
  /** Reported or assigned. */
  readonly tag?: string;
  /** Part of the device id or hostname, in any case. */
  readonly search?: string;
  readonly pending_review?: boolean;
}

/** What filters by time and trust need to know. */
export interface DeviceView {
  readonly now: string;
  readonly stale_seconds: number;
  readonly offline_seconds: number;
  /** Whether heartbeats prove who they come from. */
  readonly identity_verified: boolean;
}

/**
 * Has the server go through keys in their order and look up the rest by key, whatever it holds of the size of the fleet:
 * a page ends long before the fleet does, and behind row security the planner does not see that.
 */
export const byKey = `SELECT set_config('enable_' || what, 'off', true)
  FROM unnest(ARRAY['seqscan', 'hashjoin', 'mergejoin', 'sort']) what`;

const known = `
  LEFT JOIN device d ON d.project_id = $1 AND d.device_id = k.device_id
  LEFT JOIN device_liveness l ON l.project_id = $1 AND l.device_id = k.device_id
  LEFT JOIN device_observation o ON o.project_id = $1 AND o.device_id = k.device_id`;

const pinnedDenied = deniedSql({
  project: '$1',
  fingerprint: 'd.pinned_fingerprint',
  issuer: `d.pinned_certificate->>'issuer'`,
  serial_number: `d.pinned_certificate->>'serial_number'`,
});

/** The approval of the pending review. `OFFSET 0` has it looked up by its key, which row security would prevent. */
const reviewApproval = `SELECT a.id, a.votes, a.permission FROM approval a
  WHERE a.project_id = $1 AND a.id = (d.review->>'id')::uuid OFFSET 0`;

/** A certificate waits while it belongs to the present review generation and was neither turned down nor denied. */
const joined = `${known}
  LEFT JOIN device_candidate c ON c.project_id = $1 AND c.device_id = k.device_id
    AND c.fingerprint = l.candidate_fingerprint AND c.generation = coalesce(d.review_generation, 0)
    AND NOT coalesce(c.fingerprint = ANY (d.rejected_fingerprints), false)
    AND NOT ${deniedSql({
      project: '$1',
      fingerprint: 'c.fingerprint',
      issuer: `c.certificate->>'issuer'`,
      serial_number: `c.certificate->>'serial_number'`,
    })}
  LEFT JOIN LATERAL (${reviewApproval}) a ON true`;

const columns = `
  $1::text AS project_id, k.device_id,
  CASE WHEN d.device_id IS NOT NULL THEN jsonb_build_object('state', d.state, 'tier', d.tier, 'epoch', d.epoch,
    'counter_epoch', d.counter_epoch, 'pinned_certificate', d.pinned_certificate,
    'assigned_tags', to_jsonb(d.assigned_tags), 'review', CASE WHEN a.id IS NOT NULL THEN d.review END, 'reason', d.reason,
    'approvers', to_jsonb(d.approvers)) END AS grant,
  d.approved_at,
  ${pinnedDenied} AS pinned_revoked,
  l.first_seen_at, l.last_seen_at, l.heartbeat_counter::float8 AS heartbeat_counter, l.counter_epoch,
  CASE WHEN o.device_id IS NOT NULL THEN jsonb_build_object('hostname', o.hostname, 'platform', o.platform,
    'agent_version', o.agent_version, 'reported_tags', to_jsonb(o.reported_tags), 'posture', o.posture) END
    AS observation,
  c.certificate AS candidate,
  ARRAY(SELECT v->>'by' FROM jsonb_array_elements(a.votes) v WHERE v->>'decision' = 'approve') AS review_voters,
  a.permission AS review_permission`;

interface FoundRow {
  readonly project_id: string;
  readonly device_id: string;
  readonly grant: Omit<NonNullable<DeviceRow['grant']>, 'approved_at'> | null;
  readonly approved_at: string | null;
  readonly pinned_revoked: boolean;
  readonly first_seen_at: string | null;
  readonly last_seen_at: string | null;
  readonly heartbeat_counter: number | null;
  readonly counter_epoch: number | null;
  readonly observation: DeviceRow['observation'];
  readonly candidate: CertificateFacts | null;
  readonly review_voters: readonly string[];
  readonly review_permission: string | null;
}

/** Lists devices by id. */
export async function listDevices(
  store: Store,
  project: string,
  filter: DeviceFilter,
  page: Page<string>,
  view: DeviceView,
): Promise<readonly DeviceRow[]> {
  const values: unknown[] = [project];
  const bind = (value: unknown): string => `$${values.push(value)}`;
  const conditions = conditionsOf(filter, view, bind);
  if (page.after !== null) conditions.push(`k.device_id > ${bind(page.after)}`);
  const rows = await withProject(store, project, async (tx) => {
    await tx.query(byKey);
    return tx.query<FoundRow>(
      `${pageOfNames(conditions, bind(page.limit))} SELECT ${columns} FROM page k ${joined} ORDER BY k.device_id`,
      values,
    );
  });
  return rows.map(toRow);
}

/**
 * A page of names, by those that were heard. A device whose liveness was lost is still one; such devices are looked for
 * between the first and the last of these only, since going through all of them would read the fleet for each page.
 */
function pageOfNames(conditions: readonly string[], limit: string): string {
  const from = (table: string, ...more: readonly string[]): string => `
    SELECT k.device_id FROM (SELECT s.device_id FROM ${table} s WHERE s.project_id = $1) k ${known}
    WHERE ${['true', ...more, ...conditions].join(' AND ')} ORDER BY k.device_id LIMIT ${limit}`;
  // No id is longer than 64 characters.
  const last = `(SELECT CASE WHEN count(*) < ${limit} THEN repeat('z', 65) ELSE max(h.device_id) END FROM heard h)`;
  return `WITH heard AS MATERIALIZED (${from('device_liveness')}),
  unheard AS MATERIALIZED (${from('device', 'l.device_id IS NULL', `k.device_id <= ${last}`)}),
  page AS MATERIALIZED (
    SELECT device_id FROM heard UNION ALL SELECT device_id FROM unheard ORDER BY device_id LIMIT ${limit})`;
}

function conditionsOf(filter: DeviceFilter, view: DeviceView, bind: (value: unknown) => string): string[] {
  const conditions: string[] = [];
  const { approval_state, trust_tier, liveness, tag, search, pending_review } = filter;
  if (approval_state !== undefined) {
    // A retired device keeps what people decided about it before.
    conditions.push(`CASE WHEN d.state = 'retired' THEN CASE WHEN d.approved_at IS NULL THEN 'pending' ELSE 'approved' END
      ELSE coalesce(d.state, 'pending') END = ${bind(approval_state)}`);
  }
  if (trust_tier !== undefined) {
    conditions.push(`effective_tier(d.state, d.tier, d.pinned_not_after, ${pinnedDenied}, 'not_required',
      ${bind(view.identity_verified)}, ${bind(view.now)}) = ${bind(trust_tier)}`);
  }
  if (liveness !== undefined) conditions.push(livenessCondition(liveness, view, bind));
  if (tag !== undefined) {
    const bound = bind([tag]);
    conditions.push(`(o.reported_tags @> ${bound} OR d.assigned_tags @> ${bound})`);
  }
  if (search !== undefined) {
    const pattern = bind(`%${search.replaceAll(/[\\%_]/g, '\\$&')}%`);
    conditions.push(`(k.device_id ILIKE ${pattern} OR o.hostname ILIKE ${pattern})`);
  }
  if (pending_review !== undefined) conditions.push(`${pending_review ? '' : 'NOT '}EXISTS (${reviewApproval})`);
  return conditions;
}

function livenessCondition(liveness: Liveness, view: DeviceView, bind: (value: unknown) => string): string {
  const before = (seconds: number): string => bind(new Date(Date.parse(view.now) - seconds * 1000).toISOString());
  switch (liveness) {
    case 'online':
      return `l.last_seen_at > ${before(Math.min(view.stale_seconds, view.offline_seconds))}`;
    case 'stale':
      return `l.last_seen_at <= ${before(view.stale_seconds)} AND l.last_seen_at > ${before(view.offline_seconds)}`;
    case 'offline':
      return `coalesce(l.last_seen_at <= ${before(view.offline_seconds)}, true)`;
  }
}

export async function findDevice(store: Store, project: string, deviceId: string): Promise<DeviceRow | null> {
  const [row] = await withProject(store, project, (tx) =>
    tx.query<FoundRow>(
      `SELECT ${columns} FROM (SELECT $2::text AS device_id) k ${joined}
       WHERE d.device_id IS NOT NULL OR l.device_id IS NOT NULL`,
      [project, deviceId],
    ),
  );
  return row ? toRow(row) : null;
}

function toRow(row: FoundRow): DeviceRow {
  const { grant, approved_at, first_seen_at, last_seen_at, heartbeat_counter, counter_epoch, ...rest } = row;
  const isLive = first_seen_at !== null && last_seen_at !== null && heartbeat_counter !== null;
  return {
    ...rest,
    grant: grant && { ...grant, approved_at: approved_at && toInstant(approved_at) },
    liveness: isLive
      ? {
          first_seen_at: toInstant(first_seen_at),
          last_seen_at: toInstant(last_seen_at),
          heartbeat_counter,
          counter_epoch,
        }
      : null,
  };
}

export type HistoryPosition = { readonly epoch: number; readonly revision: number };

/** One transition, for ever. */
export type HistoryRow = TransitionRecord & HistoryPosition;

/** Lists the transitions of an actor, the newest first. */
export async function listHistory(
  store: Store,
  ref: ActorRef,
  page: Page<HistoryPosition>,
): Promise<readonly HistoryRow[]> {
  const { beyond, ...options } = newestFirst(['epoch', 'revision'], page);
  const rows = await withProject(store, ref.project, (tx) =>
    tx.entities.find(ActorTransition, { project_id: ref.project, actor_id: actorId(ref), ...beyond }, options),
  );
  return rows.map((row) => plain<HistoryRow>(row));
}

/** What the store knows about a device, for its actor. */
export interface StoredDeviceNews {
  readonly observed: {
    readonly digest: string;
    readonly reported_tags: readonly string[];
    readonly hostname: string | null;
    readonly platform: string | null;
  } | null;
  readonly candidate: { readonly certificate: CertificateFacts; readonly generation: number } | null;
  readonly inbox_through: number;
  /** Those of the pinned and the candidate certificate that are on the denylist. */
  readonly revoked: readonly string[];
}

/** @param query.pinned as the actor has it, which may be ahead of the row */
export async function deviceNews(
  store: Store,
  query: { readonly project: string; readonly device_id: string; readonly pinned: CertificateFacts | null },
): Promise<StoredDeviceNews> {
  const { project, device_id, pinned } = query;
  return withProject(store, project, async (tx) => {
    const [found] = await tx.query<FoundNews>(
      `SELECT l.inbox_seq::float8 AS inbox_seq, o.observed_digest, o.reported_tags, o.hostname, o.platform,
         c.certificate, c.generation
       FROM device_liveness l
       LEFT JOIN device_observation o ON o.project_id = l.project_id AND o.device_id = l.device_id
       LEFT JOIN device_candidate c ON c.project_id = l.project_id AND c.device_id = l.device_id
         AND c.fingerprint = l.candidate_fingerprint AND c.generation = l.candidate_generation
       WHERE l.project_id = $1 AND l.device_id = $2`,
      [project, device_id],
    );
    const candidate =
      found?.certificate && found.generation !== null
        ? { certificate: found.certificate, generation: found.generation }
        : null;
    const asked = [pinned, candidate?.certificate ?? null].filter((one) => one !== null);
    return {
      observed:
        found && found.observed_digest !== null
          ? {
              digest: found.observed_digest,
              reported_tags: found.reported_tags ?? [],
              hostname: found.hostname,
              platform: found.platform,
            }
          : null,
      candidate,
      inbox_through: found?.inbox_seq ?? 0,
      revoked: await deniedOf(tx, asked),
    };
  });
}

interface FoundNews {
  readonly inbox_seq: number;
  readonly observed_digest: string | null;
  readonly reported_tags: readonly string[] | null;
  readonly hostname: string | null;
  readonly platform: string | null;
  readonly certificate: CertificateFacts | null;
  readonly generation: number | null;
}

/** The fingerprints of those that are denied. */
async function deniedOf(tx: ProjectTransaction, certificates: readonly CertificateFacts[]): Promise<readonly string[]> {
  const rows = await tx.query<{ fingerprint_sha256: string }>(
    `SELECT DISTINCT a.fingerprint_sha256
     FROM jsonb_to_recordset($2) AS a (fingerprint_sha256 text, issuer text, serial_number text)
     WHERE ${deniedSql({
       project: '$1',
       fingerprint: 'a.fingerprint_sha256',
       issuer: 'a.issuer',
       serial_number: 'a.serial_number',
     })}`,
    [tx.project, JSON.stringify(certificates)],
  );
  return rows.map(({ fingerprint_sha256 }) => fingerprint_sha256);
}
