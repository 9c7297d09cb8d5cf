// An in-memory store for actors, with the fence of the real one and switches to fail before or after a write.
import type {
  ActorRow,
  ApprovalRecord,
  Commit,
  CommitResult,
  DeviceGrant,
  TransitionRecord,
} from '#contracts/actor.ts';
import type { AuditEntry } from '#contracts/audit.ts';
import { actorId } from '#contracts/ids.ts';

interface Held extends ActorRow {
  readonly digest: string;
}

export class FakeActorStore {
  readonly rows = new Map<string, Held>();
  readonly devices = new Map<string, DeviceGrant>();
  readonly approvals = new Map<string, ApprovalRecord>();
  readonly consumed = new Set<string>();
  readonly transitions = new Map<string, (TransitionRecord & { epoch: number })[]>();
  readonly audit: AuditEntry[] = [];
  /** People whose votes stand. */
  readonly standing = new Set<string>();
  commits = 0;
  /** Called before and after each write; what it throws the activity throws. */
  onCommit: (moment: 'before' | 'after', commit: Commit) => void | Promise<void> = () => {};

  async commitActor(runId: string, commit: Commit, digest: string): Promise<CommitResult> {
    await this.onCommit('before', commit);
    const result = this.#write(runId, commit, digest);
    await this.onCommit('after', commit);
    return result;
  }

  #write(runId: string, commit: Commit, digest: string): CommitResult {
    const id = actorId(commit.actor);
    const row = this.rows.get(id);
    if (
      row &&
      row.run_id === runId &&
      row.revision === commit.to &&
      (row.digest === digest || commit.from === commit.to)
    )
      return { status: 'committed', run_id: runId };
    if (!this.#holds(row, runId, commit)) return { status: 'fenced', run_id: runId, row: row ? toRow(row) : null };
    if (commit.from === commit.to) return { status: 'committed', run_id: runId };
    for (const requirement of commit.requirements) {
      if (!this.#fulfils(requirement))
        return { status: 'refused', run_id: runId, row: row ? toRow(row) : null, requirement: requirement.kind };
    }
    for (const requirement of commit.requirements)
      if (requirement.kind === 'approval.consumed') this.consumed.add(requirement.approval_id);
    this.commits += 1;
    this.rows.set(id, {
      run_id: runId,
      revision: commit.to,
      epoch: commit.epoch,
      machine_version: commit.machine_version,
      snapshot: commit.snapshot,
      digest,
    });
    if (commit.projection.kind === 'device') this.devices.set(commit.actor.id, commit.projection.row);
    else this.approvals.set(commit.actor.id, commit.projection.row);
    const kept = this.transitions.get(id) ?? [];
    this.transitions.set(id, [
      ...kept,
      ...commit.transitions.map((transition) => ({ ...transition, epoch: commit.epoch })),
    ]);
    this.audit.push(...commit.audit);
    return { status: 'committed', run_id: runId };
  }

  #holds(row: Held | undefined, runId: string, commit: Commit): boolean {
    if (row === undefined) return commit.from === 0 && commit.succeeds === null;
    if (row.revision !== commit.from) return false;
    if (row.run_id === runId) return row.epoch === commit.epoch;
    return (
      commit.succeeds?.run_id === row.run_id && commit.succeeds.revision === row.revision && commit.epoch >= row.epoch
    );
  }

  #fulfils(requirement: Commit['requirements'][number]): boolean {
    if (requirement.kind === 'voters.stand') return requirement.usernames.every((name) => this.standing.has(name));
    const approval = this.approvals.get(requirement.approval_id);
    return (
      approval?.state === requirement.outcome &&
      approval.digest === requirement.digest &&
      !this.consumed.has(requirement.approval_id)
    );
  }
}

function toRow({ digest: _, ...row }: Held): ActorRow {
  return row;
}
