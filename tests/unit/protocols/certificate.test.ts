// Certificates: what they say, who vouches for them, and whom they name.
import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import fc from 'fast-check';
import { TrustError, type ProblemCode } from '#contracts/problems.ts';
import { parseCertificate, sameSerial } from '#protocols/certificate.ts';
import { requireValidAt } from '#protocols/certificate-path.ts';
import { matchCommonName, parseTrustAnchors } from '#protocols/device-certificate.ts';
import type { TrustAnchor } from '#protocols/device-certificate.ts';
import { writeName } from '#protocols/distinguished-name.ts';
import type { CertificateOptions, IssuedCertificate } from '#protocols/issue-certificate.ts';
import {
  admit,
  anchorsOf,
  clientAuth,
  cn,
  der,
  derName,
  forgeAuthority,
  forgeLeaf,
  now,
  ou,
  verify,
  withAlgorithmParameters,
  withOtherSignature,
  type ForgedName,
} from './certificate-forge.ts';

const fixture = (name: string): string =>
  readFileSync(new URL(`../../fixtures/certificates/${name}`, import.meta.url), 'utf8');
const throwsCode = (code: ProblemCode, act: () => unknown, message?: string): void =>
  assert.throws(act, (error) => error instanceof TrustError && error.code === code, message);

/** Qualifiers of RFC 5280 §4.2.1.4. */
const cps = '2b06010505070201';
const notice = '2b06010505070202';
const policy = (oid = '2a03', ...qualifiers: readonly [oid: string, value: Buffer][]): Buffer => {
  const written = qualifiers.map(([type, value]) => der(0x30, der(0x06, Buffer.from(type, 'hex')), value));
  return der(0x30, der(0x06, Buffer.from(oid, 'hex')), ...(written.length === 0 ? [] : [der(0x30, ...written)]));
};
const policiesOf = (...policies: readonly Buffer[]) => ({
  oid: '2.5.29.32',
  critical: true,
  value: new Uint8Array(der(0x30, ...policies)),
});

let ca: IssuedCertificate;
let anchors: TrustAnchor[];
let good: IssuedCertificate;
let goodDer: Buffer;

before(async () => {
  ca = await forgeAuthority('Sentinel Test CA');
  anchors = anchorsOf(ca);
  good = await forgeLeaf(ca, { alternativeNames: ['device-2'] });
  goodDer = parseCertificate(good.certificatePem).raw;
});

