// A service definition as a file: read within limits, written whole, and never somebody else's.
import { lstat, readFile, rm, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Random } from '#contracts/deps.ts';
import { FileProblem, fileProblem } from '../file-problem.ts';
import { replaceFile } from '../private-file.ts';
import { sealOf } from './seal.ts';
import type { ServiceKind } from './service.ts';

type Encoding = ServiceKind['encoding'];

export interface Definition {
  readonly text: string;
  readonly seal: ReturnType<typeof sealOf>;
}

const largestBytes = 64 * 1024;
const byteOrderMark = '\uFEFF';

/**
 * What is there; `null` when there is nothing.
 *
 * @throws FileProblem when it is not a plain file; a link could lead anywhere.
 */
export async function readDefinition(path: string, encoding: Encoding): Promise<Definition | null> {
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw fileProblem(path, error);
  });
  if (found === null) return null;
  if (!found.isFile()) throw new FileProblem(path, 'is not a plain file', 'Name another with --output.');
  if (found.size > largestBytes) return { text: '', seal: 'none' };
  const text = await readFile(path, encoding).catch((error: unknown) => {
    throw fileProblem(path, error);
  });
  const plain = encoding === 'utf16le' && text.startsWith(byteOrderMark) ? text.slice(1) : text;
  return { text: plain, seal: sealOf(plain) };
}

export async function writeDefinition(path: string, text: string, encoding: Encoding, random: Random): Promise<void> {
  const content = Buffer.from(encoding === 'utf16le' ? `${byteOrderMark}${text}` : text, encoding);
  await replaceFile(path, content, { mode: 0o644, random }).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'ENOENT'
      ? new FileProblem(path, 'is in a folder that does not exist', 'Make the folder first, or correct --output.')
      : cannotChange(path, error);
  });
}

export async function removeDefinition(path: string): Promise<void> {
  await rm(path).catch((error: NodeJS.ErrnoException) => {
    throw cannotChange(path, error);
  });
}

/** The path, or the first folder above it, that others than owner and administrator can change; `null` when none is. */
export async function findOpen(path: string): Promise<string | null> {
  for (let part = resolve(path); ; part = dirname(part)) {
    const found = await stat(part).catch(() => null);
    // In a folder with the sticky bit nobody replaces what belongs to others; some systems give /usr/local a group.
    const isFolder = found?.isDirectory() === true;
    const open = found !== null && (isFolder ? (found.mode & 0o1002) === 0o0002 : (found.mode & 0o022) !== 0);
    if (open) return part;
    if (part === dirname(part)) return null;
  }
}

function cannotChange(path: string, error: NodeJS.ErrnoException): FileProblem {
  return ['EACCES', 'EPERM', 'EROFS'].includes(error.code ?? '')
    ? new FileProblem(path, 'cannot be changed by this user', 'Run this as administrator (sudo).')
    : fileProblem(path, error);
}
