// Evidence that a TPM has made, recorded in tests/fixtures/tpm, and wrong evidence made from it down to the byte.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { problems, TrustError, type ProblemCode } from '#contracts/problems.ts';
import type { EvidenceFault } from '#protocols/evidence-fault.ts';
import type { QuoteChallenge } from '#protocols/tpm-quote.ts';
import type { TpmEvidenceOnTheWire } from '#protocols/tpm-evidence.ts';

export interface QuoteVector {
  readonly kind: { readonly ek: string; readonly key: string; readonly scheme: string; readonly hash: string };
  readonly ak_name: string;
  readonly challenge: QuoteChallenge;
  readonly evidence: TpmEvidenceOnTheWire;
}

export interface EndorsementVector {
  readonly kind: string;
  readonly ek_public: string;
  readonly certificate: string | null;
}

export const vectors = JSON.parse(
  readFileSync(new URL('../../fixtures/tpm/vectors.json', import.meta.url), 'utf8'),
) as {
  /** Root first. */
  readonly authorities: readonly [string, string];
  readonly endorsement: readonly EndorsementVector[];
  readonly quotes: readonly QuoteVector[];
};

/** Vectors by how they are signed: `rsassa sha256 rsa`. */
export function quoteVector(scheme: string, hash: string, key?: string): QuoteVector {
  const found = vectors.quotes.find(
    ({ kind }) => kind.scheme === scheme && kind.hash === hash && kind.key === (key ?? kind.key),
  );
  assert.ok(found);
  return found;
}

export function endorsementVector(kind: string): EndorsementVector {
  const found = vectors.endorsement.find((vector) => vector.kind === kind);
  assert.ok(found);
  return found;
}

export const bytesOf = (text: string): Buffer => Buffer.from(text, 'base64url');
export const textOf = (bytes: Buffer): string => bytes.toString('base64url');

/** The refusal of what must be refused: only ever a code of the table, never a failure of the server. */
export function refusalOf(act: () => unknown, message?: string): TrustError {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof TrustError, `${message ?? ''} ${String(error)}`);
    assert.ok(Object.hasOwn(problems, error.code) && error.code.startsWith('attestation.'), error.code);
    return error;
  }
  assert.fail(`accepted: ${message ?? ''}`);
}

/** Requires this refusal, and for `attestation.failed` this reason. */
export function refuses(expected: EvidenceFault | ProblemCode, act: () => unknown, message?: string): void {
  const { code, facts } = refusalOf(act, message);
  assert.equal(code === 'attestation.failed' ? facts.reason : code, expected, message);
}

/** The same bytes with one bit of one of them turned round. */
export function flipped(bytes: Buffer, position: number, bit: number): Buffer {
  const other = Buffer.from(bytes);
  other[position] = (other[position] ?? 0) ^ (1 << bit);
  return other;
}
