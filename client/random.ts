// Random ids and bytes from the platform's own source, in browsers and in Node.
import type { Random } from '#contracts/deps.ts';

export const platformRandom: Random = {
  bytes: (size) => crypto.getRandomValues(new Uint8Array(size)),
  uuid: () => crypto.randomUUID(),
};
