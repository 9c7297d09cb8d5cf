// What a bench started is ended when it returns, in the opposite order, however it went.
import type { Cleanup } from '#tests/harness/cleanup.ts';

export async function withCleanup<T>(work: (cleanup: Cleanup) => Promise<T>): Promise<T> {
  const works: (() => Promise<void> | void)[] = [];
  try {
    return await work({ after: (ending) => void works.push(ending) });
  } finally {
    for (const ending of works.toReversed()) await ending();
  }
}
