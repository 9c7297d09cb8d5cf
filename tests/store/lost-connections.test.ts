// Connections that break in the middle of something: the pool has as many afterwards as before.
import assert from 'node:assert/strict';
import { beforeEach, describe, it, type TestContext } from 'node:test';
import type pg from 'pg';
import type { Store } from '#store/store.ts';
import { withProject, withProjectStatements } from '#store/with-project.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { type StoreTest, storeTest } from './database.ts';

const size = 2;
/** More often than there are connections. */
const times = size * 3;

let database: StoreTest;
let store: Store;
beforeEach(async (t) => {
  database = await storeTest(t as TestContext);
  store = await database.open('sentinel_api', { pool: size });
});

/** All that the pool counts are at hand, and serve. */
async function poolIsWhole(): Promise<void> {
  const all = Array.from({ length: size }, () =>
    withProject(store, 'default', (tx) => tx.query('SELECT pg_sleep(0.05)')),
  );
  assert.equal((await Promise.all(all)).length, size);
  await eventually(() => store.pool.idleCount === store.pool.totalCount, 'every connection to be given back');
}

function breakOff(client: pg.PoolClient): void {
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}

for (const transact of [withProject, withProjectStatements])
  describe(`a pool whose connections break under ${transact.name}`, () => {
    it('has them back when the server ends them in the middle of a transaction (FT-02)', async () => {
      for (let n = 0; n < times; n++) {
        const lost = transact(store, 'default', async (tx) => {
          const [own] = await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
          await database.rows('SELECT pg_terminate_backend($1)', [own?.pid]);
          await tx.query('SELECT pg_sleep(5)');
        });
        await assert.rejects(lost, { code: 'service.unavailable' });
      }
      await poolIsWhole();
    });

    it('has them back when they break before the transaction has begun (FT-02)', async () => {
      store.pool.on('acquire', breakOff);
      for (let n = 0; n < times; n++) await assert.rejects(transact(store, 'default', async () => {}));
      store.pool.off('acquire', breakOff);
      await poolIsWhole();
    });

    it('has them back when they break before it was rolled back, which fails with what it failed with (FT-02)', async () => {
      let client: pg.PoolClient | null = null;
      store.pool.on('acquire', (acquired) => (client = acquired));
      for (let n = 0; n < times; n++) {
        const failed = transact(store, 'default', async () => {
          breakOff(client as unknown as pg.PoolClient);
          throw new RangeError('of its own');
        });
        await assert.rejects(failed, /of its own/);
      }
      await poolIsWhole();
    });

    it('gives back one whose rollback fails though it is there (FT-02)', async () => {
      let client: pg.PoolClient | null = null;
      store.pool.on('acquire', (acquired) => (client = acquired));
      for (let n = 0; n < times; n++) {
        const failed = transact(store, 'default', async () => {
          const acquired = client as unknown as pg.PoolClient & { connection: { stream: { write: unknown } } };
          // The server hears no more of it, and the answer is not awaited longer than this.
          Object.assign(acquired.connection.stream, { write: () => true });
          Object.assign(acquired, { connectionParameters: { query_timeout: 50 } });
          throw new RangeError('of its own');
        });
        await assert.rejects(failed, /of its own/);
      }
      await poolIsWhole();
    });
  });
