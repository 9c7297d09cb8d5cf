// Evidence of the provider signed_measurement_v1: register values signed by a key of the agent, Ed25519 (RFC 8032) over RFC 8785.
//
// It proves that somebody with this key said so now. That the key is the device's, and that the values are good, is for
// the caller to ask: `keyFingerprint` against the bound one, `pcrs` against the baselines.
import { createPublicKey, hash, sign, verify, type KeyObject } from 'node:crypto';
import type { Instant } from '#contracts/deps.ts';
import { readBase64url } from './base64url.ts';
import { canonicalBytes } from './canonical-json.ts';
import { evidenceFault, evidenceRefusal, membersOf } from './evidence-fault.ts';
import { createKept, keptKeys } from './kept.ts';
import { Malformed } from './malformed.ts';
import { readPcrValues, requireSelection, type PcrSelection, type PcrValues } from './pcr.ts';
import { readPem, writePem } from './pem.ts';
import { verificationOf, type Verification } from './verification.ts';

export const signedMeasurement = 'signed_measurement_v1';

const signatureBytes = 64;
/** SubjectPublicKeyInfo of an Ed25519 key (RFC 8410 §4) has one form: this, and the 32 bytes of the key. */
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex');
const spkiBytes = spkiPrefix.length + 32;
/** RFC 3339 in UTC, to the nanosecond at most. */
const timeForm = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?Z$/;

/** What goes over the wire. */
export interface SignedMeasurementEvidence {
  readonly provider: typeof signedMeasurement;
  readonly measurement: {
    readonly device_id: string;
    /** base64url without padding, as the challenge had it. */
    readonly nonce: string;
    readonly measured_at: Instant;
    readonly pcrs: PcrValues;
  };
  /** SubjectPublicKeyInfo, PEM. */
  readonly public_key: string;
  /** base64url without padding. */
  readonly signature: string;
}

/** What the device was asked, as it was kept when it was asked. */
export interface MeasurementChallenge {
  /** base64url without padding. */
  readonly nonce: string;
  readonly selection: PcrSelection;
}

export interface FreshnessLimits {
  readonly maximumAgeSeconds: number;
  /** How far the clock of a device may be off, in either direction. */
  readonly maximumClockSkewSeconds: number;
}

declare const verifiedBrand: unique symbol;

/** A measurement whose signature, nonce, device and time were proven. Only `verifySignedMeasurement` makes one. */
export interface VerifiedMeasurement {
  readonly [verifiedBrand]: true;
  readonly measuredAt: Instant;
  readonly pcrs: PcrValues;
  /** SHA-256 over the SubjectPublicKeyInfo, lower-case hex: the key that the device has to keep. */
  readonly keyFingerprint: string;
}

/** What a measurement is verified from. */
export interface MeasurementToVerify {
  /** Untrusted, as parsed from JSON. */
  readonly evidence: unknown;
  readonly deviceId: string;
  readonly challenge: MeasurementChallenge;
  readonly limits: FreshnessLimits;
  readonly now: Date;
}

/** The steps that prove a measurement: this key signed it, for this device and challenge, now. */
export function measurementSteps<Given extends object, Known extends Given & MeasurementToVerify>(
  before: Verification<Given, Known>,
) {
  return before
    .reading('The signed measurement')
    .find('fields', ({ evidence }) => readFields(evidence))
    .find('measurement', ({ fields }) => membersOf(fields.measurement, ['device_id', 'nonce', 'measured_at', 'pcrs']))
    .find('key', ({ fields: { public_key } }) => {
      if (typeof public_key !== 'string') throw new Malformed('the public key is not PEM');
      return knownKeys.get(public_key, () => readPublicKey(public_key));
    })
    .require('signed', ({ fields, measurement, key }) => {
      if (isSignature(readBase64url(fields.signature, signatureBytes), measurement, key.key) !== true)
        throw evidenceFault('signature_invalid', 'The signature is not that of this key over this measurement');
      return true;
    })
    .require('device', ({ measurement, deviceId }) => {
      if (measurement.device_id !== deviceId)
        throw evidenceFault('other_device', 'The measurement is of another device');
      return true;
    })
    .require('nonce', ({ measurement, challenge }) => {
      if (measurement.nonce !== challenge.nonce)
        throw evidenceRefusal(
          'attestation.nonce_unknown',
          'other_challenge',
          'The measurement answers another challenge',
        );
      return true;
    })
    .find('measuredAt', ({ measurement }) => readTime(measurement.measured_at))
    .require('fresh', ({ measuredAt, limits, now }) => requireFresh(measuredAt, limits, now))
    .find('pcrs', ({ measurement, challenge }) => readPcrValues(measurement.pcrs, challenge.selection))
    .reading(null);
}

const measurementVerification = measurementSteps(verificationOf<MeasurementToVerify>());

/**
 * Verifies that the evidence answers this challenge, for this device, now.
 *
 * @throws TrustError `attestation.failed`, `attestation.nonce_unknown` for another nonce, `attestation.stale` for a
 *   measurement that is too old
 * @throws RangeError when the challenge asks for nothing
 * @see RFC 8032 §5.1.7, RFC 8785, RFC 8410 §4
 */
