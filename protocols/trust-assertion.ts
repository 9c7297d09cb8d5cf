// Trust assertions: short JWTs (RFC 7519) in which we say how far a device is trusted at this moment, for one audience.
// Signed with Ed25519 (RFC 8037) and verified by whoever has our public keys (RFC 7517).
import { createPublicKey, type KeyObject } from 'node:crypto';
import { jwtVerify, SignJWT } from 'jose';
import { isDeviceId, isProjectId, isUuid } from '#contracts/ids.ts';
import { TrustError } from '#contracts/problems.ts';
import { deviceApprovalStates, trustTiers, type DeviceApprovalState, type TrustTier } from '#contracts/states.ts';
import { keyIdOf, readSigningKey, type SigningKey, type VerificationKeys } from './signed-envelope.ts';

const algorithm = 'EdDSA';
/** No other JWT of ours or of anybody else has this type, so that none passes for another (RFC 8725 §3.11). */
const type = 'trust-assertion+jwt';
const maximumLength = 4096;
/** Clocks differ by this at most; an assertion is taken so much before it begins and after it ends. */
export const leewaySeconds = 30;
/** What lives longer was not made by us. */
const longestLifetimeSeconds = 300;
const signatureBytes = 64;
const headerNames = 'alg,kid,typ';

/** What is said of a device. */
export interface TrustClaims {
  readonly project: string;
  readonly device_id: string;
  /** Effective, as of `iat`. */
  readonly trust_tier: TrustTier;
  readonly approval_state: DeviceApprovalState;
  readonly retired: boolean;
  /** Of the pinned certificate, lower-case hex; null when none is pinned. */
  readonly certificate_fingerprint_sha256: string | null;
}

export interface TrustAssertionTerms {
  readonly issuer: string;
  readonly audience: string;
  /** `jti`, a UUID. */
  readonly id: string;
  readonly issuedAt: Date;
  readonly lifetimeSeconds: number;
}

export interface VerifiedTrustAssertion extends TrustClaims {
  readonly id: string;
  readonly keyId: string;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
}

export interface AssertionKey {
  /** RFC 7638. */
  readonly keyId: string;
  readonly publicKey: KeyObject;
  /** Absent of a key that only verifies. */
  readonly signing: SigningKey | null;
}

/** A public key as it is published (RFC 7517, RFC 8037). */
export interface PublicJwk {
  readonly kty: 'OKP';
  readonly crv: 'Ed25519';
  readonly x: string;
  readonly kid: string;
  readonly alg: typeof algorithm;
  readonly use: 'sig';
}

/** When an assertion that is made now ends: in whole seconds, as in the assertion itself. */
export function expiryOf({
  issuedAt,
  lifetimeSeconds,
}: Pick<TrustAssertionTerms, 'issuedAt' | 'lifetimeSeconds'>): Date {
  return new Date((Math.floor(issuedAt.getTime() / 1000) + lifetimeSeconds) * 1000);
}

/**
 * Makes an assertion, valid from its second on.
 *
 * @param terms `issuer` and `audience` as verifiers expect them, byte for byte; lifetime of 1 to 300 seconds
 * @throws TrustError `request.invalid` when it would live longer
 */
export async function signTrustAssertion(
  { project, device_id, ...claims }: TrustClaims,
  terms: TrustAssertionTerms,
  { keyId, privateKey }: SigningKey,
): Promise<string> {
  const { issuer, audience, id, issuedAt, lifetimeSeconds } = terms;
  if (!(lifetimeSeconds > 0 && lifetimeSeconds <= longestLifetimeSeconds)) {
    throw new TrustError('request.invalid', { detail: `A trust assertion lives ${longestLifetimeSeconds} s at most` });
  }
  return new SignJWT({ project, device_id, ...claims })
    .setProtectedHeader({ alg: algorithm, typ: type, kid: keyId })
    .setIssuer(issuer)
    .setAudience(audience)
    .setSubject(subjectOf({ project, device_id }))
    .setJti(id)
    .setIssuedAt(issuedAt)
    .setNotBefore(issuedAt)
    .setExpirationTime(expiryOf(terms))
    .sign(privateKey);
}

/**
 * Verifies an assertion: one of our keys signed it for this audience, and it holds now. Where the header says to find a key
 * (`jku`, `jwk`, `x5u`, `x5c`) is a reason to refuse, and nothing is fetched. Whether it was seen before is for its `jti`.
 *
 * @param assertion Untrusted.
 * @param expected  `keys` are all that is trusted; none means refusal.
 * @throws TrustError `signature.invalid`, whatever is wrong with it
 * @see RFC 8725
 */
