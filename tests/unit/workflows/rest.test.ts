// The rests between attempts, whose lengths recorded histories hold.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { restMs } from '#workflows/rest.ts';

describe('the rest after a failure', () => {
  it('doubles up to five minutes, however often something goes wrong', () => {
    const rests = [1, 2, 3, 6, 7, 8, 5_000].map((times) => restMs(5_000, times));
    assert.deepEqual(rests, [5_000, 10_000, 20_000, 160_000, 300_000, 300_000, 300_000]);
  });
});
