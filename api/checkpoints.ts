// The checkpoints that this process trusts: those whose signature fits a public key that lies outside the database.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Checkpoint } from '#contracts/audit.ts';
import type { Log } from '#contracts/deps.ts';
import { readPublicKeys, verifyCheckpoint } from '#protocols/checkpoint.ts';
import type { VerificationKeys } from '#protocols/signed-envelope.ts';
import { publicKeysFile, readCheckpointFiles } from '#store/checkpoint-files.ts';

export interface TrustedCheckpoints {
  /** Newest first. */
  readonly checkpoints: readonly Checkpoint[];
  /** What is wrong with them, in words; null when nothing is. */
  readonly complaint: string | null;
}

export interface CheckpointsDeps {
  readonly directory: string;
  /** Envelopes in the database, newest first. */
  readonly stored: (limit: number) => Promise<readonly unknown[]>;
  readonly log: Log;
}

/** Checkpoints that one verification looks at. One from the start looks at some weeks of them. */
const limits = { newest: 50, full: 10_000 } as const;

/**
 * Reads the checkpoints of both places. One that lies in one place only is as good: it is signed. A copy that nobody
 * signed is a finding; so are stored checkpoints that cannot be verified because the folder is gone.
 */
export async function readTrustedCheckpoints(
  { directory, stored, log }: CheckpointsDeps,
  { full }: { readonly full: boolean },
): Promise<TrustedCheckpoints> {
  const limit = full ? limits.full : limits.newest;
  const rows = await stored(limit);
  let keys: VerificationKeys;
  let files: readonly unknown[];
  try {
    keys = readPublicKeys(await readFile(join(directory, publicKeysFile), 'utf8'));
    files = await readCheckpointFiles(directory, limit);
  } catch (error) {
    log.warn({ err: error }, 'the checkpoints outside the database cannot be read');
    // Before the first checkpoint there is nothing to miss.
    const complaint =
      rows.length === 0
        ? null
        : 'The checkpoints outside the database cannot be read (SENTINEL_AUDIT_CHECKPOINT_DIR), so nothing vouches for the trail.';
    return { checkpoints: [], complaint };
  }
  const trusted = new Map<string, Checkpoint>();
  let forged = 0;
  for (const envelope of [...files, ...rows]) {
    try {
      const checkpoint = verifyCheckpoint(envelope, keys);
      trusted.set(checkpoint.id, checkpoint);
    } catch {
      forged += 1;
    }
  }
  return {
    checkpoints: [...trusted.values()].toSorted((one, other) => (one.at < other.at ? 1 : -1)),
    complaint: forged === 0 ? null : `${forged} checkpoints are not signed by a known key.`,
  };
}
