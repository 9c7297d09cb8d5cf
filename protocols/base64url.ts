// Strict reader for base64url without padding (RFC 4648 §5): one spelling for each value.
import { Malformed } from './malformed.ts';

/**
 * @param text         Untrusted.
 * @param maximumBytes Of what it decodes to.
 * @throws Malformed also when it is empty
 */
export function readBase64url(text: unknown, maximumBytes: number): Buffer {
  // Four characters for three bytes: a longer text is not even looked at.
  if (typeof text !== 'string' || text.length > maximumBytes * 2) throw new Malformed('not base64url, or too long');
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.length === 0 || bytes.length > maximumBytes) throw new Malformed('empty or too long');
  // Node's decoder skips what it does not know, so only text that comes back the same is base64url.
  if (bytes.toString('base64url') !== text) throw new Malformed('not base64url without padding');
  return bytes;
}
