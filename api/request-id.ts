// Names each request with a UUID version 7 (RFC 9562), so that ids of one time stand together in logs and audit.
import type { Clock, Random } from '#contracts/deps.ts';

const idBytes = 16;
/** Asking for random bytes costs the same for many ids as for one. */
const idsDrawn = 256;

export function createRequestIds({ clock, random }: { clock: Clock; random: Random }): () => string {
  let drawn = Buffer.alloc(0);
  return () => {
    if (drawn.length === 0) drawn = Buffer.from(random.bytes(idBytes * idsDrawn));
    const bytes = drawn.subarray(0, idBytes);
    drawn = drawn.subarray(idBytes);
    bytes.writeUIntBE(clock.now().getTime(), 0, 6);
    bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f);
    bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
    return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  };
}
