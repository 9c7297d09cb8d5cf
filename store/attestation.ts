// Attestation in the store: what devices are asked, what was made of their answers, and where that leaves them. Written by
// the heartbeat path only. In every transaction the standing is locked before the challenge.
import { createHash } from 'node:crypto';
import type {
  AttestationBasis,
  AttestationBinding,
  AttestationCircumstances,
  AttestationProvider,
  DeviceAttestation,
  StoredChallenge,
  Verdict,
} from '#contracts/attestation.ts';
import type { AuditEntry } from '#contracts/audit.ts';
import type { Json } from '#contracts/deps.ts';
import type { DeviceState, TrustTier } from '#contracts/states.ts';
import { record } from './audit.ts';
import { pinnedDenied, waitingCandidate } from './device-filter.ts';
import { isReferenceGone } from './errors.ts';
import { toInstant } from './plain.ts';
import type { Store } from './store.ts';
import { divide, unite, type VerdictParts } from './verdict-parts.ts';
import { type ProjectStatements, withProject, withProjectStatements } from './with-project.ts';

/** The part of the grant that attestation depends on. */
export interface AttestedGrant {
  readonly state: DeviceState;
  readonly tier: TrustTier;
  readonly epoch: number;
  readonly pinned_fingerprint: string | null;
  readonly pinned_not_after: string | null;
  readonly pinned_revoked: boolean;
  readonly assigned_tags: readonly string[];
  readonly binding: AttestationBinding | null;
  /** The generation that the actor has confirmed. */
  readonly attested_generation: number | null;
}

export interface DeviceStanding {
  /** Null until its actor has written something. */
  readonly grant: AttestedGrant | null;
  /** Null before it was asked for the first time. */
  readonly attestation: DeviceAttestation | null;
  /** The endorsement key in whose TPM the key of `attestation` is on record to live; null when it is not. */
  readonly activated_in: string | null;
  /** What it was asked and has not answered, expired or not. */
  readonly challenge: StoredChallenge | null;
  /** Of the certificate that waits for a decision, unless it was turned down or denied. */
  readonly candidate_fingerprint: string | null;
  /** The last counter that was accepted since its last reset; 0 when none was. */
  readonly counted: number;
  /** Pieces of evidence since its last verdict that moved nothing, and were counted only. */
  readonly unrecorded: number;
}

const standingColumns = `d.state, d.tier, d.epoch, d.counter_epoch, d.pinned_fingerprint, d.pinned_not_after,
  d.assigned_tags, d.attestation_provider, d.attestation_key, d.hardware_binding, d.attested_generation,
  ${pinnedDenied} AS pinned_revoked, l.heartbeat_counter::float8 AS heartbeat_counter, l.counter_epoch AS counted_epoch,
  c.fingerprint AS candidate_fingerprint,
  y.endorsement_key_id AS activated_in, to_jsonb(a) AS attestation, to_jsonb(q) AS challenge`;

const standingTables = `
  LEFT JOIN device d ON d.project_id = $1 AND d.device_id = k.device_id
  LEFT JOIN device_liveness l ON l.project_id = $1 AND l.device_id = k.device_id
  LEFT JOIN ${waitingCandidate}
  LEFT JOIN device_attestation a ON a.project_id = $1 AND a.device_id = k.device_id
  LEFT JOIN key_activation y ON y.project_id = $1 AND y.device_id = k.device_id AND y.key_id = a.key_id
  LEFT JOIN attestation_challenge q ON q.project_id = $1 AND q.device_id = k.device_id`;

interface FoundStanding {
  readonly device_id: string;
  readonly state: DeviceState | null;
  readonly tier: TrustTier;
  readonly epoch: number;
  readonly counter_epoch: number;
  readonly pinned_fingerprint: string | null;
  readonly pinned_not_after: string | null;
  readonly pinned_revoked: boolean;
  readonly assigned_tags: readonly string[];
  readonly attestation_provider: AttestationProvider | null;
  readonly attestation_key: string | null;
  readonly hardware_binding: string | null;
  readonly attested_generation: number | null;
  readonly heartbeat_counter: number | null;
  readonly counted_epoch: number | null;
  readonly candidate_fingerprint: string | null;
  readonly activated_in: string | null;
  readonly attestation: (DeviceAttestation & { readonly unrecorded: number }) | null;
  readonly challenge: StoredChallenge | null;
}

