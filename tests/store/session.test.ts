// Sessions of people on a real database: opened with their event, noted when used, ended once; and what sign-in remembers.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, it } from 'node:test';
import {
  endSession,
  findPasswordRehash,
  findSession,
  listSessions,
  openSession,
  savePasswordRehash,
  useSession,
  useTotpStep,
} from '#store/session.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { after, auditEntry, digest, noon } from './builders.ts';
import { type StoreTest, storeTest } from './database.ts';

const cleanup = cleanupAfterAll();
let database: StoreTest;
before(async () => {
  database = await storeTest(cleanup);
});

const entry = (action: string, id: string) =>
  auditEntry({ category: 'auth', action, actor: { kind: 'user', id: 'ann' }, subject: { kind: 'session', id } });

async function session(username: string, seconds = 0, id: string = randomUUID()): Promise<string> {
  const times = { createdAt: after(seconds), expiresAt: after(seconds + 3600) };
  await openSession(database.api, { id, username, ...times, ip: '192.0.2.1', userAgent: 'test' }, entry('login', id));
  return id;
}

async function actionsOf(id: string): Promise<readonly string[]> {
  const rows = await database.rows<{ action: string }>(
    'SELECT action FROM audit_event WHERE subject_id = $1 ORDER BY position',
    [id],
  );
  return rows.map(({ action }) => action);
}

describe('a session', () => {
  it('is opened with its event, is used, and ends once (AA-15)', async () => {
    const id = await session('ann');
    assert.deepEqual(await findSession(database.api, id), {
      id,
      username: 'ann',
      created_at: noon,
      expires_at: after(3600),
      last_used_at: null,
      ended_at: null,
      ip: '192.0.2.1',
      user_agent: 'test',
    });
    await useSession(database.api, id, after(1));
    assert.equal((await findSession(database.api, id))?.last_used_at, after(1));
    await useSession(database.api, id, after(60));
    assert.equal((await findSession(database.api, id))?.last_used_at, after(1), 'noted once a minute');
    await useSession(database.api, id, after(61));
    assert.equal((await findSession(database.api, id))?.last_used_at, after(61));
    const ended = await endSession(database.api, id, entry('logout', id), after(90));
    assert.equal(ended?.ended_at, after(90));
    assert.deepEqual(await endSession(database.api, id, entry('logout', id), after(99)), ended);
    assert.deepEqual(await useSession(database.api, id, after(200)), ended, 'using it changes nothing any more');
    assert.deepEqual(await findSession(database.api, id), ended);
    assert.deepEqual(await actionsOf(id), ['login', 'logout']);
  });

  it('that is ended by many at once is ended by one, with one event', async () => {
    const id = await session('ann');
    const times = Array.from({ length: 8 }, (_, i) => after(i));
    const all = await Promise.all(times.map((now) => endSession(database.api, id, entry('logout', id), now)));
    assert.equal(new Set(all.map((ended) => ended?.ended_at)).size, 1);
    assert.deepEqual(await actionsOf(id), ['login', 'logout']);
  });

  it('is no longer noted as used from its last moment on', async () => {
    const id = await session('ann');
    assert.equal((await useSession(database.api, id, after(3600)))?.expires_at, after(3600));
    assert.equal((await findSession(database.api, id))?.last_used_at, null);
    await useSession(database.api, id, after(3599));
    assert.equal((await findSession(database.api, id))?.last_used_at, after(3599));
  });

  it('that cannot be opened leaves no event, and the one that is there stays as it is', async () => {
    const id = await session('ann');
    await assert.rejects(session('eve', 10, id), { code: '23505' });
    assert.equal((await findSession(database.api, id))?.username, 'ann');
    assert.deepEqual(await actionsOf(id), ['login']);
  });

  it('that is unknown, or no id at all, is none', async () => {
    for (const id of [randomUUID(), 'no-uuid', '']) {
      assert.equal(await findSession(database.api, id), null);
      assert.equal(await useSession(database.api, id, noon), null);
      assert.equal(await endSession(database.api, id, entry('logout', id), noon), null);
      assert.deepEqual(await actionsOf(id), []);
    }
  });

  it('is listed for its person only, newest first, page by page, also of one moment (AA-16)', async () => {
    const ids = [await session('lea', 1), await session('lea', 2), await session('lea', 3)];
    const twins = [await session('lea', 2), await session('lea', 2)];
    await session('ben', 2);
    const [first, second, third] = ids;
    const middle = [second, ...twins].map(String).toSorted().toReversed();
    const expected = [third, ...middle, first];
    for (const limit of [1, 2, 3, 9]) {
      const found: string[] = [];
      for (let last: { created_at: string; id: string } | null = null; ;) {
        const page: readonly { created_at: string; id: string }[] = await listSessions(database.api, 'lea', {
          limit,
          after: last,
        });
        const end = page.at(-1);
        if (end === undefined) break;
        found.push(...page.map(({ id }) => id));
        last = { created_at: end.created_at, id: end.id };
      }
      assert.deepEqual(found, expected, `by ${limit}`);
    }
  });
});

describe('sign-in', () => {
  it('uses up a one-time code once, for its person (AA-03)', async () => {
    const uses = await Promise.all(Array.from({ length: 8 }, () => useTotpStep(database.api, 'ann', 42)));
    assert.equal(uses.filter(Boolean).length, 1);
    assert.equal(await useTotpStep(database.api, 'ann', 42), false);
    assert.equal(await useTotpStep(database.api, 'ann', 43), true);
    assert.equal(await useTotpStep(database.api, 'bob', 42), true);
  });

  it('keeps a better hash beside the configured one, and forgets it when that changes (AA-02)', async () => {
    assert.equal(await findPasswordRehash(database.api, digest('hash')), null);
    await savePasswordRehash(database.api, digest('hash'), 'better', noon);
    await savePasswordRehash(database.api, digest('hash'), 'best', noon);
    assert.equal(await findPasswordRehash(database.api, digest('hash')), 'best');
    assert.equal(await findPasswordRehash(database.api, digest('another hash')), null);
  });
});
