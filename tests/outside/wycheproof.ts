// The signature vectors of Project Wycheproof (C2SP/wycheproof), given to what judges signatures of certificates.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  isSignedBy,
  readPublicKey,
  type PublicKey,
  type SignatureAlgorithm,
} from '#protocols/certificate-algorithms.ts';
import { readDer } from '#protocols/der.ts';
import { requireCases, type Difference, type Meant, type Outcome } from './difference.ts';

/** Those whose algorithm is in our table; `p1363` and `webcrypto` are other encodings, which certificates do not have. */
const files =
  /^(?:ed25519|ed448|ecdsa_secp(?:256|384|521)r1_sha(?:256|384|512)|rsa_signature_\d+_sha(?:256|384|512))_test\.json$/;
const digests: Readonly<Record<string, SignatureAlgorithm['digest']>> = {
  'SHA-256': 'sha256',
  'SHA-384': 'sha384',
  'SHA-512': 'sha512',
};

interface Group {
  readonly publicKeyDer?: string;
  readonly publicKeyAsn?: string;
  readonly sha?: string;
  readonly tests: readonly {
    readonly tcId: number;
    readonly comment: string;
    readonly msg: string;
    readonly sig: string;
    readonly result: 'valid' | 'invalid' | 'acceptable';
    readonly flags: readonly string[];
  }[];
}

export const meantBeside: readonly Meant[] = [
  { cases: /SmallPublicKey/, expected: 'accepted', because: 'RSA exponents below 65537 are not taken' },
];

/** @param folder With the files of `testvectors_v1`. */
export function runWycheproof(folder: string): Outcome {
  const differences: Difference[] = [];
  let cases = 0;
  for (const file of readdirSync(folder).filter((name) => files.test(name))) {
    const { testGroups } = JSON.parse(readFileSync(join(folder, file), 'utf8')) as { testGroups: readonly Group[] };
    for (const { publicKeyDer, publicKeyAsn, sha, tests } of testGroups) {
      const key = readPublicKey(readDer(Buffer.from(publicKeyDer ?? publicKeyAsn ?? '', 'hex')));
      const algorithm = algorithmOf(key, sha);
      for (const { tcId, comment, msg, sig, result, flags } of tests) {
        cases += 1;
        const signed = { bytes: Buffer.from(msg, 'hex'), algorithm, signature: Buffer.from(sig, 'hex') };
        const expected = result === 'valid' ? 'accepted' : 'refused';
        if (isSignedBy(signed, key) !== (expected === 'accepted'))
          differences.push({ id: `${file} ${tcId} ${flags.join()}`, expected, why: comment });
      }
    }
  }
  requireCases(cases, folder);
  return { cases, differences };
}

function algorithmOf({ key }: PublicKey, sha: string | undefined): SignatureAlgorithm {
  const keyType = key.asymmetricKeyType as SignatureAlgorithm['keyType'];
  return { keyType, digest: digests[sha ?? ''] ?? null };
}
