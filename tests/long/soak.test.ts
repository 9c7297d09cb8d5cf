// 20,000 facts about one device, with the server's own limits: its actor's runs stay short, and it ends where it should.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { testActors, type TestActors } from '#tests/workflows/actors.ts';
import { assertWithinLimits, soak } from '#tests/workflows/soak.ts';
import { report } from './report.ts';

const facts = Array.from({ length: 20_000 }, (_, n) => n + 1);

describe('an actor that hears of 20,000 facts', () => {
  const cleanup = cleanupAfterAll();
  let actors: TestActors;
  before(async () => {
    actors = await testActors(cleanup);
    actors.store.standing.add('ann');
  });

  it('has runs of 5,000 events at most, and ends as one that heard the last of them only (FT-09)', async () => {
    const { runs, state } = await soak(actors, 'soaked', facts);
    const brief = await soak(actors, 'brief', facts.slice(-1));
    assert.deepEqual(state, brief.state);
    assertWithinLimits(runs, 5_000);
    report({ what: 'facts about one device', times: facts.length, lost: [] });
    report({ what: 'runs of its actor', times: runs.length, lost: [] });
  });
});