export function verifySignedMeasurement(given: MeasurementToVerify): VerifiedMeasurement {
  requireSelection(given.challenge.selection);
  const { measuredAt, pcrs, key } = measurementVerification.run(given);
  return { measuredAt: measuredAt.toISOString(), pcrs, keyFingerprint: key.fingerprint } as VerifiedMeasurement;
}

function readFields(evidence: unknown): Readonly<Record<string, unknown>> {
  const fields = membersOf(evidence, ['provider', 'measurement', 'public_key', 'signature']);
  if (fields.provider !== signedMeasurement) throw new Malformed('it is of another provider');
  return fields;
}

/**
 * Makes the evidence, on the device.
 *
 * @param privateKey Ed25519.
 * @param publicKey  Of the private key; derived once by the caller, as every heartbeat needs it.
 * @throws RangeError when the key is of another kind; TrustError `request.invalid` when something is not JSON
 */
export function makeSignedMeasurement({
  deviceId,
  nonce,
  measuredAt,
  pcrs,
  privateKey,
}: {
  deviceId: string;
  nonce: string;
  measuredAt: Date;
  pcrs: PcrValues;
  privateKey: KeyObject;
}): SignedMeasurementEvidence {
  if (privateKey.asymmetricKeyType !== 'ed25519') throw new RangeError('the attestation key is not an Ed25519 key');
  const measurement = { device_id: deviceId, nonce, measured_at: measuredAt.toISOString(), pcrs };
  const spki = createPublicKey(privateKey.export({ type: 'pkcs8', format: 'pem' })).export({
    type: 'spki',
    format: 'der',
  });
  return {
    provider: signedMeasurement,
    measurement,
    public_key: writePem(spki, 'PUBLIC KEY'),
    signature: sign(null, canonicalBytes(measurement), privateKey).toString('base64url'),
  };
}

interface MeasurementKey {
  readonly key: KeyObject;
  readonly fingerprint: string;
}

const knownKeys = createKept<MeasurementKey>(keptKeys);

function readPublicKey(pem: string): MeasurementKey {
  const [spki] = readPem(pem, 'PUBLIC KEY', { blocks: 1, bytes: spkiBytes });
  if (spki?.length !== spkiBytes || !spki.subarray(0, spkiPrefix.length).equals(spkiPrefix))
    throw evidenceFault('key_unfit', 'The public key is not an Ed25519 key');
  const point = Buffer.from(spki.subarray(spkiPrefix.length));
  point[31] = (point[31] ?? 0) & 0x7f;
  if (smallOrderPoints.has(point.toString('hex')))
    throw evidenceFault('key_unfit', 'The public key is one that anybody can sign for');
  // As a JWK, since OpenSSL takes longer to decode a SubjectPublicKeyInfo than all else here.
  const x = spki.toString('base64url', spkiPrefix.length);
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  return { key, fingerprint: hash('sha256', spki) };
}

/** Points whose multiples are a handful (RFC 7748 §7), without the sign, in each spelling: signatures for them take no secret. */
const smallOrderPoints: ReadonlySet<string> = new Set([
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  `ec${'ff'.repeat(30)}7f`,
  `ed${'ff'.repeat(30)}7f`,
  `ee${'ff'.repeat(30)}7f`,
]);

function isSignature(signature: Buffer, measurement: unknown, key: KeyObject): boolean {
  if (signature.length !== signatureBytes) return false;
  try {
    return verify(null, canonicalBytes(measurement), key, signature);
  } catch {
    // Not JSON, or not a point of the curve.
    return false;
  }
}

function readTime(text: unknown): Date {
  const [, seconds = '', fraction = ''] = (typeof text === 'string' ? timeForm.exec(text) : null) ?? [];
  const instant = `${seconds}.${fraction.slice(1, 4).padEnd(3, '0')}Z`;
  const time = new Date(instant);
  // Only a time that exists comes back as it was written.
  if (Number.isNaN(time.getTime()) || time.toISOString() !== instant)
    throw new Malformed('measured_at is not a time in UTC');
  return time;
}

function requireFresh(measuredAt: Date, limits: FreshnessLimits, now: Date): true {
  const ageMs = now.getTime() - measuredAt.getTime();
  const skewMs = limits.maximumClockSkewSeconds * 1000;
  // Written so that a limit or a clock that is no number lets nothing through.
  if (!(ageMs <= limits.maximumAgeSeconds * 1000 + skewMs)) {
    throw evidenceRefusal('attestation.stale', 'too_old', 'The measurement was taken too long ago', {
      facts: { measured_at: measuredAt.toISOString(), maximum_age_seconds: limits.maximumAgeSeconds },
    });
  }
  if (!(ageMs >= -skewMs)) {
    throw evidenceFault('clock_ahead', 'The measurement was taken in the future; check the clock of the device', {
      facts: { measured_at: measuredAt.toISOString(), maximum_clock_skew_seconds: limits.maximumClockSkewSeconds },
    });
  }
  return true;
}
