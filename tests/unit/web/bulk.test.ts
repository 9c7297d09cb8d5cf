import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fakeDevice } from '#tests/fakes/fake-fleet.ts';
import { actOnEach, readAll, type Outcome } from '#web/data/bulk.ts';
import { inPlace } from '#web/data/held.ts';
import { devicesCsv } from '#web/words/export.ts';
import { filterWords } from '#web/words/filter.ts';

describe('the same act on many things', () => {
  const items = Array.from({ length: 20 }, (_, index) => index);

  it('is done to each once, a few at a time, and says what became of each', async () => {
    let running = 0;
    let most = 0;
    const outcomes: Outcome<number>[] = [];
    await actOnEach(items, {
      act: async (item) => {
        running += 1;
        most = Math.max(most, running);
        await new Promise<void>((resolve) => setImmediate(resolve));
        running -= 1;
        if (item % 7 === 3) throw new Error(`no ${item}`);
      },
      concurrency: 4,
      signal: new AbortController().signal,
      onOutcome: (outcome) => outcomes.push(outcome),
    });
    assert.equal(most, 4);
    assert.deepEqual(
      outcomes.map(({ item }) => item).toSorted((a, b) => a - b),
      items,
    );
    assert.deepEqual(
      outcomes.flatMap((outcome) => (outcome.state === 'failed' ? [(outcome.error as Error).message] : [])),
      ['no 3', 'no 10', 'no 17'],
    );
  });

  it('ends what is under way when it is stopped, and begins nothing new', async () => {
    const stop = new AbortController();
    const outcomes: Outcome<number>[] = [];
    await actOnEach(items, {
      act: async (item) => {
        if (item === 5) stop.abort();
      },
      concurrency: 1,
      signal: stop.signal,
      onOutcome: (outcome) => outcomes.push(outcome),
    });
    assert.deepEqual(
      outcomes.map(({ state }) => state),
      items.map((item) => (item <= 5 ? 'done' : 'not_tried')),
    );
  });
});

describe('reading a whole list', () => {
  const pages = (cursor: string | undefined) => {
    const start = Number(cursor ?? 0);
    const next_cursor = start + 3 < 10 ? String(start + 3) : null;
    return Promise.resolve({ items: [0, 1, 2].map((offset) => start + offset).filter((n) => n < 10), next_cursor });
  };

  it('goes to its end', async () => {
    const progress: number[] = [];
    const all = await readAll(pages, { limit: 100, onProgress: (count) => progress.push(count) });
    assert.deepEqual(all, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert.deepEqual(progress, [3, 6, 9, 10]);
  });

  it('stops at the limit', async () => {
    assert.deepEqual(await readAll(pages, { limit: 5, onProgress: () => {} }), [0, 1, 2, 3, 4]);
  });
});

describe('rows that are held (CP-41)', () => {
  const rows = (...texts: string[]) => texts.map((text) => ({ id: text.slice(0, 1), text }));
  const shown = (held: string[], fresh: string[]) => {
    const result = inPlace(rows(...held), rows(...fresh), ({ id }) => id);
    return [result.rows?.map(({ text }) => text).join(' '), result.changes];
  };

  it('stay where they are and say the newest', () => {
    assert.deepEqual(shown(['a1', 'b1', 'c1'], ['a2', 'b1', 'c3']), ['a2 b1 c3', 0]);
    assert.deepEqual(shown(['a1', 'b1', 'c1'], ['c2', 'a2', 'b2']), ['a2 b2 c2', 3]);
  });

  it('count what would come, go and move', () => {
    assert.deepEqual(shown(['a1', 'b1'], ['a1', 'x1', 'b1']), ['a1 b1', 1]);
    assert.deepEqual(shown(['a1', 'b1', 'c1'], ['b2', 'c1']), ['a1 b2 c1', 1]);
    assert.deepEqual(shown(['a1', 'b1'], ['x1', 'y1']), ['a1 b1', 4]);
  });

  it('are nothing before there is an answer', () => {
    assert.deepEqual(
      inPlace<object>(undefined, [{}], () => ''),
      { rows: undefined, changes: 0 },
    );
  });
});

describe('devices as CSV', () => {
  it('quote what has to be, and are no formulas', () => {
    const device = fakeDevice('d1', 0, { hostname: '=cmd|"x"', platform: 'a,b', reported_tags: ['@x', 'y'] });
    const [header = '', row = '', end] = devicesCsv([device]).split('\r\n');
    assert.equal(header.split(',')[0], 'device_id');
    assert.match(row, /^d1,monitored,approved,online,/);
    assert.ok(row.includes(`"'=cmd|""x"""`), row);
    assert.ok(row.includes('"a,b"') && row.includes("'@x y"), row);
    assert.equal(end, '');
  });
});

describe('a filter in words', () => {
  it('says what it lets through', () => {
    assert.equal(filterWords({}), 'The whole fleet');
    assert.equal(
      filterWords({ trust_tier: 'restricted', pending_review: false, tag: 'x', search: 'y', order: 'first_seen' }),
      'Restricted, Not under review, Tag x, “y”, Newest first',
    );
  });
});
