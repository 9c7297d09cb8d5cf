// 20,000 facts about one device, with the server's own limits: its actor's runs stay short, and it ends where it should.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { testActors, type TestActors } from '#tests/workflows/actors.ts';
import { assertWithinLimits, soak } from '#tests/workflows/soak.ts';
import { beginPart } from './part.ts';
import { parts } from './parts.ts';

const facts = Array.from({ length: parts.soak.full }, (_, n) => n + 1);
const least = 100;

describe('an actor that hears of 20,000 facts, or as many as there is time for', () => {
  const part = beginPart('soak');
  const cleanup = cleanupAfterAll();
  let actors: TestActors;
  before(async () => {
    part.doing('starts a worker');
    actors = await testActors(cleanup);
    actors.store.standing.add('ann');
  });

  it('has runs of 5,000 events at most, and ends as one that heard the last of them only (FT-09)', async () => {
    const { runs, state, told } = await soak(actors, 'soaked', facts, (soFar) => {
      part.doing(`${soFar} facts about one device`);
      return soFar >= least && !part.hasTimeFor(0);
    });
    const lost: string[] = [];
    try {
      const brief = await soak(actors, 'brief', facts.slice(told - 1, told));
      assert.deepEqual(state, brief.state);
      assertWithinLimits(runs, 5_000);
    } catch (error) {
      lost.push((error as Error).message);
      throw error;
    } finally {
      part.found({ what: 'facts about one device', times: told, lost });
      part.found({ what: 'runs of its actor', times: runs.length, lost: [] });
      part.did('facts', told);
    }
  });
});
