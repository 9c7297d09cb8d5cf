// Chance that can be repeated: the same seed and the same names give the same numbers, in every run.
import { createHash } from 'node:crypto';
import type { Random } from '#contracts/deps.ts';

type Name = string | number;

/** A number from 0 up to 1 for this decision. */
export function fractionFor(seed: number, ...names: readonly Name[]): number {
  return digest(seed, names).readUIntBE(0, 6) / 2 ** 48;
}

/** Bytes that follow each other in the same order in every run: for schedules, never for keys. */
export function seededRandom(seed: number, ...names: readonly Name[]): Random {
  let drawn = 0;
  const bytes = (size: number): Uint8Array => {
    const parts: Buffer[] = [];
    for (let length = 0; length < size; length += 32) parts.push(digest(seed, [...names, (drawn += 1)]));
    return new Uint8Array(Buffer.concat(parts).subarray(0, size));
  };
  const uuid = (): string =>
    Buffer.from(bytes(16))
      .toString('hex')
      .replace(/^(.{8}).(.{3}).(.{3}).(.{3})(.{12}).*$/, '$1-4$2-4$3-8$4-$5');
  return { bytes, uuid };
}

function digest(seed: number, names: readonly Name[]): Buffer {
  return createHash('sha256')
    .update(JSON.stringify([seed, ...names]))
    .digest();
}
