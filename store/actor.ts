// Commits of durable actors: one fenced transaction each, and the history that they leave.
import type { ActorRow, Commit, CommitRequirement, CommitResult } from '#contracts/actor.ts';
import type { JsonObject } from '#contracts/deps.ts';
import { actorId, isUuid, type ActorRef } from '#contracts/ids.ts';
import { writeApproval } from './approval.ts';
import { record } from './audit.ts';
import { denyAgain } from './denylist.ts';
import { writeDevice } from './device-grant.ts';
import { judgeFence, type HeldRow } from './fence.ts';
import { standingVoters } from './operator.ts';
import type { Store } from './store.ts';
import { type ProjectTransaction, withProject } from './with-project.ts';

/** Undoes the transaction of a commit that a requirement stopped. */
class RefusedCommit extends Error {
  readonly requirement: CommitRequirement['kind'];
  constructor(requirement: CommitRequirement['kind']) {
    super(requirement);
    this.requirement = requirement;
  }
}

/**
 * Writes everything that the revisions `from + 1 … to` of an actor want written, or nothing.
 *
 * @param runId  the run that the commit comes from, as Temporal says it
 * @param digest of the commit; the same commit again is answered as it was the first time
 * @param onDuplicate told when it was the same commit again
 * @idempotent by run, revision and digest
 * @throws TrustError `service.unavailable` when a later attempt may succeed
 */
export async function commitActor(
  store: Store,
  runId: string,
  commit: Commit,
  digest: string,
  now: string,
  onDuplicate: () => void = () => {},
): Promise<CommitResult> {
  requireWhole(commit);
  let held: HeldRow | null = null;
  try {
    return await withProject(store, commit.actor.project, async (tx) => {
      held = await lockActor(tx, commit.actor);
      for (;;) {
        const verdict = judgeFence(held, runId, commit, digest);
        if (verdict === 'fenced') return { status: 'fenced', run_id: runId, row: held && toRow(held) };
        if (verdict === 'nothing') return { status: 'committed', run_id: runId };
        if (verdict === 'duplicate' && held) {
          onDuplicate();
          return held.commit_result;
        }
        if (verdict === 'update') await updateActor(tx, runId, commit, digest, now);
        else if (!(await insertActor(tx, runId, commit, digest, now))) {
          // Another run was first; it is committed by now.
          held = await lockActor(tx, commit.actor);
          continue;
        }
        await requireAll(tx, commit, now);
        await writeProjection(tx, commit, now);
        await insertTransitions(tx, runId, commit);
        await record(tx, { audit: commit.audit, outbox: commit.outbox });
        await giveBackRevocations(tx, commit, now);
        return { status: 'committed', run_id: runId };
      }
    });
  } catch (error) {
    if (!(error instanceof RefusedCommit)) throw error;
    return { status: 'refused', run_id: runId, row: held && toRow(held), requirement: error.requirement };
  }
}

/** Whoever adopts a row may know of revocations that were lost with it. They only ever take trust away. */
async function giveBackRevocations(
  tx: ProjectTransaction,
  { actor, transitions, snapshot }: Commit,
  now: string,
): Promise<void> {
  const { revoked_fingerprints: fingerprints } = snapshot.context as { revoked_fingerprints?: readonly string[] };
  const adopted = transitions.some(({ event }) => event === 'actor.adopted');
  if (actor.kind !== 'device' || !adopted || !fingerprints?.length) return;
  const by = { kind: 'system', id: actorId(actor) } as const;
  await denyAgain(tx, { device_id: actor.id, fingerprints, by, now });
}

/** The context of an actor's machine as its row has it; null when there is no row. */
export async function actorContext(store: Store, ref: ActorRef): Promise<JsonObject | null> {
  const [row] = await withProject(store, ref.project, (tx) =>
    tx.query<{ context: JsonObject }>(
      `SELECT snapshot->'context' AS context FROM actor WHERE project_id = $1 AND id = $2`,
      [tx.project, actorId(ref)],
    ),
  );
  return row?.context ?? null;
}

/** Each revision has its own row in the history, for ever: a gap would be found when it is too late. */
function requireWhole({ from, to, transitions }: Commit): void {
  const whole = transitions.length === to - from && transitions.every(({ revision }, i) => revision === from + 1 + i);
  if (!whole) throw new TypeError('a commit holds one transition for each of its revisions, in their order');
}

