// What a test leaves behind is ended in the opposite order of how it was started.
import { after } from 'node:test';

/** A test context is one; for what several tests share there is `cleanupAfterAll`. */
export interface Cleanup {
  after(work: () => Promise<void> | void): void;
}

/**
 * For a file or a `describe`: called where tests are declared, used in its hooks.
 * (Called inside a hook, `after` of node:test would run at the end of that hook.)
 */
export function cleanupAfterAll(): Cleanup {
  const works: (() => Promise<void> | void)[] = [];
  after(async () => {
    for (const work of works.toReversed()) await work();
  });
  return { after: (work) => void works.push(work) };
}
