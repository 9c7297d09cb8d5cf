// Saved filters: each person's own, replaced by name, and never more than the limit.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { deleteSavedFilter, listSavedFilters, saveFilter, savedFiltersLimit } from '#store/saved-filter.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { after, noon } from './builders.ts';
import { addProject, type StoreTest, storeTest } from './database.ts';

describe('saved filters', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  before(async () => {
    database = await storeTest(cleanup);
    await addProject(database, 'other');
  });
  const save = (username: string, name: string, query = {}, saved_at = noon) =>
    saveFilter(database.api, 'default', username, { name, query, saved_at });
  const names = async (username: string, project = 'default') =>
    (await listSavedFilters(database.api, project, username)).map(({ name }) => name);

  it('are kept by name for the person who saved them, and for nobody else', async () => {
    await save('ann', 'Stale kiosks', { liveness: 'stale', tag: 'role:kiosk' });
    await save('ann', 'Due', { rotation: 'required' });
    await save('ann', 'Stale kiosks', { liveness: 'stale' }, after(1));
    await save('bob', 'Due', {});
    assert.deepEqual(await listSavedFilters(database.api, 'default', 'ann'), [
      { name: 'Due', query: { rotation: 'required' }, saved_at: noon },
      { name: 'Stale kiosks', query: { liveness: 'stale' }, saved_at: after(1) },
    ]);
    assert.deepEqual(await names('bob'), ['Due']);
    assert.deepEqual(await names('ann', 'other'), []);
    assert.equal(await deleteSavedFilter(database.api, 'default', 'bob', 'Stale kiosks'), false);
    assert.equal(await deleteSavedFilter(database.api, 'default', 'ann', 'Stale kiosks'), true);
    assert.deepEqual(await names('ann'), ['Due']);
  });

  it('are not more than the limit, also when many come at once', async () => {
    const outcomes = await Promise.allSettled(
      Array.from({ length: savedFiltersLimit + 5 }, (_, index) => save('eve', `filter ${index}`)),
    );
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
    assert.deepEqual(
      new Set(refused.map(({ reason }) => (reason as { code: string }).code)),
      new Set(['filter.too_many']),
    );
    assert.equal(refused.length, 5);
    const [kept = ''] = await names('eve');
    await save('eve', kept, { liveness: 'stale' });
    assert.equal((await names('eve')).length, savedFiltersLimit);
  });

  it('are small', async () => {
    await assert.rejects(save('ann', 'x'.repeat(65)), { code: '23514' });
    const random = Array.from({ length: 400 }, (_, index) => `${index}-${Math.sin(index)}`);
    await assert.rejects(save('ann', 'large', { random }), { code: '23514' });
  });
});
