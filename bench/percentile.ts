// Where the parts of a sample lie: nearest rank, so that every figure is one that was measured.

/** @param part between 0 and 1. @returns NaN of nothing */
export function percentile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] ?? Number.NaN;
}

/** Median and 99th percentile, as a measurement has them. */
export function spread(values: readonly number[]): { readonly p50: number; readonly p99: number } {
  return { p50: percentile(values, 0.5), p99: percentile(values, 0.99) };
}
