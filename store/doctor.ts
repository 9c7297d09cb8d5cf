// What the rows of one project say of each other: grants and approvals, their actors, history, audit trail and denylist.
import type { ActorMark } from '#contracts/actor.ts';
import type { DivergenceKind } from '#contracts/divergences.ts';
import { actorId, type ActorKind, type ActorRef } from '#contracts/ids.ts';
import type { Store } from './store.ts';
import { withProject } from './with-project.ts';

export interface ActorRecord {
  readonly ref: ActorRef;
  readonly mark: ActorMark;
  /** Whether an actor should be running for it. */
  readonly runs: boolean;
}

/** A finding about something, in words. */
export interface RowFinding {
  readonly kind: DivergenceKind;
  readonly subject: { readonly kind: ActorKind; readonly id: string };
  readonly detail: string;
}

export interface ExaminedRow extends ActorRecord {
  readonly findings: readonly RowFinding[];
}

interface Row {
  readonly id: string;
  readonly kind: ActorKind;
  readonly subject_id: string;
  readonly run_id: string;
  readonly revision: number;
  readonly epoch: number;
  readonly state: string;
}

interface FoundRow extends Row {
  readonly projected: string | null;
  readonly gap: boolean;
  readonly unaudited: number | null;
  readonly lost: readonly string[];
  readonly unheard: readonly string[];
}

const columns = `a.id, a.kind, a.subject_id, a.run_id, a.revision::float8 AS revision, a.epoch, a.state`;
/** An actor hears of a revocation within seconds. */
const unheardSeconds = 60;

/** Some rows: the next ones in the order of their ids, or those of these actors. */
export type RowsQuery =
  | { readonly after: string | null; readonly limit: number }
  | { readonly actors: readonly ActorRef[] };

/** Rows of actors in the order of their ids, each with what is wrong about it. */
export async function examineRows(
  store: Store,
  project: string,
  query: RowsQuery,
  now: Date,
): Promise<readonly ExaminedRow[]> {
  const rows = await withProject(store, project, (tx) =>
    tx.query<FoundRow>(
      `SELECT ${columns}, p.projected,
         NOT EXISTS (SELECT FROM actor_transition t WHERE t.project_id = a.project_id AND t.actor_id = a.id
           AND t.epoch = a.epoch AND t.revision = a.revision AND t.to_state = a.state)
         OR EXISTS (SELECT FROM actor_transition t WHERE t.project_id = a.project_id AND t.actor_id = a.id
           GROUP BY t.epoch HAVING count(*) <> max(t.revision) - min(t.revision) + 1) AS gap,
         (SELECT min(t.revision)::float8 FROM actor_transition t
          WHERE t.project_id = a.project_id AND t.actor_id = a.id AND t.from_state <> t.to_state
            -- Votes that are being confirmed are no decision yet.
            AND 'deciding' NOT IN (t.to_state) AND (t.from_state, t.to_state) <> ('deciding', 'open')
            AND NOT EXISTS (SELECT FROM audit_event e WHERE e.project_id = a.project_id AND e.subject_kind = a.kind
              AND e.subject_id = a.subject_id AND e.occurred_at = t.at)) AS unaudited,
         CASE a.kind WHEN 'device' THEN ARRAY(
           SELECT f FROM jsonb_array_elements_text(coalesce(a.snapshot #> '{context,revoked_fingerprints}', '[]')) f
           WHERE NOT EXISTS (SELECT FROM certificate_denylist r
             WHERE r.project_id = a.project_id AND r.fingerprint_sha256 = f)) ELSE '{}' END AS lost,
         CASE a.kind WHEN 'device' THEN ARRAY(
           SELECT r.fingerprint_sha256 FROM device d
           JOIN certificate_denylist r ON r.project_id = d.project_id AND r.fingerprint_sha256 = d.pinned_fingerprint
           WHERE d.project_id = a.project_id AND d.device_id = a.subject_id AND d.state NOT IN ('rejected', 'retired')
             AND r.revoked_at < $4::timestamptz - make_interval(secs => ${unheardSeconds})
             AND NOT coalesce(a.snapshot #> '{context,revoked_fingerprints}', '[]') @> to_jsonb(r.fingerprint_sha256))
           ELSE '{}' END AS unheard
       FROM actor a
       LEFT JOIN LATERAL (
         SELECT d.state || ' at ' || d.revision AS projected FROM device d
         WHERE a.kind = 'device' AND d.project_id = a.project_id AND d.device_id = a.subject_id
         UNION ALL
         SELECT p.state || ' at ' || p.revision FROM approval p
         WHERE a.kind = 'approval' AND p.project_id = a.project_id
           AND p.id = CASE a.kind WHEN 'approval' THEN a.subject_id::uuid END
       ) p ON true
       WHERE a.project_id = $1 AND ${'actors' in query ? 'a.id = ANY ($2)' : 'a.id > $2'} ORDER BY a.id LIMIT $3`,
      'actors' in query
        ? [project, query.actors.map((ref) => actorId(ref)), query.actors.length, now.toISOString()]
        : [project, query.after ?? '', query.limit, now.toISOString()],
    ),
  );
  return rows.map((row) => ({ ...toRecord(project, row), findings: findingsOf(row) }));
}

