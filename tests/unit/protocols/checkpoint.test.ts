// Checkpoints as documents: what a known key signed as one, read exactly, and public keys under the ids that they really have.
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { describe, it } from 'node:test';
import { readPublicKeys, signCheckpoint, verifyCheckpoint, writePublicKeys } from '#protocols/checkpoint.ts';
import { readSigningKey, signEnvelope, verificationKeys } from '#protocols/signed-envelope.ts';

const newKey = () =>
  readSigningKey(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
const key = newKey();
const publicKey = createPublicKey(key.privateKey);
const keys = verificationKeys([publicKey]);
const head = { project_id: 'default', stream: 'audit', sequence: 3, hash: 'a'.repeat(64) } as const;
const checkpoint = {
  id: '00000000-0000-4000-8000-000000000001',
  at: '2026-03-01T12:00:00.000Z',
  heads: [head],
  previous: null,
};
const good = signCheckpoint(checkpoint, key);

describe('a checkpoint', () => {
  it('is read as it was signed, with the id of the key', () => {
    assert.deepEqual(verifyCheckpoint(JSON.parse(JSON.stringify(good)), keys), { ...checkpoint, key_id: key.keyId });
  });

  const refused: readonly [what: string, envelope: unknown][] = [
    ['that somebody else signed', signCheckpoint(checkpoint, newKey())],
    ['that says something else than what was signed', { ...good, payload: { ...good.payload, at: '2027-01-01' } }],
    ['without heads', signEnvelope('audit.checkpoint', { id: checkpoint.id, at: checkpoint.at, previous: null }, key)],
    [
      'with a head of no stream',
      signEnvelope('audit.checkpoint', { ...checkpoint, heads: [{ ...head, stream: 'x' }] }, key),
    ],
    [
      'with a number that is none',
      signEnvelope('audit.checkpoint', { ...checkpoint, heads: [{ ...head, sequence: 1.5 }] }, key),
    ],
    ['that is a document of another type', signEnvelope('policy.bundle', checkpoint, key)],
    ['that is nothing', null],
  ];
  for (const [what, envelope] of refused) {
    it(`is refused ${what}`, () =>
      assert.throws(() => verifyCheckpoint(envelope, keys), { code: 'signature.invalid' }));
  }
});

describe('public keys of checkpoints', () => {
  it('are read as they were written, and count under their own ids whatever they are called', () => {
    const other = createPublicKey(newKey().privateKey);
    const both = verificationKeys([publicKey, other]);
    assert.deepEqual([...readPublicKeys(writePublicKeys(both)).keys()], [...both.keys()]);
    const renamed = writePublicKeys(new Map([[key.keyId, other]]));
    assert.throws(() => verifyCheckpoint(good, readPublicKeys(renamed)), { code: 'signature.invalid' });
  });

  for (const text of ['', '{}', '[]', '{"keys": {"a": "b"}}', '{"keys": null}', '{"keys": 5}']) {
    it(`are not read from ${text === '' ? 'nothing' : text}`, () =>
      assert.throws(() => readPublicKeys(text), { code: 'data.unreadable' }));
  }
});
