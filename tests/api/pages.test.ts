// What people open in a browser: the console, the API reference, Temporal's UI and its decoder.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { createPayloadCodec } from '#protocols/payload-codec.ts';
import { fakeApi, password, problemOf } from '#tests/fakes/api-over-fakes.ts';

const html = { accept: 'text/html,application/xhtml+xml;q=0.9,*/*;q=0.8' };
const page =
  '<!doctype html><meta name="csp-nonce" content="__CSP_NONCE__"><script type="module" src="/assets/a-1.js"></script>';

async function withConsole(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), 'sentinel-console-'));
  t.after(() => rm(directory, { recursive: true }));
  await mkdir(join(directory, 'assets'));
  await writeFile(join(directory, 'index.html'), page);
  await writeFile(join(directory, 'assets', 'a-1.js'), `// ${'x'.repeat(5000)}\n`);
  await writeFile(join(directory, 'favicon.svg'), '<svg/>');
  return fakeApi(t, { change: (deps) => ({ ...deps, console: { directory } }) });
}

describe('the console', () => {
  it('is served at the site root and at every page of its own (UI-01, UI-02)', async (t) => {
    const { app } = await withConsole(t);
    for (const url of ['/', '/dashboard', '/login?next=%2F', '/devices/a.device.example', '/approvals/x/y']) {
      const answer = await app.inject({ url, headers: html });
      assert.equal(answer.statusCode, 200, url);
      assert.equal(answer.headers['content-type'], 'text/html; charset=utf-8');
      assert.equal(answer.headers['cache-control'], 'no-store');
    }
  });

  it('shows nothing of the fleet to somebody who is not signed in (UI-02)', async (t) => {
    const { app } = await withConsole(t);
    for (const url of ['/api/devices', '/api/approvals', '/api/audit/events', '/api/events/stream', '/api/admin/me']) {
      assert.equal(problemOf(await app.inject({ url, headers: html })).code, 'auth.required', url);
    }
  });

  it('has a nonce of its own in every answer, and a policy that lets nothing else run (SS-07)', async (t) => {
    const { app } = await withConsole(t);
    const nonces = new Set<string>();
    for (let count = 0; count < 3; count += 1) {
      const answer = await app.inject({ url: '/dashboard', headers: html });
      const nonce = /content="([^"]+)"/.exec(answer.body)?.[1] ?? '';
      const policy = String(answer.headers['content-security-policy']);
      assert.match(policy, new RegExp(`script-src 'self' 'nonce-${nonce}'; style-src 'self' 'nonce-${nonce}';`));
      assert.match(policy, /^default-src 'none';.*base-uri 'none';.*frame-ancestors 'none'; object-src 'none'$/);
      assert.doesNotMatch(policy, /unsafe/);
      nonces.add(nonce);
    }
    assert.equal(nonces.size, 3);
  });

  it('has its assets kept for ever, compressed for those who can read that', async (t) => {
    const { app } = await withConsole(t);
    const plain = await app.inject({ url: '/assets/a-1.js' });
    assert.deepEqual(
      [
        plain.headers['content-type'],
        plain.headers['cache-control'],
        plain.headers['content-encoding'],
        plain.headers.vary,
      ],
      ['text/javascript; charset=utf-8', 'public, max-age=31536000, immutable', undefined, 'accept-encoding'],
    );
    const zipped = await app.inject({ url: '/assets/a-1.js', headers: { 'accept-encoding': 'br, gzip' } });
    assert.equal(zipped.headers['content-encoding'], 'gzip');
    assert.ok(zipped.rawPayload.length < plain.rawPayload.length);
    assert.equal((await app.inject({ url: '/favicon.svg' })).headers['cache-control'], 'no-cache');
  });

  it('answers for nothing that is not its own', async (t) => {
    const { app } = await withConsole(t);
    for (const url of [
      '/api/nothing',
      '/api',
      '/api/',
      '/assets/nothing.js',
      '/assets/',
      '/nothing.js',
      '/index.html',
      '/assets/..%2f..%2fpackage.json',
      '/favicon.ico',
      '/.env',
    ]) {
      const answer = await app.inject({ url, headers: html });
      assert.equal(answer.statusCode, 404, url);
      assert.equal(problemOf(answer).code, 'resource.not_found');
    }
    assert.equal((await app.inject({ url: '/dashboard', headers: { accept: 'application/json' } })).statusCode, 404);
    assert.equal((await app.inject({ method: 'POST', url: '/dashboard', payload: {} })).statusCode, 404);
  });

  it('says how to build it when it has not been built', async (t) => {
    const { app } = await fakeApi(t);
    const answer = await app.inject({ url: '/', headers: html });
    assert.equal(answer.statusCode, 503);
    assert.match(answer.body, /npm start/);
  });
});

