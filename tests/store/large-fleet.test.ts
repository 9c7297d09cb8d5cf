// A fleet of 100 000 devices: what the hot path and the lists read of it is counted by the server, row by row.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { countCertificates, listCertificates } from '#store/certificate.ts';
import { countDevices } from '#store/device-count.ts';
import type { DeviceFilter } from '#store/device-filter.ts';
import type { DeviceOrder } from '#contracts/states.ts';
import { findDevice, listDevices } from '#store/device.ts';
import { heartbeatBatch } from '#store/heartbeat.ts';
import { devicesWithNews } from '#store/reconcile.ts';
import type { Store } from '#store/store.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { after, heartbeat, heartbeatLimits, noon, view } from './builders.ts';
import { type StoreTest, storeTest } from './database.ts';
import { endOfAll, fillFleet, idOf } from './fill-fleet.ts';

const fleet = 100_000;

describe('of a large fleet', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  /** Each on one connection, so that what it read can be asked for. The first one is older than the fleet. */
  const stores: Store[] = [];
  let worker: Store;
  before(async () => {
    database = await storeTest(cleanup);
    stores.push(await database.open('sentinel_api', { pool: 1 }));
    // A connection that has planned its statements while the tables were empty.
    for (let i = 0; i < 8; i++) await send(stores[0], [idOf(1)], i + 1);
    for (const table of ['device_liveness', 'device_observation', 'device_candidate', 'device_first_contact'])
      await database.rows(`DELETE FROM ${table}`);
    await fillFleet(database, fleet);
    stores.push(await database.open('sentinel_api', { pool: 1 }));
    worker = await database.open('sentinel_worker', { pool: 1 });
  });

  async function send(store: Store | undefined, ids: readonly string[], counter: number) {
    assert.ok(store);
    const items = ids.map((id) => heartbeat(id, { counter }));
    return heartbeatBatch(store, items, heartbeatLimits, noon);
  }

  /** Rows that `work` read through indexes and by going through a table, by table. */
  async function readBy(store: Store, work: () => Promise<unknown>): Promise<Record<string, number>> {
    const counted = async () => {
      await store.query('SELECT pg_stat_force_next_flush()');
      const rows = await database.rows<{ table: string; rows: number }>(
        `SELECT t.relname AS table, (t.seq_tup_read + coalesce(sum(i.idx_tup_read), 0))::float8 AS rows
         FROM pg_stat_user_tables t LEFT JOIN pg_stat_user_indexes i USING (relid) GROUP BY t.relid, t.relname, t.seq_tup_read`,
      );
      return new Map(rows.map(({ table, rows: count }) => [table, count]));
    };
    const from = await counted();
    await work();
    const to = await counted();
    return Object.fromEntries(
      [...to]
        .map(([table, count]) => [table, count - (from.get(table) ?? 0)] as const)
        .filter(([, count]) => count > 0),
    );
  }

  function assertReadsAtMost(read: Record<string, number>, most: number): void {
    for (const [table, count] of Object.entries(read)) assert.ok(count <= most, `${table}: ${count} rows`);
  }

  for (const [index, when] of ['planned before the fleet came', 'planned for it'].entries()) {
    it(`a batch of heartbeats reads the rows of its own devices only, ${when}`, async (t) => {
      const store = stores[index];
      assert.ok(store);
      // Makes every connection plan again, with the real numbers.
      if (index === 1) await database.rows('ANALYZE');
      // Enough of them to have the server keep one plan for all.
      for (const [round, size] of [50, 50, 50, 50, 50, 50, 50, 256].entries()) {
        const from = 1000 * (round + 1);
        const ids = Array.from({ length: size }, (_, i) => idOf(from + i * 300));
        const read = await readBy(store, async () => {
          const verdicts = await send(store, ids, 100 * (index + 1) + round);
          assert.deepEqual(new Set(verdicts.map(({ code }) => code)), new Set(['accepted', 'certificate.revoked']));
        });
        t.diagnostic(`${size} heartbeats: ${JSON.stringify(read)}`);
        assert.ok((read['device_liveness'] ?? 0) >= size, 'it is counted');
        assertReadsAtMost(read, 5 * size);
      }
    });
  }

  it('a batch that brings new certificates reads no more than that', async (t) => {
    const [store] = stores;
    assert.ok(store);
    const ids = Array.from({ length: 50 }, (_, i) => idOf(7 + i * 1000));
    const items = ids.map((id) => heartbeat(id, { certificate: `${id} renewed` }));
    const read = await readBy(store, async () => {
      const verdicts = await heartbeatBatch(store, items, heartbeatLimits, noon);
      assert.deepEqual(new Set(verdicts.map(({ code }) => code)), new Set(['pending']));
    });
    t.diagnostic(JSON.stringify(read));
    assertReadsAtMost(read, 10 * 50);
  });

  for (const place of [null, idOf(50_000), idOf(fleet - 60)]) {
    it(`a page of 50 devices after ${place ?? 'none'} reads little more than these`, async (t) => {
      for (const store of stores) {
        const read = await readBy(store, async () => {
          const rows = await listDevices(
            store,
            'default',
            {},
            { limit: 50, after: place === null ? null : { device_id: place, at: null } },
            view,
          );
          const first = place === null ? 1 : Number(place.slice(1)) + 1;
          assert.deepEqual(
            rows.map(({ device_id }) => device_id),
            Array.from({ length: 50 }, (_, i) => idOf(first + i)),
          );
        });
        t.diagnostic(JSON.stringify(read));
        assertReadsAtMost(read, 10 * 50);
      }
    });
  }

  const common: readonly DeviceFilter[] = [
    { approval_state: 'approved' },
    { trust_tier: 'monitored' },
    { liveness: 'online' },
    { tag: 'blue' },
    { pending_review: false },
  ];
  for (const filter of common) {
    it(`a page by ${JSON.stringify(filter)}, as most devices are, reads little more than its rows`, async (t) => {
      const store = stores[1];
      assert.ok(store);
      const read = await readBy(store, async () => {
        const rows = await listDevices(store, 'default', filter, { limit: 50, after: null }, view);
        assert.equal(rows.length, 50);
      });
      t.diagnostic(JSON.stringify(read));
      assertReadsAtMost(read, 20 * 50);
    });
  }

  for (const filter of [{}, { role: 'pinned' }, { from: after(86_400), before: after(366 * 86_400) }] as const) {
    it(`a page of certificates by ${JSON.stringify(filter)} reads little more than its rows, however far into the list`, async (t) => {
      for (const store of stores) {
        for (const last of [0, 50_000, fleet - 60]) {
          const place = last === 0 ? null : { not_after: endOfAll, device_id: idOf(last), role: 'pinned' as const };
          const read = await readBy(store, async () => {
            const rows = await listCertificates(store, 'default', filter, { limit: 50, after: place });
            assert.deepEqual(
              rows.map(({ device_id }) => device_id),
              Array.from({ length: 50 }, (_, i) => idOf(last + 1 + i)),
            );
          });
          t.diagnostic(`after ${last}: ${JSON.stringify(read)}`);
          assertReadsAtMost(read, 10 * 50);
        }
      }
    });
  }

  const rare: readonly (DeviceFilter & { readonly order?: DeviceOrder })[] = [
    { approval_state: 'rejected' },
    { approval_state: 'pending' },
    { approval_state: 'expired' },
    { pending_review: true },
    { retired: true },
    { rotation: 'required' },
    { rotation: 'recommended' },
    { trust_tier: 'trusted' },
    { trust_tier: 'observed' },
    { trust_tier: 'restricted' },
    { trust_tier: 'restricted', order: 'certificate_end' },
    { order: 'certificate_end' },
    { order: 'first_seen' },
  ];
  for (const { order = 'device_id', ...filter } of rare) {
    it(`a page by ${JSON.stringify(filter)} in order of ${order} does not go through the fleet`, async (t) => {
      for (const store of stores) {
        const read = await readBy(store, () =>
          listDevices(store, 'default', filter, { limit: 50, after: null, order }, view),
        );
        t.diagnostic(JSON.stringify(read));
        assertReadsAtMost(read, 20 * 50);
      }
    });
  }

  it('is counted in one reading of each table', async (t) => {
    const store = stores[1];
    assert.ok(store);
    let total = 0;
    const read = await readBy(store, async () => {
      const groups = await countDevices(store, 'default', {}, view, 15_000);
      total = groups.reduce((sum, { devices }) => sum + devices, 0);
      assert.equal(groups.find(({ trust_tier }) => trust_tier === 'revoked')?.devices, fleet / 1000);
    });
    t.diagnostic(JSON.stringify(read));
    assert.equal(total, fleet);
    assertReadsAtMost(read, 5 * fleet);
  });

  it('is counted by the ends of its certificates through the index alone', async (t) => {
    const store = stores[1];
    assert.ok(store);
    await database.rows('VACUUM ANALYZE device');
    const read = await readBy(store, async () => {
      assert.deepEqual(await countCertificates(store, 'default', [noon, endOfAll], 15_000), [0, 0, fleet]);
    });
    t.diagnostic(JSON.stringify(read));
    assertReadsAtMost(read, fleet);
    const plan = await database.rows<{ 'QUERY PLAN': string }>(
      `EXPLAIN SELECT width_bucket(pinned_not_after, ARRAY[now()]), count(*) FROM device
       WHERE project_id = 'default' AND pinned_not_after IS NOT NULL GROUP BY 1`,
    );
    assert.match(plan.map((line) => line['QUERY PLAN']).join('\n'), /Index Only Scan using device_pinned_not_after/);
  });

  it('one device is read by its key', async () => {
    const store = stores[1];
    assert.ok(store);
    const read = await readBy(store, async () => {
      assert.equal((await findDevice(store, 'default', idOf(5)))?.device_id, idOf(5));
    });
    assertReadsAtMost(read, 5);
  });

  const withNews = (place: string, limit: number) =>
    devicesWithNews(worker, { project: 'default', device_id: place }, limit, new Date(after(60)));

  it('the few that have news are found without the others', async (t) => {
    await database.rows('UPDATE device_liveness SET news_since = NULL WHERE news_since IS NOT NULL');
    await database.rows(
      `UPDATE device_liveness SET news_since = $1, observed_digest = 'x' WHERE device_id IN ($2, $3)`,
      [noon, idOf(40_001), idOf(90_001)],
    );
    const read = await readBy(worker, async () => {
      const { items } = await withNews(idOf(40_000), 100);
      assert.deepEqual(
        items.map(({ device_id }) => device_id),
        [idOf(40_001), idOf(90_001)],
      );
    });
    t.diagnostic(JSON.stringify(read));
    assertReadsAtMost(read, 100);
  });

  it('when all have news, as after an outage, a page of them is found without the others', async (t) => {
    await database.rows(`UPDATE device_liveness SET news_since = $1, observed_digest = 'x'`, [noon]);
    const read = await readBy(worker, async () => {
      const { items } = await withNews(idOf(40_000), 100);
      assert.deepEqual(
        items.map(({ device_id }) => device_id),
        Array.from({ length: 100 }, (_, i) => idOf(40_001 + i)),
      );
    });
    t.diagnostic(JSON.stringify(read));
    assertReadsAtMost(read, 5 * 100);
  });
});
