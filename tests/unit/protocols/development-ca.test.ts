// The development authority: made once, never replaced, and its certificates pass the verifier.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { systemRandom as random, type Clock } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import { parseCertificate } from '#protocols/certificate.ts';
import { isCurrent, isListed, readRevocationLists, type RevocationList } from '#protocols/crl.ts';
import { matchCommonName, parseTrustAnchors } from '#protocols/device-certificate.ts';
import { createDevelopmentCa, type DevelopmentCa } from '#protocols/development-ca.ts';
import { verify } from './certificate-forge.ts';

const dayMs = 86_400_000;
const start = new Date('2026-12-01T12:00:00.500Z');

let directory: string;
let today: Date;
const clock: Clock = { now: () => today };

/** Called by each subject: hooks at the top would be those of every file, since unit tests share a process. */
function useFolder(): void {
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'sentinel-ca-'));
    today = start;
  });
  afterEach(async () => rm(directory, { recursive: true }));
}

const load = async (): Promise<DevelopmentCa> => createDevelopmentCa(directory, { clock, random });
const file = (name: string): string => join(directory, name);
const read = async (name: string): Promise<string> => readFile(file(name), 'utf8');
const later = (days: number): Date => new Date(start.getTime() + days * dayMs);

async function refusesToLoad(name: string): Promise<void> {
  const before = await contents();
  await assert.rejects(
    load,
    (error) =>
      error instanceof TrustError && error.code === 'trust_anchor.invalid' && error.message.includes(file(name)),
  );
  assert.deepEqual(await contents(), before, 'nothing was changed');
}

async function contents(): Promise<Record<string, string>> {
  const names = await readdir(directory);
  return Object.fromEntries(await Promise.all(names.toSorted().map(async (name) => [name, await read(name)] as const)));
}

