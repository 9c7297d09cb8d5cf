// A limit to waiting for what cannot be cancelled.

/** Whatever the task does, the answer comes within the limit; afterwards nobody listens to the task any more. */
export async function withinLimit<T>(limitMs: number, task: () => Promise<T>, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), limitMs);
  });
  try {
    return await Promise.race([task(), limit]);
  } finally {
    clearTimeout(timer);
  }
}
