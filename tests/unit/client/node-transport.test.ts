// Connections with an authority of our own and a client certificate.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { ApiProblem } from '#client/api-problem.ts';
import { createHeartbeatClient } from '#client/heartbeat.ts';
import { createTransport } from '#client/node-transport.ts';
import { systemClock as clock, systemRandom as random } from '#contracts/deps.ts';
import { createDevelopmentCa } from '#protocols/development-ca.ts';
import { problemAnswer, scriptedApi, type Script } from '#tests/fakes/scripted-api.ts';

async function tlsApi(t: TestContext, script: Script) {
  const folder = await mkdtemp(join(tmpdir(), 'sentinel-transport-'));
  t.after(() => rm(folder, { recursive: true }));
  const ca = await createDevelopmentCa(folder, { clock, random });
  const api = await scriptedApi(t, script, {
    cert: ca.serverCertificatePem,
    key: ca.serverKeyPem,
    ca: ca.caCertificatePem,
    requestCert: true,
    rejectUnauthorized: false,
  });
  return { ca, ...api };
}

describe('the transport for Node', () => {
  it('presents its certificate, and trusts the authority that it is given', async (t) => {
    const { ca, url, seen } = await tlsApi(t, () => ({ body: { status: 'accepted' } }));
    const { certificatePem: certificate, keyPem: key } = await ca.issueDevice({ deviceId: 'lab-1' });
    const transport = createTransport({ ca: ca.caCertificatePem, identity: { certificate, key } });
    t.after(() => transport.close());
    const send = createHeartbeatClient({ baseUrl: url, fetch: transport.fetch, random });
    assert.equal((await send({ device_id: 'lab-1', heartbeat_counter: 1 })).status, 'accepted');
    assert.equal(seen[0]?.clientName, 'lab-1');
    assert.equal(seen[0].path, '/api/heartbeat');
    assert.equal(seen[0].headers['idempotency-key'], undefined);
  });

  it('sends nothing to a server of another authority', async (t) => {
    const { url, seen } = await tlsApi(t, () => ({}));
    const transport = createTransport();
    t.after(() => transport.close());
    const send = createHeartbeatClient({ baseUrl: url, fetch: transport.fetch, random });
    await assert.rejects(send({ device_id: 'lab-1', heartbeat_counter: 1 }), (problem: ApiProblem) => {
      assert.equal(problem.code, 'service.unavailable');
      assert.match(problem.detail, /certificate/);
      return true;
    });
    assert.equal(seen.length, 0);
  });

  it('sends a heartbeat once, whatever the answer', async (t) => {
    const { ca, url, seen } = await tlsApi(t, () =>
      problemAnswer(503, 'service.unavailable', {}, { 'retry-after': '1' }),
    );
    const transport = createTransport({ ca: ca.caCertificatePem });
    t.after(() => transport.close());
    const send = createHeartbeatClient({ baseUrl: url, fetch: transport.fetch, random });
    await assert.rejects(send({ device_id: 'lab-1', heartbeat_counter: 1 }), { retryAfterSeconds: 1 });
    assert.equal(seen.length, 1);
  });
});
