// Endorsement certificates: which chains make a TPM's key trusted, and who is said to have made it.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { before, describe, it } from 'node:test';
import fc from 'fast-check';
import {
  parseEndorsementRoots,
  requireAllowedManufacturer,
  verifyEndorsement,
  type EndorsementRoot,
  type VerifiedEndorsement,
} from '#protocols/endorsement.ts';
import type { IssuedCertificate } from '#protocols/issue-certificate.ts';
import { parseCertificate } from '#protocols/certificate.ts';
import { writePem } from '#protocols/pem.ts';
import { readEndorsementKey } from '#protocols/tpm-credential.ts';
import { clientAuth, der, forgeAuthority, forgeLeaf, now } from './certificate-forge.ts';
import { bytesOf, endorsementVector, flipped, quoteVector, refusalOf, refuses, vectors } from './tpm-vectors.ts';

const ekCertificate = '2.23.133.8.1';
const [swtpmRoot, swtpmIntermediate] = vectors.authorities;
const rsa = endorsementVector('rsa');
const recordedAt = new Date('2027-01-01T00:00:00Z');
const year = 365 * 86_400_000;

type Input = Parameters<typeof verifyEndorsement>[0];
const judge = (change: Partial<Input> = {}): VerifiedEndorsement =>
  verifyEndorsement({
    certificate: rsa.certificate,
    chain: [swtpmIntermediate],
    ekPublic: bytesOf(rsa.ek_public),
    roots: parseEndorsementRoots(swtpmRoot),
    now: recordedAt,
    ...change,
  });

/** Attributes of TCG as GeneralNames with one directoryName; `2.23.133.2.n` is 67 81 05 02 n. */
function tpmName(manufacturer: string): { oid: string; critical: boolean; value: Uint8Array<ArrayBuffer> } {
  const attribute = (last: number, text: string): Buffer =>
    der(0x31, der(0x30, der(0x06, Buffer.from([0x67, 0x81, 0x05, 0x02, last])), der(0x0c, text)));
  const name = der(0x30, attribute(1, manufacturer), attribute(2, 'SLB9672'), attribute(3, 'id:0F18'));
  return { oid: '2.5.29.17', critical: true, value: new Uint8Array(der(0x30, der(0xa4, name))) };
}

let root: IssuedCertificate;
let intermediate: IssuedCertificate;
let roots: EndorsementRoot[];

type Overrides = Parameters<typeof forgeLeaf>[1];
const forgeEndorsement = (issuer: IssuedCertificate, overrides: Overrides = {}): Promise<IssuedCertificate> =>
  forgeLeaf(issuer, {
    subject: [{ O: [{ utf8String: 'Infineon Technologies AG' }] }],
    keyUsage: ['keyAgreement'],
    extendedKeyUsage: [ekCertificate],
    otherExtensions: [tpmName('id:49465800')],
    ...overrides,
  });
const judgeForged = (leaf: IssuedCertificate, change: Partial<Input> = {}): VerifiedEndorsement =>
  judge({
    certificate: leaf.certificatePem,
    chain: [intermediate.certificatePem],
    ekPublic: null,
    roots,
    now,
    ...change,
  });

before(async () => {
  root = await forgeAuthority('Root');
  intermediate = await forgeAuthority('Intermediate', { issuer: root });
  roots = parseEndorsementRoots(root.certificatePem);
});

