// The rendered proxy configuration in a real nginx: who gets through, and what arrives behind it.
import assert from 'node:assert/strict';
import { createHash, randomBytes, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { connect } from 'node:tls';
import { systemClock, systemRandom as random } from '#contracts/deps.ts';
import { createDevelopmentCa, type DevelopmentCa } from '#protocols/development-ca.ts';
import { issueCertificate, type CertificateOptions, type IssuedCertificate } from '#protocols/issue-certificate.ts';
import { readProxyCertificate } from '#protocols/proxy-headers.ts';
import { cleanupAfterAll } from '../harness/cleanup.ts';
import { startNginx } from '../harness/nginx.ts';
import { requires } from '../harness/requires.ts';

const serverName = 'sentinel.test';
const proxySecret = randomBytes(32).toString('base64url');

/** What the upstream got: names in lower case, and no value twice without both being seen. */
interface Arrived {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly bodyBytes: number;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
}

interface Send {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string | Buffer;
  readonly certificate?: IssuedCertificate;
  readonly host?: string;
}

const certificateHeaders = [
  'verify',
  'cert',
  'serial',
  'issuer-dn',
  'subject-dn',
  'fingerprint',
  'not-before',
  'not-after',
].map((name) => `x-ssl-client-${name}`);

describe('nginx as rendered', { skip: requires('nginx') }, () => {
  const cleanup = cleanupAfterAll();
  let ca: DevelopmentCa;
  let foreignCa: DevelopmentCa;
  let device: IssuedCertificate;
  let upstream: Server;
  let port = 0;

  before(async () => {
    const directory = await mkdtemp(join(tmpdir(), 'sentinel-proxy-'));
    cleanup.after(() => rm(directory, { recursive: true, force: true }));
    ca = await createDevelopmentCa(join(directory, 'ca'), { clock: systemClock, random });
    foreignCa = await createDevelopmentCa(join(directory, 'foreign'), { clock: systemClock, random });
    device = await ca.issueDevice({ deviceId: 'device-1' });
    const server = await ca.issueServer({ names: [serverName] });
    upstream = createServer((incoming, outgoing) => {
      // Never ended: it has to come through all the same.
      if (incoming.headers.accept === 'text/event-stream') outgoing.writeHead(200).write('data: one\n\n');
      else void tellWhatArrived(incoming).then((arrived) => outgoing.end(JSON.stringify(arrived)));
    });
    upstream.listen(0, '127.0.0.1');
    await once(upstream, 'listening');
    cleanup.after(() => {
      upstream.close();
      upstream.closeAllConnections();
    });
    ({ port } = await startNginx(cleanup, {
      serverName,
      certificatePem: server.certificatePem,
      keyPem: server.keyPem,
      clientCaPem: ca.caCertificatePem,
      upstreamPort: (upstream.address() as AddressInfo).port,
      proxySecret,
    }));
  });
  const send = (options: Send): Promise<Answer> => sendTo(port, ca.caCertificatePem, options);
  const arrivedFrom = async (options: Send): Promise<Arrived> => {
    const { status, text } = await send(options);
    assert.equal(status, 200, text);
    return JSON.parse(text) as Arrived;
  };
  const heartbeat = { method: 'POST', path: '/api/heartbeat', body: '{}' } as const;

  it('lets people in without a certificate (DP-01, DP-02)', async () => {
    for (const path of ['/', '/dashboard', '/api/devices?limit=1', '/temporal/'])
      assert.equal((await arrivedFrom({ path })).url, path);
  });

  it('asks for a certificate only on POST /api/heartbeat (DP-02)', async () => {
    const { status, headers, text } = await send(heartbeat);
    assert.equal(status, 401);
    assert.equal(headers['content-type'], 'application/problem+json');
    assert.equal((JSON.parse(text) as { code: string }).code, 'certificate.missing');
    assert.equal((await send({ path: '/api/heartbeat' })).status, 200);
    for (const path of ['//api/heartbeat', '/api/./heartbeat', '/api/%68eartbeat', '/x/../api/heartbeat'])
      assert.equal((await send({ ...heartbeat, path })).status, 401, path);
  });

  it('forwards what it knows of a verified certificate, with its secret (DP-01, HB-15)', async () => {
    const { headers } = await arrivedFrom({ ...heartbeat, certificate: device });
    const x509 = new X509Certificate(device.certificatePem);
    const one = (name: string): string => {
      assert.equal(headers[name]?.length, 1, name);
      return headers[name]?.[0] ?? '';
    };
    assert.equal(one('x-ssl-client-verify'), 'SUCCESS');
    assert.deepEqual(new X509Certificate(decodeURIComponent(one('x-ssl-client-cert'))).raw, x509.raw);
    assert.equal(BigInt(`0x${one('x-ssl-client-serial')}`), BigInt(`0x${x509.serialNumber}`));
    assert.equal(one('x-ssl-client-subject-dn'), 'CN=device-1');
    assert.match(one('x-ssl-client-issuer-dn'), /^CN=Sentinel Development CA [0-9a-f]{12},O=Sentinel$/);
    // nginx knows only SHA-1; nothing is decided by it, since the certificate itself comes along.
    assert.equal(one('x-ssl-client-fingerprint'), createHash('sha1').update(x509.raw).digest('hex'));
    assert.equal(new Date(one('x-ssl-client-not-before')).getTime(), new Date(x509.validFrom).getTime());
    assert.equal(new Date(one('x-ssl-client-not-after')).getTime(), new Date(x509.validTo).getTime());
    assert.equal(one('x-sentinel-proxy-secret'), proxySecret);
  });

  it('speaks of certificates as the API reads it, whatever their names and keys (HB-15)', async (t) => {
    const validity = { notBefore: new Date(Date.now() - 86_400_000), notAfter: new Date(Date.now() + 9 * 86_400_000) };
    const serialNumber = (): Uint8Array => Uint8Array.from([1, ...randomBytes(15)]);
    const issuer = await issueCertificate({
      subject: [
        { C: ['DE'] },
        { O: [{ utf8String: 'Prüf+Stelle, "Nord" #1' }] },
        { CN: [{ utf8String: ' odd; <CA> \\ ' }] },
      ],
      serialNumber: serialNumber(),
      ...validity,
      authority: {},
      keyUsage: ['keyCertSign'],
    });
    const server = await ca.issueServer({ names: [serverName] });
    const nginx = await startNginx(t, {
      serverName,
      certificatePem: server.certificatePem,
      keyPem: server.keyPem,
      clientCaPem: issuer.certificatePem,
      upstreamPort: (upstream.address() as AddressInfo).port,
      proxySecret,
    });
    const subjects: CertificateOptions['subject'][] = [
      [{ CN: [{ utf8String: 'device-1' }] }],
      [{ O: [{ utf8String: 'a,b+c=d' }] }, { CN: [{ utf8String: '#device' }] }],
      [{ CN: [{ utf8String: 'gerät-☃' }], OU: [{ utf8String: 'x' }] }],
      [{ E: [{ ia5String: 'a@b.test' }] }, { DC: [{ ia5String: 'test' }] }, { CN: [{ printableString: 'device 2' }] }],
      [{ '1.2.3.4': [{ utf8String: 'unknown type' }] }, { CN: [{ utf8String: 'device-3' }] }],
    ];
    for (const [index, subject] of subjects.entries()) {
      const certificate = await issueCertificate({
        subject,
        issuer,
        keyAlgorithm: index % 2 === 0 ? 'P-256' : 'RSA-2048',
        serialNumber: index === 0 ? Uint8Array.from([0x80]) : serialNumber(),
        ...validity,
        keyUsage: ['digitalSignature'],
        extendedKeyUsage: ['1.3.6.1.5.5.7.3.2'],
      });
      const { status, text } = await sendTo(nginx.port, ca.caCertificatePem, { ...heartbeat, certificate });
      assert.equal(status, 200, text);
      const { headers } = JSON.parse(text) as Arrived;
      const raw = Object.entries(headers).flatMap(([name, values]) => values.flatMap((value) => [name, value]));
      const read = readProxyCertificate(raw);
      assert.equal(
        read.fingerprintSha256,
        createHash('sha256').update(new X509Certificate(certificate.certificatePem).raw).digest('hex'),
      );
    }
  });

  it('says nothing of a certificate on any other route (DP-02)', async () => {
    for (const { method, path } of [
      { method: 'GET', path: '/api/heartbeat' },
      { method: 'POST', path: '/api/devices' },
      { method: 'POST', path: '/api/heartbeat/' },
      { method: 'GET', path: '/' },
    ]) {
      const { headers } = await arrivedFrom({ method, path, certificate: device });
      for (const name of certificateHeaders) assert.equal(headers[name], undefined, `${method} ${path} ${name}`);
    }
  });

  it('lets the API judge a certificate that it cannot verify, with the request unchanged (DP-02, HB-15)', async () => {
    const foreign = await foreignCa.issueDevice({ deviceId: 'device-1' });
    const expired = await ca.issueDevice({
      deviceId: 'device-1',
      notBefore: new Date(Date.now() - 2 * 86_400_000),
      notAfter: new Date(Date.now() - 86_400_000),
    });
    for (const certificate of [foreign, expired]) {
      const body = JSON.stringify({ text: 'x'.repeat(100_000) });
      const arrived = await arrivedFrom({ ...heartbeat, path: '/api/heartbeat?x=%2F', certificate, body });
      assert.deepEqual([arrived.method, arrived.url, arrived.bodyBytes], ['POST', '/api/heartbeat?x=%2F', body.length]);
      assert.match(arrived.headers['x-ssl-client-verify']?.join() ?? '', /^FAILED:/);
      assert.equal(
        decodeURIComponent(arrived.headers['x-ssl-client-cert']?.join() ?? ''),
        certificate.certificatePem.trimEnd() + '\n',
      );
    }
  });

  it('lets a browser in whose certificate it cannot verify, and says nothing of that certificate (DP-02)', async () => {
    const { headers } = await arrivedFrom({
      path: '/dashboard',
      certificate: await foreignCa.issueDevice({ deviceId: 'laptop' }),
    });
    for (const name of certificateHeaders) assert.equal(headers[name], undefined, name);
  });

  it('replaces every forged header, on every route and in every spelling (SA-08)', async () => {
    const forged = 'forged-by-the-client';
    const names = [
      ...certificateHeaders,
      'x-sentinel-proxy-secret',
      'x-forwarded-for',
      'x-forwarded-proto',
      'forwarded',
      'x-real-ip',
      'true-client-ip',
      'x-client-cert',
      'x-forwarded-client-cert',
      'client-cert',
    ];
    const spellings = names.flatMap((name) => [
      name,
      name.toUpperCase(),
      name.replaceAll('-', '_'),
      name.replace('-', '_'),
    ]);
    for (const path of [
      '/',
      '/api/heartbeat',
      '/api/devices',
      '/api/events/stream',
      '/temporal/api',
      '/api//heartbeat',
    ]) {
      for (const method of ['GET', 'POST']) {
        for (const certificate of [device, await foreignCa.issueDevice({ deviceId: 'device-1' })]) {
          const headers = Object.fromEntries(spellings.map((name) => [name, [forged, forged]]));
          const { text } = await send({ method, path, certificate, headers });
          assert.equal(text.includes(forged), false, `${method} ${path}: ${text}`);
          const arrived = JSON.parse(text) as Arrived;
          assert.deepEqual(arrived.headers['x-sentinel-proxy-secret'], [proxySecret]);
          assert.deepEqual(arrived.headers['x-forwarded-for'], ['127.0.0.1']);
        }
      }
    }
  });

  it('answers only for its own name', async () => {
    assert.equal((await send({ path: '/', host: 'evil.test' })).status, 421);
    const certificate = await foreignCa.issueDevice({ deviceId: 'device-1' });
    assert.equal((await send({ path: '/', host: 'evil.test', certificate })).status, 421);
  });

  it('passes events on as they come', async () => {
    const first = await new Promise<string>((resolve, reject) => {
      const options = optionsFor(port, ca.caCertificatePem, {
        path: '/api/events/stream',
        headers: { accept: 'text/event-stream' },
      });
      const outgoing = request(options, (incoming) => {
        incoming.setEncoding('utf8').once('data', (chunk: string) => {
          resolve(chunk);
          incoming.destroy();
        });
      });
      outgoing.once('error', reject).end();
    });
    assert.equal(first, 'data: one\n\n');
  });

  it('refuses a body above its limit as the API would', async () => {
    const { status, headers, text } = await send({ method: 'POST', path: '/api/devices', body: Buffer.alloc(3 << 20) });
    assert.deepEqual(
      [status, headers['content-type'], (JSON.parse(text) as { code: string }).code],
      [413, 'application/problem+json', 'request.too_large'],
    );
  });

  it('speaks TLS 1.2 and 1.3, and resumes no session', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const first = await connectOnce({ port, caPem: ca.caCertificatePem, version });
      assert.equal(first.version, version);
      const { session } = first;
      if (session === undefined) continue;
      assert.equal((await connectOnce({ port, caPem: ca.caCertificatePem, version, session })).reused, false, version);
    }
    await assert.rejects(connectOnce({ port, caPem: ca.caCertificatePem, version: 'TLSv1.1' }), /ALERT|alert|version/);
  });

  it('answers 503 while the API is away (DP-01)', async (t) => {
    const server = await ca.issueServer({ names: [serverName] });
    const free = createServer().listen(0, '127.0.0.1');
    await once(free, 'listening');
    const upstreamPort = (free.address() as AddressInfo).port;
    free.close();
    const lonely = await startNginx(t, {
      serverName,
      certificatePem: server.certificatePem,
      keyPem: server.keyPem,
      clientCaPem: ca.caCertificatePem,
      upstreamPort,
      proxySecret,
    });
    const { status, headers, text } = await sendTo(lonely.port, ca.caCertificatePem, { path: '/api/health/live' });
    assert.deepEqual(
      [status, headers['retry-after'], (JSON.parse(text) as { code: string }).code],
      [503, '2', 'service.unavailable'],
    );
  });
});

