// Credentials that only one TPM can open, and only for one of its keys (TPM2_MakeCredential: TPM 2.0 Part 1 §24, B.10, C.6).
//
// Whoever brings the secret back has an attestation key of this name in the TPM of this endorsement key.
import {
  constants,
  createCipheriv,
  createECDH,
  createHash,
  createHmac,
  publicEncrypt,
  type KeyObject,
} from 'node:crypto';
import type { Random } from '#contracts/deps.ts';
import { evidenceFault, refusingMalformed } from './evidence-fault.ts';
import type { TpmCurve, TpmHash } from './tpm-algorithms.ts';
import { tpmCurve, tpmHash } from './tpm-algorithms.ts';
import { createKept, keptKeys } from './kept.ts';
import { objectAttributes, readTpmPublic, type TpmPublic } from './tpm-public.ts';
import { sizedField } from './tpm-reader.ts';

/** What a credential for a TPM is made with. */
export interface EndorsementKey {
  readonly key: KeyObject;
  /** The curve; null for RSA. */
  readonly curve: TpmCurve | null;
  readonly nameHash: TpmHash;
  readonly symmetricBits: 128 | 256;
  /** SHA-256 over the SubjectPublicKeyInfo, lower-case hex: the hardware that the device is bound to. */
  readonly id: string;
}

export interface Credential {
  /** TPM2B_ID_OBJECT. */
  readonly credentialBlob: Buffer;
  /** TPM2B_ENCRYPTED_SECRET. */
  readonly encryptedSecret: Buffer;
}

/**
 * Reads the public area of an endorsement key, which has to be made from a standard template: then its TPM uses it to
 * open credentials and for nothing else.
 *
 * @param bytes TPM2B_PUBLIC, untrusted. That a manufacturer vouches for it is for `endorsement.ts` to say.
 * @throws TrustError `attestation.failed`
 * @see TCG EK Credential Profile for TPM Family 2.0, §B.3 (templates L-1, L-2) and §B.4 (H-1 … H-7)
 */
export function readEndorsementKey(bytes: Buffer): EndorsementKey {
  return knownKeys.get(bytes.toString('latin1'), () => readKey(bytes));
}

const knownKeys = createKept<EndorsementKey>(keptKeys);

function readKey(bytes: Buffer): EndorsementKey {
  return refusingMalformed('The endorsement key', () => {
    const area = readTpmPublic(bytes);
    const policy = templates[area.attributes]?.[area.nameHash.name];
    if (policy !== area.authPolicy.toString('hex') || area.scheme !== null || area.symmetricBits === null)
      throw evidenceFault('key_unfit', 'The endorsement key is not of a standard template');
    return endorsementKey(area, area.symmetricBits);
  });
}

/**
 * The endorsement key of a certificate, for a TPM that sent no public area: its template follows from the key.
 *
 * @throws TrustError `attestation.failed` for kinds of keys that have no standard template
 */
export function endorsementKeyOf(key: KeyObject): EndorsementKey {
  const kind = key.asymmetricKeyDetails?.namedCurve ?? key.asymmetricKeyDetails?.modulusLength;
  switch (kind) {
    case 2048:
      return endorsementKey({ key, nameHash: tpmHash(sha256) }, 128);
    case 3072:
    case 4096:
      return endorsementKey({ key, nameHash: tpmHash(sha384) }, 256);
    case 'prime256v1':
      return endorsementKey({ key, nameHash: tpmHash(sha256), curve: tpmCurve(0x0003) }, 128);
    case 'secp384r1':
      return endorsementKey({ key, nameHash: tpmHash(sha384), curve: tpmCurve(0x0004) }, 256);
    default:
      throw evidenceFault('key_unfit', 'The endorsement key is of a kind that has no standard template');
  }
}

/** The id of an endorsement key: SHA-256 over its SubjectPublicKeyInfo, lower-case hex. */
export function endorsementKeyId(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}

/**
 * Makes a credential for one attestation key in the TPM of an endorsement key.
 *
 * @param akName Name of the attestation key: the number of its hash, and the digest.
 * @param secret Random, 16 bytes to the digest of the endorsement key's hash (32 for the usual ones).
 * @throws RangeError when name or secret are of another length
 */
export function makeCredential({
  endorsementKey: ek,
  akName,
  secret,
  random,
}: {
  endorsementKey: EndorsementKey;
  akName: Buffer;
  secret: Uint8Array;
  random: Random;
}): Credential {
  if (secret.length < 16 || secret.length > ek.nameHash.bytes) throw new RangeError('the secret is too short or long');
  if (akName.length < 34 || akName.length > 66) throw new RangeError('not the name of a TPM object');
  const { seed, encryptedSecret } = ek.curve === null ? seedForRsa(ek, random) : seedForEcc(ek, ek.curve);
  const hash = ek.nameHash.name;
  const symmetricKey = kdfa({ hash, key: seed, label: 'STORAGE', context: akName, bits: ek.symmetricBits });
  const cipher = createCipheriv(`aes-${ek.symmetricBits}-cfb`, symmetricKey, Buffer.alloc(16));
  const encryptedIdentity = Buffer.concat([cipher.update(sizedField(Buffer.from(secret))), cipher.final()]);
  const integrityKey = kdfa({ hash, key: seed, label: 'INTEGRITY', context: noBytes, bits: ek.nameHash.bytes * 8 });
  const integrity = createHmac(hash, integrityKey).update(encryptedIdentity).update(akName).digest();
  return {
    credentialBlob: sizedField(Buffer.concat([sizedField(integrity), encryptedIdentity])),
    encryptedSecret: sizedField(encryptedSecret),
  };
}

