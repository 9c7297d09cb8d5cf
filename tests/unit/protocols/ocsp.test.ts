// Answers of a responder: who may give them, about which certificate, for how long, and what is refused.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import fc from 'fast-check';
import { TrustError } from '#contracts/problems.ts';
import { parseCertificate, type Certificate } from '#protocols/certificate.ts';
import type { IssuedCertificate } from '#protocols/issue-certificate.ts';
import { ocspResponderOf, readOcspAnswer, writeOcspRequest, type CertificateStatus } from '#protocols/ocsp.ts';
import { programPath, requires } from '#tests/harness/requires.ts';
import { der, forgeAuthority, forgeLeaf, now } from './certificate-forge.ts';
import { extension, extensionOids } from './crl-forge.ts';
import { errorAnswer, forgeAnswer, statuses, type AnswerOptions } from './ocsp-forge.ts';

const ocspSigning = '1.3.6.1.5.5.7.3.9';
const nonce = Buffer.alloc(32, 7);
const daySeconds = 86_400;

let ca: IssuedCertificate;
let other: IssuedCertificate;
let leaf: IssuedCertificate;
let delegate: IssuedCertificate;

before(async () => {
  ca = await forgeAuthority('Sentinel Test CA');
  other = await forgeAuthority('Another CA');
  leaf = await forgeLeaf(ca);
  delegate = await responder();
});

async function responder(change: Parameters<typeof forgeLeaf>[1] = {}, issuer = ca): Promise<IssuedCertificate> {
  const subject = [{ CN: [{ utf8String: 'Responder' }] }];
  return forgeLeaf(issuer, { subject, extendedKeyUsage: [ocspSigning], ...change });
}

const parsed = ({ certificatePem }: IssuedCertificate): Certificate => parseCertificate(certificatePem);

function read(bytes: Buffer, at = now, maxAgeSeconds = daySeconds): CertificateStatus {
  return readOcspAnswer(bytes, { certificate: parsed(leaf), issuer: parsed(ca), nonce }, { now: at, maxAgeSeconds });
}
const answer = (options: Partial<AnswerOptions> = {}): Buffer =>
  forgeAnswer({ certificate: leaf, issuer: ca, nonce, ...options });
const refusedFor = (pattern: RegExp, act: () => unknown): void =>
  assert.throws(
    act,
    (error) =>
      error instanceof TrustError && error.code === 'certificate.ocsp_unavailable' && pattern.test(error.message),
    String(pattern),
  );
const later = (seconds: number): Date => new Date(now.getTime() + seconds * 1000);

describe('readOcspAnswer', () => {
  it('says what the issuer says, named by name or by key (RV-05)', () => {
    for (const byKey of [false, true]) {
      const { status, thisUpdate, usableUntil } = read(answer({ byKey }));
      assert.equal(status, 'good');
      assert.equal(thisUpdate, now.toISOString());
      assert.equal(usableUntil, later(3600).toISOString());
    }
    assert.equal(read(answer({ status: statuses.revoked })).status, 'revoked');
  });

  it('knows the certificate by the name of its issuer as it is written there (RFC 6960 §4.1.1)', async () => {
    const subject = [{ CN: [{ printableString: parsed(ca).commonNames[0] ?? '' }] }];
    const printable = await forgeAuthority('', { subject, keyPem: ca.keyPem });
    const certificate = await forgeLeaf(printable);
    const readIts = (options: Partial<AnswerOptions>) =>
      readOcspAnswer(
        answer({ certificate, ...options }),
        { certificate: parsed(certificate), issuer: parsed(ca), nonce },
        { now, maxAgeSeconds: daySeconds },
      );
    assert.equal(readIts({ issuer: printable }).status, 'good');
    refusedFor(/another certificate/, () => readIts({ issuer: ca }));
  });

  it('says what a responder says that the issuer lets answer', () => {
    assert.equal(read(answer({ signer: delegate, certificates: [delegate] })).status, 'good');
    assert.equal(read(answer({ signer: delegate, certificates: [delegate], byKey: true })).status, 'good');
  });

  it('refuses an answer by anybody else', async () => {
    const unfit: readonly (readonly [RegExp, IssuedCertificate])[] = [
      [/may not sign/, await responder({ extendedKeyUsage: undefined })],
      [/may not sign/, await responder({ extendedKeyUsage: ['2.5.29.37.0'] })],
      [/may not sign/, leaf],
      [/may not sign/, await responder({ keyUsage: ['keyEncipherment'] })],
      [/cannot be read/, await responder({ notAfter: new Date(now.getTime() - 1000) })],
      [/not signed by the issuer/, await responder({}, other)],
      [/not signed by the issuer/, other],
    ];
    for (const [why, signer] of unfit) refusedFor(why, () => read(answer({ signer, certificates: [signer] })));
    refusedFor(/not signed/, () => read(answer({ signer: delegate })));
    // The delegate of a delegate is nobody's.
    const below = await responder({}, { ...delegate });
    refusedFor(/signed|signature/, () => read(answer({ signer: below, certificates: [below, delegate] })));
  });

  it('refuses an answer about another certificate', async () => {
    refusedFor(/another certificate/, () => read(answer({ certificate: ca })));
    const twin = await forgeLeaf(other);
    refusedFor(/another certificate/, () => read(answer({ certificate: twin, hashOid: '2a03' })));
    const foreign = forgeAnswer({ certificate: leaf, issuer: other, signer: ca, nonce });
    refusedFor(/another certificate/, () => read(foreign));
  });

  it('refuses an answer to another question, and takes one without a nonce for its time', () => {
    refusedFor(/nonce/, () => read(answer({ nonce: Buffer.alloc(32, 8) })));
    assert.equal(read(answer({ nonce: null })).status, 'good');
    refusedFor(/out of date/, () => read(answer({ nonce: null }), later(3601)));
  });

  it('refuses what is unknown, and errors of the responder (RV-05)', () => {
    refusedFor(/does not know/, () => read(answer({ status: statuses.unknown })));
    for (const [status, words] of [
      [1, /malformed request/],
      [3, /try later/],
      [6, /unauthorized/],
      [99, /number 99/],
    ] as const)
      refusedFor(words, () => read(errorAnswer(status)));
  });

  it('refuses an answer that is out of date, too old or not valid yet (RV-05, RV-09)', () => {
    const old = answer({ thisUpdate: later(-7200), nextUpdate: later(7200) });
    assert.equal(read(old).usableUntil, later(7200).toISOString());
    assert.equal(read(old, now, 7200).usableUntil, now.toISOString());
    refusedFor(/out of date/, () => read(old, now, 7199));
    refusedFor(/out of date/, () => read(answer({ nextUpdate: null, thisUpdate: later(-60) }), now, 59));
    refusedFor(/not valid yet/, () => read(answer({ thisUpdate: later(61) })));
    assert.equal(read(answer({ thisUpdate: later(59) })).status, 'good');
    assert.equal(read(answer({ status: statuses.revoked }), later(daySeconds * 9)).status, 'revoked');
  });

  it('refuses critical extensions that it does not process', () => {
    const unknown = extension(extensionOids.unknown, Buffer.of(5, 0), true);
    refusedFor(/critical extension/, () => read(answer({ answerExtensions: [unknown] })));
    refusedFor(/critical extension/, () => read(answer({ dataExtensions: [unknown] })));
    read(answer({ answerExtensions: [extension(extensionOids.unknown, Buffer.of(5, 0))] }));
  });

  it('refuses every answer of which one byte was changed', () => {
    for (const good of [answer(), answer({ signer: delegate, certificates: [delegate] })]) {
      for (let index = 0; index < good.length; index += 1) {
        const changed = Buffer.from(good);
        changed[index] = (changed[index] ?? 0) ^ 0x01;
        refusedFor(/./, () => read(changed));
      }
    }
  });

  it('answers any bytes with its problem code and nothing else', () => {
    const good = answer({ signer: delegate, certificates: [delegate] });
    const cut = fc.tuple(fc.nat(good.length - 1), fc.uint8Array({ maxLength: 40 }), fc.nat(40));
    fc.assert(
      fc.property(cut, ([at, bytes, skip]) => {
        const changed = Buffer.concat([good.subarray(0, at), bytes, good.subarray(at + skip)]);
        if (!changed.equals(good)) refusedFor(/./, () => read(changed));
      }),
      { numRuns: 300 },
    );
  });
});

