// Sign-in tokens: one algorithm, one type, one audience, and a session in every one of them.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { CompactEncrypt, SignJWT, UnsecuredJWT, type JWTPayload } from 'jose';
import { signSessionToken, verifySessionToken } from '#protocols/session-token.ts';

const secret = new Uint8Array(32).map((_, index) => index + 1);
const now = new Date('2026-12-01T12:00:00Z');
const seconds = now.getTime() / 1000;
const session = { sessionId: '0f9c2e4a-1b1f-4c8e-9d35-0a4a2d7f6b11', username: 'alice' };
const claims: JWTPayload = {
  iss: 'sentinel',
  aud: 'sentinel-api',
  sub: 'alice',
  jti: session.sessionId,
  iat: seconds,
  exp: seconds + 60,
};
const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

let good: string;
before(async () => {
  good = await signSessionToken({ ...session, issuedAt: now, expiresAt: new Date(now.getTime() + 60_000) }, secret);
});

const verify = async (token: string, at = now) => verifySessionToken(token, secret, at);
const without = (name: string): JWTPayload =>
  Object.fromEntries(Object.entries(claims).filter(([key]) => key !== name));
const token = async (payload: JWTPayload, header: object = {}, key: Parameters<SignJWT['sign']>[0] = secret) =>
  new SignJWT(payload).setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', ...header }).sign(key);
const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('session tokens', () => {
  it('say which session they belong to', async () => assert.deepEqual(await verify(good), session));

  it('carry nothing else about the person', () => {
    const payload = JSON.parse(Buffer.from(good.split('.')[1] ?? '', 'base64url').toString());
    assert.deepEqual(Object.keys(payload).toSorted(), ['aud', 'exp', 'iat', 'iss', 'jti', 'sub']);
  });

  it('last until the second they say', async () => {
    await verify(good, new Date(now.getTime() + 59_999));
    await assert.rejects(verify(good, new Date(now.getTime() + 60_000)), { code: 'auth.invalid_credentials' });
  });

  const refused: readonly [title: string, token: () => string | Promise<string>][] = [
    ['nothing', () => ''],
    ['no JWT', () => 'a.b.c'],
    ['alg none', () => new UnsecuredJWT(claims).encode()],
    [
      'alg none with the good signature',
      () => `${part({ alg: 'none', typ: 'at+jwt' })}.${good.split('.').slice(1).join('.')}`,
    ],
    ['no signature', () => `${good.split('.').slice(0, 2).join('.')}.`],
    ['another secret', async () => token(claims, {}, new Uint8Array(32).fill(7))],
    ['HS512', async () => token(claims, { alg: 'HS512' }, new Uint8Array(64).fill(1))],
    ['HS384 with our secret', async () => token(claims, { alg: 'HS384' }, Buffer.concat([secret, secret]))],
    ['RS256', async () => token(claims, { alg: 'RS256' }, privateKey)],
    [
      'HS256 keyed with a public key',
      async () => token(claims, {}, new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))),
    ],
    [
      'a key that it brings along',
      async () => token(claims, { jwk: publicKey.export({ format: 'jwk' }) }, new Uint8Array(32)),
    ],
    [
      'a critical header that nobody knows',
      () => `${part({ alg: 'HS256', typ: 'at+jwt', crit: ['x'], x: 1 })}.${good.split('.').slice(1).join('.')}`,
    ],
    ['typ JWT', async () => token(claims, { typ: 'JWT' })],
    ['no typ', async () => new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(secret)],
    ['another issuer', async () => token({ ...claims, iss: 'somebody' })],
    ['no issuer', async () => token(without('iss'))],
    ['another audience', async () => token({ ...claims, aud: 'sentinel-feed' })],
    ['no audience', async () => token(without('aud'))],
    ['no expiry', async () => token(without('exp'))],
    ['an expiry that is no number', async () => token({ ...claims, exp: '9999999999' as unknown as number })],
    ['an expiry in the past', async () => token({ ...claims, exp: seconds - 1 })],
    ['a start in the future', async () => token({ ...claims, nbf: seconds + 10 })],
    ['an issue in the future', async () => token({ ...claims, iat: seconds + 10 })],
    ['no time of issue', async () => token(without('iat'))],
    ['no session', async () => token(without('jti'))],
    ['an empty session', async () => token({ ...claims, jti: '' })],
    ['a session that is no text', async () => token({ ...claims, jti: 7 as unknown as string })],
    ['no subject', async () => token(without('sub'))],
    [
      'an encrypted token',
      async () =>
        new CompactEncrypt(Buffer.from(JSON.stringify(claims)))
          .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', typ: 'at+jwt' })
          .encrypt(secret),
    ],
    ['a very long token', async () => token({ ...claims, x: 'x'.repeat(5000) })],
    ['white space around it', () => ` ${good} `],
  ];
  for (const [title, make] of refused) {
    it(`refuses ${title}`, async () => {
      const bad = await make();
      await assert.rejects(verify(bad), { code: 'auth.invalid_credentials' });
    });
  }

  it('refuses a good token with one character changed, whichever it is', async () => {
    for (let index = 0; index < good.length; index += 1) {
      // The last character of a Base64 group may hold bits that do not count; A and Q differ in one that does.
      const changed = good.slice(0, index) + (good[index] === 'A' ? 'Q' : 'A') + good.slice(index + 1);
      await assert.rejects(verify(changed), { code: 'auth.invalid_credentials' }, `character ${index}`);
    }
  });

  it('cannot be signed or verified with a short secret', async () => {
    const short = new Uint8Array(31).fill(1);
    await assert.rejects(signSessionToken({ ...session, issuedAt: now, expiresAt: now }, short), RangeError);
    await assert.rejects(verifySessionToken(good, new Uint8Array(), now), RangeError);
  });
});
