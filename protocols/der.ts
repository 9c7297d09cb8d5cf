// Strict reader and small writer for DER (X.690 §8 and §10): one encoding for each value, every byte accounted for, one level at a time.
import type { Instant } from '#contracts/deps.ts';
import { Malformed } from './malformed.ts';

export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  numericString: 0x12,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Identifier octet of `[number]`, constructed: an explicit tag. */
export const explicitTag = (number: number): number => 0xa0 | number;

const maximumChildren = 128;
const maximumOidBytes = 64;
const maximumIntegerBytes = 64;

/** One element. `raw` and `content` are views of the input, which must not be changed afterwards. */
export interface DerElement {
  readonly tag: number;
  readonly content: Buffer;
  readonly raw: Buffer;
}

/** Writes one element around its content. */
export function writeDer(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content);
  if (body.length < 0x80) return Buffer.concat([Buffer.of(tag, body.length), body]);
  const hex = body.length.toString(16);
  const length = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  return Buffer.concat([Buffer.of(tag, 0x80 | length.length), length, body]);
}

/** Reads exactly one element; a byte after it is a refusal. */
export function readDer(bytes: Buffer): DerElement {
  const element = readAt(bytes, 0);
  if (element.raw.length !== bytes.length) throw new Malformed('bytes follow the element');
  return element;
}

/**
 * The fields of a SEQUENCE, SET or explicit tag, to be taken in order.
 * Nothing here descends by itself, so the depth of the input is never more than the caller's code asks for.
 */
export function fieldsOf(element: DerElement, tag: number): DerFields {
  expectTag(element, tag);
  const elements: DerElement[] = [];
  for (let offset = 0; offset < element.content.length;) {
    if (elements.length === maximumChildren) throw new Malformed('too many fields');
    const child = readAt(element.content, offset);
    elements.push(child);
    offset += child.raw.length;
  }
  return new DerFields(elements);
}

export class DerFields {
  readonly #elements: readonly DerElement[];
  #next = 0;

  constructor(elements: readonly DerElement[]) {
    this.#elements = elements;
  }

  /** Takes the next field, which must have this tag; without a tag, whatever it is. */
  take(tag?: number): DerElement {
    const element = this.#elements[this.#next];
    if (element === undefined) throw new Malformed('a field is missing');
    if (tag !== undefined) expectTag(element, tag);
    this.#next += 1;
    return element;
  }

  /** Takes the next field if it has this tag. */
  takeIf(tag: number): DerElement | undefined {
    return this.#elements[this.#next]?.tag === tag ? this.take() : undefined;
  }

  /** Takes the next field, whatever it is, if there is one. */
  takeAny(): DerElement | undefined {
    return this.#elements[this.#next] === undefined ? undefined : this.take();
  }

