// Credentials for a TPM, opened here as a TPM would; tests/e2e/tpm.test.ts has real TPMs open them.
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { describe, it } from 'node:test';
import { systemRandom } from '#contracts/deps.ts';
import { credentialFile, endorsementKeyOf, makeCredential, readEndorsementKey } from '#protocols/tpm-credential.ts';
import { parseCertificate } from '#protocols/certificate.ts';
import { openCredential } from './credential-opener.ts';
import { bytesOf, endorsementVector, flipped, quoteVector, refusalOf, refuses, vectors } from './tpm-vectors.ts';

const akName = Buffer.from(`000b${'5a'.repeat(32)}`, 'hex');
const secret = Buffer.alloc(32, 3);

describe('makeCredential', () => {
  const kinds = {
    'RSA-2048': generateKeyPairSync('rsa', { modulusLength: 2048 }),
    'P-256': generateKeyPairSync('ec', { namedCurve: 'prime256v1' }),
    'P-384': generateKeyPairSync('ec', { namedCurve: 'secp384r1' }),
  };

  for (const [kind, { publicKey, privateKey }] of Object.entries(kinds)) {
    it(`makes a credential that opens with the endorsement key: ${kind}`, () => {
      const ek = endorsementKeyOf(publicKey);
      const credential = makeCredential({ endorsementKey: ek, akName, secret, random: systemRandom });
      assert.deepEqual(openCredential({ ek, privateKey, akName, credential }), secret);
      const again = makeCredential({ endorsementKey: ek, akName, secret, random: systemRandom });
      assert.notDeepEqual(again, credential, 'no two are the same');
      assert.equal(credentialFile(credential).subarray(0, 8).toString('hex'), 'badcc0de00000001');
    });
  }

  it('takes no secret that can be guessed or does not fit, and only names of TPM objects', () => {
    const endorsementKey = endorsementKeyOf(kinds['P-256'].publicKey);
    const make = (change: { secret?: Buffer; akName?: Buffer }) => () =>
      makeCredential({ endorsementKey, akName, secret, random: systemRandom, ...change });
    assert.throws(make({ secret: Buffer.alloc(15) }), RangeError);
    assert.throws(make({ secret: Buffer.alloc(33) }), RangeError);
    assert.throws(make({ akName: Buffer.alloc(0) }), RangeError);
  });
});

describe('readEndorsementKey', () => {
  it('reads the keys that TPMs make of the standard templates, as their certificates have them', () => {
    for (const { kind, ek_public, certificate } of vectors.endorsement) {
      const ek = readEndorsementKey(bytesOf(ek_public));
      const expected = endorsementKeyOf(ek.key);
      assert.deepEqual(
        [ek.nameHash, ek.symmetricBits, ek.curve],
        [expected.nameHash, expected.symmetricBits, expected.curve],
        kind,
      );
      if (certificate !== null) assert.ok(ek.key.equals(parseCertificate(certificate).publicKey));
      assert.match(ek.id, /^[0-9a-f]{64}$/);
    }
    assert.equal(
      new Set(vectors.endorsement.map(({ ek_public }) => readEndorsementKey(bytesOf(ek_public)).id)).size,
      4,
    );
  });

  it('refuses attributes and policies of another template, and keys that sign', () => {
    const area = bytesOf(endorsementVector('ecc').ek_public);
    for (let at = 4; at < 44; at += 1)
      for (let bit = 0; bit < 8; bit += 1) refusalOf(() => readEndorsementKey(flipped(area, at, bit)), `${at} ${bit}`);
    refuses('key_unfit', () => readEndorsementKey(bytesOf(quoteVector('ecdsa', 'sha256', 'ecc').evidence.ak_public)));
  });

  it('refuses numbers with which nothing can be encrypted, however they came here (SA-22)', () => {
    const area = bytesOf(endorsementVector('rsa').ek_public);
    const even = Buffer.from(area);
    even[even.length - 1] = (even.at(-1) ?? 0) & 0xfe;
    refuses('key_unfit', () => readEndorsementKey(even));
    const { n = '' } = readEndorsementKey(area).key.export({ format: 'jwk' });
    const keyOf = (modulus: string, exponent: string): KeyObject =>
      createPublicKey({ key: { kty: 'RSA', n: modulus, e: exponent }, format: 'jwk' });
    const evenModulus = Buffer.from(n, 'base64url');
    evenModulus[evenModulus.length - 1] = 0;
    refuses('key_unfit', () => endorsementKeyOf(keyOf(evenModulus.toString('base64url'), 'AQAB')));
    for (const exponent of ['AQ', 'Ag', 'AQAA', 'AQAAAAE', n])
      refuses('key_unfit', () => endorsementKeyOf(keyOf(n, exponent)));
    assert.ok(endorsementKeyOf(keyOf(n, 'AQAB')));
  });

  it('refuses what is cut off or too long', () => {
    const area = bytesOf(endorsementVector('rsa').ek_public);
    for (let length = 0; length < area.length; length += 1)
      refuses('malformed', () => readEndorsementKey(area.subarray(0, length)));
    refuses('malformed', () => readEndorsementKey(Buffer.concat([area, Buffer.of(0)])));
  });

  it('knows no template for keys of other kinds', () => {
    for (const key of [
      generateKeyPairSync('ed25519').publicKey,
      generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey,
      generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey,
    ])
      refuses('key_unfit', () => endorsementKeyOf(key));
  });
});
