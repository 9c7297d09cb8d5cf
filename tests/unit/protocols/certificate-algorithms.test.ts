// Signatures at the edge, made here: each is one that some implementation has taken for good, beside the good one.
import assert from 'node:assert/strict';
import {
  constants,
  createHash,
  createPublicKey,
  generateKeyPairSync,
  privateEncrypt,
  sign,
  type KeyObject,
} from 'node:crypto';
import { describe, it } from 'node:test';
import { isSignedBy, readPublicKey, type SignatureAlgorithm } from '#protocols/certificate-algorithms.ts';
import { fieldsOf, readDer, readInteger, tags } from '#protocols/der.ts';
import { der } from './certificate-forge.ts';

const message = Buffer.from('what was signed');

/** Tells of each signature whether it is taken for one of this key over the message. */
function verifierOf(
  publicKey: KeyObject,
  algorithm: SignatureAlgorithm,
): (signature: Buffer, over?: Buffer) => boolean {
  const key = readPublicKey(readDer(publicKey.export({ type: 'spki', format: 'der' })));
  return (signature, bytes = message) => isSignedBy({ bytes, algorithm, signature }, key);
}

function refusesAll(isTaken: (signature: Buffer) => boolean, signatures: Readonly<Record<string, Buffer>>): void {
  for (const [what, signature] of Object.entries(signatures)) assert.equal(isTaken(signature), false, what);
}

/** Big-endian, as long as it has to be. */
function bytesOf(value: bigint, length = 0): Buffer {
  const hex = value.toString(16);
  return Buffer.from((hex.length % 2 === 0 ? hex : `0${hex}`).padStart(length * 2, '0'), 'hex');
}

/** The content of a DER INTEGER. */
function integer(value: bigint): Buffer {
  const bytes = bytesOf(value);
  return (bytes[0] ?? 0) < 0x80 ? bytes : Buffer.concat([Buffer.of(0), bytes]);
}

describe('a signature of ECDSA', () => {
  const orders = {
    'P-256': 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
    'P-384': 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  };
  for (const [namedCurve, n] of Object.entries(orders)) {
    it(`on ${namedCurve} is two numbers between nought and the order, in DER and nothing else (SA-02)`, () => {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve });
      const isTaken = verifierOf(publicKey, { keyType: 'ec', digest: 'sha256' });
      const good = sign('sha256', message, privateKey);
      const numbers = fieldsOf(readDer(good), tags.sequence);
      const [r, s] = [readInteger(numbers.take()), readInteger(numbers.take())];
      const written = (a: Buffer, b: Buffer, ...more: Buffer[]): Buffer =>
        der(0x30, der(0x02, a), der(0x02, b), ...more);
      const pair = (a: bigint, b: bigint): Buffer => written(integer(a), integer(b));

      assert.equal(isTaken(good), true);
      assert.equal(isTaken(pair(r, s)), true);
      assert.equal(isTaken(pair(r, n - s)), true, 'the other one that fits');
      assert.equal(verifierOf(publicKey, { keyType: 'ec', digest: 'sha384' })(good), false, 'another hash');
      const other = generateKeyPairSync('ec', { namedCurve }).publicKey;
      assert.equal(verifierOf(other, { keyType: 'ec', digest: 'sha256' })(good), false, 'another key');
      const [a, b] = [integer(r), integer(s)];
      const long = Buffer.concat([Buffer.of(0x30, 0x82, 0x00, good.length - 2), good.subarray(2)]);
      refusesAll(isTaken, {
        nothing: Buffer.alloc(0),
        'both nought': pair(0n, 0n),
        'r nought': pair(0n, s),
        's nought': pair(r, 0n),
        'r the order': pair(n, s),
        's the order': pair(r, n),
        'both one': pair(1n, 1n),
        'r with the order added': pair(r + n, s),
        's with the order added': pair(r, s + n),
        'r negative': written(bytesOf(2n ** BigInt(8 * (a.length + 1)) - r), b),
        's for r': pair(s, r),
        'zeros before r': written(Buffer.concat([Buffer.of(0), a]), b),
        'zeros before s': written(a, Buffer.concat([Buffer.of(0, 0), b])),
        'r empty': written(Buffer.alloc(0), b),
        'a third number': written(a, b, der(0x02, '\x01')),
        'r alone': der(0x30, der(0x02, a)),
        'a byte after it': Buffer.concat([good, Buffer.of(0)]),
        'a byte less': good.subarray(0, -1),
        'its length in long form': long,
        'an indefinite length': Buffer.concat([Buffer.of(0x30, 0x80), good.subarray(2), Buffer.of(0, 0)]),
        'a SET': Buffer.concat([Buffer.of(0x31), good.subarray(1)]),
        'other types of numbers': der(0x30, der(0x04, a), der(0x04, b)),
        'the numbers alone': Buffer.concat([
          bytesOf(r, n.toString(16).length / 2),
          bytesOf(s, n.toString(16).length / 2),
        ]),
      });
    });
  }
});

