// Symmetric keys: how they are written in settings, and how long they have to be.
import { TrustError } from '#contracts/problems.ts';

/** 256 bits, the strength of everything that is made of these keys. */
const minimumBytes = 32;

/**
 * Reads a key that a setting holds: base64url, with or without padding, of at least 32 bytes that are not all the same.
 *
 * @param name The setting, for the message, which never shows the key.
 * @throws TrustError `request.invalid`
 */
export function readSecretKey(text: string, name: string): Uint8Array {
  const bytes = readBase64url(text);
  if (bytes === null || bytes.length < minimumBytes || new Set(bytes).size === 1) {
    throw new TrustError('request.invalid', {
      detail: `${name}: say at least ${minimumBytes} random bytes in base64url`,
    });
  }
  return bytes;
}

/** The bytes of base64url with or without padding; `null` for anything else, also for bits after the end. */
export function readBase64url(text: string): Uint8Array | null {
  const [, body = ''] = /^([A-Za-z0-9_-]*)={0,2}$/.exec(text) ?? [];
  const bytes = Buffer.from(body, 'base64url');
  const padded = body.padEnd(Math.ceil(body.length / 4) * 4, '=');
  const wellFormed = bytes.toString('base64url') === body && (text === body || text === padded);
  return wellFormed ? new Uint8Array(bytes) : null;
}

/** Guards against a key that was never set: HMAC takes one of any length, also none. */
export function requireLongKey(key: Uint8Array): void {
  if (key.length < minimumBytes) throw new RangeError(`a key of ${minimumBytes} bytes or more is needed`);
}
