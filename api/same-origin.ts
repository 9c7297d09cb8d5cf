// For the few routes that browsers call without our CSRF token: the browser itself says where the request was made.
import type { FastifyRequest } from 'fastify';
import { TrustError } from '#contracts/problems.ts';

/**
 * Refuses what a page of another site started. A request without the header is not from a browser of this decade, or
 * not from a browser at all; what it needs beyond that (a media type, a session) such a page could not send.
 *
 * @throws TrustError `auth.csrf`
 * @see W3C Fetch Metadata
 */
export async function requireSameOrigin({ headers }: FastifyRequest): Promise<void> {
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') {
    throw new TrustError('auth.csrf', { detail: 'The request was started by a page of another origin' });
  }
}
