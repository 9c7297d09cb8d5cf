// Attestation as its parts share it: what a device is asked, what was made of its answer, and where that leaves it.
import type { Instant, Json, JsonObject } from './deps.ts';
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

export type AttestationCode = Extract<ProblemCode, `attestation.${string}`>;

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

/** Approved values as `SENTINEL_ATTESTATION_PCR_BASELINES_JSON` has them, lower-case hex, for devices with all of these tags. */
export interface ApprovedRegisters {
  readonly matchTags: readonly string[];
  readonly pcrs: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
}

/** Reference values and limits: all of a verdict that is the same for every device. Kept under its digest. */
export interface AttestationBasis {
  readonly provider: AttestationProvider;
  /** Who verifies quotes: we ourselves, or the command of `SENTINEL_TPM_QUOTE_VERIFIER_COMMAND`. */
  readonly verifier: 'built_in' | 'command';
  readonly baselines: readonly ApprovedRegisters[];
  readonly challenge_ttl_seconds: number;
  readonly max_evidence_age_seconds: number;
  readonly max_clock_skew_seconds: number;
  readonly require_hardware_binding: boolean;
  readonly allow_key_rotation_with_stable_binding: boolean;
  readonly require_endorsement_chain: boolean;
  /** PEM. */
  readonly endorsement_roots: readonly string[];
  /** Empty lists let everybody pass. */
  readonly allowed_tpm_manufacturers: readonly string[];
  readonly allowed_endorsement_keys: readonly string[];
}

/** The evidence with which a key has shown that it lives in its TPM, as it was stored. */
export interface ActivationRecord {
  /** When it was judged, RFC 3339. */
  readonly at: string;
  readonly evidence: Json;
  /** With the credential that the evidence opened. */
  readonly challenge: StoredChallenge;
}

/** What is known of the device when its evidence is judged. */
export interface AttestationCircumstances {
  readonly device_id: string;
  /** What it was asked last; null when nothing is open. */
  readonly challenge: StoredChallenge | null;
  /** As its grant has it. */
  readonly bound: AttestationBinding | null;
  /** The key that was verified last, if it is on record that it has shown where it lives; it need not do so again. */
  readonly proven: AttestationBinding | null;
  /** Of the same evidence as `proven`. */
  readonly last_clock: QuotedClock | null;
  readonly assigned_tags: readonly string[];
  /** What the verifier command answered, as parsed; null when there is none, or it gave no answer. */
  readonly external: Json;
}

/** What one piece of evidence comes to. A pure function of evidence, circumstances, basis and time. */
export interface Verdict {
  readonly outcome: VerdictOutcome;
  /** Of a refusal; null otherwise. */
  readonly code: AttestationCode | null;
  /** Stable word for programs, such as `pcr_mismatch`; null when nothing is wrong. */
  readonly reason: string | null;
  /** The same for people. */
  readonly detail: string | null;
  readonly facts: JsonObject;
  /** As far as it was proven before something was refused. */
  readonly key_id: string | null;
  /** Of an unproven key, what it claims. */
  readonly binding_id: string | null;
  /** `certificate` when a manufacturer vouches for the endorsement key, `key` for a bare one, `verifier` when a command said it; null when it is
   *  the one that the device is bound to, and the evidence does not say it again. */
  readonly binding_source: 'certificate' | 'key' | 'verifier' | null;
  readonly manufacturer: string | null;
  readonly pcrs: RegisterValues | null;
  readonly clock: QuotedClock | null;
  /** Until when it counts, if it is verified: it was made some time before it was judged. */
  readonly fresh_until: Instant | null;
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
