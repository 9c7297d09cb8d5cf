// Actors that do not go on: Temporal marks a workflow whose tasks fail again and again, and goes on trying.
import type { WorkflowClient } from '@temporalio/client';

/** How many workflows of this task queue have tasks that fail, or that no worker finishes in time, again and again. */
export async function stuckActors(workflows: Pick<WorkflowClient, 'count'>, taskQueue: string): Promise<number> {
  const problems = `('category=WorkflowTaskFailed', 'category=WorkflowTaskTimedOut')`;
  const { count } = await workflows.count(
    `TaskQueue = '${taskQueue.replaceAll("'", "''")}' AND ExecutionStatus = 'Running' AND TemporalReportedProblems IN ${problems}`,
  );
  return count;
}
