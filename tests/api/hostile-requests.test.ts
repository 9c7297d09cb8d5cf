// Every route, asked for what nobody would ask: whatever comes, the answer is one of ours, and never a fault of the server.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import type { InjectOptions } from 'fastify';
import { fakeApi } from '#tests/fakes/api-over-fakes.ts';
import { approvedDevice, openApproval, pendingDevice, reviewId } from '#tests/fakes/fake-registry.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { hostileTexts } from '#tests/harness/fuzz.ts';
import { matrix } from '#tests/harness/routes.ts';

const seed = 20_261_126;
const runs = 40;
const pages = new Set(['*', '/docs/', '/docs/*']);

const text = fc.oneof(
  fc.constantFrom(...hostileTexts.map((hostile) => hostile.slice(0, 4000))),
  fc.string({ unit: 'binary', maxLength: 40 }),
);
/** What Node itself would not send is not worth a run. */
const headerText = fc.oneof(
  text.map((value) => value.replaceAll(/[^\x20-\x7e\x80-\xff]/g, '').slice(0, 2000)),
  text.map((value) => `Bearer ${Buffer.from(value).toString('base64url')}.e30.${'A'.repeat(43)}`),
);
const names = ['limit', 'cursor', 'search', 'kind', 'state', 'order', 'subject_id', 'category', 'full', 'of', 'since'];
const headerNames = [
  'authorization',
  'cookie',
  'content-type',
  'accept',
  'idempotency-key',
  'x-sentinel-project',
  'x-ssl-client-cert',
  'x-sentinel-proxy-secret',
  'x-namespace',
  'last-event-id',
  'x-forwarded-for',
  'sec-fetch-site',
  'origin',
  'if-none-match',
  'range',
];
const fields = [
  'device_id',
  'decision',
  'digest',
  'reason',
  'username',
  'password',
  'totp',
  'payloads',
  'query',
  'tags',
];

const requests = fc.record({
  ids: fc.array(fc.oneof(text, fc.constantFrom('device-1', 'pending-1', reviewId)), { minLength: 2, maxLength: 2 }),
  query: fc.array(fc.tuple(fc.oneof(fc.constantFrom(...names), text), text), { maxLength: 4 }),
  headers: fc.dictionary(fc.constantFrom(...headerNames), headerText, { maxKeys: 4 }),
  body: fc.oneof(
    fc.constant(undefined),
    text,
    fc.json({ maxDepth: 4 }),
    fc
      .dictionary(fc.oneof(fc.constantFrom(...fields), text), fc.jsonValue({ maxDepth: 3 }))
      .map((body) => JSON.stringify(body)),
  ),
});

/** Temporal's UI, which answers. */
const upstream = createServer((request, response) => {
  request.resume();
  response.end('ui');
});

describe('whatever is sent', () => {
  const cleanup = cleanupAfterAll();
  let api: Awaited<ReturnType<typeof fakeApi>>;
  before(async () => {
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
    api = await fakeApi(cleanup, {
      change: (deps) => ({
        ...deps,
        // A stream that has begun is answer enough.
        events: { ...deps.events, stopping: AbortSignal.abort() },
        temporalUi: {
          ...deps.temporalUi,
          upstream: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`,
        },
      }),
    });
  });
  after(() => {
    upstream.closeAllConnections();
    upstream.close();
  });

  for (const route of Object.keys(matrix)) {
    const [method = '', pattern = ''] = route.split(' ');
    it(`${route} answers with a problem of ours or as it should (SA-22, SA-25)`, async () => {
      const { app, as, registry } = api;
      registry.addDevice(approvedDevice('device-1'));
      registry.addDevice(pendingDevice('pending-1'));
      registry.addApproval(openApproval());
      const admin = await as('admin');
      await fc.assert(
        fc.asyncProperty(requests, fc.boolean(), async ({ ids, query, headers, body }, signedIn) => {
          let used = 0;
          const path = pattern.replaceAll(/:\w+|\*/g, () => encodeURIComponent((ids[used++] ?? '').toWellFormed()));
          const search = query
            .map((pair) => pair.map((part) => encodeURIComponent(part.toWellFormed())).join('='))
            .join('&');
          const answer = await app.inject({
            method: method as NonNullable<InjectOptions['method']>,
            url: `${path.startsWith('/') ? '' : '/'}${path}${search === '' ? '' : `?${search}`}`,
            headers: {
              'content-type': 'application/json',
              'sec-fetch-site': 'same-origin',
              ...headers,
              ...(signedIn ? admin : {}),
            },
            ...(body === undefined || method === 'GET' ? {} : { payload: body }),
          });
          assert.notEqual(answer.statusCode, 500, answer.body.slice(0, 300));
          if (answer.statusCode < 400) return;
          // Pages that were not built say so in plain words.
          if (pages.has(pattern) && answer.statusCode === 503) return;
          assert.equal(answer.headers['content-type'], 'application/problem+json; charset=utf-8');
          const { code } = answer.json<{ code: string }>();
          assert.match(code, /^[a-z_]+\.[a-z_]+$/);
        }),
        { seed, numRuns: runs },
      );
      assert.equal(({} as { polluted?: unknown }).polluted, undefined);
    });
  }
});
