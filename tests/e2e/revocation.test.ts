// Revocation lists that OpenSSL makes, and its responder, on the real product: who is refused, since when, and what is written down.
import assert from 'node:assert/strict';
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import type { Client } from '#client/client.ts';
import { parseCertificate } from '#protocols/certificate.ts';
import type { IssuedCertificate } from '#protocols/issue-certificate.ts';
import { findFreePort } from '#start/ports.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { programPath, requires } from '#tests/harness/requires.ts';
import { startStack, type Stack, type TestDevice } from '#tests/harness/stack.ts';

const run = promisify(execFile);

describe('revocation by the authority', { skip: requires('openssl') }, () => {
  const cleanup = cleanupAfterAll();
  const folder = join(tmpdir(), `sentinel-lists-${process.pid}`);
  const list = join(folder, 'ca.crl');
  let stack: Stack;
  let ann: Client;
  let vic: Client;

  before(
    async () => {
      await mkdir(folder, { mode: 0o700 });
      cleanup.after(() => rm(folder, { recursive: true, force: true }));
      stack = await startStack(cleanup, {
        SENTINEL_DEVICE_CERTIFICATE_CRL_PATHS: list,
        SENTINEL_REVOCATION_BLAST_RADIUS_PERCENT: '40',
      });
      await writeFile(join(folder, 'index.txt'), '');
      await writeFile(join(folder, 'number'), '01\n');
      await writeFile(
        join(folder, 'ca.cnf'),
        `[ca]\ndefault_ca = own\n[own]\ndatabase = ${folder}/index.txt\ncrlnumber = ${folder}/number\ndefault_md = sha256\n`,
      );
      [ann, vic] = await Promise.all([stack.as('ann'), stack.as('vic')]);
    },
    { timeout: 180_000 },
  );
  after(() => {});

  async function openssl(...args: readonly string[]): Promise<void> {
    const ca = ['-keyfile', join(stack.home, 'ca', 'ca.key'), '-cert', join(stack.home, 'ca', 'ca.crt')];
    await run(programPath('openssl'), ['ca', '-config', join(folder, 'ca.cnf'), ...ca, ...args]);
  }

  async function publish(): Promise<void> {
    await openssl('-gencrl', '-crldays', '1', '-out', join(folder, 'next'));
    await rename(join(folder, 'next'), list);
  }

  async function revokeAtAuthority({ certificatePem }: IssuedCertificate): Promise<void> {
    await writeFile(join(folder, 'revoked.crt'), certificatePem);
    await openssl('-revoke', join(folder, 'revoked.crt'));
  }

  async function enrolled(id: string): Promise<TestDevice> {
    const device = await stack.device(id);
    const first = await device.heartbeat(1);
    assert.equal(first.status, 202, JSON.stringify(first.body));
    const review = await eventually(async () => {
      const { pending_review } = await vic.devices.get(id);
      const approval = pending_review && (await vic.approvals.get(pending_review.id).catch(() => null));
      return approval?.state === 'open' ? pending_review : null;
    }, `a review of ${id}`);
    await ann.devices.identityReview(id, { decision: 'approve', digest: review?.digest ?? '' });
    assert.equal((await device.heartbeat(2)).status, 200);
    return device;
  }

  test('nobody is let in until there is a list; readiness and the trail say why (RV-04, FT-13)', async () => {
    const device = await stack.device('early');
    const refused = await device.heartbeat(1);
    assert.equal(refused.status, 403);
    assert.equal(refused.body['code'], 'certificate.crl_unavailable');
    const { body } = await stack.request('/api/health/ready');
    const check = (body['checks'] as Record<string, { status: string; detail: string }>)['revocation'];
    assert.match(check?.detail ?? '', /cannot be relied on/);
    const event = await eventually(
      async () => (await vic.audit.list({ subject_id: 'early', outcome: 'refused' })).items[0] ?? null,
      'the refusal in the trail',
    );
    assert.equal(event.details['code'], 'certificate.crl_unavailable');
    await publish();
    await eventually(async () => ((await device.heartbeat(1)).status === 202 ? true : null), 'the list to be read');
  });

  test('a list that names a device refuses it on the connection that is open, and takes its trust (RV-02)', async () => {
    const [device, other] = [await enrolled('laptop-1'), await enrolled('laptop-2')];
    await revokeAtAuthority(device.certificate);
    await publish();
    // Nobody has to be heard for that.
    await eventually(async () => {
      const { trust_tier } = await vic.devices.get('laptop-1');
      return trust_tier === 'revoked' ? true : null;
    }, 'the tier of the device to be revoked');
    const refused = await device.heartbeat(3);
    assert.equal(refused.status, 403);
    assert.equal(refused.body['code'], 'certificate.revoked');
    assert.equal((await other.heartbeat(3)).status, 200, 'the others go on');

    const eventOf = (action: string) =>
      eventually(async () => (await vic.audit.list({ action, limit: 1 })).items[0] ?? null, `the event ${action}`);
    const cause = await eventOf('revocation.blast_radius_exceeded');
    const effect = await eventOf('device.certificate.revoked');
    assert.equal(cause.details['cause'], 'certificates_listed');
    assert.match(String(effect.details['reason']), /^listed by revocation list 2 of /);
    assert.ok(Number(cause.sequence) < Number(effect.sequence), 'the cause comes first');

    // What was revoked stays so, whatever the authority says later.
    await writeFile(join(folder, 'index.txt'), '');
    await publish();
    await stack.restart();
    [ann, vic] = await Promise.all([stack.as('ann'), stack.as('vic')]);
    const again = await stack.device('laptop-1', device.certificate);
    const later = await eventually(async () => {
      const answer = await again.heartbeat(4);
      return answer.body['code'] === 'certificate.crl_unavailable' ? null : answer;
    }, 'the lists to be read');
    assert.equal(later.body['code'], 'certificate.revoked');
  });

  test('a TLS session cannot be resumed, so that no check is skipped', async () => {
    const { certificatePem: cert, keyPem: key } = await stack.ca.issueDevice({ deviceId: 'laptop-3' });
    const { hostname: host, port } = new URL(stack.instance.api_url);
    const open = async (session?: Buffer): Promise<{ socket: TLSSocket; session: Buffer | undefined }> => {
      const socket = connect({
        host,
        port: Number(port),
        cert,
        key,
        ca: stack.ca.caCertificatePem,
        maxVersion: 'TLSv1.2',
        ...(session === undefined ? {} : { session }),
      });
      await once(socket, 'secureConnect');
      return { socket, session: socket.getSession() };
    };
    const first = await open();
    const second = await open(first.session);
    assert.equal(first.socket.isSessionReused(), false);
    assert.equal(second.socket.isSessionReused(), false);
    for (const { socket } of [first, second]) socket.destroy();
  });

  /** OpenSSL's responder over these certificates, until the next one is asked for. */
  let responder: ChildProcess | null = null;
  cleanup.after(() => stopResponder());

  async function stopResponder(): Promise<void> {
    if (responder === null) return;
    const ended = once(responder, 'exit');
    responder.kill('SIGKILL');
    await ended;
    responder = null;
  }

  async function respond(port: number, certificates: Readonly<Record<string, 'V' | 'R'>>): Promise<void> {
    await stopResponder();
    const lines = Object.entries(certificates).map(([serial, state]) =>
      [state, '300101000000Z', state === 'R' ? '261101000000Z' : '', serial, 'unknown', `/CN=${serial}`].join('\t'),
    );
    await writeFile(join(folder, 'responder.txt'), `${lines.join('\n')}\n`);
    const [crt, key] = ['ca.crt', 'ca.key'].map((name) => join(stack.home, 'ca', name)) as [string, string];
    const signer = ['-CA', crt, '-rsigner', crt, '-rkey', key, '-nmin', '5'];
    const args = ['ocsp', '-port', String(port), '-index', join(folder, 'responder.txt'), ...signer];
    const started = spawn(programPath('openssl'), args, { stdio: ['ignore', 'pipe', 'pipe'] });
    responder = started;
    started.stderr.resume();
    // It takes one connection after the other, and would wait for a request on one that is only a try.
    for await (const text of started.stdout as AsyncIterable<Buffer>) if (text.includes('ACCEPT')) break;
  }

  test('where a responder has to be asked, only its word lets a device in (RV-05, RV-06, RV-07)', async () => {
    const port = await findFreePort();
    await stack.restart({
      SENTINEL_DEVICE_CERTIFICATE_CRL_PATHS: '',
      SENTINEL_DEVICE_CERTIFICATE_OCSP_REQUIRED: 'true',
      SENTINEL_DEVICE_CERTIFICATE_OCSP_URL: `http://127.0.0.1:${port}/`,
      SENTINEL_DEVICE_CERTIFICATE_ISSUER_PATH: join(stack.home, 'ca', 'ca.crt'),
      SENTINEL_OUTBOUND_ALLOWED_PRIVATE_ADDRESSES: '127.0.0.1',
    });
    const [good, gone, strange] = await Promise.all(['ocsp-1', 'ocsp-2', 'ocsp-3'].map((id) => stack.device(id)));
    assert.ok(good && gone && strange);
    const codeOf = async (device: TestDevice) => {
      const { status, body } = await device.heartbeat(1);
      return status === 202 ? 'pending' : body['code'];
    };
    assert.equal(await codeOf(good), 'certificate.ocsp_unavailable', 'nobody answers yet');

    const serialOf = ({ certificate }: TestDevice) =>
      parseCertificate(certificate.certificatePem)
        .parts.serial.content.toString('hex')
        .replace(/^00/, '')
        .toUpperCase();
    await respond(port, { [serialOf(good)]: 'V', [serialOf(gone)]: 'R' });
    await eventually(async () => ((await codeOf(good)) === 'pending' ? true : null), 'the responder to be asked again');
    assert.equal(await codeOf(gone), 'certificate.revoked');
    assert.equal(await codeOf(strange), 'certificate.ocsp_unavailable', 'unknown to the responder');

    await stopResponder();
    assert.equal(await codeOf(good), 'pending', 'its answer is good for its time');
    assert.equal(await codeOf(gone), 'certificate.revoked');
    assert.equal(await codeOf(strange), 'certificate.ocsp_unavailable');
  });
});
