// Verification of a TPM 2.0 quote: a TPM signed these register values, for this challenge, with this attestation key.
//
// That the key lives in a TPM, and in which one, a quote cannot say: it takes a credential (tpm-credential.ts). Until that
// has come back, nothing may rest on the key, and `akName` is what it is known by.
import { constants, hash, verify } from 'node:crypto';
import type { TrustError } from '#contracts/problems.ts';
import { readBase64url } from './base64url.ts';
import { evidenceFault, evidenceRefusal, membersOf, refusingMalformed } from './evidence-fault.ts';
import { Malformed } from './malformed.ts';
import { banksOf, readPcrValues, requireSelection, type PcrSelection, type PcrValues } from './pcr.ts';
import { tpmHash, type TpmHash, type TpmSignatureScheme } from './tpm-algorithms.ts';
import { readManufacturer, readTpmEvidence, tpmQuote, type TpmEvidence } from './tpm-evidence.ts';
import {
  hierarchies,
  objectAttributes,
  padded,
  qualifiedName,
  readTpmName,
  readTpmPublic,
  type TpmPublic,
} from './tpm-public.ts';
import { readQuote, readSignature, type TpmClock, type TpmQuote, type TpmSignature } from './tpm-structures.ts';

/** What the device was asked, as it was kept when it was asked. */
export interface QuoteChallenge {
  /** base64url without padding; its bytes are the quote's `extraData`. */
  readonly nonce: string;
  readonly selection: PcrSelection;
}

declare const verifiedBrand: unique symbol;

/** A quote whose signature, nonce, selection and digest were proven. Only `verifyTpmQuote` makes one. */
export interface VerifiedQuote {
  readonly [verifiedBrand]: true;
  readonly evidence: TpmEvidence;
  readonly pcrs: PcrValues;
  /** The name of the attestation key, lower-case hex: what has to be the same that was enrolled. */
  readonly akName: string;
  /** Qualified name of the attestation key as the TPM says it, lower-case hex. */
  readonly qualifiedSigner: string;
  /** Where that places the key; `null` below another object, which only its TPM knows. */
  readonly signerParent: 'endorsement_key' | 'endorsement_hierarchy' | 'owner_hierarchy' | null;
  readonly scheme: TpmSignatureScheme['name'];
  readonly hash: TpmHash['name'];
  readonly clock: TpmClock;
  /** Sixteen hex digits. */
  readonly firmwareVersion: string;
}

/**
 * Verifies that the evidence is a quote that answers this challenge.
 *
 * @param evidence Untrusted, as parsed from JSON.
 * @throws TrustError `attestation.failed`; `attestation.nonce_unknown` for a quote that answers another challenge
 * @throws RangeError when the challenge asks for nothing
 * @see TPM 2.0 Part 1 §18.4.2, §31.2; Part 3 §18.4
 */
export function verifyTpmQuote({
  evidence: untrusted,
  challenge,
}: {
  evidence: unknown;
  challenge: QuoteChallenge;
}): VerifiedQuote {
  requireSelection(challenge.selection);
  const evidence = readTpmEvidence(untrusted);
  return refusingMalformed('The TPM quote', () => {
    const ak = readTpmPublic(evidence.akPublic);
    const quote = readQuote(evidence.quote);
    const signature = readSignature(evidence.signature);
    requireAttestationKey(ak);
    if (ak.scheme?.signature !== signature.scheme || ak.scheme.hash !== signature.hash)
      throw evidenceFault('algorithm_unfit', 'The quote is signed by another algorithm than its key is for');
    if (!isSignedBy(ak, signature, evidence.quote))
      throw evidenceFault('signature_invalid', 'The signature is not that of the attestation key over the quote');
    requireAnswer(evidence.nonce, quote, challenge);
    requireSameSelection(quote.selection, challenge.selection);
    const pcrs = readPcrValues(evidence.pcrs, challenge.selection);
    requireQuoted(pcrs, quote, signature.hash);
    return {
      evidence,
      pcrs,
      akName: ak.name.toString('hex'),
      qualifiedSigner: quote.qualifiedSigner.toString('hex'),
      signerParent: parentOf(ak, quote, evidence.ekPublic),
      scheme: signature.scheme.name,
      hash: signature.hash.name,
      clock: quote.clock,
      firmwareVersion: quote.firmwareVersion,
    } as VerifiedQuote;
  });
}

/** A bundle that somebody else verifies: what can be read of it without a signature. */
export interface ForeignQuote {
  /** Name of the attestation key, or SHA-256 over what stands for it where no TPM would know it; lower-case hex. */
  readonly keyId: string;
  /** Null where the bundle has none. */
  readonly pcrs: PcrValues | null;
  /** Null where the quote is of a form that only the verifier knows. */
  readonly clock: TpmClock | null;
  readonly manufacturer: string | null;
}

/**
 * Reads a bundle whose signature another verifier checks, which may know other forms of quotes, signatures and keys.
 * What can be read has to fit the challenge: the nonce always, the quote and the register values where they are there.
 *
 * @param evidence Untrusted, as parsed from JSON. Nothing of it is proven.
 * @throws TrustError `attestation.failed`, `attestation.nonce_unknown`
 */
