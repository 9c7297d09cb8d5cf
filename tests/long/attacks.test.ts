// The attacks that `npm test` tries in small, at length: ten thousand racing votes, ten minutes of fuzzing, sign-ins at their real cost.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { hashPassword } from '#protocols/password.ts';
import { password } from '#tests/fakes/api-over-fakes.ts';
import { startAttacked, type Attacked } from '#tests/harness/attacked.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { decoders } from '#tests/harness/decoders.ts';
import { fuzz } from '#tests/harness/fuzz.ts';
import { shareOfLonger, signInTimes } from '#tests/harness/sign-in-times.ts';
import { raceVotes } from '#tests/harness/vote-race.ts';

const fuzzMs = 10 * 60_000;

describe('ten thousand racing votes', () => {
  const cleanup = cleanupAfterAll();
  let attacked: Attacked;
  before(
    async () => {
      attacked = await startAttacked(cleanup);
    },
    { timeout: 180_000 },
  );

  it('count once each, and none is lost', async (t) => {
    const { stack, urls, voters, tokenOf, openApprovals } = attacked;
    const tokens = new Map<string, string>();
    for (const name of [...voters.keys(), 'vic']) tokens.set(name, await tokenOf(name));
    const result = await raceVotes({
      stack,
      urls,
      approvals: await openApprovals('raced', 60),
      voters: tokens,
      mayNot: new Set(['vic']),
      votes: 10_000,
      seed: 2,
    });
    t.diagnostic(JSON.stringify(result));
    assert.ok(result.counted >= 180);
    const report = await (await stack.as('vic')).audit.integrity({ full: true });
    assert.equal(report.valid, true, report.reason ?? '');
  });
});

describe('ten minutes of fuzzing', async () => {
  const cleanup = cleanupAfterAll();
  const all = Object.entries(await decoders(cleanup));
  // Another one each day, and said when it fails.
  const seed = Math.floor(Date.now() / 86_400_000);
  for (const [name, decoder] of all) {
    it(`let nothing out of ${name} but refusals (SA-22)`, () =>
      fuzz(name, decoder, { seed, runs: 1_000_000, timeMs: fuzzMs / all.length }));
  }
});

describe('two thousand sign-ins at their real cost', () => {
  it('take as long for nobody as for somebody (SA-30)', async (t) => {
    const { known, unknown, words } = await signInTimes(t, {
      attempts: 2000,
      passwordHash: await hashPassword(password),
    });
    assert.equal(words.size, 1);
    const chance = shareOfLonger(known, unknown);
    t.diagnostic(`somebody takes longer in ${(100 * chance).toFixed(1)} % of all pairs`);
    assert.ok(chance > 0.4 && chance < 0.6, `${chance}`);
  });
});
