// What is kept by its bytes: only these bytes, only what was read without a fault, and only so many.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createKept } from '#protocols/kept.ts';

it('reads the same bytes once, and others again', () => {
  const kept = createKept<object>(2);
  const first = kept.get('a', () => ({}));
  assert.equal(
    kept.get('a', () => assert.fail('read again')),
    first,
  );
  assert.notEqual(
    kept.get('b', () => ({})),
    first,
  );
});

it('forgets those that were not used for longest', () => {
  const kept = createKept<string>(2);
  const read = (name: string): string => kept.get(name, () => `new ${name}`);
  read('a');
  read('b');
  kept.get('a', () => assert.fail('read again'));
  read('c');
  assert.equal(
    kept.get('a', () => 'again'),
    'new a',
  );
  assert.equal(
    kept.get('b', () => 'again'),
    'again',
  );
});

it('keeps no failure', () => {
  const kept = createKept<string>(2);
  const fails = (): string => {
    throw new RangeError('bad');
  };
  assert.throws(() => kept.get('a', fails), RangeError);
  assert.equal(
    kept.get('a', () => 'good'),
    'good',
  );
});

it('does not keep the bytes themselves, of which a device may send many and others each time (SA-21)', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const kept = createKept<number>(1_000);
  collect();
  const before = process.memoryUsage().heapUsed;
  for (let index = 0; index < 200; index += 1) kept.get(Buffer.alloc(500_000, index).toString('latin1'), () => index);
  collect();
  assert.ok(process.memoryUsage().heapUsed - before < 20_000_000);
  assert.equal(
    kept.get(Buffer.alloc(500_000, 7).toString('latin1'), () => assert.fail('read again')),
    7,
  );
});
