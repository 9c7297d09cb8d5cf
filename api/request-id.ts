// Names each request with a UUID version 7 (RFC 9562), so that ids of one time stand together in logs and audit.
import type { Clock, Random } from '#contracts/deps.ts';

export function createRequestIds({ clock, random }: { clock: Clock; random: Random }): () => string {
  return () => {
    const bytes = Buffer.from(random.bytes(16));
    bytes.writeUIntBE(clock.now().getTime(), 0, 6);
    bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f);
    bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
    return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  };
}
