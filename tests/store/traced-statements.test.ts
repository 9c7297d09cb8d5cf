// Spans of statements on a real pool: on every connection of it, and in the request that asked.
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { it } from 'node:test';
import type { Tracer } from '#contracts/deps.ts';
import { withProject } from '#store/with-project.ts';
import { storeTest } from './database.ts';

it('has a span for each statement of each connection, in the request that sends it', async (t) => {
  const database = await storeTest(t);
  const request = new AsyncLocalStorage<number>();
  const seen: [number | undefined, string][] = [];
  const tracer: Tracer = {
    span(name, _attributes, work) {
      seen.push([request.getStore(), name]);
      return work();
    },
  };
  const store = await database.open('sentinel_worker', { pool: 2, tracer });
  seen.length = 0;
  const read = (n: number) =>
    request.run(n, async () => {
      await withProject(store, 'default', (tx) => tx.query('SELECT device_id FROM device WHERE device_id = $1', ['d']));
      await store.query('SELECT id FROM project');
    });
  // More than there are connections, so that some wait for one.
  await Promise.all([1, 2, 3, 4].map(read));
  for (const n of [1, 2, 3, 4])
    assert.deepEqual(
      seen.filter(([of]) => of === n).map(([, name]) => name),
      ['BEGIN', 'SELECT', 'SELECT device', 'COMMIT', 'SELECT project'],
    );
  assert.equal(seen.length, 20);
});
