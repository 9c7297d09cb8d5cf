// Randomness that counts: ids 1, 2, 3 … and bytes of one value.
import type { Random } from '#contracts/deps.ts';

export function countingRandom(byte = 0): Random {
  let ids = 0;
  return {
    bytes: (size) => new Uint8Array(size).fill(byte),
    uuid: () => `00000000-0000-4000-8000-${String((ids += 1)).padStart(12, '0')}`,
  };
}
