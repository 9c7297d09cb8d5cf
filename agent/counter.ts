// The heartbeat counter of a device: what was given out is never given out again, whatever moment it is killed at.
import type { Random } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import { readIfThere, replacePrivateFile } from './private-file.ts';

/** Gives the next counter, greater than every one before. */
export type NextCounter = () => Promise<number>;

/** Written ahead in blocks: a restart skips the rest of its block, since a counter only has to grow. */
const block = 64;

/**
 * Opens the counter kept in this file, which holds the end of the block that is in use.
 *
 * @throws TrustError `heartbeat.counter_invalid` when the file is damaged: to begin anew would be refused as a replay
 */
export async function openCounter(path: string, random: Random): Promise<NextCounter> {
  const text = await readIfThere(path);
  let last = text === null ? 0 : parse(path, text);
  let written = last;
  return async () => {
    if (last === written) {
      await replacePrivateFile(path, `${written + block}\n`, random);
      written += block;
    }
    last += 1;
    return last;
  };
}

function parse(path: string, text: string): number {
  const value = Number(text.trim());
  if (!/^\d{1,16}\s*$/.test(text) || !Number.isSafeInteger(value + block)) {
    throw new TrustError('heartbeat.counter_invalid', { detail: `${path} is damaged` });
  }
  return value;
}
