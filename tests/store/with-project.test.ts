// The way into a project: what a transaction that is made for each heartbeat saves.
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { withProject, withProjectStatements } from '#store/with-project.ts';
import { storeTest } from './database.ts';

describe('a transaction of each heartbeat', () => {
  it('plans each text once a connection, for whatever values, and no other transaction does', async (t) => {
    const database = await storeTest(t as TestContext);
    const store = await database.open('sentinel_api', { pool: 1 });
    const text = 'SELECT device_id FROM device WHERE project_id = $1 AND device_id = ANY ($2)';
    for (let n = 0; n < 8; n += 1)
      await withProjectStatements(store, 'default', (tx) => tx.query(text, ['default', [`d${n}`]]));
    await withProject(store, 'default', async (tx) => {
      const [mode] = await tx.query<{ mode: string }>(`SELECT current_setting('plan_cache_mode') AS mode`);
      assert.equal(mode?.mode, 'auto');
      const kept = await tx.query<{ statement: string; generic: number; custom: number }>(
        `SELECT statement, generic_plans::integer AS generic, custom_plans::integer AS custom FROM pg_prepared_statements
         WHERE statement LIKE '%FROM device %' AND statement NOT LIKE '%pg_prepared%'`,
      );
      assert.deepEqual(kept, [{ statement: text, generic: 8, custom: 0 }]);
    });
  });
});