export function readForeignQuote({
  evidence,
  challenge,
}: {
  evidence: unknown;
  challenge: QuoteChallenge;
}): ForeignQuote {
  requireSelection(challenge.selection);
  return refusingMalformed('The TPM evidence', () => {
    const fields = membersOf(evidence, ['provider', 'nonce', 'ak_public'], Object.keys(Object(evidence)));
    if (fields.provider !== tpmQuote) throw new Malformed('it is of another provider');
    if (fields.nonce !== challenge.nonce) throw otherChallenge();
    const akPublic = readBase64url(fields.ak_public, maximumForeignBytes);
    const quote = ifReadable(() => readQuote(readBase64url(fields.quote, maximumForeignBytes)));
    const signature = ifReadable(() => readSignature(readBase64url(fields.signature, maximumForeignBytes)));
    const pcrs = fields.pcrs === undefined ? null : readPcrValues(fields.pcrs, challenge.selection);
    if (quote !== null) {
      requireAnswer(challenge.nonce, quote, challenge);
      requireSameSelection(quote.selection, challenge.selection);
      if (pcrs !== null && signature !== null) requireQuoted(pcrs, quote, signature.hash);
    }
    return {
      keyId: ifReadable(() => readTpmName(akPublic))?.name.toString('hex') ?? hash('sha256', akPublic),
      pcrs,
      clock: quote?.clock ?? null,
      manufacturer: fields.tpm_manufacturer === undefined ? null : readManufacturer(fields.tpm_manufacturer),
    };
  });
}

const maximumForeignBytes = 16 * 1024;

function ifReadable<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}

const { fixedTPM, fixedParent, sensitiveDataOrigin, restricted, sign, decrypt } = objectAttributes;
const requiredAttributes = fixedTPM | fixedParent | sensitiveDataOrigin | restricted | sign;

/** A key that signs nothing but what its TPM has made up, and that was born in it and never leaves it (Part 1 §25.1). */
function requireAttestationKey({ attributes, symmetricBits, scheme }: TpmPublic): void {
  const fit = (attributes & (requiredAttributes | decrypt)) === requiredAttributes;
  if (!fit || symmetricBits !== null || scheme === null)
    throw evidenceFault('key_unfit', 'The attestation key is not a restricted signing key that its TPM made and keeps');
}

function isSignedBy(
  ak: TpmPublic,
  { hash: { name: digest }, scheme, rsa, ecdsa }: TpmSignature,
  signed: Buffer,
): boolean {
  if (scheme.keyType !== ak.type) return false;
  if (ak.type === 'ecc') {
    if (ecdsa === undefined) return false;
    const bytes = Buffer.concat([padded(ecdsa.r, ak.curve.bytes), padded(ecdsa.s, ak.curve.bytes)]);
    return verify(digest, signed, { key: ak.key, dsaEncoding: 'ieee-p1363' }, bytes);
  }
  if (rsa === undefined || rsa.length * 8 !== ak.bits) return false;
  // Older TPMs use the longest salt that fits, newer ones one of the digest's length (Part 1 §B.7).
  const padding =
    scheme.name === 'rsapss'
      ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO }
      : { padding: constants.RSA_PKCS1_PADDING };
  return verify(digest, signed, { key: ak.key, ...padding }, rsa);
}

function requireAnswer(nonce: string, { extraData }: TpmQuote, challenge: QuoteChallenge): void {
  const asked = readBase64url(challenge.nonce, 64);
  if (nonce !== challenge.nonce || !extraData.equals(asked)) throw otherChallenge();
}

function otherChallenge(): TrustError {
  return evidenceRefusal('attestation.nonce_unknown', 'other_challenge', 'The quote answers another challenge');
}

function requireQuoted(pcrs: PcrValues, quote: TpmQuote, { name }: TpmHash): void {
  if (!digestOf(pcrs, quote, name).equals(quote.pcrDigest))
    throw evidenceFault('pcr_digest', 'The PCR values that were reported are not those that the TPM quoted');
}

function requireSameSelection(quoted: PcrSelection, asked: PcrSelection): void {
  const text = (selection: PcrSelection): string =>
    banksOf(selection)
      .map((bank) => `${bank}:${String(selection[bank])}`)
      .join('+');
  if (text(quoted) !== text(asked)) {
    throw evidenceFault('pcr_selection', 'The TPM quoted other PCRs than those that were asked for', {
      facts: { quoted: text(quoted), asked: text(asked) },
    });
  }
}

/** Over the registers, ascending, bank after bank as they were quoted; by the hash of the signature (Part 3 §18.4.1). */
function digestOf(pcrs: PcrValues, { selection, bankOrder }: TpmQuote, name: TpmHash['name']): Buffer {
  const values = bankOrder.flatMap((bank) => (selection[bank] ?? []).map((register) => pcrs[bank]?.[register] ?? ''));
  return hash(name, Buffer.from(values.join(''), 'hex'), 'buffer');
}

/** @throws Malformed when what should be a qualified name is none */
function parentOf(
  ak: TpmPublic,
  { qualifiedSigner }: TpmQuote,
  ekPublic: Buffer | null,
): VerifiedQuote['signerParent'] {
  const { bytes } = ak.nameHash;
  if (
    tpmHash(qualifiedSigner.length < 2 ? 0 : qualifiedSigner.readUInt16BE()) !== ak.nameHash ||
    qualifiedSigner.length !== bytes + 2
  )
    throw evidenceFault('malformed', 'The quote names a signer that this key cannot be');
  const isBelow = (parent: Buffer): boolean => qualifiedName(parent, ak).equals(qualifiedSigner);
  // Where most keys are, first.
  if (ekPublic !== null && isBelow(qualifiedName(hierarchies.endorsement, readTpmName(ekPublic))))
    return 'endorsement_key';
  if (isBelow(hierarchies.endorsement)) return 'endorsement_hierarchy';
  return isBelow(hierarchies.owner) ? 'owner_hierarchy' : null;
}
