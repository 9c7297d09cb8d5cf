import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TrustError } from '#contracts/problems.ts';
import type { LogFile } from '#start/log-file.ts';
import { createSupervisor, stopLimitMs, type Supervisor } from '#start/supervisor.ts';
import { fakePart, fakeProcesses, type FakeProcesses } from '#tests/fakes/fake-parts.ts';
import { fakeTimers, type FakeTimers } from '#tests/fakes/fake-timers.ts';

interface Bench {
  readonly supervisor: Supervisor;
  readonly timers: FakeTimers;
  readonly processes: FakeProcesses;
  /** What was reported, in order. */
  readonly reported: string[];
  /** Pids as they were announced, in order. */
  readonly announced: Readonly<Record<string, number>>[];
}

function bench(processes = fakeProcesses(), write: () => Promise<void> = async () => {}): Bench {
  const timers = fakeTimers();
  const reported: string[] = [];
  const announced: Readonly<Record<string, number>>[] = [];
  const openLog = ({ name }: { name: string }): LogFile => ({ path: `${name}.log`, write: () => {}, close: () => {} });
  const supervisor = createSupervisor({
    spawn: processes.spawn,
    timers,
    openLog,
    report: {
      starting: (name) => reported.push(`${name} starting`),
      ready: (name, afterMs) => reported.push(`${name} ready after ${afterMs}`),
      died: (name, how, againInMs) => reported.push(`${name}: ${how} again in ${againInMs}`),
    },
    async onChange(pids) {
      await write();
      announced.push(pids);
    },
  });
  return { supervisor, timers, processes, reported, announced };
}

