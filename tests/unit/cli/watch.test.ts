// --watch: frames in place at a terminal, changes in a pipe, patience with an API that goes away; and what --debug tells.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Pause } from '#client/request.ts';
import { aDevice } from '#tests/fakes/api-objects.ts';
import { fakeTerminal, type FakeTerminal } from '#tests/fakes/fake-terminal.ts';
import { problemAnswer } from '#tests/fakes/scripted-api.ts';
import { runCommand } from './run.ts';

/** Lets the watch pass over its waits, notes them, and ends it after some. */
function waits(terminal: FakeTerminal, most: number) {
  const passed: number[] = [];
  const pause: Pause = async (ms) => {
    passed.push(ms);
    if (passed.length >= most) terminal.interrupt();
  };
  return { pause, passed };
}

const route = 'GET /api/devices/lab-1';
const online = { body: aDevice() };
const stale = { body: aDevice({ liveness: 'stale' }) };

describe('--watch', () => {
  it('paints frames in place until it is interrupted, which is no failure, and leaves the last one', async (t) => {
    const terminal = fakeTerminal({ columns: 80, rows: 12 });
    const { pause, passed } = waits(terminal, 2);
    const { exit, out } = await runCommand(t, 'device show lab-1 --watch 5', {
      terminal,
      pause,
      routes: { [route]: (index) => (index === 0 ? online : stale) },
    });
    assert.equal(exit, 0);
    assert.deepEqual(passed, [5000, 5000]);
    assert.equal(terminal.frames.length, 3);
    assert.ok(terminal.frames[0]?.some((line) => /Liveness +online/.test(line)));
    assert.ok(terminal.frames[1]?.some((line) => /Liveness +stale/.test(line)));
    assert.equal(terminal.frames[2], null);
    for (const frame of terminal.frames) assert.ok((frame?.length ?? 0) < 12);
    assert.match(out, /Liveness +stale/);
  });

  it('prints into a pipe only what changed', async (t) => {
    const terminal = fakeTerminal();
    const { pause } = waits(terminal, 3);
    const answers = [online, online, stale];
    const { out } = await runCommand(t, 'device show lab-1 --watch', {
      terminal,
      pause,
      routes: { [route]: (index) => answers[index] ?? {} },
    });
    assert.equal(out.match(/^Device\t/gm)?.length, 1);
    assert.match(out, /Liveness\tstale$/);
    assert.deepEqual(terminal.frames, []);
  });

  it('prints each changed object as one line with --json', async (t) => {
    const terminal = fakeTerminal();
    const { pause } = waits(terminal, 3);
    const answers = [online, online, stale];
    const { terminal: said } = await runCommand(t, 'device show lab-1 --watch --json', {
      terminal,
      pause,
      routes: { [route]: (index) => answers[index] ?? {} },
    });
    assert.deepEqual(
      said.dataLines.map((line) => JSON.parse(line) as unknown),
      [online.body, stale.body],
    );
  });

  it('waits for an API that goes away as long as that asks for, says so, and goes on', async (t) => {
    const terminal = fakeTerminal({ columns: 80 });
    const { pause, passed } = waits(terminal, 4);
    const away = problemAnswer(503, 'service.unavailable', {}, { 'retry-after': '30' });
    const answers = [online, away, { hangUp: true as const }, stale];
    const { exit } = await runCommand(t, 'device show lab-1 --watch 1', {
      terminal,
      pause,
      routes: { [route]: (index) => answers[index] ?? {} },
    });
    assert.equal(exit, 0);
    assert.deepEqual(passed, [1000, 30_000, 2000, 1000]);
    assert.match(terminal.frames[1]?.[0] ?? '', /Trying again in 30 s/);
    assert.ok(terminal.frames[1]?.some((line) => /Liveness +online/.test(line)));
    assert.ok(terminal.frames[3]?.some((line) => /Liveness +stale/.test(line)));
  });

  it('ends when the API answers that there is no more to see', async (t) => {
    const terminal = fakeTerminal({ columns: 80 });
    const { pause } = waits(terminal, 9);
    const { exit, talk } = await runCommand(t, 'device show lab-1 --watch', {
      terminal,
      pause,
      routes: { [route]: (index) => (index === 0 ? online : problemAnswer(401, 'auth.session_ended')) },
    });
    assert.equal(exit, 1);
    assert.match(talk, /sentinel login/);
    assert.equal(terminal.frames.at(-1), null);
  });

  it('refuses to watch more often than every second', async (t) => {
    for (const often of ['0', '0.1', '-1', 'x']) {
      assert.equal((await runCommand(t, `device list --watch=${often}`)).exit, 2, often);
    }
  });
});

describe('--debug', () => {
  it('tells each request and its answer, and nothing that signs in', async (t) => {
    const { talk, url } = await runCommand(t, 'device show lab-1 --debug', { routes: { [route]: online } });
    assert.ok(talk.startsWith(`GET ${url}/api/devices/lab-1 → 200`));
    assert.doesNotMatch(talk, /kept-token|Bearer/i);
  });
});
