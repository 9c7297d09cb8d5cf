// Endorsement certificates: a manufacturer vouches that a key is that of a TPM which it made.
//
// TCG EK Credential Profile for TPM Family 2.0 §3.2: the subject is often empty, and who made the TPM stands in the
// alternative names, in attributes of TCG's own.
import { problems, TrustError } from '#contracts/problems.ts';
import {
  isWithin,
  parseAuthorities,
  provePath,
  validityOf,
  type PathProfile,
  type Validity,
} from './certificate-path.ts';
import { parseCertificate, type Certificate } from './certificate.ts';
import { explicitTag, fieldsOf, readDer, tags } from './der.ts';
import { attributeText, readName, type DistinguishedName } from './distinguished-name.ts';
import { evidenceFault, refusingMalformed } from './evidence-fault.ts';
import { createKept, keptKeys, type Kept } from './kept.ts';
import { endorsementKeyOf, readEndorsementKey, type EndorsementKey } from './tpm-credential.ts';

/**
 * tcg-kp-EKCertificate. The longest chains are those of processors that certify the TPM of their firmware themselves:
 * below the root an authority for the line, one for the product, and three in the processor, for its ROM, kernel and TPM.
 */
const endorsementProfile: PathProfile = { purpose: '2.23.133.8.1', longestPath: 7 };
/** All certificates of a path, since the one of the endorsement key may be the first of them, and the root the last. */
export const longestEndorsementChain = endorsementProfile.longestPath;
const attributeTypes = {
  organization: '2.5.4.10',
  manufacturer: '2.23.133.2.1',
  model: '2.23.133.2.2',
  version: '2.23.133.2.3',
} as const;
const directoryName = explicitTag(4);

declare const rootBrand: unique symbol;
declare const verifiedBrand: unique symbol;

/** A certificate of a manufacturer that TPMs are trusted by. Only `parseEndorsementRoots` makes one. */
export interface EndorsementRoot {
  readonly [rootBrand]: true;
  readonly certificate: Certificate;
}

/** An endorsement key that a trusted manufacturer vouches for. Only `verifyEndorsement` makes one. */
export interface VerifiedEndorsement {
  readonly [verifiedBrand]: true;
  /** Its `id` is what a device is bound to: a certificate may be issued again, the key stays. */
  readonly key: EndorsementKey;
  /** SHA-256 over the DER, lower-case hex. */
  readonly certificateFingerprint: string;
  /** Of the root that it was proven by, likewise. */
  readonly rootFingerprint: string;
  readonly manufacturer: TpmManufacturer;
}

/** Who made a TPM, as its certificate says; null for what it does not say. */
export interface TpmManufacturer {
  /** The vendor id of TCG's registry as four letters, such as `IFX`; as `id:` and hex digits where it is not letters. */
  readonly vendor: string | null;
  readonly model: string | null;
  readonly version: string | null;
  /** Organisations of the certificate's subject. */
  readonly organizations: readonly string[];
}

/**
 * Reads the manufacturers whose TPMs are trusted: PEM blocks and nothing else, at least one, each fit to issue certificates.
 *
 * @throws TrustError `trust_anchor.invalid`
 */
export function parseEndorsementRoots(pem: string): EndorsementRoot[] {
  return parseAuthorities(pem, endorsementProfile).map((certificate) => ({ certificate }) as EndorsementRoot);
}

/**
 * Verifies that a trusted manufacturer vouches for the endorsement key of this evidence. Revocation is not looked at.
 *
 * @param certificate PEM, untrusted; null when the evidence has none, in which case the first of the chain is meant.
 * @param chain       PEM, one certificate each, in any order. Untrusted.
 * @param ekPublic    TPM2B_PUBLIC, untrusted; null when the evidence has none.
 * @param roots       None means refusal.
 * @throws TrustError `attestation.failed`
 * @see RFC 5280 §6.1, TCG EK Credential Profile §3.2
 */
