// The live directory in the store: what was written last is asked, in whatever process, and nothing is remembered of before.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { permissionNames, permissions, roles } from '#contracts/permissions.ts';
import { listOperators, standingVoters, syncOperators, type OperatorRow } from '#store/operator.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { after, noon } from './builders.ts';
import { type StoreTest, storeTest } from './database.ts';

describe('the directory in the store', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  before(async () => {
    database = await storeTest(cleanup);
  });
  const person = (username: string, more: Partial<OperatorRow> = {}): OperatorRow => ({
    username,
    roles: ['approver'],
    permissions: [],
    disabled: false,
    ...more,
  });
  const standing = async (...usernames: readonly string[]) =>
    [...(await standingVoters(database.worker, usernames, 'identity.review'))].toSorted();

  it('is what was written last: who is gone, disabled or without the permission stands for nothing (AA-19)', async () => {
    await syncOperators(database.api, [person('ann'), person('bob'), person('cat')], noon);
    assert.deepEqual(await standing('ann', 'bob', 'cat', 'eve'), ['ann', 'bob', 'cat']);
    await syncOperators(database.api, [person('ann', { disabled: true }), person('bob', { roles: ['viewer'] })], noon);
    assert.deepEqual(await standing('ann', 'bob', 'cat', 'eve'), []);
    assert.deepEqual(await listOperators(database.api), [
      person('ann', { disabled: true }),
      person('bob', { roles: ['viewer'] }),
    ]);
    await syncOperators(database.api, [person('ann'), person('cat')], noon);
    assert.deepEqual(await standing('ann', 'bob', 'cat', 'eve'), ['ann', 'cat'], 'and is back as soon as it is named');
    await syncOperators(database.api, [], noon);
    assert.deepEqual(await standing('ann', 'cat'), []);
  });

  it('gives each role exactly its permissions, and a person those given beside it', async () => {
    await syncOperators(
      database.api,
      [
        ...roles.map((role) => person(role, { roles: [role] })),
        person('given', { roles: [], permissions: ['identity.review'] }),
        person('nobody', { roles: [] }),
      ],
      noon,
    );
    const all = [...roles, 'given', 'nobody'];
    for (const permission of permissionNames) {
      const found = await standingVoters(database.worker, all, permission);
      const expected = all.filter(
        (name) =>
          name === 'admin' ||
          (name === 'given' && permission === 'identity.review') ||
          (permissions[permission].roles as readonly string[]).includes(name),
      );
      assert.deepEqual([...found].toSorted(), expected.toSorted(), permission);
    }
    for (const unknown of ['no.such.permission', '', 'identity.review '])
      assert.deepEqual(await standingVoters(database.worker, all, unknown), [], unknown);
  });

  it('keeps the time of what has not changed', async () => {
    const times = async () => {
      const rows = await database.rows<{ username: string; synced_at: Date }>(
        'SELECT * FROM operator ORDER BY username',
      );
      return rows.map(({ username, synced_at }) => [username, synced_at.toISOString()]);
    };
    await syncOperators(database.api, [], noon);
    await syncOperators(database.api, [person('ann'), person('bob')], noon);
    await syncOperators(database.api, [person('ann'), person('bob', { disabled: true })], after(1));
    assert.deepEqual(await times(), [
      ['ann', noon],
      ['bob', after(1)],
    ]);
  });

  it('is that of one process when several write at once', async () => {
    const other = await database.open('sentinel_api');
    const names = Array.from({ length: 20 }, (_, i) => `p${String(i).padStart(2, '0')}`);
    for (let round = 0; round < 30; round++) {
      const disabled = round % 2 === 0;
      const one = names.map((username) => person(username, { disabled }));
      const two = [...names.slice(10), 'q'].map((username) => person(username, { disabled: !disabled })).toReversed();
      await Promise.all([syncOperators(database.api, one, noon), syncOperators(other, two, noon)]);
      const found = await listOperators(database.api);
      assert.deepEqual(found, found.length === one.length ? one : two.toReversed());
    }
  });
});