export async function verifyTrustAssertion(
  assertion: string,
  expected: { readonly issuer: string; readonly audience: string; readonly keys: VerificationKeys; readonly now: Date },
): Promise<VerifiedTrustAssertion> {
  const { issuer, audience, keys, now } = expected;
  try {
    requireForm(assertion);
    const { payload, protectedHeader } = await jwtVerify(assertion, (header) => keyOf(header, keys), {
      algorithms: [algorithm],
      typ: type,
      issuer,
      audience,
      clockTolerance: leewaySeconds,
      requiredClaims: ['iss', 'aud', 'sub', 'iat', 'nbf', 'exp', 'jti'],
      currentDate: now,
    });
    const { iat = NaN, nbf = NaN, exp = NaN, jti } = payload;
    // The library takes a list that has the audience, and any time of issue.
    if (payload.aud !== audience) throw new TypeError('it is for several audiences');
    if (payload['azp'] !== undefined) throw new TypeError('it is for another party');
    if (!(iat * 1000 <= now.getTime() + leewaySeconds * 1000)) throw new TypeError('it is from the future');
    if (!(exp > iat && nbf >= iat && exp - iat <= longestLifetimeSeconds)) throw new TypeError('it lives too long');
    if (typeof jti !== 'string' || !isUuid(jti)) throw new TypeError('it has no id');
    const claims = claimsOf(payload);
    if (payload.sub !== subjectOf(claims)) throw new TypeError('its subject is another device');
    const times = { issuedAt: new Date(iat * 1000), expiresAt: new Date(exp * 1000) };
    return { ...claims, ...times, id: jti, keyId: protectedHeader.kid ?? '' };
  } catch (cause) {
    throw new TrustError('signature.invalid', { detail: 'The trust assertion was refused', cause });
  }
}

/**
 * Reads a key that signs assertions (PKCS #8, PEM) or one that only verifies them (SPKI, PEM), both Ed25519.
 *
 * @throws TrustError `request.invalid`, which never shows the key
 */
export function readAssertionKey(pem: string): AssertionKey {
  if (!pem.includes('-----BEGIN PUBLIC KEY-----')) {
    const signing = readSigningKey(pem);
    return { keyId: signing.keyId, publicKey: createPublicKey(signing.privateKey), signing };
  }
  const publicKey = publicKeyOf(pem);
  if (publicKey?.asymmetricKeyType !== 'ed25519') {
    throw new TrustError('request.invalid', { detail: 'The public key is not an Ed25519 key (SPKI, PEM)' });
  }
  return { keyId: keyIdOf(publicKey), publicKey, signing: null };
}

/** The JWK of a public key. What is private of it is left out by naming every member. */
export function presentJwk(publicKey: KeyObject): PublicJwk {
  const { x = '' } = publicKey.export({ format: 'jwk' });
  return { kty: 'OKP', crv: 'Ed25519', x, kid: keyIdOf(publicKey), alg: algorithm, use: 'sig' };
}

/** Neither part may hold the separator, so that this names one device of one project. */
function subjectOf({ project, device_id }: Pick<TrustClaims, 'project' | 'device_id'>): string {
  return `${project}/${device_id}`;
}

/** Three parts, and one spelling of the signature: what differs in a byte is not the same assertion. */
function requireForm(assertion: string): void {
  if (assertion.length > maximumLength) throw new TypeError('it is too long');
  const [, signature = ''] = /^[\w-]+\.[\w-]+\.([\w-]+)$/.exec(assertion) ?? [];
  const bytes = Buffer.from(signature, 'base64url');
  if (bytes.length !== signatureBytes || bytes.toString('base64url') !== signature) throw new TypeError('it is no JWS');
}

function keyOf(header: object, keys: VerificationKeys): KeyObject {
  const names = Object.keys(header).toSorted().join();
  if (names !== headerNames) throw new TypeError('its header says more, or less, than ours');
  const { kid } = header as { kid: unknown };
  const key = typeof kid === 'string' ? keys.get(kid) : undefined;
  if (key?.asymmetricKeyType !== 'ed25519') throw new TypeError('its key is not trusted');
  return key;
}

function claimsOf(payload: Readonly<Record<string, unknown>>): TrustClaims {
  const { project, device_id, trust_tier, approval_state, retired, certificate_fingerprint_sha256 } = payload;
  const tier = trustTiers.find((name) => name === trust_tier);
  const state = deviceApprovalStates.find((name) => name === approval_state);
  const fingerprint = certificate_fingerprint_sha256;
  const isFingerprint = typeof fingerprint === 'string' && /^[0-9a-f]{64}$/.test(fingerprint);
  if (!isProjectId(project) || !isDeviceId(device_id)) throw new TypeError('it names no device');
  if (tier === undefined || state === undefined || typeof retired !== 'boolean')
    throw new TypeError('a claim is wrong');
  if (fingerprint !== null && !isFingerprint) throw new TypeError('its fingerprint is none');
  return {
    project,
    device_id,
    trust_tier: tier,
    approval_state: state,
    retired,
    certificate_fingerprint_sha256: isFingerprint ? fingerprint : null,
  };
}

function publicKeyOf(pem: string): KeyObject | null {
  try {
    return createPublicKey(pem);
  } catch {
    return null;
  }
}
