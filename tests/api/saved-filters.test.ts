// Saved filters over fakes: each person's own, and nothing but filters under names that can be read.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SavedFilterList } from '#contracts/http/saved-filters.ts';
import { fakeApi, problemOf } from '#tests/fakes/api-over-fakes.ts';

describe('/api/saved-filters', () => {
  it('keeps, replaces and forgets the filters of one person, whom nobody else sees', async (t) => {
    const { app, as } = await fakeApi(t);
    const [viewer, admin] = [await as('viewer'), await as('admin')];
    const put = (query: object) =>
      app.inject({ method: 'PUT', url: '/api/saved-filters/Gone%20quiet', headers: viewer, payload: { query } });
    assert.equal((await put({ liveness: 'offline' })).statusCode, 200);
    assert.equal((await put({ liveness: 'stale', pending_review: true })).statusCode, 200);
    const list = async (headers: object) =>
      (await app.inject({ url: '/api/saved-filters', headers: { ...headers } })).json<SavedFilterList>().items;
    assert.deepEqual(await list(viewer), [
      {
        name: 'Gone quiet',
        query: { liveness: 'stale', pending_review: true },
        saved_at: '2026-11-22T12:00:00.000Z',
      },
    ]);
    assert.deepEqual(await list(admin), []);
    const url = '/api/saved-filters/Gone%20quiet';
    assert.equal((await app.inject({ method: 'DELETE', url, headers: admin })).statusCode, 404);
    assert.equal((await app.inject({ method: 'DELETE', url, headers: viewer })).statusCode, 204);
    assert.deepEqual(await list(viewer), []);
  });

  for (const [name, query] of [
    [`${'x'.repeat(65)}`, {}],
    ['%20spaced', {}],
    ['line%0Abreak', {}],
    ['ok', { limit: 5 }],
    ['ok', { cursor: 'x' }],
    ['ok', { liveness: 'asleep' }],
    ['ok', { search: 'x'.repeat(65) }],
  ] as const) {
    it(`refuses ${name.slice(0, 20)} ${JSON.stringify(query).slice(0, 30)}`, async (t) => {
      const { app, as } = await fakeApi(t);
      const headers = await as('viewer');
      const answer = await app.inject({
        method: 'PUT',
        url: `/api/saved-filters/${name}`,
        headers,
        payload: { query },
      });
      assert.equal(problemOf(answer).code, 'request.invalid');
    });
  }
});
