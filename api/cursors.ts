// Cursors of lists: opaque, and sealed with a key, so that nobody reads or makes positions by hand.
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Json } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';

export interface Cursors {
  /** @param list What the cursor is good for: the list and everything that filters it. */
  seal(list: Json, position: Json): string;
  /** @throws TrustError `request.cursor_invalid`, also for the cursor of another list or with other filters */
  open(list: Json, cursor: string): Json;
}

export function createCursors(secretKey: Uint8Array): Cursors {
  const key = createHmac('sha256', secretKey).update('sentinel/cursor/v1').digest();
  const sealOf = (list: Json, position: string) =>
    createHmac('sha256', key).update(JSON.stringify(list)).update('\0').update(position).digest().subarray(0, 16);

  return {
    seal(list, position) {
      const text = Buffer.from(JSON.stringify(position)).toString('base64url');
      return `${text}.${sealOf(list, text).toString('base64url')}`;
    },
    open(list, cursor) {
      const [text = '', seal = '', ...more] = cursor.split('.');
      const given = Buffer.from(seal, 'base64url');
      const expected = sealOf(list, text);
      if (more.length > 0 || given.length !== expected.length || !timingSafeEqual(given, expected)) {
        throw new TrustError('request.cursor_invalid');
      }
      return JSON.parse(Buffer.from(text, 'base64url').toString()) as Json;
    },
  };
}