async function tellWhatArrived(incoming: IncomingMessage): Promise<Arrived> {
  const headers: Record<string, string[]> = {};
  for (let index = 0; index < incoming.rawHeaders.length; index += 2)
    (headers[incoming.rawHeaders[index]?.toLowerCase() ?? ''] ??= []).push(incoming.rawHeaders[index + 1] ?? '');
  let bodyBytes = 0;
  for await (const chunk of incoming) bodyBytes += (chunk as Buffer).length;
  return { method: incoming.method ?? '', url: incoming.url ?? '', headers, bodyBytes };
}

function optionsFor(
  port: number,
  caPem: string,
  { method = 'GET', path = '/', headers, certificate, host = serverName }: Send,
) {
  return {
    host: '127.0.0.1',
    port,
    method,
    path,
    servername: serverName,
    ca: caPem,
    agent: false,
    timeout: 10_000,
    headers: { host: `${host}:${port}`, 'content-type': 'application/json', ...headers },
    ...(certificate === undefined ? {} : { cert: certificate.certificatePem, key: certificate.keyPem }),
  } as const;
}

function sendTo(port: number, caPem: string, options: Send): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(optionsFor(port, caPem, options), (incoming) => {
      let text = '';
      incoming.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      incoming.once('end', () => resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text }));
    });
    outgoing.once('timeout', () => outgoing.destroy(new Error('no answer in time')));
    outgoing.once('error', reject).end(options.body);
  });
}

interface Connect {
  readonly port: number;
  readonly caPem: string;
  readonly version: 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3';
  readonly session?: Buffer;
}

/** Asks for something, since tickets come after the handshake; OpenSSL offers TLS 1.1 only when told to be careless. */
async function connectOnce({ port, caPem, version, session }: Connect) {
  const socket = connect({
    host: '127.0.0.1',
    port,
    servername: serverName,
    ca: caPem,
    minVersion: version,
    maxVersion: version,
    ...(version === 'TLSv1.1' ? { ciphers: 'DEFAULT@SECLEVEL=0' } : {}),
    ...(session === undefined ? {} : { session }),
  });
  let offered: Buffer | undefined;
  socket.on('session', (ticket: Buffer) => (offered = ticket));
  await once(socket, 'secureConnect');
  socket.write(`GET / HTTP/1.1\r\nhost: ${serverName}\r\n\r\n`);
  await once(socket, 'data');
  const seen = { version: socket.getProtocol(), reused: socket.isSessionReused(), session: offered };
  socket.destroy();
  return seen;
}
