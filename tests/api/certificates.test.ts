// Certificates over HTTP: by their end, with the urgency that follows from it, and filters that are stretches of time.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DeviceAttestation } from '#contracts/attestation.ts';
import { readSettings } from '#contracts/settings.ts';
import type { CertificateList, CertificatePlan } from '#contracts/http/certificates.ts';
import { fakeApi, problemOf } from '#tests/fakes/api-over-fakes.ts';
import { approvedDevice, certificateFacts } from '#tests/fakes/fake-registry.ts';
import type { Cleanup } from '#tests/harness/cleanup.ts';

const day = 24 * 3600 * 1000;

/** Devices whose certificates end so many days from now. */
async function fleetEnding(t: Cleanup, days: Readonly<Record<string, number>>) {
  const { app, as, registry, clock } = await fakeApi(t);
  for (const [id, left] of Object.entries(days)) {
    const not_after = new Date(clock.now().getTime() + left * day).toISOString();
    const device = approvedDevice(id);
    assert.ok(device.grant);
    registry.addDevice({
      ...device,
      grant: { ...device.grant, pinned_certificate: { ...certificateFacts, not_after } },
    });
  }
  const headers = await as('viewer');
  return async (query = '', path = '') => app.inject({ url: `/api/certificates${path}?${query}`, headers });
}

describe('the list of certificates', () => {
  it('has the one that ends first at the top, with the urgency that its end gives it (HB-13)', async (t) => {
    const ask = await fleetEnding(t, { calm: 200, soon: 20, urgent: 5, over: -1 });
    const { items } = (await ask()).json<CertificateList>();
    assert.deepEqual(
      items.map((one) => [one.device_id, one.rotation, one.expiring_soon, one.expired, one.trust_tier]),
      [
        ['over', 'required', true, true, 'restricted'],
        ['urgent', 'required', true, false, 'monitored'],
        ['soon', 'recommended', true, false, 'monitored'],
        ['calm', 'none', false, false, 'monitored'],
      ],
    );
  });

  it('shows the tier that the device has everywhere, also where its evidence decides it (AT-06)', async (t) => {
    const policy = readSettings({ SENTINEL_ATTESTATION_PROVIDER: 'tpm_quote_v1' });
    const { app, as, registry } = await fakeApi(t, {
      change: (deps) => ({
        ...deps,
        devices: { ...deps.devices, policy },
        certificates: { ...deps.certificates, policy },
      }),
    });
    const binding = { provider: 'tpm_quote_v1', key_id: 'key', binding_id: 'tpm' } as const;
    const verified: DeviceAttestation = {
      ...{ ...binding, state: 'verified', generation: 1, verdict: 1, manufacturer: null, clock: null },
      ...{ verified_at: '2026-11-22T11:59:00.000Z', fresh_until: '2026-11-22T12:04:00.000Z' },
      ...{ code: null, reason: null, detail: null },
    };
    const failed: DeviceAttestation = {
      ...verified,
      state: 'failed',
      code: 'attestation.failed',
      reason: 'pcr_mismatch',
    };
    for (const [id, attestation] of Object.entries({ verified, failed, silent: null })) {
      const device = approvedDevice(id);
      assert.ok(device.grant);
      registry.addDevice({
        ...device,
        grant: { ...device.grant, tier: attestation ? 'trusted' : 'monitored', binding, attested_generation: 1 },
        attestation,
      });
    }
    const headers = await as('viewer');
    const tiersAt = async (url: string) => {
      const { items } = (await app.inject({ url, headers })).json<{
        items: { device_id: string; trust_tier: string }[];
      }>();
      return Object.fromEntries(items.map(({ device_id, trust_tier }) => [device_id, trust_tier]));
    };
    const tiers = { verified: 'trusted', failed: 'restricted', silent: 'monitored' };
    assert.deepEqual(await tiersAt('/api/certificates'), tiers);
    assert.deepEqual(await tiersAt('/api/devices'), tiers);
  });

  for (const [query, expected] of [
    ['rotation=required', ['over', 'urgent']],
    ['rotation=recommended', ['soon']],
    ['rotation=none', ['calm']],
    ['expired=true', ['over']],
    ['expired=false&rotation=required', ['urgent']],
    ['expiring_soon=true&expired=false', ['urgent', 'soon']],
    ['expiring_soon=false', ['calm']],
    ['expired=true&rotation=none', []],
    ['search=urg', ['urgent']],
    ['not_after_from=2026-11-27T12:00:00Z&not_after_before=2026-12-12T12:00:00Z', ['urgent']],
    ['not_after_from=2026-12-12T13:00:00%2B01:00', ['soon', 'calm']],
    ['not_after_before=2026-12-12T12:00:00.001Z&expired=false', ['urgent', 'soon']],
    ['not_after_from=2027-01-01T00:00:00Z&not_after_before=2026-01-01T00:00:00Z', []],
  ] as const) {
    it(`answers ${query} with those that it fits (HB-13)`, async (t) => {
      const ask = await fleetEnding(t, { calm: 200, soon: 20, urgent: 5, over: -1 });
      const { items } = (await ask(query)).json<CertificateList>();
      assert.deepEqual(
        items.map(({ device_id }) => device_id),
        expected,
      );
    });
  }

  it('refuses a time that is none', async (t) => {
    const ask = await fleetEnding(t, {});
    for (const query of ['not_after_from=soon', 'not_after_before=2026-13-01T00:00:00Z'])
      assert.equal(problemOf(await ask(query)).code, 'request.invalid');
  });

  it('goes on from a cursor, and takes none of other filters', async (t) => {
    const ask = await fleetEnding(t, { a: 1, b: 1, c: 2 });
    const first = (await ask('limit=2')).json<CertificateList>();
    const second = (await ask(`limit=2&cursor=${first.next_cursor}`)).json<CertificateList>();
    assert.deepEqual(
      [...first.items, ...second.items].map(({ device_id }) => device_id),
      ['a', 'b', 'c'],
    );
    assert.equal(second.next_cursor, null);
    const other = await ask(`limit=2&role=pinned&cursor=${first.next_cursor}`);
    assert.equal(problemOf(other).code, 'request.cursor_invalid');
  });
});

