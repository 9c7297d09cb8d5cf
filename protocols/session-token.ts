// Sign-in tokens: short JWTs (RFC 7519, RFC 9068) that only say which session they belong to; the session says the rest.
import { jwtVerify, SignJWT } from 'jose';
import { TrustError } from '#contracts/problems.ts';
import { requireLongKey } from './secret-key.ts';

const algorithm = 'HS256';
const type = 'at+jwt';
const issuer = 'sentinel';
const audience = 'sentinel-api';
const maximumLength = 2048;

export interface SessionClaims {
  readonly sessionId: string;
  readonly username: string;
}

/** Makes the token of a session. Times are cut to whole seconds. */
export async function signSessionToken(
  { sessionId, username, issuedAt, expiresAt }: SessionClaims & { issuedAt: Date; expiresAt: Date },
  secret: Uint8Array,
): Promise<string> {
  requireLongKey(secret);
  return new SignJWT()
    .setProtectedHeader({ alg: algorithm, typ: type })
    .setIssuer(issuer)
    .setAudience(audience)
    .setSubject(username)
    .setJti(sessionId)
    .setIssuedAt(issuedAt)
    .setExpirationTime(expiresAt)
    .sign(secret);
}

/**
 * Verifies a token and says whose it is. Whether the session still stands is for its row to say.
 *
 * @param token Untrusted.
 * @throws TrustError `auth.invalid_credentials`, also for a token that has expired
 */
export async function verifySessionToken(token: string, secret: Uint8Array, now: Date): Promise<SessionClaims> {
  requireLongKey(secret);
  if (token.length > maximumLength) throw new TrustError('auth.invalid_credentials');
  try {
    const { payload } = await jwtVerify(token, secret, {
      algorithms: [algorithm],
      typ: type,
      issuer,
      audience,
      requiredClaims: ['exp', 'iat', 'sub', 'jti'],
      currentDate: now,
    });
    const { jti, sub, iat } = payload;
    // The library knows that they are there, and not that they are text.
    const named = typeof jti === 'string' && jti !== '' && typeof sub === 'string' && sub !== '';
    const past = typeof iat === 'number' && iat * 1000 <= now.getTime();
    if (!named || !past) throw new TypeError('a claim is empty, not text, or from the future');
    return { sessionId: jti, username: sub };
  } catch (cause) {
    throw new TrustError('auth.invalid_credentials', { cause });
  }
}
