// Failed sign-ins at their real cost: how long one takes tells nobody whether a name exists.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hashPassword } from '#protocols/password.ts';
import { password } from '#tests/fakes/api-over-fakes.ts';
import { shareOfLonger, signInTimes } from '#tests/harness/sign-in-times.ts';
import { beginPart } from './part.ts';
import { parts } from './parts.ts';

/** Fewer would say nothing: with so many, chance alone moves the share by 0.03. */
const least = 400;

describe('sign-ins at their real cost', () => {
  const part = beginPart('sign-ins');

  it('take as long for nobody as for somebody (SA-30)', async (t) => {
    const { known, unknown, words } = await signInTimes(t, {
      attempts: parts['sign-ins'].full,
      passwordHash: await hashPassword(password),
      mayEnd(attempts) {
        part.doing(`${attempts} sign-ins`);
        return attempts >= least && !part.hasTimeFor(0);
      },
    });
    const times = known.length + unknown.length;
    const chance = shareOfLonger(known, unknown);
    const lost =
      chance > 0.4 && chance < 0.6 ? [] : [`somebody takes longer in ${(100 * chance).toFixed(1)} % of all pairs`];
    t.diagnostic(`somebody takes longer in ${(100 * chance).toFixed(1)} % of all pairs`);
    part.found({ what: 'failed sign-ins whose time was taken', times, lost });
    part.did('sign-ins', times);
    assert.equal(words.size, 1);
    assert.deepEqual(lost, []);
  });
});
