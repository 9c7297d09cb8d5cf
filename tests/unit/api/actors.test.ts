// What is asked of Temporal for requests: how much of it at once.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { WorkflowNotFoundError } from '@temporalio/client';
import { createActors, type ActorsDeps } from '#api/actors.ts';
import { systemClock, systemRandom } from '#contracts/deps.ts';
import type { ActorAnswer } from '#workflows/messages.ts';

const actorsOver = (client: ActorsDeps['client'], limits: Partial<ActorsDeps['options']> = {}) =>
  createActors({
    client,
    workflowIdOf: ({ id }) => id,
    clock: systemClock,
    random: systemRandom,
    options: { taskQueue: 'test', ...limits },
  });

describe('heartbeats that wait for their actors', () => {
  it('are few at a time, some more wait, and the others go on without (FT-11)', async () => {
    const answers: (() => void)[] = [];
    let most = 0;
    const client = {
      withDeadline: (_deadline: number, work: () => Promise<unknown>) => work(),
      workflow: {
        executeUpdateWithStart: () =>
          new Promise<ActorAnswer>((resolve) => {
            answers.push(() => resolve({ state: 'approved', revision: 1 } as ActorAnswer));
            most = Math.max(most, answers.length);
          }),
      },
    } as unknown as ActorsDeps['client'];
    const actors = actorsOver(client, { catchUpTimeoutMs: 30_000 });

    const origin = { by: { kind: 'device' as const, id: 'd' }, request_id: 'r' };
    const asked = Array.from({ length: 200 }, (_, n) => actors.catchUp({ project: 'default', id: `d-${n}` }, origin));
    const settled = Promise.allSettled(asked);
    await turn();
    assert.equal(answers.length, 32);
    for (let done = 0; done < 96; done += 1) {
      answers.shift()?.();
      await turn();
    }
    const outcomes = await settled;
    assert.equal(most, 32);
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 96);
    for (const outcome of outcomes.slice(96))
      assert.equal(outcome.status === 'rejected' && (outcome.reason as { code: string }).code, 'control.backlogged');
  });
});

describe('a vote', () => {
  function votes(failures: readonly Error[]) {
    const asked: string[] = [];
    const left = [...failures];
    const client = {
      withDeadline: (_deadline: number, work: () => Promise<unknown>) => work(),
      workflow: {
        getHandle: () => ({
          executeUpdate: async (_definition: unknown, { updateId }: { updateId: string }) => {
            asked.push(updateId);
            const failure = left.shift();
            if (failure !== undefined) throw failure;
            return { state: 'open', revision: 2 };
          },
        }),
      },
    } as unknown as ActorsDeps['client'];
    const actors = actorsOver(client);
    const by = { kind: 'user' as const, id: 'ann' };
    const request = { by, request_id: 'r', decision: 'approve' as const, reason: null, digest: 'd' };
    return { asked, vote: () => actors.vote({ project: 'default', id: 'a' }, request) };
  }

  it('is asked for again when the run that took it has continued as new, and says nothing of a closed review (FT-06)', async () => {
    const { asked, vote } = votes([new WorkflowNotFoundError('update "r" not found', 'a', undefined)]);
    assert.equal((await vote()).state, 'open');
    assert.deepEqual(asked, ['r', 'r'], 'with the same id');
  });

  it('finds a review closed when its workflow is over', async () => {
    const over = new WorkflowNotFoundError('workflow execution already completed', 'a', undefined);
    const { asked, vote } = votes([over]);
    await assert.rejects(vote(), { code: 'review.closed' });
    assert.deepEqual(asked, ['r']);
  });
});
