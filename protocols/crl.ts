// Certificate revocation lists (RFC 5280 §5): read to the last byte, proven by their authority, and asked by serial number.
//
// Lists have a million entries and more, so entries are never made into objects: what is kept are the bytes of the list
// and a hash table of where each serial number stands in them.
import type { Instant } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import { isSignedBy, readSignatureAlgorithm } from './certificate-algorithms.ts';
import { explicitly, readExtensionList, type Extension } from './certificate-extensions.ts';
import { authorityId, type Certificate } from './certificate.ts';
import { explicitTag, fieldsOf, readBoolean, readBytes, readDer, readInteger, readTime, tags } from './der.ts';
import type { DerElement } from './der.ts';
import { readName, sameName, writeName } from './distinguished-name.ts';
import { Malformed } from './malformed.ts';
import { readPem } from './pem.ts';

export const maximumListBytes = 128 * 1024 * 1024;
/** Lists that one PEM file may hold. */
const maximumLists = 64;
/** As many as a certificate may have here; RFC 5280 §4.1.2.2 speaks of 20. */
const maximumSerialBytes = 64;

/** A list that was read and whose signature is its authority's. Plain data, so that it can be moved between threads. */
export interface RevocationList {
  /** `authorityId` of who signed it. */
  readonly authority: string;
  /** RFC 4514. */
  readonly issuer: string;
  /** CRLNumber, decimal; null when the list has none. */
  readonly number: string | null;
  readonly thisUpdate: Instant;
  readonly nextUpdate: Instant;
  readonly entries: number;
  /** Which certificates of the authority it speaks for. */
  readonly scope: RevocationScope;
  /** The DER. */
  readonly der: Uint8Array<ArrayBuffer>;
  /** Open addressing, a power of two of slots; each holds the offset of a serial number in `der`, 0 when it is free. */
  readonly table: Uint32Array<ArrayBuffer>;
}

interface RevocationScope {
  readonly kind: 'all' | 'end_entities' | 'authorities';
  /** Only certificates that name one of these points (DER, hex) are meant; null for all. */
  readonly distributionPoints: readonly string[] | null;
}

const oids = {
  crlNumber: '2.5.29.20',
  deltaCrlIndicator: '2.5.29.27',
  issuingDistributionPoint: '2.5.29.28',
  certificateIssuer: '2.5.29.29',
} as const;

/**
 * Reads a file of revocation lists, PEM or DER, and proves each by one of the authorities.
 *
 * @param bytes   Untrusted; at most 128 MiB. The result keeps no view of it.
 * @param issuers Certificates of authorities that are trusted to say what is revoked.
 * @throws TrustError `certificate.crl_unavailable`: malformed, of nobody that is trusted, delta, indirect or partial
 *   lists, unknown critical extensions, weak signatures
 * @see RFC 5280 §5.1, §5.2, §6.3.3
 */
export function readRevocationLists(bytes: Uint8Array, issuers: readonly Certificate[]): RevocationList[] {
  try {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (buffer.length > maximumListBytes) throw new Malformed('it is too large');
    // A SEQUENCE begins with 0x30; so does the text "0", with which no PEM file begins.
    const lists =
      buffer[0] === tags.sequence
        ? [buffer]
        : readPem(buffer.toString('latin1'), 'X509 CRL', { blocks: maximumLists, bytes: maximumListBytes });
    if (lists.length === 0) throw new Malformed('there is none in it');
    return lists.map((der) => readList(der, issuers));
  } catch (cause) {
    if (cause instanceof TrustError) throw cause;
    const why = cause instanceof Malformed ? `: ${cause.message}` : '';
    throw unavailable(`The revocation list cannot be read${why}`, cause);
  }
}

/** Tells whether the list names this serial number: hex, in any spelling. Microseconds, whatever the list's size. */
export function isListed({ der, table }: RevocationList, serialNumber: string): boolean {
  const serial = integerContent(serialNumber);
  const mask = table.length - 1;
  for (let slot = hashOf(serial, 0, serial.length) & mask; ; slot = (slot + 1) & mask) {
    const offset = table[slot] ?? 0;
    if (offset === 0) return false;
    if (der[offset + 1] === serial.length && sameBytes(der, offset + 2, serial)) return true;
  }
}

/** Tells whether the list may be relied on now: within `thisUpdate` and `nextUpdate`, both of them included. */
export function isCurrent({ thisUpdate, nextUpdate }: RevocationList, now: Date): boolean {
  const at = now.getTime();
  return Date.parse(thisUpdate) <= at && at <= Date.parse(nextUpdate);
}

