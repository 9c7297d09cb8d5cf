// What an external verifier command is asked, and its answer: JSON that counts only when it is of exactly this form.
import type { AttestationBasis, StoredChallenge } from '#contracts/attestation.ts';
import type { JsonObject } from '#contracts/deps.ts';
import { longestEndorsementChain } from './endorsement.ts';
import { evidenceFault, membersOf } from './evidence-fault.ts';
import { Malformed } from './malformed.ts';
import { readPcrValues, type PcrSelection, type PcrValues } from './pcr.ts';

const maximumPemCharacters = 24 * 1024;
const maximumReasonCharacters = 500;
/** A fingerprint, or whatever the verifier calls the hardware by. */
const bindingForm = /^[\x21-\x7e]{1,128}$/;

export interface VerifierRequest {
  readonly device_id: string;
  /** base64url without padding, as the challenge had it. */
  readonly nonce: string;
  /** As it came from the device: nothing of it is proven. */
  readonly attestation: unknown;
  readonly policy: JsonObject;
}

/** What a verifier is told: the evidence, what it has to answer, and the rules. Nothing secret is in it. */
export function verifierRequest({
  deviceId,
  challenge: { nonce, selection },
  evidence,
  basis,
}: {
  deviceId: string;
  challenge: StoredChallenge;
  evidence: unknown;
  basis: AttestationBasis;
}): VerifierRequest {
  return {
    device_id: deviceId,
    nonce,
    attestation: evidence,
    policy: {
      pcr_selection: selection,
      baselines: basis.baselines.map(({ matchTags, pcrs }) => ({ match_tags: matchTags, pcrs })),
      require_hardware_binding: basis.require_hardware_binding,
      require_endorsement_chain: basis.require_endorsement_chain,
      allowed_tpm_manufacturers: basis.allowed_tpm_manufacturers,
      max_evidence_age_seconds: basis.max_evidence_age_seconds,
    },
  };
}

export interface VerifierAnswer {
  readonly valid: boolean;
  /** For people. */
  readonly reason: string | null;
  /** Of exactly the registers that were asked for; null when the verifier says nothing of them. */
  readonly pcrs: PcrValues | null;
  /** Which hardware it is, in the verifier's words. */
  readonly bindingId: string | null;
  /** PEM, the endorsement certificate first. */
  readonly endorsementChain: readonly string[] | null;
}

/**
 * Reads `{valid, reason?, pcrs?, hardware_identity?: {binding_id | endorsement_key_id}, endorsement_chain?}`, in which
 * null stands for absent.
 *
 * @param answer    Untrusted, as parsed from JSON; null when there was no answer.
 * @param selection What the challenge asked for.
 * @throws TrustError `attestation.failed` with the reason `verifier_failed`
 */
export function readVerifierAnswer(answer: unknown, selection: PcrSelection): VerifierAnswer {
  try {
    const fields = membersOf(answer, ['valid'], ['reason', 'pcrs', 'hardware_identity', 'endorsement_chain']);
    // Only a yes that is one: "true", 1 and the like are none.
    if (typeof fields.valid !== 'boolean') throw new Malformed('valid is neither true nor false');
    return {
      valid: fields.valid,
      reason: ifThere(fields.reason, readReason),
      pcrs: ifThere(fields.pcrs, (value) => readPcrValues(value, selection)),
      bindingId: ifThere(fields.hardware_identity, readIdentity),
      endorsementChain: ifThere(fields.endorsement_chain, readChain),
    };
  } catch (cause) {
    const why = cause instanceof Malformed ? `: ${cause.message}` : '';
    throw evidenceFault('verifier_failed', `The verifier gave no answer that can be used${why}`, { cause });
  }
}

function ifThere<T>(value: unknown, read: (value: unknown) => T): T | null {
  return value === undefined || value === null ? null : read(value);
}

function readReason(value: unknown): string {
  if (typeof value !== 'string' || !value.isWellFormed()) throw new Malformed('reason is not a text');
  // It is shown in one line of a log or a table.
  return value.replaceAll(/\p{Cc}+/gu, ' ').slice(0, maximumReasonCharacters);
}

function readIdentity(value: unknown): string | null {
  const fields = membersOf(value, [], ['binding_id', 'endorsement_key_id']);
  const bindingId = ifThere(fields.binding_id, readBindingId);
  const endorsementKeyId = ifThere(fields.endorsement_key_id, readBindingId);
  return bindingId ?? endorsementKeyId;
}

function readBindingId(value: unknown): string {
  if (typeof value !== 'string' || !bindingForm.test(value)) throw new Malformed('the hardware identity is not a word');
  return value;
}

function readChain(value: unknown): string[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > longestEndorsementChain)
    throw new Malformed('the endorsement chain is no list, or is empty or too long');
  return value.map((pem: unknown) => {
    if (typeof pem !== 'string' || pem.length > maximumPemCharacters) throw new Malformed('a certificate is not PEM');
    return pem;
  });
}
