// Trust assertions: what we sign is what was known of the device, and nothing else passes for it.
import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { before, describe, it } from 'node:test';
import {
  CompactEncrypt,
  createLocalJWKSet,
  decodeProtectedHeader,
  jwtVerify,
  SignJWT,
  UnsecuredJWT,
  type JWTHeaderParameters,
  type JWTPayload,
} from 'jose';
import { readSigningKey, verificationKeys } from '#protocols/signed-envelope.ts';
import {
  expiryOf,
  presentJwk,
  readAssertionKey,
  signTrustAssertion,
  verifyTrustAssertion,
  type TrustClaims,
} from '#protocols/trust-assertion.ts';

const now = new Date('2026-12-01T12:00:00.500Z');
const seconds = Math.floor(now.getTime() / 1000);
const pair = generateKeyPairSync('ed25519');
const stranger = generateKeyPairSync('ed25519');
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const pkcs8 = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString();
const spki = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }).toString();
const key = readSigningKey(pkcs8(pair.privateKey));
const keys = verificationKeys([pair.publicKey]);
const id = '0f9c2e4a-1b1f-4c8e-9d35-0a4a2d7f6b11';
const terms = { issuer: 'https://sentinel.test', audience: 'vpn', id, issuedAt: now, lifetimeSeconds: 60 };
const claims: TrustClaims = {
  project: 'default',
  device_id: 'lab-1',
  trust_tier: 'monitored',
  approval_state: 'approved',
  retired: false,
  certificate_fingerprint_sha256: 'ab'.repeat(32),
};
const payload: JWTPayload = {
  ...claims,
  iss: terms.issuer,
  aud: terms.audience,
  sub: 'default/lab-1',
  jti: id,
  iat: seconds,
  nbf: seconds,
  exp: seconds + 60,
};
const header: JWTHeaderParameters = { alg: 'EdDSA', typ: 'trust-assertion+jwt', kid: key.keyId };

let good: string;
before(async () => {
  good = await signTrustAssertion(claims, terms, key);
});

const verify = (token: string, expected: Partial<Parameters<typeof verifyTrustAssertion>[1]> = {}) =>
  verifyTrustAssertion(token, { issuer: terms.issuer, audience: terms.audience, keys, now, ...expected });
const at = (offset: number) => new Date((seconds + offset) * 1000);
const made = async (change: JWTPayload, head: object = {}, by: Parameters<SignJWT['sign']>[0] = pair.privateKey) =>
  new SignJWT({ ...payload, ...change }).setProtectedHeader({ ...header, ...head }).sign(by);
const without = async (name: string) =>
  new SignJWT(Object.fromEntries(Object.entries(payload).filter(([other]) => other !== name)))
    .setProtectedHeader(header)
    .sign(pair.privateKey);
const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
/** Another header over what was signed. */
const headed = (head: object): string => `${part(head)}.${good.split('.').slice(1).join('.')}`;
const refusal = { code: 'signature.invalid' };

