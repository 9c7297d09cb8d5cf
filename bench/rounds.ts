// Rounds of several contestants in turn, so that whatever else the machine does falls on all of them, and what is made of them.

/** A B C, C B A, A B C, …: over two turns each has had its place as early as late. */
export function planRounds<Name>(names: readonly Name[], turns: number): Name[] {
  return Array.from({ length: turns }, (_, turn) => (turn % 2 === 0 ? names : names.toReversed())).flat();
}

/** @throws RangeError when there is nothing to take it of */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  if (upper === undefined) throw new RangeError('no values');
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** @throws RangeError when it would not be a number: nothing is compared with nothing */
export function ratio(ours: number, theirs: number): number {
  if (!Number.isFinite(ours) || !(theirs > 0)) throw new RangeError(`${ours} cannot be compared with ${theirs}`);
  return ours / theirs;
}
