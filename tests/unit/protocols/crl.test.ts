// Revocation lists: who may say what is revoked, for which certificates, for how long, and what is refused.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import fc from 'fast-check';
import { TrustError } from '#contracts/problems.ts';
import { authorityId, parseCertificate, type Certificate } from '#protocols/certificate.ts';
import { isCurrent, isListed, readRevocationLists, requireNotListed, type RevocationList } from '#protocols/crl.ts';
import type { IssuedCertificate } from '#protocols/issue-certificate.ts';
import { writePem } from '#protocols/pem.ts';
import { anchorsOf, der, forgeAuthority, forgeLeaf, now, verify } from './certificate-forge.ts';
import {
  entryExtensions,
  extension,
  extensionOids,
  forgeList,
  numberExtension,
  pointExtension,
  pointName,
} from './crl-forge.ts';

let ca: IssuedCertificate;
let other: IssuedCertificate;
let issuers: Certificate[];
let leaf: IssuedCertificate;

before(async () => {
  ca = await forgeAuthority('Sentinel Test CA');
  other = await forgeAuthority('Another CA');
  issuers = [ca, other].map(({ certificatePem }) => parseCertificate(certificatePem));
  leaf = await forgeLeaf(ca);
});

const refusedFor = (pattern: RegExp, act: () => unknown): void =>
  assert.throws(
    act,
    (error) =>
      error instanceof TrustError && error.code === 'certificate.crl_unavailable' && pattern.test(error.message),
  );
const read = (bytes: Uint8Array): RevocationList => {
  const [list] = readRevocationLists(bytes, issuers);
  assert.ok(list);
  return list;
};
const byAuthority = (...lists: readonly RevocationList[]): Map<string, RevocationList[]> => {
  const map = new Map<string, RevocationList[]>();
  for (const list of lists) map.set(list.authority, [...(map.get(list.authority) ?? []), list]);
  return map;
};
const pathOf = (certificate: IssuedCertificate, chain: IssuedCertificate[] = []): readonly Certificate[] =>
  verify(certificate, { anchors: anchorsOf(ca), chain }).path;
const serialOf = (certificate: IssuedCertificate): string => {
  const { serialNumber } = parseCertificate(certificate.certificatePem);
  return serialNumber.length % 2 === 0 ? serialNumber : `0${serialNumber}`;
};
const codeOf = (act: () => unknown): string | null => {
  try {
    act();
    return null;
  } catch (error) {
    return error instanceof TrustError ? error.code : String(error);
  }
};

