import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { createConnection } from '#web/data/connection.ts';
import { followEvents, type EventStream, type LiveState } from '#web/data/live.ts';
import type { Area } from '#web/data/queries.ts';
import type { FetchAnswer } from '#client/request.ts';

class FakeStream implements EventStream {
  readyState = 0;
  onopen: ((event: Event) => void) | null = null;
  onerror: ((event: Event) => void) | null = null;
  isClosed = false;
  readonly heard = new Map<string, (event: MessageEvent<string>) => void>();
  addEventListener(type: string, heard: (event: MessageEvent<string>) => void): void {
    this.heard.set(type, heard);
  }
  close(): void {
    this.isClosed = true;
  }
  say(type: string, data = '{}'): void {
    this.heard.get(type)?.(new MessageEvent(type, { data }));
  }
}

function follow(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  const clock = { ms: 0 };
  const streams: FakeStream[] = [];
  const changes: Area[][] = [];
  const states: LiveState[] = [];
  const document = Object.assign(new EventTarget(), { hidden: false });
  const stop = followEvents({
    open: () => {
      const stream = new FakeStream();
      streams.push(stream);
      return stream;
    },
    onChange: (areas) => changes.push([...areas].toSorted()),
    onState: (state) => states.push(state),
    document: document as unknown as Document,
    random: () => 1,
    nowMs: () => clock.ms,
  });
  t.after(stop);
  const hide = (hidden: boolean) => {
    document.hidden = hidden;
    document.dispatchEvent(new Event('visibilitychange'));
  };
  return { streams, changes, states, clock, hide, stop, stream: () => streams.at(-1) as FakeStream };
}

describe('the event stream', () => {
  it('reads everything again when it opens, and what an event is about when it comes', (t) => {
    const { stream, changes, states } = follow(t);
    stream().onopen?.(new Event('open'));
    t.mock.timers.tick(1000);
    stream().say('device.trust.updated');
    t.mock.timers.tick(1000);
    stream().say('message', '{"type":"audit.auth.login"}');
    t.mock.timers.tick(1000);
    assert.deepEqual(changes, [
      ['approvals', 'audit', 'devices'],
      ['approvals', 'audit', 'devices'],
      ['audit', 'sessions'],
    ]);
    assert.deepEqual(states, ['connecting', 'live']);
  });

  it('gathers a flood into one refresh', (t) => {
    const { stream, changes } = follow(t);
    for (let index = 0; index < 500; index += 1) stream().say('device.trust.updated');
    t.mock.timers.tick(1000);
    assert.equal(changes.length, 1);
  });

  it('leaves reconnecting to the browser, and opens a stream anew that was refused, ever more slowly', (t) => {
    const { stream, streams, states } = follow(t);
    stream().onerror?.(new Event('error'));
    assert.equal(streams.length, 1);
    assert.equal(states.at(-1), 'retrying');
    for (const pauseMs of [1000, 2000, 4000]) {
      const opened: number = streams.length;
      stream().readyState = 2;
      stream().onerror?.(new Event('error'));
      t.mock.timers.tick(pauseMs - 1);
      assert.equal(streams.length, opened);
      t.mock.timers.tick(1);
      assert.equal(streams.length, opened + 1);
    }
  });

  it('rests while the page is hidden', (t) => {
    const { streams, states, hide } = follow(t);
    hide(true);
    assert.equal(streams[0]?.isClosed, true);
    t.mock.timers.tick(60_000);
    assert.equal(streams.length, 1);
    hide(false);
    assert.equal(streams.length, 2);
    assert.deepEqual(states, ['connecting', 'paused', 'connecting']);
  });

  it('opens the stream anew and reads everything again after the machine has slept (CP-41)', (t) => {
    const { stream, streams, changes, clock } = follow(t);
    stream().onopen?.(new Event('open'));
    for (let beat = 0; beat < 4; beat += 1) {
      clock.ms += 5_000;
      t.mock.timers.tick(5_000);
    }
    assert.equal(streams.length, 1);
    clock.ms += 3_600_000;
    t.mock.timers.tick(5_000);
    assert.equal(streams.length, 2);
    assert.equal(streams[0]?.isClosed, true);
    changes.length = 0;
    stream().onopen?.(new Event('open'));
    t.mock.timers.tick(1_000);
    assert.deepEqual(changes, [['approvals', 'audit', 'devices']]);
  });

  it('ends for good', (t) => {
    const { stream, streams, changes, stop } = follow(t);
    stream().say('device.trust.updated');
    stop();
    t.mock.timers.tick(60_000);
    assert.equal(streams[0]?.isClosed, true);
    assert.equal(streams.length, 1);
    assert.deepEqual(changes, []);
  });
});

describe('the connection', () => {
  const init = { method: 'GET', headers: {}, signal: new AbortController().signal, redirect: 'error' } as const;
  const answer = (status: number, date: string | null = null): FetchAnswer => ({
    status,
    headers: { get: (name) => (name === 'date' ? date : null) },
    text: async () => '',
  });

  it('is lost when a call fails, since the first that did, and found with any answer', async () => {
    let now = 1_000;
    let outcome: () => Promise<FetchAnswer> = async () => answer(200);
    const connection = createConnection(
      () => outcome(),
      () => now,
    );
    outcome = () => Promise.reject(new TypeError('Failed to fetch'));
    await assert.rejects(connection.fetch('/', init));
    now = 5_000;
    await assert.rejects(connection.fetch('/', init));
    assert.deepEqual(connection.state(), { lostSince: 1_000 });
    outcome = async () => answer(503);
    await connection.fetch('/', init);
    assert.deepEqual(connection.state(), { lostSince: null });
  });

  it('is not lost when a call was given up, but is when it timed out', async () => {
    const connection = createConnection(
      (_url, { signal }) => Promise.reject(signal.reason as Error),
      () => 7,
    );
    await assert.rejects(connection.fetch('/', { ...init, signal: AbortSignal.abort() }));
    assert.equal(connection.state().lostSince, null);
    const timeout = AbortSignal.abort(new DOMException('late', 'TimeoutError'));
    await assert.rejects(connection.fetch('/', { ...init, signal: timeout }));
    assert.equal(connection.state().lostSince, 7);
  });

  it('tells the time of the server where the local clock is wrong, and ignores the way of the answer', async () => {
    let date = new Date(1_000_000).toUTCString();
    const connection = createConnection(
      async () => answer(200, date),
      () => 400_000,
    );
    await connection.fetch('/', init);
    assert.equal(connection.nowMs(), 1_000_000);
    date = new Date(402_000).toUTCString();
    await connection.fetch('/', init);
    assert.equal(connection.nowMs(), 400_000);
  });
});
