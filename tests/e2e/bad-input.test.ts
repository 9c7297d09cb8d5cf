// What anybody can send to a whole installation with certificates of its own: each refusal has its code, and refused identities are on record.
import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Agent, fetch } from 'undici';
import type { AuditEvent } from '#contracts/http/audit.ts';
import type { CertificateOptions, IssuedCertificate } from '#protocols/issue-certificate.ts';
import { findFreePort } from '#start/ports.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { startStack, type Stack } from '#tests/harness/stack.ts';
import { cn, derName, forgeAuthority, forgeLeaf } from '#tests/unit/protocols/certificate-forge.ts';

const dayMs = 86_400_000;
const at = (days: number): Date => new Date(Date.now() + days * dayMs);
const valid = { notBefore: at(-1), notAfter: at(90) };
const serverAuth = '1.3.6.1.5.5.7.3.1';

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

describe('an installation with its own certificates and a port for devices', () => {
  const cleanup = cleanupAfterAll();
  let stack: Stack;
  let ca: IssuedCertificate;
  let foreignCa: IssuedCertificate;
  let otherCa: IssuedCertificate;
  let devicePort = 0;
  let folder = '';
  let caFile = '';

  before(
    async () => {
      folder = await mkdtemp(join(tmpdir(), 'sentinel-own-'));
      cleanup.after(() => rm(folder, { recursive: true, force: true }));
      const authority = (name: string) => forgeAuthority(name, { notBefore: at(-1), notAfter: at(365) });
      [ca, foreignCa, otherCa] = (await Promise.all(['Own CA', 'Foreign CA', 'Other CA'].map(authority))) as [
        IssuedCertificate,
        IssuedCertificate,
        IssuedCertificate,
      ];
      const server = await forgeLeaf(ca, {
        ...valid,
        subject: [{ CN: [{ utf8String: 'localhost' }] }],
        extendedKeyUsage: [serverAuth],
        alternativeNames: ['localhost', '127.0.0.1'],
      });
      caFile = join(folder, 'ca.crt');
      await writeFile(caFile, ca.certificatePem);
      await writeFile(join(folder, 'server.crt'), server.certificatePem);
      await writeFile(join(folder, 'server.key'), server.keyPem, { mode: 0o600 });
      devicePort = await findFreePort();
      stack = await startStack(cleanup, {
        SENTINEL_TLS_CERT: join(folder, 'server.crt'),
        SENTINEL_TLS_KEY: join(folder, 'server.key'),
        SENTINEL_TLS_CA: caFile,
        SENTINEL_DEVICE_PORT: String(devicePort),
      });
    },
    { timeout: 180_000 },
  );

  const certificateOf = (id: string, more: Partial<CertificateOptions> = {}, issuer = ca): Promise<IssuedCertificate> =>
    forgeLeaf(issuer, { ...valid, subject: [{ CN: [{ utf8String: id }] }], ...more });

  /** @param port the one of devices unless told */
  async function send(
    body: string | Uint8Array<ArrayBuffer>,
    { as, port = devicePort, headers = {}, path = '/api/heartbeat' }: Sending = {},
  ): Promise<Answer> {
    const identity = as === undefined ? {} : { cert: as.certificatePem, key: as.keyPem };
    const dispatcher = new Agent({ connect: { ca: await readFile(caFile, 'utf8'), ...identity } });
    try {
      const answer = await fetch(`https://localhost:${port}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body,
        signal: AbortSignal.timeout(20_000),
        redirect: 'error',
        dispatcher,
      });
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    } finally {
      await dispatcher.close();
    }
  }

  interface Sending {
    readonly as?: IssuedCertificate;
    readonly port?: number;
    readonly headers?: Record<string, string>;
    readonly path?: string;
  }

  const beat = (id: string, as?: IssuedCertificate, more: object = {}): Promise<Answer> =>
    send(JSON.stringify({ device_id: id, heartbeat_counter: 1, ...more }), as === undefined ? {} : { as });
  const told = ({ status, body }: Answer): string => `${status} ${String(body['code'] ?? body['status'])}`;
  const mainPort = (): number => Number(new URL(stack.instance.api_url).port);

  it('ends mutual TLS itself with the certificates that the settings name, and clients trust the same authority (HB-16)', async () => {
    assert.equal(stack.instance.ca_file, caFile);
    assert.equal(told(await beat('own-1', await certificateOf('own-1'))), '202 pending');
  });

  it('asks for certificates on the port of devices only, and serves nothing else there (HB-02)', async () => {
    const as = await certificateOf('own-2');
    const heartbeat = JSON.stringify({ device_id: 'own-2', heartbeat_counter: 1 });
    assert.equal(told(await send(heartbeat, { as, port: mainPort() })), '401 certificate.missing');
    assert.equal(told(await beat('own-2')), '401 certificate.missing');
    const login = JSON.stringify({ username: 'ann', password: 'ann' });
    assert.equal(told(await send(login, { path: '/api/admin/login' })), '404 resource.not_found');
    assert.equal((await send(login, { path: '/api/admin/login', port: mainPort() })).status, 200);
  });

  it('refuses each wrong certificate with its own code, and writes each refusal down (HB-05, HB-11, SA-07)', async () => {
    const cases: readonly (readonly [string, string, Promise<IssuedCertificate>])[] = [
      ['foreign', '401 certificate.untrusted', certificateOf('foreign', {}, foreignCa)],
      ['expired', '403 certificate.expired', certificateOf('expired', { notBefore: at(-9), notAfter: at(-1) })],
      ['early', '403 certificate.not_yet_valid', certificateOf('early', { notBefore: at(1), notAfter: at(9) })],
      ['usage', '403 certificate.wrong_usage', certificateOf('usage', { extendedKeyUsage: [serverAuth] })],
      ['signing', '403 certificate.wrong_usage', certificateOf('signing', { keyUsage: ['keyEncipherment'] })],
      ['somebody', '403 certificate.name_mismatch', certificateOf('anybody')],
      ['sensor-1', '403 certificate.name_mismatch', certificateOf('sensor-1, CN=admin')],
      ['twice', '403 certificate.name_mismatch', certificateOf('', { subject: nameOf(['twice'], ['twice']) })],
      ['joined', '403 certificate.name_mismatch', certificateOf('', { subject: nameOf(['joined', 'other']) })],
    ];
    for (const [id, expected, certificate] of cases) {
      assert.equal(told(await beat(id, await certificate)), expected, id);
    }
    const viewer = await stack.as('vic');
    for (const [id, expected] of cases) {
      const event = await eventually<AuditEvent>(async () => {
        const { items } = await viewer.audit.list({ subject_id: id });
        return items.find(({ action }) => action === 'heartbeat.refused');
      }, `the event about ${id}`);
      assert.equal(event.outcome, 'refused');
      assert.equal(event.details['code'], expected.split(' ')[1]);
    }
  });

  it('judges no counter but a whole number from 1 to 2^53 − 1 (HB-07)', async () => {
    const as = await certificateOf('counter');
    for (const counter of ['0', '-1', '1.5', '"7"', 'null', '9007199254740992', '1e999', 'true', '[1]']) {
      const answer = await send(`{"device_id":"counter","heartbeat_counter":${counter}}`, { as });
      assert.match(told(answer), /^400 (heartbeat\.counter_invalid|request\.(invalid|malformed))$/, counter);
      if (!['1e999'].includes(counter)) assert.equal(answer.body['code'], 'heartbeat.counter_invalid', counter);
    }
    assert.equal(told(await send('{"device_id":"counter"}', { as })), '400 heartbeat.counter_invalid');
  });

  it('refuses what no device of ours would send, and takes nothing of it in', async () => {
    const as = await certificateOf('strange');
    const whole = (more: string): string => `{"device_id":"strange","heartbeat_counter":1${more}}`;
    const cases: readonly (readonly [string, string, string])[] = [
      ['an unknown field', whole(',"is_admin":true'), '400 request.invalid'],
      ['NUL in a text', whole(',"hostname":"a\\u0000b"'), '400 request.invalid'],
      ['a lone surrogate', whole(',"hostname":"\\ud800"'), '400 request.invalid'],
      ['a key twice', whole(',"hostname":"a","hostname":"b"'), '400 request.invalid'],
      ['__proto__', whole(',"__proto__":{"admin":true}'), '400 request.invalid'],
      ['a device id with a slash', '{"device_id":"a/b","heartbeat_counter":1}', '400 request.invalid'],
      ['no object', '[]', '400 request.invalid'],
      ['half an object', '{"device_id":', '400 request.malformed'],
      ['a deep nest', whole(`,"posture":${'['.repeat(5000)}${']'.repeat(5000)}`), '400 request.invalid'],
      ['a megabyte', whole(`,"hostname":"${'x'.repeat(1_100_000)}"`), '413 request.too_large'],
    ];
    for (const [what, text, expected] of cases) assert.equal(told(await send(text, { as })), expected, what);
    const gzipped = await send(new Uint8Array(gzipSync(whole(''))), { as, headers: { 'content-encoding': 'gzip' } });
    assert.equal(told(gzipped), '415 request.unsupported_media_type');
    const invalidUtf8 = new Uint8Array([...Buffer.from('{"device_id":"'), 0xff, ...Buffer.from('"}')]);
    assert.equal(told(await send(invalidUtf8, { as })), '400 request.malformed');
    const { items } = await (await stack.as('vic')).devices.list({ search: 'strange' });
    assert.deepEqual(items, []);
  });

  it('believes no certificate header where no proxy is configured (SA-08)', async () => {
    const certificate = await certificateOf('forged');
    const headers = {
      'x-ssl-client-verify': 'SUCCESS',
      'x-ssl-client-cert': encodeURIComponent(certificate.certificatePem),
    };
    const heartbeat = JSON.stringify({ device_id: 'forged', heartbeat_counter: 1 });
    assert.equal(told(await send(heartbeat, { headers })), '403 proxy.untrusted');
    assert.equal(told(await send(heartbeat, { headers, as: certificate })), '403 proxy.untrusted');
    assert.equal(told(await send(heartbeat, { headers, port: mainPort() })), '403 proxy.untrusted');
  });

  it('takes a certificate of another project’s authority for another device, whatever its name (SS-01)', async () => {
    const own = await certificateOf('shared');
    assert.equal((await beat('shared', own)).status, 202);
    await addAuthority('other', otherCa);
    const others = await certificateOf('shared', {}, otherCa);
    // The API reads the authorities again every few seconds.
    const answer = await eventually(async () => {
      const found = await beat('shared', others);
      return found.status === 401 ? null : found;
    }, 'the authority of the other project');
    assert.equal(told(answer), '202 pending');

    const fingerprintIn = async (project: string): Promise<unknown> => {
      const headers = { authorization: `Bearer ${await stack.token('ann')}`, 'x-sentinel-project': project };
      const { body } = await stack.request('/api/devices/shared', { headers });
      return (body['candidate_certificate'] as Record<string, unknown> | null)?.['fingerprint_sha256'];
    };
    assert.equal(await fingerprintIn('default'), fingerprintOf(own));
    assert.equal(await fingerprintIn('other'), fingerprintOf(others));
  });

  /** As an administrator of the database would: the owner is held to one project too. */
  async function addAuthority(project: string, { certificatePem }: IssuedCertificate): Promise<void> {
    const client = await stack.database.connect();
    try {
      await client.query(`INSERT INTO project (id, organisation_id, name) VALUES ($1, 'default', $1)`, [project]);
      await client.query(`SELECT set_config('sentinel.project', $1, false)`, [project]);
      await client.query(
        `INSERT INTO trust_anchor (project_id, fingerprint_sha256, subject, pem, created_at)
         VALUES ($1, $2, 'CN=Other CA', $3, now())`,
        [project, fingerprintOf({ certificatePem }), certificatePem],
      );
    } finally {
      client.release(true);
    }
  }
});

function fingerprintOf({ certificatePem }: Pick<IssuedCertificate, 'certificatePem'>): string {
  return createHash('sha256').update(new X509Certificate(certificatePem).raw).digest('hex');
}

/** A subject with these common names, each group in one relative name. */
function nameOf(...groups: readonly (readonly string[])[]): NonNullable<CertificateOptions['subject']> {
  return derName(...groups.map((names) => names.map((name): [string, number, string] => [cn, 0x0c, name])));
}
