// The audit trail over fakes, its integrity, metrics and the event stream.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { registerReadings } from '#api/metrics.ts';
import { readings } from '#tests/fakes/readings.ts';
import type { AuditList } from '#contracts/http/audit.ts';
import type { SealedAuditEvent } from '#store/audit.ts';
import { fakeApi, problemOf } from '#tests/fakes/api-over-fakes.ts';
import { wholeTrail } from '#tests/fakes/fake-events.ts';

const event = (sequence: number, more: Partial<SealedAuditEvent> = {}): SealedAuditEvent => ({
  project_id: 'default',
  id: `00000000-0000-4000-8000-00000000000${sequence}`,
  sequence,
  occurred_at: '2026-11-22T12:00:00.000Z',
  category: 'identity',
  action: 'heartbeat.refused',
  actor_kind: 'device',
  actor_id: 'device-1',
  actor_ip: '192.0.2.1',
  subject_kind: 'device',
  subject_id: 'device-1',
  outcome: 'refused',
  details: { code: 'certificate.untrusted' },
  request_id: 'request-1',
  created_at: '2026-11-22T12:00:00.000Z',
  previous_hash: 'a'.repeat(64),
  hash: 'b'.repeat(64),
  ...more,
});

describe('GET /api/audit/export', () => {
  const exported = async (t: TestContext, query: string) => {
    const limits = { events: 5, page: 2, atOnce: 1, longestMs: 60_000 };
    const { app, as, events } = await fakeApi(t, {
      change: (deps) => ({ ...deps, auditExport: { ...deps.auditExport, limits } }),
    });
    for (let n = 1; n <= 7; n += 1) events.trail.push(event(n, n === 3 ? { actor_id: '=1+1,"x"' } : {}));
    return app.inject({ url: `/api/audit/export?${query}`, headers: await as('viewer') });
  };

  it('cuts off whoever does not read on, and lets the next one begin', async (t) => {
    const { app, as } = await fakeApi(t, {
      change: (deps) => ({
        ...deps,
        auditExport: {
          ...deps.auditExport,
          // More than any buffer between the two holds.
          listAudit: async () => [event(1, { details: { text: 'x'.repeat(5_000_000) } })],
          // Long enough for the second to be asked for meanwhile, however busy the machine is.
          limits: { events: 20, page: 1, atOnce: 1, longestMs: 2_000 },
        },
      }),
    });
    const address = await app.listen({ port: 0 });
    const ask = async (): Promise<IncomingMessage> => {
      const request = get(`${address}/api/audit/export`, { headers: await as('viewer'), agent: false });
      const [answer] = (await once(request, 'response')) as [IncomingMessage];
      answer.on('error', () => {});
      return answer;
    };
    const cutOff = Promise.withResolvers<void>();
    app.server.once('request', (_request, answer: ServerResponse) => answer.once('close', cutOff.resolve));
    const idle = await ask();
    assert.equal(idle.statusCode, 200);
    assert.equal((await ask()).statusCode, 429);
    await cutOff.promise;
    idle.destroy();
    const next = await ask();
    assert.equal(next.statusCode, 200);
    next.destroy();
  });

  it('writes the list as JSON lines, page by page, up to its limit (CP-39)', async (t) => {
    const answer = await exported(t, 'order=oldest');
    assert.equal(answer.headers['content-disposition'], 'attachment; filename="audit-default.jsonl"');
    const lines = answer.body.trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as { sequence: number }).sequence),
      [1, 2, 3, 4, 5],
    );
  });

  it('writes CSV in which no cell breaks a line or is a formula (CP-39)', async (t) => {
    const answer = await exported(t, 'order=oldest&format=csv');
    assert.match(String(answer.headers['content-type']), /^text\/csv/);
    const lines = answer.body.split('\r\n');
    assert.match(lines[0] ?? '', /^sequence,occurred_at,category,action,actor_kind,actor_id,/);
    assert.match(lines[3] ?? '', /^3,2026-11-22T12:00:00.000Z,identity,heartbeat.refused,device,"'=1\+1,""x""",192/);
    assert.equal(lines.length, 7);
  });

  it('filters as the list does, and refuses what it does not know', async (t) => {
    assert.equal((await exported(t, 'action=none')).body, '');
    assert.equal((await exported(t, 'format=xml')).statusCode, 400);
  });
});

