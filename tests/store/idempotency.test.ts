// Idempotency keys on a real database: one request works, the others wait or get its answer, and a key is never stuck.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, it } from 'node:test';
import {
  abandonIdempotent,
  answerIdempotent,
  startIdempotent,
  type IdempotencyScope,
  type IdempotencyStart,
} from '#store/idempotency.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { after, digest } from './builders.ts';
import { addProject, type StoreTest, storeTest } from './database.ts';

describe('an idempotency key', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  before(async () => {
    database = await storeTest(cleanup);
    await addProject(database, 'other');
  });

  const scopeOf = (key: string, more: Partial<IdempotencyScope> = {}): IdempotencyScope => ({
    project: 'default',
    principal: 'ann',
    route: '/r',
    key,
    ...more,
  });
  const start = (key: string, body = 'body', seconds = 0, more: Partial<IdempotencyScope> = {}) =>
    startIdempotent(database.api, scopeOf(key, more), digest(body), new Date(after(seconds)));
  async function claimOf(starting: Promise<IdempotencyStart>): Promise<string> {
    const started = await starting;
    assert.ok(started.kind === 'started');
    return started.claim;
  }
  const answer = (key: string, claim: string, body = '{}') =>
    answerIdempotent(database.api, scopeOf(key), claim, { status: 200, body });
  const kinds = (all: readonly IdempotencyStart[]) => all.map(({ kind }) => String(kind)).toSorted();

  it('is taken by one of many, and gives the answer to all others', async () => {
    for (let round = 0; round < 10; round++) {
      const key = `race-${round}`;
      const all = await Promise.all(Array.from({ length: 8 }, () => start(key)));
      assert.deepEqual(kinds(all), [...Array<string>(7).fill('running'), 'started']);
      const started = all.find((one) => one.kind === 'started');
      assert.ok(started?.kind === 'started');
      await answer(key, started.claim, 'é "☃"');
      const later = await Promise.all([start(key), start(key, 'body', 60), start(key, 'body', 3600)]);
      for (const one of later) assert.deepEqual(one, { kind: 'answered', status: 200, body: 'é "☃"' });
    }
  });

  it('is for one request: another with it, at once or later, is told so', async () => {
    const all = await Promise.all(['a', 'b', 'c', 'd'].map((body) => start('bodies', body)));
    assert.deepEqual(kinds(all), ['mismatch', 'mismatch', 'mismatch', 'started']);
    const claim = await claimOf(start('one'));
    assert.deepEqual(await start('one', 'another body'), { kind: 'mismatch' });
    await answer('one', claim);
    assert.deepEqual(await start('one', 'another body'), { kind: 'mismatch' });
  });

  it('belongs to one project, person and route', async () => {
    await claimOf(start('shared'));
    for (const more of [{ project: 'other' }, { principal: 'bob' }, { route: '/s' }])
      assert.equal((await start('shared', 'another body', 0, more)).kind, 'started', JSON.stringify(more));
    assert.equal((await start('shared')).kind, 'running');
  });

  it('is given up by a request that never answered, to one of the same request', async () => {
    const first = await claimOf(start('lapsed'));
    assert.equal((await start('lapsed', 'body', 59)).kind, 'running');
    assert.equal((await start('lapsed', 'another body', 61)).kind, 'mismatch');
    const all = await Promise.all(Array.from({ length: 8 }, () => start('lapsed', 'body', 61)));
    assert.deepEqual(kinds(all), [...Array<string>(7).fill('running'), 'started']);
    const second = all.find((one) => one.kind === 'started');
    assert.ok(second?.kind === 'started');
    await answer('lapsed', first, 'late');
    await abandonIdempotent(database.api, scopeOf('lapsed'), first);
    assert.equal((await start('lapsed', 'body', 62)).kind, 'running', 'who lost the key neither answers nor frees it');
    await answer('lapsed', second.claim, 'in time');
    assert.deepEqual(await start('lapsed', 'body', 200), { kind: 'answered', status: 200, body: 'in time' });
  });

  it('is free when its request gives it up, and not when that has answered', async () => {
    const claim = await claimOf(start('abandoned'));
    await abandonIdempotent(database.api, scopeOf('abandoned'), randomUUID());
    assert.equal((await start('abandoned')).kind, 'running');
    await abandonIdempotent(database.api, scopeOf('abandoned'), claim);
    const second = await claimOf(start('abandoned', 'another body'));
    await answer('abandoned', second);
    await abandonIdempotent(database.api, scopeOf('abandoned'), second);
    assert.equal((await start('abandoned', 'another body')).kind, 'answered');
  });

  it('is free again after a day, for any request, and forgets the old answer', async () => {
    await answer('day', await claimOf(start('day')), 'old');
    assert.equal((await start('day', 'body', 86_399)).kind, 'answered');
    const claim = await claimOf(start('day', 'another body', 86_400));
    assert.equal((await start('day', 'another body', 86_401)).kind, 'running');
    await answer('day', claim, 'new');
    assert.deepEqual(await start('day', 'another body', 86_500), { kind: 'answered', status: 200, body: 'new' });
  });
});
