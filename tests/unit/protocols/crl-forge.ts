// Makes revocation lists for tests: good ones in short, and wrong ones down to the byte.
import { createPrivateKey, sign } from 'node:crypto';
import { parseCertificate } from '#protocols/certificate.ts';
import type { IssuedCertificate } from '#protocols/issue-certificate.ts';
import { der, now } from './certificate-forge.ts';

const dayMs = 86_400_000;
const ecdsaWithSha256 = Buffer.from('300a06082a8648ce3d040302', 'hex');

/** Object identifiers as DER, without header. */
export const extensionOids = {
  crlNumber: '551d14',
  reasonCode: '551d15',
  deltaCrlIndicator: '551d1b',
  issuingDistributionPoint: '551d1c',
  certificateIssuer: '551d1d',
  unknown: '2a0304',
} as const;

export interface ForgedEntry {
  /** The content of the INTEGER, hex. */
  readonly serial: string;
  /** The DER of Extensions. */
  readonly extensions?: Buffer;
}

export interface ListOptions {
  /** Hex serial numbers, or entries. */
  readonly revoked?: readonly (string | ForgedEntry)[];
  readonly thisUpdate?: Date;
  readonly nextUpdate?: Date | null;
  /** Elements that `extension` made; a CRLNumber of 1 when absent. */
  readonly extensions?: readonly Buffer[] | null;
  /** Whose name stands in it, when it is not the signer's. */
  readonly issuer?: IssuedCertificate;
  readonly version?: Buffer | null;
  readonly algorithm?: Buffer;
  readonly outerAlgorithm?: Buffer;
}

/** A list that is in order unless told otherwise, signed with the P-256 key of the authority. */
export function forgeList(signer: IssuedCertificate, options: ListOptions = {}): Buffer {
  const name = parseCertificate((options.issuer ?? signer).certificatePem).parts.subject.raw;
  const { nextUpdate = new Date(now.getTime() + dayMs), revoked = [], version = der(0x02, Buffer.of(1)) } = options;
  const extensions = options.extensions === undefined ? [numberExtension(1)] : (options.extensions ?? []);
  const algorithm = options.algorithm ?? ecdsaWithSha256;
  const body = der(
    0x30,
    version ?? Buffer.alloc(0),
    algorithm,
    name,
    time(options.thisUpdate ?? new Date(now.getTime() - dayMs)),
    nextUpdate === null ? Buffer.alloc(0) : time(nextUpdate),
    revoked.length === 0 ? Buffer.alloc(0) : der(0x30, Buffer.concat(revoked.map(entry))),
    extensions.length === 0 ? Buffer.alloc(0) : der(0xa0, der(0x30, ...extensions)),
  );
  const signature = sign('sha256', body, createPrivateKey(signer.keyPem));
  return der(0x30, body, options.outerAlgorithm ?? algorithm, der(0x03, Buffer.of(0), signature));
}

export function extension(oid: string, value: Buffer, critical = false): Buffer {
  const flag = critical ? der(0x01, Buffer.of(0xff)) : Buffer.alloc(0);
  return der(0x30, der(0x06, Buffer.from(oid, 'hex')), flag, der(0x04, value));
}

export const numberExtension = (number: number): Buffer =>
  extension(extensionOids.crlNumber, der(0x02, Buffer.of(number)));

/** IssuingDistributionPoint of these fields, critical as it must be. */
export const pointExtension = (...fields: readonly Buffer[]): Buffer =>
  extension(extensionOids.issuingDistributionPoint, der(0x30, ...fields), true);

/** `[0]` of a DistributionPoint or an IssuingDistributionPoint: the full name, a URI. */
export const pointName = (uri: string): Buffer => der(0xa0, der(0xa0, der(0x86, uri)));

export const entryExtensions = (...extensions: readonly Buffer[]): Buffer => der(0x30, ...extensions);

export function time(date: Date): Buffer {
  return der(0x17, `${date.toISOString().replaceAll(/[-:T]/g, '').slice(2, 14)}Z`);
}

function entry(given: string | ForgedEntry): Buffer {
  const { serial, extensions = Buffer.alloc(0) } = typeof given === 'string' ? { serial: given } : given;
  return der(0x30, der(0x02, Buffer.from(serial, 'hex')), time(now), extensions);
}
