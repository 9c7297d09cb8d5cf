// How long an actor rests before it tries again what went wrong.

const longestMs = 300_000;

/** Each rest is twice the one before, so that histories stay short. @param times in a row that it went wrong */
export function restMs(firstMs: number, times: number): number {
  return Math.min(longestMs, firstMs * 2 ** (times - 1));
}
