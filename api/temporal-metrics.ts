// How long Temporal takes over what the API asks of it.
import { WorkflowNotFoundError, WorkflowUpdateFailedError, type WorkflowClientInterceptor } from '@temporalio/client';
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
  const measured = (operation: string) => async (input: never, next: (input: never) => Promise<unknown>) => {
    const ended = temporalRequests.startTimer({ operation });
    try {
      const answer = await next(input);
      ended({ status: 'ok' });
      return answer;
    } catch (error) {
      ended({ status: statusOf(error) });
      throw error;
    }
  };
  return Object.fromEntries(operations.map((name) => [name, measured(name)])) as unknown as WorkflowClientInterceptor;
}

/** What an actor refuses was answered all the same. */
function statusOf(error: unknown): 'refused' | 'failed' {
  return error instanceof WorkflowUpdateFailedError || error instanceof WorkflowNotFoundError ? 'refused' : 'failed';
}
