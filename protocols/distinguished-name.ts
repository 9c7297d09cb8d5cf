// Distinguished names: read from DER as they are, and written as RFC 4514 has it.
import { fieldsOf, readOid, tags, type DerElement } from './der.ts';
import { Malformed } from './malformed.ts';

export interface NameAttribute {
  readonly type: string;
  /** The value as it was encoded: string types that look alike stay apart. */
  readonly value: DerElement;
}
/** Relative names in encoded order, which is the reverse of the written one; each has at least one attribute. */
export type DistinguishedName = readonly (readonly NameAttribute[])[];

export const commonName = '2.5.4.3';

const maximumAttributes = 64;

/** Short names as registered for LDAP, in OpenSSL's spelling, so that proxies and people see the same text. */
const shortNames: Readonly<Record<string, string>> = {
  [commonName]: 'CN',
  '2.5.4.4': 'SN',
  '2.5.4.5': 'serialNumber',
  '2.5.4.6': 'C',
  '2.5.4.7': 'L',
  '2.5.4.8': 'ST',
  '2.5.4.9': 'street',
  '2.5.4.10': 'O',
  '2.5.4.11': 'OU',
  '2.5.4.12': 'title',
  '2.5.4.13': 'description',
  '2.5.4.15': 'businessCategory',
  '2.5.4.17': 'postalCode',
  '2.5.4.42': 'GN',
  '2.5.4.43': 'initials',
  '2.5.4.44': 'generationQualifier',
  '2.5.4.46': 'dnQualifier',
  '2.5.4.65': 'pseudonym',
  '2.5.4.97': 'organizationIdentifier',
  '0.9.2342.19200300.100.1.1': 'UID',
  '0.9.2342.19200300.100.1.25': 'DC',
  '1.2.840.113549.1.9.1': 'emailAddress',
};

/** @throws Malformed */
export function readName(element: DerElement): DistinguishedName {
  if (element.tag === tags.sequence && element.content.length === 0) return [];
  const name = fieldsOf(element, tags.sequence)
    .takeAll(tags.set)
    .map((rdn) => fieldsOf(rdn, tags.set).takeAll(tags.sequence).map(readAttribute));
  if (name.flat().length > maximumAttributes) throw new Malformed('the name has too many attributes');
  return name;
}

function readAttribute(element: DerElement): NameAttribute {
  const fields = fieldsOf(element, tags.sequence);
  const type = readOid(fields.take(tags.objectIdentifier));
  const value = fields.take();
  fields.end();
  return { type, value };
}

/**
 * The text of an attribute, or `null` when it is not of a known string type or is not valid in it.
 * For reading only: two texts that are equal may have been encoded differently.
 */
export function attributeText({ value: { tag, content } }: NameAttribute): string | null {
  switch (tag) {
    case tags.utf8String:
      return decode('utf-8', content);
    case tags.printableString:
    case tags.ia5String:
    case tags.numericString:
      return content.every((byte) => byte < 0x80) ? content.toString('latin1') : null;
    case tags.teletexString:
      // T.61 as everybody has always written it; nothing is ever matched against it.
      return content.toString('latin1');
    case tags.bmpString:
      return content.length % 2 === 0 ? decode('utf-16be', content) : null;
    default:
      return null;
  }
}

/**
 * Tells whether two names are the same (RFC 5280 §7.1): those who issue certificates write the same text now in one string
 * type and now in another. It says where to look, and proves nothing.
 */
export function sameName(one: DistinguishedName, other: DistinguishedName): boolean {
  return one.length === other.length && comparableName(one) === comparableName(other);
}

const comparable = new WeakMap<DistinguishedName, string>();

function comparableName(name: DistinguishedName): string {
  let text = comparable.get(name);
  if (text === undefined) {
    text = JSON.stringify(name.map((rdn) => rdn.map(comparableAttribute).toSorted()));
    comparable.set(name, text);
  }
  return text;
}

function comparableAttribute(attribute: NameAttribute): string {
  const { tag, raw } = attribute.value;
  const text = tag === tags.utf8String || tag === tags.printableString ? attributeText(attribute) : null;
  // RFC 4518, as far as it goes for names of authorities: case and spaces that cannot be seen make no difference.
  const prepared = text === null ? null : text.normalize('NFKC').toLowerCase().trim().replaceAll(/ +/g, ' ');
  return JSON.stringify([attribute.type, prepared ?? { der: raw.toString('hex') }]);
}

function decode(encoding: 'utf-8' | 'utf-16be', bytes: Buffer): string | null {
  try {
    return new TextDecoder(encoding, { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

/**
 * RFC 4514: last relative name first, `+` between the attributes of one (whose order is free, and OpenSSL's here),
 * special characters escaped.
 * Characters that cannot be seen are written as octets too, so that a name is safe to show and to log.
 *
 * @param form `ascii` also escapes everything beyond ASCII, as OpenSSL and nginx do.
 */
export function writeName(name: DistinguishedName, form: 'unicode' | 'ascii' = 'unicode'): string {
  return name
    .map((rdn) =>
      rdn
        .map((attribute) => writeAttribute(attribute, form))
        .toReversed()
        .join('+'),
    )
    .toReversed()
    .join(',');
}

function writeAttribute(attribute: NameAttribute, form: 'unicode' | 'ascii'): string {
  const type = shortNames[attribute.type];
  const text = attributeText(attribute);
  // RFC 4514 §2.4: a type without a short name, or a value that is no string, is written as the DER of its value.
  if (type === undefined || text === null) {
    return `${type ?? attribute.type}=#${attribute.value.raw.toString('hex').toUpperCase()}`;
  }
  return `${type}=${escapeValue(text, form === 'ascii' ? notPrintableAscii : notVisible)}`;
}

const special = /[,+"\\<>;]|^[# ]| $/g;
const notVisible = /[\p{C}\p{Zl}\p{Zp}]/gu;
const notPrintableAscii = /[^ -~]/gu;

function escapeValue(text: string, octets: RegExp): string {
  const asOctets = (character: string): string =>
    Buffer.from(character, 'utf8')
      .toString('hex')
      .toUpperCase()
      .replaceAll(/../g, String.raw`\$&`);
  return text.replaceAll(special, String.raw`\$&`).replaceAll(octets, asOctets);
}
