// Certificate extensions (RFC 5280 §4.2): the few that decide what a certificate may do, and the names of those nobody here processes.
import { explicitTag, fieldsOf, readBits, readBoolean, readDer, readInteger, readOid, tags } from './der.ts';
import type { DerElement } from './der.ts';
import { Malformed } from './malformed.ts';

const keyUsages = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
] as const;
export type KeyUsage = (typeof keyUsages)[number];

export const clientAuth = '1.3.6.1.5.5.7.3.2';
export const anyExtendedKeyUsage = '2.5.29.37.0';

export interface CertificateExtensions {
  readonly isCa: boolean;
  /** Certificates of authorities that may stand below this one, or `null` for no limit. */
  readonly pathLength: number | null;
  /** `null` when the extension is absent. */
  readonly keyUsage: readonly KeyUsage[] | null;
  /** Dotted object identifiers; `null` when the extension is absent. */
  readonly extendedKeyUsage: readonly string[] | null;
  /** Where the authority says that this certificate's revocation list is; read by `crl.ts`. */
  readonly crlDistributionPoints: DerElement | undefined;
  /** Where the authority answers about this certificate; read by `ocsp.ts`. */
  readonly authorityInformationAccess: DerElement | undefined;
  /** Other names of the subject, which are identities only of TPMs; read by `endorsement.ts`. */
  readonly subjectAlternativeName: DerElement | undefined;
  /** Extensions that would have to be processed and are not: nothing may rest on a certificate that has any. */
  readonly unprocessed: readonly string[];
}

/** One extension of a certificate, of a revocation list or of an entry in one. */
export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  /** The OCTET STRING around its DER. */
  readonly value: DerElement;
}

const oids = {
  keyUsage: '2.5.29.15',
  crlDistributionPoints: '2.5.29.31',
  subjectAlternativeName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  certificatePolicies: '2.5.29.32',
  policyConstraints: '2.5.29.36',
  extendedKeyUsage: '2.5.29.37',
  authorityInformationAccess: '1.3.6.1.5.5.7.1.1',
} as const;
/** Critical extensions that are processed; alternative names are, by not being identities of devices. */
const processed: ReadonlySet<string> = new Set([
  oids.keyUsage,
  oids.subjectAlternativeName,
  oids.basicConstraints,
  oids.extendedKeyUsage,
]);
/** What an authority limits those below it by has to be processed, whether it says so or not. */
const limiting: ReadonlySet<string> = new Set([oids.nameConstraints, oids.policyConstraints]);
/** The qualifiers of RFC 5280 §4.2.1.4, which are for people: where the policy is written, and a notice. */
const policyQualifiers: ReadonlySet<string> = new Set(['1.3.6.1.5.5.7.2.1', '1.3.6.1.5.5.7.2.2']);

/** @throws Malformed */
export function readExtensions(field: DerElement | undefined): CertificateExtensions {
  const found = new Map<string, DerElement>();
  const unprocessed: string[] = [];
  for (const { oid, critical, value } of field === undefined ? [] : readExtensionList(explicitly(field, 3))) {
    found.set(oid, value);
    const mustProcess = critical || limiting.has(oid);
    if (mustProcess && !processed.has(oid) && !(oid === oids.certificatePolicies && isPolicyList(value)))
      unprocessed.push(oid);
  }
  return {
    ...readBasicConstraints(found.get(oids.basicConstraints)),
    keyUsage: readKeyUsage(found.get(oids.keyUsage)),
    extendedKeyUsage: readExtendedKeyUsage(found.get(oids.extendedKeyUsage)),
    crlDistributionPoints: found.get(oids.crlDistributionPoints),
    authorityInformationAccess: found.get(oids.authorityInformationAccess),
    subjectAlternativeName: found.get(oids.subjectAlternativeName),
    unprocessed,
  };
}

/**
 * Reads a list of Extensions (RFC 5280 §4.1), each at most once.
 *
 * @throws Malformed
 */
export function readExtensionList(list: DerElement): Extension[] {
  const found = new Set<string>();
  return fieldsOf(list, tags.sequence)
    .takeAll(tags.sequence)
    .map((element) => {
      const fields = fieldsOf(element, tags.sequence);
      const oid = readOid(fields.take(tags.objectIdentifier));
      const critical = fields.takeIf(tags.boolean);
      const value = fields.take(tags.octetString);
      fields.end();
      if (found.has(oid)) throw new Malformed(`extension ${oid} is given twice`);
      found.add(oid);
      return { oid, critical: critical !== undefined && readBoolean(critical), value };
    });
}

/** What stands alone in an explicit tag. */
export function explicitly(field: DerElement, number: number): DerElement {
  const fields = fieldsOf(field, explicitTag(number));
  const element = fields.take();
  fields.end();
  return element;
}

function readBasicConstraints(value: DerElement | undefined): { isCa: boolean; pathLength: number | null } {
  if (value === undefined) return { isCa: false, pathLength: null };
  const fields = fieldsOf(readDer(value.content), tags.sequence);
  const flag = fields.takeIf(tags.boolean);
  const limit = fields.takeIf(tags.integer);
  fields.end();
  const isCa = flag !== undefined && readBoolean(flag);
  if (limit === undefined) return { isCa, pathLength: null };
  const pathLength = readInteger(limit);
  if (!isCa || pathLength < 0n) throw new Malformed('the path length makes no sense');
  return { isCa, pathLength: Number(pathLength) };
}

/**
 * Policies decide about a path only where somebody asks for one (RFC 5280 §6.1). Nobody here does, and an authority that
 * does by `policyConstraints` refuses its paths; so all that is left to do is to know them for what they are.
 *
 * @throws Malformed
 */
function isPolicyList(value: DerElement): boolean {
  const policies = new Set<string>();
  for (const element of fieldsOf(readDer(value.content), tags.sequence).takeAll(tags.sequence)) {
    const fields = fieldsOf(element, tags.sequence);
    const policy = readOid(fields.take(tags.objectIdentifier));
    const qualifiers = fields.takeIf(tags.sequence);
    fields.end();
    if (policies.has(policy)) throw new Malformed(`policy ${policy} is given twice`);
    policies.add(policy);
    for (const qualifier of qualifiers === undefined
      ? []
      : fieldsOf(qualifiers, tags.sequence).takeAll(tags.sequence)) {
      const parts = fieldsOf(qualifier, tags.sequence);
      if (!policyQualifiers.has(readOid(parts.take(tags.objectIdentifier)))) return false;
      parts.take();
      parts.end();
    }
  }
  return true;
}

function readKeyUsage(value: DerElement | undefined): readonly KeyUsage[] | null {
  if (value === undefined) return null;
  const bits = readBits(readDer(value.content));
  return keyUsages.filter((_, bit) => bits.includes(bit));
}

function readExtendedKeyUsage(value: DerElement | undefined): readonly string[] | null {
  if (value === undefined) return null;
  return fieldsOf(readDer(value.content), tags.sequence).takeAll(tags.objectIdentifier).map(readOid);
}
