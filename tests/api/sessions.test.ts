// Whose sessions are shown to whom.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SessionList } from '#contracts/http/admin.ts';
import { fakeApi, problemOf } from '#tests/fakes/api-over-fakes.ts';

describe('GET /api/admin/sessions', () => {
  it('shows everybody their own, and those of all to who may end them', async (t) => {
    const { app, as } = await fakeApi(t);
    const [viewer, security] = [await as('viewer'), await as('security')];
    const names = async (url: string, headers: object) =>
      (await app.inject({ url, headers: { ...headers } })).json<SessionList>().items.map(({ username }) => username);
    assert.deepEqual(await names('/api/admin/sessions', viewer), ['viewer']);
    assert.deepEqual(await names('/api/admin/sessions?of=me', security), ['security']);
    assert.deepEqual((await names('/api/admin/sessions?of=everybody', security)).toSorted(), ['security', 'viewer']);
    const refusal = await app.inject({ url: '/api/admin/sessions?of=everybody', headers: viewer });
    assert.equal(problemOf(refusal).code, 'auth.forbidden');
  });
});
