// Names each request with a UUID version 7 (RFC 9562), so that ids of one time stand together in logs and audit.
import type { Clock, Random } from '#contracts/deps.ts';

const idBytes = 16;
/** Asking for random bytes costs the same for many ids as for one. */
const idsDrawn = 256;

export function createRequestIds({ clock, random }: { clock: Clock; random: Random }): () => string {
  let drawn = Buffer.alloc(0);
  let next = 0;
  return () => {
    if (next === drawn.length) {
      drawn = Buffer.from(random.bytes(idBytes * idsDrawn));
      next = 0;
    }
    const at = next;
    next += idBytes;
    drawn.writeUIntBE(clock.now().getTime(), at, 6);
    drawn[at + 6] = 0x70 | ((drawn[at + 6] ?? 0) & 0x0f);
    drawn[at + 8] = 0x80 | ((drawn[at + 8] ?? 0) & 0x3f);
    const hex = drawn.toString('hex', at, next);
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  };
}
