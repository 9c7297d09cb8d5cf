// What a device actor believes of evidence: not the verdict that the API wrote down, but its own of the same evidence.
import type {
  ActivationRecord,
  AttestationBasis,
  AttestationCircumstances,
  AttestationPolicy,
  Verdict,
} from '#contracts/attestation.ts';
import type { Json } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import type { Stamp } from '#machines/actor.ts';
import type { EvidenceQuery, EvidenceVerified } from '#machines/device-events.ts';
import { unjudged } from '#protocols/attestation-verdict.ts';
import { livesInTpm } from '#protocols/key-activation.ts';
import { verifierRequest, type VerifierRequest } from '#protocols/verifier-answer.ts';
import { beating } from './beating.ts';

/** A verdict as it is stored, with what it was made from. */
export interface StoredEvidence {
  /** When it was judged, RFC 3339. */
  readonly at: string;
  readonly generation: number;
  readonly evidence: Json;
  /** SHA-256 over the RFC 8785 form of `evidence`, lower-case hex. */
  readonly evidence_digest: string;
  readonly circumstances: AttestationCircumstances;
}

export interface AttestationActivityDeps {
  /** Null when the store has no such verdict. */
  storedEvidence(query: {
    readonly project: string;
    readonly device_id: string;
    readonly verdict: number;
  }): Promise<StoredEvidence | null>;
  /**
   * The evidence with which the key of a verdict is on record to have shown that it lives in its TPM, as it is stored; null
   * when there is none.
   */
  storedActivation(query: {
    readonly project: string;
    readonly device_id: string;
    readonly verdict: number;
  }): Promise<StoredEvidence | null>;
  /** Within a limit. Rejects when there is no verdict. */
  judgeEvidence(judgement: {
    readonly evidence: unknown;
    readonly circumstances: AttestationCircumstances;
    readonly basis: AttestationBasis;
    readonly now: Date;
    readonly activation?: ActivationRecord | null;
  }): Promise<Verdict>;
  /** What the external verifier says now. Rejects when it says nothing. */
  askVerifier(request: VerifierRequest): Promise<Json>;
  digestOf(value: unknown): string;
  readonly attestation: AttestationPolicy;
  /** What evidence is judged by now; null when nobody is asked for any. */
  readonly basis: () => AttestationBasis | null;
}

type Answer = Omit<EvidenceVerified, keyof Stamp | 'type'>;

export function createAttestationActivities(deps: AttestationActivityDeps) {
  const { storedEvidence, storedActivation, askVerifier, digestOf, attestation } = deps;

  /** No verdict is a refusal, which people hear of; unless nothing was looked at, which is tried again. */
  async function verdictOn(judgement: Parameters<typeof deps.judgeEvidence>[0]): Promise<Verdict> {
    try {
      return await beating(() => deps.judgeEvidence(judgement));
    } catch (error) {
      if (error instanceof TrustError && error.code === 'service.overloaded') throw error;
      return unjudged;
    }
  }

  /** What is on record of the key, as it was: the judge proves it again, and believes nothing else of where a key lives. */
  async function activationOf(query: Parameters<typeof storedActivation>[0]): Promise<ActivationRecord | null> {
    const found = await storedActivation(query);
    const challenge = found?.circumstances.challenge ?? null;
    if (found === null || challenge === null || found.circumstances.device_id !== query.device_id) return null;
    if (found.evidence_digest !== digestOf(found.evidence)) return null;
    return { at: found.at, evidence: found.evidence, challenge };
  }

  return {
    /**
     * Judges stored evidence again, as of when it came: by the present reference values, against what the actor says that
     * the device is bound to.
     *
     * @returns what was proven; evidence that proves nothing is an answer, not an error
     * @throws when the store does not answer, the external verifier gives no verdict, or too much waits to be judged
     * @idempotent yes: reads only.
     */
    async verifyEvidence(query: EvidenceQuery): Promise<Answer> {
      const { project, device_id, epoch, generation, verdict, bound, assigned_tags } = query;
      const found = await storedEvidence({ project, device_id, verdict });
      const answer = { epoch, generation, verdict, policy: attestation };
      const evidence_digest = found && digestOf(found.evidence);
      const refused = (reason: string): Answer => ({
        ...answer,
        valid: false,
        code: 'attestation.failed',
        reason,
        key_id: null,
        binding_id: null,
        evidence_digest,
      });
      const basis = deps.basis();
      if (basis === null) return refused('not_required');
      if (found === null) return refused('evidence_missing');
      if (found.generation !== generation) return refused('other_generation');
      if (found.evidence_digest !== evidence_digest) return refused('evidence_changed');
      if (found.circumstances.device_id !== device_id) return refused('other_device');
      const { evidence, at } = found;
      const { challenge } = found.circumstances;
      // Its answer is not taken from the store either.
      const external =
        basis.verifier === 'command' && challenge !== null
          ? await beating(() => askVerifier(verifierRequest({ deviceId: device_id, challenge, evidence, basis })))
          : null;
      const circumstances = { ...found.circumstances, bound, assigned_tags, external };
      const judged = await verdictOn({
        evidence,
        circumstances,
        basis,
        now: new Date(at),
        ...(livesInTpm(basis) ? { activation: await activationOf({ project, device_id, verdict }) } : {}),
      });
      if (judged.outcome === 'unproven') return refused('key_unproven');
      const { outcome, code, reason, key_id, binding_id } = judged;
      return { ...answer, valid: outcome === 'verified', code, reason, key_id, binding_id, evidence_digest };
    },
  };
}
export type AttestationActivities = ReturnType<typeof createAttestationActivities>;
