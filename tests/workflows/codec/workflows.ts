// Workflows that carry a secret through everything that Temporal stores.
import {
  ApplicationFailure,
  condition,
  continueAsNew,
  defineQuery,
  defineSignal,
  defineUpdate,
  executeChild,
  getExternalWorkflowHandle,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  sleep,
  upsertMemo,
  workflowInfo,
} from '@temporalio/workflow';
import type { CodecActivities } from './activities.ts';

const { echo, refuse } = proxyActivities<CodecActivities>({
  startToCloseTimeout: '10 seconds',
  heartbeatTimeout: '10 seconds',
  retry: { maximumAttempts: 2 },
  summary: 'canary-activity-summary',
});

export const put = defineSignal<[string]>('put');
export const finish = defineSignal('finish');
export const change = defineUpdate<string, [string]>('change');
export const seen = defineQuery<string[], [string]>('seen');

interface Journey {
  readonly secret: string;
  readonly round: number;
  readonly seen: readonly string[];
  readonly finished?: boolean;
}

/** Takes its secret through a timer, activities, failures, a child, another workflow and a second run. */
export async function journey({ secret, round, seen: before, finished = false }: Journey): Promise<string> {
  const texts = [...before];
  setHandler(put, (text) => void texts.push(text));
  setHandler(finish, () => void (finished = true));
  setHandler(seen, (text) => [...texts, text]);
  setHandler(
    change,
    async (text) => {
      if (text === 'fail') throw ApplicationFailure.nonRetryable('canary-update-failure', 'change.refused', secret);
      texts.push(await echo(text));
      return `changed ${text}`;
    },
    {
      validator: (text) => {
        if (text === 'invalid') throw ApplicationFailure.nonRetryable('canary-validator-failure', 'change.invalid');
      },
    },
  );
  setCurrentDetails('canary-current-details');
  upsertMemo({ note: 'canary-memo' });
  await sleep(1, { summary: 'canary-timer-summary' });
  texts.push(await echo(secret));
  await refuse('canary-activity-failure').catch((error: Error) => texts.push(String(error.cause)));
  if (round === 1) return continueAsNew<typeof journey>({ secret, round: 2, seen: texts, finished });
  const { workflowId } = workflowInfo();
  texts.push(await executeChild(child, { args: [secret], workflowId: `${workflowId}/child` }));
  await condition(() => finished);
  return texts.join(' ');
}

export async function child(secret: string): Promise<string> {
  const { parent } = workflowInfo();
  if (parent !== undefined) await getExternalWorkflowHandle(parent.workflowId).signal(put, 'canary-from-child');
  return `child ${await echo(secret)}`;
}

export async function scheduled(secret: string): Promise<string> {
  return `scheduled ${await echo(secret)}`;
}

export async function failing(): Promise<never> {
  throw ApplicationFailure.nonRetryable('canary-workflow-failure', 'failing.refused', 'canary-workflow-details');
}

/** Breaks its task, which is not a failure of the workflow. */
export async function broken(): Promise<never> {
  throw new TypeError('canary-task-failure');
}