describe('a trust assertion', () => {
  it('says of one device to one audience what was known of it, and until when that holds (TF-04)', async () => {
    const { issuedAt, expiresAt, ...rest } = await verify(good);
    assert.deepEqual(rest, { ...claims, id, keyId: key.keyId });
    assert.deepEqual([issuedAt, expiresAt], [at(0), at(60)]);
    assert.deepEqual(expiresAt, expiryOf(terms));
    assert.deepEqual(decodeProtectedHeader(good), header);
  });

  it('is verified by any library that has the published keys', async () => {
    const set = createLocalJWKSet({ keys: [presentJwk(stranger.publicKey), presentJwk(pair.publicKey)] });
    const options = { issuer: terms.issuer, audience: 'vpn', typ: header.typ ?? '', currentDate: now };
    const { payload: found } = await jwtVerify(good, set, { ...options, algorithms: ['EdDSA'] });
    assert.deepEqual(found, payload);
  });

  it('can say of a device that it is not trusted, and that nothing is pinned', async () => {
    const revoked = { ...claims, trust_tier: 'revoked', retired: true, certificate_fingerprint_sha256: null } as const;
    const { trust_tier, retired, certificate_fingerprint_sha256 } = await verify(
      await signTrustAssertion(revoked, terms, key),
    );
    assert.deepEqual([trust_tier, retired, certificate_fingerprint_sha256], ['revoked', true, null]);
  });

  it('holds for as long as it says, and half a minute around that for clocks that differ (TF-06)', async () => {
    await verify(good, { now: at(-30) });
    await verify(good, { now: at(89) });
    for (const offset of [-31, 90, 3600]) await assert.rejects(verify(good, { now: at(offset) }), refusal, `${offset}`);
  });

  it('is not made for longer than five minutes, whatever the settings say (TF-06)', async () => {
    for (const lifetimeSeconds of [0, -1, 301, NaN])
      await assert.rejects(signTrustAssertion(claims, { ...terms, lifetimeSeconds }, key), { code: 'request.invalid' });
    await signTrustAssertion(claims, { ...terms, lifetimeSeconds: 300 }, key);
  });

  const refused: readonly (readonly [title: string, token: () => string | Promise<string>])[] = [
    ['nothing', () => ''],
    ['no JWT', () => 'a.b.c'],
    ['alg none', () => new UnsecuredJWT(payload).encode()],
    ['alg none in the good one', () => headed({ ...header, alg: 'none' })],
    ['no signature', () => `${good.split('.').slice(0, 2).join('.')}.`],
    ['HS256 keyed with our public key', async () => made({}, { alg: 'HS256' }, Buffer.from(spki(pair.publicKey)))],
    [
      'HS256 keyed with the DER of our public key',
      async () => made({}, { alg: 'HS256' }, pair.publicKey.export({ type: 'spki', format: 'der' })),
    ],
    ['RS256 under our key id', async () => made({}, { alg: 'RS256' }, rsa.privateKey)],
    ['the name of the same algorithm that is not pinned', async () => made({}, { alg: 'Ed25519' })],
    ['somebody else’s key', async () => made({}, {}, stranger.privateKey)],
    ['somebody else’s key under its own id', async () => made({}, { kid: 'other' }, stranger.privateKey)],
    ['no key id', async () => made({}, { kid: undefined })],
    ['a key id that is a path', async () => made({}, { kid: '../../../../dev/null' })],
    ['a key id that is SQL', async () => made({}, { kid: `x' UNION SELECT '` })],
    ['a key id of an object’s own', async () => made({}, { kid: '__proto__' })],
    ['a key id that is no text', () => headed({ ...header, kid: [key.keyId] })],
    ['jku', async () => made({}, { jku: 'https://attacker.test/jwks.json' })],
    ['x5u', async () => made({}, { x5u: 'https://attacker.test/chain.pem' })],
    ['x5c', async () => made({}, { x5c: ['AAAA'] })],
    ['a key that it brings along', async () => made({}, { jwk: presentJwk(stranger.publicKey) }, stranger.privateKey)],
    ['a critical header that nobody knows', () => headed({ ...header, crit: ['x'], x: 1 })],
    ['an unencoded payload', () => headed({ ...header, crit: ['b64'], b64: false })],
    ['typ JWT', async () => made({}, { typ: 'JWT' })],
    ['the type of a sign-in token', async () => made({}, { typ: 'at+jwt' })],
    ['no typ', async () => made({}, { typ: undefined })],
    ['another audience', async () => made({ aud: 'mail' })],
    ['no audience', async () => without('aud')],
    ['several audiences', async () => made({ aud: ['vpn', 'mail'] })],
    ['a list of the one audience', async () => made({ aud: ['vpn'] })],
    ['another issuer', async () => made({ iss: 'https://attacker.test' })],
    ['the issuer with a slash more', async () => made({ iss: `${terms.issuer}/` })],
    ['no issuer', async () => without('iss')],
    ['a list of issuers', async () => made({ iss: [terms.issuer] as unknown as string })],
    ['another party', async () => made({ azp: 'mail' })],
    ['no end', async () => without('exp')],
    ['an end that is no number', async () => made({ exp: '9999999999' as unknown as number })],
    ['an end beyond the leeway', async () => made({ iat: seconds - 90, nbf: seconds - 90, exp: seconds - 30 })],
    ['an end before its beginning', async () => made({ exp: seconds - 1 })],
    ['a life longer than ours', async () => made({ exp: seconds + 301 })],
    ['a beginning beyond the leeway', async () => made({ nbf: seconds + 31 })],
    ['a beginning before its issue', async () => made({ nbf: seconds - 1 })],
    ['no beginning', async () => without('nbf')],
    ['an issue beyond the leeway', async () => made({ iat: seconds + 32, nbf: seconds + 32, exp: seconds + 60 })],
    ['no time of issue', async () => without('iat')],
    ['no id', async () => without('jti')],
    ['an id that is none of ours', async () => made({ jti: 'seven' })],
    ['no subject', async () => without('sub')],
    ['the subject of another device', async () => made({ sub: 'default/lab-2' })],
    ['the subject of another project', async () => made({ sub: 'other/lab-1' })],
    ['a device that has no such name', async () => made({ device_id: 'a/b', sub: 'default/a/b' })],
    ['a tier that there is not', async () => made({ trust_tier: 'admin' })],
    ['no tier', async () => without('trust_tier')],
    ['a tier from the prototype', async () => made({ trust_tier: 'constructor' })],
    ['an approval that there is not', async () => made({ approval_state: 'yes' })],
    ['a fingerprint that is none', async () => made({ certificate_fingerprint_sha256: 'AB' })],
    ['no word on whether it is retired', async () => without('retired')],
    [
      'an encrypted token',
      async () =>
        new CompactEncrypt(Buffer.from(JSON.stringify(payload)))
          .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', typ: header.typ ?? '' })
          .encrypt(new Uint8Array(32)),
    ],
    [
      'an encrypted bomb',
      async () =>
        new CompactEncrypt(Buffer.alloc(200_000))
          .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', typ: header.typ ?? '' })
          .encrypt(new Uint8Array(32)),
    ],
    ['a very long one', async () => made({ x: 'x'.repeat(5000) })],
    ['a million dots', () => '.'.repeat(1_000_000)],
    ['something behind it', () => `${good}.`],
    ['a fourth part', () => `${good}.AAAA`],
    ['white space around it', () => ` ${good}\n`],
    ['padding', () => `${good}=`],
    ['another spelling of the signature', () => respelt(good)],
    ['what is no JSON', () => `${good.split('.')[0]}.${Buffer.from('{').toString('base64url')}.${good.split('.')[2]}`],
  ];
  for (const [title, make] of refused) {
    it(`is refused when it is, or has, ${title} (SA-09)`, async () => {
      const bad = await make();
      await assert.rejects(verify(bad), refusal);
    });
  }

  it('is refused with a single character changed, whichever it is (SA-09)', async () => {
    for (let index = 0; index < good.length; index += 1) {
      const changed = good.slice(0, index) + (good[index] === 'A' ? 'Q' : 'A') + good.slice(index + 1);
      await assert.rejects(verify(changed), refusal, `character ${index}`);
    }
  });

  it('is refused by whoever trusts no key, or one of another kind (SA-09)', async () => {
    await assert.rejects(verify(good, { keys: new Map() }), refusal);
    await assert.rejects(verify(good, { keys: new Map([[key.keyId, rsa.publicKey]]) }), refusal);
    const wrong = new Map([[key.keyId, stranger.publicKey]]);
    await assert.rejects(verify(good, { keys: wrong }), refusal);
  });

  it('is for one audience of one issuer (TF-06)', async () => {
    await assert.rejects(verify(good, { audience: 'mail' }), refusal);
    await assert.rejects(verify(good, { issuer: 'https://other.test' }), refusal);
  });

  it('verifies, when nothing is wrong with it, in the way in which the bad ones are made', async () => {
    await verify(await made({}));
  });
});

