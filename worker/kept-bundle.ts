// Keeps the workflow bundle beside the packages that it is made with, so that a worker that starts again need not make it anew.
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { digestOfSources } from '#start/built-folder.ts';
import { readIfThere, replaceFile } from '#start/private-file.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** All that the bundle of this release is made of, by the table of imports, and what says which packages are installed. */
export const bundleSources = [
  'workflows/**/*.ts',
  'machines/**/*.ts',
  'contracts/**/*.ts',
  'protocols/**/*.ts',
  'worker/bundle.ts',
  'package.json',
  'package-lock.json',
  'node_modules/.package-lock.json',
];

export interface BundleKeeping {
  /** The folder of the sources. */
  readonly root: string;
  readonly file: string;
  /** Bundles what is there now. */
  readonly make: () => Promise<{ readonly code: string }>;
}

/** Where the bundle of this release is kept: `npm ci` clears it away with everything else there. */
export const keptInPackages = { root, file: join(root, 'node_modules', '.cache', 'sentinel', 'workflows.js') };

/**
 * The bundle: what is kept, when it was made of the very sources that are there and is whole, else a new one, which is kept
 * if the folder can be written to.
 */
export async function keptBundle({ root: folder, file, make }: BundleKeeping): Promise<{ readonly code: string }> {
  const sources = await digestOfSources(folder, bundleSources);
  const kept = await readIfThere(file).catch(() => null);
  /** With what it was made, of what and where, which is in its source map, and what it has to be. */
  const headOf = (code: string): string => {
    const sealed = createHash('sha256').update(folder).update('\0').update(code).digest('hex');
    return `// ${process.version} ${sources} ${sealed}`;
  };
  const end = kept?.indexOf('\n') ?? -1;
  const code = kept?.slice(end + 1) ?? '';
  if (kept !== null && kept.slice(0, end) === headOf(code)) return { code };
  const made = await make();
  await keep(file, `${headOf(made.code)}\n${made.code}`);
  return made;
}

/** Without it, the next start takes two seconds longer. */
async function keep(file: string, text: string): Promise<void> {
  try {
    await mkdir(dirname(file), { recursive: true });
    await replaceFile(file, text);
  } catch {
    // A folder that only its owner may write to.
  }
}