describe('GET /api/audit', () => {
  it('shows every event with its place in the chain', async (t) => {
    const { app, as, events } = await fakeApi(t);
    events.trail.push(event(1));
    const answer = await app.inject({ url: '/api/audit/events', headers: await as('viewer') });
    assert.deepEqual(answer.json(), {
      items: [
        {
          sequence: 1,
          occurred_at: '2026-11-22T12:00:00.000Z',
          category: 'identity',
          action: 'heartbeat.refused',
          actor: { kind: 'device', id: 'device-1', ip: '192.0.2.1' },
          subject: { kind: 'device', id: 'device-1' },
          outcome: 'refused',
          details: { code: 'certificate.untrusted' },
          previous_hash: 'a'.repeat(64),
          hash: 'b'.repeat(64),
          request_id: 'request-1',
        },
      ],
      next_cursor: null,
    });
  });

  it('pages by the numbers of the sealer, in both directions', async (t) => {
    const { app, as, events } = await fakeApi(t);
    events.trail.push(event(1), event(2), event(3));
    const headers = await as('viewer');
    for (const [order, expected] of [
      ['newest', [3, 2, 1]],
      ['oldest', [1, 2, 3]],
    ] as const) {
      const seen: number[] = [];
      let cursor: string | null = null;
      do {
        const more: string = cursor === null ? '' : `&cursor=${cursor}`;
        const answer = await app.inject({ url: `/api/audit/events?limit=1&order=${order}${more}`, headers });
        const { items, next_cursor } = answer.json<AuditList>();
        seen.push(...items.map(({ sequence }) => sequence));
        cursor = next_cursor;
      } while (cursor !== null && seen.length < 10);
      assert.deepEqual(seen, expected);
    }
  });

  it('refuses filters that it does not know', async (t) => {
    const { app, as } = await fakeApi(t);
    const headers = await as('viewer');
    for (const query of ['category=none', 'outcome=maybe', 'since=yesterday', 'order=random', 'sequence=1']) {
      assert.equal(
        problemOf(await app.inject({ url: `/api/audit/events?${query}`, headers })).code,
        'request.invalid',
        query,
      );
    }
  });

  it('verifies the chain from the last checkpoint, or from the start (AU-02)', async (t) => {
    const { app, as, events } = await fakeApi(t);
    const headers = await as('viewer');
    assert.deepEqual((await app.inject({ url: '/api/audit/integrity', headers })).json(), wholeTrail);
    await app.inject({ url: '/api/audit/integrity?full=true', headers });
    assert.deepEqual(events.verified, [
      { project: 'default', full: false },
      { project: 'default', full: true },
    ]);
  });
});

