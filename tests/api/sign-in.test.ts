// Signing in and out, and what each later request is checked against.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createHash, createHmac } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { roles, permissionsOf } from '#contracts/permissions.ts';
import { hashPassword } from '#protocols/password.ts';
import { fakeApi, password, problemOf, signInAs } from '#tests/fakes/api-over-fakes.ts';

const me = { url: '/api/admin/me' } as const;
const signInUrl = { method: 'POST', url: '/api/admin/login' } as const;
const totpSecret = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP';

type Login = { token: string; expires_at: string; session_id: string };

describe('POST /api/admin/login', () => {
  it('answers a token and a cookie that scripts of a page cannot read (AA-01)', async (t) => {
    const { app, sessions } = await fakeApi(t);
    const answer = await app.inject({ ...signInUrl, payload: { username: 'viewer', password } });
    assert.equal(answer.statusCode, 200);
    const { token, expires_at, session_id } = answer.json<Login>();
    assert.equal(expires_at, '2026-11-23T00:00:00.000Z');
    assert.equal(sessions.rows.get(session_id)?.username, 'viewer');
    const [cookie] = answer.cookies as unknown as Record<string, unknown>[];
    assert.deepEqual(
      { ...cookie, expires: undefined },
      {
        name: '__Host-sentinel',
        value: token,
        path: '/',
        httpOnly: true,
        secure: true,
        sameSite: 'Lax',
        expires: undefined,
      },
    );
  });

  it('refuses a request to an admin route without a token, and with any that is not one of ours (AA-01)', async (t) => {
    const { app } = await fakeApi(t);
    assert.deepEqual(problemOf(await app.inject(me)).code, 'auth.required');
    const { authorization } = await signInAs(app, 'viewer');
    const [header = '', payload = '', signature = ''] = authorization.slice(7).split('.');
    const unsigned = `${Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')}.${payload}.`;
    for (const token of [
      'x',
      `${header}.${payload}.`,
      unsigned,
      `${header}.${payload}.${signature}x`,
      'a'.repeat(9000),
    ]) {
      const answer = await app.inject({ ...me, headers: { authorization: `Bearer ${token}` } });
      assert.deepEqual(problemOf(answer).code, 'auth.invalid_credentials', token);
      assert.equal(answer.headers['www-authenticate'], 'Bearer realm="sentinel"');
    }
    const basic = await app.inject({ ...me, headers: { authorization: `Basic ${btoa(`viewer:${password}`)}` } });
    assert.equal(problemOf(basic).code, 'auth.invalid_credentials');
  });

  it('refuses an unknown person and a wrong password in the same words', async (t) => {
    const { app, sessions } = await fakeApi(t, {
      people: [{ username: 'gone', password_hash: await hashPassword(password), roles: ['admin'], disabled: true }],
    });
    const refused = await Promise.all(
      [
        { username: 'nobody', password },
        { username: 'viewer', password: 'wrong' },
        { username: 'gone', password },
      ].map((payload) => app.inject({ ...signInUrl, payload })),
    );
    const texts = refused.map((answer) => JSON.stringify({ ...answer.json<object>(), request_id: '' }));
    assert.equal(new Set(texts).size, 1);
    assert.ok(refused.every(({ statusCode, cookies }) => statusCode === 401 && cookies.length === 0));
    assert.deepEqual(
      sessions.audit
        .map(({ category, action, outcome, details }) => JSON.stringify([category, action, outcome, details]))
        .toSorted(),
      ['account_disabled', 'unknown_user', 'wrong_password'].map((reason) =>
        JSON.stringify(['auth', 'login', 'refused', { reason }]),
      ),
    );
  });

  it('writes down who signed in, from where', async (t) => {
    const { app, sessions } = await fakeApi(t);
    const answer = await app.inject({
      ...signInUrl,
      payload: { username: 'viewer', password },
      remoteAddress: '192.0.2.7',
    });
    assert.deepEqual(sessions.audit, [
      {
        occurred_at: '2026-11-22T12:00:00.000Z',
        category: 'auth',
        action: 'login',
        actor: { kind: 'user', id: 'viewer', ip: '192.0.2.7' },
        subject: { kind: 'user', id: 'viewer' },
        outcome: 'success',
        details: { session_id: answer.json<Login>().session_id },
        request_id: answer.headers['x-request-id'],
      },
    ]);
  });

  it('takes the single administrator of older settings, whose Werkzeug hash is then replaced beside them (AA-02)', async (t) => {
    const passwordHash = `pbkdf2:sha256:1000$salt$${pbkdf2('correct horse', 'salt')}`;
    const { app, sessions } = await fakeApi(t, { single: { username: 'root', passwordHash } });
    const ask = (word: string) => app.inject({ ...signInUrl, payload: { username: 'root', password: word } });
    assert.equal((await ask('correct horse')).statusCode, 200);
    const configured = createHash('sha256').update(passwordHash).digest('hex');
    assert.match(sessions.rehashes.get(configured) ?? '', /^\$argon2id\$/);
    assert.equal((await ask('correct horse')).statusCode, 200);
    assert.equal((await ask('wrong horse')).statusCode, 401);
    const answer = await app.inject({ ...me, headers: await signIn('correct horse') });
    assert.deepEqual(answer.json<{ roles: string[] }>().roles, ['admin']);

    async function signIn(word: string) {
      return { authorization: `Bearer ${(await ask(word)).json<Login>().token}` };
    }
  });

  it('asks for the one-time code of an account that has one, and takes each code once (AA-03)', async (t) => {
    const { app, clock } = await fakeApi(t, {
      people: [
        {
          username: 'two',
          password_hash: await hashPassword(password),
          roles: ['viewer'],
          mfa_totp_secret: totpSecret,
        },
      ],
    });
    const ask = (more: object) => app.inject({ ...signInUrl, payload: { username: 'two', password, ...more } });
    const missing = problemOf(await ask({}));
    assert.deepEqual([missing.code, missing.facts], ['auth.invalid_credentials', { totp_required: true }]);
    const withoutPassword = problemOf(await ask({ password: 'wrong', totp: totp(totpSecret, clock.now()) }));
    assert.deepEqual(withoutPassword.facts, {});
    assert.equal((await ask({ totp: totp(totpSecret, clock.now()) })).statusCode, 200);
    assert.equal((await ask({ totp: totp(totpSecret, clock.now()) })).statusCode, 401);
    assert.equal((await ask({ totp: totp(totpSecret, new Date(clock.now().getTime() - 90_000)) })).statusCode, 401);
    clock.advance(30_000);
    assert.equal((await ask({ totp: totp(totpSecret, clock.now()) })).statusCode, 200);
  });

  it('refuses a password for an account that demands a passkey (AA-03)', async (t) => {
    const { app } = await fakeApi(t, {
      people: [
        { username: 'key', password_hash: await hashPassword(password), roles: ['viewer'], passkey_required: true },
      ],
    });
    const problem = problemOf(await app.inject({ ...signInUrl, payload: { username: 'key', password } }));
    assert.deepEqual([problem.code, problem.facts], ['auth.invalid_credentials', { passkey_required: true }]);
  });

  it('slows guessing down from one address and lets others in', async (t) => {
    const { app } = await fakeApi(t);
    const guess = (remoteAddress: string, word: string) =>
      app.inject({ ...signInUrl, payload: { username: 'viewer', password: word }, remoteAddress });
    for (let count = 0; count < 5; count += 1) assert.equal((await guess('192.0.2.1', 'wrong')).statusCode, 401);
    const slowed = await guess('192.0.2.1', password);
    assert.equal(problemOf(slowed).code, 'rate.limited');
    assert.ok(Number(slowed.headers['retry-after']) <= 60);
    assert.equal((await guess('192.0.2.2', password)).statusCode, 200);
  });

  it('is not fooled about the address by headers of the client', async (t) => {
    const { app, sessions } = await fakeApi(t);
    await app.inject({
      ...signInUrl,
      payload: { username: 'viewer', password },
      headers: { 'x-forwarded-for': '203.0.113.9', 'x-real-ip': '203.0.113.9', forwarded: 'for=203.0.113.9' },
    });
    assert.equal(sessions.audit[0]?.actor.ip, '127.0.0.1');
  });

  it('refuses a sign-in that a page of another site started', async (t) => {
    const { app } = await fakeApi(t);
    const answer = await app.inject({
      ...signInUrl,
      payload: { username: 'viewer', password },
      headers: { 'sec-fetch-site': 'cross-site' },
    });
    assert.equal(problemOf(answer).code, 'auth.csrf');
  });
});

