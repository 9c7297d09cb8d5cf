// What revocation lists do to devices: who is denied, once, and what is said first when it is much of the fleet.
import assert from 'node:assert/strict';
import { before, describe, it, type TestContext } from 'node:test';
import { createDeviceRevocation } from '#api/revocation.ts';
import type { RevocationListsState } from '#api/revocation-lists.ts';
import type { AuditEntry } from '#contracts/audit.ts';
import { TrustError } from '#contracts/problems.ts';
import { parseCertificate } from '#protocols/certificate.ts';
import { readRevocationLists, type RevocationList } from '#protocols/crl.ts';
import type { IssuedCertificate } from '#protocols/issue-certificate.ts';
import type { PinnedCertificate, Revocation } from '#store/denylist.ts';
import { countingRandom } from '#tests/fakes/counting-random.ts';
import { fakeClock } from '#tests/fakes/fake-clock.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import { anchorsOf, forgeAuthority, forgeLeaf, now, verify } from '#tests/unit/protocols/certificate-forge.ts';
import { forgeList } from '#tests/unit/protocols/crl-forge.ts';

let ca: IssuedCertificate;
let stranger: IssuedCertificate;

before(async () => {
  ca = await forgeAuthority('Sentinel Test CA');
  stranger = await forgeAuthority('Sentinel Test CA');
});

const listOf = (signer: IssuedCertificate, revoked: readonly string[]): RevocationList[] =>
  readRevocationLists(forgeList(signer, { revoked }), [parseCertificate(signer.certificatePem)]);

const pinned = (count: number, issuer = 'CN=Sentinel Test CA'): PinnedCertificate[] =>
  Array.from({ length: count }, (_, index) => ({
    device_id: `device-${String(index).padStart(4, '0')}`,
    fingerprint_sha256: index.toString(16).padStart(64, '0'),
    issuer,
    serial_number: (index + 0x1000).toString(16),
  }));

function revoking(t: TestContext, fleet: readonly PinnedCertificate[]) {
  const happened: (string | AuditEntry)[] = [];
  const revoked: { project: string; revocation: Revocation }[] = [];
  let lists: readonly RevocationList[] = [];
  let state: RevocationListsState = { files: 1, problems: [], outdated: [], older: [], nextUpdate: null };
  let refusal: TrustError | null = null;
  const set = anchorsOf(ca);
  const revocation = createDeviceRevocation({
    lists: { require: () => true, current: () => lists, state: () => state },
    statuses: null,
    statusLimitMs: 1_000,
    anchors: () => ({
      anchors: set,
      projectOf: new Map(set.map(({ fingerprint }) => [fingerprint, 'default'])),
      pems: [],
    }),
    issuers: [],
    pinned: async (_project, after, limit) =>
      fleet
        .filter(
          ({ device_id, fingerprint_sha256 }) =>
            device_id > (after ?? '') &&
            !revoked.some((entry) => entry.revocation.fingerprint_sha256 === fingerprint_sha256),
        )
        .slice(0, limit),
    countPinned: async () => fleet.length,
    async revoke(project, entry) {
      if (refusal !== null) throw refusal;
      happened.push(`revoke ${entry.device_id}`);
      revoked.push({ project, revocation: entry });
    },
    notify: ({ id }) => void happened.push(`notify ${id}`),
    audit: async (_project, entry) => void happened.push(entry),
    blastRadiusPercent: 10,
    clock: fakeClock(now.toISOString()),
    random: countingRandom(),
    log: fakeLog(),
  });
  t.after(() => revocation.close());
  return {
    revocation,
    happened,
    revoked,
    events: () => happened.filter((entry) => typeof entry === 'object'),
    refuseWith: (error: TrustError | null) => (refusal = error),
    /** Tells of lists, and resolves when what follows from them is done. */
    async give(next: readonly RevocationList[], change: Partial<RevocationListsState> = {}) {
      lists = next;
      state = { ...state, ...change };
      revocation.listsChanged();
      await revocation.settled();
    },
  };
}

