// How long Temporal takes over what the API asks of it.
import { WorkflowNotFoundError, WorkflowUpdateFailedError, type WorkflowClientInterceptor } from '@temporalio/client';
import type { Traces } from '#telemetry/traces.ts';
import type { Metrics } from './metrics.ts';

const operations = [
  'start',
  'signal',
  'signalWithStart',
  'startUpdate',
  'startUpdateWithStart',
  'describe',
  'query',
] as const satisfies readonly (keyof WorkflowClientInterceptor)[];

export function measureTemporal({ temporalRequests }: Pick<Metrics, 'temporalRequests'>): WorkflowClientInterceptor {
  return intercepting((operation) => async (input, next) => {
    const ended = temporalRequests.startTimer({ operation });
    try {
      const answer = await next(input);
      ended({ status: 'ok' });
      return answer;
    } catch (error) {
      ended({ status: statusOf(error) });
      throw error;
    }
  });
}

/** The same operations as spans of the request that asks; names of workflows stay out, since they hold those of devices. */
export function traceTemporal(traces: Pick<Traces, 'span' | 'handOver'>): WorkflowClientInterceptor {
  return intercepting((operation) => (input, next) => {
    const attributes = { 'rpc.system': 'temporal', 'rpc.method': operation };
    const work = () => next(input);
    const actionId = updateIdOf(input);
    return actionId === undefined
      ? traces.span(`temporal ${operation}`, attributes, work)
      : traces.handOver(actionId, `temporal ${operation}`, attributes, work);
  });
}

/** An update has the id of the action that it is for. */
function updateIdOf(input: { readonly options?: object; readonly updateOptions?: object }): string | undefined {
  const { updateId } = (input.updateOptions ?? input.options ?? {}) as { updateId?: string };
  return updateId;
}

type Around = (input: never, next: (input: never) => Promise<unknown>) => Promise<unknown>;

function intercepting(around: (operation: string) => Around): WorkflowClientInterceptor {
  return Object.fromEntries(operations.map((name) => [name, around(name)])) as unknown as WorkflowClientInterceptor;
}

/** What an actor refuses was answered all the same. */
function statusOf(error: unknown): 'refused' | 'failed' {
  return error instanceof WorkflowUpdateFailedError || error instanceof WorkflowNotFoundError ? 'refused' : 'failed';
}
