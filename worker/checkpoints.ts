// Signed checkpoints, first outside the database and then in it: whoever rewrites the one cannot rewrite the other.
import { createPublicKey } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Checkpoint, CheckpointHead } from '#contracts/audit.ts';
import type { Clock, JsonObject, Random } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import { digestOf } from '#protocols/canonical-json.ts';
import { readPublicKeys, signCheckpoint, verifyCheckpoint, writePublicKeys } from '#protocols/checkpoint.ts';
import type { SigningKey, VerificationKeys } from '#protocols/signed-envelope.ts';
import { readIfThere, replaceFile } from '#start/private-file.ts';
import { checkpointFileName, publicKeysFile, readCheckpointFiles } from '#store/checkpoint-files.ts';
import { chainHeads, hashesAt, insertCheckpoint } from '#store/sealer.ts';
import type { Store } from '#store/store.ts';
import { withProject } from '#store/with-project.ts';

export interface CheckpointsDeps {
  readonly store: Store;
  readonly key: SigningKey;
  readonly directory: string;
  readonly clock: Clock;
  readonly random: Pick<Random, 'uuid'>;
}

export interface Checkpoints {
  /** Leaves the public key beside the checkpoints, so that others can verify them. @idempotent by key */
  publishKey(): Promise<void>;
  /**
   * Signs the heads of all chains, unless nothing was sealed since the last time.
   *
   * @returns whether it did
   * @throws TrustError `audit.rewritten` when a chain no longer holds what the last checkpoint says: that is not signed over
   */
  sign(): Promise<boolean>;
}

export function createCheckpoints({ store, key, directory, clock, random }: CheckpointsDeps): Checkpoints {
  const keysPath = join(directory, publicKeysFile);
  const publicKey = createPublicKey(key.privateKey);

  async function knownKeys(): Promise<VerificationKeys> {
    // A file that cannot be read is not written anew: every older checkpoint would be worth nothing.
    const text = await readIfThere(keysPath);
    return text === null ? new Map() : readPublicKeys(text);
  }

  async function publishKey(): Promise<void> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const known = await knownKeys();
    if (!known.has(key.keyId))
      await replaceFile(keysPath, writePublicKeys(new Map([...known, [key.keyId, publicKey]])));
  }

  async function sign(): Promise<boolean> {
    const heads = await chainHeads(store);
    const newest = await newestFile();
    if (heads.length === 0 || (newest !== null && isSame(newest.checkpoint.heads, heads))) return false;
    if (newest !== null) await requireContinued(newest.checkpoint);
    const checkpoint = {
      id: random.uuid(),
      at: clock.now().toISOString(),
      heads,
      previous: newest && { id: newest.checkpoint.id, digest: digestOf(newest.envelope) },
    };
    const envelope = signCheckpoint(checkpoint, key);
    // A checkpoint that exists in one place only is in the one that the owner of the database cannot reach.
    await replaceFile(join(directory, checkpointFileName(checkpoint)), `${JSON.stringify(envelope)}\n`);
    await insertCheckpoint(store, { ...checkpoint, key_id: key.keyId }, envelope as unknown as JsonObject);
    return true;
  }

  async function newestFile(): Promise<{ checkpoint: Checkpoint; envelope: unknown } | null> {
    for await (const { name, envelope } of readCheckpointFiles(directory, 1)) {
      try {
        return { checkpoint: verifyCheckpoint(envelope, await knownKeys()), envelope };
      } catch (cause) {
        throw new TrustError('signature.invalid', { detail: `${name} is not what a known key signed`, cause });
      }
    }
    return null;
  }

  async function requireContinued({ at, heads }: Checkpoint): Promise<void> {
    for (const { project_id, stream, sequence, hash } of heads) {
      const found = await withProject(store, project_id, (tx) => hashesAt(tx, stream, [sequence]));
      if (found.get(sequence) === hash) continue;
      throw new TrustError('audit.rewritten', {
        detail: `Event ${sequence} of the ${stream} chain of ${project_id} is not the one that the checkpoint of ${at} names`,
      });
    }
  }

  return { publishKey, sign };
}

function isSame(one: readonly CheckpointHead[], other: readonly CheckpointHead[]): boolean {
  const textOf = (heads: readonly CheckpointHead[]): string =>
    JSON.stringify(heads.map(({ project_id, stream, sequence, hash }) => [project_id, stream, sequence, hash]));
  return textOf(one) === textOf(other);
}
