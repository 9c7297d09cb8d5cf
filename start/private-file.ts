// Files that only we may read (0600), each there whole or not at all, also after a power cut.
import { randomBytes } from 'node:crypto';
import { link, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Puts the file in place of whatever is there. */
export async function replaceFile(path: string, content: string): Promise<void> {
  const draft = await writeDraft(path, content);
  await rename(draft, path);
  await flushFolder(path);
}

/** Makes the file unless it is there, and returns what it holds then. */
export async function keepFile(path: string, make: () => string | Promise<string>): Promise<string> {
  const kept = await readIfThere(path);
  if (kept !== null) return kept;
  const draft = await writeDraft(path, await make());
  try {
    // Unlike a rename, a link never takes the place of a file that somebody else has made meanwhile.
    await link(draft, path).catch(ignoreExisting);
  } finally {
    await rm(draft, { force: true });
  }
  await flushFolder(path);
  return readFile(path, 'utf8');
}

/** `null` when there is no such file; any other failure is one. */
export async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

async function writeDraft(path: string, content: string): Promise<string> {
  const draft = `${path}.${randomBytes(6).toString('hex')}.draft`;
  const file = await open(draft, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  return draft;
}

async function flushFolder(path: string): Promise<void> {
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function ignoreExisting(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
}
