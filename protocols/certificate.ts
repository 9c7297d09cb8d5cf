// X.509 certificates of devices (RFC 5280): read strictly, proven against trust anchors, and matched with one device name.
import { createHash, type KeyObject } from 'node:crypto';
import type { Instant } from '#contracts/deps.ts';
import { TrustError, type ProblemCode } from '#contracts/problems.ts';
import { isSignedBy, readPublicKey, readSignatureAlgorithm } from './certificate-algorithms.ts';
import type { PublicKey, SignatureAlgorithm } from './certificate-algorithms.ts';
import { anyExtendedKeyUsage, clientAuth, readExtensions } from './certificate-extensions.ts';
import type { CertificateExtensions, KeyUsage } from './certificate-extensions.ts';
import { explicitTag, fieldsOf, readBytes, readDer, readInteger, readTime, tags, type DerElement } from './der.ts';
import { attributeText, commonName, readName, writeName, type DistinguishedName } from './distinguished-name.ts';
import { Malformed } from './malformed.ts';
import { readPem } from './pem.ts';

const maximumCertificateBytes = 16 * 1024;
const maximumAnchors = 256;
/** All that a path can use; every one more multiplies what a hostile chain costs. */
const maximumPresented = 4;
/** Certificates of one path, leaf and anchor included. */
const maximumPathCertificates = 5;

/** What a certificate says. Nothing of it has been proven: only `VerifiedCertificate` says who somebody is. */
export interface Certificate {
  /** SHA-256 over the DER, lower-case hex, computed here. */
  readonly fingerprintSha256: string;
  /** Lower-case hex without leading zeros, `0` for zero; compare with `sameSerial`. */
  readonly serialNumber: string;
  /** RFC 4514. */
  readonly issuer: string;
  /** RFC 4514. */
  readonly subject: string;
  /** Every common name of the subject that is text, for display; `matchCommonName` looks at the bytes. */
  readonly commonNames: readonly string[];
  readonly notBefore: Instant;
  readonly notAfter: Instant;
  readonly isCa: boolean;
  readonly keyUsage: readonly KeyUsage[] | null;
  readonly extendedKeyUsage: readonly string[] | null;
  readonly publicKey: KeyObject;
  /** The DER. */
  readonly raw: Buffer;
  /** What verification rests on; of no use to anybody else. */
  readonly parts: CertificateParts;
}

interface CertificateParts {
  readonly signed: { bytes: Buffer; algorithm: SignatureAlgorithm | null; signature: Buffer };
  /** INTEGER. */
  readonly serial: DerElement;
  readonly issuer: DerElement;
  readonly subject: DerElement;
  readonly issuerName: DistinguishedName;
  readonly subjectName: DistinguishedName;
  /** SubjectPublicKeyInfo. */
  readonly spki: DerElement;
  readonly publicKey: PublicKey;
  readonly extensions: CertificateExtensions;
}

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
 * Reads one certificate, DER as a buffer or PEM as a string, at most 16 KiB, to the last byte.
 *
 * @param input Untrusted.
 * @throws TrustError `certificate.untrusted`
 * @see RFC 5280 §4.1, RFC 7468
 */
export function parseCertificate(input: Buffer | string): Certificate {
  return refusingMalformed('certificate.untrusted', 'The certificate cannot be read', () => {
    if (typeof input !== 'string') return readCertificate(input);
    const [der] = readPem(input, 'CERTIFICATE', { blocks: 1, bytes: maximumCertificateBytes });
    if (der === undefined) throw new Malformed('there is none');
    return readCertificate(der);
  });
}

/**
 * Reads the authorities that identify devices: PEM blocks and nothing else, at least one, each fit to issue certificates.
 *
 * @throws TrustError `trust_anchor.invalid`
 */
export function parseTrustAnchors(pem: string): TrustAnchor[] {
  const anchors = refusingMalformed('trust_anchor.invalid', 'The trust anchors cannot be read', () =>
    readPem(pem, 'CERTIFICATE', { blocks: maximumAnchors, bytes: maximumCertificateBytes }).map(readCertificate),
  );
  if (anchors.length === 0) throw new TrustError('trust_anchor.invalid', { detail: 'There is no trust anchor' });
  for (const { subject, parts, keyUsage } of anchors) {
    // Older root certificates have no key usage at all; one that has it must allow what it is here for.
    const fit = mayIssueDevices(parts) && (keyUsage === null || keyUsage.includes('keyCertSign'));
    if (!fit) {
      throw new TrustError('trust_anchor.invalid', {
        detail: `${subject} is not an authority, or its key is too weak`,
      });
    }
  }
  return anchors.map((certificate) => ({ fingerprint: certificate.fingerprintSha256, certificate }) as TrustAnchor);
}