function findingsOf(row: FoundRow): readonly RowFinding[] {
  const { kind, subject_id: id, state, revision, projected } = row;
  const subject = { kind, id };
  const found: RowFinding[] = [];
  const add = (finding: DivergenceKind, detail: string): void => void found.push({ kind: finding, subject, detail });
  if (projected !== `${state} at ${revision}`)
    add('projection.differs', `The actor wrote ${state} at ${revision}; the ${kind} is ${projected ?? 'not there'}`);
  if (row.gap) add('history.gap', `There is not one transition for each revision up to ${revision}`);
  if (row.unaudited !== null) add('history.unaudited', `Nothing in the trail tells of revision ${row.unaudited}`);
  for (const fingerprint of row.lost) add('denylist.lost', `Certificate ${fingerprint} was revoked`);
  for (const fingerprint of row.unheard) add('denylist.unheard', `Certificate ${fingerprint} is revoked`);
  return found;
}

/** Grants and approvals without an actor, a bounded number. */
export async function strayProjections(store: Store, project: string, limit: number): Promise<readonly RowFinding[]> {
  const rows = await withProject(store, project, (tx) =>
    tx.query<{ kind: ActorKind; id: string; state: string }>(
      `(SELECT 'device' AS kind, d.device_id AS id, d.state FROM device d WHERE d.project_id = $1 AND NOT EXISTS (
         SELECT FROM actor a WHERE a.project_id = $1 AND a.id = 'device/' || $1 || '/' || d.device_id) LIMIT $2)
       UNION ALL
       (SELECT 'approval', p.id::text, p.state FROM approval p WHERE p.project_id = $1 AND NOT EXISTS (
         SELECT FROM actor a WHERE a.project_id = $1 AND a.id = 'approval/' || p.id) LIMIT $2)`,
      [project, limit],
    ),
  );
  return rows.map(({ kind, id, state }) => ({
    kind: 'projection.alone',
    subject: { kind, id },
    detail: `The ${kind} is ${state}, and no actor wrote that`,
  }));
}

/** The rows of some actors as they are now; those without a row are left out. */
export async function actorRecords(
  store: Store,
  project: string,
  refs: readonly ActorRef[],
): Promise<ReadonlyMap<string, ActorRecord>> {
  if (refs.length === 0) return new Map();
  const rows = await withProject(store, project, (tx) =>
    tx.query<Row>(`SELECT ${columns} FROM actor a WHERE a.project_id = $1 AND a.id = ANY ($2)`, [
      project,
      refs.map((ref) => actorId(ref)),
    ]),
  );
  return new Map(rows.map((row) => [row.id, toRecord(project, row)]));
}

/** Which of these certificates the denylist does not hold. */
export async function notDenied(
  store: Store,
  project: string,
  fingerprints: readonly string[],
): Promise<readonly string[]> {
  if (fingerprints.length === 0) return [];
  const rows = await withProject(store, project, (tx) =>
    tx.query<{ fingerprint: string }>(
      `SELECT f.fingerprint FROM unnest($2::text[]) AS f (fingerprint)
       WHERE NOT EXISTS (SELECT FROM certificate_denylist r WHERE r.project_id = $1
         AND r.fingerprint_sha256 = f.fingerprint)`,
      [project, fingerprints],
    ),
  );
  return rows.map(({ fingerprint }) => fingerprint);
}

function toRecord(project: string, { kind, subject_id, run_id, revision, epoch, state }: Row): ActorRecord {
  return {
    ref: { kind, project, id: subject_id },
    mark: { run_id, revision, epoch, state },
    runs: kind === 'device' || state === 'open' || state === 'deciding',
  };
}
