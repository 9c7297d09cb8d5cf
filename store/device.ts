// Devices as the store has them: what was decided, observed and denied, joined for people and for the device's actor.
import type { TransitionRecord } from '#contracts/actor.ts';
import type { AttestationBinding, DeviceAttestation } from '#contracts/attestation.ts';
import type { CertificateFacts } from '#contracts/certificate.ts';
import type { JsonObject } from '#contracts/deps.ts';
import { actorId, type ActorRef } from '#contracts/ids.ts';
import type { ApprovalKind, DeviceOrder, DeviceState, TrustTier } from '#contracts/states.ts';
import { toAttestation } from './attestation.ts';
import { deniedSql } from './denylist.ts';
import { pinnedDenied, reviewApproval, waitingCandidate, type DeviceFilter, type DeviceView } from './device-filter.ts';
import { byKey, known, namesOfPage, type DevicePosition } from './device-page.ts';
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
    /** What people have bound it to. */
    readonly binding: AttestationBinding | null;
    /** The generation of its evidence that its actor has confirmed. */
    readonly attested_generation: number | null;
  } | null;
  readonly attestation: DeviceAttestation | null;
  readonly pinned_revoked: boolean;
  /** How that came about; only where one device is looked at. */
  readonly revocation?: { readonly at: string; readonly by: string; readonly reason: string | null } | null;
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
    /** What the device is called in directories of devices. */
    readonly directory: JsonObject;
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

const joined = `${known}
  LEFT JOIN ${waitingCandidate}
  LEFT JOIN LATERAL (${reviewApproval}) a ON true
  LEFT JOIN device_attestation t ON t.project_id = $1 AND t.device_id = k.device_id`;

/** What people have bound the device `d` to. */
export const bindingColumn = `CASE WHEN d.attestation_key IS NOT NULL THEN jsonb_build_object(
  'provider', d.attestation_provider, 'key_id', d.attestation_key, 'binding_id', d.hardware_binding) END`;

const columns = `
  $1::text AS project_id, k.device_id,
  CASE WHEN d.device_id IS NOT NULL THEN jsonb_build_object('state', d.state, 'tier', d.tier, 'epoch', d.epoch,
    'counter_epoch', d.counter_epoch, 'pinned_certificate', d.pinned_certificate,
    'assigned_tags', to_jsonb(d.assigned_tags), 'review', CASE WHEN a.id IS NOT NULL THEN d.review END, 'reason', d.reason,
    'approvers', to_jsonb(d.approvers), 'attested_generation', d.attested_generation,
    'binding', ${bindingColumn}) END AS grant,
  to_jsonb(t) AS attestation,
  d.approved_at,
  ${pinnedDenied} AS pinned_revoked,
  l.first_seen_at, l.last_seen_at, l.heartbeat_counter::float8 AS heartbeat_counter, l.counter_epoch,
  CASE WHEN o.device_id IS NOT NULL THEN jsonb_build_object('hostname', o.hostname, 'platform', o.platform,
    'agent_version', o.agent_version, 'reported_tags', to_jsonb(o.reported_tags), 'posture', o.posture,
    'directory', o.directory) END
    AS observation,
  c.certificate AS candidate,
  ARRAY(SELECT v->>'by' FROM jsonb_array_elements(a.votes) v WHERE v->>'decision' = 'approve') AS review_voters,
  a.permission AS review_permission`;

/** Of the pinned certificate, the first where it was revoked by fingerprint and by number. */
const revocationSql = `(SELECT jsonb_build_object('at', r.revoked_at, 'by', r.revoked_by, 'reason', r.reason)
  FROM certificate_denylist r WHERE r.project_id = $1 AND (r.fingerprint_sha256 = d.pinned_fingerprint
    OR (r.serial_number = d.pinned_certificate->>'serial_number' AND r.issuer = d.pinned_certificate->>'issuer'))
  ORDER BY r.revoked_at LIMIT 1)`;

interface FoundRow {
  readonly project_id: string;
  readonly device_id: string;
  readonly grant: Omit<NonNullable<DeviceRow['grant']>, 'approved_at'> | null;
  readonly approved_at: string | null;
  readonly attestation: DeviceAttestation | null;
  readonly pinned_revoked: boolean;
  readonly revocation?: DeviceRow['revocation'];
  readonly first_seen_at: string | null;
  readonly last_seen_at: string | null;
  readonly heartbeat_counter: number | null;
  readonly counter_epoch: number | null;
  readonly observation: DeviceRow['observation'];
  readonly candidate: CertificateFacts | null;
  readonly review_voters: readonly string[];
  readonly review_permission: string | null;
}

/** Lists devices, each in full. */
export async function listDevices(
  store: Store,
  project: string,
  filter: DeviceFilter,
  page: Page<DevicePosition> & { readonly order?: DeviceOrder },
  view: DeviceView,
): Promise<readonly DeviceRow[]> {
  const rows = await withProject(store, project, async (tx) => {
    const names = await namesOfPage(tx, filter, page, view);
    if (names.length === 0) return [];
    await tx.query(byKey);
    return tx.query<FoundRow>(
      `SELECT ${columns} FROM unnest($2::text[]) WITH ORDINALITY k (device_id, place) ${joined} ORDER BY k.place`,
      [project, names],
    );
  });
  return rows.map(toRow);
}

export async function findDevice(store: Store, project: string, deviceId: string): Promise<DeviceRow | null> {
  const [row] = await withProject(store, project, (tx) =>
    tx.query<FoundRow>(
      `SELECT ${columns}, ${revocationSql} AS revocation FROM (SELECT $2::text AS device_id) k ${joined}
       WHERE d.device_id IS NOT NULL OR l.device_id IS NOT NULL`,
      [project, deviceId],
    ),
  );
  return row ? toRow(row) : null;
}

function toRow(row: FoundRow): DeviceRow {
  const { grant, approved_at, first_seen_at, last_seen_at, heartbeat_counter, counter_epoch, revocation, ...rest } =
    row;
  const isLive = first_seen_at !== null && last_seen_at !== null && heartbeat_counter !== null;
  return {
    ...rest,
    ...(revocation ? { revocation: { ...revocation, at: toInstant(revocation.at) } } : {}),
    attestation: row.attestation && toAttestation(row.attestation),
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
  readonly candidate: {
    readonly certificate: CertificateFacts;
    readonly generation: number;
    /** When it was presented first. */
    readonly seen_at: string;
  } | null;
  readonly inbox_through: number;
  /** Those of the pinned and the candidate certificate that are on the denylist. */
  readonly revoked: readonly string[];
  /** Null before its first challenge. */
  readonly standing: DeviceAttestation | null;
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
         c.certificate, c.generation, c.seen_at,
         to_jsonb(a) AS standing
       FROM device_liveness l
       LEFT JOIN device_observation o ON o.project_id = l.project_id AND o.device_id = l.device_id
       LEFT JOIN device_candidate c ON c.project_id = l.project_id AND c.device_id = l.device_id
         AND c.fingerprint = l.candidate_fingerprint AND c.generation = l.candidate_generation
       LEFT JOIN device_attestation a ON a.project_id = l.project_id AND a.device_id = l.device_id
       WHERE l.project_id = $1 AND l.device_id = $2`,
      [project, device_id],
    );
    const candidate =
      found?.certificate && found.generation !== null && found.seen_at !== null
        ? { certificate: found.certificate, generation: found.generation, seen_at: toInstant(found.seen_at) }
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
      standing: found?.standing ? toAttestation(found.standing) : null,
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
  readonly seen_at: string | null;
  readonly standing: DeviceAttestation | null;
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
