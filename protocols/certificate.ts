// X.509 certificates (RFC 5280 §4.1), read strictly. Who vouches for them is for `certificate-path.ts` to say.
import { createHash, type KeyObject } from 'node:crypto';
import type { Instant } from '#contracts/deps.ts';
import { TrustError, type ProblemCode } from '#contracts/problems.ts';
import { isSignedBy, readPublicKey, readSignatureAlgorithm } from './certificate-algorithms.ts';
import type { PublicKey, SignatureAlgorithm } from './certificate-algorithms.ts';
import { readExtensions } from './certificate-extensions.ts';
import type { CertificateExtensions, KeyUsage } from './certificate-extensions.ts';
import { explicitTag, fieldsOf, readBytes, readDer, readInteger, readTime, tags, type DerElement } from './der.ts';
import {
  attributeText,
  commonName,
  readName,
  sameName,
  writeName,
  type DistinguishedName,
} from './distinguished-name.ts';
import { Malformed } from './malformed.ts';
import { readPem } from './pem.ts';

export const maximumCertificateBytes = 16 * 1024;
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

/** Compares serial numbers, hex in any spelling, as the numbers that they are. */
export function sameSerial(a: string, b: string): boolean {
  const hex = /^[0-9a-f]{1,128}$/i;
  return hex.test(a) && hex.test(b) && BigInt(`0x${a}`) === BigInt(`0x${b}`);
}

/** Tells whether one certificate was issued by another: the name fits, and the signature is right. */
export function isIssuedBy(child: Certificate, issuer: Certificate): boolean {
  const { issuerName } = child.parts;
  const named = issuerName.length > 0 && sameName(issuerName, issuer.parts.subjectName);
  return named && isSignedBy(child.parts.signed, issuer.parts.publicKey);
}

/** Each heartbeat asks for that of the same few authorities. */
const authorityIds = new WeakMap<Certificate, string>();

/** The authority that a certificate is of, lower-case hex: its name and its key, which outlive the certificate. */
export function authorityId(certificate: Certificate): string {
  const known = authorityIds.get(certificate);
  if (known !== undefined) return known;
  const { subject, spki } = certificate.parts;
  const id = createHash('sha256').update(subject.raw).update(spki.raw).digest('hex');
  authorityIds.set(certificate, id);
  return id;
}

/** @throws Malformed */
export function readCertificate(der: Buffer): Certificate {
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
export function refusingMalformed<T>(code: ProblemCode, detail: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new TrustError(code, { detail: cause instanceof Malformed ? `${detail}: ${cause.message}` : detail, cause });
  }
}
