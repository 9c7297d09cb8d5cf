// What makes evidence, and what it says when it cannot.
import type { AttestationChallenge } from './challenge.ts';

/** The `attestation` of a heartbeat. May hold a secret of the TPM, so it is never logged. */
export interface Evidence {
  readonly provider: string;
  readonly [member: string]: unknown;
}

export interface EvidenceProvider {
  readonly name: string;
  /** @throws EvidenceProblem, FileProblem */
  measure(challenge: AttestationChallenge, signal: AbortSignal): Promise<Evidence>;
}

/** Why there is no evidence, in words for the log, without anything secret. */
export class EvidenceProblem extends Error {
  /** What the program said on its standard error. */
  readonly said: string | null;
  constructor(message: string, said: string | null = null) {
    super(message);
    this.name = 'EvidenceProblem';
    this.said = said;
  }
}