/** The file that `tpm2_activatecredential` reads. */
export function credentialFile({ credentialBlob, encryptedSecret }: Credential): Buffer {
  return Buffer.concat([Buffer.from('badcc0de00000001', 'hex'), credentialBlob, encryptedSecret]);
}

const sha256 = 0x000b;
const sha384 = 0x000c;
const noBytes = Buffer.alloc(0);
/** Labels end with a zero byte, which counts. */
const identityLabel = Buffer.from('IDENTITY\0', 'latin1');

const { fixedTPM, fixedParent, sensitiveDataOrigin, adminWithPolicy, userWithAuth, restricted, decrypt } =
  objectAttributes;
const lowRange = fixedTPM | fixedParent | sensitiveDataOrigin | adminWithPolicy | restricted | decrypt;

/**
 * The well-known policies of the standard templates by attributes and hash, hex: PolicyA, which is PolicySecret of the
 * endorsement hierarchy, for those of the low range; PolicyB, which adds a policy in an NV index, for the high range.
 */
const templates: Readonly<Record<number, Readonly<Partial<Record<TpmHash['name'], string>>>>> = {
  [lowRange]: { sha256: '837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa' },
  [lowRange | userWithAuth]: {
    sha256: 'ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0',
    sha384: 'b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12',
  },
};

function endorsementKey(
  area: Pick<TpmPublic, 'key' | 'nameHash'> & { readonly curve?: TpmCurve },
  symmetricBits: 128 | 256,
): EndorsementKey {
  const { key, nameHash, curve = null } = area;
  if (curve === null) requireUsableModulus(key);
  return { key, nameHash, curve, symmetricBits, id: endorsementKeyId(key) };
}

/** A number that is even, or an exponent that no key has, is read as a key, and then nothing can be encrypted with it. */
function requireUsableModulus(key: KeyObject): void {
  const { publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  const isOdd = (number: bigint): boolean => (number & 1n) === 1n;
  const lastByte = Buffer.from(key.export({ format: 'jwk' }).n ?? '', 'base64url').at(-1) ?? 0;
  if (!isOdd(BigInt(lastByte)) || !isOdd(publicExponent) || publicExponent < 3n || publicExponent > 0xffff_ffffn)
    throw evidenceFault('key_unfit', 'The endorsement key is none that something can be encrypted for');
}

function seedForRsa({ key, nameHash }: EndorsementKey, random: Random): { seed: Buffer; encryptedSecret: Buffer } {
  const seed = Buffer.from(random.bytes(nameHash.bytes));
  const padding = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: nameHash.name, oaepLabel: identityLabel };
  return { seed, encryptedSecret: publicEncrypt({ key, ...padding }, seed) };
}

/** One-pass Diffie-Hellman (Part 1 §C.6.1): the secret is the point, from which the TPM derives the same seed. */
function seedForEcc({ key, nameHash }: EndorsementKey, curve: TpmCurve): { seed: Buffer; encryptedSecret: Buffer } {
  const { x = '', y = '' } = key.export({ format: 'jwk' });
  const theirs = { x: Buffer.from(x, 'base64url'), y: Buffer.from(y, 'base64url') };
  const ephemeral = createECDH(curve.name === 'P-256' ? 'prime256v1' : 'secp384r1');
  const point = ephemeral.generateKeys();
  const ours = { x: point.subarray(1, 1 + curve.bytes), y: point.subarray(1 + curve.bytes) };
  const shared = ephemeral.computeSecret(Buffer.concat([Buffer.of(0x04), theirs.x, theirs.y]));
  return {
    seed: kdfe(nameHash, [shared, identityLabel, ours.x, theirs.x]),
    encryptedSecret: Buffer.concat([sizedField(ours.x), sizedField(ours.y)]),
  };
}

interface KdfaInput {
  readonly hash: TpmHash['name'];
  readonly key: Buffer;
  readonly label: string;
  readonly context: Buffer;
  /** At most those of the hash. */
  readonly bits: number;
}

/** KDFa (Part 1 §11.4.10.2): one round of SP 800-108 in counter mode, as no key here is longer than the hash. */
function kdfa({ hash, key, label, context, bits }: KdfaInput): Buffer {
  const input = [uint32(1), Buffer.from(`${label}\0`, 'latin1'), context, uint32(bits)];
  return createHmac(hash, key)
    .update(Buffer.concat(input))
    .digest()
    .subarray(0, bits / 8);
}

/** KDFe (Part 1 §11.4.10.3), one round: Z, use with its zero byte, party U, party V. */
function kdfe({ name }: TpmHash, input: readonly Buffer[]): Buffer {
  return createHash(name)
    .update(Buffer.concat([uint32(1), ...input]))
    .digest();
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
