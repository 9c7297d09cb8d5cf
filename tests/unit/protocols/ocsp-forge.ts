// Makes answers of a responder for tests: good ones in short, and wrong ones down to the byte.
import { createHash, createPrivateKey, sign } from 'node:crypto';
import { parseCertificate, type Certificate } from '#protocols/certificate.ts';
import { fieldsOf, readBytes, tags } from '#protocols/der.ts';
import type { IssuedCertificate } from '#protocols/issue-certificate.ts';
import { der, now } from './certificate-forge.ts';
import { extension } from './crl-forge.ts';

const hourMs = 3_600_000;
const ecdsaWithSha256 = Buffer.from('300a06082a8648ce3d040302', 'hex');
const sha1Oid = '2b0e03021a';
const nonceOid = '2b0601050507300102';

export const statuses = {
  good: der(0x80),
  revoked: der(0xa1, generalized(now)),
  unknown: der(0x82),
} as const;

export interface AnswerOptions {
  readonly certificate: IssuedCertificate;
  readonly issuer: IssuedCertificate;
  /** Who signs; the issuer when absent. */
  readonly signer?: IssuedCertificate;
  /** Whose certificates come along. */
  readonly certificates?: readonly IssuedCertificate[];
  readonly byKey?: boolean;
  readonly status?: Buffer;
  readonly thisUpdate?: Date;
  readonly nextUpdate?: Date | null;
  /** None when null. */
  readonly nonce?: Uint8Array | null;
  readonly hashOid?: string;
  readonly answerExtensions?: readonly Buffer[];
  readonly dataExtensions?: readonly Buffer[];
}

export function forgeAnswer(options: AnswerOptions): Buffer {
  const signer = options.signer ?? options.issuer;
  const certificate = parseCertificate(signer.certificatePem);
  const responder = options.byKey
    ? der(0xa2, der(0x04, keyHash(certificate)))
    : der(0xa1, certificate.parts.subject.raw);
  const extensions = [
    ...(options.nonce === null || options.nonce === undefined
      ? []
      : [extension(nonceOid, der(0x04, Buffer.from(options.nonce)))]),
    ...(options.dataExtensions ?? []),
  ];
  const body = der(
    0x30,
    responder,
    generalized(now),
    der(0x30, singleAnswer(options)),
    extensions.length === 0 ? Buffer.alloc(0) : der(0xa1, der(0x30, ...extensions)),
  );
  const signature = sign('sha256', body, createPrivateKey(signer.keyPem));
  const brought = (options.certificates ?? []).map(({ certificatePem }) => parseCertificate(certificatePem).raw);
  return respond(
    der(
      0x30,
      body,
      ecdsaWithSha256,
      der(0x03, Buffer.of(0), signature),
      brought.length === 0 ? Buffer.alloc(0) : der(0xa0, der(0x30, ...brought)),
    ),
  );
}

/** An answer that is an error. */
export const errorAnswer = (status: number): Buffer => der(0x30, der(0x0a, Buffer.of(status)));

function respond(basic: Buffer): Buffer {
  const bytes = der(0x30, der(0x06, Buffer.from('2b0601050507300101', 'hex')), der(0x04, basic));
  return der(0x30, der(0x0a, Buffer.of(0)), der(0xa0, bytes));
}

function singleAnswer({ certificate, issuer, hashOid = sha1Oid, ...options }: AnswerOptions): Buffer {
  const { parts } = parseCertificate(certificate.certificatePem);
  const authority = parseCertificate(issuer.certificatePem);
  const id = der(
    0x30,
    der(0x30, der(0x06, Buffer.from(hashOid, 'hex')), der(0x05)),
    der(0x04, createHash('sha1').update(authority.parts.subject.raw).digest()),
    der(0x04, keyHash(authority)),
    parts.serial.raw,
  );
  const { nextUpdate = new Date(now.getTime() + hourMs) } = options;
  return der(
    0x30,
    id,
    options.status ?? statuses.good,
    generalized(options.thisUpdate ?? now),
    nextUpdate === null ? Buffer.alloc(0) : der(0xa0, generalized(nextUpdate)),
    options.answerExtensions === undefined ? Buffer.alloc(0) : der(0xa1, der(0x30, ...options.answerExtensions)),
  );
}

function keyHash({ parts }: Certificate): Buffer {
  const fields = fieldsOf(parts.spki, tags.sequence);
  fields.take(tags.sequence);
  return createHash('sha1')
    .update(readBytes(fields.take(tags.bitString)))
    .digest();
}

function generalized(date: Date): Buffer {
  return der(0x18, `${date.toISOString().replaceAll(/[-:T]/g, '').slice(0, 14)}Z`);
}
