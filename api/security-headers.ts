// Security headers of every answer (SS-07): the strictest policy by default, which the few pages for browsers replace by their own.
import { createHash, randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

const always: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'strict-origin-when-cross-origin',
  'permissions-policy': 'camera=(self), microphone=(self), geolocation=(self)',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
};

/** Nothing at all: an answer that is no page needs nothing from anywhere. */
const noContent = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/** Headers of an answer that is written past Fastify, when a request could not even be read. */
export const bareHeaders: Readonly<Record<string, string>> = { ...always, 'content-security-policy': noContent };

export function registerSecurityHeaders(app: FastifyInstance): void {
  const isLocal = remembering(isLocalName);
  app.addHook('onRequest', (request, reply, done) => {
    void reply.headers(bareHeaders).header('x-request-id', request.id);
    if (!isLocal(request.hostname)) {
      void reply.header('strict-transport-security', 'max-age=31536000; includeSubDomains');
    }
    if (isApi(request)) void reply.header('cache-control', 'no-store');
    done();
  });
}

/** Policy of a page of ours: scripts and styles from this server, or with the nonce that this one answer has. */
export function consolePolicy(nonce: string): string {
  return policy({
    'default-src': "'none'",
    'script-src': `'self' 'nonce-${nonce}'`,
    'style-src': `'self' 'nonce-${nonce}'`,
    'img-src': "'self' data:",
    'font-src': "'self'",
    'connect-src': "'self'",
    'manifest-src': "'self'",
  });
}

/** Policy of a page of the documentation: the scripts that were built into it by their digest; its search runs compiled code. */
export function docsPolicy(scripts: readonly string[]): string {
  const digests = scripts.map((script) => ` 'sha256-${createHash('sha256').update(script).digest('base64')}'`);
  return policy({
    'default-src': "'none'",
    'script-src': `'self' 'wasm-unsafe-eval'${digests.join('')}`,
    'style-src': "'self'",
    'img-src': "'self' data:",
    'font-src': "'self'",
    'connect-src': "'self'",
    'worker-src': "'self'",
  });
}

/** The API reference sets styles from its bundle, for which it has no nonce; scripts still need one. */
export function referencePolicy(nonce: string): string {
  return policy({
    'default-src': "'none'",
    'script-src': `'self' 'nonce-${nonce}'`,
    'style-src': "'self' 'unsafe-inline'",
    'img-src': "'self' data: blob:",
    'font-src': "'self' data:",
    'connect-src': "'self'",
    'worker-src': "'self' blob:",
  });
}

/** Temporal's UI starts from an inline script and sets inline styles; it reaches nothing but this server. */
export const temporalUiPolicy = policy({
  'default-src': "'none'",
  'script-src': "'self' 'unsafe-inline'",
  'style-src': "'self' 'unsafe-inline'",
  'img-src': "'self' data: blob:",
  'font-src': "'self' data:",
  'connect-src': "'self'",
  'frame-src': "'self'",
  'worker-src': "'self' blob:",
  'manifest-src': "'self'",
});

/** A page without any script, for a frame in another page of this server. */
export function framedPolicy(nonce: string): string {
  return policy({ 'default-src': "'none'", 'style-src': `'nonce-${nonce}'`, 'frame-ancestors': "'self'" });
}

export function setPolicy(reply: FastifyReply, value: string): void {
  void reply.header('content-security-policy', value);
}

export function newNonce(): string {
  return randomBytes(18).toString('base64url');
}

function policy(directives: Readonly<Record<string, string>>): string {
  return Object.entries({
    ...directives,
    'base-uri': "'none'",
    'form-action': "'self'",
    'frame-ancestors': directives['frame-ancestors'] ?? "'none'",
    'object-src': "'none'",
  })
    .map(([name, value]) => `${name} ${value}`)
    .join('; ');
}

/** Nearly all requests ask the same name. */
function remembering(judge: (name: string) => boolean): (name: string) => boolean {
  let last = { name: '', answer: judge('') };
  return (name) => {
    if (name !== last.name) last = { name, answer: judge(name) };
    return last.answer;
  };
}

/** Over plain HTTP browsers ignore the header; for localhost they would remember it for every other port of the developer's machine. */
function isLocalName(hostname: string): boolean {
  const name = hostname.replace(/^\[|\]$/g, '');
  return name === '' || name === 'localhost' || name.endsWith('.localhost') || isIP(name) !== 0;
}

export function isApi(request: FastifyRequest): boolean {
  return request.url === '/api' || request.url.startsWith('/api/');
}
