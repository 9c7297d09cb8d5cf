// Attestation as its parts share it: what a device is asked, what was made of its answer, and where that leaves it.
import type { JsonObject } from './deps.ts';
import type { ProblemCode } from './problems.ts';

export const attestationProviders = ['signed_measurement_v1', 'tpm_quote_v1'] as const;
export type AttestationProvider = (typeof attestationProviders)[number];

/** Registers by bank, ascending: `{"sha256": [0, 1, 7]}`. */
export type RegisterSelection = Readonly<Record<string, readonly number[]>>;
/** Their values, lower-case hex: `{"sha256": {"0": "…"}}`. */
export type RegisterValues = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** What a device is bound to: all of it decided by people, none of it taken from what it says now. */
export interface AttestationBinding {
  readonly provider: AttestationProvider;
  /** Name of the attestation key in a TPM, or SHA-256 over the public key of a signed measurement; lower-case hex. */
  readonly key_id: string;
  /** Id of the endorsement key, or whatever the verifier named; null where nothing stable is known. */
  readonly binding_id: string | null;
}

/** A credential that only the TPM of this endorsement key can open, for this attestation key. The secret is kept as its digest. */
export interface CredentialActivation {
  readonly key_id: string;
  readonly endorsement_key_id: string;
  readonly secret_sha256: string;
  /** base64url, as they go to the device. */
  readonly credential_blob: string;
  readonly encrypted_secret: string;
}

/** What a device was asked and has not answered; the same until it is answered or expires. */
export interface StoredChallenge {
  readonly provider: AttestationProvider;
  /** base64url without padding, 32 bytes. */
  readonly nonce: string;
  readonly selection: RegisterSelection;
  readonly issued_at: string;
  readonly expires_at: string;
  readonly activation: CredentialActivation | null;
}

/**
 * - `verified`: everything that policy asks for was proven.
 * - `unproven`: nothing is wrong with it, but the key has not shown yet that it lives in its TPM; worth no trust.
 * - `refused`: with the code that the device is answered.
 */
export const verdictOutcomes = ['verified', 'unproven', 'refused'] as const;
export type VerdictOutcome = (typeof verdictOutcomes)[number];

/** TPM clock as quoted: a reboot raises `reset_count`, a resume `restart_count`. */
export interface QuotedClock {
  readonly clock_ms: number;
  readonly reset_count: number;
  readonly restart_count: number;
  readonly safe: boolean;
}

/** What one piece of evidence comes to. A pure function of evidence, basis and time. */
export interface Verdict {
  readonly outcome: VerdictOutcome;
  /** Of a refusal; null otherwise. */
  readonly code: Extract<ProblemCode, `attestation.${string}`> | null;
  /** Stable word for programs, such as `pcr_mismatch`; null when nothing is wrong. */
  readonly reason: string | null;
  /** The same for people. */
  readonly detail: string | null;
  readonly facts: JsonObject;
  readonly key_id: string | null;
  readonly binding_id: string | null;
  /** `certificate` when a manufacturer vouches for the endorsement key, `key` for a bare one, `verifier` when a command said it. */
  readonly binding_source: 'certificate' | 'key' | 'verifier' | 'measurement_key' | null;
  readonly manufacturer: string | null;
  readonly pcrs: RegisterValues | null;
  readonly clock: QuotedClock | null;
}

/** Where a device stands, as its row has it. `stale` and `not_required` are what readers make of it. */
export const attestationStandings = ['challenged', 'verified', 'failed'] as const;
export type AttestationStanding = (typeof attestationStandings)[number];

/** Row of `device_attestation`. */
export interface DeviceAttestation {
  readonly state: AttestationStanding;
  /** Raised each time the device becomes verified after it was not, or with another key. */
  readonly generation: number;
  /** Number of the last verdict; 0 before the first. */
  readonly verdict: number;
  readonly provider: AttestationProvider;
  /** Of the last evidence that was verified, which need not be what the device is bound to. */
  readonly key_id: string | null;
  readonly binding_id: string | null;
  readonly manufacturer: string | null;
  readonly verified_at: string | null;
  readonly fresh_until: string | null;
  readonly code: string | null;
  readonly reason: string | null;
  readonly detail: string | null;
  readonly clock: QuotedClock | null;
}

/** The settings that an actor decides by, as they reach it with the facts that it reads. */
export interface AttestationPolicy {
  /** Null: nobody is asked. */
  readonly provider: AttestationProvider | null;
  readonly required: boolean;
  readonly require_hardware_binding: boolean;
  readonly allow_key_rotation_with_stable_binding: boolean;
}
