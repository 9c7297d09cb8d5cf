// Racing votes, round after round: ten rounds are ten thousand.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { startAttacked, type Attacked } from '#tests/harness/attacked.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { raceVotes } from '#tests/harness/vote-race.ts';
import { beginPart } from './part.ts';

const votesOfOneRound = 1_000;
const approvalsOfOneRound = 6;
/** Of approvals that need five votes, unless somebody is against it. */
const leastCounted = 3 * approvalsOfOneRound;

describe('racing votes', () => {
  const part = beginPart('votes');
  const cleanup = cleanupAfterAll();
  let attacked: Attacked;
  before(
    async () => {
      part.doing('starts an installation with two API processes');
      attacked = await startAttacked(cleanup);
    },
    { timeout: 180_000 },
  );

  it('count once each, and none is lost', async () => {
    const { voters, tokenOf } = attacked;
    const tokens = new Map<string, string>();
    for (const name of [...voters.keys(), 'vic']) tokens.set(name, await tokenOf(name));
    let [rounds, tookMs] = [0, 0];
    for (let seed = part.seed; rounds === 0 || part.hasTimeFor(tookMs / 2); seed += 1, rounds += 1) {
      const began = Date.now();
      part.doing(`round ${rounds + 1} of ${votesOfOneRound} votes`, seed);
      await round(seed, tokens);
      tookMs = Date.now() - began;
    }
    part.did('votes', rounds * votesOfOneRound);
  });

  async function round(seed: number, voters: ReadonlyMap<string, string>): Promise<void> {
    const { stack, urls, openApprovals } = attacked;
    let [counted, retried] = [0, 0];
    let lost: string[] = [];
    try {
      const approvals = await openApprovals(`raced-${seed}`, approvalsOfOneRound);
      const result = await raceVotes({
        ...{ stack, urls, approvals, voters, seed },
        mayNot: new Set(['vic']),
        votes: votesOfOneRound,
      });
      ({ counted, retried } = result);
      assert.ok(counted >= leastCounted, JSON.stringify(result));
      const report = await (await stack.as('vic')).audit.integrity({ full: true });
      assert.equal(report.valid, true, report.reason ?? '');
    } catch (error) {
      lost = [(error as Error).message];
      throw error;
    } finally {
      part.found({ what: 'votes that race', times: votesOfOneRound, lost, seed });
      part.found({ what: 'racing votes that counted', times: counted, lost: [] });
      part.found({ what: 'racing votes repeated after a 503', times: retried, lost: [] });
    }
  }
});