describe('createDevelopmentCa', () => {
  useFolder();

  it('makes an authority and a server certificate for this machine', async () => {
    const ca = await load();
    assert.deepEqual(Object.keys(await contents()), ['ca.crt', 'ca.key', 'server.crt', 'server.key']);
    assert.deepEqual(await contents(), {
      'ca.crt': ca.caCertificatePem,
      'ca.key': await read('ca.key'),
      'server.crt': ca.serverCertificatePem,
      'server.key': ca.serverKeyPem,
    });
    const authority = new X509Certificate(ca.caCertificatePem);
    const server = new X509Certificate(ca.serverCertificatePem);
    assert.equal(parseTrustAnchors(ca.caCertificatePem).length, 1);
    assert.ok(server.verify(authority.publicKey) && server.checkIssued(authority));
    assert.ok(server.checkHost('localhost') && server.checkIP('127.0.0.1') && server.checkIP('::1'));
    assert.equal(server.checkHost('example.org'), undefined);
    assert.deepEqual(server.keyUsage, ['1.3.6.1.5.5.7.3.1']);
  });

  it('keeps the keys from everybody else', async () => {
    await load();
    for (const name of ['ca.key', 'server.key']) assert.equal((await stat(file(name))).mode & 0o777, 0o600);
  });

  it('loads the same authority again', async () => {
    const first = await load();
    const files = await contents();
    today = later(300);
    assert.equal((await load()).serverCertificatePem, first.serverCertificatePem);
    assert.deepEqual(await contents(), files);
  });

  it('ends with one authority when several processes make it at once', async () => {
    const all = await Promise.all([load(), load(), load(), load()]);
    assert.equal(new Set(all.map((ca) => ca.caCertificatePem + ca.serverCertificatePem + ca.serverKeyPem)).size, 1);
    assert.equal((await readdir(directory)).length, 4);
  });

  it('gives each authority a name of its own', async () => {
    const { caCertificatePem } = await load();
    directory = file('another');
    assert.notEqual(
      parseCertificate((await load()).caCertificatePem).subject,
      parseCertificate(caCertificatePem).subject,
    );
    directory = join(directory, '..');
  });

  it('goes on as the same authority when a process died before the certificate was written', async () => {
    const before = await load();
    const device = await before.issueDevice({ deviceId: 'device-1' });
    await rm(file('ca.crt'));
    await rm(file('server.crt'));
    const after = await load();
    verify(device, { anchors: parseTrustAnchors(after.caCertificatePem), at: start });
    assert.equal(after.serverKeyPem, before.serverKeyPem);
  });

  it('renews a server certificate with less than 30 days left, and keeps its key', async () => {
    const first = await load();
    today = later(397 - 31);
    assert.equal((await load()).serverCertificatePem, first.serverCertificatePem);
    today = later(397 - 29);
    const renewed = await load();
    assert.notEqual(renewed.serverCertificatePem, first.serverCertificatePem);
    assert.equal(renewed.serverKeyPem, first.serverKeyPem);
    assert.equal(await read('server.crt'), renewed.serverCertificatePem);
    assert.equal((await readdir(directory)).length, 4);
  });

  const damages: readonly [title: string, name: string, damage: () => Promise<unknown>][] = [
    ['a certificate that is no certificate', 'ca.crt', async () => writeFile(file('ca.crt'), 'x')],
    ['an empty certificate', 'ca.crt', async () => writeFile(file('ca.crt'), '')],
    [
      'a certificate that is cut off',
      'server.crt',
      async () => writeFile(file('server.crt'), (await read('server.crt')).slice(0, 200)),
    ],
    ['a key that is no key', 'ca.key', async () => writeFile(file('ca.key'), 'x')],
    [
      'a certificate where the key should be',
      'server.key',
      async () => writeFile(file('server.key'), await read('server.crt')),
    ],
    ['the key of something else', 'ca.crt', async () => writeFile(file('ca.key'), await read('server.key'))],
    ['a missing authority key', 'ca.key', async () => rm(file('ca.key'))],
    ['a missing server key', 'server.key', async () => rm(file('server.key'))],
    ['an authority that is none', 'ca.crt', async () => replacePair('ca', 'server')],
    [
      'a server certificate of another authority',
      'server.crt',
      async () => Promise.all([rm(file('ca.crt')), rm(file('ca.key'))]),
    ],
    ['an authority that has expired', 'ca.crt', async () => (today = later(3653))],
  ];
  for (const [title, name, damage] of damages) {
    it(`refuses ${title} and leaves the files alone`, async () => {
      await load();
      await damage();
      if (title.includes('another authority')) await assert.rejects(load, { code: 'trust_anchor.invalid' });
      else await refusesToLoad(name);
    });
  }

  it('never shows the key in an error', async () => {
    await load();
    const secret = (await read('ca.key')).replaceAll('-----', '');
    await writeFile(file('ca.key'), secret);
    await assert.rejects(load, (error: Error) => {
      assert.ok(!`${error.stack} ${JSON.stringify(error.cause)}`.includes(secret.slice(30, 60)));
      return true;
    });
  });

  async function replacePair(target: string, source: string): Promise<void> {
    for (const kind of ['crt', 'key']) await writeFile(file(`${target}.${kind}`), await read(`${source}.${kind}`));
  }
});

describe('issueDevice', () => {
  useFolder();

  it('issues for 90 days a certificate that the verifier accepts for that device only (HB-05)', async () => {
    const ca = await load();
    const anchors = parseTrustAnchors(ca.caCertificatePem);
    const verified = verify(await ca.issueDevice({ deviceId: 'device_1.a:b-c' }), { anchors, at: start });
    matchCommonName(verified, 'device_1.a:b-c');
    assert.throws(() => matchCommonName(verified, 'device_1'), { code: 'certificate.name_mismatch' });
    assert.equal(verified.notAfter, '2027-03-01T12:00:00.000Z');
    assert.deepEqual([verified.isCa, verified.keyUsage], [false, ['digitalSignature']]);
  });

  it('issues for the time that is asked for', async () => {
    const ca = await load();
    const [notBefore, notAfter] = [later(-10), later(-5)];
    const { certificatePem } = await ca.issueDevice({ deviceId: 'device-1', notBefore, notAfter });
    assert.deepEqual(parseCertificate(certificatePem).notAfter, '2026-11-26T12:00:00.000Z');
  });

  it('gives every certificate its own serial number and key', async () => {
    const ca = await load();
    const issued = await Promise.all(Array.from({ length: 5 }, async () => ca.issueDevice({ deviceId: 'device-1' })));
    const certificates = issued.map(({ certificatePem }) => parseCertificate(certificatePem));
    assert.equal(new Set(certificates.map(({ serialNumber }) => serialNumber)).size, 5);
    assert.ok(certificates.every(({ serialNumber }) => /^[4-7][0-9a-f]{31}$/.test(serialNumber)));
    assert.equal(new Set(issued.map(({ keyPem }) => keyPem)).size, 5);
  });

  for (const deviceId of ['', 'a,CN=b', 'a/b', 'a b', 'ä', 'a\0', '-a', 'a'.repeat(65)]) {
    it(`refuses the device id ${JSON.stringify(deviceId)}`, async () => {
      const ca = await load();
      await assert.rejects(ca.issueDevice({ deviceId }), { code: 'request.invalid' });
    });
  }
});

