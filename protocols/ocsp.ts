// Online certificate status (RFC 6960): the question about one certificate, and an answer that is relied on only when everything in it fits.
import { createHash } from 'node:crypto';
import type { Instant } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import { isSignedBy, readSignatureAlgorithm } from './certificate-algorithms.ts';
import { explicitly, readExtensionList, type Extension } from './certificate-extensions.ts';
import { requireValidAt } from './certificate-path.ts';
import { isIssuedBy, parseCertificate, type Certificate } from './certificate.ts';
import {
  explicitTag,
  fieldsOf,
  readBytes,
  readDer,
  readOid,
  readTime,
  tags,
  writeDer,
  type DerElement,
} from './der.ts';
import { readName, sameName } from './distinguished-name.ts';
import { Malformed } from './malformed.ts';

/** More than any answer about one certificate, with the responder's certificates. */
export const maximumAnswerBytes = 64 * 1024;
/** Certificates that an answer may bring along. */
const maximumCertificates = 4;
/** A responder whose clock is ahead by less is believed. */
const clockLeewayMs = 60_000;

const enumerated = 0x0a;
/** As DER, without header, where they are written. */
const written = {
  // Says which authority is meant and nothing more; what every responder knows (RFC 5019 §2.1.1).
  sha1: Buffer.from('2b0e03021a', 'hex'),
  nonce: Buffer.from('2b0601050507300102', 'hex'),
} as const;
const oids = {
  sha1: '1.3.14.3.2.26',
  basicResponse: '1.3.6.1.5.5.7.48.1.1',
  nonce: '1.3.6.1.5.5.7.48.1.2',
  ocspAccess: '1.3.6.1.5.5.7.48.1',
  ocspSigning: '1.3.6.1.5.5.7.3.9',
} as const;
/** What a responder may say instead of an answer (RFC 6960 §4.2.1). */
const responderErrors: Readonly<Record<number, string>> = {
  1: 'malformed request',
  2: 'internal error',
  3: 'try later',
  5: 'signature required',
  6: 'unauthorized',
};

export interface CertificateStatus {
  readonly status: 'good' | 'revoked';
  readonly thisUpdate: Instant;
  /** Until when it may be relied on: the responder's next update, or the greatest age, whichever is sooner. */
  readonly usableUntil: Instant;
}

/**
 * The question about a certificate, DER.
 *
 * @param issuer Who issued it.
 * @param nonce  Up to 32 bytes that nobody can guess (RFC 9654 §2.1).
 * @see RFC 6960 §4.1.1
 */
export function writeOcspRequest(certificate: Certificate, issuer: Certificate, nonce: Uint8Array): Buffer {
  const request = writeDer(tags.sequence, certificateId(certificate, issuer));
  const extension = writeDer(
    tags.sequence,
    writeDer(tags.objectIdentifier, written.nonce),
    writeDer(tags.octetString, writeDer(tags.octetString, nonce)),
  );
  const extensions = writeDer(explicitTag(2), writeDer(tags.sequence, extension));
  return writeDer(tags.sequence, writeDer(tags.sequence, writeDer(tags.sequence, request), extensions));
}

/**
 * Reads the answer to such a question. An answer without the nonce is one that was made before, and good for its time.
 *
 * @param bytes         Untrusted; at most 64 KiB.
 * @param asked         The certificate, its issuer and the nonce of the question.
 * @param maxAgeSeconds How long ago the status may have been right for the last time.
 * @throws TrustError `certificate.ocsp_unavailable`: malformed, an error of the responder, about another certificate,
 *   unknown there, not by the issuer or by whom it let sign answers, another nonce, not current
 * @see RFC 6960 §3.2, §4.2
 */
export function readOcspAnswer(
  bytes: Buffer,
  asked: { readonly certificate: Certificate; readonly issuer: Certificate; readonly nonce: Uint8Array },
  { now, maxAgeSeconds }: { readonly now: Date; readonly maxAgeSeconds: number },
): CertificateStatus {
  try {
    if (bytes.length > maximumAnswerBytes) throw new Malformed('it is too large');
    const { body, signed, certificates } = readBasicResponse(Buffer.from(bytes));
    const data = readResponseData(body);
    requireSigner(data.responder, signed, certificates, asked.issuer, now);
    requireNonce(data.extensions, asked.nonce);
    return currentStatus(data, certificateId(asked.certificate, asked.issuer), now, maxAgeSeconds);
  } catch (cause) {
    if (cause instanceof TrustError && cause.code === 'certificate.ocsp_unavailable') throw cause;
    const why = cause instanceof Malformed ? `: ${cause.message}` : '';
    throw unavailable(`The answer of the responder cannot be read${why}`, cause);
  }
}