/**
 * Proves that an authority of ours vouches for this certificate as that of a device.
 *
 * Stricter than RFC 5280 §6.1 where that keeps it small: names are compared by their bytes, every authority below the
 * anchor counts for the path length, extensions that are not processed here refuse the path, and nothing weak is let
 * through anywhere in it. When several anchors would do, the first one given wins. Revocation is not looked at.
 *
 * @param leaf           Untrusted.
 * @param presentedChain Certificates that came with it, in any order. Untrusted.
 * @param anchors        None means refusal.
 * @throws TrustError `certificate.untrusted`, else `certificate.expired` | `certificate.not_yet_valid`, else `certificate.wrong_usage`
 */
export function verifyDeviceCertificate({
  leaf,
  presentedChain,
  anchors,
  now,
}: {
  leaf: Certificate;
  presentedChain: readonly Certificate[];
  anchors: readonly TrustAnchor[];
  now: Date;
}): VerifiedCertificate {
  if (presentedChain.length > maximumPresented) throw untrusted('Too many certificates were presented');
  if (leaf.parts.extensions.unprocessed.length > 0)
    throw untrusted('The certificate has an extension that is not processed here');
  if (!leaf.parts.publicKey.strong) throw untrusted('The key of the certificate is too weak');
  const intermediates = presentedChain.filter(
    ({ parts, keyUsage }) => mayIssueDevices(parts) && keyUsage?.includes('keyCertSign') === true,
  );
  const paths = [...pathsFrom([leaf], intermediates, anchors)];
  const [first] = paths;
  if (first === undefined) throw untrusted();
  const { path, anchor } = paths.find((found) => timeProblem(found.path, now) === null) ?? first;
  requireValidAt({ path }, now);
  requireClientUsage(leaf);
  return { ...leaf, anchor, path } as VerifiedCertificate;
}

/**
 * Time passes on a connection that stays open: what was proven when it began has to be asked again for each request.
 *
 * @throws TrustError `certificate.expired` | `certificate.not_yet_valid`, of the certificate or of one that it rests on
 */