/**
 * Requires that no list names a certificate of the path, and that each of them is spoken for by a current list of the
 * authority that issued it. A list that is no longer current still revokes, and no longer vouches.
 *
 * @param path  A verified path, from the leaf to the anchor, which nobody can revoke.
 * @param lists By `authorityId`.
 * @throws TrustError `certificate.revoked` | `certificate.crl_unavailable`
 */
export function requireNotListed(
  path: readonly Certificate[],
  lists: ReadonlyMap<string, readonly RevocationList[]>,
  now: Date,
): void {
  let uncovered: Certificate | null = null;
  for (const [index, issuer] of path.slice(1).entries()) {
    const certificate = path[index] ?? issuer;
    let covered = false;
    for (const list of lists.get(authorityId(issuer)) ?? []) {
      if (!speaksFor(list, certificate)) continue;
      if (isListed(list, certificate.serialNumber)) {
        throw new TrustError('certificate.revoked', {
          detail: index === 0 ? 'The revocation list of its authority names it' : 'An authority of it was revoked',
          facts: { crl_issuer: list.issuer, crl_number: list.number },
        });
      }
      covered ||= isCurrent(list, now);
    }
    if (!covered) uncovered ??= issuer;
  }
  if (uncovered !== null) throw unavailable(`There is no current revocation list of ${uncovered.subject}`);
}

function speaksFor({ scope }: RevocationList, certificate: Certificate): boolean {
  if (scope.kind !== 'all' && (scope.kind === 'authorities') !== certificate.isCa) return false;
  if (scope.distributionPoints === null) return true;
  const named = distributionPointsOf(certificate);
  return scope.distributionPoints.some((point) => named.includes(point));
}

const pointsOf = new WeakMap<Certificate, readonly string[]>();

/** What the certificate says of where its list is; nothing when that cannot be read. */
function distributionPointsOf(certificate: Certificate): readonly string[] {
  let points = pointsOf.get(certificate);
  if (points === undefined) {
    points = readDistributionPoints(certificate.parts.extensions.crlDistributionPoints);
    pointsOf.set(certificate, points);
  }
  return points;
}

function readDistributionPoints(value: DerElement | undefined): readonly string[] {
  if (value === undefined) return [];
  try {
    return fieldsOf(readDer(value.content), tags.sequence)
      .takeAll(tags.sequence)
      .flatMap((element) => {
        const point = fieldsOf(element, tags.sequence);
        const name = point.takeIf(explicitTag(0));
        // Points for some reasons only, or of another issuer, are not those of a complete list (RFC 5280 §4.2.1.13).
        return name === undefined || point.takeIf(0x81) || point.takeIf(explicitTag(2)) ? [] : fullNames(name);
      });
  } catch (error) {
    if (error instanceof Malformed) return [];
    throw error;
  }
}

/** The general names of a DistributionPointName, as the bytes that they are; a relative name is not one of them. */
function fullNames(distributionPoint: DerElement): string[] {
  const name = explicitly(distributionPoint, 0);
  if (name.tag !== explicitTag(0)) throw new Malformed('a distribution point is named relative to its issuer');
  const names = fieldsOf(name, explicitTag(0));
  const found: string[] = [];
  for (let next = names.takeAny(); next !== undefined; next = names.takeAny()) found.push(next.raw.toString('hex'));
  if (found.length === 0) throw new Malformed('a distribution point has no name');
  return found;
}

