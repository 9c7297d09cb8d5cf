// Keeps what reading bytes came to, for devices that send the same ones with each heartbeat.
import { hash } from 'node:crypto';

export interface Kept<T> {
  /**
   * @param exactly The bytes, as text of any form that no other bytes have.
   * @param read    What it throws is thrown, and not kept.
   */
  get(exactly: string, read: () => T): T;
}

/** @param maximum Those that were used last are kept. */
export function createKept<T>(maximum: number): Kept<T> {
  const kept = new Map<string, T>();
  return {
    get(exactly, read) {
      const name = nameOf(exactly);
      let found = kept.get(name);
      if (found === undefined) {
        found = read();
        const [oldest] = kept.keys();
        if (kept.size >= maximum && oldest !== undefined) kept.delete(oldest);
      } else {
        kept.delete(name);
      }
      kept.set(name, found);
      return found;
    },
  };
}

/** The bytes themselves are not kept: a device may send as many as fit into a heartbeat, and others with each. */
function nameOf(exactly: string): string {
  return hash('sha256', exactly, 'base64');
}

/** Some kilobytes each. */
export const keptKeys = 10_000;