describe('readRevocationLists', () => {
  it('believes the authority also where its name is written in another string type, and nobody else', async () => {
    const subject = [{ CN: [{ printableString: 'Sentinel test CA' }] }];
    const printable = await forgeAuthority('', { subject, keyPem: ca.keyPem });
    const list = read(forgeList(ca, { issuer: printable, revoked: [serialOf(leaf)] }));
    assert.equal(
      codeOf(() => requireNotListed(pathOf(leaf), byAuthority(list), now)),
      'certificate.revoked',
    );
    refusedFor(/No authority that is trusted/, () => read(forgeList(other, { issuer: printable })));
  });

  it('says what the list says, of DER and of PEM with several lists (RV-02)', () => {
    const first = forgeList(ca, { revoked: ['42', '0080', '7f00ff'], extensions: [numberExtension(7)] });
    const list = read(first);
    assert.equal(list.issuer, 'CN=Sentinel Test CA');
    assert.equal(list.number, '7');
    assert.equal(list.entries, 3);
    assert.equal(list.thisUpdate, '2026-11-30T12:00:00.000Z');
    assert.equal(list.nextUpdate, '2026-12-02T12:00:00.000Z');
    const both = writePem(first, 'X509 CRL') + writePem(forgeList(other), 'X509 CRL');
    const lists = readRevocationLists(Buffer.from(both), issuers);
    assert.deepEqual(
      lists.map(({ issuer, entries }) => [issuer, entries]),
      [
        ['CN=Sentinel Test CA', 3],
        ['CN=Another CA', 0],
      ],
    );
  });

  it('finds each serial number that is in the list, and no other', () => {
    const serials = fc.uniqueArray(fc.bigInt({ min: 0n, max: 2n ** 159n - 1n }), { maxLength: 200 });
    fc.assert(
      fc.property(serials, fc.bigInt({ min: 0n, max: 2n ** 159n - 1n }), (listed, absent) => {
        const list = read(forgeList(ca, { revoked: listed.map(contentOf) }));
        for (const serial of listed) assert.ok(isListed(list, serial.toString(16)));
        assert.equal(isListed(list, absent.toString(16)), listed.includes(absent));
      }),
      { numRuns: 50 },
    );
  });

  it('compares serial numbers as numbers', () => {
    const list = read(forgeList(ca, { revoked: ['0080', '00'] }));
    for (const spelling of ['80', '0080', '000080']) assert.ok(isListed(list, spelling));
    assert.ok(isListed(list, '0'));
    assert.ok(!isListed(list, '8000'));
  });

  it('refuses what no trusted authority has signed', async () => {
    const stranger = await forgeAuthority('A stranger');
    const noLists = await forgeAuthority('No lists', { keyUsage: ['keyCertSign'] });
    issuers.push(parseCertificate(noLists.certificatePem), parseCertificate(leaf.certificatePem));
    const wrong = [
      forgeList(stranger),
      forgeList(stranger, { issuer: ca }),
      forgeList(noLists),
      forgeList(leaf),
      forgeList(other, { issuer: ca }),
    ];
    for (const list of wrong) refusedFor(/signed/, () => read(list));
    const none: readonly Certificate[] = [];
    refusedFor(/signed/, () => readRevocationLists(forgeList(ca), none));
  });

  it('refuses delta, indirect and partial lists, each by name', () => {
    const flag = (number: number): Buffer => der(0x80 | number, Buffer.of(0xff));
    const lists: readonly [RegExp, readonly Buffer[]][] = [
      [/delta/, [extension(extensionOids.deltaCrlIndicator, der(0x02, Buffer.of(1)), true)]],
      [/indirect/, [pointExtension(flag(4))]],
      [/some reasons/, [pointExtension(der(0x83, Buffer.of(1, 2)))]],
      [/device certificates/, [pointExtension(flag(5))]],
      [/device certificates/, [pointExtension(flag(1), flag(2))]],
      [/critical extension 1\.2\.3\.4/, [extension(extensionOids.unknown, Buffer.of(5, 0), true)]],
    ];
    for (const [why, extensions] of lists) refusedFor(why, () => read(forgeList(ca, { extensions })));
    const inEntry = (value: Buffer): Buffer =>
      forgeList(ca, { revoked: [{ serial: '42', extensions: entryExtensions(value) }] });
    refusedFor(/indirect/, () => read(inEntry(extension(extensionOids.certificateIssuer, der(0x30), true))));
    refusedFor(/critical extension 1\.2\.3\.4/, () =>
      read(inEntry(extension(extensionOids.unknown, Buffer.of(5, 0), true))),
    );
    const reason = extension(extensionOids.reasonCode, der(0x0a, Buffer.of(6)));
    assert.ok(isListed(read(inEntry(reason)), '42'), 'a certificate on hold is revoked');
    assert.ok(isListed(read(inEntry(extension(extensionOids.unknown, Buffer.of(5, 0)))), '42'));
  });

  it('reads a list of more than 10 MB, and finds the one certificate in it (FT-13)', () => {
    const many = Array.from({ length: 300_000 }, (_, index) => `42${index.toString(16).padStart(30, '0')}`);
    const bytes = forgeList(ca, { revoked: [...many, '77'] });
    assert.ok(bytes.length > 10_000_000);
    const list = read(bytes);
    assert.equal(list.entries, 300_001);
    assert.ok(isListed(list, '77') && isListed(list, many[299_999] ?? '') && !isListed(list, '78'));
  });

  it('refuses a list that does not say when the next one comes', () => {
    refusedFor(/next one/, () => read(forgeList(ca, { nextUpdate: null })));
  });

  it('refuses weak and disagreeing signature algorithms', () => {
    const sha1 = Buffer.from('300906072a8648ce3d0401', 'hex');
    const sha384 = Buffer.from('300a06082a8648ce3d040303', 'hex');
    refusedFor(/signed/, () => read(forgeList(ca, { algorithm: sha1 })));
    refusedFor(/two signature algorithms/, () => read(forgeList(ca, { outerAlgorithm: sha384 })));
  });

  it('refuses every list of which one byte was changed', () => {
    const good = forgeList(ca, { revoked: ['42', '0080'] });
    for (let index = 0; index < good.length; index += 1) {
      const changed = Buffer.from(good);
      changed[index] = (changed[index] ?? 0) ^ 0x01;
      assert.equal(
        codeOf(() => read(changed)),
        'certificate.crl_unavailable',
        `byte ${index}`,
      );
    }
  });

  it('answers any bytes with its problem code and nothing else', () => {
    const good = forgeList(ca, { revoked: ['42', '0080'] });
    const cut = fc.tuple(fc.nat(good.length - 1), fc.uint8Array({ maxLength: 40 }), fc.nat(40));
    fc.assert(
      fc.property(cut, ([at, bytes, skip]) => {
        const changed = Buffer.concat([good.subarray(0, at), bytes, good.subarray(at + skip)]);
        const code = codeOf(() => read(changed));
        assert.ok(code === 'certificate.crl_unavailable' || changed.equals(good));
      }),
      { numRuns: 500 },
    );
    for (const bytes of [Buffer.alloc(0), Buffer.from('-----BEGIN X509 CRL-----'), Buffer.of(0x30)])
      assert.equal(
        codeOf(() => read(bytes)),
        'certificate.crl_unavailable',
      );
  });

  it('refuses entries that are not well formed, though they are signed', () => {
    const malformed: readonly string[] = ['', '0042', 'ff80', '42'.repeat(65)];
    for (const serial of malformed) refusedFor(/serial number/, () => read(forgeList(ca, { revoked: [serial] })));
  });
});

