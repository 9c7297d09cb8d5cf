// Builds the web console when its sources have changed since the last time.
import { createHash } from 'node:crypto';
import { glob, mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { acquireLock } from '#host/lock.mjs';
import { readIfThere, replaceFile } from './private-file.ts';
import { runProgram } from './run-program.ts';

/** Everything that the bundle is made of. */
const sources = ['web/**/*', 'client/**/*', 'contracts/**/*', 'package-lock.json'];

/**
 * Builds into a folder of its own and exchanges the two, so that a console is there whole or not at all.
 *
 * @throws TrustError `service.unavailable` with what the build said
 */
export async function buildConsole(
  root: string,
  system: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<'built' | 'current'> {
  const state = join(root, '.sentinel');
  const target = join(root, 'web', 'dist');
  const stampFile = join(state, 'console.sha256');
  const digest = await digestOf(root);
  const isCurrent = async (): Promise<boolean> =>
    (await readIfThere(stampFile)) === digest && (await stat(join(target, 'index.html')).catch(() => null)) !== null;
  if (await isCurrent()) return 'current';
  const lock = await acquireLock(join(state, 'console.lock'), () => signal.throwIfAborted());
  const work = join(state, 'console-building');
  try {
    // Another start may have built it meanwhile.
    if (await isCurrent()) return 'current';
    await rm(work, { recursive: true, force: true });
    await mkdir(work, { recursive: true });
    const vite = join(root, 'node_modules', 'vite', 'bin', 'vite.js');
    const args = [vite, 'build', 'web', '--outDir', join(work, 'dist'), '--emptyOutDir', '--logLevel', 'warn'];
    await runProgram(process.execPath, args, {
      directory: root,
      environment: { ...system, NODE_ENV: 'production', NO_COLOR: '1' },
      withinMs: 300_000,
      signal,
    });
    await mkdir(target, { recursive: true });
    await rename(target, join(work, 'before'));
    await rename(join(work, 'dist'), target);
    await replaceFile(stampFile, digest);
    return 'built';
  } finally {
    await rm(work, { recursive: true, force: true });
    lock.release();
  }
}

async function digestOf(root: string): Promise<string> {
  const hash = createHash('sha256');
  const files: string[] = [];
  for await (const entry of glob(sources, { cwd: root, withFileTypes: true, exclude: ['web/dist/**'] })) {
    if (entry.isFile()) files.push(join(entry.parentPath, entry.name));
  }
  for (const file of files.toSorted())
    hash
      .update(file.slice(root.length))
      .update('\0')
      .update(await readFile(file))
      .update('\0');
  return hash.digest('hex');
}