describe('a signed-in person', () => {
  it('has the permissions of their roles, and those given by name on top (AA-04)', async (t) => {
    const { app } = await fakeApi(t, {
      people: [
        {
          username: 'plus',
          password_hash: await hashPassword(password),
          roles: ['viewer'],
          permissions: ['device.reset'],
        },
      ],
    });
    for (const role of roles) {
      const body = (await app.inject({ ...me, headers: await signInAs(app, role) })).json<{ permissions: string[] }>();
      assert.deepEqual(body.permissions, permissionsOf({ roles: [role] }));
    }
    const plus = (await app.inject({ ...me, headers: await signInAs(app, 'plus') })).json<{ permissions: string[] }>();
    assert.deepEqual(plus.permissions, permissionsOf({ roles: ['viewer'], permissions: ['device.reset'] }));
    assert.ok(plus.permissions.includes('device.reset'));
  });

  it('changes nothing by cookie without the CSRF token of the session', async (t) => {
    const { app } = await fakeApi(t);
    const cookie = await cookieOf(app, 'viewer');
    const other = await cookieOf(app, 'viewer');
    const tokenOf = async (header: string) =>
      (await app.inject({ ...me, headers: { cookie: header } })).json<{ csrf_token: string }>().csrf_token;
    const logout = (headers: object) =>
      app.inject({ method: 'POST', url: '/api/admin/logout', headers: { cookie, ...headers } });
    assert.equal(problemOf(await logout({})).code, 'auth.csrf');
    assert.equal(problemOf(await logout({ 'x-csrf-token': 'x' })).code, 'auth.csrf');
    assert.equal(problemOf(await logout({ 'x-csrf-token': await tokenOf(other) })).code, 'auth.csrf');
    assert.equal((await logout({ 'x-csrf-token': await tokenOf(cookie) })).statusCode, 200);
  });

  it('is nobody any more from the moment of logging out, whoever still has the token (AA-15)', async (t) => {
    const { app, sessions, as } = await fakeApi(t);
    const headers = await as('viewer');
    const answer = await app.inject({ method: 'POST', url: '/api/admin/logout', headers });
    assert.equal(answer.statusCode, 200);
    assert.equal(problemOf(await app.inject({ ...me, headers })).code, 'auth.session_ended');
    assert.equal(sessions.audit.at(-1)?.action, 'logout');
  });

  it('lists their own sessions and ends one of them at once (AA-16, AA-15)', async (t) => {
    const { app, as, clock } = await fakeApi(t);
    const first = await as('viewer');
    clock.advance(1000);
    const second = await as('viewer');
    await as('operator');
    const list = async (query = '') =>
      (await app.inject({ url: `/api/admin/sessions${query}`, headers: second })).json<SessionPage>();
    const { items, next_cursor } = await list();
    assert.deepEqual([items.map(({ current }) => current), next_cursor], [[true, false], null]);
    const page = await list('?limit=1');
    assert.deepEqual((await list(`?limit=1&cursor=${page.next_cursor}`)).items, items.slice(1));
    const revoke = `/api/admin/sessions/${items[1]?.id}/revoke`;
    const answer = await app.inject({ method: 'POST', url: revoke, headers: second });
    assert.equal(answer.statusCode, 200);
    assert.equal(problemOf(await app.inject({ ...me, headers: first })).code, 'auth.session_ended');
    assert.equal((await app.inject({ ...me, headers: second })).statusCode, 200);
  });

  it('ends the session of somebody else only with the permission for it (AA-15, AA-16)', async (t) => {
    const { app, as } = await fakeApi(t);
    const victim = await as('viewer');
    const { session_id } = (await app.inject({ ...me, headers: victim })).json<{ session_id: string }>();
    const revoke = async (role: 'operator' | 'security') =>
      app.inject({ method: 'POST', url: `/api/admin/sessions/${session_id}/revoke`, headers: await as(role) });
    assert.equal(problemOf(await revoke('operator')).code, 'auth.forbidden');
    assert.equal((await app.inject({ ...me, headers: victim })).statusCode, 200);
    assert.equal((await revoke('security')).statusCode, 200);
    assert.equal(problemOf(await app.inject({ ...me, headers: victim })).code, 'auth.session_ended');
  });

  it('is nobody any more when the session has lasted its time', async (t) => {
    const { app, as, clock } = await fakeApi(t);
    const headers = await as('viewer');
    clock.advance(43_200_000 - 1);
    assert.equal((await app.inject({ ...me, headers })).statusCode, 200);
    clock.advance(1);
    assert.equal((await app.inject({ ...me, headers })).statusCode, 401);
  });

  it('acts in the project default, or in the one that they name', async (t) => {
    const { app, as } = await fakeApi(t);
    const headers = await as('viewer');
    const projectOf = async (project: string) =>
      app.inject({ ...me, headers: { ...headers, 'x-sentinel-project': project } });
    assert.equal((await app.inject({ ...me, headers })).json<{ project: string }>().project, 'default');
    assert.equal((await projectOf('other')).json<{ project: string }>().project, 'other');
    assert.equal(problemOf(await projectOf('nothing')).code, 'resource.not_found');
    assert.equal(problemOf(await projectOf('../x')).code, 'request.invalid');
  });
});

