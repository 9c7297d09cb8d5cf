// The long tests' own means: how the time is shared out, and what is read of what they wrote down.
import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { readNotes, tableOf, writeNote, type Note } from '#tests/long/notes.ts';
import { partNames, partOf, timeOf } from '#tests/long/parts.ts';

describe('the time of the long tests', () => {
  it('has a part for each file, in the order in which the runner takes them', async () => {
    const folder = join(import.meta.dirname, '../../long');
    const files = (await readdir(folder)).filter((name) => name.endsWith('.test.ts')).toSorted();
    assert.deepEqual(
      files,
      partNames.map((part) => `${part}.test.ts`),
    );
    assert.deepEqual(
      files.map((file) => partOf(`tests/long/${file}`)),
      partNames,
    );
    assert.equal(partOf('attacks'), null);
  });

  it('is used up by all parts together, and wholly by one alone', () => {
    let leftMs = 300_000;
    for (const part of partNames) {
      const mine = timeOf(part, partNames, leftMs);
      assert.ok(mine > 10_000, `${part} has ${mine} ms`);
      leftMs -= mine;
    }
    assert.ok(Math.abs(leftMs) < 1);
    assert.equal(timeOf('kills', ['kills'], 60_000), 60_000);
  });

  it('is less for those that come after one that took too long, and never negative', () => {
    assert.ok(timeOf('soak', partNames, 60_000) < timeOf('soak', partNames, 120_000));
    assert.equal(timeOf('votes', partNames, -5_000), 0);
  });
});

describe('the notes of the long tests', () => {
  const notes: readonly Note[] = [
    { kind: 'progress', part: 'kills', text: '3 of 8 kills', seed: 7 },
    { kind: 'finding', part: 'kills', what: 'kill -9 of api', times: 3, lost: [], seed: 7 },
    { kind: 'finding', part: 'kills', what: 'kill -9 of api', times: 4, lost: [], seed: 8 },
    { kind: 'finding', part: 'kills', what: 'rounds', times: 1, lost: ['counter 5 was lost'], seed: 8 },
    { kind: 'cut short', part: 'soak', what: 'facts', times: 1_200, full: 20_000 },
  ];

  it('are read while the last one is being written', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'sentinel-notes-'));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const file = join(folder, 'notes');
    for (const note of notes) writeNote(file, note);
    await appendFile(file, '{"kind":"prog');
    assert.deepEqual(readNotes(file), notes);
  });

  it('end as sums, with what was cut short and how to repeat what failed', () => {
    const table = tableOf(notes);
    assert.match(table, /^kill -9 of api +7 +0$/m);
    assert.match(table, /^rounds +1 +1$/m);
    assert.match(table, /^soak was cut short: 1,200 of 20,000 facts$/m);
    assert.match(
      table,
      /^rounds, seed 8:\n {2}counter 5 was lost\n {2}again: npm run test:long -- --minutes 1 --seed 8 kills$/m,
    );
  });
});
