// Reads a file that somebody may be writing, and never more of it than may be there.
import { open, stat } from 'node:fs/promises';
import type { TrustError } from '#contracts/problems.ts';

/** The file as it is now, up to a limit: it may have grown since it was looked at. */
export async function readAtMost(
  path: string,
  maximumBytes: number,
  tooLarge: () => TrustError,
): Promise<Uint8Array<ArrayBuffer>> {
  const handle = await open(path);
  try {
    const { size } = await handle.stat();
    if (size > maximumBytes) throw tooLarge();
    const bytes = new Uint8Array(size);
    let filled = 0;
    while (filled < size) {
      const { bytesRead } = await handle.read(bytes, filled, size - filled, filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return filled === size ? bytes : bytes.slice(0, filled);
  } finally {
    await handle.close();
  }
}

/** What changes whenever the file does; null when there is none, or no regular file. */
export async function fileVersion(path: string): Promise<string | null> {
  const found = await stat(path, { bigint: true }).catch(() => null);
  if (found === null || !found.isFile()) return null;
  const { ino, size, mtimeNs, ctimeNs } = found;
  return [ino, size, mtimeNs, ctimeNs].join('/');
}