/** Where a device stands, in one read. */
export async function readStanding(store: Store, project: string, deviceId: string): Promise<DeviceStanding> {
  return withProjectStatements(
    store,
    project,
    async (tx) => (await standingsOf(tx, [deviceId])).get(deviceId) ?? unknown,
  );
}

const unknown: DeviceStanding = {
  grant: null,
  attestation: null,
  activated_in: null,
  challenge: null,
  candidate_fingerprint: null,
  counted: 0,
  unrecorded: 0,
};

async function standingsOf(
  tx: ProjectStatements,
  deviceIds: readonly string[],
): Promise<ReadonlyMap<string, DeviceStanding>> {
  const rows = await tx.query<FoundStanding>(
    `SELECT k.device_id, ${standingColumns} FROM unnest($2::text[]) k (device_id) ${standingTables}`,
    [tx.project, deviceIds],
  );
  return new Map(rows.map((row) => [row.device_id, toStanding(row)]));
}

function toStanding(row: FoundStanding): DeviceStanding {
  const { state, attestation_provider, attestation_key, hardware_binding } = row;
  const counts = row.heartbeat_counter !== null && state !== null && row.counted_epoch === row.counter_epoch;
  return {
    grant:
      state === null
        ? null
        : {
            state,
            tier: row.tier,
            epoch: row.epoch,
            pinned_fingerprint: row.pinned_fingerprint,
            pinned_not_after: row.pinned_not_after && toInstant(row.pinned_not_after),
            pinned_revoked: row.pinned_revoked,
            assigned_tags: row.assigned_tags,
            binding:
              attestation_provider !== null && attestation_key !== null
                ? { provider: attestation_provider, key_id: attestation_key, binding_id: hardware_binding }
                : null,
            attested_generation: row.attested_generation,
          },
    attestation: row.attestation && toAttestation(row.attestation),
    activated_in: row.activated_in,
    challenge: row.challenge && toChallenge(row.challenge),
    candidate_fingerprint: row.candidate_fingerprint,
    counted: counts ? (row.heartbeat_counter ?? 0) : 0,
    unrecorded: row.attestation?.unrecorded ?? 0,
  };
}

/** The row as JSON has more members, and times in the server's form. */
export function toAttestation(row: DeviceAttestation): DeviceAttestation {
  return {
    state: row.state,
    generation: row.generation,
    verdict: row.verdict,
    provider: row.provider,
    key_id: row.key_id,
    binding_id: row.binding_id,
    manufacturer: row.manufacturer,
    verified_at: row.verified_at && toInstant(row.verified_at),
    fresh_until: row.fresh_until && toInstant(row.fresh_until),
    code: row.code,
    reason: row.reason,
    detail: row.detail,
    clock: row.clock,
  };
}

function toChallenge(row: StoredChallenge): StoredChallenge {
  return {
    provider: row.provider,
    nonce: row.nonce,
    selection: row.selection,
    issued_at: toInstant(row.issued_at),
    expires_at: toInstant(row.expires_at),
    activation: row.activation,
  };
}

/** Events that go with a change of a standing; the caller knows what the tier comes to. */
export type Announce = (before: DeviceStanding, after: DeviceAttestation, deviceId: string) => readonly AuditEntry[];

export interface RecordedVerdict {
  readonly device_id: string;
  readonly evidence: Json;
  readonly evidence_digest: string;
  readonly circumstances: AttestationCircumstances;
  readonly basis: AttestationBasis;
  readonly basis_digest: string;
  readonly result: Verdict;
  /** Whether it is what shows where the key lives. */
  readonly activates: boolean;
}

