// Who may call a route: every route states it, the answer is checked before the body is read, and silence is refused at registration.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { permissions, type Permission } from '#contracts/permissions.ts';
import { TrustError } from '#contracts/problems.ts';
import type { SignedIn } from './authentication.ts';

/**
 * - `public`: anybody, without looking at credentials
 * - `device`: the route itself judges the client certificate
 * - `monitoring`: the monitoring token, when one is configured
 * - `signed-in`: any person with a live session
 * - a permission: a person who has it
 */
export type Access = 'public' | 'device' | 'monitoring' | 'signed-in' | Permission;

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access;
    /** A state-changing route that browsers may call without our CSRF token; it proves the same origin by itself. */
    csrf?: 'own-check';
  }
}

/** Refuses to start with a route that does not say who may call it. */
export function requireStatedAccess(app: FastifyInstance): void {
  app.addHook('onRoute', ({ url, method, config }) => {
    if (config?.access === undefined) throw new TypeError(`route ${String(method)} ${url} does not state its access`);
  });
}

/** The permission that a route asks for, if it asks for one. */
export function permissionFor(access: Access | undefined): Permission | null {
  return access !== undefined && Object.hasOwn(permissions, access) ? (access as Permission) : null;
}

/** @throws TrustError `auth.forbidden`, which names the permission */
export function requirePermission(person: SignedIn, permission: Permission): void {
  if (person.permissions.has(permission)) return;
  throw new TrustError('auth.forbidden', {
    detail: `This needs the permission ${permission}`,
    facts: { permission },
  });
}

/** The person behind a request to a route that asked for one. */
export function signedIn(request: FastifyRequest): SignedIn {
  if (request.signedIn === null) throw new TypeError('the route does not ask for a person');
  return request.signedIn;
}
