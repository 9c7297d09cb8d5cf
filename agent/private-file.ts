// Files that are replaced whole, and are on disk before they count; most of them nobody else may read.
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Random } from '#contracts/deps.ts';

/** `null` when there is no such file. */
export async function readIfThere(path: string): Promise<string | null> {
  return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
}

/** Makes its folder too, for the owner alone. */
export async function replacePrivateFile(path: string, content: string, random: Random): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await replaceFile(path, content, { mode: 0o600, random });
}

/** Whatever moment the machine stops at, the file has its old or its new content. */
export async function replaceFile(
  path: string,
  content: string | Uint8Array,
  { mode, random }: { readonly mode: number; readonly random: Random },
): Promise<void> {
  const temporary = `${path}.${random.uuid()}`;
  const handle = await open(temporary, 'wx', mode);
  try {
    // Whatever the umask says.
    await handle.chmod(mode);
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, path);
  await flushFolder(dirname(path));
}

/** Without this the rename itself can be lost with the power; Windows has no such thing for folders. */
async function flushFolder(path: string): Promise<void> {
  const handle = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EPERM' || error.code === 'EISDIR' || error.code === 'EACCES') return null;
    throw error;
  });
  try {
    await handle?.sync();
  } finally {
    await handle?.close();
  }
}
