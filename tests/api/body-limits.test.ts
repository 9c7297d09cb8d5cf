// How large a body may be, on every route of the running router that takes one; a new route is among them by being there.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it, type TestContext } from 'node:test';
import { fakeApi } from '#tests/fakes/api-over-fakes.ts';
import { approvedDevice, openApproval, pendingDevice } from '#tests/fakes/fake-registry.ts';
import { addressOf, bodies, routesOf } from '#tests/harness/routes.ts';

const kib = 1024;
const mib = 1024 * kib;
const ordinary = 256 * kib;
/** Routes that have a cap of their own: this one decodes for a browser what Temporal holds, and sends nothing there. */
const own: Readonly<Record<string, number>> = { 'POST /api/temporal/codec/decode': 8 * mib };

const takesBody = /^(POST|PUT|PATCH|DELETE) /;

/** Valid for its route, and exactly so long: JSON may have spaces around it. */
function bodyOf(route: string, sizeBytes: number): Buffer {
  const text = JSON.stringify(bodies[route] ?? {});
  return Buffer.from(text + ' '.repeat(sizeBytes - text.length));
}

/** As a client that goes on sending: the answer may come before the body has been taken. */
async function exchange(
  url: URL,
  body: Buffer,
  options: { method: string; headers: OutgoingHttpHeaders },
): Promise<{ status: number; code: unknown }> {
  const sent = request(url, { ...options, agent: false });
  const answered = once(sent, 'response') as Promise<[IncomingMessage]>;
  sent.on('error', () => {});
  sent.end(body);
  const [answer] = await answered;
  let text = '';
  for await (const chunk of answer.setEncoding('utf8')) text += chunk as string;
  sent.destroy();
  const isJson = answer.headers['content-type']?.includes('json') === true;
  return { status: answer.statusCode ?? 0, code: isJson ? (JSON.parse(text) as { code?: unknown }).code : null };
}

describe('the size of a body', () => {
  let received = 0;
  const upstream = createServer((request, response) => {
    received += 1;
    request.resume().on('end', () => response.end('ui'));
  });
  before(async () => {
    upstream.listen(0, '127.0.0.1');
    await once(upstream, 'listening');
  });
  after(() => {
    upstream.closeAllConnections();
    upstream.close();
  });

  async function asking(t: TestContext) {
    received = 0;
    const { port } = upstream.address() as AddressInfo;
    const asked: string[] = [];
    const api = await fakeApi(t, {
      change: (deps) => {
        const actors = new Proxy(deps.devices.actors, {
          get(target, name) {
            asked.push(String(name));
            return Reflect.get(target, name) as unknown;
          },
        });
        return {
          ...deps,
          devices: { ...deps.devices, actors },
          approvals: { ...deps.approvals, actors },
          temporalUi: { ...deps.temporalUi, upstream: `http://127.0.0.1:${port}` },
        };
      },
    });
    await api.app.ready();
    api.registry.addDevice(approvedDevice('device-1'));
    api.registry.addDevice(pendingDevice('pending-1'));
    api.registry.addApproval(openApproval());
    const headers = await api.as('admin');
    const routes = routesOf(api.app.printRoutes({ commonPrefix: false })).filter((route) => takesBody.test(route));
    const address = new URL(await api.app.listen({ host: '127.0.0.1', port: 0 }));
    /** @param announced whether the request says how long its body is */
    const send = (route: string, body: Buffer, announced: boolean): Promise<{ status: number; code: unknown }> => {
      const [method = '', pattern = ''] = route.split(' ');
      return exchange(new URL(addressOf(pattern, 'nobody'), address), body, {
        method,
        headers: {
          ...headers,
          'content-type': 'application/json',
          'sec-fetch-site': 'same-origin',
          ...(announced ? { 'content-length': body.length } : { 'transfer-encoding': 'chunked' }),
        },
      });
    };
    return { ...api, routes, send, asked };
  }

  it('is capped on every route, whether it says its length or not: 413, and nothing reaches an actor (FT-10)', async (t) => {
    const { routes, send, asked } = await asking(t);
    assert.ok(routes.length >= 15, routes.join(', '));
    for (const route of routes) {
      const cap = own[route] ?? ordinary;
      for (const size of [cap + 1, 2 * mib, 4 * mib].filter((bytes) => bytes > cap)) {
        for (const announced of [true, false]) {
          const answer = await send(route, bodyOf(route, size), announced);
          assert.deepEqual(answer, { status: 413, code: 'request.too_large' }, `${route}: ${size}, ${announced}`);
        }
      }
    }
    assert.deepEqual(asked, [], 'no actor was asked for anything');
    assert.equal(received, 0, 'nor the UI of Temporal');
  });

  it('may be exactly the cap (FT-10)', async (t) => {
    const { routes, send } = await asking(t);
    for (const route of routes) {
      const { status } = await send(route, bodyOf(route, own[route] ?? ordinary), true);
      assert.notEqual(status, 413, route);
      assert.ok(status < 500, `${route}: ${status}`);
    }
  });
});
