// Whether an attestation key lives in its TPM: a credential that only that TPM can open, and the secret that comes back.
import { hash } from 'node:crypto';
import type {
  AttestationBasis,
  AttestationCircumstances,
  CredentialActivation,
  StoredChallenge,
  Verdict,
} from '#contracts/attestation.ts';
import type { Random } from '#contracts/deps.ts';
import { sameSecret } from './constant-time.ts';
import { findEndorsement, type Endorsement } from './endorsement.ts';
import { endorsementRootsOf } from './attestation-basis.ts';
import { evidenceFault } from './evidence-fault.ts';
import { makeCredential } from './tpm-credential.ts';
import { readTpmEvidence, type TpmEvidence } from './tpm-evidence.ts';
import { readTpmName } from './tpm-public.ts';
import { keyIdOf, quoteSteps, type QuoteToVerify } from './tpm-quote.ts';
import { verificationOf } from './verification.ts';

const secretBytes = 32;

/**
 * Makes the credential that an unproven key has to open. It is made with the endorsement key that the evidence names,
 * which was verified again where policy asks for a chain.
 *
 * @param verdict Of this evidence.
 * @returns null when the evidence names no endorsement key, or when nothing is left to prove
 * @throws TrustError `attestation.failed`; RangeError when the verdict is of other evidence
 */
export function activationFor({
  evidence,
  verdict,
  basis,
  now,
  random,
}: {
  evidence: unknown;
  verdict: Verdict;
  basis: AttestationBasis;
  now: Date;
  random: Random;
}): CredentialActivation | null {
  if (verdict.outcome !== 'unproven') return null;
  const bundle = readTpmEvidence(evidence);
  const { key } = endorsementOf(bundle, basis, now);
  if (key === null) return null;
  const { name } = readTpmName(bundle.akPublic);
  if (keyIdOf({ name }) !== verdict.key_id || key.id !== verdict.binding_id)
    throw new RangeError('the verdict is of other evidence');
  const secret = random.bytes(secretBytes);
  const credential = makeCredential({ endorsementKey: key, akName: name, secret, random });
  return {
    key_id: verdict.key_id,
    endorsement_key_id: key.id,
    secret_sha256: hash('sha256', secret),
    credential_blob: credential.credentialBlob.toString('base64url'),
    encrypted_secret: credential.encryptedSecret.toString('base64url'),
  };
}

/** The endorsement key of a bundle, by the rules of the basis. @throws TrustError `attestation.failed` */
export function endorsementOf(bundle: TpmEvidence, basis: AttestationBasis, now: Date): Endorsement {
  return findEndorsement({
    certificate: bundle.ekCertificate,
    chain: bundle.endorsementChain,
    ekPublic: bundle.ekPublic,
    roots: endorsementRootsOf(basis),
    required: basis.require_endorsement_chain,
    now,
  });
}

/** What an activation is verified from. */
export interface ActivationToVerify extends QuoteToVerify {
  /** The challenge that had the credential with it. */
  readonly challenge: StoredChallenge;
  readonly now: Date;
}

/** An attestation key, and the endorsement key in whose TPM it lives. */
export type ActivatedKey = Pick<CredentialActivation, 'key_id' | 'endorsement_key_id'>;

/**
 * The steps that prove an activation again: the key has signed a quote for the challenge that its credential came with, and
 * with it came the secret that only the TPM of this endorsement key could read. Who vouches for the endorsement key, and
 * what the registers held, is for newer evidence to say.
 */
export const activationVerification = quoteSteps(verificationOf<ActivationToVerify>())
  .find('endorsement', ({ bundle, now }) =>
    findEndorsement({
      certificate: bundle.ekCertificate,
      chain: bundle.endorsementChain,
      ekPublic: bundle.ekPublic,
      roots: [],
      required: false,
      now,
    }),
  )
  .find('activated', ({ challenge, key, endorsement, bundle }): ActivatedKey => {
    const key_id = keyIdOf(key);
    const endorsement_key_id = endorsement.key?.id ?? null;
    const shown = wasActivated({
      challenge,
      keyId: key_id,
      endorsementKeyId: endorsement_key_id,
      secret: bundle.activatedSecret,
    });
    if (!shown || endorsement_key_id === null)
      throw evidenceFault('key_unproven', 'The evidence on record does not show that the key lives in its TPM');
    return { key_id, endorsement_key_id };
  });

/** Whether keys have to show us that they live in their TPM: a verifier command says so itself, and other keys need not. */
export function livesInTpm({ provider, verifier }: Pick<AttestationBasis, 'provider' | 'verifier'>): boolean {
  return provider === 'tpm_quote_v1' && verifier === 'built_in';
}

/**
 * Tells whether evidence counts although its key was on no record: then it is what shows where the key lives, from now on.
 *
 * @param verdict Of this evidence.
 */
export function isActivation(
  { outcome, key_id, binding_id }: Verdict,
  { proven }: Pick<AttestationCircumstances, 'proven'>,
  basis: AttestationBasis,
): boolean {
  return (
    livesInTpm(basis) && outcome === 'verified' && (proven?.key_id !== key_id || proven?.binding_id !== binding_id)
  );
}

/**
 * Tells whether the secret has come back for exactly this attestation key and endorsement key.
 *
 * @throws TrustError `attestation.failed` for another secret
 */
export function wasActivated({
  challenge: { activation },
  keyId,
  endorsementKeyId,
  secret,
}: {
  challenge: StoredChallenge;
  keyId: string;
  endorsementKeyId: string | null;
  secret: Buffer | null;
}): boolean {
  if (activation === null || secret === null || endorsementKeyId === null) return false;
  if (activation.key_id !== keyId || activation.endorsement_key_id !== endorsementKeyId) return false;
  if (!sameSecret(hash('sha256', secret), activation.secret_sha256))
    throw evidenceFault('activation_wrong', 'The secret that came back is not that of the credential');
  return true;
}
