// What `lock.mjs` exports.
import type { ProcessIdentity } from './identity.mjs';

export interface LockHolder extends ProcessIdentity {
  /** RFC 3339, UTC: when it took the lock. */
  readonly since: string;
  /** What it noted besides. */
  readonly [field: string]: unknown;
}

export interface Lock {
  /** Who held it and was killed; `null` when it was free. */
  readonly predecessor: LockHolder | null;
  /** Tells those who wait something about the holder. */
  note(fields: Readonly<Record<string, unknown>>): void;
  release(): void;
}

/**
 * Waits for the lock.
 *
 * @param whenHeld Called at every look while a running process holds it; gives up by throwing.
 */
export function acquireLock(path: string, whenHeld: (holder: LockHolder) => void): Promise<Lock>;