export function verifyEndorsement({
  certificate,
  chain,
  ekPublic,
  roots,
  now,
}: {
  certificate: string | null;
  chain: readonly string[];
  ekPublic: Buffer | null;
  roots: readonly EndorsementRoot[];
  now: Date;
}): VerifiedEndorsement {
  if (roots.length === 0) throw untrusted('no root of a manufacturer is configured');
  let known = knownEndorsements.get(roots);
  if (known === undefined) knownEndorsements.set(roots, (known = createKept(keptKeys)));
  const exactly = JSON.stringify([certificate, chain, ekPublic?.toString('latin1') ?? null]);
  const prove = (): ProvenEndorsement => proveEndorsement({ certificate, chain, ekPublic, roots, now });
  const { validity, endorsement } = known.get(exactly, prove);
  // Everything else about it stays as it is.
  return isWithin(validity, now) ? endorsement : prove().endorsement;
}

/** Without the certificates, of which a fleet has many. */
interface ProvenEndorsement {
  readonly validity: Validity;
  readonly endorsement: VerifiedEndorsement;
}

/** By the roots that they were proven by. */
const knownEndorsements = new WeakMap<readonly EndorsementRoot[], Kept<ProvenEndorsement>>();

function proveEndorsement({
  certificate,
  chain,
  ekPublic,
  roots,
  now,
}: Parameters<typeof verifyEndorsement>[0]): ProvenEndorsement {
  const [leafPem, ...others] = certificate === null ? chain : [certificate, ...chain];
  if (leafPem === undefined) throw evidenceFault('endorsement_missing', 'The evidence has no endorsement certificate');
  const { leaf, path, anchor } = translated(() => {
    const parsed = parseCertificate(leafPem);
    const presentedChain = others.map(parseCertificate);
    return {
      leaf: parsed,
      ...provePath({ leaf: parsed, presentedChain, anchors: roots, now, profile: endorsementProfile }),
    };
  });
  requireEndorsementUsage(leaf);
  const key = ekPublic === null ? endorsementKeyOf(leaf.publicKey) : readEndorsementKey(ekPublic);
  if (!key.key.equals(leaf.publicKey)) throw untrusted('the endorsement certificate is for another key');
  const endorsement = {
    key,
    certificateFingerprint: leaf.fingerprintSha256,
    rootFingerprint: anchor.certificate.fingerprintSha256,
    manufacturer: refusingMalformed('The endorsement certificate', () => readManufacturer(leaf)),
  } as VerifiedEndorsement;
  return { validity: validityOf(path), endorsement };
}

/** What evidence says about the endorsement key of its TPM. */
export interface Endorsement {
  /** Null when it says nothing; that the attestation key lives with it is for a credential to show. */
  readonly key: EndorsementKey | null;
  /** Null when nobody who is trusted here vouches for the key. */
  readonly verified: VerifiedEndorsement | null;
  /** As its certificate has it, verified or not; null without a certificate. */
  readonly manufacturer: TpmManufacturer | null;
}

/**
 * Finds the endorsement key of this evidence. A certificate that leads to no trusted root is no proof and no hindrance,
 * unless a chain is asked for; one that is for another key than the evidence names always is a hindrance.
 *
 * @throws TrustError `attestation.failed`
 */
export function findEndorsement({
  required,
  ...presented
}: Parameters<typeof verifyEndorsement>[0] & { readonly required: boolean }): Endorsement {
  const { certificate, chain, ekPublic, roots } = presented;
  const leafPem = certificate ?? chain[0];
  if (required || (leafPem !== undefined && roots.length > 0)) {
    try {
      const verified = verifyEndorsement(presented);
      return { key: verified.key, verified, manufacturer: verified.manufacturer };
    } catch (error) {
      if (required) throw error;
    }
  }
  const bare = ekPublic === null ? null : readEndorsementKey(ekPublic);
  if (leafPem === undefined) return { key: bare, verified: null, manufacturer: null };
  const leaf = translated(() => parseCertificate(leafPem));
  if (bare !== null && !bare.key.equals(leaf.publicKey))
    throw untrusted('the endorsement certificate is for another key');
  return {
    key: bare ?? endorsementKeyOf(leaf.publicKey),
    verified: null,
    manufacturer: refusingMalformed('The endorsement certificate', () => readManufacturer(leaf)),
  };
}

