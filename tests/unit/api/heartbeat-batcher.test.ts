import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { batcherDefaults, createBatcher, type BatcherOptions } from '#api/heartbeat-batcher.ts';
import { createMetrics } from '#api/metrics.ts';
import { systemClock } from '#contracts/deps.ts';
import { eventually } from '#tests/harness/eventually.ts';

interface Item {
  readonly device: string;
  readonly n: number;
}

/** A batcher whose batches end when the test says so. */
function openBatcher(options: Partial<BatcherOptions> = {}) {
  const batches: {
    items: readonly Item[];
    end: (verdicts?: readonly string[]) => void;
    fail: (error: Error) => void;
  }[] = [];
  const batcher = createBatcher<Item, string>(
    {
      judge: (items) =>
        new Promise((resolve, reject) => {
          const own = items.map(({ device, n }) => `${device}${n}`);
          batches.push({ items, end: (verdicts = own) => resolve(verdicts), fail: reject });
        }),
      nameOf: ({ device }) => device,
      clock: systemClock,
      metrics: createMetrics('0.0.0'),
    },
    // Without patience: what a test sends is judged beside what it has sent.
    { ...batcherDefaults, patienceMs: 0, ...options },
  );
  let n = 0;
  return { batcher, batches, send: (device: string) => batcher.submit({ device, n: (n += 1) }) };
}

const namesOf = (batch: { items: readonly Item[] } | undefined) => batch?.items.map(({ device }) => device);

describe('heartbeat batcher', () => {
  it('judges what comes at the same time together, and gives each its own verdict', async () => {
    const { batches, send } = openBatcher();
    const answers = Promise.all(['a', 'b', 'c'].map(send));
    await setImmediate();
    assert.deepEqual(batches.map(namesOf), [['a', 'b', 'c']]);
    batches[0]?.end();
    assert.deepEqual(await answers, ['a1', 'b2', 'c3']);
  });

  it('never judges two heartbeats of one device at the same time, in this batch or another', async () => {
    const { batches, send } = openBatcher();
    const first = send('a');
    const second = send('a');
    await setImmediate();
    const third = send('a');
    const other = send('b');
    await setImmediate();
    assert.deepEqual(batches.map(namesOf), [['a'], ['b']]);
    batches[0]?.end();
    assert.equal(await first, 'a1');
    await setImmediate();
    assert.deepEqual(batches.map(namesOf), [['a'], ['b'], ['a']]);
    batches[2]?.end();
    assert.equal(await second, 'a2');
    await setImmediate();
    batches[3]?.end();
    batches[1]?.end();
    assert.deepEqual([await third, await other], ['a3', 'b4']);
  });

  it('keeps to the size of a batch and to the number of batches', async () => {
    const { batches, send } = openBatcher({ maximumBatch: 2, maximumInFlight: 2 });
    const answers = Promise.all(['a', 'b', 'c', 'd', 'e'].map(send));
    await setImmediate();
    assert.deepEqual(batches.map(namesOf), [
      ['a', 'b'],
      ['c', 'd'],
    ]);
    batches[0]?.end();
    await setImmediate();
    assert.deepEqual(namesOf(batches[2]), ['e']);
    for (const batch of batches) batch.end();
    assert.deepEqual(await answers, ['a1', 'b2', 'c3', 'd4', 'e5']);
  });

  it('lets what comes while a batch is judged wait for its end, and go together', async () => {
    const { batches, send } = openBatcher({ patienceMs: 60_000 });
    const first = send('a');
    await setImmediate();
    const others = [send('b')];
    await setImmediate();
    others.push(send('c'));
    await setImmediate();
    assert.deepEqual(batches.map(namesOf), [['a']]);
    batches[0]?.end();
    assert.equal(await first, 'a1');
    await setImmediate();
    assert.deepEqual(batches.map(namesOf), [['a'], ['b', 'c']]);
    batches[1]?.end();
    assert.deepEqual(await Promise.all(others), ['b2', 'c3']);
  });

  it('sends a full batch beside others, and any when they take long', async () => {
    const { batches, send } = openBatcher({ patienceMs: 20, maximumBatch: 2 });
    const answers = [send('a')];
    await setImmediate();
    answers.push(send('b'), send('c'));
    await setImmediate();
    assert.deepEqual(batches.map(namesOf), [['a'], ['b', 'c']]);
    answers.push(send('d'));
    await setImmediate();
    assert.equal(batches.length, 2);
    await eventually(() => batches.length === 3, 'the batch of the last one');
    assert.deepEqual(namesOf(batches[2]), ['d']);
    for (const batch of batches) batch.end();
    assert.deepEqual(await Promise.all(answers), ['a1', 'b2', 'c3', 'd4']);
  });

  it('refuses at once when too much waits, of everybody or of one device', async () => {
    const { batches, send } = openBatcher({ maximumWaiting: 3, maximumWaitingOfOne: 2 });
    const taken = [send('a'), send('a')];
    await assert.rejects(send('a'), { code: 'rate.limited' });
    taken.push(send('b'));
    await assert.rejects(send('c'), { code: 'service.overloaded' });
    for (let turn = 0; turn < 4; turn += 1) {
      await setImmediate();
      for (const batch of batches) batch.end();
    }
    assert.deepEqual(await Promise.all(taken), ['a1', 'a2', 'b4']);
  });

  it('answers in time when the judge does not, and does not judge what was answered', async () => {
    const { batches, send } = openBatcher({ deadlineMs: 20, maximumInFlight: 1 });
    const judged = send('a');
    await setImmediate();
    const waiting = send('b');
    await Promise.all([
      assert.rejects(judged, { code: 'service.unavailable' }),
      assert.rejects(waiting, { code: 'service.unavailable' }),
    ]);
    batches[0]?.end();
    await setTimeout(1);
    assert.equal(batches.length, 1);
    const next = send('b');
    await setImmediate();
    batches[1]?.end();
    assert.equal(await next, 'b3');
  });

  it('hands a failure to those whom it struck, and goes on', async () => {
    const { batches, send } = openBatcher();
    const struck = [send('a'), send('b')];
    await setImmediate();
    const spared = send('c');
    await setImmediate();
    batches[0]?.fail(new Error('deadlock'));
    batches[1]?.end();
    assert.equal(await spared, 'c3');
    for (const answer of struck) await assert.rejects(answer, /deadlock/);
    const again = send('a');
    await setImmediate();
    batches[2]?.end();
    assert.equal(await again, 'a4');
  });

  it('takes a missing verdict for a failure', async () => {
    const { batches, send } = openBatcher();
    const answers = [send('a'), send('b')];
    await setImmediate();
    batches[0]?.end(['a1']);
    assert.equal(await answers[0], 'a1');
    await assert.rejects(answers[1] ?? Promise.resolve(), { code: 'internal.error' });
  });

  it('judges everything that it took before it closes', async () => {
    const { batcher, batches, send } = openBatcher({ maximumInFlight: 1 });
    const answers = [send('a'), send('a')];
    const closing = batcher.close();
    await assert.rejects(send('b'), { code: 'service.overloaded' });
    for (let index = 0; index < 2; index += 1) {
      await setImmediate();
      batches[index]?.end();
      await answers[index];
    }
    await closing;
  });
});
