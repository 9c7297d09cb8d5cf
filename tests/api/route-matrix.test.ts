// Every route of the running router, and what it answers to nobody, to each role, and about another project's ids.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { roles } from '#contracts/permissions.ts';
import { fakeApi } from '#tests/fakes/api-over-fakes.ts';
import { approvedDevice, openApproval, pendingDevice } from '#tests/fakes/fake-registry.ts';
import { cleanupAfterAll, type Cleanup } from '#tests/harness/cleanup.ts';
import { addressOf, bodies, type Caller, matrix, routesOf, withEffect } from '#tests/harness/routes.ts';

const upstream = createServer((_request, response) => response.end('ui'));

describe('route matrix', () => {
  const cleanup = cleanupAfterAll();
  let ask: Awaited<ReturnType<typeof asking>>;
  before(async () => {
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
    ask = await asking(cleanup);
  });
  after(() => {
    upstream.closeAllConnections();
    upstream.close();
  });

  it('states an answer for every route of the running router, and for no other', async (t) => {
    const { app } = await fakeApi(t);
    await app.ready();
    const all = routesOf(app.printRoutes({ commonPrefix: false }));
    const found = all.filter((route) => !route.startsWith('HEAD '));
    assert.deepEqual(found.toSorted(), Object.keys(matrix).toSorted());
    const headless = found.filter((route) => route.startsWith('GET ') && !all.includes(route.replace('GET', 'HEAD')));
    assert.deepEqual(headless, withEffect);
  });

  it('refuses to start with a route that has an effect, and has it again for its head', async (t) => {
    const { app } = await fakeApi(t);
    const config = { access: 'public', sealing: 'needed' } as const;
    assert.throws(() => app.get('/api/minted', { config }, async () => 'x'), /exposeHeadRoute/);
  });

  it('refuses to start with a route that does not say who may call it', async (t) => {
    const { app } = await fakeApi(t);
    assert.throws(() => app.get('/api/forgotten', async () => 'open'), /does not state its access/);
  });

  for (const [route, row] of Object.entries(matrix)) {
    it(`${route}: ${row.join(' ')} (SS-01, AA-04, SA-06)`, async () => {
      const callers: Caller[] = ['nobody', ...roles];
      for (const [index, caller] of callers.entries()) assert.equal(await ask(route, caller), row[index], caller);
      assert.equal(await ask(route, 'admin', 'other'), row[6], 'admin in another project');
      if (!route.startsWith('GET ')) return;
      const head = withEffect.includes(route) ? 404 : row[0];
      assert.equal(await ask(route.replace('GET', 'HEAD'), 'nobody'), head, 'HEAD');
    });
  }
});

/** Asks an API in which everything that a route names exists, each time anew. */
async function asking(t: Cleanup) {
  const { port } = upstream.address() as AddressInfo;
  const { app, as, registry, sessions, savedFilters } = await fakeApi(t, {
    change: (deps) => ({
      ...deps,
      temporalUi: { ...deps.temporalUi, upstream: `http://127.0.0.1:${port}` },
      // A stream that has begun is answer enough.
      events: { ...deps.events, stopping: AbortSignal.abort() },
    }),
  });

  return async function ask(route: string, caller: Caller, project?: string): Promise<number> {
    registry.addDevice(approvedDevice('device-1'));
    registry.addDevice(pendingDevice('pending-1'));
    registry.addApproval(openApproval());
    // What an earlier route has saved there.
    await savedFilters.delete('other', 'admin', 'mine');
    for (const username of roles)
      await savedFilters.save('default', username, { name: 'mine', query: {}, saved_at: '2026-11-22T12:00:00.000Z' });
    const victim = randomUUID();
    const times = { createdAt: '2026-11-22T12:00:00.000Z', expiresAt: '2026-11-23T12:00:00.000Z' };
    sessions.add({ id: victim, username: 'somebody', ...times });

    const [method = '', pattern = ''] = route.split(' ');
    const url = addressOf(pattern, victim);
    const payload = bodies[`${method} ${pattern}`] ?? (method === 'POST' ? {} : undefined);
    const headers = {
      accept: pattern === '*' ? 'text/html' : 'application/json',
      'sec-fetch-site': 'same-origin',
      ...(project === undefined ? {} : { 'x-sentinel-project': project }),
      ...(caller === 'nobody' ? {} : await as(caller)),
    };
    const answer = await app.inject({
      method: method as 'GET',
      url,
      headers,
      ...(payload === undefined ? {} : { payload }),
    });
    // Console and documentation of these tests have not been built; that they answer at all is the point here.
    return ['*', '/docs/', '/docs/*'].includes(pattern) && answer.statusCode === 503 ? 200 : answer.statusCode;
  };
}
