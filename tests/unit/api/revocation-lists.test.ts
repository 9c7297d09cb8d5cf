// The files of revocation lists: read when they change, and relied on only while they can be.
import assert from 'node:assert/strict';
import { mkdtemp, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it, type TestContext } from 'node:test';
import { readLists } from '#api/revocation-list-reader.ts';
import { createRevocationLists } from '#api/revocation-lists.ts';
import type { ProblemCode } from '#contracts/problems.ts';
import { parseCertificate } from '#protocols/certificate.ts';
import type { IssuedCertificate } from '#protocols/issue-certificate.ts';
import { writePem } from '#protocols/pem.ts';
import { fakeClock } from '#tests/fakes/fake-clock.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import { anchorsOf, forgeAuthority, forgeLeaf, now, verify } from '#tests/unit/protocols/certificate-forge.ts';
import { forgeList, numberExtension } from '#tests/unit/protocols/crl-forge.ts';

let ca: IssuedCertificate;
let other: IssuedCertificate;
let leaf: IssuedCertificate;

before(async () => {
  ca = await forgeAuthority('Sentinel Test CA');
  other = await forgeAuthority('Another CA');
  leaf = await forgeLeaf(ca);
});

async function listsIn(t: TestContext, files: Readonly<Record<string, Buffer | null>>) {
  const folder = await mkdtemp(join(tmpdir(), 'sentinel-lists-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const clock = fakeClock(now.toISOString());
  const log = fakeLog();
  const authorities = [ca, other].map(({ certificatePem }) => parseCertificate(certificatePem));
  let changes = 0;
  let age = 0;
  /** As a publisher does it: written beside, and put in place; every time with another time. */
  const put = async (name: string, bytes: Buffer) => {
    await writeFile(join(folder, 'new'), bytes);
    age += 10;
    await utimes(join(folder, 'new'), age, age);
    await rename(join(folder, 'new'), join(folder, name));
  };
  for (const [name, bytes] of Object.entries(files)) if (bytes !== null) await put(name, bytes);
  const lists = createRevocationLists({
    paths: Object.keys(files).map((name) => join(folder, name)),
    issuers: () => authorities,
    read: readLists,
    onChange: () => (changes += 1),
    clock,
    log,
  });
  t.after(() => lists.close());
  await lists.refresh();
  const certificate = verify(leaf, { anchors: anchorsOf(ca, other) });
  const verdict = (): ProblemCode | null => {
    try {
      lists.require(certificate, clock.now());
      return null;
    } catch (error) {
      return (error as { code: ProblemCode }).code;
    }
  };
  /** A file that has changed is read when it has stayed the same for one look. */
  const settle = async () => {
    await lists.refresh();
    await lists.refresh();
  };
  return { folder, clock, log, lists, put, verdict, settle, changes: () => changes };
}

const revokes = (number: number): Buffer => {
  const serial = parseCertificate(leaf.certificatePem).serialNumber;
  return forgeList(ca, { revoked: [serial], extensions: [numberExtension(number)], thisUpdate: at(number) });
};
const clean = (number: number): Buffer =>
  forgeList(ca, { extensions: [numberExtension(number)], thisUpdate: at(number) });
const pemOf = (...lists: readonly Buffer[]): Buffer =>
  Buffer.from(lists.map((der) => writePem(der, 'X509 CRL')).join('\n'));
const at = (hour: number): Date => new Date(now.getTime() - 86_400_000 + hour * 3_600_000);

describe('revocation lists in files', () => {
  it('take a change of a file up without a restart (RV-02)', async (t) => {
    const { put, verdict, settle, changes } = await listsIn(t, { 'ca.crl': clean(1), 'other.crl': forgeList(other) });
    assert.equal(verdict(), null);
    assert.equal(changes(), 1);
    await put('ca.crl', revokes(2));
    await settle();
    assert.equal(verdict(), 'certificate.revoked');
    assert.equal(changes(), 2);
    await settle();
    assert.equal(changes(), 2, 'nothing changes while the files stay the same');
  });

  it('take a large one up as well, in a thread of its own', async (t) => {
    const { serialNumber } = parseCertificate(leaf.certificatePem);
    const others = Array.from({ length: 2_000 }, (_, n) => `01${n.toString(16).padStart(6, '0')}`);
    const large = forgeList(ca, { revoked: [...others, serialNumber] });
    const { verdict, lists } = await listsIn(t, { 'ca.crl': large });
    assert.equal(verdict(), 'certificate.revoked');
    assert.equal(lists.current()[0]?.entries, others.length + 1);
    const cut = await listsIn(t, { 'ca.crl': large.subarray(0, -1) });
    assert.equal(cut.verdict(), 'certificate.crl_unavailable');
  });

  it('serve the list before while a new one is being written', async (t) => {
    const { put, verdict, lists } = await listsIn(t, { 'ca.crl': clean(1) });
    await put('ca.crl', clean(2).subarray(0, 100));
    await lists.refresh();
    assert.equal(verdict(), null);
    await put('ca.crl', revokes(2));
    await lists.refresh();
    assert.equal(verdict(), null);
    await lists.refresh();
    assert.equal(verdict(), 'certificate.revoked');
  });

  it('refuse everybody while a file is missing that has never been read (RV-04)', async (t) => {
    const { put, verdict, settle, lists, clock } = await listsIn(t, { 'ca.crl': clean(1), 'other.crl': null });
    assert.equal(verdict(), 'certificate.crl_unavailable');
    assert.deepEqual(lists.state(clock.now()).problems, ['is not there']);
    await put('other.crl', forgeList(other));
    await settle();
    assert.equal(verdict(), null);
  });

  it('refuse those whom a file concerns that can no longer be read, and only those (RV-04)', async (t) => {
    const { put, folder, verdict, settle } = await listsIn(t, { 'ca.crl': clean(1), 'other.crl': forgeList(other) });
    await rm(join(folder, 'other.crl'));
    await settle();
    assert.equal(verdict(), null);
    await put('ca.crl', Buffer.from('not a list'));
    await settle();
    assert.equal(verdict(), 'certificate.crl_unavailable');
    await put('ca.crl', clean(3));
    await settle();
    assert.equal(verdict(), null);
  });

  it('refuse when the list runs out, without being told (RV-04)', async (t) => {
    const { verdict, clock, lists } = await listsIn(t, { 'ca.crl': clean(1) });
    clock.set('2026-12-02T12:00:01.000Z');
    assert.equal(verdict(), 'certificate.crl_unavailable');
    assert.deepEqual(lists.state(clock.now()).outdated, ['CN=Sentinel Test CA']);
  });

  it('keep the newer list when an older one is put in its place', async (t) => {
    const { put, verdict, settle, lists, clock } = await listsIn(t, { 'ca.crl': revokes(5) });
    await put('ca.crl', clean(4));
    await settle();
    assert.equal(verdict(), 'certificate.revoked');
    const { older, problems, nextUpdate } = lists.state(clock.now());
    assert.deepEqual(
      older.map(({ found, kept }) => [kept.issuer, found.number, kept.number]),
      [['CN=Sentinel Test CA', '4', '5']],
    );
    assert.deepEqual(problems, []);
    assert.notEqual(nextUpdate, null);
    await put('ca.crl', revokes(6));
    await settle();
    assert.deepEqual(lists.state(clock.now()).older, []);
  });

  it('keep the newer list of one authority, and take up that of another from the same file', async (t) => {
    const [issued, stranger] = [revokes(5), forgeList(other, { extensions: [numberExtension(1)], thisUpdate: at(1) })];
    const newer = forgeList(other, { extensions: [numberExtension(2)], thisUpdate: at(2) });
    const { put, settle, lists, clock } = await listsIn(t, { 'all.crl': pemOf(issued, stranger) });
    await put('all.crl', pemOf(clean(4), newer));
    await settle();
    assert.deepEqual(
      lists.current().map(({ issuer, number }) => [issuer, number]),
      [
        ['CN=Sentinel Test CA', '5'],
        ['CN=Another CA', '2'],
      ],
    );
    assert.deepEqual(
      lists.state(clock.now()).older.map(({ kept }) => kept.issuer),
      ['CN=Sentinel Test CA'],
    );
  });

  it('keep the newer list also when the file was gone or broken before an older one comes', async (t) => {
    const { put, folder, verdict, settle } = await listsIn(t, { 'ca.crl': revokes(5) });
    await rm(join(folder, 'ca.crl'));
    await settle();
    assert.equal(verdict(), 'certificate.crl_unavailable');
    await put('ca.crl', clean(4));
    await settle();
    assert.equal(verdict(), 'certificate.revoked');
    await put('ca.crl', forgeList(other));
    await settle();
    await put('ca.crl', clean(4));
    await settle();
    assert.equal(verdict(), 'certificate.revoked');
  });

  it('say nothing when none is configured', async (t) => {
    const { verdict } = await listsIn(t, {});
    assert.equal(verdict(), null);
  });
});
