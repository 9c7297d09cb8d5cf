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
  return countFrom(text === null ? 0 : parse(path, text), (end) => replacePrivateFile(path, `${end}\n`, random));
}

/**
 * Counts on from a number that may have been used.
 *
 * @param writeDown Makes durable that no counter up to this one may be given out after a restart.
 */
export function countFrom(used: number, writeDown: (end: number) => Promise<void>): NextCounter {
  let last = used;
  let written = used;
  return async () => {
    if (last === written) {
      await writeDown(written + block);
      written += block;
    }
    last += 1;
    return last;
  };
}

/** Whether a counter that was read from somewhere leaves room to count on. */
export function isUsableCounter(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && Number.isSafeInteger(value) && Number.isSafeInteger(value + block);
}

function parse(path: string, text: string): number {
  const value = Number(text.trim());
  if (!/^\d{1,16}\s*$/.test(text) || !isUsableCounter(value)) {
    throw new TrustError('heartbeat.counter_invalid', { detail: `${path} is damaged` });
  }
  return value;
}
