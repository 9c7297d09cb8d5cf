// Signed checkpoints of the audit trail: the heads of all chains at one moment, in the envelope of everything that we sign.
import { createPublicKey, type KeyObject } from 'node:crypto';
import type { Checkpoint, CheckpointHead } from '#contracts/audit.ts';
import type { JsonObject } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import {
  signEnvelope,
  verificationKeys,
  verifyEnvelope,
  type SignedEnvelope,
  type SigningKey,
  type VerificationKeys,
} from './signed-envelope.ts';

const type = 'audit.checkpoint';

/** Signs the heads. */
export function signCheckpoint(checkpoint: Omit<Checkpoint, 'key_id'>, key: SigningKey): SignedEnvelope {
  return signEnvelope(type, { ...checkpoint, heads: checkpoint.heads.map((head) => ({ ...head })) } as JsonObject, key);
}

/**
 * Verifies that a trusted key signed this checkpoint, and reads it.
 *
 * @param envelope Untrusted; as parsed from JSON.
 * @throws TrustError `signature.invalid`
 */
export function verifyCheckpoint(envelope: unknown, keys: VerificationKeys): Checkpoint {
  const { id, at, heads, previous } = verifyEnvelope(type, envelope, keys);
  if (typeof id !== 'string' || typeof at !== 'string' || !Array.isArray(heads) || !heads.every(isHead)) {
    throw new TrustError('signature.invalid', { detail: 'The checkpoint does not say what a checkpoint says' });
  }
  const { key_id } = (envelope as SignedEnvelope).signature;
  return { id, at, heads, previous: (previous ?? null) as Checkpoint['previous'], key_id };
}

function isHead(value: unknown): value is CheckpointHead {
  const { project_id, stream, sequence, hash } = (value ?? {}) as Record<string, unknown>;
  return (
    typeof project_id === 'string' &&
    (stream === 'audit' || stream === 'outbox') &&
    Number.isSafeInteger(sequence) &&
    typeof hash === 'string'
  );
}

/**
 * Reads the public keys that checkpoints are verified with: `{"keys": {"<key id>": "<SPKI, PEM>"}}`. A key counts under
 * the id that it really has, whatever it is called there.
 *
 * @throws TrustError `data.unreadable`
 */
export function readPublicKeys(text: string): ReadonlyMap<string, KeyObject> {
  try {
    const { keys } = JSON.parse(text) as { keys: unknown };
    if (typeof keys !== 'object' || keys === null) throw new TypeError('no keys are there');
    return verificationKeys(Object.values(keys).map((pem) => createPublicKey(pem as string)));
  } catch (cause) {
    throw new TrustError('data.unreadable', { detail: 'The public keys of checkpoints cannot be read', cause });
  }
}

/** The same as text. */
export function writePublicKeys(keys: ReadonlyMap<string, KeyObject>): string {
  const pems = [...keys].map(([id, key]) => [id, key.export({ type: 'spki', format: 'pem' }).toString()]);
  return `${JSON.stringify({ keys: Object.fromEntries(pems) as Record<string, string> }, null, 2)}\n`;
}