describe('the API reference', () => {
  it('describes every route with its parameters, its answers and who may call it', async (t) => {
    const { app } = await fakeApi(t);
    const answer = await app.inject({ url: '/api/openapi.json' });
    assert.match(String(answer.headers['content-type']), /^application\/json/);
    const document = answer.json<OpenApi>();
    assert.equal(document.openapi, '3.1.0');
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
    );
    const ids = operations.map(({ operation }) => operation.operationId);
    assert.equal(new Set(ids).size, ids.length);
    for (const id of [
      'postHeartbeat',
      'listDevices',
      'reviewIdentity',
      'revokeCertificate',
      'login',
      'streamEvents',
      'verifyAudit',
    ]) {
      assert.ok(ids.includes(id), id);
    }
    for (const { path, operation } of operations) {
      assert.ok(operation.operationId && operation.tags.length === 1 && operation.summary, path);
      assert.ok(operation.responses['default']?.content['application/problem+json'], path);
      assert.ok(operation.security, path);
    }
    const revoke = document.paths['/api/devices/{device_id}/certificate/revoke']?.['post'];
    assert.equal(revoke?.description, 'Permission: `certificate.revoke`');
    assert.deepEqual(document.paths['/api/heartbeat']?.['post']?.security, [{ device: [] }]);
    assert.deepEqual(document.paths['/api/admin/login']?.['post']?.security, []);
  });

  it('is a page that calls nobody else and runs only what carries the nonce (SS-07)', async (t) => {
    const { app } = await fakeApi(t);
    const answer = await app.inject({ url: '/api/docs' });
    const policy = String(answer.headers['content-security-policy']);
    const nonce = /'nonce-([^']+)'/.exec(policy)?.[1] ?? '';
    assert.match(policy, /script-src 'self' 'nonce-[^']+';/);
    assert.match(policy, /connect-src 'self'/);
    assert.ok(answer.body.includes(`nonce="${nonce}"`));
    assert.doesNotMatch(answer.body, /__CSP_NONCE__|https?:\/\//);
    const scripts = [...answer.body.matchAll(/<script[^>]*>/g)].map(([tag]) => tag);
    assert.ok(
      scripts.length > 0 && scripts.every((tag) => tag.includes('nonce=') || tag.includes('src="/api/docs/')),
      scripts.join(),
    );
    const script = await app.inject({ url: '/api/docs/reference.js' });
    assert.equal(script.headers['content-type'], 'text/javascript; charset=utf-8');
    assert.ok(script.body.length > 1_000_000);
  });
});