describe('a signature of RSA (PKCS #1 v1.5)', () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const isTaken = verifierOf(publicKey, { keyType: 'rsa', digest: 'sha256' });
  const length = 256;
  const hash = createHash('sha256').update(message).digest();
  const sha256 = '608648016503040201';
  const digestInfo = (oid: string, parameters: Buffer, digest: Buffer, ...more: Buffer[]): Buffer =>
    der(0x30, der(0x30, der(0x06, Buffer.from(oid, 'hex')), parameters), der(0x04, digest), ...more);
  const nothing = Buffer.alloc(0);
  const info = digestInfo(sha256, der(0x05), hash);

  /** The signature over these bytes, as they are. */
  function signed(block: Buffer): Buffer {
    assert.equal(block.length, length);
    return privateEncrypt({ key: privateKey, padding: constants.RSA_NO_PADDING }, block);
  }
  /** With as much padding as fits, or only so much and what follows filled up with `rest`. */
  function padded(content: Buffer, { type = 1, fill = 0xff, padding = length - 3 - content.length } = {}): Buffer {
    const head = Buffer.concat([Buffer.of(0, type), Buffer.alloc(padding, fill), Buffer.of(0), content]);
    return Buffer.concat([head, Buffer.alloc(length - head.length, 0x5a)]);
  }

  it('is the one block that its hash makes (SA-02)', () => {
    const good = sign('sha256', message, privateKey);
    assert.equal(isTaken(good), true);
    assert.deepEqual(signed(padded(info)), good, 'which is how the wrong ones are made');
    const n = BigInt(`0x${Buffer.from(publicKey.export({ format: 'jwk' }).n ?? '', 'base64url').toString('hex')}`);
    const value = BigInt(`0x${good.toString('hex')}`);
    refusesAll(isTaken, {
      nothing: Buffer.alloc(0),
      'all zeros': Buffer.alloc(length),
      one: bytesOf(1n, length),
      'the modulus less one': bytesOf(n - 1n, length),
      'the modulus': bytesOf(n, length),
      'a zero before it': Buffer.concat([Buffer.of(0), good]),
      'a byte after it': Buffer.concat([good, Buffer.of(0)]),
      'a byte less': good.subarray(1),
      ...(value + n < 2n ** 2048n ? { 'the modulus added': bytesOf(value + n, length) } : {}),
      'no NULL': signed(padded(digestInfo(sha256, nothing, hash))),
      'other parameters': signed(padded(digestInfo(sha256, der(0x04, '\x01'), hash))),
      'NULL with something in it': signed(padded(digestInfo(sha256, der(0x05, '\x01'), hash))),
      'more in its hash': signed(padded(digestInfo(sha256, der(0x05), hash, der(0x05)))),
      'another hash by name': signed(padded(digestInfo('608648016503040202', der(0x05), hash))),
      'a hash of SHA-1': signed(
        padded(digestInfo('2b0e03021a', der(0x05), createHash('sha1').update(message).digest())),
      ),
      'a shorter hash': signed(padded(digestInfo(sha256, der(0x05), hash.subarray(1)))),
      'the hash alone': signed(padded(hash)),
      'a length in long form': signed(padded(Buffer.concat([Buffer.of(0x30, 0x81, 0x31), info.subarray(2)]))),
      'padding for encryption': signed(padded(info, { type: 2, fill: 0x5a })),
      'padding of zeros': signed(padded(info, { fill: 0 })),
      'padding of another byte': signed(padded(info, { fill: 0xfe })),
      'eight bytes of padding, and anything behind the hash': signed(padded(info, { padding: 8 })),
      'no padding': signed(padded(info, { padding: 0 })),
      'anything between padding and hash': signed(padded(Buffer.concat([Buffer.alloc(20, 0x11), info]))),
      'the hash behind another hash': signed(
        padded(Buffer.concat([digestInfo(sha256, der(0x05), Buffer.alloc(32)), info])),
      ),
    });
  });

  it('is not one of RSASSA-PSS, and none by another hash or key', () => {
    const padding = constants.RSA_PKCS1_PSS_PADDING;
    refusesAll(isTaken, {
      'RSASSA-PSS': sign('sha256', message, { key: privateKey, padding, saltLength: 32 }),
      'RSASSA-PSS without salt': sign('sha256', message, { key: privateKey, padding, saltLength: 0 }),
      'SHA-384': sign('sha384', message, privateKey),
      'another key': sign('sha256', message, generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey),
    });
  });

  it('is not taken of a key that is too weak, however right it is', () => {
    for (const options of [
      { modulusLength: 1024 },
      { modulusLength: 2040 },
      { modulusLength: 2048, publicExponent: 3 },
      { modulusLength: 2048, publicExponent: 257 },
    ]) {
      const weak = generateKeyPairSync('rsa', options);
      const judge = verifierOf(weak.publicKey, { keyType: 'rsa', digest: 'sha256' });
      assert.equal(judge(sign('sha256', message, weak.privateKey)), false, JSON.stringify(options));
    }
  });
});

