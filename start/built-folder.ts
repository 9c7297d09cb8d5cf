// A folder that is built from sources: built when they have changed, by one process at a time, and there whole or not at all.
import { createHash } from 'node:crypto';
import { glob, mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { acquireLock } from '#host/lock.mjs';
import { readIfThere, replaceFile } from './private-file.ts';

export interface BuiltFolder {
  /** The folder of the clone. */
  readonly root: string;
  /** Of the lock, and of what is remembered of the last build. */
  readonly name: string;
  /** What is built: a folder with an `index.html`. */
  readonly target: string;
  /** Everything that it is made of, and what is none of it, as globs. */
  readonly sources: readonly string[];
  readonly made: readonly string[];
  /** For what is half built; on the file system of `target`. */
  readonly work: string;
  readonly signal: AbortSignal;
}

/**
 * Builds beside the folder that is there and exchanges the two.
 *
 * @param build Builds into this folder; when it answers `false`, what is there stays.
 */
export async function renewFolder(
  { root, name, target, sources, made, work, signal }: BuiltFolder,
  build: (into: string) => Promise<boolean>,
): Promise<'built' | 'current' | 'left'> {
  const state = join(root, '.sentinel');
  const stampFile = join(state, `${name}.sha256`);
  const digest = await digestOfSources(root, sources, made);
  const isCurrent = async (): Promise<boolean> =>
    (await readIfThere(stampFile)) === digest && (await stat(join(target, 'index.html')).catch(() => null)) !== null;
  if (await isCurrent()) return 'current';
  const lock = await acquireLock(join(state, `${name}.lock`), () => signal.throwIfAborted());
  try {
    // Another process may have built it meanwhile.
    if (await isCurrent()) return 'current';
    await rm(work, { recursive: true, force: true });
    await mkdir(work, { recursive: true });
    if (!(await build(join(work, 'new')))) return 'left';
    await mkdir(target, { recursive: true });
    await rename(target, join(work, 'before'));
    await rename(join(work, 'new'), target);
    await replaceFile(stampFile, digest);
    return 'built';
  } finally {
    await rm(work, { recursive: true, force: true });
    lock.release();
  }
}

/** SHA-256 in hexadecimal over the names and contents of all files that the globs name. */
export async function digestOfSources(
  root: string,
  sources: readonly string[],
  made: readonly string[] = [],
): Promise<string> {
  const files: string[] = [];
  for await (const entry of glob(sources, { cwd: root, withFileTypes: true, exclude: made }))
    if (entry.isFile()) files.push(join(entry.parentPath, entry.name));
  const hash = createHash('sha256');
  for (const file of files.toSorted())
    hash
      .update(file.slice(root.length))
      .update('\0')
      .update(await readFile(file))
      .update('\0');
  return hash.digest('hex');
}