describe('the live directory', () => {
  it('is read again when its file changes, so that disabling somebody or changing roles counts at once (AA-19)', async (t) => {
    const { app, clock, announced, file } = await withFile(t);
    const headers = await signInAs(app, 'filed');
    const ask = async () => {
      clock.advance(1000);
      return app.inject({ url: '/api/admin/me', headers });
    };
    assert.deepEqual((await ask()).json<{ roles: string[] }>().roles, ['viewer']);
    await file.write([{ ...file.person, roles: ['approver'] }]);
    assert.deepEqual((await ask()).json<{ roles: string[] }>().roles, ['approver']);
    await file.write([{ ...file.person, disabled: true }]);
    assert.equal(problemOf(await ask()).code, 'auth.session_ended');
    await file.write([]);
    assert.equal(problemOf(await ask()).code, 'auth.session_ended');
    await file.write([file.person]);
    assert.equal((await ask()).statusCode, 200);
    assert.ok(announced.length >= 5, 'the store was told of each change');
  });

  it('has nobody from a file that is missing, broken or wrong, and says so without its content (AA-19)', async (t) => {
    const { app, clock, log, file } = await withFile(t);
    const headers = await signInAs(app, 'filed');
    const bad = [
      '{',
      'null',
      JSON.stringify([file.person, file.person]),
      JSON.stringify([{ ...file.person, username: 'viewer' }]),
      JSON.stringify([{ ...file.person, roles: ['root'] }]),
      JSON.stringify([{ ...file.person, password: 'clear' }]),
      JSON.stringify([{ ...file.person, password_hash: 'clear' }]),
      null,
    ];
    for (const text of bad) {
      await file.write([file.person]);
      clock.advance(1000);
      assert.equal((await app.inject({ ...me, headers })).statusCode, 200);
      await (text === null ? file.remove() : file.writeText(text));
      clock.advance(1000);
      assert.equal((await app.inject({ ...me, headers })).statusCode, 401, text ?? 'missing');
      assert.equal((await app.inject({ ...signInUrl, payload: { username: 'viewer', password } })).statusCode, 200);
    }
    assert.ok(!log.text().includes(file.person.password_hash) && !log.text().includes('clear'));
  });

  it('refuses to begin with settings that are wrong (AA-03)', async (t) => {
    const hash = await hashPassword(password);
    for (const people of [
      [{ username: 'x', password_hash: hash, roles: ['root'] }],
      [{ username: 'x', password_hash: hash, roles: [], permissions: ['all'] }],
      [{ username: 'x', password_hash: 'plain', roles: [] }],
      [{ username: 'x y', password_hash: hash, roles: [] }],
      [{ username: 'viewer', password_hash: hash, roles: [] }],
      [{ username: 'x', password_hash: hash, roles: [], mfa_totp_secret: 'SHORT' }],
    ]) {
      await assert.rejects(fakeApi(t, { people }), { code: 'request.invalid' });
    }
  });
});

