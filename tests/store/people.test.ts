// Sessions, one-time codes, idempotency keys and authorities in the store: each counts once, and ends when it ends.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { abandonIdempotent, answerIdempotent, startIdempotent } from '#store/idempotency.ts';
import { listen } from '#store/listen.ts';
import { listOperators, standingVoters, syncOperators } from '#store/operator.ts';
import { projectExists } from '#store/project.ts';
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
import { listTrustAnchors, syncTrustAnchors } from '#store/trust-anchor.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { after, auditEntry, digest, noon } from './builders.ts';
import { addProject, type StoreTest, storeTest } from './database.ts';

const cleanup = cleanupAfterAll();
let database: StoreTest;
before(async () => {
  database = await storeTest(cleanup);
  await addProject(database, 'other');
});

const entry = (action: string, id: string) =>
  auditEntry({ category: 'auth', action, actor: { kind: 'user', id: 'ann' }, subject: { kind: 'session', id } });

async function session(username: string, seconds = 0): Promise<string> {
  const id = randomUUID();
  const times = { createdAt: after(seconds), expiresAt: after(seconds + 3600) };
  await openSession(database.api, { id, username, ...times, ip: '192.0.2.1', userAgent: 'test' }, entry('login', id));
  return id;
}

describe('a session', () => {
  it('is opened with its event, is used, and ends once (AA-15)', async () => {
    const id = await session('ann');
    const opened = {
      id,
      username: 'ann',
      created_at: noon,
      expires_at: after(3600),
      last_used_at: null,
      ended_at: null,
      ip: '192.0.2.1',
      user_agent: 'test',
    };
    assert.deepEqual(await findSession(database.api, id), opened);
    await useSession(database.api, id, after(1));
    assert.equal((await findSession(database.api, id))?.last_used_at, after(1));
    await useSession(database.api, id, after(30));
    assert.equal((await findSession(database.api, id))?.last_used_at, after(1), 'noted once a minute');
    await useSession(database.api, id, after(61));
    assert.equal((await findSession(database.api, id))?.last_used_at, after(61));
    const ended = await endSession(database.api, id, entry('logout', id), after(90));
    assert.equal(ended?.ended_at, after(90));
    assert.deepEqual(await endSession(database.api, id, entry('logout', id), after(99)), ended);
    assert.equal((await useSession(database.api, id, after(100)))?.ended_at, after(90));
    const events = await database.rows('SELECT action FROM audit_event WHERE subject_id = $1 ORDER BY position', [id]);
    assert.deepEqual(events, [{ action: 'login' }, { action: 'logout' }]);
  });

  it('that is unknown, or no id at all, is none', async () => {
    for (const id of [randomUUID(), 'no-uuid', '']) {
      assert.equal(await findSession(database.api, id), null);
      assert.equal(await useSession(database.api, id, noon), null);
      assert.equal(await endSession(database.api, id, entry('logout', id), noon), null);
    }
  });

  it('is listed for its person only, newest first, page by page (AA-16)', async () => {
    const ids = [await session('lea', 1), await session('lea', 2), await session('lea', 3)];
    await session('ben', 2);
    const first = await listSessions(database.api, 'lea', { limit: 2, after: null });
    assert.deepEqual(
      first.map(({ id }) => id),
      [ids[2], ids[1]],
    );
    const last = first.at(-1);
    assert.ok(last);
    const rest = await listSessions(database.api, 'lea', {
      limit: 2,
      after: { created_at: last.created_at, id: last.id },
    });
    assert.deepEqual(
      rest.map(({ id }) => id),
      [ids[0]],
    );
  });

  it('cannot be opened twice with one code, and a better hash stands beside the configured one (AA-02, AA-03)', async () => {
    const uses = await Promise.all(Array.from({ length: 8 }, () => useTotpStep(database.api, 'ann', 42)));
    assert.equal(uses.filter(Boolean).length, 1);
    assert.equal(await useTotpStep(database.api, 'bob', 42), true);
    assert.equal(await findPasswordRehash(database.api, digest('hash')), null);
    await savePasswordRehash(database.api, digest('hash'), 'better', noon);
    await savePasswordRehash(database.api, digest('hash'), 'best', noon);
    assert.equal(await findPasswordRehash(database.api, digest('hash')), 'best');
  });
});