describe('the plan of certificates', () => {
  const fleet = { calm: 200, far: 700, soon: 20, urgent: 5, today: 0.5, over: -1, now: 0, long: -100 };

  it('counts what ends in each week from the present one, what has ended, and what ends later (UI-05)', async (t) => {
    const ask = await fleetEnding(t, fleet);
    const answer = await ask('', '/plan');
    assert.equal(answer.statusCode, 200, answer.body);
    const { periods, ...rest } = answer.json<CertificatePlan>();
    assert.deepEqual(rest, {
      by: 'week',
      certificates: 8,
      expired: 3,
      expiring_soon: 6,
      rotation: { none: 2, recommended: 1, required: 5 },
      // A Sunday.
      counted_at: '2026-11-22T12:00:00.000Z',
    });
    assert.equal(periods.length, 15);
    assert.deepEqual(
      periods.filter(({ certificates }) => certificates > 0),
      [
        {
          from: null,
          before: '2026-11-22T12:00:00.001Z',
          certificates: 3,
          rotation: { none: 0, recommended: 0, required: 3 },
        },
        {
          from: '2026-11-23T00:00:00.000Z',
          before: '2026-11-30T00:00:00.000Z',
          certificates: 2,
          rotation: { none: 0, recommended: 0, required: 2 },
        },
        {
          from: '2026-12-07T00:00:00.000Z',
          before: '2026-12-14T00:00:00.000Z',
          certificates: 1,
          rotation: { none: 0, recommended: 1, required: 0 },
        },
        {
          from: '2027-02-15T00:00:00.000Z',
          before: null,
          certificates: 2,
          rotation: { none: 2, recommended: 0, required: 0 },
        },
      ],
    );
  });

  for (const by of ['week', 'month']) {
    it(`leaves no gap between ${by}s, and each of its numbers is what the list has for the same times (UI-05)`, async (t) => {
      const ask = await fleetEnding(t, fleet);
      const { periods, rotation, expired, expiring_soon } = (await ask(`by=${by}`, '/plan')).json<CertificatePlan>();
      assert.deepEqual(
        periods.slice(1).map(({ from }) => from),
        periods.slice(0, -1).map(({ before }) => before),
      );
      const listed = async (query: Record<string, string>) => {
        const page = await ask(new URLSearchParams({ role: 'pinned', ...query }).toString());
        return page.json<CertificateList>().items.length;
      };
      for (const { from, before, certificates, ...of } of periods) {
        const times = {
          ...(from === null ? {} : { not_after_from: from }),
          ...(before === null ? {} : { not_after_before: before }),
        };
        assert.equal(certificates, await listed(times), JSON.stringify(times));
        for (const [advice, count] of Object.entries(of.rotation))
          assert.equal(count, await listed({ ...times, rotation: advice }), `${JSON.stringify(times)} ${advice}`);
      }
      for (const [advice, count] of Object.entries(rotation)) assert.equal(count, await listed({ rotation: advice }));
      assert.equal(expired, await listed({ expired: 'true' }));
      assert.equal(expiring_soon, await listed({ expiring_soon: 'true' }));
    });
  }

  it('is of one project', async (t) => {
    const { app, as, registry } = await fakeApi(t);
    registry.addDevice(approvedDevice('elsewhere', { project_id: 'other' }));
    const headers = await as('viewer');
    const plan = (await app.inject({ url: '/api/certificates/plan', headers })).json<CertificatePlan>();
    assert.equal(plan.certificates, 0);
  });

  it('is divided by nothing else', async (t) => {
    const ask = await fleetEnding(t, {});
    assert.equal(problemOf(await ask('by=day', '/plan')).code, 'request.invalid');
  });
});