/**
 * Where the authority says that it answers, http or https; null when it does not say.
 *
 * @see RFC 5280 §4.2.2.1
 */
export function ocspResponderOf({ parts }: Certificate): string | null {
  const value = parts.extensions.authorityInformationAccess;
  if (value === undefined) return null;
  try {
    for (const description of fieldsOf(readDer(value.content), tags.sequence).takeAll(tags.sequence)) {
      const fields = fieldsOf(description, tags.sequence);
      const method = fields.take(tags.objectIdentifier);
      const location = fields.take();
      // uniformResourceIdentifier [6] IA5String
      if (readOid(method) !== oids.ocspAccess || location.tag !== 0x86) continue;
      const url = URL.parse(location.content.toString('latin1'));
      if (url?.protocol === 'http:' || url?.protocol === 'https:') return url.href;
    }
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
  }
  return null;
}

interface Signed {
  readonly bytes: Buffer;
  readonly algorithm: ReturnType<typeof readSignatureAlgorithm>;
  readonly signature: Buffer;
}

function readBasicResponse(bytes: Buffer): { body: DerElement; signed: Signed; certificates: readonly Certificate[] } {
  const outer = fieldsOf(readDer(bytes), tags.sequence);
  const { content } = outer.take(enumerated);
  const [status] = content;
  if (content.length !== 1 || status === undefined) throw new Malformed('it has no status');
  if (status !== 0)
    throw unavailable(`The responder answers with an error: ${responderErrors[status] ?? `number ${status}`}`);
  const response = fieldsOf(explicitly(outer.take(explicitTag(0)), 0), tags.sequence);
  outer.end();
  if (readOid(response.take(tags.objectIdentifier)) !== oids.basicResponse)
    throw new Malformed('it is not a basic response');
  const basic = fieldsOf(readDer(response.take(tags.octetString).content), tags.sequence);
  response.end();

  const body = basic.take(tags.sequence);
  const algorithm = readSignatureAlgorithm(basic.take(tags.sequence));
  const signature = readBytes(basic.take(tags.bitString));
  const brought = basic.takeIf(explicitTag(0));
  basic.end();
  const certificates =
    brought === undefined ? [] : fieldsOf(explicitly(brought, 0), tags.sequence).takeAll(tags.sequence);
  if (certificates.length > maximumCertificates) throw new Malformed('it brings too many certificates');
  return {
    body,
    signed: { bytes: body.raw, algorithm, signature },
    certificates: certificates.map(({ raw }) => parseCertificate(raw)),
  };
}

interface ResponseData {
  /** `[1]` a name, `[2]` the SHA-1 of a key. */
  readonly responder: DerElement;
  readonly answers: readonly DerElement[];
  readonly extensions: readonly Extension[];
}

function readResponseData(body: DerElement): ResponseData {
  const fields = fieldsOf(body, tags.sequence);
  // Version 1 is the default, and what is left out in DER.
  if (fields.takeIf(explicitTag(0)) !== undefined) throw new Malformed('the version is not known');
  const responder = fields.take();
  readTime(fields.take(tags.generalizedTime));
  const answers = fieldsOf(fields.take(tags.sequence), tags.sequence).takeAll(tags.sequence);
  const extensions = fields.takeIf(explicitTag(1));
  fields.end();
  return { responder, answers, extensions: extensionsIn(extensions, 1) };
}

function extensionsIn(field: DerElement | undefined, number: number): readonly Extension[] {
  const extensions = field === undefined ? [] : readExtensionList(explicitly(field, number));
  const unknown = extensions.find(({ oid, critical }) => critical && oid !== oids.nonce);
  if (unknown !== undefined)
    throw unavailable(`The answer has the critical extension ${unknown.oid}, not processed here`);
  return extensions;
}

/** The issuer itself, or one certificate below it that may sign answers and nothing else decides (RFC 6960 §4.2.2.2). */
function requireSigner(
  responder: DerElement,
  signed: Signed,
  certificates: readonly Certificate[],
  issuer: Certificate,
  now: Date,
): void {
  const name = responder.tag === explicitTag(1) ? readName(explicitly(responder, 1)) : null;
  const isResponder = (candidate: Certificate): boolean =>
    name !== null
      ? sameName(name, candidate.parts.subjectName)
      : responder.tag === explicitTag(2) && octets(explicitly(responder, 2)).equals(keyHash(candidate));
  if (isResponder(issuer) && isSignedBy(signed, issuer.parts.publicKey)) return;
  const delegate = certificates.find((candidate) => isResponder(candidate) && isIssuedBy(candidate, issuer));
  if (delegate === undefined)
    throw unavailable('The answer is not signed by the issuer, nor by a responder of its own');
  const { extendedKeyUsage, keyUsage, parts } = delegate;
  const maySign = keyUsage === null || keyUsage.includes('digitalSignature');
  // Any purpose at all is not what the issuer meant by letting somebody answer for it.
  if (extendedKeyUsage?.includes(oids.ocspSigning) !== true || !maySign || parts.extensions.unprocessed.length > 0)
    throw unavailable('The certificate of the responder may not sign answers');
  requireValidAt({ path: [delegate] }, now);
  if (!isSignedBy(signed, parts.publicKey)) throw unavailable('The signature of the answer is wrong');
}

