// CSRF tokens: a keyed digest of the session, which only pages of our own origin can read.
import { createHmac } from 'node:crypto';
import { TrustError } from '#contracts/problems.ts';
import { sameSecret } from './constant-time.ts';
import { requireLongKey } from './secret-key.ts';

/** The token of a session; the same as long as the session lasts, and of no use with another one. */
export function csrfToken(sessionId: string, secretKey: Uint8Array): string {
  requireLongKey(secretKey);
  return createHmac('sha256', secretKey).update(`sentinel/csrf/v1\n${sessionId}`).digest('base64url');
}

/** @throws TrustError `auth.csrf` */
export function requireCsrfToken(token: string | undefined, sessionId: string, secretKey: Uint8Array): void {
  if (token === undefined || !sameSecret(token, csrfToken(sessionId, secretKey))) throw new TrustError('auth.csrf');
}