describe('revoke', () => {
  useFolder();

  async function published(): Promise<RevocationList> {
    const [list] = readRevocationLists(Buffer.from(await read('ca.crl')), [parseCertificate(await read('ca.crt'))]);
    assert.ok(list);
    return list;
  }
  const serialOf = async (ca: DevelopmentCa, deviceId: string): Promise<string> =>
    parseCertificate((await ca.issueDevice({ deviceId })).certificatePem).serialNumber;

  it('has a list from the start that revokes nobody, and is current for as long as the authority is', async () => {
    const ca = await load();
    assert.deepEqual(await ca.publishList(), { file: file('ca.crl'), number: 1 });
    const list = await published();
    assert.deepEqual([list.entries, list.number, list.issuer], [0, '1', ca.subject]);
    for (const day of [0, 300, 3650]) assert.ok(isCurrent(list, later(day)), `after ${day} days`);
    assert.ok(isCurrent(list, new Date(start.getTime() - 60_000)), 'with a clock that was put back');
  });

  it('lists a certificate for ever, and each new list has a higher number (RV-02)', async () => {
    const ca = await load();
    const [first, second, other] = await Promise.all(['a', 'b', 'c'].map((id) => serialOf(ca, id)));
    assert.ok(first && second && other);
    assert.equal((await ca.revoke(first)).number, 2);
    today = later(1);
    assert.equal((await (await load()).revoke(second.toUpperCase())).number, 3);
    assert.equal((await ca.revoke(`00${first}`)).number, 3, 'once more changes nothing');
    const list = await published();
    assert.deepEqual(
      [first, second, other].map((serial) => isListed(list, serial)),
      [true, true, false],
    );
    assert.equal(list.thisUpdate, later(1).toISOString().replace('.500', '.000'));
    assert.ok(isCurrent(list, today));
  });

  it('forgets nobody when several revoke at once', async () => {
    const ca = await load();
    const serials = await Promise.all(Array.from({ length: 8 }, (_, n) => serialOf(ca, `device-${n}`)));
    await Promise.all(serials.map((serial) => ca.revoke(serial)));
    const list = await published();
    assert.ok(serials.every((serial) => isListed(list, serial)));
    assert.equal(list.number, '9');
  });

  it('makes a list anew that is gone, damaged or of before, and leaves a right one alone', async () => {
    const ca = await load();
    const serial = await serialOf(ca, 'a');
    await ca.publishList();
    const before = await read('ca.crl');
    await ca.revoke(serial);
    const right = await read('ca.crl');
    await ca.publishList();
    assert.equal(await read('ca.crl'), right);
    for (const damage of [null, 'x', before]) {
      await (damage === null ? rm(file('ca.crl')) : writeFile(file('ca.crl'), damage));
      await ca.publishList();
      assert.ok(isListed(await published(), serial));
    }
  });

  it('refuses what is no serial number, and what it wrote down when that is damaged', async () => {
    const ca = await load();
    for (const wrong of ['', 'xyz', '1\n2', '1'.repeat(41)])
      await assert.rejects(ca.revoke(wrong), { code: 'request.invalid' });
    await writeFile(file('revoked.txt'), 'nonsense\n');
    await assert.rejects(ca.publishList(), { code: 'trust_anchor.invalid', message: /revoked\.txt/ });
  });
});