describe('Temporal’s UI', () => {
  it('needs a session: a page leads to the sign-in, everything else is told (SA-27)', async (t) => {
    const { app } = await withTemporalUi(t);
    const link = await app.inject({
      url: '/temporal/namespaces/default/workflows/device%2Fdefault%2Fd?x=1',
      headers: html,
    });
    assert.equal(link.statusCode, 303);
    assert.equal(
      link.headers.location,
      `/login?next=${encodeURIComponent('/temporal/namespaces/default/workflows/device%2Fdefault%2Fd?x=1')}`,
    );
    for (const url of ['/temporal/api/v1/settings', '/temporal', '/temporal/']) {
      assert.equal(problemOf(await app.inject({ url })).code, 'auth.required', url);
    }
  });

  it('is for people who may look at workflows, and to be changed only by those who may change them', async (t) => {
    const { app, as, asked } = await withTemporalUi(t);
    const send = async (
      role: 'viewer' | 'operator' | 'security' | 'admin',
      method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    ) =>
      app.inject({
        method,
        url: '/temporal/api/v1/x',
        headers: { ...(await as(role)), 'sec-fetch-site': 'same-origin' },
      });
    assert.equal(problemOf(await send('viewer', 'GET')).code, 'auth.forbidden');
    assert.equal((await send('operator', 'GET')).statusCode, 200);
    for (const method of ['POST', 'PUT', 'DELETE'] as const) {
      assert.equal(problemOf(await send('security', method)).code, 'auth.forbidden');
    }
    assert.equal((await send('admin', 'POST')).statusCode, 200);
    assert.deepEqual(
      asked.map(({ method }) => method),
      ['GET', 'POST'],
    );
  });

  it('answers queries, which only read, to everybody who may look at workflows', async (t) => {
    const { app, as, asked } = await withTemporalUi(t);
    const workflow = '/temporal/api/v1/namespaces/default/workflows/device%2Fdefault%2Fd';
    const post = async (role: 'viewer' | 'operator', url: string) =>
      app.inject({ method: 'POST', url, headers: { ...(await as(role)), 'sec-fetch-site': 'same-origin' } });
    assert.equal((await post('operator', `${workflow}/query/__temporal_workflow_metadata?x=1`)).statusCode, 200);
    assert.equal(problemOf(await post('viewer', `${workflow}/query/__stack_trace`)).code, 'auth.forbidden');
    for (const url of [
      `${workflow}/signal/query`,
      `${workflow}/query/x/terminate`,
      `${workflow}/query/x%2fterminate`,
      `${workflow}/terminate?a=/query/x`,
      '/temporal/api/v1/namespaces/default/workflows/../query/x',
      '/temporal/api/v1/namespaces/default/workflows/%2E%2e/query/x',
      '/temporal/api/v1/namespaces/default/schedules/query/query/x',
    ])
      assert.notEqual((await post('operator', url)).statusCode, 200, url);
    assert.equal(asked.length, 1);
  });

  it('takes what passed our own check of where it was asked for past its check of that', async (t) => {
    const { app, as, asked } = await withTemporalUi(t);
    const headers = { ...(await as('admin')), cookie: '_csrf=theirs', 'x-csrf-token': 'other' };
    await app.inject({ method: 'POST', url: '/temporal/api/v1/x', headers });
    const { cookie, 'x-csrf-token': token } = asked[0]?.headers ?? {};
    assert.equal(cookie, `_csrf=${String(token)}`);
    assert.notEqual(token, 'other');
  });

  it('takes no change that another site, or an unknown one, started with the cookie', async (t) => {
    const { app, asked } = await withTemporalUi(t);
    const login = await app.inject({
      method: 'POST',
      url: '/api/admin/login',
      payload: { username: 'admin', password },
    });
    const cookie = `__Host-sentinel=${login.json<{ token: string }>().token}`;
    for (const more of [{ 'sec-fetch-site': 'cross-site' }, { 'sec-fetch-site': 'same-site' }, {}]) {
      const answer = await app.inject({ method: 'POST', url: '/temporal/api/v1/x', headers: { cookie, ...more } });
      assert.equal(problemOf(answer).code, 'auth.csrf');
    }
    assert.equal(asked.length, 0);
  });

  it('never sees how people signed in, and its own headers stay with it', async (t) => {
    const { app, as, asked } = await withTemporalUi(t);
    const headers = { ...(await as('operator')), cookie: 'a=b', 'x-csrf-token': 'x', 'x-sentinel-project': 'default' };
    const answer = await app.inject({ url: '/temporal/some/page?q=1', headers });
    assert.equal(answer.body, 'from the UI');
    assert.equal(asked[0]?.url, '/temporal/some/page?q=1');
    const names = Object.keys(asked[0]?.headers ?? {});
    for (const name of ['authorization', 'cookie', 'x-csrf-token', 'x-sentinel-project'])
      assert.ok(!names.includes(name), name);
    assert.equal(answer.headers['set-cookie'], undefined);
    assert.equal(answer.headers['x-frame-options'], 'DENY');
    assert.match(String(answer.headers['content-security-policy']), /connect-src 'self'/);
    assert.doesNotMatch(String(answer.headers['content-security-policy']), /\*/);
  });

  it('has its texts rendered without any script, in a frame of this server only', async (t) => {
    const { app, as, asked } = await withTemporalUi(t);
    const content = `**demo** is \`ab<c\`\n\n- <img src=x onerror=alert(1)>\n- one \` mark\n[a](javascript:x) "q"`;
    const url = `/temporal/render?theme=dark&content=${encodeURIComponent(content)}`;
    assert.equal(problemOf(await app.inject({ url })).code, 'auth.required');
    const answer = await app.inject({ url, headers: await as('operator') });
    const [, body] = /<body>([^]*)<\/body>/.exec(answer.body) ?? [];
    assert.equal(
      body?.trim(),
      '<p><strong>demo</strong> is <code>ab&#60;c</code></p>\n' +
        '<ul><li>&#60;img src=x onerror=alert(1)&#62;</li><li>one ` mark</li></ul>\n' +
        '<p>[a](javascript:x) &#34;q&#34;</p>',
    );
    assert.match(
      String(answer.headers['content-security-policy']),
      /^default-src 'none'; style-src 'nonce-[\w-]+'; frame-ancestors 'self'; base-uri 'none'/,
    );
    assert.equal(answer.headers['x-frame-options'], 'SAMEORIGIN');
    assert.match(
      String(
        (await app.inject({ url: '/temporal/x', headers: await as('operator') })).headers['content-security-policy'],
      ),
      /frame-src 'self'/,
    );
    assert.equal(asked.length, 1);
    for (const odd of ['', '?content=a&content=b', '?content[x]=1'])
      assert.equal(
        (await app.inject({ url: `/temporal/render${odd}`, headers: await as('operator') })).statusCode,
        200,
      );
  });

  it('cannot be left by a path', async (t) => {
    const { app, as, asked } = await withTemporalUi(t);
    const headers = await as('admin');
    for (const url of [
      '/temporal/../api/x',
      '/temporal/%2e%2e/x',
      '/temporal/..%2fx',
      '/temporal/a/%2e%2e%2f%2e%2e/x',
    ]) {
      const answer = await app.inject({ url, headers });
      assert.notEqual(answer.statusCode, 200, url);
    }
    assert.deepEqual(
      asked.filter(({ url }) => !url?.startsWith('/temporal')),
      [],
    );
  });

  it('that is away is a problem', async (t) => {
    const { app, as } = await fakeApi(t);
    const answer = await app.inject({ url: '/temporal/x', headers: await as('operator') });
    assert.equal(problemOf(answer).code, 'service.unavailable');
  });
});