describe('GET /api/metrics', () => {
  it('shows what was counted in the format of Prometheus, by route and never by name (HM-03)', async (t) => {
    const { app, as, metrics } = await fakeApi(t);
    metrics.heartbeats.inc({ outcome: 'accepted' });
    registerReadings(metrics, readings({ sealLagSeconds: async () => 7, stuckActors: async () => 2 }));
    await app.inject({ url: '/api/devices/secret-name', headers: await as('viewer') });
    const answer = await app.inject({ url: '/api/metrics' });
    assert.equal(answer.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
    assert.match(answer.body, /^sentinel_heartbeats_total\{outcome="accepted"\} 1$/m);
    assert.match(answer.body, /^sentinel_seal_lag_seconds 7$/m);
    assert.match(answer.body, /^sentinel_stuck_actors 2$/m);
    assert.match(
      answer.body,
      /sentinel_http_request_duration_seconds_count\{method="GET",route="\/api\/devices\/:device_id",status="404"\} 1/,
    );
    assert.match(answer.body, /^process_cpu_seconds_total /m);
    assert.doesNotMatch(answer.body, /secret-name/);
  });

  it('needs the monitoring token when there is one (HM-04)', async (t) => {
    const { app, as } = await fakeApi(t, {
      change: (deps) => ({ ...deps, metrics: { ...deps.metrics, token: 'monitoring-token' } }),
    });
    const ask = (headers: Record<string, string>) => app.inject({ url: '/api/metrics', headers });
    assert.equal(problemOf(await ask({})).code, 'auth.required');
    assert.equal(problemOf(await ask({ authorization: 'Bearer monitoring-tokem' })).code, 'auth.invalid_credentials');
    assert.equal(problemOf(await ask(await as('admin'))).code, 'auth.invalid_credentials');
    assert.equal((await ask({ authorization: 'Bearer monitoring-token' })).statusCode, 200);
  });

  it('leaves out what cannot be read', async (t) => {
    const { app, metrics } = await fakeApi(t);
    const down = () => Promise.reject(new Error('down'));
    registerReadings(metrics, readings({ sealLagSeconds: down, stuckActors: down }));
    const answer = await app.inject({ url: '/api/metrics' });
    assert.equal(answer.statusCode, 200);
    assert.doesNotMatch(answer.body, /^sentinel_(seal_lag_seconds|stuck_actors) /m);
  });
});

describe('GET /api/events/stream', () => {
  const opened = {
    type: 'device.identity.pending',
    subject: { kind: 'device', id: 'device-1' },
    occurred_at: '2026-11-22T12:00:00.000Z',
    data: { epoch: 0 },
  } as const;
  const audited = { ...opened, type: 'audit.auth.login', subject: { kind: 'user', id: 'viewer' } } as const;

  it('carries what happens in the project, each under its number', async (t) => {
    const { api, follow } = await listening(t);
    const stream = await follow({});
    assert.match(String(stream.headers['content-type']), /^text\/event-stream/);
    assert.equal(stream.headers['cache-control'], 'no-store');
    api.events.publish('other', opened);
    api.events.publish('default', opened);
    api.events.publish('default', audited);
    const text = await textUntil(stream, /id: 2\n.*\n\n/);
    assert.match(text, /^retry: 2000\n\n/);
    assert.match(
      text,
      /id: 1\nevent: device\.identity\.pending\ndata: \{"sequence":1,"type":"device\.identity\.pending"/,
    );
    assert.match(text, /id: 2\ndata: \{"sequence":2,"type":"audit\.auth\.login"/);
  });

  it('goes on after Last-Event-ID, with everything that came in between', async (t) => {
    const { api, follow } = await listening(t);
    for (let count = 0; count < 450; count += 1) api.events.publish('default', opened);
    const text = await textUntil(await follow({ 'last-event-id': '3' }), /id: 450\n.*\n.*\n\n/);
    assert.deepEqual(
      [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id)),
      Array.from({ length: 447 }, (_, index) => index + 4),
    );
  });

  it('says now and then that it is still there', async (t) => {
    const { follow } = await listening(t);
    await textUntil(await follow({}), /: still here\n\n[^]*: still here\n\n/);
  });

  it('ends with the session, with the permission, and with the server', async (t) => {
    const { api, follow, headers } = await listening(t);
    const stream = await follow({});
    await api.app.inject({ method: 'POST', url: '/api/admin/logout', headers });
    await ended(stream);
    assert.equal(api.events.wakes.size, 0);
  });

  it('is open a few times for each session, and no more', async (t) => {
    const { follow, url, headers } = await listening(t);
    const streams = await Promise.all([1, 2, 3, 4].map(() => follow({})));
    const fifth = await open(url, headers);
    assert.equal(fifth.statusCode, 429);
    fifth.resume();
    streams[0]?.destroy();
    for (let attempt = 0; attempt < 100; attempt += 1) {
      const again = await open(url, headers);
      again.destroy();
      if (again.statusCode === 200) return;
    }
    assert.fail('the place of a stream that ended was not given back');
  });

  it('needs somebody who is signed in, and an id that it gave out', async (t) => {
    const { app, as } = await fakeApi(t);
    assert.equal(problemOf(await app.inject({ url: '/api/events/stream' })).code, 'auth.required');
    for (const id of ['x', '-1', '1.5', '99999999999999999999']) {
      const headers = { ...(await as('viewer')), 'last-event-id': id };
      assert.equal(problemOf(await app.inject({ url: '/api/events/stream', headers })).code, 'request.invalid');
    }
  });
});

async function listening(t: TestContext) {
  const api = await fakeApi(t);
  await api.app.listen({ port: 0, host: '127.0.0.1' });
  const url = `http://127.0.0.1:${(api.app.server.address() as AddressInfo).port}/api/events/stream`;
  const headers = await api.as('viewer');
  const follow = async (more: Record<string, string>) => {
    const stream = await open(url, { ...headers, ...more });
    assert.equal(stream.statusCode, 200);
    t.after(() => stream.destroy());
    return stream;
  };
  return { api, url, headers, follow };
}

function open(url: string, headers: Record<string, string>): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, { headers }, resolve);
    request.once('error', reject);
    request.end();
  });
}

async function textUntil(stream: IncomingMessage, form: RegExp): Promise<string> {
  let text = '';
  for await (const chunk of stream) {
    text += String(chunk);
    if (form.test(text)) return text;
  }
  return assert.fail(`the stream ended with ${text}`);
}

async function ended(stream: IncomingMessage): Promise<void> {
  for await (const chunk of stream) void chunk;
}