describe('a signature of Ed25519', () => {
  const order = 2n ** 252n + 27742317777372353535851937790883648493n;
  const ed25519: SignatureAlgorithm = { keyType: 'ed25519', digest: null };

  it('has one number below the order, and one spelling (RFC 8032 §5.1.7, SA-02)', () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const isTaken = verifierOf(publicKey, ed25519);
    const good = sign(null, message, privateKey);
    const [point, scalar] = [good.subarray(0, 32), good.subarray(32)];
    const s = BigInt(`0x${Buffer.from(scalar).reverse().toString('hex')}`);
    const withNumber = (value: bigint): Buffer => Buffer.concat([point, bytesOf(value, 32).reverse()]);
    assert.equal(isTaken(good), true);
    assert.deepEqual(withNumber(s), good);
    refusesAll(isTaken, {
      nothing: Buffer.alloc(0),
      'the order added': withNumber(s + order),
      'twice the order added': withNumber(s + 2n * order),
      'the number negated': withNumber(order - s),
      'the number nought': withNumber(0n),
      'the highest bit set': withNumber(s | (1n << 255n)),
      'all zeros': Buffer.alloc(64),
      'a byte less': good.subarray(0, -1),
      'a byte after it': Buffer.concat([good, Buffer.of(0)]),
      'halves swapped': Buffer.concat([scalar, point]),
    });
    for (let bit = 0; bit < 512; bit += 1) {
      const changed = Buffer.from(good);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      assert.equal(isTaken(changed), false, `bit ${bit}`);
    }
  });

  it('is not had for nothing from a key of small order, which fits many', () => {
    const spki = Buffer.from('302a300506032b6570032100', 'hex');
    const point = (last: number, first = 0): Buffer => {
      const bytes = Buffer.alloc(32);
      bytes[0] = first;
      bytes[31] = last;
      return bytes;
    };
    // The neutral element, which is a signature of everything by itself; and it as it must not be written.
    for (const small of [point(0, 1), point(0x80, 1)]) {
      const key = createPublicKey({ key: Buffer.concat([spki, small]), format: 'der', type: 'spki' });
      const isTaken = verifierOf(key, ed25519);
      for (const first of [small, point(0, 1)])
        assert.equal(isTaken(Buffer.concat([first, Buffer.alloc(32)])), false, small.toString('hex'));
    }
  });

  it('is none by a key of another kind, and a key of its kind has none of another', () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    assert.equal(verifierOf(ec.publicKey, ed25519)(sign(null, message, privateKey)), false);
    const good = sign('sha256', message, ec.privateKey);
    assert.equal(verifierOf(publicKey, { keyType: 'ec', digest: 'sha256' })(good), false);
    assert.equal(verifierOf(ec.publicKey, { keyType: 'rsa', digest: 'sha256' })(good), false);
  });
});
