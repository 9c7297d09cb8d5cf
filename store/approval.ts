// Approvals as the store has them: written by the commits of their actor, read by people and by what waits for them.
import type { ApprovalRecord } from '#contracts/actor.ts';
import { isUuid } from '#contracts/ids.ts';
import type { ApprovalKind, ApprovalState } from '#contracts/states.ts';
import { Approval } from './entities/actor.ts';
import { newestFirst, type Page } from './page.ts';
import { plain } from './plain.ts';
import type { Store } from './store.ts';
import { type ProjectTransaction, withProject } from './with-project.ts';

export type ApprovalRow = Omit<ApprovalRecord, 'kind' | 'state'> & {
  readonly project_id: string;
  readonly id: string;
  readonly kind: ApprovalKind;
  readonly state: ApprovalState;
  readonly revision: number;
};

/** How an approval stands, for the subject that waits for it. */
export interface ApprovalOutcome {
  readonly state: ApprovalState;
  readonly digest: string;
  readonly approvers: readonly string[];
  readonly rejected_by: string | null;
  /** Of the rejection, or of the last vote that gave one. */
  readonly reason: string | null;
}

export async function writeApproval(
  tx: ProjectTransaction,
  id: string,
  row: ApprovalRecord,
  revision: number,
): Promise<void> {
  await tx.query(
    `INSERT INTO approval (project_id, id, kind, subject_kind, subject_id, subject, digest, state, requested_by,
       required_approvals, permission, votes, opened_at, expires_at, closed_at, revision)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
     ON CONFLICT (project_id, id) DO UPDATE SET
       kind = excluded.kind, subject_kind = excluded.subject_kind, subject_id = excluded.subject_id,
       subject = excluded.subject, digest = excluded.digest, state = excluded.state,
       requested_by = excluded.requested_by, required_approvals = excluded.required_approvals,
       permission = excluded.permission, votes = excluded.votes, opened_at = excluded.opened_at,
       expires_at = excluded.expires_at, closed_at = excluded.closed_at, revision = excluded.revision`,
    [
      tx.project,
      id,
      row.kind,
      row.subject_kind,
      row.subject_id,
      JSON.stringify(row.subject),
      row.digest,
      row.state,
      JSON.stringify(row.requested_by),
      row.required_approvals,
      row.permission,
      JSON.stringify(row.votes),
      row.opened_at,
      row.expires_at,
      row.closed_at,
      revision,
    ],
  );
}

export interface ApprovalFilter {
  readonly state?: ApprovalState;
  readonly kind?: ApprovalKind;
  readonly subject_id?: string;
}
export type ApprovalPosition = { readonly opened_at: string; readonly id: string };

/** Lists approvals, the newest first. */
export async function listApprovals(
  store: Store,
  project: string,
  filter: ApprovalFilter,
  page: Page<ApprovalPosition>,
): Promise<readonly ApprovalRow[]> {
  const { beyond, ...options } = newestFirst(['opened_at', 'id'], page);
  const rows = await withProject(store, project, (tx) =>
    tx.entities.find(Approval, { ...filter, project_id: project, ...beyond }, options),
  );
  return rows.map((row) => plain<ApprovalRow>(row));
}

export async function findApproval(store: Store, project: string, id: string): Promise<ApprovalRow | null> {
  if (!isUuid(id)) return null;
  const row = await withProject(store, project, (tx) => tx.entities.findOne(Approval, { project_id: project, id }));
  return row && plain<ApprovalRow>(row);
}

/** Reads how an approval stands; null when there is none. */
export async function readApprovalOutcome(store: Store, project: string, id: string): Promise<ApprovalOutcome | null> {
  const row = await findApproval(store, project, id);
  if (row === null) return null;
  const votes = row.votes as unknown as readonly { by: string; decision: string; reason: string | null }[];
  const rejection = votes.find((vote) => vote.decision === 'reject');
  return {
    state: row.state,
    digest: row.digest,
    approvers: votes.filter((vote) => vote.decision === 'approve').map((vote) => vote.by),
    rejected_by: rejection?.by ?? null,
    reason: (rejection ?? votes.findLast((vote) => vote.reason !== null))?.reason ?? null,
  };
}

/** Approvals of one kind that wait for a decision. */
export interface OpenApprovals {
  readonly kind: ApprovalKind;
  readonly count: number;
  readonly oldest_at: string;
}

/** Counts what waits for a decision, by kind. */
export async function openApprovals(store: Store, project: string): Promise<readonly OpenApprovals[]> {
  const rows = await withProject(store, project, (tx) =>
    tx.query<{ kind: ApprovalKind; count: number; oldest_at: Date | string }>(
      `SELECT kind, count(*)::float8 AS count, min(opened_at) AS oldest_at FROM approval
       WHERE project_id = $1 AND state IN ('open', 'deciding') GROUP BY kind`,
      [project],
    ),
  );
  return rows.map(({ oldest_at, ...row }) => ({ ...row, oldest_at: new Date(oldest_at).toISOString() }));
}
