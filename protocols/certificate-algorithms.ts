// The keys and signatures that are good enough to rest a decision on: one table, and everything that is not in it is refused.
import { createPublicKey, verify, type KeyObject } from 'node:crypto';
import { fieldsOf, readOid, tags, type DerElement } from './der.ts';
import { Malformed } from './malformed.ts';

export interface SignatureAlgorithm {
  readonly keyType: 'rsa' | 'ec' | 'ed25519' | 'ed448';
  /** `null` where the algorithm hashes by itself. */
  readonly digest: 'sha256' | 'sha384' | 'sha512' | null;
}

/** Signature algorithms of RFC 5480, 8410 and 4055, without SHA-1, MD5, DSA and RSASSA-PSS, whose parameters may hide a weak hash. */
const signatureAlgorithms: Readonly<Record<string, SignatureAlgorithm>> = {
  '1.2.840.113549.1.1.11': { keyType: 'rsa', digest: 'sha256' },
  '1.2.840.113549.1.1.12': { keyType: 'rsa', digest: 'sha384' },
  '1.2.840.113549.1.1.13': { keyType: 'rsa', digest: 'sha512' },
  '1.2.840.10045.4.3.2': { keyType: 'ec', digest: 'sha256' },
  '1.2.840.10045.4.3.3': { keyType: 'ec', digest: 'sha384' },
  '1.2.840.10045.4.3.4': { keyType: 'ec', digest: 'sha512' },
  '1.3.101.112': { keyType: 'ed25519', digest: null },
  '1.3.101.113': { keyType: 'ed448', digest: null },
};

const ecPublicKey = '1.2.840.10045.2.1';
const curves: ReadonlySet<string> = new Set(['prime256v1', 'secp384r1', 'secp521r1']);
const smallestModulusBits = 2048;
/** Verifying with a larger key costs more than a hostile certificate may make us spend. */
const largestModulusBits = 8192;
const smallestPublicExponent = 65537n;

/** A public key as it was found; `strong` says whether anything may be decided by it. */
export interface PublicKey {
  readonly key: KeyObject;
  readonly strong: boolean;
}

/**
 * Reads a SubjectPublicKeyInfo.
 *
 * @throws Malformed
 */
export function readPublicKey(spki: DerElement): PublicKey {
  const fields = fieldsOf(spki, tags.sequence);
  const algorithm = fieldsOf(fields.take(tags.sequence), tags.sequence);
  // A curve given by its parameters instead of its name can be made to look like a good one (CVE-2020-0601).
  const namesItsCurve =
    readOid(algorithm.take(tags.objectIdentifier)) !== ecPublicKey ||
    algorithm.takeIf(tags.objectIdentifier) !== undefined;
  fields.take(tags.bitString);
  fields.end();
  const key = openKey(spki.raw);
  return { key, strong: namesItsCurve && isStrong(key) };
}

/** A point that is not on its curve is well-formed DER: OpenSSL is the first to notice. */
function openKey(spki: Buffer): KeyObject {
  try {
    return createPublicKey({ key: spki, format: 'der', type: 'spki' });
  } catch (cause) {
    throw new Malformed('its public key is none', { cause });
  }
}

function isStrong({ asymmetricKeyType: type, asymmetricKeyDetails: details = {} }: KeyObject): boolean {
  switch (type) {
    case 'ed25519':
    case 'ed448':
      return true;
    case 'ec':
      return curves.has(details.namedCurve ?? '');
    case 'rsa': {
      const { modulusLength = 0, publicExponent = 0n } = details;
      const sized = modulusLength >= smallestModulusBits && modulusLength <= largestModulusBits;
      return sized && publicExponent >= smallestPublicExponent;
    }
    default:
      return false;
  }
}

/** Reads an AlgorithmIdentifier; `null` when it is not of the table. @throws Malformed */
export function readSignatureAlgorithm(element: DerElement): SignatureAlgorithm | null {
  const fields = fieldsOf(element, tags.sequence);
  const algorithm = signatureAlgorithms[readOid(fields.take(tags.objectIdentifier))];
  if (algorithm === undefined) return null;
  // RFC 4055 §5: the parameters of RSA are NULL, though some leave them out. ECDSA has none (RFC 5758 §3.2), though a root of
  // Intel says NULL; EdDSA has none either (RFC 8410 §3), and nobody who says so.
  if (algorithm.digest !== null && (fields.takeIf(tags.null)?.content.length ?? 0) > 0)
    throw new Malformed('not a NULL');
  fields.end();
  return algorithm;
}

/** Tells whether the signature is that of this key over these bytes, by an algorithm that fits the key. */
export function isSignedBy(
  signed: { bytes: Buffer; algorithm: SignatureAlgorithm | null; signature: Buffer },
  { key, strong }: PublicKey,
): boolean {
  if (signed.algorithm === null || !strong || signed.algorithm.keyType !== key.asymmetricKeyType) return false;
  try {
    return verify(signed.algorithm.digest, signed.bytes, key, signed.signature);
  } catch {
    // OpenSSL throws for some signatures that are not even well formed.
    return false;
  }
}
