// Issues complete revocation lists (RFC 5280 §5): what an authority has taken back, with a number that never falls.
import { createPrivateKey } from 'node:crypto';
import { Extension, Name, X509CrlGenerator, X509CrlReason } from '@peculiar/x509';
import type { Instant } from '#contracts/deps.ts';
import { tags, writeDer } from './der.ts';
import { importKey, subjectOf, type IssuedCertificate } from './issue-certificate.ts';
import { writePem } from './pem.ts';

export interface RevokedSerial {
  /** Hex. */
  readonly serialNumber: string;
  readonly at: Instant;
}

export interface RevocationListOptions {
  readonly issuer: IssuedCertificate;
  /** CRLNumber: higher than that of every list before. */
  readonly number: number;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly entries: readonly RevokedSerial[];
}

/** @returns PEM */
export async function issueRevocationList(options: RevocationListOptions): Promise<string> {
  const { issuer, number, thisUpdate, nextUpdate, entries } = options;
  const signingKey = importKey(createPrivateKey(issuer.keyPem), 'SHA-256', 'sign');
  const list = await X509CrlGenerator.create({
    issuer: new Name(subjectOf(issuer.certificatePem)),
    thisUpdate,
    nextUpdate,
    entries: entries.map(({ serialNumber, at }) => ({
      serialNumber,
      revocationDate: new Date(at),
      reason: X509CrlReason.privilegeWithdrawn,
    })),
    extensions: [new Extension('2.5.29.20', false, new Uint8Array(writeInteger(number)))],
    signingKey,
    signingAlgorithm: { name: signingKey.algorithm.name, hash: 'SHA-256' },
  });
  return writePem(Buffer.from(list.rawData), 'X509 CRL');
}

function writeInteger(value: number): Buffer {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  return writeDer(tags.integer, ...((bytes[0] ?? 0) >= 0x80 ? [Buffer.of(0)] : []), bytes);
}