function readList(input: Buffer, issuers: readonly Certificate[]): RevocationList {
  const der = Buffer.from(new Uint8Array(input).buffer);
  const outer = fieldsOf(readDer(der), tags.sequence);
  const body = outer.take(tags.sequence);
  const outerAlgorithm = outer.take(tags.sequence);
  const signature = readBytes(outer.take(tags.bitString));
  outer.end();

  const fields = fieldsOf(body, tags.sequence);
  const version = fields.takeIf(tags.integer);
  const algorithm = fields.take(tags.sequence);
  const issuer = fields.take(tags.sequence);
  const thisUpdate = readTime(fields.take());
  const next = fields.takeIf(tags.utcTime) ?? fields.takeIf(tags.generalizedTime);
  const revoked = fields.takeIf(tags.sequence);
  const extensionsField = fields.takeIf(explicitTag(0));
  fields.end();

  if (!algorithm.raw.equals(outerAlgorithm.raw)) throw new Malformed('it names two signature algorithms');
  if (version === undefined ? extensionsField !== undefined : readInteger(version) !== 1n)
    throw new Malformed('the version does not fit');
  if (next === undefined) throw new Malformed('it does not say when the next one comes');
  const extensions = extensionsField === undefined ? [] : readExtensionList(explicitly(extensionsField, 0));
  const issuerName = readName(issuer);
  const name = writeName(issuerName);
  const signed = { bytes: body.raw, algorithm: readSignatureAlgorithm(algorithm), signature };
  const signer = issuers.find(
    ({ parts, isCa, keyUsage }) =>
      isCa &&
      (keyUsage === null || keyUsage.includes('cRLSign')) &&
      sameName(issuerName, parts.subjectName) &&
      isSignedBy(signed, parts.publicKey),
  );
  if (signer === undefined)
    throw unavailable(`No authority that is trusted here has signed the revocation list of ${name}`);

  const offsets = offsetsOf(revoked, der);
  return {
    authority: authorityId(signer),
    issuer: name,
    number: readNumber(extensions),
    thisUpdate,
    nextUpdate: readTime(next),
    entries: offsets.length,
    scope: readScope(extensions),
    der,
    table: tableOf(offsets, der),
  };
}

function readNumber(extensions: readonly Extension[]): string | null {
  const extension = extensions.find(({ oid }) => oid === oids.crlNumber);
  if (extension === undefined) return null;
  const number = readInteger(readDer(extension.value.content));
  if (number < 0n) throw new Malformed('its number is negative');
  return number.toString();
}

/** What the list leaves out must not be taken for what it vouches for (RFC 5280 §5.2.4, §5.2.5, §6.3.3). */
function readScope(extensions: readonly Extension[]): RevocationScope {
  if (extensions.some(({ oid }) => oid === oids.deltaCrlIndicator))
    throw unavailable('It is a delta list, which says only what has changed; give the complete one');
  const unknown = extensions.find(
    ({ oid, critical }) => critical && oid !== oids.issuingDistributionPoint && oid !== oids.crlNumber,
  );
  if (unknown !== undefined) throw unavailable(`It has the critical extension ${unknown.oid}, which is not processed`);
  const extension = extensions.find(({ oid }) => oid === oids.issuingDistributionPoint);
  if (extension === undefined) return { kind: 'all', distributionPoints: null };

  const fields = fieldsOf(readDer(extension.value.content), tags.sequence);
  const point = fields.takeIf(explicitTag(0));
  const flag = (number: number): boolean => {
    const element = fields.takeIf(0x80 | number);
    return element !== undefined && readBoolean({ ...element, tag: tags.boolean });
  };
  const [endEntities, authorities] = [flag(1), flag(2)];
  const someReasons = fields.takeIf(0x83) !== undefined;
  const [indirect, attributes] = [flag(4), flag(5)];
  fields.end();
  if (indirect) throw unavailable('It is an indirect list, which speaks for other authorities; give that of each');
  if (someReasons) throw unavailable('It lists only some reasons of revocation; give the complete one');
  if (attributes || (endEntities && authorities)) throw unavailable('It does not speak for device certificates');
  return {
    kind: endEntities ? 'end_entities' : authorities ? 'authorities' : 'all',
    distributionPoints: point === undefined ? null : fullNames(point),
  };
}

/** Where the serial numbers of the entries stand; every entry is checked on the way. */
function offsetsOf(revoked: DerElement | undefined, der: Buffer): Uint32Array {
  if (revoked === undefined) return new Uint32Array();
  const bytes = revoked.content;
  const base = bytes.byteOffset - der.byteOffset;
  // The shortest entry: a SEQUENCE of a serial number of one byte and a UTCTime.
  const offsets = new Uint32Array(Math.ceil(bytes.length / 20));
  let count = 0;
  let seenExtensions: Buffer = Buffer.alloc(0);
  for (let at = 0; at < bytes.length;) {
    const start = contentStart(bytes, at, tags.sequence);
    const end = start + lengthAt(bytes, at);
    const serial = contentStart(bytes, start, tags.integer);
    const serialLength = lengthAt(bytes, start);
    const time = serial + serialLength;
    const extensions = time + requireTimeAt(bytes, time, end);
    if (serialLength === 0 || serialLength > maximumSerialBytes)
      throw new Malformed('a serial number is empty or too long');
    if (isPadded(bytes, serial, serialLength)) throw new Malformed('a serial number is not in its shortest form');
    if (extensions < end) {
      const raw = bytes.subarray(extensions, end);
      // Nearly all entries have the same ones.
      if (!raw.equals(seenExtensions)) requireKnownExtensions(raw);
      seenExtensions = raw;
    } else if (extensions > end) throw new Malformed('an entry is cut off');
    offsets[count] = base + start;
    count += 1;
    at = end;
  }
  return offsets.subarray(0, count);
}