describe('parseCertificate', () => {
  it('says what the certificate says, as another reader does', () => {
    for (const pem of [
      good.certificatePem,
      ca.certificatePem,
      fixture('good-rsa2048.pem'),
      fixture('good-ed448.pem'),
    ]) {
      const ours = parseCertificate(pem);
      const theirs = new X509Certificate(pem);
      assert.equal(ours.fingerprintSha256, theirs.fingerprint256.replaceAll(':', '').toLowerCase());
      assert.ok(sameSerial(ours.serialNumber, theirs.serialNumber));
      assert.equal(ours.notBefore, theirs.validFromDate.toISOString());
      assert.equal(ours.notAfter, theirs.validToDate.toISOString());
      assert.equal(ours.isCa, theirs.ca);
      assert.ok(ours.publicKey.equals(theirs.publicKey));
      assert.ok(ours.raw.equals(theirs.raw));
    }
  });

  it('shows the fields of a device certificate', () => {
    const certificate = parseCertificate(good.certificatePem);
    assert.equal(certificate.subject, 'CN=device-1');
    assert.equal(certificate.issuer, 'CN=Sentinel Test CA');
    assert.deepEqual(certificate.commonNames, ['device-1']);
    assert.deepEqual(certificate.keyUsage, ['digitalSignature']);
    assert.deepEqual(certificate.extendedKeyUsage, [clientAuth]);
    assert.equal(certificate.isCa, false);
    assert.match(certificate.serialNumber, /^42[0-9a-f]{16}$/);
  });

  it('computes the fingerprint itself, over the DER', () => {
    const digest = createHash('sha256').update(goodDer).digest('hex');
    assert.equal(parseCertificate(goodDer).fingerprintSha256, digest);
  });

  it('writes a serial number without leading zeros', () => {
    assert.equal(parseCertificate(fixture('good-p256.pem')).serialNumber, 'c0ffee');
  });

  for (const mask of ['utf8only', 'default', 'nombstr']) {
    it(`writes names in RFC 4514 as OpenSSL does, string types by ${mask}`, () => {
      const { parts, subject } = parseCertificate(fixture(`names-${mask}.pem`));
      const recorded = fixture(`names-${mask}.rfc2253.txt`).trimEnd();
      assert.equal(writeName(parts.subjectName, 'ascii'), recorded);
      assert.equal(subject, recorded.replaceAll(String.raw`\C3\BC`, 'ü').replaceAll(String.raw`\C3\B6`, 'ö'));
    });
  }

  it('does not change when its input is changed afterwards', () => {
    const input = Buffer.from(goodDer);
    const certificate = parseCertificate(input);
    input.fill(0);
    assert.ok(certificate.raw.equals(goodDer));
  });

  const refused: readonly [title: string, input: () => Buffer | string][] = [
    ['nothing', () => Buffer.alloc(0)],
    ['an empty string', () => ''],
    ['white space', () => ' \n'],
    ['DER with a byte after it', () => Buffer.concat([goodDer, Buffer.from([0])])],
    ['DER with a second certificate after it', () => Buffer.concat([goodDer, goodDer])],
    ['DER that is cut off', () => goodDer.subarray(0, -1)],
    ['PEM in a buffer', () => Buffer.from(good.certificatePem)],
    ['two PEM blocks', () => good.certificatePem + good.certificatePem],
    ['text before the PEM block', () => `subject=CN = device-2\n${good.certificatePem}`],
    ['text after the PEM block', () => `${good.certificatePem}x`],
    ['another label', () => good.certificatePem.replaceAll('CERTIFICATE', 'TRUSTED CERTIFICATE')],
    ['a private key', () => good.keyPem],
    ['a header inside the PEM block', () => good.certificatePem.replace('\n', '\nProc-Type: 4,ENCRYPTED\n\n')],
    ['a NUL inside the PEM block', () => good.certificatePem.replace('\n', '\n\0')],
    ['a certificate larger than 16 KiB', () => pemOf(Buffer.alloc(16 * 1024 + 1, 0x30))],
    ['a very long text', () => `${good.certificatePem.slice(0, 40)}${' '.repeat(5_000_000)}`],
  ];
  for (const [title, input] of refused) {
    it(`refuses ${title}`, () => throwsCode('certificate.untrusted', () => parseCertificate(input())));
  }

  it('reads as much white space as fits in linear time', () => {
    const started = performance.now();
    throwsCode('certificate.untrusted', () => parseCertificate(`-----BEGIN CERTIFICATE-----${' \n'.repeat(15_000)}x`));
    assert.ok(performance.now() - started < 1000);
  });

  it('refuses any bytes with a problem code and nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) =>
        throwsCode('certificate.untrusted', () => parseCertificate(Buffer.from(bytes))),
      ),
    );
  });

  it('refuses any text with a problem code and nothing else', () => {
    const line = fc.oneof(
      fc.constantFrom('-----BEGIN CERTIFICATE-----', '-----END CERTIFICATE-----', ' ', '\n', 'MIIB', '='),
      fc.string(),
      fc.base64String(),
    );
    fc.assert(
      fc.property(fc.array(line), (lines) =>
        throwsCode('certificate.untrusted', () => parseCertificate(lines.join('\n'))),
      ),
    );
  });

  it('refuses a good certificate with pieces cut out, doubled or overwritten', () => {
    const position = fc.nat(goodDer.length - 1);
    fc.assert(
      fc.property(position, position, fc.uint8Array({ minLength: 1, maxLength: 20 }), (from, to, bytes) => {
        const changed = Buffer.concat([goodDer.subarray(0, from), bytes, goodDer.subarray(to)]);
        fc.pre(!changed.equals(goodDer));
        assert.throws(() => admit(changed, anchors), TrustError);
      }),
    );
  });
});