describe('an idempotency key', () => {
  const scopeOf = (key: string, project = 'default') => ({ project, principal: 'ann', route: '/r', key });
  const start = (key: string, body = 'body', seconds = 0, project = 'default') =>
    startIdempotent(database.api, scopeOf(key, project), digest(body), new Date(after(seconds)));

  it('is taken by one of many, and gives the answer to all others', async () => {
    const all = await Promise.all(Array.from({ length: 8 }, () => start('race')));
    assert.deepEqual(all.map(({ kind }) => String(kind)).toSorted(), [...Array<string>(7).fill('running'), 'started']);
    const started = all.find((one) => one.kind === 'started');
    assert.ok(started?.kind === 'started');
    await answerIdempotent(database.api, scopeOf('race'), started.claim, { status: 200, body: '{}' });
    assert.deepEqual(await start('race'), { kind: 'answered', status: 200, body: '{}' });
    assert.deepEqual(await start('race', 'another body'), { kind: 'mismatch' });
    assert.equal((await start('race', 'body', 0, 'other')).kind, 'started', 'of another project');
  });

  it('is given up by a request that never answered, to the same request only', async () => {
    const first = await start('lapsed');
    assert.equal((await start('lapsed', 'body', 59)).kind, 'running');
    assert.equal((await start('lapsed', 'another body', 61)).kind, 'mismatch');
    const second = await start('lapsed', 'body', 61);
    assert.ok(first.kind === 'started' && second.kind === 'started');
    await answerIdempotent(database.api, scopeOf('lapsed'), first.claim, { status: 500, body: 'late' });
    assert.equal((await start('lapsed', 'body', 62)).kind, 'running', 'who lost the key answers nothing');
    await abandonIdempotent(database.api, scopeOf('lapsed'), second.claim);
    assert.equal((await start('lapsed', 'another body', 62)).kind, 'started');
  });

  it('is free again after a day', async () => {
    const first = await start('day');
    assert.ok(first.kind === 'started');
    await answerIdempotent(database.api, scopeOf('day'), first.claim, { status: 200, body: 'old' });
    assert.equal((await start('day', 'body', 86_399)).kind, 'answered');
    assert.equal((await start('day', 'another body', 86_400)).kind, 'started');
  });
});

describe('the directory in the store', () => {
  it('is what was written last: who is gone, disabled or without the permission stands for nothing (AA-19)', async () => {
    const person = (username: string, more = {}) => ({
      username,
      roles: ['approver'] as const,
      permissions: [],
      disabled: false,
      ...more,
    });
    await syncOperators(database.api, [person('ann'), person('bob'), person('cat')], noon);
    const standing = () => standingVoters(database.worker, ['ann', 'bob', 'cat', 'eve'], 'identity.review');
    assert.deepEqual([...(await standing())].toSorted(), ['ann', 'bob', 'cat']);
    await syncOperators(database.api, [person('ann', { disabled: true }), person('bob', { roles: ['viewer'] })], noon);
    assert.deepEqual(await standing(), []);
    assert.deepEqual(
      (await listOperators(database.api)).map(({ username }) => username),
      ['ann', 'bob'],
    );
    assert.deepEqual(await standingVoters(database.worker, ['ann'], 'no.such.permission'), []);
  });
});

describe('authorities', () => {
  const anchor = (name: string) => ({ fingerprint_sha256: digest(name), subject: `CN=${name}`, pem: `PEM of ${name}` });
  const inForce = async () =>
    (await listTrustAnchors(database.api)).map(({ project_id, pem }) => `${project_id}: ${pem}`);

  it('are those that were named last, and can come back', async () => {
    await syncTrustAnchors(database.api, 'default', [anchor('one'), anchor('two')], noon);
    assert.deepEqual((await inForce()).toSorted(), ['default: PEM of one', 'default: PEM of two']);
    await syncTrustAnchors(database.api, 'default', [anchor('two')], noon);
    assert.deepEqual(await inForce(), ['default: PEM of two']);
    await syncTrustAnchors(database.api, 'default', [anchor('one')], noon);
    assert.deepEqual(await inForce(), ['default: PEM of one']);
  });

  it('belong to one project at a time', async () => {
    await syncTrustAnchors(database.api, 'default', [anchor('one')], noon);
    await assert.rejects(syncTrustAnchors(database.api, 'other', [anchor('one')], noon), { code: 'request.invalid' });
    await syncTrustAnchors(database.api, 'default', [], noon);
    await syncTrustAnchors(database.api, 'other', [anchor('one')], noon);
    assert.deepEqual(await inForce(), ['other: PEM of one']);
    assert.equal(await projectExists(database.api, 'other'), true);
    assert.equal(await projectExists(database.api, 'nowhere'), false);
    assert.equal(await projectExists(database.api, `other' --`), false);
  });
});

describe('announcements', () => {
  it('are heard, also after the server has cut the connection', async () => {
    let heard = 0;
    let wake = (): void => {};
    const next = () => new Promise<void>((resolve) => (wake = resolve));
    const first = next();
    const listener = listen(database.api, 'sentinel_sealed', () => {
      heard += 1;
      wake();
    });
    await first;
    const second = next();
    await database.api.query(`SELECT pg_notify('sentinel_sealed', '')`);
    await second;
    const again = next();
    const cut = await database.rows(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND query = 'LISTEN sentinel_sealed'`);
    assert.equal(cut.length, 1);
    await again;
    const third = next();
    await database.api.query(`SELECT pg_notify('sentinel_sealed', '')`);
    await third;
    assert.ok(heard >= 4);
    await listener.close();
  });
});
