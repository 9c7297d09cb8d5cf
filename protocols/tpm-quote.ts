// Verification of a TPM 2.0 quote: a TPM signed these register values, for this challenge, with this attestation key.
//
// That the key lives in a TPM, and in which one, a quote cannot say: it takes a credential (tpm-credential.ts). Until that
// has come back, nothing may rest on the key, and `akName` is what it is known by.
import { constants, hash, verify } from 'node:crypto';
import type { TrustError } from '#contracts/problems.ts';
import { readBase64url } from './base64url.ts';
import { evidenceFault, evidenceRefusal, membersOf } from './evidence-fault.ts';
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
  type TpmName,
  type TpmPublic,
} from './tpm-public.ts';
import { readQuote, readSignature, type TpmClock, type TpmQuote, type TpmSignature } from './tpm-structures.ts';
import { verificationOf, type Verification } from './verification.ts';

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

/** What a quote is verified from. */
export interface QuoteToVerify {
  /** Untrusted, as parsed from JSON. */
  readonly evidence: unknown;
  readonly challenge: QuoteChallenge;
}

/** The steps that prove a quote: a TPM signed these registers, with this key, for this challenge. */
export function quoteSteps<Given extends object, Known extends Given & QuoteToVerify>(
  before: Verification<Given, Known>,
) {
  return before
    .find('bundle', ({ evidence }) => readTpmEvidence(evidence))
    .reading('The TPM quote')
    .find('key', ({ bundle }) => readTpmPublic(bundle.akPublic))
    .find('quote', ({ bundle }) => readQuote(bundle.quote))
    .find('signature', ({ bundle }) => readSignature(bundle.signature))
    .require('key_fit', ({ key }) => requireAttestationKey(key))
    .require('algorithm', ({ key, signature }) => requireAlgorithm(key, signature))
    .require('signed', ({ key, signature, bundle }) => requireSigned(key, signature, bundle.quote))
    .require('nonce', ({ bundle, quote, challenge }) => requireAnswer(bundle.nonce, quote, challenge))
    .require('selection', ({ quote, challenge }) => requireSameSelection(quote.selection, challenge.selection))
    .find('pcrs', ({ bundle, challenge }) => readPcrValues(bundle.pcrs, challenge.selection))
    .require('digest', ({ pcrs, quote, signature }) => requireQuoted(pcrs, quote, signature.hash))
    .find('signer', ({ key, quote, bundle }) => signerOf(key, quote, bundle.ekPublic))
    .reading(null);
}

const quoteVerification = quoteSteps(verificationOf<QuoteToVerify>());

/**
 * Verifies that the evidence is a quote that answers this challenge.
 *
 * @throws TrustError `attestation.failed`; `attestation.nonce_unknown` for a quote that answers another challenge
 * @throws RangeError when the challenge asks for nothing
 * @see TPM 2.0 Part 1 §18.4.2, §31.2; Part 3 §18.4
 */
export function verifyTpmQuote({ evidence, challenge }: QuoteToVerify): VerifiedQuote {
  requireSelection(challenge.selection);
  const { bundle, key, quote, signature, pcrs, signer } = quoteVerification.run({ evidence, challenge });
  return {
    evidence: bundle,
    pcrs,
    akName: keyIdOf(key),
    qualifiedSigner: quote.qualifiedSigner.toString('hex'),
    signerParent: signer.parent,
    scheme: signature.scheme.name,
    hash: signature.hash.name,
    clock: quote.clock,
    firmwareVersion: quote.firmwareVersion,
  } as VerifiedQuote;
}

/** What an attestation key is known by: its name, lower-case hex. */
export function keyIdOf({ name }: Pick<TpmName, 'name'>): string {
  return name.toString('hex');
}

/** A bundle that somebody else verifies: what can be read of it without a signature. */
export interface ForeignQuote {
  /** Name of the attestation key, or SHA-256 over what stands for it where no TPM would know it; lower-case hex. */
  readonly keyId: string;
  /** Null where the bundle has none. */
  readonly reported: PcrValues | null;
  /** Null where it is of a form that only the verifier knows. */
  readonly quote: TpmQuote | null;
  readonly manufacturer: string | null;
}

/**
 * The steps that read a bundle whose signature another verifier checks, which may know other forms of quotes, signatures
 * and keys. What can be read has to fit the challenge: the nonce always, the quote and the register values where they are
 * there. Nothing of it is proven.
 */
export function foreignQuoteSteps<Given extends object, Known extends Given & QuoteToVerify>(
  before: Verification<Given, Known>,
) {
  return before
    .reading('The TPM evidence')
    .find('fields', ({ evidence }) => readForeignFields(evidence))
    .require('answers', ({ fields, challenge }) => {
      if (fields.nonce !== challenge.nonce) throw otherChallenge();
      return true;
    })
    .find('akPublic', ({ fields }) => readBase64url(fields.ak_public, maximumForeignBytes))
    .find('quote', ({ fields }) => ifReadable(() => readQuote(readBase64url(fields.quote, maximumForeignBytes))))
    .find('signature', ({ fields }) =>
      ifReadable(() => readSignature(readBase64url(fields.signature, maximumForeignBytes))),
    )
    .find('reported', ({ fields, challenge }) =>
      fields.pcrs === undefined ? null : readPcrValues(fields.pcrs, challenge.selection),
    )
    .require('nonce', ({ quote, challenge }) => quote === null || requireAnswer(challenge.nonce, quote, challenge))
    .require(
      'selection',
      ({ quote, challenge }) => quote === null || requireSameSelection(quote.selection, challenge.selection),
    )
    .require(
      'digest',
      ({ quote, reported, signature }) =>
        quote === null || reported === null || signature === null || requireQuoted(reported, quote, signature.hash),
    )
    .find('keyId', ({ akPublic }) => {
      const name = ifReadable(() => readTpmName(akPublic));
      return name === null ? hash('sha256', akPublic) : keyIdOf(name);
    })
    .find('manufacturer', ({ fields }) =>
      fields.tpm_manufacturer === undefined ? null : readManufacturer(fields.tpm_manufacturer),
    )
    .reading(null);
}