function requireNonce(extensions: readonly Extension[], expected: Uint8Array): void {
  const extension = extensions.find(({ oid }) => oid === oids.nonce);
  if (extension === undefined) return;
  if (!octets(readDer(extension.value.content)).equals(expected))
    throw unavailable('The answer is to another question: its nonce is not ours');
}

function currentStatus(
  { answers }: ResponseData,
  expected: Buffer,
  now: Date,
  maxAgeSeconds: number,
): CertificateStatus {
  const wanted = readCertificateId(readDer(expected));
  for (const answer of answers) {
    const fields = fieldsOf(answer, tags.sequence);
    if (!sameId(readCertificateId(fields.take(tags.sequence)), wanted)) continue;
    const status = readStatus(fields.take());
    const thisUpdate = readTime(fields.take(tags.generalizedTime));
    const next = fields.takeIf(explicitTag(0));
    extensionsIn(fields.takeIf(explicitTag(1)), 1);
    fields.end();
    const oldest = new Date(Date.parse(thisUpdate) + maxAgeSeconds * 1000).toISOString();
    const nextUpdate = next === undefined ? oldest : readTime(explicitly(next, 0));
    const usableUntil = nextUpdate < oldest ? nextUpdate : oldest;
    const at = now.getTime();
    // A revocation that was true once is true for ever.
    if (status === 'good' && !(at <= Date.parse(usableUntil))) throw unavailable('The answer is out of date');
    if (!(Date.parse(thisUpdate) - clockLeewayMs <= at)) throw unavailable('The answer is not valid yet');
    return { status, thisUpdate, usableUntil };
  }
  throw unavailable('The answer is about another certificate');
}

function readStatus(element: DerElement): CertificateStatus['status'] {
  switch (element.tag) {
    case 0x80:
      return 'good';
    case explicitTag(1): {
      const fields = fieldsOf(element, explicitTag(1));
      readTime(fields.take(tags.generalizedTime));
      fields.takeIf(explicitTag(0));
      fields.end();
      return 'revoked';
    }
    case 0x82:
      throw unavailable('The responder does not know the certificate');
    default:
      throw new Malformed('the status is not one');
  }
}

/** CertID (RFC 6960 §4.1.1). */
function certificateId(certificate: Certificate, issuer: Certificate): Buffer {
  const algorithm = writeDer(tags.sequence, writeDer(tags.objectIdentifier, written.sha1), writeDer(tags.null));
  const { content } = certificate.parts.serial;
  return writeDer(
    tags.sequence,
    algorithm,
    // As the certificate writes it, which is what the responder knows it by.
    writeDer(tags.octetString, sha1(certificate.parts.issuer.raw)),
    writeDer(tags.octetString, keyHash(issuer)),
    writeDer(tags.integer, content),
  );
}

interface CertificateId {
  readonly name: Buffer;
  readonly key: Buffer;
  readonly serial: Buffer;
}

function readCertificateId(element: DerElement): CertificateId | null {
  const fields = fieldsOf(element, tags.sequence);
  const algorithm = fieldsOf(fields.take(tags.sequence), tags.sequence);
  const oid = readOid(algorithm.take(tags.objectIdentifier));
  const [name, key] = [octets(fields.take()), octets(fields.take())];
  const serial = fields.take(tags.integer).content;
  fields.end();
  return oid === oids.sha1 ? { name, key, serial } : null;
}

function sameId(a: CertificateId | null, b: CertificateId | null): boolean {
  return a !== null && b !== null && a.name.equals(b.name) && a.key.equals(b.key) && a.serial.equals(b.serial);
}

/** SHA-1 of the bits of the key, as responders name keys. */
function keyHash({ parts }: Certificate): Buffer {
  const fields = fieldsOf(parts.spki, tags.sequence);
  fields.take(tags.sequence);
  return sha1(readBytes(fields.take(tags.bitString)));
}

function octets(element: DerElement): Buffer {
  if (element.tag !== tags.octetString) throw new Malformed('not an OCTET STRING');
  return element.content;
}

function sha1(bytes: Uint8Array): Buffer {
  return createHash('sha1').update(bytes).digest();
}

function unavailable(detail: string, cause?: unknown): TrustError {
  return new TrustError('certificate.ocsp_unavailable', { detail, ...(cause === undefined ? {} : { cause }) });
}
