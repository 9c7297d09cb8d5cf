// Public areas of TPM 2.0 keys (TPM2B_PUBLIC, Part 2 §12.2), and the names that follow from them (Part 1 §16).
import { createPublicKey, hash, type KeyObject } from 'node:crypto';
import { createKept, keptKeys } from './kept.ts';
import { Malformed } from './malformed.ts';
import { algorithmIds, hashId, tpmCurve, tpmHash, tpmSignatureScheme } from './tpm-algorithms.ts';
import type { TpmCurve, TpmHash, TpmSignatureScheme } from './tpm-algorithms.ts';
import { readWhole, type TpmReader } from './tpm-reader.ts';

const maximumAreaBytes = 1024;
const rsaBits: ReadonlySet<number> = new Set([2048, 3072, 4096]);
const defaultExponent = 65537;

/** TPMA_OBJECT (Part 2 §8.3), as bit masks. */
export const objectAttributes = {
  fixedTPM: 1 << 1,
  stClear: 1 << 2,
  fixedParent: 1 << 4,
  sensitiveDataOrigin: 1 << 5,
  userWithAuth: 1 << 6,
  adminWithPolicy: 1 << 7,
  firmwareLimited: 1 << 8,
  svnLimited: 1 << 9,
  noDA: 1 << 10,
  encryptedDuplication: 1 << 11,
  restricted: 1 << 16,
  decrypt: 1 << 17,
  sign: 1 << 18,
  x509sign: 1 << 19,
} as const;
const knownAttributes = Object.values(objectAttributes).reduce((all, bit) => all | bit, 0);

interface TpmPublicBase {
  /** The hash of its name and of everything that is derived for it. */
  readonly nameHash: TpmHash;
  /** Bits of `objectAttributes`; no others are ever set. */
  readonly attributes: number;
  readonly authPolicy: Buffer;
  /** Key bits of AES in CFB mode, with which it protects what is below it; null for none. */
  readonly symmetricBits: 128 | 256 | null;
  /** How it signs; null for a key that leaves it open, or does not sign. */
  readonly scheme: { readonly signature: TpmSignatureScheme; readonly hash: TpmHash } | null;
  readonly key: KeyObject;
  /** The number of its hash, and the digest of its public area: the one thing that two keys never share. */
  readonly name: Buffer;
}
export interface TpmRsaPublic extends TpmPublicBase {
  readonly type: 'rsa';
  readonly bits: number;
}
export interface TpmEccPublic extends TpmPublicBase {
  readonly type: 'ecc';
  readonly curve: TpmCurve;
}
export type TpmPublic = TpmRsaPublic | TpmEccPublic;

/**
 * Reads a TPM2B_PUBLIC of an RSA key of 2048, 3072 or 4096 bits, or of a key on P-256 or P-384.
 *
 * @param bytes Untrusted; at most 1 KiB. Nothing is said about what the key may be used for.
 * @throws Malformed, or what OpenSSL throws for a key that is none, such as a point beside the curve
 */
export function readTpmPublic(bytes: Buffer): TpmPublic {
  return knownAreas.get(bytes.toString('latin1'), () => readArea(bytes));
}

/** OpenSSL takes as long to make a key as to verify a signature with it. */
const knownAreas = createKept<TpmPublic>(keptKeys);

function readArea(bytes: Buffer): TpmPublic {
  const area = readWhole(bytes, (reader) => reader.sized(maximumAreaBytes));
  return readWhole(area, (reader) => {
    const type = reader.uint16();
    const nameHash = tpmHash(reader.uint16());
    const attributes = reader.uint32();
    if ((attributes & ~knownAttributes) !== 0) throw new Malformed('reserved attributes are set');
    const authPolicy = reader.sized(nameHash.bytes);
    if (authPolicy.length !== 0 && authPolicy.length !== nameHash.bytes)
      throw new Malformed('the policy is not as long as its hash');
    const symmetricBits = readSymmetric(reader);
    const scheme = readScheme(reader);
    const name = nameOf(nameHash, area);
    const base = { nameHash, attributes, authPolicy, symmetricBits, scheme, name };
    if (type === algorithmIds.rsa) return { ...base, type: 'rsa', ...readRsa(reader) };
    if (type === algorithmIds.ecc) return { ...base, type: 'ecc', ...readEcc(reader) };
    throw new Malformed('it is neither an RSA nor an elliptic curve key');
  });
}