export interface RecordOptions {
  readonly now: string;
  /** What the verdict makes of the standing as it is then. */
  readonly standingAfter: (before: DeviceAttestation | null) => DeviceAttestation;
  /** What the device is asked now; null leaves the present challenge open. */
  readonly next: StoredChallenge | null;
  /** Of a device, within a minute, of what moves nothing. */
  readonly mostUnmoving: number;
  readonly announce: Announce;
}

/**
 * Writes a verdict down, moves the standing and asks anew, in one transaction. An answer uses its challenge up: of two that
 * answer the same one, the second finds it gone, and nothing is written of it.
 *
 * Whatever moves the standing is written down, and so is all verified evidence. Of the rest there is no end to what a
 * device can send: beyond so much of it within a minute it is counted in the row of its standing, which stays as it was.
 *
 * @returns null when the challenge was answered by somebody else in between
 */
export async function recordVerdict(
  store: Store,
  project: string,
  verdict: RecordedVerdict,
  options: RecordOptions,
): Promise<DeviceStanding | null> {
  try {
    return await tryToRecord(store, project, verdict, options);
  } catch (error) {
    // What it has in common with verdicts long past was swept in this very moment; nothing was written yet.
    if (!isReferenceGone(error)) throw error;
    return tryToRecord(store, project, verdict, options);
  }
}

async function tryToRecord(
  store: Store,
  project: string,
  verdict: RecordedVerdict,
  options: RecordOptions,
): Promise<DeviceStanding | null> {
  const { device_id, circumstances, result } = verdict;
  const { now, standingAfter, next, mostUnmoving, announce } = options;
  return withProjectStatements(store, project, async (tx) => {
    let [locked] = await lockStandings(tx, [device_id]);
    if (locked === undefined) {
      await makeStanding(tx, device_id, verdict.basis.provider, now);
      [locked] = await lockStandings(tx, [device_id]);
    }
    if (next !== null && circumstances.challenge !== null) {
      const answered = await tx.query(
        `DELETE FROM attestation_challenge WHERE project_id = $1 AND device_id = $2 AND nonce = $3 RETURNING nonce`,
        [project, device_id, circumstances.challenge.nonce],
      );
      if (answered.length === 0) return null;
    }
    const before = (await standingsOf(tx, [device_id])).get(device_id) ?? unknown;
    const moved = standingAfter(before.attestation);
    const last = before.attestation?.verdict ?? 0;
    const changed = isMoved(before.attestation, moved);
    if (next !== null) await writeChallenges(tx, [{ device_id, challenge: next }], now);
    const asked = { ...before, challenge: next ?? before.challenge };
    if (!changed && result.outcome !== 'verified' && !(await mayRecord(tx, verdict, { last, now, mostUnmoving }))) {
      await countUnrecorded(tx, device_id);
      return { ...asked, unrecorded: before.unrecorded + 1 };
    }
    const after = { ...moved, verdict: last + 1 };
    // What a key rests on is kept, whatever it moved.
    const kept = changed || verdict.activates;
    const common_digest = await insertVerdict(tx, verdict, {
      ...{ after, changed: kept, unrecorded: before.unrecorded, now },
      commonBefore: locked?.common_digest ?? null,
    });
    const activated_in = verdict.activates ? await recordActivation(tx, verdict, after.verdict) : before.activated_in;
    await writeStanding(tx, device_id, after, { unrecorded: 0, common_digest, now });
    await record(tx, { audit: announce(before, after, device_id) });
    return { ...asked, attestation: after, activated_in, unrecorded: 0 };
  });
}

/** Whether readers would make something else of it. Why it stands there is no part of that: a device could go to and fro. */
function isMoved(before: DeviceAttestation | null, after: DeviceAttestation): boolean {
  return before?.state !== after.state || before.generation !== after.generation || before.provider !== after.provider;
}

/** How far back verdicts are looked at; more than one device may have recorded within a minute that moves nothing. */
const lookedAt = 64;

/**
 * Whether one more that moves nothing may be written down: few were within the minute, or none of its kind, so that what
 * happens rarely is not hidden behind what happens often. Asked under the lock of the standing, for all processes together.
 */
