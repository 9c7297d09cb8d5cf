// Certificates by their end against a real database: pinned ones and those under review in one order, page by page.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { DeviceAttestation } from '#contracts/attestation.ts';
import {
  countCertificates,
  listCertificates,
  type CertificateFilter,
  type CertificatePosition,
} from '#store/certificate.ts';
import { revokeCertificate } from '#store/denylist.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { after, approval, approvalCommit, approved, commit, decide, digest, facts, noon } from './builders.ts';
import { addProject, type StoreTest, storeTest } from './database.ts';

const idOf = (n: number): string => `11111111-1111-4111-8111-${String(n).padStart(12, '0')}`;

describe('a list of certificates', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;

  const pin = (id: string, not_after: string, project = 'default') =>
    decide(
      database.worker,
      { project, id },
      approved(`${id}-1`, { pinned_certificate: { ...facts(`${id}-1`, { not_after }) } }),
    );
  async function review(n: number, id: string, certificate: string, not_after: string, state = 'open'): Promise<void> {
    const subject = { device_id: id, certificate: { ...facts(certificate, { not_after }) } };
    const row = approval({ subject_id: id, subject, state, closed_at: state === 'open' ? null : noon });
    await commit(database.worker, `run-${n}`, approvalCommit(idOf(n), { row }));
  }

  before(async () => {
    database = await storeTest(cleanup);
    await addProject(database, 'other');
    await pin('b', after(200));
    await pin('a', after(200));
    await pin('c', after(100));
    await pin('late', '2099-01-01T00:00:00.000Z');
    await pin('elsewhere', after(1), 'other');
    // Under review: a new one of `c`, the pinned one of `a` once more, and one whose review has closed.
    await review(1, 'c', 'c-2', after(150));
    await review(2, 'a', 'a-1', after(200));
    await review(3, 'b', 'b-0', after(50), 'rejected');
    await review(4, 'new', 'new-1', after(200));
    await revokeCertificate(
      database.api,
      'default',
      {
        device_id: 'b',
        fingerprint_sha256: digest('b-1'),
        reason: null,
        by: { kind: 'user', id: 'sam' },
        request_id: 'r',
      },
      noon,
    );
  });

  const everything = ['c pinned', 'c candidate', 'a pinned', 'b pinned', 'new candidate', 'late pinned'];
  const list = async (filter: CertificateFilter = {}, limit = 100, place: CertificatePosition | null = null) =>
    listCertificates(database.api, 'default', filter, { limit, after: place });
  const namesOf = async (filter: CertificateFilter) =>
    (await list(filter)).map(({ device_id, role }) => `${device_id} ${role}`);

  it('has pinned ones and those under review by their end, then by device, and nothing twice', async () => {
    assert.deepEqual(await namesOf({}), everything);
  });

  it('says what the tier of each device depends on, its evidence among it (AT-06)', async () => {
    const standing: DeviceAttestation = {
      ...{ state: 'failed', generation: 3, verdict: 9, provider: 'tpm_quote_v1', manufacturer: 'IFX' },
      ...{ key_id: digest('key'), binding_id: digest('endorsement key'), verified_at: noon, fresh_until: noon },
      ...{ code: 'attestation.failed', reason: 'pcr_mismatch', detail: null, clock: null },
    };
    await database.rows(
      'INSERT INTO device_attestation SELECT r.* FROM jsonb_populate_record(NULL::device_attestation, $1) r',
      [JSON.stringify({ ...standing, project_id: 'default', device_id: 'late', unrecorded: 0, updated_at: noon })],
    );
    const bound = {
      attestation_provider: 'tpm_quote_v1',
      attestation_key: digest('key'),
      hardware_binding: digest('endorsement key'),
      attested_generation: 2,
    } as const;
    const end = '2099-01-01T00:00:00.000Z';
    const pinned = { pinned_certificate: { ...facts('late-1', { not_after: end }) } };
    await decide(database.worker, { project: 'default', id: 'late' }, approved('late-1', { ...pinned, ...bound }));
    const [late] = await list({ from: end });
    assert.deepEqual(late?.attestation, standing);
    assert.deepEqual(late.grant, {
      ...{ state: 'approved', tier: 'monitored', attested_generation: 2 },
      binding: { provider: 'tpm_quote_v1', key_id: digest('key'), binding_id: digest('endorsement key') },
    });
    const others = (await list()).filter(({ device_id }) => device_id !== 'late');
    assert.ok(others.every(({ attestation, grant }) => attestation === null && (grant?.binding ?? null) === null));
  });

  for (const limit of [1, 2, 3]) {
    it(`is the same in pages of ${limit}`, async () => {
      const found: string[] = [];
      let place: CertificatePosition | null = null;
      for (;;) {
        const rows = await list({}, limit, place);
        found.push(...rows.map(({ device_id, role }) => `${device_id} ${role}`));
        const last = rows.at(-1);
        if (last === undefined) break;
        const { not_after, device_id, role } = last;
        place = { not_after, device_id, role };
      }
      assert.deepEqual(found, everything);
    });
  }

  it('says what is revoked, and what the tier of the device depends on', async () => {
    const rows = await list();
    const of = (name: string) => rows.find(({ device_id, role }) => `${device_id} ${role}` === name);
    assert.deepEqual([of('b pinned')?.revoked, of('b pinned')?.pinned_revoked], [true, true]);
    assert.deepEqual([of('c candidate')?.revoked, of('c candidate')?.pinned_not_after], [false, after(100)]);
    const unbound = { binding: null, attested_generation: null };
    assert.deepEqual(of('c candidate')?.grant, { state: 'approved', tier: 'monitored', ...unbound });
    assert.deepEqual([of('new candidate')?.grant, of('new candidate')?.pinned_revoked], [null, false]);
  });

  for (const [filter, names] of [
    [{ role: 'candidate' }, ['c candidate', 'new candidate']],
    [{ role: 'pinned', before: after(200) }, ['c pinned']],
    [{ from: after(150), before: after(201) }, ['c candidate', 'a pinned', 'b pinned', 'new candidate']],
    [{ search: 'CN=C' }, ['c pinned', 'c candidate']],
    [{ search: digest('new-1').slice(5, 30).toUpperCase() }, ['new candidate']],
    [{ search: '%' }, []],
  ] as const satisfies readonly (readonly [CertificateFilter, readonly string[]])[]) {
    it(`has exactly those that fit ${JSON.stringify(filter)}`, async () => {
      assert.deepEqual(await namesOf(filter), names);
    });
  }

  it('is counted between bounds, pinned ones of the one project only (UI-05)', async () => {
    const count = (...bounds: string[]) => countCertificates(database.api, 'default', bounds, 5000);
    assert.deepEqual(await count(), [4]);
    assert.deepEqual(await count(after(100)), [0, 4]);
    assert.deepEqual(await count(after(101), after(200), after(201)), [1, 0, 2, 1]);
    assert.deepEqual(await countCertificates(database.api, 'other', [after(2)], 5000), [1, 0]);
  });
});