const foreignQuoteReading = foreignQuoteSteps(verificationOf<QuoteToVerify>());

/**
 * Reads a bundle that another verifier verifies.
 *
 * @throws TrustError `attestation.failed`, `attestation.nonce_unknown`
 * @throws RangeError when the challenge asks for nothing
 */
export function readForeignQuote({ evidence, challenge }: QuoteToVerify): ForeignQuote {
  requireSelection(challenge.selection);
  const { keyId, reported, quote, manufacturer } = foreignQuoteReading.run({ evidence, challenge });
  return { keyId, reported, quote, manufacturer };
}

function readForeignFields(evidence: unknown): Readonly<Record<string, unknown>> {
  const fields = membersOf(evidence, ['provider', 'nonce', 'ak_public'], Object.keys(Object(evidence)));
  if (fields.provider !== tpmQuote) throw new Malformed('it is of another provider');
  return fields;
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
function requireAttestationKey({ attributes, symmetricBits, scheme }: TpmPublic): true {
  const fit = (attributes & (requiredAttributes | decrypt)) === requiredAttributes;
  if (!fit || symmetricBits !== null || scheme === null)
    throw evidenceFault('key_unfit', 'The attestation key is not a restricted signing key that its TPM made and keeps');
  return true;
}

function requireAlgorithm({ scheme }: TpmPublic, signature: TpmSignature): true {
  if (scheme?.signature !== signature.scheme || scheme.hash !== signature.hash)
    throw evidenceFault('algorithm_unfit', 'The quote is signed by another algorithm than its key is for');
  return true;
}

function requireSigned(ak: TpmPublic, signature: TpmSignature, signed: Buffer): true {
  if (isSignedBy(ak, signature, signed) !== true)
    throw evidenceFault('signature_invalid', 'The signature is not that of the attestation key over the quote');
  return true;
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

function requireAnswer(nonce: string, { extraData }: TpmQuote, challenge: QuoteChallenge): true {
  const asked = readBase64url(challenge.nonce, 64);
  if (nonce !== challenge.nonce || !extraData.equals(asked)) throw otherChallenge();
  return true;
}

function otherChallenge(): TrustError {
  return evidenceRefusal('attestation.nonce_unknown', 'other_challenge', 'The quote answers another challenge');
}

function requireQuoted(pcrs: PcrValues, quote: TpmQuote, { name }: TpmHash): true {
  if (!digestOf(pcrs, quote, name).equals(quote.pcrDigest))
    throw evidenceFault('pcr_digest', 'The PCR values that were reported are not those that the TPM quoted');
  return true;
}

function requireSameSelection(quoted: PcrSelection, asked: PcrSelection): true {
  const text = (selection: PcrSelection): string =>
    banksOf(selection)
      .map((bank) => `${bank}:${String(selection[bank])}`)
      .join('+');
  if (text(quoted) !== text(asked)) {
    throw evidenceFault('pcr_selection', 'The TPM quoted other PCRs than those that were asked for', {
      facts: { quoted: text(quoted), asked: text(asked) },
    });
  }
  return true;
}

/** Over the registers, ascending, bank after bank as they were quoted; by the hash of the signature (Part 3 §18.4.1). */
function digestOf(pcrs: PcrValues, { selection, bankOrder }: TpmQuote, name: TpmHash['name']): Buffer {
  const values = bankOrder.flatMap((bank) => (selection[bank] ?? []).map((register) => pcrs[bank]?.[register] ?? ''));
  return hash(name, Buffer.from(values.join(''), 'hex'), 'buffer');
}

/** Who signed, as the TPM says it. @throws Malformed when what should be a qualified name is none */
function signerOf(
  ak: TpmPublic,
  { qualifiedSigner }: TpmQuote,
  ekPublic: Buffer | null,
): { readonly parent: VerifiedQuote['signerParent'] } {
  const { bytes } = ak.nameHash;
  if (
    tpmHash(qualifiedSigner.length < 2 ? 0 : qualifiedSigner.readUInt16BE()) !== ak.nameHash ||
    qualifiedSigner.length !== bytes + 2
  )
    throw evidenceFault('malformed', 'The quote names a signer that this key cannot be');
  const isBelow = (parent: Buffer): boolean => qualifiedName(parent, ak).equals(qualifiedSigner);
  // Where most keys are, first.
  if (ekPublic !== null && isBelow(qualifiedName(hierarchies.endorsement, readTpmName(ekPublic))))
    return { parent: 'endorsement_key' };
  if (isBelow(hierarchies.endorsement)) return { parent: 'endorsement_hierarchy' };
  return { parent: isBelow(hierarchies.owner) ? 'owner_hierarchy' : null };
}
