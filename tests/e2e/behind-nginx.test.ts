// The whole product behind a real nginx: devices are known by the certificates that it forwards, and by nothing else.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, randomBytes, X509Certificate } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { request as plainRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createTransport } from '#client/node-transport.ts';
import { systemClock, systemRandom as random } from '#contracts/deps.ts';
import { createDevelopmentCa } from '#protocols/development-ca.ts';
import type { IssuedCertificate } from '#protocols/issue-certificate.ts';
import { findFreePort } from '#start/ports.ts';
import { cleanupAfterAll } from '../harness/cleanup.ts';
import { fillInEnvFile, secretSettings } from '../harness/env-file.ts';
import { runNginx, startNginx, writeMainConfiguration } from '../harness/nginx.ts';
import { linkedCheckout } from '../harness/npm-start.ts';
import { blocksTypedBy, type CommandBlock } from '../harness/page-commands.ts';
import { programPath, requires } from '../harness/requires.ts';
import { eventually } from '../harness/eventually.ts';
import { startStack, type Stack } from '../harness/stack.ts';

const proxySecret = randomBytes(32).toString('base64url');

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

describe('the product behind nginx', { skip: requires('nginx') }, () => {
  const cleanup = cleanupAfterAll();
  let stack: Stack;
  let caPem = '';
  let url = '';
  let plainPort = 0;
  let folder = '';

  before(
    async () => {
      folder = await mkdtemp(join(tmpdir(), 'sentinel-behind-'));
      cleanup.after(() => rm(folder, { recursive: true, force: true }));
      plainPort = await findFreePort();
      stack = await startStack(cleanup, {
        SENTINEL_HTTP_PORT: String(plainPort),
        SENTINEL_TRUST_PROXY_CERT_HEADERS: 'true',
        SENTINEL_PROXY_SHARED_SECRET: proxySecret,
      });
      caPem = await readFile(stack.instance.ca_file, 'utf8');
      const server = await stack.ca.issueServer({ names: ['localhost'] });
      const { port } = await startNginx(cleanup, {
        serverName: 'localhost',
        certificatePem: server.certificatePem,
        keyPem: server.keyPem,
        clientCaPem: stack.ca.caCertificatePem,
        upstreamPort: plainPort,
        proxySecret,
      });
      url = `https://localhost:${port}`;
    },
    { timeout: 180_000 },
  );

  async function send(
    path: string,
    init: { body?: object; headers?: Record<string, string>; as?: IssuedCertificate } = {},
  ): Promise<Answer> {
    const { body, headers, as } = init;
    const identity = as && { certificate: as.certificatePem, key: as.keyPem };
    const transport = createTransport({ ca: caPem, identity });
    try {
      const answer = await transport.fetch(`${url}${path}`, {
        method: body === undefined ? 'GET' : 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        signal: AbortSignal.timeout(20_000),
        redirect: 'error',
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await answer.text();
      const isJson = answer.headers.get('content-type')?.includes('json') === true;
      return { status: answer.status, body: isJson ? (JSON.parse(text) as Record<string, unknown>) : { text } };
    } finally {
      await transport.close();
    }
  }
  const heartbeat = (id: string, counter: number, as?: IssuedCertificate): Promise<Answer> =>
    send('/api/heartbeat', { body: { device_id: id, heartbeat_counter: counter }, ...(as ? { as } : {}) });
  const told = ({ status, body }: Answer): string => `${status} ${String(body['code'])}`;

  it('lets a device enroll and report by the certificate that nginx forwards (DP-01, HB-04, HB-15)', async () => {
    const certificate = await stack.ca.issueDevice({ deviceId: 'proxied-1' });
    assert.equal((await heartbeat('proxied-1', 1, certificate)).status, 202);
    const ann = await stack.as('ann');
    const review = await eventually(async () => (await ann.devices.get('proxied-1')).pending_review, 'a review');
    await ann.devices.identityReview('proxied-1', { decision: 'approve', digest: review.digest });
    const answer = await heartbeat('proxied-1', 1, certificate);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    assert.equal(told(await heartbeat('proxied-1', 1, certificate)), '409 heartbeat.replayed');
    const device = await ann.devices.get('proxied-1');
    const { raw } = new X509Certificate(certificate.certificatePem);
    assert.equal(device.certificate?.fingerprint_sha256, createHash('sha256').update(raw).digest('hex'));
  });

  it('refuses a heartbeat without a good certificate, with the same codes as without a proxy (DP-02)', async () => {
    const foreignCa = await createDevelopmentCa(join(folder, 'foreign'), { clock: systemClock, random });
    const yesterday = new Date(Date.now() - 86_400_000);
    const expired = {
      deviceId: 'proxied-2',
      notBefore: new Date(yesterday.getTime() - 86_400_000),
      notAfter: yesterday,
    };
    assert.equal(told(await heartbeat('proxied-2', 1)), '401 certificate.missing');
    assert.equal(
      told(await heartbeat('proxied-2', 1, await foreignCa.issueDevice({ deviceId: 'proxied-2' }))),
      '401 certificate.untrusted',
    );
    assert.equal(told(await heartbeat('proxied-2', 1, await stack.ca.issueDevice(expired))), '403 certificate.expired');
    assert.equal(
      told(await heartbeat('proxied-2', 1, await stack.ca.issueDevice({ deviceId: 'somebody' }))),
      '403 certificate.name_mismatch',
    );
  });

  it('keeps the console and the API open to people without a certificate (DP-02)', async () => {
    assert.equal((await send('/dashboard')).status, 200);
    assert.equal((await send('/api/health/ready')).status, 200);
    assert.equal(told(await send('/api/devices')), '401 auth.required');
    const { status, body } = await send('/api/admin/login', { body: { username: 'vic', password: 'vic' } });
    assert.equal(status, 200);
    const headers = { authorization: `Bearer ${String(body['token'])}` };
    assert.equal((await send('/api/devices', { headers })).status, 200);
  });

  it('believes certificate headers only from the address and with the secret of the proxy (HB-04, SA-08)', async () => {
    const certificate = await stack.ca.issueDevice({ deviceId: 'forged-1' });
    const forged = {
      'x-ssl-client-verify': 'SUCCESS',
      'x-ssl-client-cert': encodeURIComponent(certificate.certificatePem),
    };
    const secret = { 'x-sentinel-proxy-secret': proxySecret };
    const direct = (headers: Record<string, string | string[]>, localAddress = '127.0.0.1'): Promise<Answer> =>
      sendPlain(plainPort, localAddress, headers, { device_id: 'forged-1', heartbeat_counter: 1 });

    assert.equal(told(await direct(forged)), '403 proxy.untrusted');
    assert.equal(told(await direct({ ...forged, 'x-sentinel-proxy-secret': 'x'.repeat(43) })), '403 proxy.untrusted');
    assert.equal(told(await direct({ ...forged, ...secret }, '127.0.0.2')), '403 proxy.untrusted');
    assert.equal(
      told(await direct({ X_SSL_Client_Verify: 'SUCCESS', X_SSL_Client_Cert: forged['x-ssl-client-cert'] })),
      '403 proxy.untrusted',
    );
    assert.equal(told(await direct({})), '401 certificate.missing');
    // The same headers through the proxy are nobody's.
    assert.equal(
      told(
        await send('/api/heartbeat', {
          body: { device_id: 'forged-1', heartbeat_counter: 1 },
          headers: { ...forged, ...secret },
        }),
      ),
      '401 certificate.missing',
    );
    // What makes the difference: the proxy itself.
    assert.equal((await direct({ ...forged, ...secret })).status, 202);
    assert.equal(
      told(await direct({ ...forged, ...secret, 'x-ssl-client-serial': '01' })),
      '403 certificate.headers_disagree',
    );
    assert.equal(
      told(
        await direct({
          ...forged,
          ...secret,
          'x-ssl-client-cert': [forged['x-ssl-client-cert'], forged['x-ssl-client-cert']],
        }),
      ),
      '403 certificate.headers_disagree',
    );
  });

  it('is set up and checked by the commands of its guide (DC-03, DP-06)', async (t) => {
    const place = await linkedCheckout(t);
    await chmod(place, 0o755);
    const certificate = await stack.ca.issueDevice({ deviceId: 'guided-1' });
    const server = await stack.ca.issueServer({ names: ['localhost'] });
    const files = {
      'server.crt': server.certificatePem,
      'server.key': server.keyPem,
      'device-ca.crt': stack.ca.caCertificatePem,
      'proxy-ca.pem': caPem,
      'device.crt': certificate.certificatePem,
      'device.key': certificate.keyPem,
    };
    await fillInEnvFile(join(place, '.env'), {
      ...secretSettings(),
      SENTINEL_HTTP_PORT: String(plainPort),
      SENTINEL_TRUST_PROXY_CERT_HEADERS: 'true',
      SENTINEL_PROXY_SHARED_SECRET: proxySecret,
    });
    for (const [name, text] of Object.entries(files)) await writeFile(join(place, name), text, { mode: 0o600 });
    await writeMainConfiguration(place);
    const port = await findFreePort();
    // The guide's words, with the names and folders of this machine, and its nginx for the one of the service manager.
    const here = (text: string): string =>
      text
        .replaceAll('https://sentinel.example.com', `https://localhost:${port}`)
        .replaceAll('--server-name sentinel.example.com', `--server-name localhost --listen 127.0.0.1:${port}`)
        .replaceAll(/\/etc\/nginx\/(certs|conf\.d)\//g, `${place}/`)
        .replaceAll('--device-id NAME', '--device-id guided-1');
    const standIns = [
      'sudo() { "$@"; }',
      `nginx() { ${programPath('nginx')} -p '${place}' -c nginx.conf "$@"; }`,
      'systemctl() { echo "$*" > asked; }',
    ];
    const type = ({ text }: CommandBlock) =>
      promisify(execFile)('bash', ['--norc', '-euo', 'pipefail', '-c', [...standIns, here(text)].join('\n')], {
        cwd: place,
        timeout: 60_000,
      });
    const [preflight, setUp, check, ...more] = blocksTypedBy(import.meta.filename);
    assert.ok(preflight && setUp && check && more.length === 0);
    await type(preflight);
    await type(setUp);
    assert.equal(await readFile(join(place, 'asked'), 'utf8'), 'reload nginx\n');
    assert.equal((await stat(join(place, 'sentinel.conf'))).mode & 0o777, 0o600);
    await runNginx(t, place, port);
    assert.equal((await type(check)).stdout.match(/^ok /gm)?.length, 5);
  });

  it('passes its own smoke test, with and without a device (DP-06)', async () => {
    const certificate = await stack.ca.issueDevice({ deviceId: 'probe-1' });
    await writeFile(join(folder, 'ca.pem'), caPem);
    await writeFile(join(folder, 'device.pem'), certificate.certificatePem);
    await writeFile(join(folder, 'device.key'), certificate.keyPem, { mode: 0o600 });
    const script = fileURLToPath(new URL('../../deploy/nginx/smoke-test.ts', import.meta.url));
    const trust = ['--base-url', url, '--ca-file', join(folder, 'ca.pem')];
    const device = [
      '--client-cert',
      join(folder, 'device.pem'),
      '--client-key',
      join(folder, 'device.key'),
      '--device-id',
      'probe-1',
    ];
    const passed = await run(script, trust);
    assert.equal(passed.code, 0, passed.output);
    assert.equal(passed.output.match(/^ok /gm)?.length, 4);
    const probed = await run(script, [...trust, ...device]);
    assert.equal(probed.code, 0, probed.output);
    assert.equal(probed.output.match(/^ok /gm)?.length, 5);
    // Not behind a proxy that knows it, nothing of this holds.
    assert.equal((await run(script, ['--base-url', url])).code, 1);
  });
});

function run(script: string, args: readonly string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [script, ...args], { timeout: 60_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), output: stdout + stderr });
    });
  });
}

function sendPlain(
  port: number,
  localAddress: string,
  headers: Record<string, string | string[]>,
  body: object,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = {
      host: '127.0.0.1',
      port,
      localAddress,
      method: 'POST',
      path: '/api/heartbeat',
      timeout: 20_000,
      agent: false,
    } as const;
    const outgoing = plainRequest(
      { ...options, headers: { 'content-type': 'application/json', ...headers } },
      (incoming) => {
        let text = '';
        incoming.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        incoming.once('end', () =>
          resolve({ status: incoming.statusCode ?? 0, body: JSON.parse(text) as Record<string, unknown> }),
        );
      },
    );
    outgoing.once('timeout', () => outgoing.destroy(new Error('no answer in time')));
    outgoing.once('error', reject).end(JSON.stringify(body));
  });
}
