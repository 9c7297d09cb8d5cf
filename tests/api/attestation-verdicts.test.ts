// What people read of a device's attestation: standing, verdicts, and one computed again; the evidence itself never.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AttestationVerdictsDeps } from '#api/attestation-verdicts.ts';
import type { AttestationStatus, AttestationVerdictList, VerdictReplay } from '#contracts/http/attestation.ts';
import { fakeApi, problemOf } from '#tests/fakes/api-over-fakes.ts';
import { approvedDevice } from '#tests/fakes/fake-registry.ts';
import { aVerdict } from '#tests/fakes/stored-verdict.ts';
import type { Cleanup } from '#tests/harness/cleanup.ts';

const kept = aVerdict('device-1');
const binding = { provider: 'signed_measurement_v1', key_id: 'cd'.repeat(32), binding_id: null } as const;

async function reading(t: Cleanup, change: Partial<AttestationVerdictsDeps> = {}) {
  const api = await fakeApi(t, { change: (deps) => ({ ...deps, attestation: { ...deps.attestation, ...change } }) });
  api.registry.addDevice(approvedDevice('device-1'));
  const headers = await api.as('viewer');
  const get = (path: string) => api.app.inject({ url: `/api/devices/device-1/attestation${path}`, headers });
  return { ...api, get };
}

describe('attestation of a device', () => {
  it('says where it stands, what it is bound to, and what is approved for its tags; no nonce', async (t) => {
    const baselines = [
      { matchTags: [], pcrs: { sha256: { 0: ['aa'.repeat(32)] } } },
      { matchTags: ['lab'], pcrs: { sha256: { 7: ['bb'.repeat(32)] } } },
    ];
    const challenge = kept.circumstances.challenge;
    assert.ok(challenge);
    const expires_at = '2026-11-22T12:00:01.000Z';
    const { get, clock } = await reading(t, {
      basis: { ...kept.basis, baselines },
      required: true,
      readStanding: async () => ({
        grant: {
          state: 'approved',
          tier: 'trusted',
          epoch: 1,
          pinned_fingerprint: null,
          pinned_not_after: null,
          pinned_revoked: false,
          assigned_tags: ['lab'],
          binding,
          attested_generation: 1,
        },
        attestation: null,
        challenge: { ...challenge, expires_at },
        candidate_fingerprint: null,
        counted: 0,
        activated_in: null,
        unrecorded: 0,
      }),
    });
    const answer = await get('');
    assert.equal(answer.statusCode, 200);
    const { challenge: shown, ...status } = answer.json<AttestationStatus>();
    assert.deepEqual(status, {
      device_id: 'device-1',
      provider: 'signed_measurement_v1',
      required: true,
      state: 'challenged',
      standing: null,
      binding,
      registers: { sha256: [7] },
      baselines: [{ match_tags: ['lab'], pcrs: { sha256: { 7: ['bb'.repeat(32)] } } }],
    });
    assert.deepEqual(shown, { provider: 'signed_measurement_v1', expires_at });
    clock.advance(2000);
    assert.equal((await get('')).json<AttestationStatus>().challenge, null);
  });

  it('lists verdicts in pages, and says what neither evidence nor circumstances are', async (t) => {
    const { evidence: _, circumstances: __, basis: ___, ...listed } = kept;
    const { get } = await reading(t, {
      listVerdicts: async (_project, _id, { limit, after }) =>
        [3, 2, 1]
          .filter((verdict) => after === null || verdict < after)
          .slice(0, limit)
          .map((verdict) => ({ ...listed, verdict })),
    });
    const first = await get('/verdicts?limit=2');
    const { items, next_cursor } = first.json<AttestationVerdictList>();
    assert.deepEqual(
      items.map(({ verdict }) => verdict),
      [3, 2],
    );
    const second = (await get(`/verdicts?limit=2&cursor=${next_cursor}`)).json<AttestationVerdictList>();
    assert.deepEqual([second.items.map(({ verdict }) => verdict), second.next_cursor], [[1], null]);
    assert.doesNotMatch(first.body, /measurement|nonce|pcrs/);
  });

  it('replays the verdict in force at the time that is asked for, without its evidence', async (t) => {
    const asked: string[] = [];
    const { get, clock } = await reading(t, {
      verdictAt: async (_project, _id, at) => {
        asked.push(at);
        return at < kept.at ? null : kept;
      },
    });
    const answer = await get('/replay?at=2026-11-22T14:00:00%2B02:00');
    assert.equal(answer.json<VerdictReplay>().same, true);
    assert.doesNotMatch(answer.body, /signature|public_key|nonce/);
    await get('/replay');
    assert.deepEqual(asked, ['2026-11-22T12:00:00.000Z', clock.now().toISOString()]);
    assert.equal(problemOf(await get('/replay?at=2026-11-22T11:59:59Z')).code, 'resource.not_found');
    assert.equal(problemOf(await get('/replay?at=yesterday')).code, 'request.invalid');
  });
});
