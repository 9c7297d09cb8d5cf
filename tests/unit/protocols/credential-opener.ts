// Opens a credential as a TPM would, with an endorsement key whose private half is known.
import assert from 'node:assert/strict';
import {
  constants,
  createDecipheriv,
  createECDH,
  createHash,
  createHmac,
  privateDecrypt,
  type KeyObject,
} from 'node:crypto';
import type { Credential, EndorsementKey } from '#protocols/tpm-credential.ts';
import { readWhole } from '#protocols/tpm-reader.ts';
import { bytesOf } from './tpm-vectors.ts';

const secretBytes = 32;

/** TPM2_ActivateCredential (Part 1 §24.4), for an endorsement key whose private half is known. */
export function openCredential({
  ek,
  privateKey,
  akName,
  credential: { credentialBlob, encryptedSecret },
}: {
  ek: EndorsementKey;
  privateKey: KeyObject;
  akName: Buffer;
  credential: Credential;
}): Buffer {
  const hash = ek.nameHash.name;
  const encrypted = readWhole(encryptedSecret, (reader) => reader.sized(1024));
  const seed = ek.curve === null ? openRsa(privateKey, encrypted, hash) : agree(ek, privateKey, encrypted);
  const [integrity, identity] = readWhole(credentialBlob, (reader) =>
    readWhole(reader.sized(1024), (object) => [object.sized(64), object.bytes(2 + secretBytes)] as const),
  );
  const derive = (label: string, context: Buffer, bits: number): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bits);
    const input = Buffer.concat([Buffer.from('00000001', 'hex'), Buffer.from(`${label}\0`), context, length]);
    return createHmac(hash, seed)
      .update(input)
      .digest()
      .subarray(0, bits / 8);
  };
  const hmacKey = derive('INTEGRITY', Buffer.alloc(0), ek.nameHash.bytes * 8);
  assert.deepEqual(integrity, createHmac(hash, hmacKey).update(identity).update(akName).digest());
  const key = derive('STORAGE', akName, ek.symmetricBits);
  const decipher = createDecipheriv(`aes-${ek.symmetricBits}-cfb`, key, Buffer.alloc(16));
  return readWhole(Buffer.concat([decipher.update(identity), decipher.final()]), (reader) => reader.sized(64));
}

function openRsa(key: KeyObject, encrypted: Buffer, oaepHash: string): Buffer {
  return privateDecrypt(
    { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash, oaepLabel: Buffer.from('IDENTITY\0') },
    encrypted,
  );
}

function agree(ek: EndorsementKey, privateKey: KeyObject, point: Buffer): Buffer {
  const [x, y] = readWhole(point, (reader) => [reader.sized(48), reader.sized(48)] as const);
  const { d = '', x: own = '' } = privateKey.export({ format: 'jwk' });
  const ecdh = createECDH(ek.curve?.name === 'P-256' ? 'prime256v1' : 'secp384r1');
  ecdh.setPrivateKey(bytesOf(d));
  const z = ecdh.computeSecret(Buffer.concat([Buffer.of(4), x, y]));
  const input = [Buffer.from('00000001', 'hex'), z, Buffer.from('IDENTITY\0'), x, bytesOf(own)];
  return createHash(ek.nameHash.name).update(Buffer.concat(input)).digest();
}
