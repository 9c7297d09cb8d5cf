// What the worker counts: around what activities do in the store, so that neither of the two knows of it.
import type { Commit, CommitResult } from '#contracts/actor.ts';
import type { AttestationActivities } from '#activities/attestation.ts';
import type { ReconcileActivities } from '#activities/reconcile.ts';
import { createMeters } from '#telemetry/metrics.ts';

export type WorkerMetrics = ReturnType<typeof createWorkerMetrics>;

export function createWorkerMetrics(version: string) {
  const meters = createMeters('worker', version);
  const { counter, histogram } = meters;
  return {
    meters,
    commits: counter('sentinel_commits_total'),
    commitDuration: histogram('sentinel_commit_duration_seconds'),
    verifications: counter('sentinel_evidence_verifications_total'),
    findings: counter('sentinel_reconciler_findings_total'),
    pruned: counter('sentinel_pruned_rows_total'),
  };
}

type CommitArguments = readonly [runId: string, commit: Commit, digest: string];

/** Counts the commits of actors by how they ended. */
export function measuredCommits(
  commitActor: (...args: [...CommitArguments, onDuplicate: () => void]) => Promise<CommitResult>,
  { commits, commitDuration }: Pick<WorkerMetrics, 'commits' | 'commitDuration'>,
): (...args: CommitArguments) => Promise<CommitResult> {
  return async (runId, commit, digest) => {
    const { kind } = commit.actor;
    const ended = commitDuration.startTimer({ kind });
    let result: CommitResult['status'] | 'duplicate' | 'failed' = 'failed';
    try {
      let duplicate = false;
      const answer = await commitActor(runId, commit, digest, () => (duplicate = true));
      result = duplicate ? 'duplicate' : answer.status;
      return answer;
    } finally {
      ended();
      commits.inc({ kind, result });
    }
  };
}

/** Counts what came of the evidence that actors had judged again. */
export function measuredVerifications(
  activities: AttestationActivities,
  { verifications }: Pick<WorkerMetrics, 'verifications'>,
): AttestationActivities {
  return {
    async verifyEvidence(query) {
      let result = 'failed';
      try {
        const answer = await activities.verifyEvidence(query);
        result = answer.valid ? 'valid' : 'invalid';
        return answer;
      } finally {
        verifications.inc({ result });
      }
    },
  };
}

/** Counts what the periodic duties found. */
export function measuredReconciling(
  activities: ReconcileActivities,
  { findings, pruned }: Pick<WorkerMetrics, 'findings' | 'pruned'>,
): ReconcileActivities {
  return {
    async announceNews(page) {
      const done = await activities.announceNews(page);
      findings.inc({ finding: 'news_not_announced' }, done.announced);
      return done;
    },
    async verifyActors(page) {
      const done = await activities.verifyActors(page);
      findings.inc({ finding: 'actor_of_another_run' }, done.verified);
      findings.inc({ finding: 'actor_not_running' }, done.restarted);
      return done;
    },
    async prune() {
      const removed = await activities.prune();
      for (const [kind, rows] of Object.entries(removed)) pruned.inc({ kind }, rows);
      return removed;
    },
  };
}