describe('requireNotListed', () => {
  it('lets a certificate pass that a current list does not name (RV-02)', () => {
    requireNotListed(pathOf(leaf), byAuthority(read(forgeList(ca, { revoked: ['99'] }))), now);
  });

  it('refuses a certificate that a list names, and says which list', () => {
    const lists = byAuthority(read(forgeList(ca, { revoked: [serialOf(leaf)] })));
    assert.throws(
      () => requireNotListed(pathOf(leaf), lists, now),
      (error) =>
        error instanceof TrustError && error.code === 'certificate.revoked' && error.facts?.['crl_number'] === '1',
    );
  });

  it('refuses when there is no list of the authority, or only another authority’s (RV-04)', () => {
    const path = pathOf(leaf);
    for (const lists of [byAuthority(), byAuthority(read(forgeList(other)))])
      refusedFor(/CN=Sentinel Test CA/, () => requireNotListed(path, lists, now));
  });

  it('refuses when the list is out of date or not yet valid (RV-04)', () => {
    const list = read(forgeList(ca));
    const at = (instant: string, offsetMs: number): Date => new Date(Date.parse(instant) + offsetMs);
    const path = pathOf(leaf);
    requireNotListed(path, byAuthority(list), at(list.nextUpdate, 0));
    refusedFor(/current/, () => requireNotListed(path, byAuthority(list), at(list.nextUpdate, 1)));
    requireNotListed(path, byAuthority(list), at(list.thisUpdate, 0));
    refusedFor(/current/, () => requireNotListed(path, byAuthority(list), at(list.thisUpdate, -1)));
    assert.ok(!isCurrent(list, new Date(Number.NaN)));
  });

  it('goes on refusing what an old list names', () => {
    const old = { thisUpdate: new Date(now.getTime() - 10_000), nextUpdate: new Date(now.getTime() - 5_000) };
    const lists = [forgeList(ca, { ...old, revoked: [serialOf(leaf)] }), forgeList(ca)].map(read);
    assert.equal(
      codeOf(() => requireNotListed(pathOf(leaf), byAuthority(...lists), now)),
      'certificate.revoked',
    );
  });

  it('asks about every authority of the path but the anchor', async () => {
    const middle = await forgeAuthority('Middle', { issuer: ca });
    const below = await forgeLeaf(middle);
    const path = pathOf(below, [middle]);
    const signers = [...issuers, parseCertificate(middle.certificatePem)];
    const middleList = readRevocationLists(forgeList(middle), signers);
    refusedFor(/CN=Sentinel Test CA/, () => requireNotListed(path, byAuthority(...middleList), now));
    requireNotListed(path, byAuthority(...middleList, read(forgeList(ca))), now);
    const revoked = read(forgeList(ca, { revoked: [serialOf(middle)] }));
    assert.equal(
      codeOf(() => requireNotListed(path, byAuthority(...middleList, revoked), now)),
      'certificate.revoked',
    );
  });

  it('takes a list of some certificates for those only', async () => {
    const flag = (number: number): Buffer => der(0x80 | number, Buffer.of(0xff));
    const authoritiesOnly = read(forgeList(ca, { extensions: [pointExtension(flag(2))] }));
    refusedFor(/current/, () => requireNotListed(pathOf(leaf), byAuthority(authoritiesOnly), now));
    requireNotListed(pathOf(leaf), byAuthority(read(forgeList(ca, { extensions: [pointExtension(flag(1))] }))), now);

    const point = 'http://ca.example/shard-1.crl';
    const shard = read(forgeList(ca, { extensions: [pointExtension(pointName(point))] }));
    refusedFor(/current/, () => requireNotListed(pathOf(leaf), byAuthority(shard), now));
    const naming = async (...fields: Buffer[]): Promise<readonly Certificate[]> => {
      const value = new Uint8Array(der(0x30, der(0x30, ...fields)));
      return pathOf(await forgeLeaf(ca, { otherExtensions: [{ oid: '2.5.29.31', critical: false, value }] }));
    };
    requireNotListed(await naming(pointName(point)), byAuthority(shard), now);
    for (const fields of [[pointName(`${point}x`)], [pointName(point), der(0x81, Buffer.of(1, 2))], []]) {
      const path = await naming(...fields);
      refusedFor(/current/, () => requireNotListed(path, byAuthority(shard), now));
    }
  });

  it('knows an authority by its name and key, so that its renewed certificate does as well', async () => {
    const renewed = await forgeAuthority('Sentinel Test CA', { keyPem: ca.keyPem });
    assert.equal(authorityId(parseCertificate(renewed.certificatePem)), authorityId(issuers[0] as Certificate));
    const list = readRevocationLists(forgeList(ca), [parseCertificate(renewed.certificatePem)]);
    requireNotListed(pathOf(leaf), byAuthority(...list), now);
  });
});

/** The content of an INTEGER, hex. */
function contentOf(value: bigint): string {
  const hex = value.toString(16);
  const even = hex.length % 2 === 0 ? hex : `0${hex}`;
  return Number.parseInt(even.slice(0, 2), 16) < 0x80 ? even : `00${even}`;
}
