// How a definition says that we made it: a comment with the digest of everything else, so that a change by hand shows.
import { createHash } from 'node:crypto';

const open = `sha256:${'0'.repeat(64)}`;
const made = 'Made by sentinel-agent service; render it again rather than changing it.';

/** What a rendered text holds, once and in a comment, before it is sealed. */
export const openSeal = `${made} ${open}`;

const sealed = new RegExp(`${made.replaceAll('.', String.raw`\.`)} sha256:[0-9a-f]{64}`);

export function seal(text: string): string {
  return text.replace(open, `sha256:${createHash('sha256').update(text).digest('hex')}`);
}

/** `whole`: as it was made. `changed`: made by us and changed since. `none`: not ours. */
export function sealOf(text: string): 'whole' | 'changed' | 'none' {
  if (!sealed.test(text)) return 'none';
  return seal(text.replace(sealed, openSeal)) === text ? 'whole' : 'changed';
}
