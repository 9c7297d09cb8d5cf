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
import {
  checkpointFileName,
  publicKeysFile,
  readAcceptedRestores,
  readCheckpointFiles,
} from '#store/checkpoint-files.ts';
import {
  chainHeads,
  insertCheckpoint,
  lostEnds,
  skipLostNumbers,
  type ChainName,
  type LostEnd,
} from '#store/sealer.ts';
import type { Store } from '#store/store.ts';

export interface CheckpointsDeps {
  readonly store: Store;
  readonly key: SigningKey;
  readonly directory: string;
  readonly clock: Clock;
  readonly random: Pick<Random, 'uuid'>;
}

export interface BrokenChain extends ChainName {
  readonly reason: TrustError;
}

export interface Checkpoints {
  /** Leaves the public key beside the checkpoints, so that others can verify them. @idempotent by key */
  publishKey(): Promise<void>;
  /**
   * Compares the chains with the newest checkpoint. What is numbered beyond one that the database no longer holds would
   * have numbers that others have seen with another event behind them. A restore that somebody has accepted is gone on
   * from with the first number that was never signed.
   *
   * @returns the chains that must not go on, each with the reason
   */
  brokenChains(): Promise<readonly BrokenChain[]>;
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
    const [broken] = newest === null ? [] : await findBroken(newest.checkpoint);
    if (broken !== undefined) throw broken.reason;
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

  async function brokenChains(): Promise<readonly BrokenChain[]> {
    const newest = await newestFile();
    return newest === null ? [] : await findBroken(newest.checkpoint);
  }

  async function findBroken({ id, at, heads }: Checkpoint): Promise<readonly BrokenChain[]> {
    const lost = await lostEnds(store, heads);
    if (lost.length === 0) return [];
    const accepted = (await readAcceptedRestores(directory)).includes(id);
    if (accepted) for (const end of lost.filter(({ isCut }) => isCut)) await skipLostNumbers(store, end);
    // What was rewritten in place is no restore, whatever somebody accepts.
    return lost
      .filter(({ isCut }) => !(accepted && isCut))
      .map(({ project, stream, ...end }) => ({ project, stream, reason: rewritten({ project, stream, ...end }, at) }));
  }

  return { publishKey, brokenChains, sign };
}

function rewritten({ project, stream, sequence, head }: LostEnd, at: string): TrustError {
  return new TrustError('audit.rewritten', {
    detail:
      head < sequence
        ? `The ${stream} chain of ${project} ends at ${head}, and the checkpoint of ${at} knows event ${sequence}`
        : `Event ${sequence} of the ${stream} chain of ${project} is not the one that the checkpoint of ${at} names`,
  });
}

function isSame(one: readonly CheckpointHead[], other: readonly CheckpointHead[]): boolean {
  const textOf = (heads: readonly CheckpointHead[]): string =>
    JSON.stringify(heads.map(({ project_id, stream, sequence, hash }) => [project_id, stream, sequence, hash]));
  return textOf(one) === textOf(other);
}
