// The whole API over fakes: what a test of one resource does not care about is there and works.
import { randomBytes, randomUUID } from 'node:crypto';
import type { FastifyInstance, LightMyRequestResponse } from 'fastify';
import { buildApi, type ApiDeps } from '#api/app.ts';
import { createTrustedProxy, type ProxySettings } from '#api/client-address.ts';
import { createCursors } from '#api/cursors.ts';
import { createDirectory } from '#api/directory.ts';
import { createSignIn } from '#api/sign-in.ts';
import { createSignInLimiter } from '#api/sign-in-limiter.ts';
import type { Random } from '#contracts/deps.ts';
import { roles, type Role } from '#contracts/permissions.ts';
import { csrfToken, requireCsrfToken } from '#protocols/csrf.ts';
import { hashPassword } from '#protocols/password.ts';
import { signSessionToken, verifySessionToken } from '#protocols/session-token.ts';
import { verifyTotp } from '#protocols/totp.ts';
import { fakeClock } from '#tests/fakes/fake-clock.ts';
import { fakeIdempotency } from '#tests/fakes/fake-idempotency.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import { fakeSessions } from '#tests/fakes/fake-sessions.ts';
import type { Cleanup } from '#tests/harness/cleanup.ts';

export const password = 'a long enough password';
const hash = await hashPassword(password);
const secretKey = new Uint8Array(randomBytes(32));
const jwtSecret = new Uint8Array(randomBytes(32));
const random: Random = { bytes: (size) => new Uint8Array(randomBytes(size)), uuid: () => randomUUID() };

/** One person for each role, named after it, with `password`. */
const people = roles.map((role) => ({ username: role, password_hash: hash, roles: [role] }));

export interface FakeApiOptions {
  readonly people?: readonly object[];
  readonly directoryFile?: string;
  readonly single?: { username: string; passwordHash: string };
  readonly proxy?: ProxySettings;
  readonly change?: (deps: ApiDeps) => ApiDeps;
}

export async function fakeApi(t: Cleanup, options: FakeApiOptions = {}) {
  const clock = fakeClock();
  const log = fakeLog();
  const sessions = fakeSessions(() => clock.now());
  const idempotency = fakeIdempotency();
  const announced: (readonly { username: string }[])[] = [];
  const directory = createDirectory(
    {
      list: [...people, ...(options.people ?? [])],
      file: options.directoryFile,
      single: options.single ?? { username: undefined, passwordHash: undefined },
    },
    { clock, log, onChange: async (all) => void announced.push(all) },
  );
  const proxy = createTrustedProxy(
    options.proxy ?? {
      SENTINEL_TRUST_PROXY_CERT_HEADERS: false,
      SENTINEL_TRUSTED_PROXY_ADDRESSES: [],
      SENTINEL_PROXY_SHARED_SECRET: undefined,
    },
  );
  const cursors = createCursors(secretKey);
  const deps: ApiDeps = {
    clock,
    random,
    log,
    authentication: {
      verifyToken: (token, now) => verifySessionToken(token, jwtSecret, now),
      findSession: sessions.find,
      directory,
      requireCsrfToken: (token, sessionId) => requireCsrfToken(token, sessionId, secretKey),
      clock,
    },
    projectExists: async (id) => id === 'default' || id === 'other',
    idempotency,
    sessions: {
      signIn: createSignIn({
        directory,
        limiter: createSignInLimiter(),
        ...sessions.signIn,
        verifyTotp,
        signToken: (claims) => signSessionToken(claims, jwtSecret),
        sessionSeconds: 43_200,
        clock,
        random,
      }),
      sessions: sessions.store,
      csrfToken: (sessionId) => csrfToken(sessionId, secretKey),
      cursors,
      proxy,
      clock,
    },
    health: { version: '0.0.0', checks: {}, accepting: () => true },
    maximumEventLoopDelayMs: 0,
  };
  const app = await buildApi(options.change?.(deps) ?? deps);
  t.after(() => app.close());
  return { app, clock, log, sessions, idempotency, directory, announced, as: (role: Role) => signInAs(app, role) };
}

/** Signs in and returns the headers that a script sends from then on. */
export async function signInAs(app: FastifyInstance, username: string): Promise<{ authorization: string }> {
  const answer = await app.inject({ method: 'POST', url: '/api/admin/login', payload: { username, password } });
  return { authorization: `Bearer ${answer.json<{ token: string }>().token}` };
}

/** What a problem answer says, after making sure that it is one. */
export function problemOf(answer: LightMyRequestResponse): {
  status: number;
  code: string;
  errors: { field: string }[];
  facts: object;
  detail: string;
} {
  if (answer.headers['content-type'] !== 'application/problem+json; charset=utf-8') {
    throw new TypeError(`not a problem: ${answer.statusCode} ${answer.body}`);
  }
  const { status, code, errors = [], facts = {}, detail } = answer.json<Partial<ReturnType<typeof problemOf>>>();
  if (status === undefined || code === undefined || detail === undefined)
    throw new TypeError(`not whole: ${answer.body}`);
  return { status, code, errors, facts, detail };
}