describe('supervisor', () => {
  it('starts the next stage only when every part of the one before serves', async () => {
    const { supervisor, processes, timers } = bench();
    const gate = Promise.withResolvers<void>();
    const first = supervisor.start([fakePart('a'), fakePart('b', { ready: () => gate.promise })]);
    await timers.settle();
    assert.deepEqual(
      processes.spawned.map(({ name }) => name),
      ['a', 'b'],
    );
    let served = false;
    void first.then(() => (served = true));
    await timers.settle();
    assert.equal(served, false);
    gate.resolve();
    await first;
    await supervisor.stop();
  });

  it('announces a process before it serves, so that a start that is killed meanwhile leaves its pid', async () => {
    const { supervisor, timers, announced } = bench();
    const started = supervisor.start([fakePart('a', { ready: () => new Promise(() => {}) })]);
    started.catch(() => {});
    await timers.settle();
    assert.deepEqual(announced, [{ a: 1000 }]);
    await supervisor.stop();
    await assert.rejects(started);
  });

  it('announces one change at a time, so that a slow write never lands on top of a newer one', async () => {
    const slow = Promise.withResolvers<void>();
    let writes = 0;
    const { supervisor, timers, announced } = bench(fakeProcesses(), async () => {
      writes += 1;
      if (writes === 1) await slow.promise;
    });
    const started = supervisor.start([fakePart('a'), fakePart('b')]);
    await timers.settle();
    assert.equal(writes, 1, 'the second waits for the first');
    slow.resolve();
    await started;
    assert.deepEqual(announced.at(-1), { a: 1000, b: 1001 });
    await supervisor.stop();
  });

  it('starts a part again that died, after a growing delay', async () => {
    const { supervisor, processes, timers, reported } = bench();
    await supervisor.start([fakePart('a')]);
    for (const delayMs of [250, 500, 1_000]) {
      const before = processes.spawned.length;
      processes.child('a').die({ code: 3 });
      await timers.advance(delayMs - 1);
      assert.equal(processes.spawned.length, before, `not before ${delayMs} ms`);
      await timers.advance(1);
      assert.equal(processes.spawned.length, before + 1);
    }
    assert.ok(reported.includes('a: a ended with exit code 3. again in 250'));
    await supervisor.stop();
  });

  it('gives up a part that died five times within a minute, with the last lines of its log', async () => {
    const { supervisor, processes, timers } = bench();
    await supervisor.start([fakePart('a'), fakePart('b')]);
    let failure: unknown;
    supervisor.failed.catch((error: unknown) => (failure = error));
    for (let death = 1; death <= 5; death += 1) {
      processes.child('a').say(`complaint ${death}\n`);
      processes.child('a').die({ signal: 'SIGSEGV' });
      await timers.advance(4_000);
      assert.equal(failure !== undefined, death === 5, `after death ${death}`);
    }
    assert.ok(failure instanceof TrustError);
    assert.equal(failure.code, 'service.unavailable');
    assert.match(failure.message, /^a died 5 times within a minute\. a ended by SIGSEGV\.\nThe end of a\.log:\n/);
    assert.match(failure.message, /complaint 5$/);
    assert.equal(processes.spawned.filter(({ name }) => name === 'a').length, 5);
    await supervisor.stop();
  });

  it('counts only the deaths of the last minute', async () => {
    const { supervisor, processes, timers } = bench();
    await supervisor.start([fakePart('a')]);
    let failed = false;
    supervisor.failed.catch(() => (failed = true));
    for (let death = 1; death <= 12; death += 1) {
      processes.child('a').die();
      await timers.advance(16_000);
    }
    assert.equal(failed, false);
    assert.equal(processes.spawned.length, 13);
    await supervisor.stop();
  });

  it('counts a process that never serves as dead, and kills it', async () => {
    const { supervisor, processes, timers } = bench();
    const started = supervisor.start([fakePart('a', { ready: () => new Promise(() => {}), readyWithinMs: 5_000 })]);
    const refused = assert.rejects(started, /a died 5 times within a minute\. a was not ready within 5 s/);
    await timers.advance(60_000);
    await refused;
    assert.deepEqual(
      processes.log,
      Array.from({ length: 5 }, () => 'a SIGKILL'),
    );
    await supervisor.stop();
  });

  it('does not try again when a part cannot be prepared the first time, as for a taken port', async () => {
    const { supervisor, processes } = bench();
    const taken = new TrustError('service.unavailable', { detail: 'SENTINEL_PORT: taken' });
    await assert.rejects(supervisor.start([fakePart('a', { prepare: () => Promise.reject(taken) })]), taken);
    assert.equal(processes.spawned.length, 0);
    await supervisor.stop();
  });

  it('prepares a part before each of its starts', async () => {
    const { supervisor, processes, timers } = bench();
    let prepared = 0;
    await supervisor.start([fakePart('a', { prepare: async () => void (prepared += 1) })]);
    processes.child('a').die();
    await timers.advance(250);
    assert.equal(prepared, 2);
    await supervisor.stop();
  });

  it('stops the stages in reverse order, each before the one that it needs', async () => {
    const { supervisor, processes } = bench();
    await supervisor.start([fakePart('database', { stopSignal: 'SIGINT' })]);
    await supervisor.start([fakePart('worker'), fakePart('api')]);
    await supervisor.start([fakePart('fleet')]);
    await supervisor.stop();
    assert.deepEqual(processes.log, ['fleet SIGTERM', 'worker SIGTERM', 'api SIGTERM', 'database SIGINT']);
  });

  it('kills a part that does not end in its time, then goes on with the stage before', async () => {
    const { supervisor, processes, timers } = bench(fakeProcesses(['api']));
    await supervisor.start([fakePart('database')]);
    await supervisor.start([fakePart('api', { stopWithinMs: 2_000 })]);
    const stopped = supervisor.stop();
    await timers.advance(1_999);
    assert.deepEqual(processes.log, ['api SIGTERM']);
    await timers.advance(1);
    await stopped;
    assert.deepEqual(processes.log, ['api SIGTERM', 'api SIGKILL', 'database SIGTERM']);
  });

  it('ends everything within its limit, however long the parts would take', async () => {
    const names = ['a', 'b', 'c', 'd', 'e'];
    const { supervisor, processes, timers } = bench(fakeProcesses(names));
    for (const name of names) await supervisor.start([fakePart(name, { stopWithinMs: 5_000 })]);
    let stopped = false;
    void supervisor.stop().then(() => (stopped = true));
    await timers.advance(stopLimitMs);
    assert.equal(stopped, true);
    assert.deepEqual(
      processes.log.filter((line) => line.endsWith('SIGKILL')).toSorted(),
      names.map((name) => `${name} SIGKILL`),
    );
    assert.ok(stopLimitMs < 10_000);
  });

  it('does not start a part again that ends while everything stops, nor one that waits for its next start', async () => {
    const { supervisor, processes, timers } = bench();
    await supervisor.start([fakePart('a'), fakePart('b')]);
    processes.child('a').die();
    await timers.settle();
    await supervisor.stop();
    await timers.advance(60_000);
    assert.equal(processes.spawned.length, 2);
    assert.deepEqual(processes.log, ['b SIGTERM']);
  });

  it('ends a process whose start was under way when the stop came', async () => {
    const { supervisor, processes, timers } = bench();
    const gate = Promise.withResolvers<void>();
    const started = supervisor.start([fakePart('a', { prepare: () => gate.promise })]);
    started.catch(() => {});
    const stopped = supervisor.stop();
    gate.resolve();
    await timers.settle();
    await stopped;
    await assert.rejects(started);
    assert.equal(processes.spawned.length, 0);
    await assert.rejects(supervisor.start([fakePart('b')]));
  });
});
