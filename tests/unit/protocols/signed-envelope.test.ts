// Signed documents: what was signed, as what it was signed, by whom it was signed, and not a byte of anything else.
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { describe, it } from 'node:test';
import { TrustError } from '#contracts/problems.ts';
import { canonicalBytes } from '#protocols/canonical-json.ts';
import {
  keyIdOf,
  readSigningKey,
  signEnvelope,
  verificationKeys,
  verifyEnvelope,
  type SignedEnvelope,
} from '#protocols/signed-envelope.ts';

// RFC 8032 §7.1, TEST 1, wrapped as PKCS #8.
const seed = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60';
const der = Buffer.from(`302e020100300506032b657004220420${seed}`, 'hex').toString('base64');
const key = readSigningKey(`-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`);
const publicKey = createPublicKey(key.privateKey);
const keys = verificationKeys([publicKey]);
const other = generateKeyPairSync('ed25519');
const type = 'audit.checkpoint';
const payload = { sequence: 7, heads: { default: 'ab' }, at: '2026-12-01T12:00:00.000Z' };
const good = signEnvelope(type, payload, key);
const refuses = (envelope: unknown, as = type, trusted = keys): void =>
  assert.throws(
    () => verifyEnvelope(as, envelope, trusted),
    (error) => error instanceof TrustError && error.code === 'signature.invalid',
  );

describe('signEnvelope', () => {
  it('makes the envelope of decision 10, the same one every time', () => {
    assert.deepEqual(good, {
      payload: { ...payload, type },
      signature: {
        algorithm: 'Ed25519',
        key_id: key.keyId,
        value: sign(null, canonicalBytes({ ...payload, type }), key.privateKey).toString('base64url'),
      },
    });
    assert.deepEqual(signEnvelope(type, { ...payload, type }, key), good);
  });

  const refused: readonly [title: string, act: () => unknown][] = [
    ['a payload of another type', () => signEnvelope(type, { ...payload, type: 'policy.bundle' }, key)],
    ['a payload that is not JSON', () => signEnvelope(type, { at: undefined as unknown as string }, key)],
    ['no type', () => signEnvelope('', payload, key)],
    ['a type that is a sentence', () => signEnvelope('an audit checkpoint', payload, key)],
  ];
  for (const [title, act] of refused) {
    it(`refuses ${title}`, () => assert.throws(act, { code: 'request.invalid' }));
  }
});