/**
 * Requires that everything which says who made the TPM names a manufacturer of the list: what the device reports, and
 * what its certificate says, by vendor id or by organisation.
 *
 * @param allowed     Names as the certificates have them, in any case. An empty list allows everybody.
 * @param reported    What the device says itself, or null.
 * @param certified   What the certificate says, or null when there is none.
 * @throws TrustError `attestation.failed`
 */
export function requireAllowedManufacturer({
  allowed,
  reported,
  certified,
}: {
  allowed: readonly string[];
  reported: string | null;
  certified: TpmManufacturer | null;
}): true {
  if (allowed.length === 0) return true;
  const names = new Set(allowed.map(comparable));
  const isAllowed = (name: string | null): boolean => name !== null && names.has(comparable(name));
  const vouched = certified === null || isAllowed(certified.vendor) || certified.organizations.some(isAllowed);
  const claimed = reported === null ? certified !== null : isAllowed(reported);
  if (!vouched || !claimed)
    throw evidenceFault('manufacturer_not_allowed', 'The manufacturer of the TPM is not one of those that are allowed');
  return true;
}

function comparable(name: string): string {
  return name.trim().toLowerCase();
}

function requireEndorsementUsage({ isCa, keyUsage, extendedKeyUsage, publicKey }: Certificate): void {
  const use = publicKey.asymmetricKeyType === 'rsa' ? 'keyEncipherment' : 'keyAgreement';
  if (isCa || keyUsage?.includes(use) !== true || extendedKeyUsage?.includes(endorsementProfile.purpose) !== true)
    throw untrusted('the certificate is not one for an endorsement key');
}

/** @throws Malformed */
function readManufacturer({ parts }: Certificate): TpmManufacturer {
  const extension = parts.extensions.subjectAlternativeName;
  const attributes = extension === undefined ? [] : directoryNames(extension.content).flat(2);
  const text = (type: string, from: DistinguishedName[number]): string[] =>
    from.filter((attribute) => attribute.type === type).map((attribute) => attributeText(attribute) ?? '');
  return {
    vendor: vendorName(text(attributeTypes.manufacturer, attributes)[0] ?? null),
    model: text(attributeTypes.model, attributes)[0] ?? null,
    version: text(attributeTypes.version, attributes)[0] ?? null,
    organizations: text(attributeTypes.organization, parts.subjectName.flat()),
  };
}

/** The directory names among the GeneralNames (RFC 5280 §4.2.1.6). */
function directoryNames(extension: Buffer): DistinguishedName[] {
  const names = fieldsOf(readDer(extension), tags.sequence);
  const found: DistinguishedName[] = [];
  for (let name = names.takeAny(); name !== undefined; name = names.takeAny()) {
    if (name.tag !== directoryName) continue;
    const fields = fieldsOf(name, directoryName);
    found.push(readName(fields.take(tags.sequence)));
    fields.end();
  }
  return found;
}

/** `id:` and four bytes in hex (EK Credential Profile §3.1.2), which are letters filled up with zeros or spaces. */
function vendorName(attribute: string | null): string | null {
  const hex = /^id:([0-9a-f]{8})$/i.exec(attribute ?? '')?.[1];
  if (hex === undefined) return attribute;
  const letters = Buffer.from(hex, 'hex')
    .toString('latin1')
    .replace(/[\0 ]+$/, '');
  return /^[A-Za-z0-9]{2,4}$/.test(letters) ? letters : `id:${hex.toUpperCase()}`;
}

/** What goes wrong with a path, in the words of evidence: the codes of certificates are for those of devices. */
function translated<T>(prove: () => T): T {
  try {
    return prove();
  } catch (error) {
    if (!(error instanceof TrustError)) throw error;
    if (error.code === 'certificate.expired' || error.code === 'certificate.not_yet_valid')
      throw evidenceFault('endorsement_expired', 'The endorsement certificate, or one of its chain, is not valid now', {
        cause: error,
      });
    throw untrusted(
      error.message === problems['certificate.untrusted'].title
        ? 'it leads to no root that is trusted here'
        : error.message,
      error,
    );
  }
}

function untrusted(why: string, cause?: unknown): TrustError {
  return evidenceFault('endorsement_untrusted', `The endorsement is not trusted: ${why}`, { cause });
}
