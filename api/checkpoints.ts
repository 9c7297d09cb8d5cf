// The checkpoints that this process trusts: those whose signature fits a public key that lies outside the database.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { Checkpoint } from '#contracts/audit.ts';
import type { Log } from '#contracts/deps.ts';
import { readPublicKeys, verifyCheckpoint } from '#protocols/checkpoint.ts';
import type { VerificationKeys } from '#protocols/signed-envelope.ts';
import {
  publicKeysFile,
  readAcceptedRestores,
  readCheckpointFiles,
  type CheckpointFile,
} from '#store/checkpoint-files.ts';
import { lostEnds } from '#store/sealer.ts';
import type { Store } from '#store/store.ts';

export interface TrustedCheckpoints {
  /** Newest first, with the heads of the one project. */
  readonly checkpoints: readonly Checkpoint[];
  /** What is wrong with them, in words; null when nothing is. */
  readonly complaint: string | null;
}

export interface CheckpointsDeps {
  readonly directory: string;
  /** Envelopes in the database, newest first. */
  readonly stored: (limit: number) => AsyncIterable<unknown>;
  readonly log: Log;
}

export interface CheckpointsQuery {
  readonly project: string;
  readonly full: boolean;
}

/**
 * Checkpoints that one verification looks at in each place: of some hours, or of a week. Older ones add nothing to a
 * walk from the start, because the hash of an event depends on all events before it.
 */
const limits = { newest: 50, full: 2_000 } as const;

const unreadable =
  'The checkpoints outside the database cannot be read (SENTINEL_AUDIT_CHECKPOINT_DIR), so nothing vouches for the trail.';

/**
 * Reads the checkpoints of both places. One that lies in one place only is as good: it is signed. What nobody signed that
 * we know is a finding, as is a checkpoint that the next one names and that is nowhere. Without the folder no key is
 * trusted, and that is a finding too, whatever the database says: it may say that there never was a checkpoint.
 *
 * @throws TrustError `service.unavailable`
 */
export async function readTrustedCheckpoints(
  { directory, stored, log }: CheckpointsDeps,
  query: CheckpointsQuery,
): Promise<TrustedCheckpoints> {
  const limit = query.full ? limits.full : limits.newest;
  let keys: VerificationKeys;
  let files: Taken;
  try {
    keys = await readKeys(directory);
    files = await take(envelopesOf(readCheckpointFiles(directory, limit)), keys, query);
  } catch (error) {
    log.warn({ err: error }, 'the checkpoints outside the database cannot be read');
    return { checkpoints: [], complaint: unreadable };
  }
  const rows = await take(stored(limit), keys, query);
  const trusted = new Map([...files.checkpoints, ...rows.checkpoints].map((checkpoint) => [checkpoint.id, checkpoint]));
  const checkpoints = [...trusted.values()].toSorted((one, other) => (one.at < other.at ? 1 : -1));
  const complaints = [
    complainOfUnsigned(files.refused + rows.refused),
    complainOfMissing(
      checkpoints,
      [files, rows]
        .map((taken) => horizonOf(taken, limit))
        .toSorted()
        .at(-1) ?? '',
    ),
  ].filter((complaint) => complaint !== null);
  return { checkpoints, complaint: complaints.length === 0 ? null : complaints.join(' ') };
}

/**
 * Whether the database lacks what the newest checkpoint outside of it says, and nobody has accepted that. Where this process
 * cannot read the folder the sealer says so instead.
 */
export async function isOlderThanCheckpoint(store: Store, directory: string, log: Log): Promise<boolean> {
  try {
    for await (const { envelope } of readCheckpointFiles(directory, 1)) {
      const { id, heads } = verifyCheckpoint(envelope, await readKeys(directory));
      const lost = await lostEnds(store, heads);
      const accepted = (await readAcceptedRestores(directory)).includes(id);
      return lost.some(({ isCut }) => !(accepted && isCut));
    }
  } catch (error) {
    log.warn({ err: error }, 'the database cannot be compared with the checkpoints outside of it');
  }
  return false;
}

async function readKeys(directory: string): Promise<VerificationKeys> {
  return readPublicKeys(await readFile(join(directory, publicKeysFile), 'utf8'));
}

async function* envelopesOf(files: AsyncIterable<CheckpointFile>): AsyncGenerator<unknown, void> {
  for await (const { envelope } of files) yield envelope;
}

/** What one place holds. */
interface Taken {
  readonly checkpoints: readonly Checkpoint[];
  readonly refused: number;
}

async function take(
  envelopes: AsyncIterable<unknown>,
  keys: VerificationKeys,
  { project }: CheckpointsQuery,
): Promise<Taken> {
  const checkpoints: Checkpoint[] = [];
  let refused = 0;
  for await (const envelope of envelopes) {
    try {
      const checkpoint = verifyCheckpoint(envelope, keys);
      checkpoints.push({ ...checkpoint, heads: checkpoint.heads.filter((head) => head.project_id === project) });
    } catch {
      refused += 1;
    }
    // Signatures take their time, and this process has other requests to answer.
    await setImmediate();
  }
  return { checkpoints, refused };
}

/** Since when everything was looked at; the empty text, which is before all times, when nothing was left out. */
function horizonOf({ checkpoints, refused }: Taken, limit: number): string {
  if (checkpoints.length + refused < limit) return '';
  return checkpoints.map(({ at }) => at).toSorted()[0] ?? '';
}

function complainOfUnsigned(count: number): string | null {
  if (count === 0) return null;
  return count === 1
    ? 'A checkpoint is not signed by a known key.'
    : `${count} checkpoints are not signed by a known key.`;
}

function complainOfMissing(checkpoints: readonly Checkpoint[], horizon: string): string | null {
  const known = new Set(checkpoints.map(({ id }) => id));
  const orphan = checkpoints.find(({ at, previous }) => at > horizon && previous !== null && !known.has(previous.id));
  if (orphan === undefined) return null;
  return `The checkpoint before that of ${orphan.at} is gone, from the folder and from the database.`;
}