async function lockActor(tx: ProjectTransaction, ref: ActorRef): Promise<HeldRow | null> {
  const [row] = await tx.query<HeldRow>(
    `SELECT run_id, revision::float8 AS revision, epoch, machine_version, snapshot, commit_digest, commit_result
     FROM actor WHERE project_id = $1 AND id = $2 FOR UPDATE`,
    [tx.project, actorId(ref)],
  );
  return row ?? null;
}

/** @returns false when the row is there already */
async function insertActor(
  tx: ProjectTransaction,
  runId: string,
  commit: Commit,
  digest: string,
  now: string,
): Promise<boolean> {
  const rows = await tx.query(
    `INSERT INTO actor (project_id, id, kind, subject_id, run_id, revision, epoch, commit_digest, commit_result,
       machine_version, state, snapshot, created_at, updated_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13)
     ON CONFLICT DO NOTHING RETURNING id`,
    [
      tx.project,
      actorId(commit.actor),
      commit.actor.kind,
      commit.actor.id,
      runId,
      commit.to,
      commit.epoch,
      digest,
      JSON.stringify({ status: 'committed', run_id: runId } satisfies CommitResult),
      commit.machine_version,
      commit.snapshot.value,
      JSON.stringify(commit.snapshot),
      now,
    ],
  );
  return rows.length === 1;
}

async function updateActor(
  tx: ProjectTransaction,
  runId: string,
  commit: Commit,
  digest: string,
  now: string,
): Promise<void> {
  await tx.query(
    `UPDATE actor SET run_id = $3, revision = $4, epoch = $5, commit_digest = $6, commit_result = $7,
       machine_version = $8, state = $9, snapshot = $10, updated_at = $11
     WHERE project_id = $1 AND id = $2`,
    [
      tx.project,
      actorId(commit.actor),
      runId,
      commit.to,
      commit.epoch,
      digest,
      JSON.stringify({ status: 'committed', run_id: runId } satisfies CommitResult),
      commit.machine_version,
      commit.snapshot.value,
      JSON.stringify(commit.snapshot),
      now,
    ],
  );
}

async function requireAll(tx: ProjectTransaction, commit: Commit, now: string): Promise<void> {
  for (const requirement of commit.requirements) {
    const holds =
      requirement.kind === 'approval.consumed'
        ? await consumeApproval(tx, commit.actor, requirement, now)
        : (await standingVoters(tx, requirement.usernames, requirement.permission)).length ===
          new Set(requirement.usernames).size;
    if (!holds) throw new RefusedCommit(requirement.kind);
  }
}

async function consumeApproval(
  tx: ProjectTransaction,
  consumer: ActorRef,
  requirement: Extract<CommitRequirement, { kind: 'approval.consumed' }>,
  now: string,
): Promise<boolean> {
  if (!isUuid(requirement.approval_id)) return false;
  const rows = await tx.query(
    `INSERT INTO approval_consumption (project_id, approval_id, actor_id, consumed_at)
     SELECT a.project_id, a.id, $5, $6 FROM approval a
     WHERE a.project_id = $1 AND a.id = $2 AND a.state = $3 AND a.digest = $4
       AND a.state IN ('approved', 'rejected', 'expired', 'cancelled')
       AND a.subject_kind = $7 AND a.subject_id = $8
     ON CONFLICT DO NOTHING RETURNING approval_id`,
    [
      tx.project,
      requirement.approval_id,
      requirement.outcome,
      requirement.digest,
      actorId(consumer),
      now,
      consumer.kind,
      consumer.id,
    ],
  );
  return rows.length === 1;
}

async function writeProjection(tx: ProjectTransaction, { actor, projection, to }: Commit, now: string): Promise<void> {
  if (projection.kind === 'device') await writeDevice(tx, actor.id, projection.row, { revision: to, now });
  else await writeApproval(tx, actor.id, projection.row, to);
}

async function insertTransitions(tx: ProjectTransaction, runId: string, commit: Commit): Promise<void> {
  await tx.query(
    `INSERT INTO actor_transition (project_id, actor_id, epoch, run_id, revision, at, event, by, from_state, to_state,
       details)
     SELECT $1, $2, $3, $4, t.revision, t.at, t.event, t.by, t.from_state, t.to_state, t.details
     FROM jsonb_to_recordset($5) AS t (revision bigint, at timestamptz, event text, by jsonb, from_state text,
       to_state text, details jsonb)`,
    [tx.project, actorId(commit.actor), commit.epoch, runId, JSON.stringify(commit.transitions)],
  );
}

function toRow({ run_id, revision, epoch, machine_version, snapshot }: HeldRow): ActorRow {
  return { run_id, revision, epoch, machine_version, snapshot };
}
