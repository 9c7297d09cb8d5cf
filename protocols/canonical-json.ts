// Canonical JSON (RFC 8785): the one spelling of a value, which is what is hashed, signed and compared.
import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import { TrustError } from '#contracts/problems.ts';

/** Deeper values are refused: nothing of ours nests so far, and a circle is endlessly deep. */
const maximumDepth = 64;

/**
 * The bytes of a JSON value. What JSON cannot carry is refused instead of left out or bent: `undefined`, also as a
 * member; NaN and infinities; lone surrogates; dates, maps and other objects with a class.
 *
 * @throws TrustError `request.invalid`
 */
export function canonicalBytes(value: unknown): Uint8Array<ArrayBuffer> {
  requireJson(value, maximumDepth);
  return new TextEncoder().encode(canonicalize(value));
}

/** Lower-case hex. */
export function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The digest by which a JSON value is approved, compared and chained: lower-case hex SHA-256 over its canonical bytes. */
export function digestOf(value: unknown): string {
  return sha256Hex(canonicalBytes(value));
}

function requireJson(value: unknown, depth: number): void {
  if (value === null || typeof value === 'boolean') return;
  if (typeof value === 'number' && Number.isFinite(value)) return;
  if (typeof value === 'string' && value.isWellFormed()) return;
  if (typeof value !== 'object') throw notJson();
  if (depth === 0) throw notJson();
  // Array.from also visits the holes of a sparse array.
  if (Array.isArray(value)) return Array.from(value as unknown[]).forEach((item) => requireJson(item, depth - 1));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) throw notJson();
  for (const [key, member] of Object.entries(value)) {
    if (!key.isWellFormed()) throw notJson();
    requireJson(member, depth - 1);
  }
}

/** Says nothing about the value, which may hold a secret. */
function notJson(): TrustError {
  return new TrustError('request.invalid', { detail: 'The value cannot be written as JSON without loss' });
}
