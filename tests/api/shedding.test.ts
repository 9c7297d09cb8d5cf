// Heartbeats that are not taken, on a real port: refused unread, as a whole problem, while people are served.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import { connect, type ConnectionOptions } from 'node:tls';
import type { Admission } from '#api/admission.ts';
import { openListeners } from '#api/listeners.ts';
import { fakeApi } from '#tests/fakes/api-over-fakes.ts';
import { issuedDevice } from '#tests/harness/agent.ts';

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

/** A connection that carries one heartbeat after the other; each resolves with the first line of its answer. */
async function connected(t: TestContext, options: ConnectionOptions) {
  const socket = connect({ host: '127.0.0.1', ...options });
  t.after(() => socket.destroy());
  await once(socket, 'secureConnect');
  const request = `POST /api/heartbeat HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
  return {
    socket,
    async beat(): Promise<string | undefined> {
      socket.write(request);
      const [bytes] = (await once(socket, 'data')) as [Buffer];
      return bytes.toString().split('\r\n')[0];
    },
  };
}

const refusal = 'HTTP/1.1 429 Too Many Requests';

describe('a device that was told to rest', () => {
  async function refusing(t: TestContext, retryAfterSeconds: number) {
    let asked = 0;
    const { ca } = await issuedDevice(t);
    const { certificatePem, keyPem } = await ca.issueDevice({ deviceId: 'device-1' });
    const { app } = await fakeApi(t);
    await app.ready();
    const admission: Admission = {
      admit: () => {
        asked += 1;
        return { taken: false, retryAfterSeconds };
      },
    };
    const listeners = await openListeners(
      app,
      {
        ...{ host: '127.0.0.1', port: 0, devicePort: null, httpPort: null },
        tls: { cert: ca.serverCertificatePem, key: ca.serverKeyPem },
      },
      [ca.caCertificatePem],
      { admission, requestId: () => 'request-1' },
    );
    t.after(() => listeners.close(0));
    const port = Number(listeners.ports.https);
    const trusted = { port, ca: ca.caCertificatePem };
    return {
      asked: () => asked,
      device: () => connected(t, { ...trusted, cert: certificatePem, key: keyPem }),
      browser: () => connected(t, trusted),
    };
  }

  it('is not heard before that, so that asking again at once costs nothing (FT-11)', async (t) => {
    const { asked, device } = await refusing(t, 3_600);
    const restless = await device();
    assert.equal(await restless.beat(), refusal);
    restless.socket.on('data', () => assert.fail('it was heard'));
    restless.beat().catch(() => {});
    for (let others = 0; others < 3; others += 1) assert.equal(await (await device()).beat(), refusal);
    assert.equal(asked(), 4, 'its first one and those of the others');
  });

  it('is heard again when its rest is over, with what it sent too early (FT-11)', async (t) => {
    const { asked, device } = await refusing(t, 1);
    const restless = await device();
    assert.equal(await restless.beat(), refusal);
    assert.equal(await restless.beat(), refusal);
    assert.equal(await restless.beat(), refusal);
    assert.equal(asked(), 3);
  });

  it('is nobody without a certificate: it may be a browser, whose next request is of a person (FT-11)', async (t) => {
    const { asked, browser } = await refusing(t, 3_600);
    const { beat } = await browser();
    assert.equal(await beat(), refusal);
    assert.equal(await beat(), refusal);
    assert.equal(asked(), 2);
  });
});