describe('verifyEndorsement', () => {
  it('trusts the certificates that swtpm makes, by their root', () => {
    for (const kind of ['rsa', 'ecc384']) {
      const { ek_public, certificate } = endorsementVector(kind);
      const verified = judge({ certificate, ekPublic: bytesOf(ek_public) });
      assert.equal(verified.key.id, readEndorsementKey(bytesOf(ek_public)).id);
      assert.equal(verified.certificateFingerprint, parseCertificate(certificate ?? '').fingerprintSha256);
      assert.deepEqual(verified.manufacturer, {
        vendor: 'id:00001014',
        model: 'swtpm',
        version: 'id:20191023',
        organizations: [],
      });
    }
  });

  it('finds the key by the certificate alone, also where the certificate stands first in the chain', () => {
    const { id } = judge().key;
    assert.equal(judge({ ekPublic: null }).key.id, id);
    assert.equal(judge({ certificate: null, chain: [rsa.certificate ?? '', swtpmIntermediate] }).key.id, id);
    assert.equal(judge({ chain: [swtpmRoot, rsa.certificate ?? '', swtpmIntermediate] }).key.id, id);
  });

  it('reads the manufacturer of the alternative names and the organisation of the subject', async () => {
    const verified = judgeForged(await forgeEndorsement(intermediate));
    assert.deepEqual(verified.manufacturer, {
      vendor: 'IFX',
      model: 'SLB9672',
      version: 'id:0F18',
      organizations: ['Infineon Technologies AG'],
    });
    const empty = await forgeEndorsement(intermediate, { subject: [] });
    assert.deepEqual(judgeForged(empty).manufacturer.organizations, [], 'an empty subject is nothing unusual');
  });

  it('refuses everything when no root is configured, and evidence without a certificate', () => {
    refuses('endorsement_untrusted', () => judge({ roots: [] }));
    refuses('endorsement_missing', () => judge({ certificate: null, chain: [] }));
    assert.throws(() => parseEndorsementRoots(''), { code: 'trust_anchor.invalid' });
  });

  it('refuses a foreign root, a missing intermediate, and the certificate of another key', async () => {
    refuses('endorsement_untrusted', () => judge({ roots }));
    refuses('endorsement_untrusted', () => judge({ chain: [] }));
    refuses('endorsement_untrusted', () => judge({ chain: [intermediate.certificatePem] }));
    const other = await forgeAuthority('Root');
    refuses('endorsement_untrusted', () => judge({ roots: parseEndorsementRoots(other.certificatePem) }));
    refuses('endorsement_untrusted', () => judge({ ekPublic: bytesOf(endorsementVector('rsa3072').ek_public) }));
    refuses('key_unfit', () => judge({ ekPublic: bytesOf(quoteVector('rsassa', 'sha256').evidence.ak_public) }));
  });

  it('refuses a chain that has expired or is not valid yet, wherever in it', async () => {
    const good = await forgeEndorsement(intermediate);
    const past = { notBefore: new Date(now.getTime() - 2 * year), notAfter: new Date(now.getTime() - year) };
    refuses('endorsement_expired', () => judgeForged(good, { now: new Date(now.getTime() + 30 * year) }));
    refuses('endorsement_expired', () => judgeForged(good, { now: new Date(now.getTime() - 30 * year) }));
    refuses('endorsement_expired', () => judgeForged(good, { now: new Date(Number.NaN) }));
    const expired = await forgeEndorsement(intermediate, past);
    refuses('endorsement_expired', () => judgeForged(expired));
    const old = await forgeAuthority('Old', { issuer: root, ...past });
    const below = await forgeEndorsement(old);
    refuses('endorsement_expired', () => judgeForged(below, { chain: [old.certificatePem] }));
  });

  it('asks each time whether what it has proven before is still valid', async () => {
    const leaf = await forgeEndorsement(intermediate);
    const at = (time: Date) => () => judgeForged(leaf, { now: time });
    assert.ok(at(now)());
    assert.equal(at(now)(), at(now)(), 'kept');
    refuses('endorsement_expired', at(new Date(now.getTime() + 91 * 86_400_000)));
    refuses('endorsement_expired', at(new Date(now.getTime() - 2 * 86_400_000)));
    refuses('endorsement_expired', at(new Date(Number.NaN)));
    assert.ok(at(now)());
    const others = parseEndorsementRoots((await forgeAuthority('Root')).certificatePem);
    refuses('endorsement_untrusted', () => judgeForged(leaf, { roots: others }));
    refuses('endorsement_untrusted', () => judgeForged(leaf, { ekPublic: bytesOf(rsa.ek_public) }));
    refuses('endorsement_untrusted', () => judgeForged(leaf, { chain: [] }));
  });

  it('checks leaf and authorities for what they are: a leaf as authority, an authority as leaf, usages (SA-11)', async () => {
    const leafAsAuthority = await forgeEndorsement(intermediate);
    const below = await forgeEndorsement(leafAsAuthority);
    refuses(
      'endorsement_untrusted',
      () => judgeForged(below, { chain: [leafAsAuthority.certificatePem, intermediate.certificatePem] }),
      'a leaf as authority',
    );
    const refused: Record<string, Overrides> = {
      'an authority as leaf': { authority: {}, keyUsage: ['keyAgreement', 'keyCertSign'] },
      'no extended key usage': { extendedKeyUsage: undefined },
      'an empty extended key usage': { extendedKeyUsage: [] },
      'another extended key usage': { extendedKeyUsage: [clientAuth] },
      'any extended key usage': { extendedKeyUsage: ['2.5.29.37.0'] },
      'no key usage': { keyUsage: undefined },
      'a key that signs': { keyUsage: ['digitalSignature'] },
      'a critical extension that nobody knows': {
        otherExtensions: [{ oid: '1.2.3.4', critical: true, value: new Uint8Array([5, 0]) }],
      },
      'a key that is too short': { keyAlgorithm: 'RSA-1024', keyUsage: ['keyEncipherment'] },
      'a weak signature': { hash: 'SHA-1' },
    };
    for (const [why, overrides] of Object.entries(refused)) {
      const leaf = await forgeEndorsement(intermediate, overrides);
      refuses('endorsement_untrusted', () => judgeForged(leaf), why);
    }
    const authorities: Record<string, Overrides> = {
      'no keyCertSign': { keyUsage: ['cRLSign'] },
      'no key usage': { keyUsage: undefined },
      'for clients only': { extendedKeyUsage: [clientAuth] },
    };
    for (const [why, overrides] of Object.entries(authorities)) {
      const authority = await forgeAuthority('Wrong', { issuer: root, ...overrides });
      const leaf = await forgeEndorsement(authority);
      refuses('endorsement_untrusted', () => judgeForged(leaf, { chain: [authority.certificatePem] }), why);
    }
    const noAuthority = await forgeLeaf(root, { keyUsage: ['keyCertSign'], extendedKeyUsage: [ekCertificate] });
    const ofNobody = await forgeEndorsement(noAuthority);
    refuses(
      'endorsement_untrusted',
      () => judgeForged(ofNobody, { chain: [noAuthority.certificatePem] }),
      'no authority',
    );
    const forTpms = await forgeAuthority('TPMs', { issuer: root, extendedKeyUsage: [ekCertificate] });
    assert.ok(judgeForged(await forgeEndorsement(forTpms), { chain: [forTpms.certificatePem] }));
  });

  it('counts the length of the path (SA-11)', async () => {
    const limited = await forgeAuthority('Limited', { issuer: root, authority: { pathLength: 0 } });
    assert.ok(judgeForged(await forgeEndorsement(limited), { chain: [limited.certificatePem] }));
    const below = await forgeAuthority('Below', { issuer: limited });
    const leaf = await forgeEndorsement(below);
    refuses('endorsement_untrusted', () =>
      judgeForged(leaf, { chain: [limited.certificatePem, below.certificatePem] }),
    );
  });

  it('follows the chains of processors that certify their own TPM, and none that is longer (AT-10)', async () => {
    const chain = [root];
    for (const name of ['Line', 'Product', 'ROM', 'Kernel', 'TPM', 'Below'])
      chain.unshift(await forgeAuthority(name, { issuer: chain[0] ?? root }));
    const [below = root, tpm = root] = chain;
    const pems = chain.map(({ certificatePem }) => certificatePem);
    const leaf = await forgeEndorsement(tpm);
    assert.ok(judgeForged(leaf, { chain: pems.slice(1) }), 'the root among them');
    assert.ok(judgeForged(leaf, { chain: pems.slice(1, -1).toReversed() }));
    const deepest = await forgeEndorsement(below);
    refuses('endorsement_untrusted', () => judgeForged(deepest, { chain: pems.slice(0, -1) }));
  });

  it('makes little of authorities that vouch for each other in a circle', async () => {
    const first = await forgeAuthority('Circle');
    const circle = [first];
    while (circle.length < 6) circle.push(await forgeAuthority('Circle', { issuer: first, keyPem: first.keyPem }));
    const leaf = await forgeEndorsement(first);
    refuses('endorsement_untrusted', () =>
      judgeForged(leaf, { chain: circle.map(({ certificatePem }) => certificatePem) }),
    );
  });

  it('refuses the certificate, and the intermediate, with any one byte changed (SA-02)', () => {
    for (const [pem, name] of [
      [rsa.certificate ?? '', 'leaf'],
      [swtpmIntermediate, 'intermediate'],
    ] as const) {
      const raw = parseCertificate(pem).raw;
      for (let at = 0; at < raw.length; at += 1) {
        const changed = writePem(flipped(raw, at, at % 8), 'CERTIFICATE');
        refusalOf(() => judge(name === 'leaf' ? { certificate: changed } : { chain: [changed] }), `${name} ${at}`);
      }
    }
  });

  it('refuses more certificates than a path can use, and what is no certificate', () => {
    refuses('endorsement_untrusted', () => judge({ chain: Array.from({ length: 7 }, () => swtpmIntermediate) }));
    for (const certificate of ['', 'x', swtpmIntermediate.repeat(2)])
      refuses('endorsement_untrusted', () => judge({ certificate }));
    refuses('endorsement_untrusted', () => judge({ chain: ['x'] }));
  });

  it('answers anything at all with codes of the table', () => {
    const raw = parseCertificate(rsa.certificate ?? '').raw;
    const changes = fc.array(fc.tuple(fc.nat(raw.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    const pem = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.uint8Array({ minLength: 1, maxLength: 200 }).map((bytes) => writePem(Buffer.from(bytes), 'CERTIFICATE')),
      changes.map((list) => {
        const other = Buffer.from(raw);
        for (const [at, value] of list) other[at] = value;
        return writePem(other, 'CERTIFICATE');
      }),
    );
    fc.assert(
      fc.property(pem, fc.array(pem, { maxLength: 2 }), (certificate, chain) => {
        try {
          assert.equal(judge({ certificate, chain: [...chain, swtpmIntermediate] }).key.id, judge().key.id);
        } catch (error) {
          refusalOf(() => {
            throw error;
          });
        }
      }),
      { numRuns: 500, seed: 20261201 },
    );
  });
});

describe('requireAllowedManufacturer', () => {
  it('compares what is reported, and what the certificate says, with the list', async () => {
    const endorsement = judgeForged(await forgeEndorsement(intermediate));
    const check =
      (allowed: string[], reported: string | null, verified: VerifiedEndorsement | null = endorsement) =>
      () =>
        requireAllowedManufacturer({ allowed, reported, certified: verified?.manufacturer ?? null });
    for (const accepted of [
      check([], null, null),
      check([], 'anybody'),
      check(['IFX'], 'IFX', null),
      check(['ifx'], null),
      check(['STM', ' infineon technologies ag '], null),
      check(['IFX'], 'IFX'),
    ])
      accepted();
    for (const refused of [
      check(['IFX'], null, null),
      check(['IFX'], 'STM', null),
      check(['STM'], null),
      check(['STM'], 'STM'),
      check(['IFX'], 'STM'),
      check([''], null),
    ])
      refuses('manufacturer_not_allowed', refused);
  });

  it('lets nobody pass who made an endorsement key of another kind', async () => {
    const keyPem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const leaf = await forgeEndorsement(intermediate, { keyPem });
    refuses('key_unfit', () => judgeForged(leaf));
  });
});
