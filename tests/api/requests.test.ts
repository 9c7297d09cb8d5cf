// What every request passes before a route of ours sees it, and what every answer carries.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { TrustError } from '#contracts/problems.ts';
import { fakeApi, problemOf } from '#tests/fakes/api-over-fakes.ts';

const login = { method: 'POST', url: '/api/admin/login' } as const;
const json = { 'content-type': 'application/json' };

interface OpenApi {
  readonly paths: Record<
    string,
    Record<string, { readonly parameters?: readonly { name: string; in: string }[]; readonly requestBody?: unknown }>
  >;
}

describe('a request', () => {
  it('that nothing answers is a problem with the id of the request', async (t) => {
    const { app } = await fakeApi(t);
    for (const url of ['/api/nothing', '/api/admin/login', '/api/health/live/x', '/api//health/live']) {
      const answer = await app.inject({ method: 'GET', url });
      assert.equal(problemOf(answer).code, 'resource.not_found', url);
      const { request_id, type } = answer.json<{ request_id: string; type: string }>();
      assert.match(request_id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      assert.equal(answer.headers['x-request-id'], request_id);
      assert.equal(type, 'urn:sentinel:problem:resource.not_found');
    }
  });

  it('cannot choose its own id', async (t) => {
    const { app } = await fakeApi(t);
    const answer = await app.inject({
      url: '/api/health/live',
      headers: { 'request-id': 'mine', 'x-request-id': 'mine' },
    });
    assert.notEqual(answer.headers['x-request-id'], 'mine');
  });

  for (const [what, request, code, field] of [
    ['no body', { headers: json }, 'request.invalid', 'body'],
    ['a body that is no JSON', { headers: json, payload: '{' }, 'request.malformed'],
    [
      'another media type',
      { headers: { 'content-type': 'text/plain' }, payload: '{}' },
      'request.unsupported_media_type',
    ],
    [
      'a form',
      { headers: { 'content-type': 'application/x-www-form-urlencoded' }, payload: 'a=b' },
      'request.unsupported_media_type',
    ],
    [
      'another charset',
      { headers: { 'content-type': 'application/json; charset=utf-16' }, payload: '{}' },
      'request.unsupported_media_type',
    ],
    [
      'a compressed body',
      { headers: { ...json, 'content-encoding': 'gzip' }, payload: '{}' },
      'request.unsupported_media_type',
    ],
    [
      'an unknown field',
      { headers: json, payload: '{"username":"a","password":"b","admin":true}' },
      'request.invalid',
      'admin',
    ],
    ['a field too few', { headers: json, payload: '{"username":"a"}' }, 'request.invalid', 'password'],
    ['a number for a text', { headers: json, payload: '{"username":"a","password":7}' }, 'request.invalid', 'password'],
    ['a list for an object', { headers: json, payload: '[]' }, 'request.invalid', 'body'],
    ['NUL in a text', { headers: json, payload: String.raw`{"username":"a\u0000","password":"b"}` }, 'request.invalid'],
    [
      'a lone surrogate',
      { headers: json, payload: String.raw`{"username":"\ud800","password":"b"}` },
      'request.invalid',
    ],
    ['a poisoned key', { headers: json, payload: '{"username":"a","password":"b","__proto__":{}}' }, 'request.invalid'],
    ['300 KiB', { headers: json, payload: JSON.stringify({ username: 'a'.repeat(300 * 1024) }) }, 'request.too_large'],
  ] as const) {
    it(`with ${what} is refused as ${code}`, async (t) => {
      const { app } = await fakeApi(t);
      const problem = problemOf(await app.inject({ ...login, ...request } as never));
      assert.equal(problem.code, code);
      if (field !== undefined)
        assert.deepEqual(
          problem.errors.map((error) => error.field),
          [field],
        );
    });
  }

  it('with a path that is no text is refused, with all headers', async (t) => {
    const { app } = await fakeApi(t);
    const answer = await app.inject({ url: '/api/%ff' });
    assert.equal(problemOf(answer).code, 'request.invalid');
    assert.equal(answer.headers['x-content-type-options'], 'nosniff');
  });

  it('with NUL in its path, its query or its body is refused, whatever the route: no text of the store can hold it', async (t) => {
    const { app, as } = await fakeApi(t);
    const headers = { ...(await as('admin')), 'sec-fetch-site': 'same-origin' };
    const document = (await app.inject({ url: '/api/openapi.json' })).json<OpenApi>();
    const refused: string[] = [];
    for (const [path, operations] of Object.entries(document.paths)) {
      for (const [method, { parameters = [], requestBody }] of Object.entries(operations)) {
        const ask = async (url: string, payload?: string): Promise<void> => {
          const type = payload === undefined ? {} : json;
          const answer = await app.inject({ method, url, payload, headers: { ...headers, ...type } } as never);
          assert.equal(problemOf(answer).code, 'request.invalid', `${method} ${url} ${payload}`);
          refused.push(`${method} ${path}`);
        };
        const own = path.replaceAll(/\{\w+\}/g, 'device-1');
        for (const { name, in: place } of parameters) {
          if (place === 'path') await ask(path.replace(`{${name}}`, 'a%00b'));
          if (place === 'query') await ask(`${own}?${name}=a%00b`);
        }
        if (requestBody !== undefined && path !== '/api/heartbeat')
          for (const text of ['{"a":"\\u0000"}', '{"\\u0000":1}']) await ask(own, text);
      }
    }
    assert.ok(refused.length > 40, `only ${refused.length} were asked`);
  });

  it('with a query that is not understood is refused, by field', async (t) => {
    const { app, as } = await fakeApi(t);
    const headers = await as('viewer');
    for (const [query, field] of [
      ['limit=0', 'limit'],
      ['limit=501', 'limit'],
      ['limit=1e2', 'limit'],
      ['limit=5.5', 'limit'],
      ['limit=5&limit=6', 'limit'],
      ['page=2', 'page'],
      ['cursor=a%00b', 'querystring'],
    ] as const) {
      const problem = problemOf(await app.inject({ url: `/api/admin/sessions?${query}`, headers }));
      assert.equal(problem.code, 'request.invalid', query);
      assert.deepEqual(
        problem.errors.map((error) => error.field),
        [field],
        query,
      );
    }
  });

  it('with a cursor of another list, or made by hand, is refused', async (t) => {
    const { app, as } = await fakeApi(t);
    const headers = await as('viewer');
    await as('viewer');
    const { next_cursor } = (await app.inject({ url: '/api/admin/sessions?limit=1', headers })).json<{
      next_cursor: string;
    }>();
    const changed = next_cursor.replace(/^./, (first) => (first === 'e' ? 'f' : 'e'));
    for (const [cursor, person] of [
      [changed, headers],
      ['x', headers],
      ['', headers],
      [next_cursor, await as('admin')],
    ] as const) {
      const answer = await app.inject({ url: `/api/admin/sessions?cursor=${cursor}`, headers: person });
      assert.equal(problemOf(answer).code, 'request.cursor_invalid');
    }
  });

  it('that fails inside says nothing of the inside', async (t) => {
    const { app, log } = await fakeApi(t, {
      change: (deps) => ({
        ...deps,
        sessions: { ...deps.sessions, signIn: () => Promise.reject(new Error('connect to 10.0.0.7 as owner')) },
      }),
    });
    const answer = await app.inject({ ...login, payload: { username: 'a', password: 'b' } });
    assert.equal(problemOf(answer).code, 'internal.error');
    assert.doesNotMatch(answer.body, /10\.0\.0\.7/);
    assert.match(log.text(), /10\.0\.0\.7/);
  });
});

describe('an answer', () => {
  it('carries the security headers, whatever it says (SS-07)', async (t) => {
    const { app } = await fakeApi(t);
    for (const request of [
      { url: '/api/health/live' },
      { url: '/nothing' },
      { url: '/api/admin/me' },
      { ...login, payload: '{' },
    ]) {
      const { headers } = await app.inject({ ...request, headers: { ...json, host: 'sentinel.example' } });
      assert.equal(headers['x-content-type-options'], 'nosniff');
      assert.equal(headers['x-frame-options'], 'DENY');
      assert.equal(headers['referrer-policy'], 'strict-origin-when-cross-origin');
      assert.equal(headers['permissions-policy'], 'camera=(self), microphone=(self), geolocation=(self)');
      assert.match(String(headers['content-security-policy']), /default-src 'none'.*frame-ancestors 'none'/);
      assert.match(String(headers['strict-transport-security']), /max-age=31536000/);
      if (request.url.startsWith('/api')) assert.equal(headers['cache-control'], 'no-store');
    }
  });

  it('does not make browsers remember HTTPS for every port of a developer’s machine', async (t) => {
    const { app } = await fakeApi(t);
    for (const host of ['localhost:8443', '127.0.0.1:8443', '[::1]:8443', 'sentinel.localhost']) {
      const { headers } = await app.inject({ url: '/api/health/live', headers: { host } });
      assert.equal(headers['strict-transport-security'], undefined, host);
    }
  });

  it('is 503 with Retry-After when the server has been overloaded for a while, and not after a pause (FT-11)', async (t) => {
    const { app, clock } = await fakeApi(t, { change: (deps) => ({ ...deps, maximumEventLoopDelayMs: 0.000_001 }) });
    // The delay is measured once a second, and a pause that is soon over sends nobody away.
    const until = Date.now() + 10_000;
    const ask = () => app.inject({ url: '/api/admin/me' });
    let answer = await ask();
    while (answer.statusCode !== 503 && Date.now() < until) {
      await setTimeout(20);
      clock.advance(1_000);
      answer = await ask();
    }
    assert.equal(problemOf(answer).code, 'service.overloaded');
    assert.equal(answer.headers['retry-after'], '5');
    assert.equal((await app.inject({ url: '/api/health/live' })).statusCode, 200);
  });
});

describe('health', () => {
  it('answers that the process is alive without asking anything (HM-01)', async (t) => {
    const { app } = await fakeApi(t, {
      change: (deps) => ({
        ...deps,
        health: { ...deps.health, checks: { postgres: () => Promise.reject(new Error('down')) } },
      }),
    });
    const answer = await app.inject({ url: '/api/health/live' });
    assert.equal(answer.statusCode, 200);
    assert.deepEqual(answer.json(), { status: 'ok', version: '0.0.0' });
  });

  it('is as bad as its worst check, and a check that hangs has failed', async (t) => {
    const ok = async () => ({ status: 'ok', detail: 'fine' }) as const;
    const degraded = async () => ({ status: 'degraded', detail: 'away' }) as const;
    const cases = [
      [{ a: ok }, 200, 'ok'],
      [{ a: ok, b: degraded }, 200, 'degraded'],
      [{ a: degraded, b: () => Promise.reject(new Error('secret')) }, 503, 'failed'],
      [{ a: ok, b: () => new Promise<never>(() => {}) }, 503, 'failed'],
    ] as const;
    for (const [checks, code, status] of cases) {
      const { app } = await fakeApi(t, {
        change: (deps) => ({ ...deps, health: { ...deps.health, checks, checkTimeoutMs: 50 } }),
      });
      const answer = await app.inject({ url: '/api/health/ready' });
      assert.equal(answer.statusCode, code);
      assert.equal(answer.json<{ status: string }>().status, status);
      assert.doesNotMatch(answer.body, /secret/);
    }
  });

  it('says why a part is not well to who may know, and to nobody else (HM-02)', async (t) => {
    const { app, as } = await fakeApi(t, {
      change: (deps) => ({
        ...deps,
        health: {
          ...deps.health,
          sealerError: async () => 'EACCES /checkpoints',
          checkTimeoutMs: 50,
          checks: {
            database: () => Promise.reject(new TrustError('service.unavailable', { cause: { code: 'ECONNREFUSED' } })),
            sealing: async () => ({ status: 'degraded', detail: '3 s behind' }),
            temporal: async () => ({ status: 'ok', detail: 'answers' }),
            worker: () => Promise.reject(new Error('a statement with canary')),
          },
        },
      }),
    });
    const answer = await app.inject({ url: '/api/health/reasons', headers: await as('operator') });
    assert.deepEqual(answer.json(), {
      reasons: {
        database: 'service.unavailable: A part that this needs cannot be reached (ECONNREFUSED)',
        sealing: 'EACCES /checkpoints',
        worker: 'the reason is in the log of the API',
      },
    });
    assert.equal((await app.inject({ url: '/api/health/reasons', headers: await as('viewer') })).statusCode, 403);
    assert.doesNotMatch((await app.inject({ url: '/api/health/ready' })).body, /EACCES|ECONNREFUSED/);
  });

  it('is not ready from the moment that shutdown begins', async (t) => {
    const { app } = await fakeApi(t, {
      change: (deps) => ({ ...deps, health: { ...deps.health, accepting: () => false } }),
    });
    assert.equal((await app.inject({ url: '/api/health/ready' })).statusCode, 503);
  });
});
