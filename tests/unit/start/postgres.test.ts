// What the embedded Postgres is given of the machine.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sharedMegabytes } from '#start/postgres.ts';

describe('the memory of the embedded Postgres', () => {
  it('is an eighth of what there is, at least 128 MB and at most 2 GB', () => {
    const gigabyte = 2 ** 30;
    assert.deepEqual(
      [0.5, 1, 4, 8, 24].map((size) => sharedMegabytes(size * gigabyte)),
      [128, 128, 512, 1024, 2048],
    );
  });
});