async function mayRecord(
  tx: ProjectStatements,
  { device_id, result }: RecordedVerdict,
  { last, now, mostUnmoving }: { readonly last: number; readonly now: string; readonly mostUnmoving: number },
): Promise<boolean> {
  const [found] = await tx.query<{ some: number; alike: number }>(
    `SELECT count(*)::integer AS some,
       (count(*) FILTER (WHERE v.outcome = $5 AND v.code IS NOT DISTINCT FROM $6))::integer AS alike
     FROM attestation_verdict v
     WHERE v.project_id = $1 AND v.device_id = $2 AND v.verdict > $3::bigint - ${lookedAt}
       AND v.at > $4::timestamptz - interval '1 minute' AND v.outcome <> 'verified'`,
    [tx.project, device_id, last, now, result.outcome, result.code],
  );
  return found === undefined || found.some < mostUnmoving || found.alike === 0;
}

async function countUnrecorded(tx: ProjectStatements, deviceId: string): Promise<void> {
  await tx.query(`UPDATE device_attestation SET unrecorded = unrecorded + 1 WHERE project_id = $1 AND device_id = $2`, [
    tx.project,
    deviceId,
  ]);
}

/** @returns what it has in common with others is kept under */
async function insertVerdict(
  tx: ProjectStatements,
  { device_id, evidence, evidence_digest, circumstances, basis, basis_digest, result }: RecordedVerdict,
  {
    after,
    changed,
    unrecorded,
    commonBefore,
    now,
  }: {
    readonly after: DeviceAttestation;
    readonly changed: boolean;
    /** Before it, since the verdict before. */
    readonly unrecorded: number;
    /** Of the verdict before; that is there, since the last verdict of a device is not swept. */
    readonly commonBefore: string | null;
    readonly now: string;
  },
): Promise<string> {
  const { own, common } = divide({ evidence, circumstances, result });
  const common_digest = digestOf(tx.store, { basis_digest, content: common });
  if (common_digest !== commonBefore) {
    await tx.query(
      `INSERT INTO attestation_basis (project_id, digest, content, first_used_at) VALUES ($1, $2, $3, $4)
       ON CONFLICT DO NOTHING`,
      [tx.project, basis_digest, JSON.stringify(basis), now],
    );
    await tx.query(
      `INSERT INTO attestation_common (project_id, digest, basis_digest, content, first_used_at)
       VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
      [tx.project, common_digest, basis_digest, JSON.stringify(common), now],
    );
  }
  await tx.query(
    `INSERT INTO attestation_verdict (project_id, device_id, verdict, at, provider, outcome, code, reason, changed,
       generation, unrecorded, evidence_digest, evidence, circumstances, result, common_digest)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
    [
      tx.project,
      device_id,
      after.verdict,
      now,
      basis.provider,
      result.outcome,
      result.code,
      result.reason,
      changed,
      after.generation,
      unrecorded,
      evidence_digest,
      JSON.stringify(own.evidence),
      JSON.stringify(own.circumstances),
      JSON.stringify(own.result),
      common_digest,
    ],
  );
  return common_digest;
}

function digestOf({ canonicalBytes }: Pick<Store, 'canonicalBytes'>, value: Json): string {
  return createHash('sha256').update(canonicalBytes(value)).digest('hex');
}

/** @returns the endorsement key */
async function recordActivation(
  tx: ProjectStatements,
  { device_id, result: { key_id, binding_id } }: RecordedVerdict,
  verdict: number,
): Promise<string | null> {
  await tx.query(
    `INSERT INTO key_activation (project_id, device_id, key_id, endorsement_key_id, verdict) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (project_id, device_id, key_id) DO UPDATE SET endorsement_key_id = excluded.endorsement_key_id,
       verdict = excluded.verdict`,
    [tx.project, device_id, key_id, binding_id, verdict],
  );
  return binding_id;
}

/** A row to lock, where there is none yet. */
async function makeStanding(
  tx: ProjectStatements,
  deviceId: string,
  provider: AttestationProvider,
  now: string,
): Promise<void> {
  await tx.query(
    `INSERT INTO device_attestation (project_id, device_id, state, generation, verdict, provider, updated_at)
     VALUES ($1, $2, 'challenged', 0, 0, $3, $4) ON CONFLICT DO NOTHING`,
    [tx.project, deviceId, provider, now],
  );
}

/** In the order of their names. */
async function lockStandings(
  tx: ProjectStatements,
  deviceIds: readonly string[],
): Promise<readonly { readonly common_digest: string | null }[]> {
  return tx.query(
    `SELECT common_digest FROM device_attestation WHERE project_id = $1 AND device_id = ANY ($2)
     ORDER BY device_id FOR UPDATE`,
    [tx.project, deviceIds],
  );
}

/** What a standing becomes; null when it stays. */
type Lowering = (before: DeviceAttestation) => DeviceAttestation | null;

/** Lowers those that `lowering` changes as they are now, and says so. @returns where each of them stands then */
async function lower(
  tx: ProjectStatements,
  deviceIds: readonly string[],
  { now, lowering, announce }: { readonly now: string; readonly lowering: Lowering; readonly announce: Announce },
): Promise<ReadonlyMap<string, DeviceStanding>> {
  await lockStandings(tx, deviceIds);
  const lowered = new Map<string, DeviceStanding>();
  for (const [deviceId, before] of await standingsOf(tx, deviceIds)) {
    const after = before.attestation && lowering(before.attestation);
    if (after === null) continue;
    await writeStanding(tx, deviceId, after, { unrecorded: before.unrecorded, common_digest: null, now });
    await record(tx, { audit: announce(before, after, deviceId) });
    lowered.set(deviceId, { ...before, attestation: after });
  }
  return lowered;
}

async function writeStanding(
  tx: ProjectStatements,
  deviceId: string,
  after: DeviceAttestation,
  {
    unrecorded,
    common_digest,
    now,
  }: {
    readonly unrecorded: number;
    /** Of the last verdict; null where that is the one before. */
    readonly common_digest: string | null;
    readonly now: string;
  },
): Promise<void> {
  await tx.query(
    `UPDATE device_attestation SET state = $3, generation = $4, verdict = $5, provider = $6, key_id = $7,
       binding_id = $8, manufacturer = $9, verified_at = $10, fresh_until = $11, code = $12, reason = $13, detail = $14,
       clock = $15, unrecorded = $16, common_digest = coalesce($17, common_digest), updated_at = $18
     WHERE project_id = $1 AND device_id = $2`,
    [
      tx.project,
      deviceId,
      after.state,
      after.generation,
      after.verdict,
      after.provider,
      after.key_id,
      after.binding_id,
      after.manufacturer,
      after.verified_at,
      after.fresh_until,
      after.code,
      after.reason,
      after.detail,
      after.clock && JSON.stringify(after.clock),
      unrecorded,
      common_digest,
      now,
    ],
  );
}

interface NamedChallenge {
  readonly device_id: string;
  readonly challenge: StoredChallenge;
}

/** One that somebody else has written since, and that is open, stays as it is. */
async function writeChallenges(
  tx: ProjectStatements,
  challenges: readonly NamedChallenge[],
  now: string,
): Promise<ReadonlyMap<string, StoredChallenge>> {
  const rows = await tx.query<StoredChallenge & { device_id: string }>(
    `INSERT INTO attestation_challenge AS c (project_id, device_id, provider, nonce, selection, issued_at, expires_at,
       activation)
     SELECT $1, n.device_id, n.provider, n.nonce, n.selection, n.issued_at, n.expires_at, n.activation
     FROM jsonb_to_recordset($2) AS n (device_id text, provider text, nonce text, selection jsonb, issued_at timestamptz,
       expires_at timestamptz, activation jsonb)
     ORDER BY n.device_id
     ON CONFLICT (project_id, device_id) DO UPDATE SET provider = excluded.provider, nonce = excluded.nonce,
       selection = excluded.selection, issued_at = excluded.issued_at, expires_at = excluded.expires_at,
       activation = excluded.activation
     WHERE c.expires_at <= $3 OR c.provider <> excluded.provider OR c.selection <> excluded.selection
     RETURNING c.device_id, c.provider, c.nonce, c.selection, c.issued_at, c.expires_at, c.activation`,
    [
      tx.project,
      JSON.stringify(
        challenges.map(({ device_id, challenge }) => ({
          device_id,
          ...challenge,
          // A JSON null would be one in the column, too.
          activation: challenge.activation ?? undefined,
        })),
      ),
      now,
    ],
  );
  return new Map(rows.map((row) => [row.device_id, toChallenge(row)]));
}

/** A heartbeat that brought no evidence. */
export interface Unanswered {
  readonly project: string;
  readonly device_id: string;
  /** Whether it was accepted as the device's own: then it should have brought some. */
  readonly own: boolean;
}

/** What a device is asked for, before there is a challenge. */
export type Question = Pick<StoredChallenge, 'provider' | 'selection'>;

export interface AskOptions {
  readonly now: string;
  /** @returns null when there is nothing that a device with these tags could be asked */
  readonly questionFor: (assignedTags: readonly string[]) => Question | null;
  readonly challengeFor: (question: Question) => StoredChallenge;
  /** What becomes of a standing whose device has brought no evidence. */
  readonly withoutEvidence: Lowering;
  readonly announce: Announce;
}

/**
 * Says what devices are asked: what they were asked before, until they have answered or it has expired. Those that should
 * have answered lose what rested on their evidence.
 *
 * @param items of one project, at most one a device
 * @returns where each stands now, in the order of the items
 */
export async function askForEvidence(
  store: Store,
  project: string,
  items: readonly Unanswered[],
  { now, questionFor, challengeFor, withoutEvidence, announce }: AskOptions,
): Promise<readonly DeviceStanding[]> {
  const deviceIds = items.map(({ device_id }) => device_id);
  return withProjectStatements(store, project, async (tx) => {
    const standings = new Map(await standingsOf(tx, deviceIds));
    const losing = items.flatMap(({ device_id, own }) => {
      const standing = standings.get(device_id)?.attestation;
      return own && standing && withoutEvidence(standing) !== null ? [device_id] : [];
    });
    if (losing.length > 0) {
      const lowered = await lower(tx, losing, { now, lowering: withoutEvidence, announce });
      for (const [deviceId, standing] of lowered) standings.set(deviceId, standing);
    }
    const missing = deviceIds.flatMap((device_id): NamedChallenge[] => {
      const { challenge, grant } = standings.get(device_id) ?? unknown;
      const question = questionFor(grant?.assigned_tags ?? []);
      return question === null || isOpen(challenge, question, now)
        ? []
        : [{ device_id, challenge: challengeFor(question) }];
    });
    if (missing.length > 0) {
      const asked = await writeChallenges(tx, missing, now);
      for (const { device_id } of missing) {
        const standing = standings.get(device_id) ?? unknown;
        // Somebody else asked in this very moment: the next heartbeat hears what.
        standings.set(device_id, { ...standing, challenge: asked.get(device_id) ?? null });
      }
    }
    return deviceIds.map((device_id) => standings.get(device_id) ?? unknown);
  });
}

/**
 * Writes down what time has done to standings. Whoever else does the same finds them lowered.
 *
 * @returns the devices that this call lowered
 */
export async function lowerStandings(
  store: Store,
  project: string,
  deviceIds: readonly string[],
  options: { readonly now: string; readonly onceStale: Lowering; readonly announce: Announce },
): Promise<readonly string[]> {
  const { now, onceStale, announce } = options;
  return withProject(store, project, async (tx) => [
    ...(await lower(tx, deviceIds, { now, lowering: onceStale, announce })).keys(),
  ]);
}

function isOpen(challenge: StoredChallenge | null, { provider, selection }: Question, now: string): boolean {
  return (
    challenge !== null &&
    challenge.expires_at > now &&
    challenge.provider === provider &&
    JSON.stringify(challenge.selection) === JSON.stringify(selection)
  );
}

/** A verdict with all that it takes to compute it again. */
export interface StoredVerdict {
  readonly verdict: number;
  readonly at: string;
  readonly generation: number;
  readonly changed: boolean;
  /** Pieces of evidence between the verdict before and this one that moved nothing, and were counted only. */
  readonly unrecorded: number;
  readonly evidence_digest: string;
  readonly evidence: Json;
  readonly circumstances: AttestationCircumstances;
  readonly basis_digest: string;
  readonly basis: AttestationBasis;
  readonly result: Verdict;
}

/** Its evidence, circumstances and result are parts, unless it is from before there were any. */
type VerdictRow = StoredVerdict & { readonly common: Json };

const verdictColumns = `v.verdict::float8 AS verdict, v.at, v.generation, v.changed, v.unrecorded::float8 AS unrecorded,
  v.evidence_digest, coalesce(v.basis_digest, c.basis_digest) AS basis_digest`;
const verdictTables = `attestation_verdict v
  LEFT JOIN attestation_common c ON c.project_id = v.project_id AND c.digest = v.common_digest`;

/** The verdict of this number; null when there is none. */
export async function findVerdict(
  store: Store,
  project: string,
  deviceId: string,
  verdict: number,
): Promise<StoredVerdict | null> {
  return oneVerdict(store, project, 'v.verdict = $3', [deviceId, verdict]);
}

/** The verdict that was the last one at this time; null when there was none. */
export async function verdictAt(
  store: Store,
  project: string,
  deviceId: string,
  at: string,
): Promise<StoredVerdict | null> {
  return oneVerdict(store, project, 'v.at <= $3', [deviceId, at]);
}

/** The verdict whose evidence is on record to show where the key of this other one lives; null when there is none. */
export async function findActivation(
  store: Store,
  project: string,
  deviceId: string,
  verdict: number,
): Promise<StoredVerdict | null> {
  const asked = await findVerdict(store, project, deviceId, verdict);
  if (asked === null) return null;
  return oneVerdict(
    store,
    project,
    `v.verdict = (SELECT y.verdict FROM key_activation y
       WHERE y.project_id = $1 AND y.device_id = $2 AND y.key_id = $3)`,
    [deviceId, asked.result.key_id],
  );
}

async function oneVerdict(
  store: Store,
  project: string,
  condition: string,
  values: readonly unknown[],
): Promise<StoredVerdict | null> {
  const [row] = await withProject(store, project, (tx) =>
    tx.query<VerdictRow>(
      `SELECT ${verdictColumns}, v.evidence, v.circumstances, v.result, c.content AS common, b.content AS basis
       FROM ${verdictTables}
       JOIN attestation_basis b ON b.project_id = v.project_id AND b.digest = coalesce(v.basis_digest, c.basis_digest)
       WHERE v.project_id = $1 AND v.device_id = $2 AND ${condition} ORDER BY v.verdict DESC LIMIT 1`,
      [project, ...values],
    ),
  );
  if (row === undefined) return null;
  const { common, evidence, circumstances, result, ...stored } = row;
  const parts = unite({ evidence, circumstances, result } as unknown as Json, common) as unknown as VerdictParts;
  return { ...stored, ...parts, at: toInstant(row.at) };
}

/** A verdict without what it rests on. */
export type ListedVerdict = Omit<StoredVerdict, 'evidence' | 'circumstances' | 'basis'>;

/** The last verdicts of a device, the newest first. */
export async function listVerdicts(
  store: Store,
  project: string,
  deviceId: string,
  page: { readonly limit: number; readonly after: number | null },
): Promise<readonly ListedVerdict[]> {
  const rows = await withProject(store, project, (tx) =>
    tx.query<ListedVerdict & { readonly common: Json }>(
      `SELECT ${verdictColumns}, v.result, c.content->'result' AS common FROM ${verdictTables}
       WHERE v.project_id = $1 AND v.device_id = $2 AND ($4::bigint IS NULL OR v.verdict < $4)
       ORDER BY v.verdict DESC LIMIT $3`,
      [project, deviceId, page.limit, page.after],
    ),
  );
  return rows.map(({ common, result, ...row }) => ({
    ...row,
    result: unite(result as unknown as Json, common) as unknown as Verdict,
    at: toInstant(row.at),
  }));
}
