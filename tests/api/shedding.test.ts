// Heartbeats that are not taken, on a real port: refused unread, as a whole problem, while people are served.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Admission } from '#api/admission.ts';
import { openListeners } from '#api/listeners.ts';
import { fakeApi } from '#tests/fakes/api-over-fakes.ts';

const body = JSON.stringify({ device_id: 'device-1', heartbeat_counter: 1 });
const heartbeat = { method: 'POST', body, headers: { 'content-type': 'application/json' } };

describe('an overloaded server', () => {
  it('refuses heartbeats as 429 with Retry-After before it reads them, and no request of people (FT-11)', async (t) => {
    let done = 0;
    let full = true;
    const admission: Admission = {
      admit: () => (full ? { taken: false, retryAfterSeconds: 42 } : { taken: true, done: () => (done += 1) }),
    };
    const { app, as, metrics } = await fakeApi(t);
    await app.ready();
    const plan = { host: '127.0.0.1', port: null, devicePort: null, httpPort: 0, tls: null };
    const listeners = await openListeners(app, plan, [], { admission, requestId: () => 'request-1' });
    t.after(() => listeners.close(0));
    const url = `http://127.0.0.1:${listeners.ports.http}`;

    for (const path of ['/api/heartbeat', '/api/heartbeat?again']) {
      const answer = await fetch(`${url}${path}`, heartbeat);
      assert.equal(answer.status, 429);
      assert.equal(answer.headers.get('retry-after'), '42');
      assert.equal(answer.headers.get('x-request-id'), 'request-1');
      assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
      assert.equal(answer.headers.get('content-type'), 'application/problem+json; charset=utf-8');
      const problem = (await answer.json()) as { code: string; request_id: string };
      assert.deepEqual([problem.code, problem.request_id], ['heartbeat.shed', 'request-1']);
    }
    assert.doesNotMatch(await metrics.registry.metrics(), /^sentinel_heartbeats_total\{/m, 'nothing of it was read');
    const headers = await as('security');
    assert.equal((await fetch(`${url}/api/devices`, { headers })).status, 200);
    assert.equal((await fetch(`${url}/api/admin/me`, { headers })).status, 200);
    assert.equal((await fetch(`${url}/api/health/live`)).status, 200);

    full = false;
    assert.equal((await fetch(`${url}/api/heartbeat`, heartbeat)).status, 401);
    assert.equal(done, 1, 'told that the answer has gone');
  });
});
