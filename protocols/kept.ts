// Keeps what reading bytes came to, for devices that send the same ones with each heartbeat.

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
      let found = kept.get(exactly);
      if (found === undefined) {
        found = read();
        const [oldest] = kept.keys();
        if (kept.size >= maximum && oldest !== undefined) kept.delete(oldest);
      } else {
        kept.delete(exactly);
      }
      kept.set(exactly, found);
      return found;
    },
  };
}

/** Some kilobytes each. */
export const keptKeys = 10_000;
