import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { describe, it } from 'node:test';
import { readPublicKey } from '#protocols/certificate-algorithms.ts';
import { readDer } from '#protocols/der.ts';

describe('public keys of certificates', () => {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });

  it('are read', () => {
    assert.equal(readPublicKey(readDer(spki)).strong, true);
  });

  it('are malformed when their point is not on the curve, and not an error of OpenSSL (SA-22)', () => {
    const beside = Buffer.from(spki);
    beside[beside.length - 1] = (beside.at(-1) ?? 0) ^ 1;
    assert.throws(() => readPublicKey(readDer(beside)), { name: 'Malformed' });
  });
});
