// /api/admin: signing in and out, who is signed in, and their sessions.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { AuditEntry } from '#contracts/audit.ts';
import type { Clock } from '#contracts/deps.ts';
import {
  LoginAnswer,
  LoginBody,
  Me,
  Session,
  SessionList,
  SessionListQuery,
  SessionParams,
} from '#contracts/http/admin.ts';
import { Exactly } from '#contracts/http/common.ts';
import { TrustError } from '#contracts/problems.ts';
import type { SessionPosition, StoredSession } from '#store/session.ts';
import { sessionCookie } from './authentication.ts';
import { requirePermission, signedIn } from './authorization.ts';
import { bodyMayBeLeftOut } from './body.ts';
import type { TrustedProxy } from './client-address.ts';
import type { Cursors } from './cursors.ts';
import { readPage, type Page } from './pages.ts';
import { projectOf } from './projects.ts';
import { requireSameOrigin } from './same-origin.ts';
import type { SignIn } from './sign-in.ts';

export interface SessionsDeps {
  readonly signIn: SignIn;
  readonly sessions: {
    get(id: string): Promise<StoredSession | null>;
    /** Newest first; of everybody for null. */
    list(username: string | null, page: Page<SessionPosition>): Promise<readonly StoredSession[]>;
    /** Ends the session and writes the event in one transaction; one that has ended stays as it is. */
    end(id: string, audit: AuditEntry): Promise<StoredSession | null>;
  };
  readonly csrfToken: (sessionId: string) => string;
  readonly cursors: Cursors;
  readonly proxy: TrustedProxy;
  readonly clock: Clock;
}

const cookieOptions = { path: '/', httpOnly: true, secure: true, sameSite: 'lax' } as const;

export const sessionRoutes: FastifyPluginAsyncTypebox<SessionsDeps> = async (app, deps) => {
  const { sessions, cursors, proxy, clock } = deps;

  app.post(
    '/api/admin/login',
    {
      config: { access: 'public', idempotency: 'none' },
      onRequest: requireSameOrigin,
      schema: {
        operationId: 'login',
        tags: ['admin'],
        summary: 'Sign in with a password',
        body: LoginBody,
        response: { 200: LoginAnswer },
      },
    },
    async (request, reply) => {
      const answer = await deps.signIn({
        body: request.body,
        address: proxy.clientAddress(request),
        userAgent: request.headers['user-agent'] ?? null,
        requestId: request.id,
      });
      void reply.setCookie(sessionCookie, answer.token, { ...cookieOptions, expires: new Date(answer.expires_at) });
      return answer;
    },
  );

  app.post(
    '/api/admin/logout',
    {
      config: { access: 'signed-in' },
      schema: {
        operationId: 'logout',
        tags: ['admin'],
        summary: 'End the present session',
        response: { 200: Session },
      },
    },
    async (request, reply) => {
      const { sessionId } = signedIn(request);
      const ended = await sessions.end(sessionId, endOf(request, sessionId, 'logout'));
      if (ended === null) throw new TrustError('auth.session_ended');
      void reply.clearCookie(sessionCookie, cookieOptions);
      return presentSession(ended, sessionId);
    },
  );

  app.get(
    '/api/admin/me',
    {
      config: { access: 'signed-in' },
      schema: { operationId: 'getMe', tags: ['admin'], summary: 'The person who is signed in', response: { 200: Me } },
    },
    async (request) => {
      const person = signedIn(request);
      return {
        username: person.username,
        roles: [...person.roles],
        permissions: [...person.permissions],
        csrf_token: deps.csrfToken(person.sessionId),
        session_id: person.sessionId,
        expires_at: person.expiresAt,
        project: projectOf(request),
      };
    },
  );

  app.get(
    '/api/admin/sessions',
    {
      config: { access: 'signed-in' },
      schema: {
        operationId: 'listSessions',
        tags: ['admin'],
        summary: 'One’s own sessions, newest first, or with session.revoke_any everybody’s',
        querystring: SessionListQuery,
        response: { 200: SessionList },
      },
    },
    async (request) => {
      const person = signedIn(request);
      const { sessionId } = person;
      if (request.query.of === 'everybody') requirePermission(person, 'session.revoke_any');
      const username = request.query.of === 'everybody' ? null : person.username;
      const { rows, next_cursor } = await readPage(
        cursors,
        ['sessions', username],
        request.query,
        (page: Page<SessionPosition>) => sessions.list(username, page),
        ({ created_at, id }) => ({ created_at, id }),
      );
      return { items: rows.map((session) => presentSession(session, sessionId)), next_cursor };
    },
  );

  app.post(
    '/api/admin/sessions/:session_id/revoke',
    {
      config: { access: 'signed-in' },
      schema: {
        operationId: 'revokeSession',
        tags: ['admin'],
        summary: 'End a session: one’s own, or with session.revoke_any anybody’s',
        params: SessionParams,
        body: Exactly({}),
        response: { 200: Session },
      },
      preValidation: bodyMayBeLeftOut,
    },
    async (request) => {
      const person = signedIn(request);
      const { session_id: id } = request.params;
      const session = await sessions.get(id);
      if (session === null) throw new TrustError('resource.not_found');
      if (session.username !== person.username) requirePermission(person, 'session.revoke_any');
      const ended = await sessions.end(id, endOf(request, id, 'session.revoked', session.username));
      if (ended === null) throw new TrustError('resource.not_found');
      return presentSession(ended, person.sessionId);
    },
  );

  function endOf(
    request: Parameters<typeof signedIn>[0],
    id: string,
    action: string,
    owner = signedIn(request).username,
  ): AuditEntry {
    return {
      occurred_at: clock.now().toISOString(),
      category: 'auth',
      action,
      actor: { kind: 'user', id: signedIn(request).username, ip: proxy.clientAddress(request) },
      subject: { kind: 'session', id },
      outcome: 'success',
      details: { username: owner },
      request_id: request.id,
    };
  }
};

function presentSession(session: StoredSession, currentId: string): Session {
  return { ...session, current: session.id === currentId };
}
