// The copies of checkpoints outside the database: read by everybody who verifies the trail, written by the sealer.
import { lstat, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TrustError } from '#contracts/problems.ts';
import type { Settings } from '#contracts/settings.ts';

/** Public keys of all signing keys that there ever were. */
export const publicKeysFile = 'public-keys.json';

/** Ids of checkpoints that the database was restored to before, each accepted by somebody who can write this folder. */
const acceptedFile = 'accepted-restores.json';

const checkpointFile = /^\d{4}-\d{2}-\d{2}T[\dZ-]+-[0-9a-f-]{36}\.json$/;
/** A head takes some 150 bytes, and there are two for each project. */
const largestBytes = 16 * 1024 * 1024;

/** The folder that is written and read when the settings name none lies with everything else of the installation. */
export function checkpointFolder(settings: Pick<Settings, 'SENTINEL_AUDIT_CHECKPOINT_DIR' | 'SENTINEL_HOME'>): string {
  return settings.SENTINEL_AUDIT_CHECKPOINT_DIR ?? join(settings.SENTINEL_HOME, 'checkpoints');
}

/** Name of the file of a checkpoint: in the order of names the newest is the last. */
export function checkpointFileName({ id, at }: { readonly id: string; readonly at: string }): string {
  return `${at.replaceAll(/[:.]/g, '-')}-${id}.json`;
}

export interface CheckpointFile {
  readonly name: string;
  /** Untrusted, as parsed from JSON; null for what bears the name of a checkpoint and is none. */
  readonly envelope: unknown;
}

/** The newest checkpoints of the folder, newest first, one at a time. */
export async function* readCheckpointFiles(directory: string, limit: number): AsyncGenerator<CheckpointFile, void> {
  const names = (await readdir(directory))
    .filter((name) => checkpointFile.test(name))
    .toSorted()
    .toReversed();
  for (const name of names.slice(0, limit)) yield { name, envelope: await readEnvelope(join(directory, name)) };
}

/**
 * Checkpoints whose loss somebody has accepted.
 *
 * @throws TrustError `data.unreadable`
 */
export async function readAcceptedRestores(directory: string): Promise<readonly string[]> {
  return (await readAccepted(directory)).map(({ checkpoint }) => checkpoint);
}

export interface AcceptedRestore {
  /** Id of the newest checkpoint at that time. */
  readonly checkpoint: string;
  readonly at: string;
}

/** Notes that the database was restored to before this checkpoint. @idempotent by checkpoint */
export async function acceptRestore(directory: string, restore: AcceptedRestore): Promise<void> {
  const known = await readAccepted(directory);
  if (known.some(({ checkpoint }) => checkpoint === restore.checkpoint)) return;
  const path = join(directory, acceptedFile);
  await writeFile(`${path}.draft`, `${JSON.stringify([...known, restore], null, 2)}\n`, { mode: 0o600 });
  await rename(`${path}.draft`, path);
}

async function readAccepted(directory: string): Promise<readonly AcceptedRestore[]> {
  try {
    const found: unknown = JSON.parse(await readFile(join(directory, acceptedFile), 'utf8'));
    const isOne = (one: unknown): one is AcceptedRestore =>
      typeof (one as Partial<AcceptedRestore> | null)?.checkpoint === 'string';
    if (!Array.isArray(found) || !found.every(isOne)) throw new SyntaxError('no list of restores');
    return found;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new TrustError('data.unreadable', { detail: `${acceptedFile} cannot be read`, cause });
  }
}

async function readEnvelope(path: string): Promise<unknown> {
  const file = await lstat(path);
  // Whoever opens a pipe waits for somebody to write into it.
  if (!file.isFile() || file.size > largestBytes) return null;
  try {
    return JSON.parse(await readFile(path, 'utf8')) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
