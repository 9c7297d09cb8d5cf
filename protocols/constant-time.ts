// Comparison of secrets in a time that says nothing about them.
import { createHash, timingSafeEqual } from 'node:crypto';

/** Tells whether two secrets are the same. An empty one never is: a secret that was not set must not match anything. */
export function sameSecret(a: string | Uint8Array, b: string | Uint8Array): boolean {
  // Digests have one length, so that not even the length of the secret can be measured.
  const same = timingSafeEqual(digest(a), digest(b));
  return same && a.length > 0 && b.length > 0;
}

function digest(secret: string | Uint8Array): Buffer {
  return createHash('sha256').update(secret).digest();
}
