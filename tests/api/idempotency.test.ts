// Idempotency-Key: one effect and one answer, whatever is repeated.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TrustError } from '#contracts/problems.ts';
import { fakeApi, problemOf } from '#tests/fakes/api-over-fakes.ts';
import { approvedDevice } from '#tests/fakes/fake-registry.ts';

async function prepared(...[t, options]: Parameters<typeof fakeApi>) {
  const api = await fakeApi(t, options);
  for (const id of ['device-1', 'device-2']) api.registry.addDevice(approvedDevice(id));
  const headers = await api.as('security');
  const post = (path: string, key: string, payload: object = {}, more: object = {}) =>
    api.app.inject({
      method: 'POST',
      url: `/api/devices/${path}`,
      headers: { ...headers, 'idempotency-key': key, ...more },
      payload,
    });
  return { ...api, headers, post };
}

describe('Idempotency-Key', () => {
  it('gives the first answer again, and nothing is done twice', async (t) => {
    const { post, registry } = await prepared(t);
    const first = await post('device-1/reset', 'k', { reason: 'x' });
    const second = await post('device-1/reset', 'k', { reason: 'x' });
    assert.deepEqual(
      [second.statusCode, second.body, second.headers['content-type'], second.headers['idempotency-replayed']],
      [200, first.body, first.headers['content-type'], 'true'],
    );
    assert.equal(registry.asked.length, 1);
  });

  it('gives a refusal again too, as a problem', async (t) => {
    const { post, registry } = await prepared(t);
    registry.failWith(new TrustError('device.already_retired'));
    const first = await post('device-1/retire', 'k');
    const second = await post('device-1/retire', 'k');
    assert.equal(problemOf(second).code, 'device.already_retired');
    assert.equal(second.body, first.body);
    assert.equal(registry.asked.length, 1);
  });

  it('refuses another body, or another object, under the same key', async (t) => {
    const { post, registry } = await prepared(t);
    await post('device-1/reset', 'k', { reason: 'x' });
    assert.equal(problemOf(await post('device-1/reset', 'k', { reason: 'y' })).code, 'request.idempotency_mismatch');
    assert.equal(problemOf(await post('device-2/reset', 'k', { reason: 'x' })).code, 'request.idempotency_mismatch');
    assert.equal(registry.asked.length, 1);
  });

  it('is for one person, route and project', async (t) => {
    const { post, as, registry } = await prepared(t);
    registry.addDevice(approvedDevice('device-1', { project_id: 'other' }));
    await post('device-1/reset', 'k');
    assert.equal((await post('device-1/retire', 'k')).headers['idempotency-replayed'], undefined);
    assert.equal((await post('device-1/reset', 'k', {}, await as('admin'))).headers['idempotency-replayed'], undefined);
    const elsewhere = await post('device-1/reset', 'k', {}, { 'x-sentinel-project': 'other' });
    assert.deepEqual([elsewhere.statusCode, elsewhere.headers['idempotency-replayed']], [200, undefined]);
    assert.equal(registry.asked.length, 4);
  });

  it('says that the first request still runs', async (t) => {
    const begun = Promise.withResolvers<void>();
    const finish = Promise.withResolvers<void>();
    const { post } = await prepared(t, {
      change: (deps) => ({
        ...deps,
        devices: {
          ...deps.devices,
          actors: {
            ...deps.devices.actors,
            reset: async () => {
              begun.resolve();
              await finish.promise;
              return { state: 'done', revision: 1 };
            },
          },
        },
      }),
    });
    // Begun now: inject by itself waits until somebody waits for it.
    const first = post('device-1/reset', 'k').then((answer) => answer);
    await begun.promise;
    const second = await post('device-1/reset', 'k');
    assert.equal(problemOf(second).code, 'request.in_progress');
    assert.equal(second.headers['retry-after'], '1');
    finish.resolve();
    assert.equal((await first).statusCode, 200);
  });

  it('keeps no answer that may be another one later', async (t) => {
    const { post, registry } = await prepared(t);
    registry.failWith(new TrustError('service.unavailable'));
    assert.equal((await post('device-1/reset', 'k')).statusCode, 503);
    registry.failWith(null);
    assert.equal((await post('device-1/reset', 'k')).statusCode, 200);
  });

  it('of no use is refused, and without the store nothing is done', async (t) => {
    const { post, registry } = await prepared(t, {
      change: (deps) => ({
        ...deps,
        idempotency: { ...deps.idempotency, start: () => Promise.reject(new TrustError('service.unavailable')) },
      }),
    });
    for (const key of ['', 'a b', 'ü', 'x'.repeat(256)]) {
      assert.equal(problemOf(await post('device-1/reset', key)).code, 'request.invalid', key);
    }
    assert.equal(problemOf(await post('device-1/reset', 'k')).code, 'service.unavailable');
    assert.deepEqual(registry.asked, []);
  });

  it('is the business of whoever signed in: a sign-in itself is never answered from memory', async (t) => {
    const { app, idempotency } = await fakeApi(t);
    const login = { method: 'POST', url: '/api/admin/login', headers: { 'idempotency-key': 'k' } } as const;
    await app.inject({ ...login, payload: { username: 'viewer', password: 'wrong' } });
    assert.equal(idempotency.kept.size, 0);
  });
});