describe('verifyEnvelope', () => {
  it('gives back what was signed, however the JSON was written', () => {
    assert.deepEqual(verifyEnvelope(type, good, keys), { ...payload, type });
    const reordered = `{"signature":${JSON.stringify(good.signature)}, "payload":{"type":"${type}","at":"${payload.at}",
      "heads":{"default":"\\u0061b"},"sequence":7.0}}`;
    verifyEnvelope(type, JSON.parse(reordered), keys);
  });

  it('names keys by their thumbprint', () => {
    // RFC 8037 Appendix A.3 has the thumbprint of this very key.
    assert.equal(key.keyId, 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k');
    assert.notEqual(keyIdOf(other.publicKey), key.keyId);
  });

  const change = (more: Partial<SignedEnvelope['signature']>): object => ({
    ...good,
    signature: { ...good.signature, ...more },
  });
  const sealed = (content: object, extra: object = {}): object => ({
    payload: content,
    signature: {
      algorithm: 'Ed25519',
      key_id: key.keyId,
      value: sign(null, canonicalBytes(content), key.privateKey).toString('base64url'),
    },
    ...extra,
  });
  const refused: readonly [title: string, envelope: unknown, as?: string][] = [
    ['nothing', undefined],
    ['null', null],
    ['a text', JSON.stringify(good)],
    ['a list', [good]],
    ['an empty object', {}],
    ['a payload without a signature', { payload: good.payload }],
    ['a signature without a payload', { signature: good.signature }],
    ['the payload as text', sealed({ type }, { payload: JSON.stringify({ type }) })],
    ['a member too many', { ...good, note: 'x' }],
    ['a member too many in the signature', change({ note: 'x' } as object)],
    ['another type than the expected one', good, 'policy.bundle'],
    ['a well signed payload without a type', sealed({ sequence: 7 })],
    ['a well signed payload whose type is a list', sealed({ type: [type] })],
    ['another algorithm', change({ algorithm: 'none' as 'Ed25519' })],
    ['another spelling of the algorithm', change({ algorithm: 'ed25519' as 'Ed25519' })],
    ['an unknown key', change({ key_id: keyIdOf(other.publicKey) })],
    ['no key', change({ key_id: '' })],
    ['a key named like what every object has', change({ key_id: 'constructor' })],
    ['an empty signature', change({ value: '' })],
    ['a signature that is a number', change({ value: 1 as unknown as string })],
    ['a padded signature', change({ value: `${good.signature.value}==` })],
    ['a signature in Base64', change({ value: Buffer.from(good.signature.value, 'base64url').toString('base64') })],
    ['a signature with a byte after it', change({ value: `${good.signature.value}AA` })],
    ['the signature of another payload', change({ value: signEnvelope(type, { sequence: 8 }, key).signature.value })],
    ['the signature of another type', change({ value: signEnvelope('policy.bundle', payload, key).signature.value })],
    [
      'the signature of another key',
      change({
        value: signEnvelope(type, payload, { keyId: key.keyId, privateKey: other.privateKey }).signature.value,
      }),
    ],
    ['a member added to the payload', { ...good, payload: { ...good.payload, more: null } }],
    ['a member taken from the payload', { ...good, payload: { type, sequence: 7, at: payload.at } }],
    ['a number written as text', { ...good, payload: { ...good.payload, sequence: '7' } }],
    ['a payload that is not JSON', { ...good, payload: { ...good.payload, heads: '\ud800' } }],
  ];
  for (const [title, envelope, as] of refused) {
    it(`refuses ${title}`, () => refuses(envelope, as));
  }

  it('refuses everything when no key is trusted', () => refuses(good, type, new Map()));

  it('refuses a key of another kind under the right name', () => {
    const { publicKey: rsa } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    refuses(good, type, new Map([[key.keyId, rsa]]));
  });

  it('refuses a signature with one byte changed, whichever it is', () => {
    for (let index = 0; index < 64; index += 1) {
      const value = Buffer.from(good.signature.value, 'base64url');
      value[index] = (value[index] ?? 0) ^ 0x01;
      refuses(change({ value: value.toString('base64url') }));
    }
  });

  it('refuses a document with one character changed, whichever it is', () => {
    const text = JSON.stringify(good.payload);
    for (let index = 0; index < text.length; index += 1) {
      const changed = `${text.slice(0, index)}${text[index] === '1' ? '2' : '1'}${text.slice(index + 1)}`;
      let parsed: unknown;
      try {
        parsed = JSON.parse(changed);
      } catch {
        continue;
      }
      refuses({ ...good, payload: parsed });
    }
  });
});

describe('readSigningKey', () => {
  const pem = (kind: 'rsa' | 'ed448'): string =>
    (kind === 'rsa' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('ed448')).privateKey
      .export({ type: 'pkcs8', format: 'pem' })
      .toString();
  const refused: readonly [title: string, text: string][] = [
    ['nothing', ''],
    ['a public key', publicKey.export({ type: 'spki', format: 'pem' }).toString()],
    ['an RSA key', pem('rsa')],
    ['an Ed448 key', pem('ed448')],
    ['a key that is cut off', `-----BEGIN PRIVATE KEY-----\n${der.slice(0, 40)}\n-----END PRIVATE KEY-----\n`],
  ];
  for (const [title, text] of refused) {
    it(`refuses ${title} and does not show it`, () =>
      assert.throws(
        () => readSigningKey(text),
        (error) =>
          error instanceof TrustError &&
          error.code === 'request.invalid' &&
          error.cause === undefined &&
          !error.message.includes(der.slice(0, 20)),
      ));
  }
});
