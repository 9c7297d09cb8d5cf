// Makes certificates for tests: good ones in short, and wrong ones down to the byte.
import { randomBytes, sign } from 'node:crypto';
import { parseCertificate } from '#protocols/certificate.ts';
import { matchCommonName, parseTrustAnchors, verifyDeviceCertificate } from '#protocols/device-certificate.ts';
import type { TrustAnchor, VerifiedCertificate } from '#protocols/device-certificate.ts';
import { fieldsOf, readBytes, readDer, readInteger, tags, writeDer } from '#protocols/der.ts';
import { issueCertificate, type CertificateOptions, type IssuedCertificate } from '#protocols/issue-certificate.ts';
import { writePem } from '#protocols/pem.ts';

export const now = new Date('2026-12-01T12:00:00Z');
export const clientAuth = '1.3.6.1.5.5.7.3.2';
const dayMs = 86_400_000;

type Overrides = Partial<CertificateOptions>;

/** An authority that is in order unless told otherwise; it signs itself when no issuer is given. */
export async function forgeAuthority(name: string, overrides: Overrides = {}): Promise<IssuedCertificate> {
  return issueCertificate({
    subject: [{ CN: [{ utf8String: name }] }],
    serialNumber: randomSerial(),
    notBefore: new Date(now.getTime() - dayMs),
    notAfter: new Date(now.getTime() + 365 * dayMs),
    authority: {},
    keyUsage: ['keyCertSign', 'cRLSign'],
    ...overrides,
  });
}

/** A device certificate that is in order unless told otherwise. */
export async function forgeLeaf(issuer: IssuedCertificate, overrides: Overrides = {}): Promise<IssuedCertificate> {
  return issueCertificate({
    subject: [{ CN: [{ utf8String: 'device-1' }] }],
    issuer,
    serialNumber: randomSerial(),
    notBefore: new Date(now.getTime() - dayMs),
    notAfter: new Date(now.getTime() + 90 * dayMs),
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: [clientAuth],
    ...overrides,
  });
}

function randomSerial(): Uint8Array {
  return Buffer.concat([Buffer.from([0x42]), randomBytes(8)]);
}

/** Parses and verifies as the heartbeat path does. */
export function verify(
  leaf: IssuedCertificate,
  {
    anchors,
    chain = [],
    at = now,
  }: { anchors: readonly TrustAnchor[]; chain?: readonly IssuedCertificate[]; at?: Date },
): VerifiedCertificate {
  return verifyDeviceCertificate({
    leaf: parseCertificate(leaf.certificatePem),
    presentedChain: chain.map(({ certificatePem }) => parseCertificate(certificatePem)),
    anchors,
    now: at,
  });
}

/** The whole judgement of a certificate that came in: read, prove, match. */
export function admit(certificate: Buffer | string, anchors: readonly TrustAnchor[], deviceId = 'device-1'): void {
  const leaf = parseCertificate(certificate);
  matchCommonName(verifyDeviceCertificate({ leaf, presentedChain: [], anchors, now }), deviceId);
}

export function anchorsOf(...authorities: readonly IssuedCertificate[]): TrustAnchor[] {
  return parseTrustAnchors(authorities.map(({ certificatePem }) => certificatePem).join(''));
}

/** One DER element; text is UTF-8. */
export function der(tag: number, ...content: readonly (Buffer | string)[]): Buffer {
  return writeDer(tag, ...content.map((part) => Buffer.from(part)));
}

/** Attributes of one relative name: the DER of its type without header, the tag of its value, and the value. */
export type ForgedName = readonly (readonly [oid: string, tag: number, value: Buffer | string])[];

/** The DER of a name. */
export function derName(...rdns: readonly ForgedName[]): Uint8Array<ArrayBuffer> {
  const name = rdns.map((rdn) =>
    der(0x31, ...rdn.map(([oid, tag, value]) => der(0x30, der(0x06, Buffer.from(oid, 'hex')), der(tag, value)))),
  );
  return new Uint8Array(der(0x30, ...name));
}

/** Order of the curve P-256. */
const p256Order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/**
 * The same certificate under the other signature that fits: (r, n − s) verifies whenever (r, s) does, and takes no key.
 *
 * @param certificatePem signed with ECDSA over P-256
 */
export function withOtherSignature(certificatePem: string): string {
  const outer = fieldsOf(readDer(parseCertificate(certificatePem).raw), tags.sequence);
  const [body, algorithm] = [outer.take(), outer.take()];
  const signature = fieldsOf(readDer(readBytes(outer.take())), tags.sequence);
  const [r, s] = [signature.take(), readInteger(signature.take())];
  const other = der(tags.sequence, r.raw, der(tags.integer, unsigned(p256Order - s)));
  const bits = der(tags.bitString, Buffer.from([0]), other);
  return writePem(der(tags.sequence, body.raw, algorithm.raw, bits), 'CERTIFICATE');
}

/**
 * The same certificate, whose signature algorithm has other parameters than it had, signed by its issuer again.
 *
 * @param certificatePem signed with ECDSA over P-256 and SHA-256
 * @param parameters     DER
 */
export function withAlgorithmParameters(certificatePem: string, issuerKeyPem: string, parameters: Buffer): string {
  const body = fieldsOf(fieldsOf(readDer(parseCertificate(certificatePem).raw), tags.sequence).take(), tags.sequence);
  const [version, serial, algorithm] = [body.take(), body.take(), body.take()];
  const oid = fieldsOf(algorithm, tags.sequence).take(tags.objectIdentifier);
  const others: Buffer[] = [];
  for (let next = body.takeAny(); next !== undefined; next = body.takeAny()) others.push(next.raw);
  const named = der(tags.sequence, oid.raw, parameters);
  const signed = der(tags.sequence, version.raw, serial.raw, named, ...others);
  const bits = der(tags.bitString, Buffer.from([0]), sign('sha256', signed, issuerKeyPem));
  return writePem(der(tags.sequence, signed, named, bits), 'CERTIFICATE');
}

/** The content of an INTEGER: its first bit says that it is not negative. */
function unsigned(value: bigint): Buffer {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  return (bytes[0] ?? 0) < 0x80 ? bytes : Buffer.concat([Buffer.from([0]), bytes]);
}

export const cn = '550403';
export const ou = '55040b';
