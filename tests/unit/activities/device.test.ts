// What a device's actor is told to ask people about: the certificate that waits, with the key that came with it and no other.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createDeviceActivities } from '#activities/device.ts';
import type { DeviceAttestation } from '#contracts/attestation.ts';
import { digestOf } from '#protocols/canonical-json.ts';
import { certificateFacts } from '#tests/fakes/fake-registry.ts';

const standing: DeviceAttestation = {
  state: 'verified',
  generation: 1,
  verdict: 1,
  provider: 'tpm_quote_v1',
  key_id: 'key-1',
  binding_id: 'tpm-1',
  manufacturer: null,
  verified_at: '2026-03-01T12:00:00.000Z',
  fresh_until: '2026-03-01T12:05:00.000Z',
  code: null,
  reason: null,
  detail: null,
  clock: null,
};

async function hardwareBeside(seen_at: string) {
  const { fetchDeviceNews } = createDeviceActivities({
    deviceNews: async () => ({
      observed: null,
      candidate: { certificate: certificateFacts, generation: 0, seen_at },
      inbox_through: 0,
      revoked: [],
      standing,
    }),
    policy: {
      require_new_device_approval: true,
      review_ttl_seconds: 60,
      sensitive_tags: [],
      sensitive_approvals: 2,
    },
    attestation: {
      provider: 'tpm_quote_v1',
      required: true,
      require_hardware_binding: true,
      allow_key_rotation_with_stable_binding: false,
    },
    digestOf,
  });
  const { candidate } = await fetchDeviceNews({
    project: 'default',
    device_id: 'device-1',
    epoch: 0,
    review_generation: 0,
    assigned_tags: [],
    pinned: null,
    inbox_consumed: 0,
  });
  return candidate?.hardware ?? null;
}

describe('the news of a device', () => {
  it('shows the key of evidence beside the certificate that it came with', async () => {
    assert.equal((await hardwareBeside('2026-03-01T11:59:00.000Z'))?.key_id, 'key-1');
  });

  it('shows no key beside a certificate that was presented after its evidence (SA-04)', async () => {
    assert.equal(await hardwareBeside('2026-03-01T12:00:01.000Z'), null);
  });
});
