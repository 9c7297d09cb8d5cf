// What every store test begins with: a database of its own, stores that act as each role, and rows as they really are.
import pg from 'pg';
import { systemClock, systemRandom, type Clock, type Tracer } from '#contracts/deps.ts';
import { canonicalBytes } from '#protocols/canonical-json.ts';
import { loginNames, type LoginName, type ProcessRole } from '#store/roles.ts';
import { createStore, type Store } from '#store/store.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import type { Cleanup } from '#tests/harness/cleanup.ts';
import { testDatabase, type TestDatabase } from '#tests/harness/postgres.ts';

export interface StoreTest extends TestDatabase {
  readonly api: Store;
  readonly worker: Store;
  readonly sealer: Store;
  /** One more store, say with a clock of its own. */
  open(role: ProcessRole, options?: { clock?: Clock; pool?: number; tracer?: Tracer }): Promise<Store>;
  /** Rows as the superuser sees them, whom no row security holds back. */
  rows<Row>(text: string, values?: readonly unknown[]): Promise<Row[]>;
}

export async function storeTest(t: Cleanup): Promise<StoreTest> {
  const database = await testDatabase(t);
  const superuser = new pg.Client({ connectionString: database.superuserUrl });
  superuser.on('error', () => {});
  await superuser.connect();
  const stores: Store[] = [];
  t.after(async () => {
    await Promise.all(stores.map((store) => store.close()));
    await superuser.end();
  });
  const open: StoreTest['open'] = async (role, { clock = systemClock, pool = 5, tracer } = {}) => {
    const store = await createStore({
      databaseUrl: database.url[`${role}_login` as LoginName],
      role,
      pool,
      clock,
      random: systemRandom,
      canonicalBytes,
      log: fakeLog(),
      tracer,
    });
    stores.push(store);
    return store;
  };
  const [api, worker, sealer] = await Promise.all(Object.values(loginNames).map((role) => open(role)));
  if (!api || !worker || !sealer) throw new TypeError('three roles sign in');
  return {
    ...database,
    api,
    worker,
    sealer,
    open,
    async rows<Row>(text: string, values: readonly unknown[] = []) {
      return (await superuser.query(text, [...values])).rows as Row[];
    },
  };
}

/** Another project beside `default`. */
export async function addProject(database: Pick<StoreTest, 'rows'>, id: string): Promise<void> {
  await database.rows(`INSERT INTO project (id, organisation_id, name) VALUES ($1, 'default', $1)`, [id]);
}
