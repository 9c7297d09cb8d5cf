// Sealing: gives committed events their numbers and links, chain by chain, and keeps the signed checkpoints over all of them.
import type { Checkpoint, CheckpointHead } from '#contracts/audit.ts';
import type { JsonObject } from '#contracts/deps.ts';
import { auditStreams, type AuditStream } from '#contracts/states.ts';
import { chainHash, firstHash } from './chain.ts';
import type { Store } from './store.ts';
import { type ProjectTransaction, withProject } from './with-project.ts';

export interface ChainName {
  readonly project: string;
  readonly stream: AuditStream;
}

/** Where the events of each chain are. */
export const chainTables = { audit: 'audit_event', outbox: 'outbox_event' } as const satisfies Record<
  AuditStream,
  string
>;

const checkpointPage = 20;

/** Chains that have events without a place. */
export async function unsealedChains(store: Store): Promise<readonly ChainName[]> {
  const found = await Promise.all(
    auditStreams.map(async (stream) => {
      const rows = await store.query<{ project_id: string }>(
        `SELECT DISTINCT project_id FROM ${chainTables[stream]} WHERE sequence IS NULL ORDER BY project_id`,
      );
      return rows.map(({ project_id: project }) => ({ project, stream }));
    }),
  );
  return found.flat();
}

/**
 * Seals the events of one chain that are committed by now, in the order of their insertion, at most `limit` of them. The
 * lock on the head makes sealers take turns, so that a second one is of no use and does no harm.
 *
 * An event whose columns do not say what its bytes say is numbered like any other: were it left out, the chain would
 * stand still, and whoever could write such a row could stop the trail. The integrity check reports it.
 *
 * @returns how many were sealed; fewer than `limit` when none was left
 */
export async function sealChain(store: Store, { project, stream }: ChainName, limit: number): Promise<number> {
  return withProject(store, project, async (tx) => {
    const head = await lockHead(tx, stream);
    const events = await tx.query<{ id: string; canonical: Buffer }>(
      `SELECT id, canonical FROM ${chainTables[stream]} WHERE project_id = $1 AND sequence IS NULL ORDER BY position LIMIT $2`,
      [project, limit],
    );
    if (events.length === 0) return 0;
    const links = [];
    let { sequence, hash } = head;
    for (const { id, canonical } of events) {
      const link = { stream, project, sequence: sequence + 1, previous_hash: hash };
      hash = chainHash(link, canonical);
      sequence = link.sequence;
      links.push({ id, sequence, previous_hash: link.previous_hash, hash });
    }
    await tx.query(
      `UPDATE ${chainTables[stream]} e SET sequence = l.sequence, previous_hash = l.previous_hash, hash = l.hash
       FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::text[]) AS l (id, sequence, previous_hash, hash)
       WHERE e.project_id = $1 AND e.id = l.id`,
      [
        project,
        links.map((link) => link.id),
        links.map((link) => link.sequence),
        links.map((link) => link.previous_hash),
        links.map((link) => link.hash),
      ],
    );
    await tx.query('UPDATE audit_head SET sequence = $3, hash = $4 WHERE project_id = $1 AND stream = $2', [
      project,
      stream,
      sequence,
      hash,
    ]);
    await tx.query(`SELECT pg_notify('sentinel_sealed', '')`);
    return events.length;
  });
}

async function lockHead(tx: ProjectTransaction, stream: AuditStream): Promise<{ sequence: number; hash: string }> {
  await tx.query(
    'INSERT INTO audit_head (project_id, stream, sequence, hash) VALUES ($1, $2, 0, $3) ON CONFLICT DO NOTHING',
    [tx.project, stream, firstHash],
  );
  const [head] = await tx.query<{ sequence: number; hash: string }>(
    `SELECT sequence::float8 AS sequence, hash FROM audit_head WHERE project_id = $1 AND stream = $2 FOR UPDATE`,
    [tx.project, stream],
  );
  if (head === undefined) throw new TypeError('a chain has a head');
  return head;
}

/**
 * The heads of all chains, in one snapshot. A head without its event is left out: that is where numbers were skipped, and
 * nobody could say later whether the signed hash was ever that of an event.
 */
export async function chainHeads(store: Store): Promise<readonly CheckpointHead[]> {
  const events = (stream: AuditStream) =>
    `SELECT FROM ${chainTables[stream]} e WHERE e.project_id = h.project_id AND e.sequence = h.sequence`;
  return store.query<CheckpointHead>(
    `SELECT project_id, stream, sequence::float8 AS sequence, hash FROM audit_head h
     WHERE CASE stream WHEN 'audit' THEN EXISTS (${events('audit')}) ELSE EXISTS (${events('outbox')}) END
     ORDER BY project_id, stream`,
  );
}

/** A chain that does not hold the event that a checkpoint names. */
export interface LostEnd extends ChainName {
  /** The number that was signed. */
  readonly sequence: number;
  /** Where the chain ends. */
  readonly head: number;
  /** Whether no event has that number, as after a restore; else another one has it. */
  readonly isCut: boolean;
}

