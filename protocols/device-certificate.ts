// Certificates of devices: proven against the authorities of the fleet, fit for a client, and matched with one device name.
import { TrustError } from '#contracts/problems.ts';
import { clientAuth } from './certificate-extensions.ts';
import { parseAuthorities, provePath, requireValidAt, type PathProfile } from './certificate-path.ts';
import type { Certificate } from './certificate.ts';
import { tags } from './der.ts';
import { commonName } from './distinguished-name.ts';
import { verificationOf } from './verification.ts';

const deviceProfile: PathProfile = { purpose: clientAuth, longestPath: 5 };

declare const anchorBrand: unique symbol;
declare const verifiedBrand: unique symbol;

/** A certificate of an authority that devices are trusted by. Only `parseTrustAnchors` makes one. */
export interface TrustAnchor {
  readonly [anchorBrand]: true;
  /** SHA-256 over the DER, lower-case hex: what a project's row of this anchor is found by. */
  readonly fingerprint: string;
  readonly certificate: Certificate;
}

/** A certificate whose chain to an anchor was proven. Only `verifyDeviceCertificate` makes one. */
export interface VerifiedCertificate extends Certificate {
  readonly [verifiedBrand]: true;
  /** The anchor that it was proven by, which decides the project. */
  readonly anchor: TrustAnchor;
  /** The certificates that stand for it, from the leaf to the anchor. */
  readonly path: readonly Certificate[];
}

/**
 * Reads the authorities that identify devices: PEM blocks and nothing else, at least one, each fit to issue certificates.
 *
 * @throws TrustError `trust_anchor.invalid`
 */
export function parseTrustAnchors(pem: string): TrustAnchor[] {
  return parseAuthorities(pem, deviceProfile).map(
    (certificate) => ({ fingerprint: certificate.fingerprintSha256, certificate }) as TrustAnchor,
  );
}

/** What a certificate of a device is verified from. */
export interface CertificateToVerify {
  /** Untrusted. */
  readonly leaf: Certificate;
  /** Certificates that came with it, in any order. Untrusted. */
  readonly presentedChain: readonly Certificate[];
  /** None means refusal. */
  readonly anchors: readonly TrustAnchor[];
  readonly now: Date;
}

/** The steps that prove a certificate: an authority of ours vouches for it, now, as that of a device. */
export const certificateVerification = verificationOf<CertificateToVerify>()
  .find('proven', (given) => provePath({ ...given, profile: deviceProfile }))
  .require('valid', ({ proven, now }) => requireValidAt(proven, now))
  .require('usage', ({ leaf }) => requireClientUsage(leaf));

/**
 * Proves that an authority of ours vouches for this certificate as that of a device, by the rules of `provePath`.
 *
 * @param verification Its steps; other ones in tests.
 * @throws TrustError `certificate.untrusted`, else `certificate.expired` | `certificate.not_yet_valid`, else `certificate.wrong_usage`
 */
export function verifyDeviceCertificate(
  given: CertificateToVerify,
  verification: Pick<typeof certificateVerification, 'run'> = certificateVerification,
): VerifiedCertificate {
  const { leaf, proven } = verification.run(given);
  return { ...leaf, ...proven } as VerifiedCertificate;
}

/**
 * Requires that the certificate names this device and nothing else: its subject has exactly one common name, alone in
 * its relative name, and these bytes are the device's. Alternative names, look-alike string types and case do not count.
 *
 * @throws TrustError `certificate.name_mismatch`
 */
export function matchCommonName(certificate: VerifiedCertificate, deviceId: string): void {
  const holders = certificate.parts.subjectName.filter((rdn) => rdn.some(({ type }) => type === commonName));
  const [attribute, second] = holders.flat();
  const value = attribute?.value;
  // RFC 5280 §4.1.2.4: the two string types that a name is written in.
  const plain = value?.tag === tags.utf8String || value?.tag === tags.printableString;
  const matches = plain && second === undefined && value.content.equals(Buffer.from(deviceId, 'utf8'));
  if (!matches || deviceId === '' || deviceId.includes('\0')) throw new TrustError('certificate.name_mismatch');
}

function requireClientUsage({ isCa, keyUsage, extendedKeyUsage }: Certificate): true {
  const signs = keyUsage === null || keyUsage.includes('digitalSignature');
  if (isCa || !signs || extendedKeyUsage?.includes(clientAuth) !== true)
    throw new TrustError('certificate.wrong_usage');
  return true;
}