  /** Takes all that is left, each with this tag, at least one. */
  takeAll(tag: number): DerElement[] {
    const taken = [this.take(tag)];
    while (this.#next < this.#elements.length) taken.push(this.take(tag));
    return taken;
  }

  end(): void {
    if (this.#next < this.#elements.length) throw new Malformed('there is a field too many');
  }
}

export function readBoolean(element: DerElement): boolean {
  expectTag(element, tags.boolean);
  const [value] = element.content;
  if (element.content.length !== 1 || (value !== 0x00 && value !== 0xff)) throw new Malformed('not a BOOLEAN');
  return value === 0xff;
}

export function readInteger(element: DerElement): bigint {
  expectTag(element, tags.integer);
  const [first, second] = element.content;
  if (first === undefined || element.content.length > maximumIntegerBytes) throw new Malformed('not an INTEGER');
  const padded = second !== undefined && ((first === 0x00 && second < 0x80) || (first === 0xff && second >= 0x80));
  if (padded) throw new Malformed('the INTEGER is not in its shortest form');
  return BigInt.asIntN(element.content.length * 8, BigInt(`0x${element.content.toString('hex')}`));
}

/** Dotted decimal form of an OBJECT IDENTIFIER. */
export function readOid(element: DerElement): string {
  expectTag(element, tags.objectIdentifier);
  const { content } = element;
  if (content.length === 0 || content.length > maximumOidBytes) throw new Malformed('not an OBJECT IDENTIFIER');
  const arcs: bigint[] = [];
  let arc = 0n;
  let startsArc = true;
  for (const byte of content) {
    if (startsArc && byte === 0x80) throw new Malformed('an arc is not in its shortest form');
    arc = (arc << 7n) | BigInt(byte & 0x7f);
    startsArc = byte < 0x80;
    if (!startsArc) continue;
    arcs.push(arc);
    arc = 0n;
  }
  if (!startsArc) throw new Malformed('the last arc is cut off');
  const [first = 0n, ...rest] = arcs;
  const root = first < 80n ? first / 40n : 2n;
  return [root, first - root * 40n, ...rest].join('.');
}

/** A BIT STRING of whole bytes, as keys and signatures are. */
export function readBytes(element: DerElement): Buffer {
  expectTag(element, tags.bitString);
  if (element.content[0] !== 0) throw new Malformed('the BIT STRING does not end at a byte');
  return element.content.subarray(1);
}

/** The numbers of the bits that are set in a named bit list, bit 0 first. */
export function readBits(element: DerElement): number[] {
  expectTag(element, tags.bitString);
  const [unused, ...bytes] = element.content;
  const last = bytes.at(-1) ?? 0;
  if (unused === undefined || unused > 7 || (bytes.length === 0 && unused !== 0))
    throw new Malformed('not a BIT STRING');
  if ((last & ((1 << unused) - 1)) !== 0) throw new Malformed('unused bits are set');
  return bytes.flatMap((byte, index) =>
    [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => (byte & (0x80 >> bit)) !== 0).map((bit) => index * 8 + bit),
  );
}

const utcTimeForm = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;
const generalizedTimeForm = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;

/** UTCTime or GeneralizedTime in the one form that RFC 5280 §4.1.2.5 allows: whole seconds, and Z. */
export function readTime(element: DerElement): Instant {
  const short = element.tag === tags.utcTime;
  if (!short) expectTag(element, tags.generalizedTime);
  const fields = (short ? utcTimeForm : generalizedTimeForm).exec(element.content.toString('latin1'));
  if (fields === null) throw new Malformed('not a time');
  const [, year = '', month, day, hour, minute, second] = fields;
  const century = short ? (Number(year) < 50 ? '20' : '19') : '';
  const instant = `${century}${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const time = new Date(instant);
  // Only a time that exists comes back as it was written: 31 February and 24:00 do not.
  if (Number.isNaN(time.getTime()) || time.toISOString() !== instant) throw new Malformed('not a time');
  return instant;
}

function expectTag(element: DerElement, tag: number): void {
  if (element.tag !== tag) throw new Malformed(`expected tag ${tag.toString(16)}, found ${element.tag.toString(16)}`);
}

function readAt(bytes: Buffer, start: number): DerElement {
  const tag = bytes[start];
  const first = bytes[start + 1];
  if (tag === undefined || first === undefined) throw new Malformed('the element is cut off');
  if ((tag & 0x1f) === 0x1f) throw new Malformed('tag numbers above 30 are not used');
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  // 0x80 is the indefinite form; five bytes and more would be longer than anything read here.
  if (first === 0x80 || lengthBytes > 4) throw new Malformed('the length is indefinite or too large');
  const begin = start + 2 + lengthBytes;
  if (begin > bytes.length) throw new Malformed('the element is cut off');
  const length = lengthBytes === 0 ? first : bytes.readUIntBE(start + 2, lengthBytes);
  const shortest = lengthBytes === 0 || (length >= 0x80 && length >= 2 ** (8 * (lengthBytes - 1)));
  if (!shortest) throw new Malformed('the length is not in its shortest form');
  const end = begin + length;
  if (end > bytes.length) throw new Malformed('the element is cut off');
  return { tag, content: bytes.subarray(begin, end), raw: bytes.subarray(start, end) };
}
