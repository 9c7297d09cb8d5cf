// Certificates over HTTP: by their end, with the urgency that follows from it, and filters that are stretches of time.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CertificateList } from '#contracts/http/certificates.ts';
import { fakeApi, problemOf } from '#tests/fakes/api-over-fakes.ts';
import { approvedDevice, certificateFacts } from '#tests/fakes/fake-registry.ts';
import type { Cleanup } from '#tests/harness/cleanup.ts';

const day = 24 * 3600 * 1000;

describe('the list of certificates', () => {
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
    return async (query = '') => app.inject({ url: `/api/certificates?${query}`, headers });
  }

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