describe('devices that a list names', () => {
  it('are denied for ever without waiting for a heartbeat, and their actors are told', async (t) => {
    const { give, happened, revoked } = revoking(t, pinned(1_500));
    await give(listOf(ca, ['1003', '15a0']));
    assert.deepEqual(happened, [
      'revoke device-0003',
      'notify device-0003',
      'revoke device-1440',
      'notify device-1440',
    ]);
    const { by, reason } = revoked[0]?.revocation ?? {};
    assert.deepEqual(by, { kind: 'system', id: 'revocation-list' });
    assert.equal(reason, 'listed by revocation list 1 of CN=Sentinel Test CA');
    await give(listOf(ca, ['1003', '15a0']));
    assert.equal(revoked.length, 2, 'once');
  });

  it('are only those of an authority that the project trusts', async (t) => {
    const { give, happened } = revoking(t, pinned(20));
    await give(listOf(stranger, ['1003']));
    assert.deepEqual(
      happened.filter((entry) => typeof entry === 'string'),
      [],
    );
  });

  it('are announced first when they are more than the limit, with the cause', async (t) => {
    const { give, happened, events } = revoking(t, pinned(20));
    await give(listOf(ca, ['1001', '1002']));
    assert.deepEqual(events(), [], 'ten percent are not more than ten percent');
    await give(listOf(ca, ['1001', '1002', '1003', '1004']));
    const [event] = events();
    assert.equal(event?.action, 'revocation.blast_radius_exceeded');
    assert.equal(event.category, 'operations');
    assert.deepEqual(event.details, {
      cause: 'certificates_listed',
      affected: 2,
      devices: 18,
      sources: ['revocation list 1 of CN=Sentinel Test CA'],
      percent: 11.1,
      limit_percent: 10,
    });
    assert.ok(happened.indexOf(event) < happened.indexOf('revoke device-0003'));
  });
});

describe('lists that cannot be relied on', () => {
  it('are announced once when they cut off more than the limit', async (t) => {
    const { give, events } = revoking(t, pinned(20));
    await give([], { outdated: ['CN=Sentinel Test CA'] });
    await give([], { outdated: ['CN=Sentinel Test CA'] });
    assert.deepEqual(
      events().map(({ details }) => [details['cause'], details['affected']]),
      [['lists_unavailable', 20]],
    );
    await give(listOf(ca, []), { outdated: [] });
    await give([], { outdated: ['CN=Sentinel Test CA'] });
    assert.equal(events().length, 2, 'and again after it was well');
  });
});

describe('a list that is older than one that was there before', () => {
  it('is named with its issuer and the devices of it, once, and cuts nobody off', async (t) => {
    const fleet = [
      ...pinned(20),
      ...pinned(5, 'CN=Other CA').map((device) => ({ ...device, device_id: `other-${device.device_id}` })),
    ];
    const { give, events } = revoking(t, fleet);
    const [newer] = listOf(ca, []);
    const [foreign] = listOf(stranger, []);
    assert.ok(newer && foreign);
    const found = { ...newer, number: '0', thisUpdate: '2026-01-01T00:00:00.000Z' };
    const current = [newer, { ...newer, issuer: 'CN=Other CA' }];
    // Of an authority that is none of the project's nothing is said.
    const older = [
      { found, kept: newer },
      { found: foreign, kept: foreign },
    ];
    await give(current, { older });
    await give(current, { older });
    assert.deepEqual(
      events().map(({ action, category, outcome, details }) => ({ action, category, outcome, ...details })),
      [
        {
          ...{ action: 'revocation.list_older', category: 'operations', outcome: 'refused' },
          issuer: 'CN=Sentinel Test CA',
          number: '0',
          this_update: '2026-01-01T00:00:00.000Z',
          number_in_force: '1',
          this_update_in_force: newer.thisUpdate,
          in_force_until: newer.nextUpdate,
          devices_of_issuer: 20,
        },
      ],
    );
    await give(current, { older: [] });
    await give(current, { older });
    assert.equal(events().length, 2, 'and again after it was well');
  });
});

describe('a device whose certificate is found listed', () => {
  it('is denied once, and again when that failed', async (t) => {
    const { revocation, revoked, refuseWith } = revoking(t, []);
    const certificate = verify(await forgeLeaf(ca), { anchors: anchorsOf(ca) });
    const deny = () => revocation.deny({ project: 'default', id: 'device-1' }, certificate, 'request-1');
    refuseWith(new TrustError('service.unavailable'));
    await deny();
    refuseWith(null);
    await deny();
    await deny();
    assert.deepEqual(
      revoked.map((entry) => entry.revocation.fingerprint_sha256),
      [certificate.fingerprintSha256],
    );
  });
});
