import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { createActorNotifier, type NotifierOptions } from '#api/actor-notifier.ts';
import { createMetrics } from '#api/metrics.ts';
import { systemClock } from '#contracts/deps.ts';
import { fakeClock } from '#tests/fakes/fake-clock.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';

function openNotifier(options: Partial<NotifierOptions> = {}, clock = systemClock) {
  const sent: { id: string; end: () => void; fail: () => void }[] = [];
  const begun = new Set<string>();
  const looked = new Set<string>();
  const metrics = createMetrics('0.0.0');
  const notifier = createActorNotifier({
    news: ({ id }) =>
      new Promise((resolve, reject) => sent.push({ id, end: resolve, fail: () => reject(new Error('away')) })),
    hasBegun: async ({ id }) => {
      looked.add(id);
      return begun.has(id);
    },
    clock,
    log: fakeLog(),
    metrics,
    options: {
      startsPerSecond: 50,
      maximumWaiting: 100,
      maximumInFlight: 2,
      maximumBeginning: 100,
      beginWithinMs: 60_000,
      ...options,
    },
  });
  const counted = async () => {
    const { values } = await metrics.signals.get();
    return Object.fromEntries(values.map(({ labels, value }) => [labels.result, value]));
  };
  const tell = (id: string, starts = false, project = 'default') => notifier.notify({ project, id }, starts);
  return { notifier, sent, begun, looked, tell, counted, ids: () => sent.map(({ id }) => id) };
}

async function until(holds: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 500 && !holds(); attempt += 1) await setTimeout(5);
  assert.ok(holds());
}

describe('actor notifier', () => {
  it('sends a few at a time, and the rest as these are answered', async () => {
    const { sent, tell, ids } = openNotifier();
    for (const id of ['a', 'b', 'c']) tell(id);
    assert.deepEqual(ids(), ['a', 'b']);
    sent[0]?.end();
    await until(() => sent.length === 3);
  });

  it('takes news of a device that waits for one, and sends again what comes after it was sent', async () => {
    const { sent, tell, ids, counted } = openNotifier({ maximumInFlight: 1 });
    for (const id of ['a', 'b', 'b', 'a']) tell(id);
    for (let index = 0; index < 3; index += 1) {
      await until(() => sent.length > index);
      sent[index]?.end();
    }
    assert.deepEqual(ids(), ['a', 'b', 'a']);
    await setTimeout(1);
    assert.deepEqual(await counted(), { coalesced: 1, sent: 3 });
  });

  it('starts no more actors a second than the project may, and signals the others meanwhile', async () => {
    const clock = fakeClock();
    const { sent, tell, ids } = openNotifier({ startsPerSecond: 2, maximumInFlight: 10 }, clock);
    for (const id of ['a', 'b', 'c', 'd']) tell(id, true);
    tell('known');
    tell('x', true, 'other');
    assert.deepEqual(ids(), ['a', 'b', 'known', 'x']);
    clock.advance(500);
    await until(() => sent.length === 5);
    clock.advance(10_000);
    await until(() => sent.length === 6);
    assert.deepEqual(ids(), ['a', 'b', 'known', 'x', 'c', 'd']);
  });

  it('starts no more actors at once than may be beginning, and signals the others meanwhile', async () => {
    const { notifier, sent, begun, looked, tell, ids } = openNotifier({ maximumBeginning: 2, maximumInFlight: 10 });
    for (const id of ['a', 'b', 'c', 'd']) tell(id, true);
    for (const { end } of sent) end();
    tell('known');
    await until(() => looked.size === 2);
    assert.deepEqual(ids(), ['a', 'b', 'known'], 'their signals were answered, but neither has begun');
    begun.add('b');
    await until(() => sent.length === 4);
    assert.deepEqual(ids(), ['a', 'b', 'known', 'c']);
    // What could not be started at all makes room at once.
    sent[3]?.fail();
    await until(() => sent.length === 5);
    for (const { end } of sent) end();
    await notifier.close();
  });

  it('waits for an actor that does not begin no longer than it may take', async () => {
    const clock = fakeClock();
    const { notifier, sent, looked, tell } = openNotifier({ maximumBeginning: 1, beginWithinMs: 1_000 }, clock);
    for (const id of ['a', 'b']) tell(id, true);
    sent[0]?.end();
    await until(() => looked.has('a'));
    assert.equal(sent.length, 1);
    clock.advance(1_000);
    await until(() => sent.length === 2);
    sent[1]?.end();
    await notifier.close();
  });

  it('drops what comes on top of its bound, and what fails, and counts both', async () => {
    const { sent, tell, counted } = openNotifier({ maximumInFlight: 1, maximumWaiting: 1 });
    for (const id of ['a', 'b', 'c']) tell(id);
    sent[0]?.fail();
    await until(() => sent.length === 2);
    assert.deepEqual(await counted(), { dropped: 1, failed: 1 });
  });

  it('sends nothing more once it closes, and waits for what was sent', async () => {
    const { notifier, sent, tell, counted } = openNotifier({ maximumInFlight: 1 });
    for (const id of ['a', 'b']) tell(id);
    const closing = notifier.close();
    tell('c');
    sent[0]?.end();
    await closing;
    assert.deepEqual(await counted(), { dropped: 2, sent: 1 });
  });
});
