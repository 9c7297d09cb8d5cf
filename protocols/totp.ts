// Time-based one-time codes (RFC 6238): six digits, thirty seconds, SHA-1, as every authenticator app has them.
import { createHmac } from 'node:crypto';
import { sameSecret } from './constant-time.ts';

const stepSeconds = 30;
/** Steps before and after the present one whose codes are taken, for clocks that disagree. */
const window = 1;
const minimumSecretBytes = 16;

/**
 * The time step that a code belongs to; `null` when it is not a code of now. The caller has to refuse a step that was
 * used before (RFC 6238 §5.2).
 *
 * @param secret Base32, at least 128 bits (RFC 4226 §4); anything else fits no code.
 */
export function verifyTotp(secret: string, code: string, now: Date): number | null {
  const key = readBase32(secret);
  if (key === null || key.length < minimumSecretBytes || !/^\d{6}$/.test(code)) return null;
  const present = Math.floor(now.getTime() / 1000 / stepSeconds);
  let found: number | null = null;
  // Every step is looked at, so that the time taken does not tell which one fits.
  for (let step = present - window; step <= present + window; step += 1) {
    if (step >= 0 && sameSecret(codeOf(key, step), code)) found = step;
  }
  return found;
}

/** @see RFC 4226 §5.3 */
function codeOf(key: Buffer, step: number): string {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const digest = createHmac('sha1', key).update(counter).digest();
  const offset = digest.readUInt8(digest.length - 1) & 0x0f;
  return String((digest.readUInt32BE(offset) & 0x7fff_ffff) % 1_000_000).padStart(6, '0');
}

/** @see RFC 4648 §6 */
function readBase32(text: string): Buffer | null {
  const letters = text.replace(/=+$/, '');
  if (!/^[A-Z2-7]+$/.test(letters)) return null;
  const bytes: number[] = [];
  let bits = 0;
  let value = 0;
  for (const letter of letters) {
    value = ((value << 5) | 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter)) & 0xfff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push((value >> bits) & 0xff);
  }
  return Buffer.from(bytes);
}
