// Certification paths (RFC 5280 §6.1): one search and one set of rules for everything whose certificates are proven here.
//
// Stricter than the RFC where that keeps it small: every authority below the anchor counts for the path length,
// extensions that are not processed here refuse the path, and nothing weak is let through anywhere in it. Revocation is
// not looked at.
import { TrustError, type ProblemCode } from '#contracts/problems.ts';
import { anyExtendedKeyUsage } from './certificate-extensions.ts';
import { isIssuedBy, maximumCertificateBytes, readCertificate, refusingMalformed } from './certificate.ts';
import type { Certificate } from './certificate.ts';
import { readPem } from './pem.ts';

const maximumAnchors = 256;

/** What the certificates of one kind of path are for. */
export interface PathProfile {
  /** Extended key usage of the leaf; an authority that names purposes may only issue for these. */
  readonly purpose: string;
  /** Certificates of one path, leaf and anchor included; no more may be presented than it can use. */
  readonly longestPath: number;
}

interface ProvenPath<Anchor> {
  /** From the leaf to the anchor. */
  readonly path: readonly Certificate[];
  readonly anchor: Anchor;
}

/**
 * Reads authorities: PEM blocks and nothing else, at least one, each fit to issue certificates of this profile.
 *
 * @throws TrustError `trust_anchor.invalid`
 */
export function parseAuthorities(pem: string, profile: PathProfile): Certificate[] {
  const anchors = refusingMalformed('trust_anchor.invalid', 'The trust anchors cannot be read', () =>
    readPem(pem, 'CERTIFICATE', { blocks: maximumAnchors, bytes: maximumCertificateBytes }).map(readCertificate),
  );
  if (anchors.length === 0) throw new TrustError('trust_anchor.invalid', { detail: 'There is no trust anchor' });
  for (const anchor of anchors) {
    // Older root certificates have no key usage at all; one that has it must allow what it is here for.
    const fit = mayIssue(anchor, profile) && (anchor.keyUsage === null || anchor.keyUsage.includes('keyCertSign'));
    if (!fit) {
      throw new TrustError('trust_anchor.invalid', {
        detail: `${anchor.subject} is not an authority, or its key is too weak`,
      });
    }
  }
  return anchors;
}

/**
 * Proves that an anchor vouches for the leaf. When several would do, the first one given whose path is valid now wins.
 * What the leaf itself may be used for is for the caller to ask, afterwards.
 *
 * @param leaf           Untrusted.
 * @param presentedChain Certificates that came with it, in any order. Untrusted.
 * @param anchors        None means refusal.
 * @throws TrustError `certificate.untrusted`, else `certificate.expired` | `certificate.not_yet_valid`
 */
export function provePath<Anchor extends { readonly certificate: Certificate }>({
  leaf,
  presentedChain,
  anchors,
  now,
  profile,
}: {
  leaf: Certificate;
  presentedChain: readonly Certificate[];
  anchors: readonly Anchor[];
  now: Date;
  profile: PathProfile;
}): ProvenPath<Anchor> {
  if (presentedChain.length >= profile.longestPath) throw untrusted('Too many certificates were presented');
  if (leaf.parts.extensions.unprocessed.length > 0)
    throw untrusted('The certificate has an extension that is not processed here');
  if (!leaf.parts.publicKey.strong) throw untrusted('The key of the certificate is too weak');
  const intermediates = presentedChain.filter(
    (authority) => mayIssue(authority, profile) && authority.keyUsage?.includes('keyCertSign') === true,
  );
  const paths = [...pathsFrom([leaf], { intermediates, anchors, longestPath: profile.longestPath })];
  const [first] = paths;
  if (first === undefined) throw untrusted();
  const proven = paths.find((found) => timeProblem(found.path, now) === null) ?? first;
  requireValidAt(proven, now);
  return proven;
}

/**
 * Time passes on a connection that stays open: what was proven when it began has to be asked again for each request.
 *
 * @throws TrustError `certificate.expired` | `certificate.not_yet_valid`, of the certificate or of one that it rests on
 */
export function requireValidAt({ path }: { path: readonly Certificate[] }, now: Date): true {
  const problem = timeProblem(path, now);
  if (problem !== null) throw new TrustError(problem);
  return true;
}

/** Tells whether it is that time: the same, for those who do not keep the certificates. */
export function isWithin({ from, until }: Validity, now: Date): boolean {
  // A clock that shows no time is at none.
  return now.getTime() >= from && now.getTime() <= until;
}

function* pathsFrom<Anchor extends { readonly certificate: Certificate }>(
  path: readonly [Certificate, ...Certificate[]],
  among: {
    readonly intermediates: readonly Certificate[];
    readonly anchors: readonly Anchor[];
    readonly longestPath: number;
  },
): Generator<ProvenPath<Anchor>> {
  const last = path.at(-1) ?? path[0];
  const authoritiesBelow = path.length - 1;
  const canExtend = (issuer: Certificate): boolean => {
    const limit = issuer.parts.extensions.pathLength;
    return (limit === null || limit >= authoritiesBelow) && isIssuedBy(last, issuer);
  };
  for (const anchor of among.anchors) {
    if (canExtend(anchor.certificate)) yield { path: [...path, anchor.certificate], anchor };
  }
  if (path.length === among.longestPath - 1) return;
  for (const issuer of among.intermediates) {
    if (!canExtend(issuer)) continue;
    // A key that stands in a path twice vouches for nothing more; without it, hostile authorities make few paths.
    const intermediates = among.intermediates.filter(({ publicKey }) => !publicKey.equals(issuer.publicKey));
    yield* pathsFrom([...path, issuer], { ...among, intermediates });
  }
}

function mayIssue({ parts: { publicKey, extensions, subjectName } }: Certificate, { purpose }: PathProfile): boolean {
  const { isCa, extendedKeyUsage: purposes, unprocessed } = extensions;
  // An authority that names purposes may only issue for these, as browsers and OpenSSL have it.
  const forThis = purposes === null || purposes.includes(purpose) || purposes.includes(anyExtendedKeyUsage);
  return isCa && forThis && publicKey.strong && unprocessed.length === 0 && subjectName.length > 0;
}

function timeProblem(path: readonly Certificate[], now: Date): ProblemCode | null {
  const { from, until } = validityOf(path);
  // Both ends of the validity are part of it (RFC 5280 §4.1.2.5); a clock that shows no time is past every end.
  if (!(now.getTime() <= until)) return 'certificate.expired';
  if (!(now.getTime() >= from)) return 'certificate.not_yet_valid';
  return null;
}

export interface Validity {
  /** In milliseconds; NaN when one of the path has no time there. */
  readonly from: number;
  readonly until: number;
}

/** A path stays the same for as long as its connection, and is asked about at every request. */
const validities = new WeakMap<readonly Certificate[], Validity>();

/** The time in which all of these certificates are valid. */
export function validityOf(path: readonly Certificate[]): Validity {
  let found = validities.get(path);
  if (found === undefined) {
    found = {
      from: Math.max(...path.map(({ notBefore }) => Date.parse(notBefore))),
      until: Math.min(...path.map(({ notAfter }) => Date.parse(notAfter))),
    };
    validities.set(path, found);
  }
  return found;
}

function untrusted(detail?: string): TrustError {
  return new TrustError('certificate.untrusted', detail === undefined ? {} : { detail });
}
