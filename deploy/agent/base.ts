// The Node that an agent executable is built on: fetched once as a package, and checked against its digest every time.
import { createHash } from 'node:crypto';
import { execFile } from 'node:child_process';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { createGunzip } from 'node:zlib';
import { extract } from 'tar-stream';
import { bytesOf, chunkSize } from './archive.ts';
import { nodeVersion, type Target } from './targets.ts';

const fetchWithinMs = 300_000;

export interface Base {
  readonly program: Buffer;
  /** Of Node and what is in it. Packages for Windows come without. */
  readonly licence: Buffer | null;
}

/** Gets the archive of a package to a path. */
type Fetch = (base: string, path: string) => Promise<void>;

/**
 * @param cache Folder that archives stay in.
 * @throws Error when the archive cannot be had, or is not the one that was chosen
 */
export async function loadBase(
  { base, integrity, program }: Pick<Target, 'base' | 'integrity' | 'program'>,
  cache: string,
  fetch: Fetch = fetchWithNpm,
): Promise<Base> {
  const path = join(cache, `${base}-${nodeVersion}.tgz`);
  const kept = await readFile(path).catch(() => null);
  const isKept = kept !== null && digestOf(kept) === integrity;
  if (!isKept) await fetch(base, path);
  const archive = isKept ? kept : await readFile(path);
  if (digestOf(archive) !== integrity)
    throw new Error(`${base} ${nodeVersion} is not the package that deploy/agent/targets.ts names: ${path}`);
  const files = await filesOf(archive, [`package/${program}`, 'package/LICENSE']);
  const found = files.get(`package/${program}`);
  if (found === undefined) throw new Error(`${base} ${nodeVersion} holds no ${program}`);
  return { program: found, licence: files.get('package/LICENSE') ?? null };
}

/** npm knows which registry this project may use, and through which proxy. */
async function fetchWithNpm(base: string, path: string): Promise<void> {
  const folder = `${path}.${process.pid}`;
  await mkdir(folder, { recursive: true });
  const args = ['pack', `${base}@${nodeVersion}`, '--ignore-scripts', '--silent', '--pack-destination', folder];
  await promisify(execFile)('npm', args, { timeout: fetchWithinMs, shell: process.platform === 'win32' });
  await rename(join(folder, `${base}-${nodeVersion}.tgz`), path);
  await rm(folder, { recursive: true });
}

function digestOf(bytes: Buffer): string {
  return `sha512-${createHash('sha512').update(bytes).digest('base64')}`;
}

async function filesOf(archive: Buffer, wanted: readonly string[]): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  const entries = Readable.from([archive]).pipe(createGunzip({ chunkSize })).pipe(extract());
  for await (const entry of entries) {
    if (entry.header.type === 'file' && wanted.includes(entry.header.name))
      files.set(entry.header.name, await bytesOf(entry));
    else entry.resume();
  }
  return files;
}