/** Bits of the last character that do not count, set. */
function respelt(token: string): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return token.slice(0, -1) + (letters[letters.indexOf(token.at(-1) ?? '') ^ 1] ?? '');
}

describe('the keys of trust assertions', () => {
  it('are read from either half of a pair', () => {
    const whole = readAssertionKey(pkcs8(pair.privateKey));
    const half = readAssertionKey(spki(pair.publicKey));
    assert.deepEqual([whole.keyId, half.keyId], [key.keyId, key.keyId]);
    assert.ok(whole.signing !== null && half.signing === null);
    assert.ok(whole.publicKey.equals(half.publicKey));
  });

  it('are published without what is private of them, under their thumbprint', () => {
    const published = presentJwk(pair.publicKey);
    const { x } = pair.publicKey.export({ format: 'jwk' });
    assert.deepEqual(published, { kty: 'OKP', crv: 'Ed25519', x, kid: key.keyId, alg: 'EdDSA', use: 'sig' });
    assert.deepEqual(presentJwk(pair.privateKey), published);
  });

  for (const [title, pem] of [
    ['nothing', ''],
    ['an RSA key', pkcs8(rsa.privateKey)],
    ['a public RSA key', spki(rsa.publicKey)],
    ['half of a key', pkcs8(pair.privateKey).slice(0, 60)],
    ['half of a public key', spki(pair.publicKey).slice(0, 50)],
    [
      'an encrypted key',
      pair.privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }).toString(),
    ],
  ] as const) {
    it(`are not ${title}, and the refusal does not show it`, () => {
      assert.throws(
        () => readAssertionKey(pem),
        (error: { code?: string; message: string; cause?: unknown }) => {
          assert.equal(error.code, 'request.invalid');
          assert.ok(pem === '' || !error.message.includes(pem.slice(30, 50)));
          assert.equal(error.cause, undefined);
          return true;
        },
      );
    });
  }
});
