// The bundle of the provider tpm_quote_v1 as it comes over the wire: decoded, bounded, and nothing of it proven.
import { readBase64url } from './base64url.ts';
import { longestEndorsementChain } from './endorsement.ts';
import { membersOf, refusingMalformed } from './evidence-fault.ts';
import { Malformed } from './malformed.ts';
import type { PcrValues } from './pcr.ts';

export const tpmQuote = 'tpm_quote_v1';

const maximumStructureBytes = 2048;
const maximumNonceBytes = 64;
const maximumSecretBytes = 64;
const maximumPemCharacters = 24 * 1024;
const manufacturerForm = /^[\x20-\x7e]{1,64}$/;

export interface TpmEvidence {
  /** As it was sent; whether it is the right one is for `verifyTpmQuote` to say. */
  readonly nonce: string;
  /** TPMS_ATTEST. */
  readonly quote: Buffer;
  /** TPMT_SIGNATURE. */
  readonly signature: Buffer;
  readonly pcrs: unknown;
  /** TPM2B_PUBLIC of the attestation key. */
  readonly akPublic: Buffer;
  /** PEM. */
  readonly ekCertificate: string | null;
  /** TPM2B_PUBLIC of the endorsement key. */
  readonly ekPublic: Buffer | null;
  /** PEM, one certificate each, as they were sent. */
  readonly endorsementChain: readonly string[];
  /** What the device says itself. */
  readonly manufacturer: string | null;
  readonly activatedSecret: Buffer | null;
}

/** What goes over the wire; bytes are base64url without padding. */
export interface TpmEvidenceOnTheWire {
  readonly provider: typeof tpmQuote;
  readonly nonce: string;
  readonly quote: string;
  readonly signature: string;
  readonly pcrs: PcrValues;
  readonly ak_public: string;
  readonly ek_certificate?: string;
  readonly ek_public?: string;
  readonly endorsement_chain?: readonly string[];
  readonly tpm_manufacturer?: string;
  readonly activated_secret?: string;
}

/**
 * @param evidence Untrusted, as parsed from JSON.
 * @throws TrustError `attestation.failed`
 */
export function readTpmEvidence(evidence: unknown): TpmEvidence {
  return refusingMalformed('The TPM evidence', () => {
    const fields = membersOf(
      evidence,
      ['provider', 'nonce', 'quote', 'signature', 'pcrs', 'ak_public'],
      ['ek_certificate', 'ek_public', 'endorsement_chain', 'tpm_manufacturer', 'activated_secret'],
    );
    if (fields.provider !== tpmQuote) throw new Malformed('it is of another provider');
    readBase64url(fields.nonce, maximumNonceBytes);
    return {
      nonce: fields.nonce as string,
      quote: readBase64url(fields.quote, maximumStructureBytes),
      signature: readBase64url(fields.signature, maximumStructureBytes),
      pcrs: fields.pcrs,
      akPublic: readBase64url(fields.ak_public, maximumStructureBytes),
      ekCertificate: optional(fields.ek_certificate, readText),
      ekPublic: optional(fields.ek_public, (value) => readBase64url(value, maximumStructureBytes)),
      endorsementChain: optional(fields.endorsement_chain, readChain) ?? [],
      manufacturer: optional(fields.tpm_manufacturer, readManufacturer),
      activatedSecret: optional(fields.activated_secret, (value) => readBase64url(value, maximumSecretBytes)),
    };
  });
}

function optional<T>(value: unknown, read: (value: unknown) => T): T | null {
  return value === undefined ? null : read(value);
}

function readText(value: unknown): string {
  if (typeof value !== 'string' || value.length > maximumPemCharacters) throw new Malformed('a certificate is not PEM');
  return value;
}

function readChain(value: unknown): string[] {
  if (!Array.isArray(value) || value.length > longestEndorsementChain)
    throw new Malformed('the endorsement chain is too long');
  return value.map(readText);
}

/** @throws Malformed */
export function readManufacturer(value: unknown): string {
  if (typeof value !== 'string' || !manufacturerForm.test(value)) throw new Malformed('the manufacturer is not a word');
  return value;
}
