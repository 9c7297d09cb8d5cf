import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { percentile, spread } from '#bench/percentile.ts';
import { cpuSecondsOf, megabytesOf, usageOf, withDescendants } from '#bench/process-groups.ts';

describe('figures of a bench', () => {
  test('are values that were measured, by nearest rank', () => {
    const values = [5, 1, 4, 2, 3];
    assert.deepEqual(
      [0, 0.2, 0.21, 0.5, 0.99, 1].map((part) => percentile(values, part)),
      [1, 1, 2, 3, 5, 5],
    );
    assert.deepEqual(values, [5, 1, 4, 2, 3], 'the sample stays as it was');
    const hundred = Array.from({ length: 100 }, (_, index) => index + 1);
    assert.deepEqual(spread(hundred), { p50: 50, p99: 99 });
  });

  test('of nothing are no figures', () => {
    assert.ok(Number.isNaN(percentile([], 0.5)));
  });

  test('of a process count its children, also those of children, and nobody else', () => {
    const parents = new Map([
      [10, 1],
      [11, 10],
      [12, 11],
      [20, 1],
      [21, 20],
    ]);
    assert.deepEqual(withDescendants(10, parents), [10, 11, 12]);
    assert.deepEqual(withDescendants(99, parents), []);
  });

  test('read processor time behind a name with parentheses, and count children that have ended', () => {
    const stat = `7 (a) (b c) S 1 7 7 0 -1 0 0 0 0 0 150 50 200 100 20 0 1 0 1`;
    assert.equal(cpuSecondsOf(stat), 5);
    assert.equal(cpuSecondsOf(''), 0);
  });

  test('read memory in the unit that the kernel says', () => {
    assert.equal(megabytesOf('VmHWM:\t   1 kB\nVmRSS:\t   1000 kB\n', 'VmRSS'), 1.024);
    assert.equal(megabytesOf('', 'VmRSS'), 0);
  });

  test('of a running process are those of the whole group', { skip: process.platform !== 'linux' }, async () => {
    const child = spawn(process.execPath, ['-e', 'process.stdout.write("up"); setInterval(() => {}, 1e6)']);
    await once(child.stdout, 'data');
    const own = usageOf(child.pid ?? 0);
    assert.ok(own.residentMegabytes > 10 && own.proportionalMegabytes > 1 && own.cpuSeconds >= 0);
    assert.equal(own.processes, 1);
    assert.ok(usageOf(process.pid).processes > 1);
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.equal(usageOf(child.pid ?? 0).processes, 0);
  });
});