describe('ocspResponderOf', () => {
  const naming = async (...descriptions: Buffer[]) =>
    ocspResponderOf(
      parsed(
        await forgeLeaf(ca, {
          otherExtensions: [
            { oid: '1.3.6.1.5.5.7.1.1', critical: false, value: new Uint8Array(der(0x30, ...descriptions)) },
          ],
        }),
      ),
    );
  const description = (oid: string, uri: string): Buffer =>
    der(0x30, der(0x06, Buffer.from(oid, 'hex')), der(0x86, uri));

  it('finds the responder that the certificate names (RV-07)', async () => {
    const issuers = description('2b06010505073002', 'http://ca.example/ca.crt');
    const responderAt = description('2b06010505073001', 'http://ocsp.example/device');
    assert.equal(await naming(issuers, responderAt), 'http://ocsp.example/device');
    assert.equal(await naming(issuers), null);
    assert.equal(await naming(description('2b06010505073001', 'ldap://ocsp.example')), null);
    assert.equal(await naming(Buffer.from('zz')), null);
    assert.equal(ocspResponderOf(parsed(leaf)), null);
  });
});

describe('OpenSSL as the responder', { skip: requires('openssl') }, () => {
  it('understands our question, and we its answer (RV-05)', (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'sentinel-ocsp-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const at = (name: string): string => join(folder, name);
    writeFileSync(at('ca.crt'), ca.certificatePem);
    writeFileSync(at('ca.key'), ca.keyPem, { mode: 0o600 });
    writeFileSync(at('request'), writeOcspRequest(parsed(leaf), parsed(ca), nonce));
    const serial = parsed(leaf).parts.serial.content.toString('hex').toUpperCase();
    const ask = (state: string, known = serial): CertificateStatus => {
      writeFileSync(at('index.txt'), `${state}\t${known}\tunknown\t/CN=x\n`);
      const signer = ['-CA', at('ca.crt'), '-rsigner', at('ca.crt'), '-rkey', at('ca.key')];
      const files = ['-index', at('index.txt'), '-reqin', at('request'), '-respout', at('answer')];
      execFileSync(programPath('openssl'), ['ocsp', ...signer, ...files, '-nmin', '5'], { stdio: 'pipe' });
      return read(readFileSync(at('answer')), new Date());
    };
    assert.equal(ask('V\t271231235959Z\t').status, 'good');
    assert.equal(ask('R\t271231235959Z\t261101000000Z').status, 'revoked');
    refusedFor(/does not know/, () => ask('V\t271231235959Z\t', '01'));
  });
});
