// What approvals are measured against: workflows that take the same updates and do nothing with them.
import { condition, defineSignal, proxyActivities, setHandler } from '@temporalio/workflow';
import { voteUpdate } from '#workflows/messages.ts';

export { approvalActor } from '#workflows/approval.ts';

export interface BareActivities {
  /** One transaction of one statement. */
  commitOnce(id: string): Promise<void>;
}

const { commitOnce } = proxyActivities<BareActivities>({ startToCloseTimeout: '5 seconds' });
export const endSignal = defineSignal('end');

/** Counts what it is told. */
export function bareVotes(): Promise<void> {
  return countVotes(async () => {});
}

/** Counts what it is told, once that is written down. */
export function committedVotes(id: string): Promise<void> {
  return countVotes(() => commitOnce(id));
}

async function countVotes(keep: () => Promise<void>): Promise<void> {
  let revision = 0;
  let ended = false;
  setHandler(endSignal, () => void (ended = true));
  setHandler(
    voteUpdate,
    async () => {
      revision += 1;
      await keep();
      return { state: 'open', revision };
    },
    {
      validator: ({ by }) => {
        if (by.id === '') throw new TypeError('nobody votes');
      },
    },
  );
  await condition(() => ended);
}
