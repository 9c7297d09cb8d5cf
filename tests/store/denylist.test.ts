// The denylist on a real database: what is revoked stays refused, under whatever signature, and every reader sees it at once.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { factsOf } from '#api/device-identity.ts';
import type { CertificateFacts } from '#contracts/certificate.ts';
import { parseCertificate } from '#protocols/certificate.ts';
import { deviceNews, findDevice } from '#store/device.ts';
import type { HeartbeatItem } from '#store/heartbeat.ts';
import { devicesWithNews } from '#store/reconcile.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { forgeAuthority, forgeLeaf, withOtherSignature } from '#tests/unit/protocols/certificate-forge.ts';
import {
  after,
  approval,
  approvalCommit,
  approved,
  commit,
  decide,
  digest,
  facts,
  grant,
  heartbeat,
  noon,
  report,
  revoke,
} from './builders.ts';
import { addProject, type StoreTest, storeTest } from './database.ts';

describe('the denylist', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  before(async () => {
    database = await storeTest(cleanup);
    await addProject(database, 'other');
  });

  const codeOf = async (item: HeartbeatItem, now = noon) => (await report(database.api, item, now)).code;
  const presenting = (device_id: string, certificate: CertificateFacts, counter = 1): HeartbeatItem => ({
    ...heartbeat(device_id, { counter }),
    certificate: { facts: certificate, pem: 'PEM' },
  });
  const pinning = (certificate: CertificateFacts) =>
    approved('', { pinned_fingerprint: certificate.fingerprint_sha256, pinned_certificate: { ...certificate } });
  const rowOf = async (fingerprint: string) => {
    const [row] = await database.rows<Record<string, unknown>>(
      'SELECT * FROM certificate_denylist WHERE fingerprint_sha256 = $1',
      [fingerprint],
    );
    return row;
  };
  const actionsOf = async (id: string) => {
    const rows = await database.rows<{ action: string }>(
      'SELECT action FROM audit_event WHERE subject_id = $1 ORDER BY position',
      [id],
    );
    return rows.map(({ action }) => action);
  };

  /** A device's certificate, and the same one as whoever holds it can write it: with the signature's other form. */
  async function pairOf(deviceId: string): Promise<{ own: CertificateFacts; twin: CertificateFacts }> {
    const leaf = await forgeLeaf(await forgeAuthority('Signer'), { subject: [{ CN: [{ utf8String: deviceId }] }] });
    const [own, twin] = [leaf.certificatePem, withOtherSignature(leaf.certificatePem)].map((pem) =>
      factsOf(parseCertificate(pem)),
    );
    assert.ok(own && twin && own.fingerprint_sha256 !== twin.fingerprint_sha256);
    return { own, twin };
  }

  it('refuses a revoked certificate also under its other signature, for ever (RV-01)', async () => {
    const { own, twin } = await pairOf('forged');
    await report(database.api, presenting('forged', own));
    await decide(database.worker, 'forged', pinning(own));
    assert.equal(await codeOf(presenting('forged', own)), 'accepted');
    await revoke(database.api, 'forged');
    for (const one of [own, twin]) {
      assert.equal(await codeOf(presenting('forged', one, 9)), 'certificate.revoked');
      assert.equal(await codeOf(presenting('unknown', one, 9)), 'certificate.revoked');
    }
    await decide(database.worker, 'forged', grant({ counter_epoch: 2, epoch: 3, review_generation: 5 }));
    for (const one of [own, twin]) assert.equal(await codeOf(presenting('forged', one)), 'certificate.revoked');
    const renewed = facts('forged-2', { issuer: own.issuer });
    assert.equal(await codeOf(presenting('forged', renewed)), 'pending', 'a new certificate is for people to decide');
    const foreign = { ...facts('foreign'), serial_number: own.serial_number };
    assert.equal(await codeOf(presenting('elsewhere', foreign)), 'pending', 'another authority gives its own numbers');
  });

  it('ends the trust in a pinned certificate when the same one is revoked under its other signature (RV-01)', async () => {
    const { own, twin } = await pairOf('swapped');
    await report(database.api, presenting('swapped', own));
    await decide(database.worker, 'swapped', pinning(own));
    // It waits for people while the pinned one goes on, until somebody revokes it.
    assert.equal(await codeOf(presenting('swapped', twin)), 'pending');
    await revoke(database.api, 'swapped', twin.fingerprint_sha256);
    assert.equal(await codeOf(presenting('swapped', own, 2)), 'certificate.revoked');
    assert.equal((await findDevice(database.api, 'default', 'swapped'))?.pinned_revoked, true);
    const news = await deviceNews(database.worker, { project: 'default', device_id: 'swapped', pinned: own });
    assert.deepEqual(
      [...news.revoked].toSorted(),
      [own.fingerprint_sha256, twin.fingerprint_sha256].toSorted(),
      'its actor hears of both',
    );
    assert.deepEqual(await actionsOf('swapped'), ['device.certificate.revoked', 'device.trust.updated']);
  });

  it('lets a certificate that waits under its other signature block no other, and tells its actor', async () => {
    const { own, twin } = await pairOf('blocking');
    await report(database.api, presenting('blocking', own));
    await decide(database.worker, 'blocking', pinning(own));
    await report(database.api, presenting('blocking', twin));
    const row = { ...pinning(own), candidate_fingerprint: twin.fingerprint_sha256 };
    await decide(database.worker, 'blocking', row);
    const announced = async (seconds: number) => {
      const { items } = await devicesWithNews(database.worker, null, 500, new Date(after(seconds)));
      return items.some(({ device_id }) => device_id === 'blocking');
    };
    assert.equal(await announced(60), false);
    await revoke(database.api, 'blocking', own.fingerprint_sha256, { now: after(61) });
    assert.equal((await findDevice(database.api, 'default', 'blocking'))?.candidate, null);
    assert.equal(await announced(80), true);
    // The actor has heard of it, closed the review and pinned nothing new: what is left is no news.
    const heard = [own.fingerprint_sha256];
    const over = { ...row, candidate_fingerprint: null };
    await decide(database.worker, 'blocking', { ...over, review_generation: 2 }, after(81), heard);
    assert.equal(await announced(200), false);
    await decide(database.worker, 'blocking', over, after(201), heard);
    assert.equal(await announced(300), false, 'a denied certificate is not announced as one that waits');
    const next = facts('blocking-2', { issuer: own.issuer });
    assert.equal(await codeOf(presenting('blocking', next), after(301)), 'pending');
    assert.equal(
      (await findDevice(database.api, 'default', 'blocking'))?.candidate?.fingerprint_sha256,
      next.fingerprint_sha256,
    );
  });

  it('knows issuer and number also of a certificate that is no longer pinned, from the review of it', async () => {
    const { own, twin } = await pairOf('rotated');
    await decide(database.worker, 'rotated', approved('rotated-2', { review_generation: 2 }));
    await commit(
      database.worker,
      'run-rotated',
      approvalCommit(randomUUID(), {
        row: approval({
          subject_id: 'rotated',
          subject: { certificate: { ...own } },
          state: 'approved',
          closed_at: noon,
        }),
      }),
    );
    await revoke(database.api, 'rotated', own.fingerprint_sha256);
    assert.equal((await rowOf(own.fingerprint_sha256))?.['serial_number'], own.serial_number);
    assert.equal(await codeOf(presenting('rotated', twin)), 'certificate.revoked');
    assert.deepEqual(await actionsOf('rotated'), ['device.certificate.revoked'], 'what is pinned is another one');
    assert.equal((await findDevice(database.api, 'default', 'rotated'))?.pinned_revoked, false);
  });

  it('takes a fingerprint that nobody has seen yet, and refuses exactly that', async () => {
    const { own, twin } = await pairOf('unseen');
    await report(database.api, heartbeat('unseen'));
    assert.deepEqual(await revoke(database.api, 'unseen', own.fingerprint_sha256), {
      fingerprint_sha256: own.fingerprint_sha256,
      already_revoked: false,
    });
    const row = await rowOf(own.fingerprint_sha256);
    assert.deepEqual([row?.['issuer'], row?.['serial_number']], [null, null]);
    assert.equal(await codeOf(presenting('unseen', own)), 'certificate.revoked');
    assert.equal(await codeOf(presenting('unseen', twin)), 'device.other_certificate_pending', 'as any other');
  });

  it('takes each certificate once, the pinned one unless told otherwise, and none of another device', async () => {
    await report(database.api, heartbeat('once'));
    assert.equal(
      (await revoke(database.api, 'once')).fingerprint_sha256,
      digest('once-1'),
      'the one that waits, when none is pinned',
    );
    await report(database.api, heartbeat('once', { certificate: 'once-2' }));
    await decide(database.worker, 'once', approved('once-2'));
    await report(database.api, heartbeat('once', { certificate: 'once-3' }));
    assert.deepEqual(await revoke(database.api, 'once'), {
      fingerprint_sha256: digest('once-2'),
      already_revoked: false,
    });
    assert.deepEqual(await revoke(database.api, 'once'), {
      fingerprint_sha256: digest('once-2'),
      already_revoked: true,
    });
    const revoked = 'device.certificate.revoked';
    assert.deepEqual(await actionsOf('once'), [revoked, revoked, 'device.trust.updated']);
    await decide(database.worker, 'neighbour', approved('neighbour-1'));
    await assert.rejects(revoke(database.api, 'once', digest('neighbour-1')), { code: 'device.no_certificate' });
    await assert.rejects(revoke(database.api, 'nobody'), { code: 'resource.not_found' });
    await decide(database.worker, 'bare', grant());
    await assert.rejects(revoke(database.api, 'bare'), { code: 'device.no_certificate' });
  });

  it('of many revocations at once is written by one, with its events', async () => {
    await report(database.api, heartbeat('raced'));
    await decide(database.worker, 'raced', approved('raced-1'));
    const all = await Promise.all(Array.from({ length: 8 }, () => revoke(database.api, 'raced')));
    assert.equal(all.filter(({ already_revoked }) => !already_revoked).length, 1);
    assert.deepEqual(await actionsOf('raced'), ['device.certificate.revoked', 'device.trust.updated']);
    const [entry] = await database.rows(
      `SELECT category, actor_id, outcome, details, request_id FROM audit_event
       WHERE subject_id = 'raced' AND action = 'device.certificate.revoked'`,
    );
    const { issuer, serial_number, fingerprint_sha256 } = facts('raced-1');
    assert.deepEqual(entry, {
      category: 'identity',
      actor_id: 'sam',
      outcome: 'success',
      details: { fingerprint_sha256, issuer, serial_number, reason: 'lost' },
      request_id: 'r',
    });
    assert.equal(
      (await database.rows(`SELECT FROM outbox_event WHERE subject_id = 'raced' AND type LIKE 'device.%'`)).length,
      2,
    );
  });

  it('takes the certificate of a device whose liveness was lost', async () => {
    await decide(database.worker, 'silent', approved('silent-1'));
    assert.equal((await revoke(database.api, 'silent')).fingerprint_sha256, digest('silent-1'));
    assert.equal(await codeOf(heartbeat('silent')), 'certificate.revoked');
  });

  it('holds in its own project only', async () => {
    const { own } = await pairOf('tenant');
    for (const project of ['default', 'other']) {
      await report(database.api, { ...presenting('tenant', own), project });
      await decide(database.worker, { project, id: 'tenant' }, pinning(own));
    }
    await revoke(database.api, 'tenant', null, { project: 'other' });
    assert.equal(await codeOf(presenting('tenant', own)), 'accepted');
    assert.equal(await codeOf({ ...presenting('tenant', own), project: 'other' }), 'certificate.revoked');
    await assert.rejects(revoke(database.api, 'once', null, { project: 'other' }), { code: 'resource.not_found' });
  });
});