export function requireValidAt({ path }: { path: readonly Certificate[] }, now: Date): void {
  const problem = timeProblem(path, now);
  if (problem !== null) throw new TrustError(problem);
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

/** Compares serial numbers, hex in any spelling, as the numbers that they are. */
export function sameSerial(a: string, b: string): boolean {
  const hex = /^[0-9a-f]{1,128}$/i;
  return hex.test(a) && hex.test(b) && BigInt(`0x${a}`) === BigInt(`0x${b}`);
}

/** Tells whether one certificate was issued by another: the name fits, and the signature is right. */
export function isIssuedBy(child: Certificate, issuer: Certificate): boolean {
  const named = child.parts.issuerName.length > 0 && child.parts.issuer.raw.equals(issuer.parts.subject.raw);
  return named && isSignedBy(child.parts.signed, issuer.parts.publicKey);
}

/** The authority that a certificate is of, lower-case hex: its name and its key, which outlive the certificate. */
export function authorityId({ parts: { subject, spki } }: Certificate): string {
  return createHash('sha256').update(subject.raw).update(spki.raw).digest('hex');
}

function* pathsFrom(
  path: readonly [Certificate, ...Certificate[]],
  intermediates: readonly Certificate[],
  anchors: readonly TrustAnchor[],
): Generator<{ path: readonly Certificate[]; anchor: TrustAnchor }> {
  const last = path.at(-1) ?? path[0];
  const authoritiesBelow = path.length - 1;
  const canExtend = (issuer: Certificate): boolean => {
    const limit = issuer.parts.extensions.pathLength;
    return (limit === null || limit >= authoritiesBelow) && isIssuedBy(last, issuer);
  };
  for (const anchor of anchors) {
    if (canExtend(anchor.certificate)) yield { path: [...path, anchor.certificate], anchor };
  }
  if (path.length === maximumPathCertificates - 1) return;
  for (const issuer of intermediates) {
    // One less to choose from at each step: the search ends, and no certificate stands in a path twice.
    const others = intermediates.filter((other) => other !== issuer);
    if (canExtend(issuer)) yield* pathsFrom([...path, issuer], others, anchors);
  }
}

function mayIssueDevices({ publicKey, extensions, subjectName }: CertificateParts): boolean {
  const { isCa, extendedKeyUsage: purposes, unprocessed } = extensions;
  // An authority that names purposes may only issue for these, as browsers and OpenSSL have it.
  const forClients = purposes === null || purposes.includes(clientAuth) || purposes.includes(anyExtendedKeyUsage);
  return isCa && forClients && publicKey.strong && unprocessed.length === 0 && subjectName.length > 0;
}

function requireClientUsage({ isCa, keyUsage, extendedKeyUsage }: Certificate): void {
  const signs = keyUsage === null || keyUsage.includes('digitalSignature');
  if (isCa || !signs || extendedKeyUsage?.includes(clientAuth) !== true)
    throw new TrustError('certificate.wrong_usage');
}

function timeProblem(path: readonly Certificate[], now: Date): ProblemCode | null {
  // Both ends of the validity are part of it (RFC 5280 §4.1.2.5); a clock that shows no time is past every end.
  if (path.some(({ notAfter }) => !(now.getTime() <= Date.parse(notAfter)))) return 'certificate.expired';
  if (path.some(({ notBefore }) => !(now.getTime() >= Date.parse(notBefore)))) return 'certificate.not_yet_valid';
  return null;
}

function readCertificate(der: Buffer): Certificate {
  if (der.length > maximumCertificateBytes) throw new Malformed('it is too large');
  // A copy, since everything below is a view of it and the caller keeps the other one.
  const raw = Buffer.from(der);
  const outer = fieldsOf(readDer(raw), tags.sequence);
  const body = outer.take(tags.sequence);
  const outerAlgorithm = outer.take(tags.sequence);
  const signature = readBytes(outer.take(tags.bitString));
  outer.end();

  const fields = fieldsOf(body, tags.sequence);
  const version = fields.takeIf(explicitTag(0));
  const serialField = fields.take(tags.integer);
  const serial = readInteger(serialField);
  const algorithm = fields.take(tags.sequence);
  const issuer = fields.take(tags.sequence);
  const validity = fieldsOf(fields.take(tags.sequence), tags.sequence);
  const subject = fields.take(tags.sequence);
  const spki = fields.take(tags.sequence);
  const publicKey = readPublicKey(spki);
  const extensionsField = fields.takeIf(explicitTag(3));
  fields.end();

  if (!algorithm.raw.equals(outerAlgorithm.raw)) throw new Malformed('it names two signature algorithms');
  if (serial < 0n) throw new Malformed('the serial number is negative');
  // Version 1 has no extensions, so it can be read but proves nothing; version 2 is not used.
  if (version === undefined ? extensionsField !== undefined : readVersion(version) !== 2n) {
    throw new Malformed('the version does not fit');
  }
  const notBefore = readTime(validity.take());
  const notAfter = readTime(validity.take());
  validity.end();

  const extensions = readExtensions(extensionsField);
  const issuerName = readName(issuer);
  const subjectName = readName(subject);
  const signed = { bytes: body.raw, algorithm: readSignatureAlgorithm(algorithm), signature };
  return {
    fingerprintSha256: createHash('sha256').update(raw).digest('hex'),
    serialNumber: serial.toString(16),
    issuer: writeName(issuerName),
    subject: writeName(subjectName),
    commonNames: subjectName
      .flat()
      .filter(({ type }) => type === commonName)
      .map(attributeText)
      .filter((text) => text !== null),
    notBefore,
    notAfter,
    isCa: extensions.isCa,
    keyUsage: extensions.keyUsage,
    extendedKeyUsage: extensions.extendedKeyUsage,
    publicKey: publicKey.key,
    raw,
    parts: { signed, serial: serialField, issuer, subject, issuerName, subjectName, spki, publicKey, extensions },
  };
}

function readVersion(field: DerElement): bigint {
  const fields = fieldsOf(field, explicitTag(0));
  const version = readInteger(fields.take(tags.integer));
  fields.end();
  return version;
}

/** Whatever goes wrong while bytes are read, ours or OpenSSL's, is a refusal and never a failure of the server. */
function refusingMalformed<T>(code: ProblemCode, detail: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new TrustError(code, { detail: cause instanceof Malformed ? `${detail}: ${cause.message}` : detail, cause });
  }
}

function untrusted(detail?: string): TrustError {
  return new TrustError('certificate.untrusted', detail === undefined ? {} : { detail });
}
