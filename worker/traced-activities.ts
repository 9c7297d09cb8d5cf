// A span for each attempt of an activity, in the trace of the action that it is for.
import type { ActivityInterceptorsFactory } from '@temporalio/worker';
import type { Traces } from '#telemetry/traces.ts';

/** Temporal's own headers are not used: what an actor writes down says which action it is for, and so it does in a replay. */
export function traceActivities(traces: Traces): ActivityInterceptorsFactory {
  return ({ info }) => ({
    inbound: {
      execute(input, next) {
        const attributes = {
          'temporal.activity.type': info.activityType,
          'temporal.activity.attempt': info.attempt,
          'temporal.workflow.id': info.workflowExecution?.workflowId ?? '',
          'temporal.workflow.run_id': info.workflowExecution?.runId ?? '',
        };
        const origins = actionsOf(input.args[0]).map((id) => traces.of(id));
        return traces.joined(origins, `activity ${info.activityType}`, attributes, () => next(input));
      },
    },
  });
}

/** The actions that an input is for, each once, in their order. Only commits say it, in what they have audited. */
export function actionsOf(input: unknown): readonly string[] {
  const audit = (input as { audit?: unknown } | null | undefined)?.audit;
  if (!Array.isArray(audit)) return [];
  const ids = audit.map((entry) => (entry as { request_id?: unknown } | null)?.request_id);
  return [...new Set(ids.filter((id) => typeof id === 'string'))];
}
