// Signed documents: one envelope for everything that we sign, Ed25519 over the canonical form of its payload (RFC 8032, RFC 8785).
//
// The payload names its own `type`, so the type is part of what is signed: a signature over one kind of document is never
// one over another, and whoever verifies says which kind is expected. Signers outside of this process get the same bytes.
import { createHash, createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import type { JsonObject } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import { canonicalBytes } from './canonical-json.ts';

const algorithm = 'Ed25519';
const signatureBytes = 64;
const typeForm = /^[a-z0-9][a-z0-9._-]{0,99}$/;

export interface SignedEnvelope<Payload extends JsonObject = JsonObject> {
  readonly payload: Payload & { readonly type: string };
  readonly signature: {
    readonly algorithm: typeof algorithm;
    readonly key_id: string;
    /** base64url without padding. */
    readonly value: string;
  };
}

export interface SigningKey {
  readonly keyId: string;
  readonly privateKey: KeyObject;
}

/** Public keys that are trusted for what is verified, by their ids. */
export type VerificationKeys = ReadonlyMap<string, KeyObject>;

/**
 * Signs a payload as a document of this type.
 *
 * @throws TrustError `request.invalid` when the payload is not JSON or says that it is of another type
 */
export function signEnvelope<Payload extends JsonObject>(
  type: string,
  payload: Payload,
  { keyId, privateKey }: SigningKey,
): SignedEnvelope<Payload> {
  if (!typeForm.test(type) || (payload.type ?? type) !== type) {
    throw new TrustError('request.invalid', { detail: `The payload is not of the type ${type}` });
  }
  const typed = { ...payload, type };
  const value = sign(null, canonicalBytes(typed), privateKey).toString('base64url');
  return { payload: typed, signature: { algorithm, key_id: keyId, value } };
}

/**
 * Verifies that a trusted key signed this as a document of this type.
 *
 * @param envelope Untrusted; as parsed from JSON.
 * @param keys     None means refusal.
 * @returns The payload, which is exactly what was signed.
 * @throws TrustError `signature.invalid`
 */
export function verifyEnvelope(type: string, envelope: unknown, keys: VerificationKeys): JsonObject {
  if (!isObject(envelope, ['payload', 'signature'])) throw invalid('it is not an envelope');
  const { payload, signature } = envelope;
  if (!isObject(signature, ['algorithm', 'key_id', 'value'])) throw invalid('it has no signature');
  if (!isObject(payload) || payload.type !== type) throw invalid('it is of another type');
  const key = typeof signature.key_id === 'string' ? keys.get(signature.key_id) : undefined;
  if (signature.algorithm !== algorithm || key?.asymmetricKeyType !== 'ed25519')
    throw invalid('its key is not trusted');
  if (!isSignature(signature.value, payload, key)) throw invalid('its signature is not right');
  return payload as JsonObject;
}

/**
 * Reads an Ed25519 key, PKCS #8 in PEM.
 *
 * @throws TrustError `request.invalid`, which never shows the key
 */
export function readSigningKey(pem: string): SigningKey {
  const privateKey = readPrivateKey(pem);
  if (privateKey?.asymmetricKeyType !== 'ed25519') {
    throw new TrustError('request.invalid', { detail: 'The signing key is not an Ed25519 key (PKCS #8, PEM)' });
  }
  return { keyId: keyIdOf(createPublicKey(privateKey)), privateKey };
}

/** The keys that verify what these sign. */
export function verificationKeys(publicKeys: readonly KeyObject[]): VerificationKeys {
  return new Map(publicKeys.map((key) => [keyIdOf(key), key]));
}

/** The id of a public key: its thumbprint (RFC 7638), which everybody computes alike and nobody can choose. */
export function keyIdOf(publicKey: KeyObject): string {
  const { crv, kty, x } = publicKey.export({ format: 'jwk' });
  return createHash('sha256').update(canonicalBytes({ crv, kty, x })).digest('base64url');
}

function isSignature(value: unknown, payload: object, key: KeyObject): boolean {
  if (typeof value !== 'string') return false;
  const signature = Buffer.from(value, 'base64url');
  // One spelling of each signature: what differs in a byte is not the same document.
  if (signature.length !== signatureBytes || signature.toString('base64url') !== value) return false;
  try {
    return verify(null, canonicalBytes(payload), key, signature);
  } catch {
    return false;
  }
}

/** Tells whether a value is an object, with exactly these members where they are given. */
function isObject(value: unknown, members?: readonly string[]): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return members === undefined || Object.keys(value).toSorted().join() === members.toSorted().join();
}

function readPrivateKey(pem: string): KeyObject | null {
  try {
    return createPrivateKey(pem);
  } catch {
    // The cause is left out: it may quote the key.
    return null;
  }
}

function invalid(reason: string): TrustError {
  return new TrustError('signature.invalid', { detail: `The document was refused: ${reason}` });
}
