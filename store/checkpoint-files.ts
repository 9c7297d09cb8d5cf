// The copies of checkpoints outside the database: read by everybody who verifies the trail, written by the sealer.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Public keys of all signing keys that there ever were. */
export const publicKeysFile = 'public-keys.json';

const checkpointFile = /^\d{4}-\d{2}-\d{2}T[\dZ-]+-[0-9a-f-]{36}\.json$/;

/** Name of the file of a checkpoint: in the order of names the newest is the last. */
export function checkpointFileName({ id, at }: { readonly id: string; readonly at: string }): string {
  return `${at.replaceAll(/[:.]/g, '-')}-${id}.json`;
}

/** The newest checkpoints of the folder, newest first, as parsed from JSON; null for one that cannot be parsed. */
export async function readCheckpointFiles(directory: string, limit: number): Promise<readonly unknown[]> {
  const names = (await readdir(directory))
    .filter((name) => checkpointFile.test(name))
    .toSorted()
    .toReversed();
  return Promise.all(names.slice(0, limit).map(async (name) => parse(await readFile(join(directory, name), 'utf8'))));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}
