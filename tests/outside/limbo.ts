// The path validation cases of x509-limbo (C2SP/x509-limbo), given to what proves paths and reads revocation lists.
import { readFileSync } from 'node:fs';
import { parseAuthorities, provePath, type PathProfile } from '#protocols/certificate-path.ts';
import { parseCertificate } from '#protocols/certificate.ts';
import { readRevocationLists, requireNotListed, type RevocationList } from '#protocols/crl.ts';
import { requireCases, type Difference, type Meant, type Outcome } from './difference.ts';

interface Case {
  readonly id: string;
  readonly description: string;
  readonly validation_kind: 'CLIENT' | 'SERVER';
  readonly trusted_certs: readonly string[];
  readonly untrusted_intermediates: readonly string[];
  readonly peer_certificate: string;
  readonly validation_time: string | null;
  readonly expected_result: 'SUCCESS' | 'FAILURE';
  readonly crls?: readonly string[];
}

const purposes = { CLIENT: '1.3.6.1.5.5.7.3.2', SERVER: '1.3.6.1.5.5.7.3.1' } as const;
/** As long as any path of the suite: the length is another matter. */
const longestPath = 16;

export const meantBeside: readonly Meant[] = [
  {
    cases: /::(?:san|cn)::/,
    expected: 'refused',
    because: 'names of servers play no part: a device is its common name',
  },
  { cases: /::(?:aki|ski)::/, expected: 'refused', because: 'key identifiers are hints; the signature decides' },
  { cases: /::max-chain-depth-/, expected: 'refused', because: 'the length is ours, and not that of the case' },
  { cases: /^crl::crlnumber-/, expected: 'refused', because: 'numbers of lists are shown, and nothing rests on them' },
  {
    cases: /^rfc5280::serial::/,
    expected: 'refused',
    because: 'long ones and zero are compared like others (§4.1.2.2)',
  },
  { cases: /::leaf-ku-keycertsign$/, expected: 'refused', because: 'a leaf that is no authority vouches for nobody' },
  {
    cases: /::root-non-critical-basic-constraints$/,
    expected: 'refused',
    because: 'the operator trusts the root; what it says is not marked and counts all the same',
  },
  {
    cases: /^webpki::(?:eku::|v1-cert$|malformed-aia$|forbidden-rsa-)/,
    expected: 'refused',
    because: 'rules of browsers; what a leaf may be used for is asked by those who use it',
  },
  { cases: /::nc::/, expected: 'accepted', because: 'name constraints are not processed, and refuse a path' },
  {
    cases: /::self-issued-certs-pathlen$/,
    expected: 'accepted',
    because: 'every authority counts for the path length',
  },
  {
    cases: /::(?:ca-as-leaf|validation-ignores-pathlen-in-leaf)$/,
    expected: 'accepted',
    because: 'no device is an authority',
  },
  {
    cases: /::unknown-critical-extension-unrelated-root$/,
    expected: 'accepted',
    because: 'a file of anchors is taken whole or not at all',
  },
  { cases: /::notafter-fractional$/, expected: 'accepted', because: 'the last second ends with the second' },
];

/** @param file `limbo.json`. */
export function runLimbo(file: string): Outcome {
  const { testcases } = JSON.parse(readFileSync(file, 'utf8')) as { testcases: readonly Case[] };
  requireCases(testcases.length, file);
  const differences = testcases.map(judge).filter((difference) => difference !== null);
  return { cases: testcases.length, differences };
}

function judge(testcase: Case): Difference | null {
  const { id, description, expected_result } = testcase;
  const expected = expected_result === 'SUCCESS' ? 'accepted' : 'refused';
  const refusal = refusalOf(testcase);
  if ((refusal === null) === (expected === 'accepted')) return null;
  return { id, expected, why: refusal ?? description.split('\n')[0] ?? '' };
}

function refusalOf({
  validation_kind,
  trusted_certs,
  untrusted_intermediates,
  peer_certificate,
  validation_time,
  crls = [],
}: Case): string | null {
  const profile: PathProfile = { purpose: purposes[validation_kind], longestPath };
  const now = validation_time === null ? new Date() : new Date(validation_time);
  try {
    const anchors = parseAuthorities(trusted_certs.join('\n'), profile).map((certificate) => ({ certificate }));
    const leaf = parseCertificate(peer_certificate.trim());
    const presentedChain = untrusted_intermediates.map((pem) => parseCertificate(pem.trim()));
    const { path } = provePath({ leaf, presentedChain, anchors, now, profile });
    if (leaf.isCa) return 'the leaf is an authority';
    if (leaf.extendedKeyUsage?.includes(profile.purpose) === false) return 'the leaf is for another purpose';
    if (crls.length === 0) return null;
    const issuers = [...anchors.map(({ certificate }) => certificate), ...presentedChain];
    const lists = crls.flatMap((pem) => readRevocationLists(Buffer.from(pem), issuers));
    requireNotListed(
      path,
      Map.groupBy(lists, ({ authority }: RevocationList) => authority),
      now,
    );
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}
