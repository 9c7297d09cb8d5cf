// Tells who a request comes from: token or cookie, then the session row, then the live directory, on every request.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Clock } from '#contracts/deps.ts';
import { permissionsOf, type Permission, type Role } from '#contracts/permissions.ts';
import { TrustError } from '#contracts/problems.ts';
import { permissionFor, requirePermission } from './authorization.ts';
import type { Directory } from './directory.ts';

export const sessionCookie = '__Host-sentinel';

/** A person whose session is live and whose account is active, as of this request. */
export interface SignedIn {
  readonly username: string;
  readonly roles: readonly Role[];
  readonly permissions: ReadonlySet<Permission>;
  readonly sessionId: string;
  readonly expiresAt: string;
  readonly via: 'bearer' | 'cookie';
}

/** A session as the store has it. */
export interface SessionRow {
  readonly id: string;
  readonly username: string;
  readonly expiresAt: string;
  readonly endedAt: string | null;
}

export interface AuthenticationDeps {
  /** @throws TrustError `auth.invalid_credentials`, for any token that is not one of ours and unexpired */
  readonly verifyToken: (
    token: string,
    now: Date,
  ) => Promise<{ readonly sessionId: string; readonly username: string }>;
  readonly findSession: (id: string) => Promise<SessionRow | null>;
  readonly directory: Directory;
  /** @throws TrustError `auth.csrf` */
  readonly requireCsrfToken: (token: string | undefined, sessionId: string) => void;
  readonly clock: Clock;
}

declare module 'fastify' {
  interface FastifyRequest {
    signedIn: SignedIn | null;
  }
}

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS']);
const maximumTokenLength = 4096;

/** Adds the check that every route passes before its body is read. */
export function registerAuthentication(app: FastifyInstance, deps: AuthenticationDeps): void {
  app.decorateRequest('signedIn', null);
  app.addHook('onRequest', (request, _reply, done) => {
    const { access } = request.routeOptions.config;
    if (request.is404 || access === 'public' || access === 'device' || access === 'monitoring') return done();
    return identify(request);
  });

  async function identify(request: FastifyRequest): Promise<void> {
    const { access, csrf } = request.routeOptions.config;
    const person = await authenticate(request, deps);
    if (person.via === 'cookie' && !safeMethods.has(request.method) && csrf !== 'own-check') {
      deps.requireCsrfToken([request.headers['x-csrf-token']].flat()[0], person.sessionId);
    }
    const permission = permissionFor(access);
    if (permission !== null) requirePermission(person, permission);
    request.signedIn = person;
  }
}

/**
 * Finds the live person behind a request. No part of the answer is kept: logout, revoke and a changed directory
 * count from the next request on, in every process.
 *
 * @throws TrustError `auth.required` | `auth.invalid_credentials` | `auth.session_ended`
 */
export async function authenticate(request: FastifyRequest, deps: AuthenticationDeps): Promise<SignedIn> {
  const { token, via } = credentialOf(request);
  const now = deps.clock.now();
  const { sessionId, username } = await deps.verifyToken(token, now);
  const person = await findLive(sessionId, deps);
  if (person === null || person.username !== username) throw new TrustError('auth.session_ended');
  return { ...person, via };
}

/** The person of a session, as long as the session lasts and the account is active. */
export async function findLive(
  sessionId: string,
  { findSession, directory, clock }: Pick<AuthenticationDeps, 'findSession' | 'directory' | 'clock'>,
): Promise<Omit<SignedIn, 'via'> | null> {
  const session = await findSession(sessionId);
  if (session === null || session.endedAt !== null || Date.parse(session.expiresAt) <= clock.now().getTime())
    return null;
  const person = await directory.find(session.username);
  if (person === null || person.disabled) return null;
  return {
    username: person.username,
    roles: person.roles,
    permissions: new Set(permissionsOf(person)),
    sessionId: session.id,
    expiresAt: session.expiresAt,
  };
}

function credentialOf(request: FastifyRequest): { token: string; via: SignedIn['via'] } {
  const { authorization } = request.headers;
  if (authorization !== undefined) {
    const token = /^Bearer +([A-Za-z0-9._~+/=-]+)$/i.exec(authorization)?.[1];
    if (token === undefined || token.length > maximumTokenLength) throw new TrustError('auth.invalid_credentials');
    return { token, via: 'bearer' };
  }
  const cookie = request.cookies[sessionCookie];
  if (cookie === undefined || cookie === '') throw new TrustError('auth.required');
  if (cookie.length > maximumTokenLength) throw new TrustError('auth.invalid_credentials');
  return { token: cookie, via: 'cookie' };
}
