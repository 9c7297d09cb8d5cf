// An in-memory store for actors, with the fence of the real one and switches to fail before or after a write.
import type {
  ApprovalRecord,
  Commit,
  CommitRequirement,
  CommitResult,
  DeviceGrant,
  TransitionRecord,
} from '#contracts/actor.ts';
import type { AuditEntry } from '#contracts/audit.ts';
import { actorId } from '#contracts/ids.ts';
import { judgeFence, type HeldRow } from '#store/fence.ts';

export type CommitMoment = 'before' | 'after';

/** What the store held at one time. */
export interface FakeBackup {
  readonly rows: ReadonlyMap<string, HeldRow>;
  readonly devices: ReadonlyMap<string, DeviceGrant>;
  readonly approvals: ReadonlyMap<string, ApprovalRecord>;
  readonly consumed: ReadonlySet<string>;
}

export class FakeActorStore {
  readonly rows = new Map<string, HeldRow>();
  readonly devices = new Map<string, DeviceGrant>();
  readonly approvals = new Map<string, ApprovalRecord>();
  readonly consumed = new Set<string>();
  /** In the order of writing, never restored: what happened, happened. */
  readonly transitions = new Map<string, (TransitionRecord & { run_id: string; epoch: number })[]>();
  readonly audit: AuditEntry[] = [];
  /** Every commit that reached the store, with the answer that it got. */
  readonly answers: { readonly commit: Commit; readonly status: CommitResult['status'] }[] = [];
  /** People whose votes stand. */
  readonly standing = new Set<string>();
  /** Called before and after each write; what it throws the activity throws. */
  onCommit: (moment: CommitMoment, commit: Commit) => void | Promise<void> = () => {};

  async commitActor(runId: string, commit: Commit, digest: string): Promise<CommitResult> {
    await this.onCommit('before', commit);
    const result = this.#write(runId, commit, digest);
    this.answers.push({ commit, status: result.status });
    await this.onCommit('after', commit);
    return result;
  }

  backup(): FakeBackup {
    return {
      rows: new Map(this.rows),
      devices: new Map(this.devices),
      approvals: new Map(this.approvals),
      consumed: new Set(this.consumed),
    };
  }

  restore(backup: FakeBackup): void {
    replace(this.rows, backup.rows);
    replace(this.devices, backup.devices);
    replace(this.approvals, backup.approvals);
    this.consumed.clear();
    for (const id of backup.consumed) this.consumed.add(id);
  }

  #write(runId: string, commit: Commit, digest: string): CommitResult {
    const id = actorId(commit.actor);
    const held = this.rows.get(id) ?? null;
    const row = held && toRow(held);
    const committed = { status: 'committed', run_id: runId } as const;
    const verdict = judgeFence(held, runId, commit, digest);
    if (verdict === 'fenced') return { status: 'fenced', run_id: runId, row };
    if (verdict === 'duplicate' && held) return held.commit_result;
    if (verdict === 'nothing') return committed;
    const unmet = commit.requirements.find((requirement) => !this.#fulfils(requirement));
    if (unmet) return { status: 'refused', run_id: runId, row, requirement: unmet.kind };

    for (const requirement of commit.requirements)
      if (requirement.kind === 'approval.consumed') this.consumed.add(requirement.approval_id);
    this.rows.set(id, {
      run_id: runId,
      revision: commit.to,
      epoch: commit.epoch,
      machine_version: commit.machine_version,
      snapshot: commit.snapshot,
      commit_digest: digest,
      commit_result: committed,
    });
    if (commit.projection.kind === 'device') this.devices.set(commit.actor.id, commit.projection.row);
    else this.approvals.set(commit.actor.id, commit.projection.row);
    const written = commit.transitions.map((transition) => ({ ...transition, run_id: runId, epoch: commit.epoch }));
    this.transitions.set(id, [...(this.transitions.get(id) ?? []), ...written]);
    this.audit.push(...commit.audit);
    return committed;
  }

  #fulfils(requirement: CommitRequirement): boolean {
    if (requirement.kind === 'voters.stand') return requirement.usernames.every((name) => this.standing.has(name));
    const approval = this.approvals.get(requirement.approval_id);
    return (
      approval?.state === requirement.outcome &&
      approval.digest === requirement.digest &&
      !this.consumed.has(requirement.approval_id)
    );
  }
}

function toRow({
  commit_digest: _digest,
  commit_result: _result,
  ...row
}: HeldRow): Omit<HeldRow, 'commit_digest' | 'commit_result'> {
  return row;
}

function replace<Key, Value>(map: Map<Key, Value>, entries: ReadonlyMap<Key, Value>): void {
  map.clear();
  for (const [key, value] of entries) map.set(key, value);
}
