// The fence: whether a commit may write the row of its actor. Pure, so that every case is on one page.
import type { ActorRow, Commit, CommitResult } from '#contracts/actor.ts';

export interface HeldRow extends ActorRow {
  readonly commit_digest: string;
  readonly commit_result: CommitResult;
}

export type FenceVerdict =
  /** Nobody has the row: the first commit of an actor, or of one whose row is gone. */
  | 'insert'
  | 'update'
  /** The run holds the row, and the commit asks for nothing else. */
  | 'nothing'
  /** This very commit was written; only its answer was lost. */
  | 'duplicate'
  /** Somebody else has the row: a later run, or a restored database. */
  | 'fenced';

/** @param held the locked row, or null when there is none */
export function judgeFence(held: HeldRow | null, runId: string, commit: Commit, digest: string): FenceVerdict {
  const { from, to } = commit;
  if (held === null) {
    if (from !== 0 || commit.succeeds !== null) return 'fenced';
    return to === 0 ? 'nothing' : 'insert';
  }
  const isOwn = held.run_id === runId;
  if (isOwn && from < to && held.revision === to && held.commit_digest === digest) return 'duplicate';
  const holds = (isOwn && held.epoch === commit.epoch) || isSucceeded(held, commit);
  if (held.revision !== from || !holds) return 'fenced';
  return from === to ? 'nothing' : 'update';
}

/** The run goes on from exactly this row: as the next run of the same actor, or because it adopted it, be it one of its own from earlier. */
function isSucceeded(held: HeldRow, { succeeds, epoch }: Commit): boolean {
  return succeeds?.run_id === held.run_id && succeeds.revision === held.revision && epoch >= held.epoch;
}