interface SessionPage {
  readonly items: { id: string; current: boolean }[];
  readonly next_cursor: string | null;
}

async function cookieOf(app: Awaited<ReturnType<typeof fakeApi>>['app'], username: string): Promise<string> {
  const answer = await app.inject({ ...signInUrl, payload: { username, password } });
  return `__Host-sentinel=${answer.json<Login>().token}`;
}

async function withFile(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'sentinel-directory-'));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, 'people.json');
  const person = { username: 'filed', password_hash: await hashPassword(password), roles: ['viewer'] };
  const writeText = (text: string) => writeFile(path, text);
  const write = (people: object[]) => writeText(JSON.stringify(people));
  await write([person]);
  return { ...(await fakeApi(t, { directoryFile: path })), file: { person, write, writeText, remove: () => rm(path) } };
}

function pbkdf2(word: string, salt: string): string {
  // RFC 8018 §5.2 for one block, which a digest of 32 bytes is.
  let round = createHmac('sha256', word)
    .update(salt)
    .update(Buffer.from([0, 0, 0, 1]))
    .digest();
  const sum = Buffer.from(round);
  for (let count = 1; count < 1000; count += 1) {
    round = createHmac('sha256', word).update(round).digest();
    for (const [index, byte] of round.entries()) sum[index] = (sum[index] ?? 0) ^ byte;
  }
  return sum.toString('hex');
}

function totp(secret: string, at: Date): string {
  const bits = Array.from(secret)
    .map((letter) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0'))
    .join('');
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(at.getTime() / 30_000)));
  const digest = createHmac('sha1', key).update(step).digest();
  return String((digest.readUInt32BE((digest[19] ?? 0) & 15) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}
