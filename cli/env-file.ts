// Reads an environment file: `NAME=value` lines as systemd, Docker and Node understand them.
import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { TrustError } from '#contracts/problems.ts';

/** @throws TrustError `request.invalid` when the file cannot be read; its text is never quoted */
export function readEnvFile(path: string): Readonly<Record<string, string>> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new TrustError('request.invalid', { detail: `${path} cannot be read (${code ?? 'unknown'}).`, cause });
  }
  return parseEnv(text) as Record<string, string>;
}
