// Authorities in the store: those that were named last count, each in one project, and a refusal changes nothing.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { projectExists } from '#store/project.ts';
import { listTrustAnchors, syncTrustAnchors } from '#store/trust-anchor.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { after, digest, noon } from './builders.ts';
import { addProject, type StoreTest, storeTest } from './database.ts';

describe('authorities', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  before(async () => {
    database = await storeTest(cleanup);
    await addProject(database, 'other');
  });

  const anchor = (name: string) => ({ fingerprint_sha256: digest(name), subject: `CN=${name}`, pem: `PEM of ${name}` });
  const sync = (project: string, names: readonly string[], now = noon) =>
    syncTrustAnchors(database.api, project, names.map(anchor), now);
  const inForce = async (): Promise<readonly string[]> => {
    const rows = await listTrustAnchors(database.api);
    for (const { fingerprint_sha256, pem } of rows)
      assert.equal(digest(pem.slice('PEM of '.length)), fingerprint_sha256);
    return rows.map(({ project_id, pem }) => `${project_id}: ${pem.slice('PEM of '.length)}`).toSorted();
  };
  const rowOf = async (name: string, project = 'default') => {
    const [row] = await database.rows<{ created_at: Date; retired_at: Date | null }>(
      'SELECT created_at, retired_at FROM trust_anchor WHERE project_id = $1 AND fingerprint_sha256 = $2',
      [project, digest(name)],
    );
    return [row?.created_at.toISOString(), row?.retired_at?.toISOString() ?? null];
  };

  it('are those that were named last, can be retired and come back', async () => {
    await sync('default', ['one', 'two']);
    assert.deepEqual(await inForce(), ['default: one', 'default: two']);
    await sync('default', ['two', 'three'], after(1));
    await sync('default', ['two', 'three'], after(2));
    assert.deepEqual(await inForce(), ['default: three', 'default: two']);
    assert.deepEqual(await rowOf('one'), [noon, after(1)], 'retired once');
    assert.deepEqual(await rowOf('two'), [noon, null], 'naming it again changes nothing');
    await sync('default', ['one'], after(3));
    assert.deepEqual(await inForce(), ['default: one']);
    assert.deepEqual(await rowOf('one'), [noon, null]);
    await sync('default', [], after(4));
    assert.deepEqual(await inForce(), [], 'no authority identifies no device');
  });

  it('belong to one project at a time, and a refusal changes nothing', async () => {
    await sync('default', ['one']);
    await sync('other', ['its own']);
    await assert.rejects(sync('other', ['new', 'one'], after(9)), { code: 'request.invalid', message: /other/ });
    assert.deepEqual(await inForce(), ['default: one', 'other: its own'], 'neither retired nor added');
    await sync('default', []);
    await sync('other', ['one']);
    assert.deepEqual(await inForce(), ['other: one'], 'what is retired is free for another');
    await assert.rejects(sync('default', ['one']), { code: 'request.invalid' });
  });

  it('are those of one project when two name them at the same moment', async () => {
    for (let round = 0; round < 10; round++) {
      await sync('default', []);
      await sync('other', []);
      const name = `raced-${round}`;
      const both = await Promise.allSettled([sync('default', [name]), sync('other', [name])]);
      const refused = both.flatMap((one) => (one.status === 'rejected' ? [one.reason as { code?: string }] : []));
      assert.deepEqual(
        refused.map(({ code }) => code),
        ['request.invalid'],
      );
      assert.equal((await inForce()).length, 1);
    }
  });

  it('need a project that is there', async () => {
    assert.equal(await projectExists(database.api, 'default'), true);
    assert.equal(await projectExists(database.api, 'other'), true);
    assert.equal(await projectExists(database.api, 'nowhere'), false);
    for (const id of [`other' --`, '', 'Default', '-x', 'x'.repeat(64)])
      assert.equal(await projectExists(database.api, id), false, id);
    await assert.rejects(sync('nowhere', ['one']), { code: 'resource.not_found', message: /no such project/ });
    await assert.rejects(sync(`other' --`, ['one']), { code: 'resource.not_found' });
  });
});
