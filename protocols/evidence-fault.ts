// Why evidence was refused, in words that programs can tell apart: the `reason` that goes with the code.
import type { AttestationCode } from '#contracts/attestation.ts';
import { TrustError, type ProblemFacts } from '#contracts/problems.ts';
import { Malformed } from './malformed.ts';

/** Kept for good once released, as problem codes are. */
export type EvidenceFault =
  /** Bytes or fields that are not what they claim to be. */
  | 'malformed'
  /** A key that is too weak, or may be used for other things than this. */
  | 'key_unfit'
  /** An algorithm, or a combination of them, that nothing may rest on. */
  | 'algorithm_unfit'
  | 'signature_invalid'
  | 'other_device'
  | 'clock_ahead'
  /** Other registers than those that were asked for. */
  | 'pcr_selection'
  /** The values that were reported are not those that were signed. */
  | 'pcr_digest'
  | 'pcr_mismatch'
  | 'baseline_missing'
  | 'endorsement_missing'
  | 'endorsement_untrusted'
  | 'endorsement_expired'
  | 'manufacturer_not_allowed'
  | 'endorsement_key_not_allowed'
  /** Nothing says which hardware it comes from, and policy asks for that. */
  | 'hardware_unbound'
  /** The secret of a credential came back, and is another one. */
  | 'activation_wrong'
  /** Nothing shows that the key lives in its TPM. */
  | 'key_unproven'
  /** The clock of the TPM shows less than it did: the evidence is from before. */
  | 'clock_went_back'
  /** The verifier command gave no answer that can be used. */
  | 'verifier_failed'
  /** It said that the evidence is not valid. */
  | 'verifier_refused'
  /** Something of ours went wrong; nothing is said about the evidence. */
  | 'judgement_failed'
  /** With `attestation.nonce_unknown`. */
  | 'other_challenge'
  /** With `attestation.stale`. */
  | 'too_old'
  | 'challenge_expired'
  /** The registers that are approved are no longer those that were asked for. */
  | 'challenge_outdated'
  /** With `attestation.hardware_mismatch`. */
  | 'other_hardware'
  | 'other_key';

interface RefusalOptions {
  readonly facts?: ProblemFacts;
  readonly cause?: unknown;
}

/** The refusal; `detail` and `facts` may be shown to anybody who may see the device. */
export function evidenceRefusal(
  code: AttestationCode,
  reason: EvidenceFault,
  detail: string,
  options: RefusalOptions = {},
): TrustError {
  return new TrustError(code, { ...options, detail, facts: { ...options.facts, reason } });
}

/** Of evidence that is not what it should be. */
export function evidenceFault(reason: EvidenceFault, detail: string, options?: RefusalOptions): TrustError {
  return evidenceRefusal('attestation.failed', reason, detail, options);
}

/** Whatever goes wrong while evidence is read, ours or OpenSSL's, is a refusal and never a failure of the server. */
export function refusingMalformed<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof TrustError) throw cause;
    const why = cause instanceof Malformed ? `: ${cause.message}` : '';
    throw evidenceFault('malformed', `${what} cannot be read${why}`, { cause });
  }
}

/** An object with these members, of which the optional ones may be absent, and no others. */
export function membersOf(
  value: unknown,
  required: readonly string[],
  optional: readonly string[] = [],
): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Malformed('it is not an object');
  const missing = required.find((name) => !Object.hasOwn(value, name));
  if (missing !== undefined) throw new Malformed(`${missing} is missing`);
  const known = (name: string): boolean => required.includes(name) || optional.includes(name);
  // The name is not repeated: it comes from outside, as long as it likes.
  if (!Object.keys(value).every(known)) throw new Malformed('it has a member that is not known');
  return value as Record<string, unknown>;
}