describe('verifyDeviceCertificate', () => {
  it('says which anchor vouched for the certificate', async () => {
    const other = await forgeAuthority('Another CA');
    const verified = verify(good, { anchors: anchorsOf(other, ca) });
    assert.equal(verified.anchor.fingerprint, parseCertificate(ca.certificatePem).fingerprintSha256);
    assert.deepEqual(
      verified.path.map(({ subject }) => subject),
      ['CN=device-1', 'CN=Sentinel Test CA'],
    );
    matchCommonName(verified, 'device-1');
  });

  it('tells authorities of the same name apart by their keys', async () => {
    const twin = await forgeAuthority('Sentinel Test CA');
    assert.equal(verify(good, { anchors: anchorsOf(twin, ca) }).anchor.fingerprint, anchors[0]?.fingerprint);
    throwsCode('certificate.untrusted', () => verify(good, { anchors: anchorsOf(twin) }));
  });

  it('vouches just as well for a certificate that somebody gave its other signature: only its fingerprint differs', async () => {
    const ca = await forgeAuthority('Signer');
    const leaf = await forgeLeaf(ca);
    const other = { ...leaf, certificatePem: withOtherSignature(leaf.certificatePem) };
    const [first, second] = [leaf, other].map((one) => verify(one, { anchors: anchorsOf(ca) }));
    assert.ok(first && second);
    assert.notEqual(second.fingerprintSha256, first.fingerprintSha256);
    assert.deepEqual([second.issuer, second.serialNumber], [first.issuer, first.serialNumber]);
    assert.ok(second.publicKey.equals(first.publicKey));
  });

  it('follows presented authorities in any order, past ones that do not matter', async () => {
    const upper = await forgeAuthority('Upper', { issuer: ca });
    const lower = await forgeAuthority('Lower', { issuer: upper });
    const stranger = await forgeAuthority('Stranger');
    const verified = verify(await forgeLeaf(lower), { anchors, chain: [stranger, upper, lower, ca] });
    assert.equal(verified.path.length, 4);
  });

  it('takes the path that is valid now when one of two has expired', async () => {
    const keys = await forgeAuthority('Rolled', { issuer: ca, notAfter: new Date(now.getTime() - 1) });
    const renewed = await forgeAuthority('Rolled', { issuer: ca, keyPem: keys.keyPem });
    verify(await forgeLeaf(keys), { anchors, chain: [keys, renewed] });
    throwsCode('certificate.expired', () => verify(good, { anchors, at: new Date('2030-01-01') }));
  });

  it('finds an authority whose name is written in another string type, case or with other spaces (RFC 5280 §7.1)', async () => {
    const root = await forgeAuthority('Maker of TPMs  Root');
    const named = (...subject: readonly ForgedName[]) =>
      forgeAuthority('', { subject: derName(...subject), keyPem: root.keyPem });
    const [utf8, printable, teletex] = [0x0c, 0x13, 0x14];
    for (const text of ['Maker of TPMs Root', 'maker OF tpms root', ' Maker  of TPMs Root ']) {
      const leaf = await forgeLeaf(await named([[cn, printable, text]]));
      assert.equal(verify(leaf, { anchors: anchorsOf(root) }).path.length, 2, text);
    }
    const text = 'Maker of TPMs Root';
    const refused: Readonly<Record<string, readonly ForgedName[]>> = {
      'another text': [[[cn, printable, `${text}s`]]],
      'a space less': [[[cn, printable, 'Makerof TPMs Root']]],
      'a string type that nobody knows the letters of': [[[cn, teletex, text]]],
      'another attribute': [[[ou, printable, text]]],
      'more after it': [[[cn, printable, text]], [[ou, utf8, 'x']]],
      'more before it': [[[ou, utf8, 'x']], [[cn, printable, text]]],
      'more beside it': [
        [
          [cn, printable, text],
          [ou, utf8, 'x'],
        ],
      ],
    };
    for (const [title, subject] of Object.entries(refused)) {
      const leaf = await forgeLeaf(await named(...subject));
      throwsCode('certificate.untrusted', () => verify(leaf, { anchors: anchorsOf(root) }), title);
    }
    // The name shows where to look, and the key decides.
    const another = await forgeAuthority('', { subject: derName([[cn, printable, text]]) });
    const foreign = await forgeLeaf(another);
    throwsCode('certificate.untrusted', () => verify(foreign, { anchors: anchorsOf(root) }));
  });

  it('knows critical policies for what they are, as makers of TPMs write them, and limits nobody by them (RFC 5280 §4.2.1.4)', async () => {
    const text = der(0x16, 'https://example.com/policy');
    const accepted = {
      'a policy': [policy()],
      'any policy': [policy('551d2000')],
      'two policies': [policy(), policy('2a0304')],
      'where it is written': [policy('2a03', [cps, text])],
      'a notice': [policy('2a03', [notice, der(0x30, der(0x0c, 'notice'))])],
    };
    for (const [title, policies] of Object.entries(accepted)) {
      const otherExtensions = [policiesOf(...policies)];
      const intermediate = await forgeAuthority('Intermediate', { issuer: ca, otherExtensions });
      const leaf = await forgeLeaf(intermediate, { otherExtensions });
      assert.equal(verify(leaf, { anchors, chain: [intermediate] }).path.length, 3, title);
      assert.equal(parseTrustAnchors((await forgeAuthority('Root', { otherExtensions })).certificatePem).length, 1);
    }
    const refused = {
      'a qualifier that nobody knows': [policy('2a03', ['2a0305', text])],
      'one that nobody knows after one that is known': [policy('2a03', [cps, text], ['2a0305', text])],
    };
    for (const [title, policies] of Object.entries(refused)) {
      const leaf = await forgeLeaf(ca, { otherExtensions: [policiesOf(...policies)] });
      throwsCode('certificate.untrusted', () => verify(leaf, { anchors }), title);
    }
    const malformed = {
      none: [],
      'a policy twice': [policy(), policy()],
      'no qualifiers': [der(0x30, der(0x06, Buffer.from('2a03', 'hex')), der(0x30))],
      'a qualifier without its value': [policy('2a03', [cps, Buffer.alloc(0)])],
      'something after the qualifiers': [der(0x30, der(0x06, Buffer.from('2a03', 'hex')), der(0x05))],
      'no policy in it': [der(0x30)],
    };
    for (const [title, policies] of Object.entries(malformed)) {
      const leaf = await forgeLeaf(ca, { otherExtensions: [policiesOf(...policies)] });
      throwsCode('certificate.untrusted', () => parseCertificate(leaf.certificatePem), title);
    }
  });

  it('reads ECDSA with NULL for its parameters, as a root of TPMs has it, and with no others', async () => {
    const withParameters = (parameters: Buffer) => ({
      ...good,
      certificatePem: withAlgorithmParameters(good.certificatePem, ca.keyPem, parameters),
    });
    assert.equal(verify(withParameters(der(0x05)), { anchors }).path.length, 2);
    verify(withParameters(Buffer.alloc(0)), { anchors });
    for (const parameters of [der(0x30), der(0x05, '\0'), der(0x06, '\x2a\x03'), Buffer.concat([der(0x05), der(0x05)])])
      throwsCode('certificate.untrusted', () => verify(withParameters(parameters), { anchors }));
  });

  for (const name of ['good-rsa2048', 'good-p256', 'good-p521', 'good-ed25519', 'good-ed448']) {
    it(`accepts ${name}, made by OpenSSL`, () =>
      admit(fixture(`${name}.pem`), parseTrustAnchors(fixture('authority.pem'))));
  }

  const weak = ['key-rsa1024', 'key-exponent3', 'key-secp256k1', 'key-explicit-curve', 'key-rsa-pss'];
  for (const name of [...weak, 'signature-sha1', 'signature-md5', 'signature-pss-sha1'].map((kind) => `weak-${kind}`)) {
    it(`refuses ${name}, made by OpenSSL`, () =>
      throwsCode('certificate.untrusted', () =>
        admit(fixture(`${name}.pem`), parseTrustAnchors(fixture('authority.pem'))),
      ));
  }

  it('refuses a version 1 certificate, which says nothing about its use', () =>
    throwsCode('certificate.wrong_usage', () =>
      admit(fixture('usage-version1.pem'), parseTrustAnchors(fixture('authority.pem'))),
    ));

  it('refuses everything when there is no anchor', () =>
    throwsCode('certificate.untrusted', () => verify(good, { anchors: [] })));

  it('refuses a certificate that signed itself', async () => {
    const self = await forgeAuthority('device-1', { keyUsage: ['digitalSignature'], extendedKeyUsage: [clientAuth] });
    throwsCode('certificate.untrusted', () => verify(self, { anchors, chain: [self] }));
  });

  it('refuses a chain that ends at an authority that merely came with it', async () => {
    const foreign = await forgeAuthority('Foreign CA');
    throwsCode('certificate.untrusted', () => verify(good, { anchors: anchorsOf(foreign), chain: [ca] }));
  });

  it('refuses a device certificate as an authority (leaf as CA)', async () => {
    const throughLeaf = await forgeLeaf(good, { subject: [{ CN: [{ utf8String: 'device-2' }] }] });
    throwsCode('certificate.untrusted', () => verify(throughLeaf, { anchors, chain: [good] }));
  });

  const unfit: readonly [title: string, options: Partial<CertificateOptions>][] = [
    ['without keyCertSign', { keyUsage: ['cRLSign'] }],
    ['without a key usage', { keyUsage: undefined }],
    ['for servers only', { extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'] }],
    [
      'with a critical extension that nobody knows',
      { otherExtensions: [{ oid: '1.3.6.1.4.1.99999.7', critical: true, value: nullDer() }] },
    ],
    [
      'with name constraints, critical or not',
      { otherExtensions: [{ oid: '2.5.29.30', critical: false, value: nullDer() }] },
    ],
    [
      'that asks for policies, critical or not',
      { otherExtensions: [{ oid: '2.5.29.36', critical: false, value: nullDer() }] },
    ],
    ['with a weak key', { keyAlgorithm: 'RSA-1024' }],
    ['with a weak signature', { hash: 'SHA-1' }],
  ];
  for (const [title, options] of unfit) {
    it(`refuses an intermediate authority ${title}`, async () => {
      const intermediate = await forgeAuthority('Intermediate', { issuer: ca, ...options });
      const leaf = await forgeLeaf(intermediate);
      throwsCode('certificate.untrusted', () => verify(leaf, { anchors, chain: [intermediate] }));
    });
  }

  it('refuses more authorities below one than its path length says', async () => {
    const limited = await forgeAuthority('Limited', { issuer: ca, authority: { pathLength: 0 } });
    const below = await forgeAuthority('Below', { issuer: limited });
    verify(await forgeLeaf(limited), { anchors, chain: [limited] });
    const leaf = await forgeLeaf(below);
    throwsCode('certificate.untrusted', () => verify(leaf, { anchors, chain: [limited, below] }));
    const shortRoot = await forgeAuthority('Short root', { authority: { pathLength: 0 } });
    const child = await forgeAuthority('Child', { issuer: shortRoot });
    const deep = await forgeLeaf(child);
    throwsCode('certificate.untrusted', () => verify(deep, { anchors: anchorsOf(shortRoot), chain: [child] }));
  });

  it('refuses a path of more than five certificates', async () => {
    const chain = [ca];
    for (const name of ['one', 'two', 'three', 'four']) {
      chain.unshift(await forgeAuthority(name, { issuer: chain[0] ?? ca }));
    }
    const [four = ca, three = ca] = chain;
    verify(await forgeLeaf(three), { anchors, chain: chain.slice(1) });
    const deepest = await forgeLeaf(four);
    throwsCode('certificate.untrusted', () => verify(deepest, { anchors, chain: chain.slice(0, 4) }));
  });

  it('refuses more presented certificates than a path can use', () =>
    throwsCode('certificate.untrusted', () => verify(good, { anchors, chain: [ca, ca, ca, ca, ca] })));

  it('ends soon when authorities vouch for each other in a circle', async () => {
    const first = await forgeAuthority('Circle');
    const circle = [first];
    for (let i = 0; i < 3; i += 1) circle.push(await forgeAuthority('Circle', { issuer: first, keyPem: first.keyPem }));
    const leaf = await forgeLeaf(first);
    const started = performance.now();
    throwsCode('certificate.untrusted', () => verify(leaf, { anchors, chain: circle }));
    assert.ok(performance.now() - started < 2000);
  });

  it('holds a certificate good from its first to its last second, both included', async () => {
    const leaf = await forgeLeaf(ca, { notBefore: now, notAfter: new Date(now.getTime() + 60_000) });
    verify(leaf, { anchors, at: now });
    verify(leaf, { anchors, at: new Date(now.getTime() + 60_000) });
    throwsCode('certificate.not_yet_valid', () => verify(leaf, { anchors, at: new Date(now.getTime() - 1) }));
    throwsCode('certificate.expired', () => verify(leaf, { anchors, at: new Date(now.getTime() + 60_001) }));
  });

  it('refuses at a time that is none', () =>
    throwsCode('certificate.expired', () => verify(good, { anchors, at: new Date(Number.NaN) })));

  it('refuses a certificate whose authority has expired or does not count yet', async () => {
    const past = await forgeAuthority('Past', { issuer: ca, notAfter: new Date(now.getTime() - 1000) });
    const future = await forgeAuthority('Future', { issuer: ca, notBefore: new Date(now.getTime() + 1000) });
    const [expired, early] = [await forgeLeaf(past), await forgeLeaf(future)];
    throwsCode('certificate.expired', () => verify(expired, { anchors, chain: [past] }));
    throwsCode('certificate.not_yet_valid', () => verify(early, { anchors, chain: [future] }));
    const oldRoot = await forgeAuthority('Old root', { notAfter: new Date(now.getTime() - 1000) });
    const orphan = await forgeLeaf(oldRoot);
    throwsCode('certificate.expired', () => verify(orphan, { anchors: anchorsOf(oldRoot) }));
  });

  it('says untrusted, not expired, of an expired certificate of a foreign authority', async () => {
    const foreign = await forgeAuthority('Foreign CA');
    const leaf = await forgeLeaf(foreign, { notAfter: new Date(now.getTime() - 1000) });
    throwsCode('certificate.untrusted', () => verify(leaf, { anchors }));
  });

  it('notices that time passes on an open connection', () => {
    const verified = verify(good, { anchors });
    requireValidAt(verified, now);
    throwsCode('certificate.expired', () => requireValidAt(verified, new Date('2030-01-01')));
  });

  const wrongUsage: readonly [title: string, options: Partial<CertificateOptions>][] = [
    ['that is an authority (CA as leaf)', { authority: {} }],
    ['for servers', { extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'] }],
    ['that names no purpose', { extendedKeyUsage: undefined }],
    ['for any purpose', { extendedKeyUsage: ['2.5.29.37.0'] }],
    ['that may encipher but not sign', { keyUsage: ['keyEncipherment'] }],
    ['whose key usage is empty', { keyUsage: [] }],
  ];
  for (const [title, options] of wrongUsage) {
    it(`refuses a certificate ${title}`, async () => {
      const leaf = await forgeLeaf(ca, options);
      throwsCode('certificate.wrong_usage', () => verify(leaf, { anchors }));
    });
  }

  it('refuses a critical extension that nobody knows, and any name constraints', async () => {
    for (const [oid, critical] of [
      ['1.3.6.1.4.1.99999.7', true],
      ['2.5.29.36', true],
      ['2.5.29.36', false],
      ['2.5.29.54', true],
      ['2.5.29.30', false],
    ] as const) {
      const leaf = await forgeLeaf(ca, { otherExtensions: [{ oid, critical, value: nullDer() }] });
      throwsCode('certificate.untrusted', () => verify(leaf, { anchors }), oid);
    }
  });

  it('refuses an extension that is given twice', async () => {
    const twice = { oid: '2.5.29.37', critical: false, value: nullDer() };
    const leaf = await forgeLeaf(ca, { otherExtensions: [twice] });
    throwsCode('certificate.untrusted', () => parseCertificate(leaf.certificatePem));
  });

  it('refuses a good certificate with one byte changed, whichever it is', () => {
    admit(goodDer, anchors);
    for (let index = 0; index < goodDer.length; index += 1) {
      for (const mask of [0x01, 0x80]) {
        const changed = Buffer.from(goodDer);
        changed[index] = (changed[index] ?? 0) ^ mask;
        assert.throws(() => admit(changed, anchors), TrustError, `byte ${index}`);
      }
    }
  });
});

describe('parseTrustAnchors', () => {
  it('reads several authorities, also one without a key usage', () => {
    assert.equal(parseTrustAnchors(`${ca.certificatePem}\n\n${fixture('authority.pem')}`).length, 2);
  });

  const refused: readonly [title: string, pem: () => string | Promise<string>][] = [
    ['an empty text', () => ''],
    ['white space', () => '\n \n'],
    ['a device certificate', () => good.certificatePem],
    ['a device certificate after an authority', () => ca.certificatePem + good.certificatePem],
    ['a key', () => ca.keyPem],
    ['a key after an authority', () => ca.certificatePem + ca.keyPem],
    ['a comment', () => `# ours\n${ca.certificatePem}`],
    ['an authority that is cut off', () => ca.certificatePem.slice(0, -5)],
    ['a version 1 certificate', () => fixture('usage-version1.pem')],
    ['an authority that may not sign certificates', async () => pemOfForged({ keyUsage: ['digitalSignature'] })],
    ['an authority for servers only', async () => pemOfForged({ extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'] })],
    ['an authority with a weak key', async () => pemOfForged({ keyAlgorithm: 'RSA-1024' })],
    [
      'an authority with name constraints',
      async () => pemOfForged({ otherExtensions: [{ oid: '2.5.29.30', critical: true, value: nullDer() }] }),
    ],
    ['an authority without a name', async () => pemOfForged({ subject: derName() })],
  ];
  for (const [title, pem] of refused) {
    it(`refuses ${title}`, async () => {
      const text = await pem();
      throwsCode('trust_anchor.invalid', () => parseTrustAnchors(text));
    });
  }
});

describe('matchCommonName', () => {
  const names: readonly [title: string, subject: Uint8Array<ArrayBuffer>][] = [
    ['two common names in two relative names', derName([[cn, 0x0c, 'device-1']], [[cn, 0x0c, 'device-2']])],
    ['the same common name twice', derName([[cn, 0x0c, 'device-1']], [[cn, 0x0c, 'device-1']])],
    [
      'two common names in one relative name',
      derName([
        [cn, 0x0c, 'device-1'],
        [cn, 0x0c, 'device-2'],
      ]),
    ],
    [
      'a common name beside another attribute',
      derName([
        [cn, 0x0c, 'device-1'],
        [ou, 0x0c, 'fleet'],
      ]),
    ],
    ['the name in another attribute only', derName([[ou, 0x0c, 'device-1']])],
    ['another common name that embeds ", CN="', derName([[cn, 0x0c, 'x, CN=device-1']])],
    ['another attribute that embeds ",CN="', derName([[ou, 0x0c, 'x,CN=device-1']], [[cn, 0x0c, 'device-2']])],
    ['a newline and "CN="', derName([[cn, 0x0c, 'x\nCN=device-1']])],
    ['NUL after the name', derName([[cn, 0x0c, 'device-1\0']])],
    ['NUL and another domain after the name', derName([[cn, 0x0c, 'device-1\0.example.org']])],
    ['a space after the name', derName([[cn, 0x0c, 'device-1 ']])],
    ['a space before the name', derName([[cn, 0x0c, ' device-1']])],
    ['another case', derName([[cn, 0x0c, 'Device-1']])],
    ['a longer name', derName([[cn, 0x0c, 'device-11']])],
    ['a look-alike letter', derName([[cn, 0x0c, 'devi\u0441e-1']])],
    ['a zero-width letter', derName([[cn, 0x0c, 'device\u200B-1']])],
    ['the name as BMPString', derName([[cn, 0x1e, Buffer.from('device-1', 'utf16le').swap16()]])],
    ['the bytes of the name called a BMPString', derName([[cn, 0x1e, 'device-1']])],
    ['the bytes of the name called a TeletexString', derName([[cn, 0x14, 'device-1']])],
    ['the bytes of the name called an IA5String', derName([[cn, 0x16, 'device-1']])],
    ['the bytes of the name called an OCTET STRING', derName([[cn, 0x04, 'device-1']])],
    ['an empty common name', derName([[cn, 0x0c, '']])],
    ['an empty subject', derName()],
  ];
  for (const [title, subject] of names) {
    it(`refuses ${title} (SA-07)`, async () => {
      const leaf = await forgeLeaf(ca, { subject, alternativeNames: ['device-1'] });
      const verified = verify(leaf, { anchors });
      assert.ok(verified.parts.subject.raw.equals(subject), 'the certificate has this subject');
      throwsCode('certificate.name_mismatch', () => matchCommonName(verified, 'device-1'));
    });
  }

  it('accepts exactly the bytes of the name, whatever else the subject says (SA-07, HB-05)', async () => {
    for (const tag of [0x0c, 0x13]) {
      const leaf = await forgeLeaf(ca, { subject: derName([[ou, 0x0c, 'CN=device-2']], [[cn, tag, 'device-1']]) });
      matchCommonName(verify(leaf, { anchors }), 'device-1');
    }
  });

  it('refuses a name that is only an alternative name (SA-07)', () => {
    const verified = verify(good, { anchors });
    throwsCode('certificate.name_mismatch', () => matchCommonName(verified, 'device-2'));
  });

  it('refuses another device, no device, and a device id that is no name (SA-07, HB-05)', async () => {
    const verified = verify(good, { anchors });
    for (const other of ['device-2', 'device', '', 'DEVICE-1', 'device-1\0', ' device-1']) {
      throwsCode('certificate.name_mismatch', () => matchCommonName(verified, other), JSON.stringify(other));
    }
    const withNul = verify(await forgeLeaf(ca, { subject: derName([[cn, 0x0c, 'device\0']]) }), { anchors });
    throwsCode('certificate.name_mismatch', () => matchCommonName(withNul, 'device\0'));
  });
});

describe('sameSerial', () => {
  it('compares numbers, not texts', () => {
    assert.ok(sameSerial('00C0FFEE', 'c0ffee'));
    assert.ok(sameSerial('0', '0000'));
    for (const other of ['c0ffef', '-c0ffee', '0xc0ffee', 'c0:ff:ee', ' c0ffee', '', 'c0ffee\n', 'c'.repeat(200)]) {
      assert.equal(sameSerial('c0ffee', other), false, JSON.stringify(other));
      assert.equal(sameSerial(other, 'c0ffee'), false);
    }
  });
});

async function pemOfForged(options: Partial<CertificateOptions>): Promise<string> {
  return (await forgeAuthority('Unfit', options)).certificatePem;
}

function pemOf(bytes: Buffer): string {
  return `-----BEGIN CERTIFICATE-----\n${bytes.toString('base64')}\n-----END CERTIFICATE-----\n`;
}

function nullDer(): Uint8Array<ArrayBuffer> {
  return new Uint8Array([0x05, 0x00]);
}