describe('the decoder', () => {
  const decode = { method: 'POST', url: '/api/temporal/codec/decode' } as const;

  it('needs a session and the permission, and there is no encoder (SA-27)', async (t) => {
    const { app, as } = await fakeApi(t);
    const payload = { payloads: [] };
    assert.equal(problemOf(await app.inject({ ...decode, payload })).code, 'auth.required');
    assert.equal(
      problemOf(await app.inject({ ...decode, payload, headers: await as('viewer') })).code,
      'auth.forbidden',
    );
    const headers = await as('operator');
    assert.deepEqual((await app.inject({ ...decode, payload, headers })).json(), { payloads: [] });
    const encode = await app.inject({ method: 'POST', url: '/api/temporal/codec/encode', payload, headers });
    assert.equal(problemOf(encode).code, 'resource.not_found');
  });

  it('takes the cookie from a page of this origin only', async (t) => {
    const { app } = await fakeApi(t);
    const login = await app.inject({
      method: 'POST',
      url: '/api/admin/login',
      payload: { username: 'admin', password },
    });
    const cookie = `__Host-sentinel=${login.json<{ token: string }>().token}`;
    const ask = (site: string) =>
      app.inject({ ...decode, payload: { payloads: [] }, headers: { cookie, 'sec-fetch-site': site } });
    assert.equal((await ask('same-origin')).statusCode, 200);
    assert.equal(problemOf(await ask('cross-site')).code, 'auth.csrf');
  });

  it('shows what Temporal keeps encrypted, in the form that the UI sends and reads', async (t) => {
    const { app, as, dataKeys } = await fakeApi(t);
    const clear = { metadata: { encoding: Buffer.from('json/plain') }, data: Buffer.from('{"device":"d"}') };
    const codec = createPayloadCodec(dataKeys, 'default');
    const context = { type: 'workflow', namespace: 'default', workflowId: 'device/default/d' } as const;
    const [sealed] = await codec.encode([clear], context as never);
    const wire = {
      metadata: Object.fromEntries(
        Object.entries(sealed?.metadata ?? {}).map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')]),
      ),
      data: Buffer.from(sealed?.data ?? []).toString('base64'),
    };
    const answer = await app.inject({
      ...decode,
      headers: { ...(await as('operator')), 'x-namespace': 'default' },
      payload: { payloads: [wire] },
    });
    const [shown] = answer.json<{ payloads: { data: string }[] }>().payloads;
    assert.equal(Buffer.from(shown?.data ?? '', 'base64').toString(), '{"device":"d"}');
  });

  it('answers for its own namespace only', async (t) => {
    const { app, as } = await fakeApi(t);
    const headers = { ...(await as('operator')), 'x-namespace': 'another' };
    assert.equal(
      problemOf(await app.inject({ ...decode, headers, payload: { payloads: [] } })).code,
      'resource.not_found',
    );
  });
});

interface OpenApi {
  readonly openapi: string;
  readonly paths: Record<
    string,
    Record<
      string,
      {
        operationId: string;
        tags: string[];
        summary: string;
        description?: string;
        security: object[];
        responses: Record<string, { content: Record<string, unknown> }>;
      }
    >
  >;
}

async function withTemporalUi(t: TestContext) {
  const asked: { method: string | undefined; url: string | undefined; headers: IncomingHttpHeaders }[] = [];
  const server = createServer(({ method, url, headers }, response) => {
    asked.push({ method, url, headers });
    response.writeHead(200, {
      'content-type': 'text/plain',
      'set-cookie': '_csrf=1',
      'content-security-policy': 'default-src *',
      'x-frame-options': 'SAMEORIGIN',
    });
    response.end('from the UI');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const upstream = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const api = await fakeApi(t, { change: (deps) => ({ ...deps, temporalUi: { ...deps.temporalUi, upstream } }) });
  return { ...api, asked };
}
