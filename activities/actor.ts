// The commit of an actor: one fenced transaction, whose run is the one that the activity really runs in.
import type { Commit, CommitResult } from '#contracts/actor.ts';
import { activityInfo } from '@temporalio/activity';

export interface ActorActivityDeps {
  /** Writes a commit in one transaction, or says who holds the row instead. */
  commitActor(runId: string, commit: Commit, digest: string): Promise<CommitResult>;
  /** SHA-256 over the RFC 8785 form, lower-case hex. */
  digestOf(value: unknown): string;
}

export function createActorActivities({ commitActor, digestOf }: ActorActivityDeps) {
  return {
    /**
     * Writes everything that some revisions of an actor want written.
     *
     * @returns `committed`, or `fenced` / `refused` with what the store holds; then nothing was written.
     * @idempotent by run, revision and digest: the same commit again is answered with `committed`.
     */
    commitActor(commit: Commit): Promise<CommitResult> {
      // A reset run gets the input that the run before it made, so the run is never part of the input.
      const { workflowExecution } = activityInfo();
      if (workflowExecution === undefined) throw new TypeError('a commit belongs to a workflow');
      return commitActor(workflowExecution.runId, commit, digestOf(commit));
    },
  };
}
export type ActorActivities = ReturnType<typeof createActorActivities>;