function requireKnownExtensions(raw: Buffer): void {
  for (const { oid, critical } of readExtensionList(readDer(raw))) {
    if (oid === oids.certificateIssuer)
      throw unavailable('It is an indirect list, which speaks for other authorities; give that of each');
    // Whoever cannot process one must not use the list (RFC 5280 §5.3).
    if (critical) throw unavailable(`An entry has the critical extension ${oid}, which is not processed`);
  }
}

/** The bytes that a time takes, with its tag and length; of the two forms of RFC 5280 §5.1.2.6. */
function requireTimeAt(bytes: Buffer, at: number, end: number): number {
  const digits = bytes[at] === tags.utcTime ? 12 : 14;
  const isTime = bytes[at] === tags.utcTime || bytes[at] === tags.generalizedTime;
  const last = at + 2 + digits;
  if (!isTime || bytes[at + 1] !== digits + 1 || last >= end || bytes[last] !== 0x5a) throw new Malformed('not a time');
  for (let index = at + 2; index < last; index += 1) {
    const byte = bytes[index] ?? 0;
    if (byte < 0x30 || byte > 0x39) throw new Malformed('not a time');
  }
  return digits + 3;
}

/** Where the content of the element begins; its length is short, or given in one or two bytes. */
function contentStart(bytes: Buffer, at: number, tag: number): number {
  if (bytes[at] !== tag) throw new Malformed(`expected tag ${tag.toString(16)} in an entry`);
  const first = bytes[at + 1] ?? 0x80;
  const start = at + 2 + (first < 0x80 ? 0 : first & 0x7f);
  const length = lengthAt(bytes, at);
  if (start + length > bytes.length) throw new Malformed('an entry is cut off');
  return start;
}

function lengthAt(bytes: Buffer, at: number): number {
  const first = bytes[at + 1] ?? 0x80;
  if (first < 0x80) return first;
  const length = first === 0x81 ? (bytes[at + 2] ?? 0) : first === 0x82 ? bytes.readUInt16BE(at + 2) : 0;
  if (length < (first === 0x81 ? 0x80 : 0x100))
    throw new Malformed('the length of an entry is not in its shortest form');
  return length;
}

function isPadded(bytes: Buffer, at: number, length: number): boolean {
  if (length < 2) return false;
  const [first = 0, second = 0] = [bytes[at], bytes[at + 1]];
  return (first === 0x00 && second < 0x80) || (first === 0xff && second >= 0x80);
}

function tableOf(offsets: Uint32Array, der: Buffer): Uint32Array<ArrayBuffer> {
  let slots = 8;
  while (slots < offsets.length * 2) slots *= 2;
  const table = new Uint32Array(slots);
  const mask = slots - 1;
  for (const offset of offsets) {
    let slot = hashOf(der, offset + 2, der[offset + 1] ?? 0) & mask;
    while (table[slot] !== 0) slot = (slot + 1) & mask;
    table[slot] = offset;
  }
  return table;
}

/** FNV-1a: authorities choose serial numbers at random, and whoever could choose them badly could revoke everything anyway. */
function hashOf(bytes: Uint8Array, start: number, length: number): number {
  let hash = 0x811c9dc5;
  for (let index = start; index < start + length; index += 1) hash = Math.imul(hash ^ (bytes[index] ?? 0), 0x01000193);
  return hash >>> 0;
}

function sameBytes(bytes: Uint8Array, at: number, expected: Uint8Array): boolean {
  for (let index = 0; index < expected.length; index += 1) if (bytes[at + index] !== expected[index]) return false;
  return true;
}

/** The content of the INTEGER that a serial number in hex is. */
function integerContent(serialNumber: string): Buffer {
  const hex = serialNumber.replace(/^0+(?=.)/, '');
  const even = hex.length % 2 === 0 ? hex : `0${hex}`;
  const bytes = Buffer.from(even, 'hex');
  return (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes;
}

function unavailable(detail: string, cause?: unknown): TrustError {
  return new TrustError('certificate.crl_unavailable', { detail, ...(cause === undefined ? {} : { cause }) });
}