/** Which chains do not hold what a checkpoint says of them. */
export async function lostEnds(store: Store, heads: readonly CheckpointHead[]): Promise<readonly LostEnd[]> {
  const lost: LostEnd[] = [];
  for (const { project_id: project, stream, sequence, hash } of heads) {
    const [row] = await withProject(store, project, (tx) =>
      tx.query<{ head: number; found: string | null }>(
        `SELECT coalesce(max(e.sequence), 0)::float8 AS head,
           (SELECT s.hash FROM ${chainTables[stream]} s WHERE s.project_id = $1 AND s.sequence = $2) AS found
         FROM ${chainTables[stream]} e WHERE e.project_id = $1`,
        [project, sequence],
      ),
    );
    const { head = 0, found = null } = row ?? {};
    if (found !== hash) lost.push({ project, stream, sequence, head, isCut: found === null });
  }
  return lost;
}

/** Goes on behind a number that was signed: it stays that of the event that is lost. @idempotent yes */
export async function skipLostNumbers(store: Store, { project, stream, sequence }: LostEnd): Promise<void> {
  await withProject(store, project, async (tx) => {
    await lockHead(tx, stream);
    await tx.query('UPDATE audit_head SET sequence = greatest(sequence, $3) WHERE project_id = $1 AND stream = $2', [
      project,
      stream,
      sequence,
    ]);
  });
}

/**
 * The envelopes of the newest checkpoints that the database has, newest first, a page at a time: each holds the heads of
 * all projects. Who can write the database can write these.
 */
export async function* checkpointEnvelopes(store: Store, limit: number): AsyncGenerator<JsonObject, void> {
  let last: { at: string; id: string } | null = null;
  for (let left = limit; left > 0; left -= checkpointPage) {
    const rows: { at: string; id: string; envelope: JsonObject }[] = await store.query(
      `SELECT at::text, id, envelope FROM audit_checkpoint WHERE $1::timestamptz IS NULL OR (at, id) < ($1, $2::uuid)
       ORDER BY at DESC, id DESC LIMIT $3`,
      [last?.at ?? null, last?.id ?? null, Math.min(left, checkpointPage)],
    );
    for (const { envelope } of rows) yield envelope;
    last = rows.at(-1) ?? null;
    if (rows.length < checkpointPage || last === null) return;
  }
}

/** Keeps a checkpoint, and notes that there is one. @idempotent by id */
export async function insertCheckpoint(
  store: Store,
  { id, at, heads, key_id }: Checkpoint,
  envelope: JsonObject,
): Promise<void> {
  await store.query(
    `WITH kept AS (
       INSERT INTO audit_checkpoint (id, at, heads, key_id, envelope) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING
     )
     UPDATE sealer_status SET last_checkpoint_at = $2`,
    [id, at, JSON.stringify(heads), key_id, JSON.stringify(envelope)],
  );
}

/** The hashes of these events of a chain, by their numbers; those that are not there are left out. */
export async function hashesAt(
  tx: Pick<ProjectTransaction, 'query' | 'project'>,
  stream: AuditStream,
  sequences: readonly number[],
): Promise<ReadonlyMap<number, string>> {
  const rows = await tx.query<{ sequence: number; hash: string }>(
    `SELECT sequence::float8 AS sequence, hash FROM ${chainTables[stream]} WHERE project_id = $1 AND sequence = ANY ($2)`,
    [tx.project, sequences],
  );
  return new Map(rows.map(({ sequence, hash }) => [sequence, hash]));
}

/** Notes how a round of the sealer ended. @param error in words, without anything secret; null for a good end */
export async function noteSealing(store: Store, now: string, error: string | null): Promise<void> {
  await store.query(
    `UPDATE sealer_status SET last_error = $2, last_success_at = CASE WHEN $2::text IS NULL THEN $1 ELSE last_success_at END`,
    [now, error],
  );
}

/** What the last round of the sealer failed of, in words that name no content; null when it did not fail. */
export async function sealerError(store: Store): Promise<string | null> {
  const [row] = await store.query<{ last_error: string | null }>('SELECT last_error FROM sealer_status');
  return row?.last_error ?? null;
}

/** How the sealer is doing, for everybody: not what its last error was. */
export async function sealerStatus(store: Store): Promise<{
  readonly last_success_at: string | null;
  readonly last_checkpoint_at: string | null;
  readonly has_error: boolean;
  /** The database is not the one that was signed. */
  readonly is_rewritten: boolean;
}> {
  const [row] = await store.query<{
    last_success_at: string | null;
    last_checkpoint_at: string | null;
    has_error: boolean;
    is_rewritten: boolean;
  }>(
    `SELECT last_success_at, last_checkpoint_at, last_error IS NOT NULL AS has_error,
       coalesce(last_error LIKE 'audit.rewritten%', false) AS is_rewritten FROM sealer_status`,
  );
  if (row === undefined) throw new TypeError('the sealer has a status');
  return row;
}