/** What an object is known by: the hash of its public area, and which hash that is. */
export type TpmName = Pick<TpmPublic, 'nameHash' | 'name'>;

/**
 * The name of the object of a TPM2B_PUBLIC, whatever kind of object it is.
 *
 * @throws Malformed
 */
export function readTpmName(bytes: Buffer): TpmName {
  const area = readWhole(bytes, (reader) => reader.sized(maximumAreaBytes));
  const nameHash = tpmHash(area.length < 4 ? 0 : area.readUInt16BE(2));
  return { nameHash, name: nameOf(nameHash, area) };
}

/** The qualified name of an object: it says which objects stand above it, up to the hierarchy (Part 1 §16). */
export function qualifiedName(parent: Buffer, { nameHash, name }: TpmName): Buffer {
  return nameOf(nameHash, Buffer.concat([parent, name]));
}

function nameOf(nameHash: TpmHash, bytes: Buffer): Buffer {
  return Buffer.concat([hashId(nameHash), hash(nameHash.name, bytes, 'buffer')]);
}

/** TPM_RH_ENDORSEMENT and TPM_RH_OWNER, whose names are their handles. */
export const hierarchies = {
  endorsement: Buffer.from('4000000b', 'hex'),
  owner: Buffer.from('40000001', 'hex'),
} as const;

/** TPMT_SYM_DEF_OBJECT+. */
function readSymmetric(reader: TpmReader): 128 | 256 | null {
  const algorithm = reader.uint16();
  if (algorithm === algorithmIds.null) return null;
  const bits = reader.uint16();
  const mode = reader.uint16();
  if (algorithm !== algorithmIds.aes || mode !== algorithmIds.cfb || (bits !== 128 && bits !== 256))
    throw new Malformed('its symmetric algorithm is not AES in CFB mode');
  return bits;
}

/** TPMT_RSA_SCHEME+ or TPMT_ECC_SCHEME+, of those that sign. */
function readScheme(reader: TpmReader): TpmPublicBase['scheme'] {
  const id = reader.uint16();
  if (id === algorithmIds.null) return null;
  return { signature: tpmSignatureScheme(id), hash: tpmHash(reader.uint16()) };
}

function readRsa(reader: TpmReader): Pick<TpmRsaPublic, 'bits' | 'key'> {
  const bits = reader.uint16();
  const exponent = reader.uint32() || defaultExponent;
  const modulus = reader.sized(maximumAreaBytes);
  // The first bit of the modulus, too: it must not be a shorter number in disguise.
  if (!rsaBits.has(bits) || modulus.length * 8 !== bits || (modulus[0] ?? 0) < 0x80)
    throw new Malformed('its RSA key is too weak, or not of the length that it says');
  if (exponent < defaultExponent || exponent % 2 === 0) throw new Malformed('its RSA exponent is too small, or even');
  const e = exponent.toString(16).padStart(6, '0');
  const jwk = {
    kty: 'RSA',
    n: modulus.toString('base64url'),
    e: Buffer.from(e.length % 2 === 0 ? e : `0${e}`, 'hex').toString('base64url'),
  };
  return { bits, key: createPublicKey({ key: jwk, format: 'jwk' }) };
}

function readEcc(reader: TpmReader): Pick<TpmEccPublic, 'curve' | 'key'> {
  const curve = tpmCurve(reader.uint16());
  if (reader.uint16() !== algorithmIds.null) throw new Malformed('its key derivation is not used here');
  const [x, y] = [padded(reader.sized(curve.bytes), curve.bytes), padded(reader.sized(curve.bytes), curve.bytes)];
  const jwk = { kty: 'EC', crv: curve.name, x: x.toString('base64url'), y: y.toString('base64url') };
  return { curve, key: createPublicKey({ key: jwk, format: 'jwk' }) };
}

/** A number with zeros in front: TPMs leave them out or not, as they like. @throws Malformed when it is longer, or nothing */
export function padded(number: Buffer, bytes: number): Buffer {
  if (number.length === 0 || number.length > bytes) throw new Malformed('a number is empty or too long');
  return Buffer.concat([Buffer.alloc(bytes - number.length), number]);
}
