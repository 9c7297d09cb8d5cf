// Which attempt of which activity of which run a line of the log is from, for what activities and the store write there.
import { asyncLocalStorage } from '@temporalio/activity';

/** Nothing outside an activity. */
export function activityFields(): object {
  const context = asyncLocalStorage.getStore();
  if (context === undefined) return {};
  const { workflowExecution, activityType, attempt } = context.info;
  return {
    workflow_id: workflowExecution?.workflowId,
    run_id: workflowExecution?.runId,
    activity: activityType,
    attempt,
  };
}
